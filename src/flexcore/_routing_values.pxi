# Values: what attributes and constants are, as numbers that compare at once.

cdef enum:
    NULL_ID = 0
    FALSE_ID = 1
    TRUE_ID = 2
    OPAQUE_ID = 3
    FIRST_ID = 4        # those before it are neither counted nor forgotten
    INCOMPARABLE = 2


@cython.final
cdef class Values:

    def __cinit__(self):
        cdef Kind kind
        self.ids = {}
        self.keys = []
        for kind in (KIND_NULL, KIND_BOOLEAN, KIND_BOOLEAN, KIND_OPAQUE):
            self.rows.push_back(value_of(kind, 0))
            self.keys.append(None)
        self.texts.resize(FIRST_ID)
        self.arrays.resize(FIRST_ID)

    def __dealloc__(self):
        cdef string *text
        for text in self.texts:
            del text

    cdef int32_t intern(self, object value) except -1:
        """Count one more reference to the value and return its id."""
        if value is None:
            return NULL_ID
        if value is True or value is False:
            return TRUE_ID if value else FALSE_ID
        if isinstance(value, (list, tuple)):
            return self.intern_array(value)
        if isinstance(value, float):
            if value != value:
                return OPAQUE_ID
            if value.is_integer():
                value = int(value)
        elif not isinstance(value, (str, int)):
            return OPAQUE_ID
        found = self.ids.get(value)
        cdef int32_t number = self.add(value) if found is None else found
        self.rows[number].references += 1
        return number

    cdef int32_t intern_array(self, object items) except -1:
        cdef int32_t element, array
        cdef vector[int32_t] ascending
        elements = set()
        for item in items:
            if isinstance(item, (list, tuple)):
                continue
            element = self.intern(item)
            if element in elements:
                self.release(element)
            elif element != OPAQUE_ID:
                elements.add(element)
        ascending = sorted(elements)
        found = self.array_ids.find(ascending)
        if found != self.array_ids.end():
            array = dereference(found).second
            self.release_all(ascending)
        else:
            array = self.place(value_of(KIND_ARRAY, 0), None)
            self.array_ids[ascending] = array
            self.arrays[array] = &dereference(self.array_ids.find(ascending)).first
        self.rows[array].references += 1
        return array

    cdef int32_t add(self, object key) except -1:
        cdef string text
        cdef Value row = describe(key, text)
        cdef int32_t value = self.place(row, key)
        if row.kind == KIND_TEXT or not text.empty():
            self.texts[value] = new string(text)
        self.ids[key] = value
        return value

    cdef int32_t place(self, Value row, object key) except -1:
        """Give a value an id."""
        cdef int32_t value
        if self.vacant.empty():
            value = <int32_t> self.rows.size()
            self.rows.reserve(with_spare(self.rows.size(), self.rows.capacity()))
            self.texts.reserve(self.rows.capacity())
            self.arrays.reserve(self.rows.capacity())
            self.rows.push_back(row)
            self.keys.append(None)
            self.texts.push_back(NULL)
            self.arrays.push_back(NULL)
        else:
            value = self.vacant.back()
            self.vacant.pop_back()
        self.rows[value] = row
        self.keys[value] = key
        return value

    cdef int release(self, int32_t value) except -1:
        """Count one reference less; forget the value with the last one."""
        cdef vector[int32_t] elements
        if value < FIRST_ID:
            return 0
        self.rows[value].references -= 1
        if self.rows[value].references:
            return 0
        if self.rows[value].kind == KIND_ARRAY:
            elements = dereference(self.arrays[value])
            self.array_ids.erase(elements)
            self.release_all(elements)
            self.arrays[value] = NULL
        else:
            del self.ids[self.keys[value]]
            self.keys[value] = None
            del self.texts[value]
            self.texts[value] = NULL
        self.vacant.push_back(value)
        return 0

    cdef int release_all(self, const vector[int32_t] &row) except -1:
        cdef const int32_t *values = row.data()
        cdef size_t place
        for place in range(row.size()):
            self.release(values[place])
        return 0

    cdef bint equal(self, int32_t one, int32_t other) noexcept:
        return one == other and self.rows[one].kind < KIND_ARRAY

    cdef bint scalar(self, int32_t value) noexcept:
        return self.rows[value].kind < KIND_ARRAY

    cdef bint number(self, int32_t value) noexcept:
        return is_number(self.rows[value].kind)

    cdef int compare(self, int32_t one, int32_t other) noexcept:
        """Below, at or above zero, or INCOMPARABLE."""
        cdef Kind kind = self.rows[one].kind
        if kind == KIND_TEXT and self.rows[other].kind == KIND_TEXT:
            # Bytes of UTF-8 sort like code points.
            return sign(self.texts[one].compare(dereference(self.texts[other])))
        if is_number(kind) and is_number(self.rows[other].kind):
            return 0 if one == other else self.compare_numbers(one, other)
        return INCOMPARABLE

    cdef int compare_numbers(self, int32_t one, int32_t other) noexcept:
        """Compare two different numbers exactly."""
        cdef Value left = self.rows[one]
        cdef Value right = self.rows[other]
        if left.kind == KIND_GREAT or right.kind == KIND_GREAT:
            return self.compare_great(one, other)
        if left.kind == KIND_INTEGER and right.kind == KIND_INTEGER:
            return -1 if left.number.integer < right.number.integer else 1
        if left.kind == KIND_REAL and right.kind == KIND_REAL:
            return -1 if left.number.real < right.number.real else 1
        # A real is no whole number and below 2 ** 53: its floor is exact.
        if left.kind == KIND_INTEGER:
            return -1 if left.number.integer <= <int64_t> floor(right.number.real) else 1
        return 1 if right.number.integer <= <int64_t> floor(left.number.real) else -1

    cdef int compare_great(self, int32_t one, int32_t other) noexcept:
        cdef int64_t left = great_sign(self.rows[one])
        cdef int64_t right = great_sign(self.rows[other])
        if left != right:
            return -1 if left < right else 1
        # Two different numbers of one sign beyond 64 bits, neither of them infinite.
        cdef size_t size = self.texts[one].size()
        cdef int magnitude
        if size != self.texts[other].size():
            magnitude = -1 if size < self.texts[other].size() else 1
        else:
            magnitude = sign(self.texts[one].compare(dereference(self.texts[other])))
        return magnitude if left > 0 else -magnitude

    cdef bint contains(self, int32_t one, int32_t other) noexcept:
        if self.rows[one].kind != KIND_TEXT or self.rows[other].kind != KIND_TEXT:
            return False
        return self.texts[one].find(dereference(self.texts[other])) != npos

    cdef bint has(self, int32_t array, int32_t value) noexcept:
        if self.rows[array].kind != KIND_ARRAY:
            return False
        cdef const int32_t *elements = self.arrays[array].data()
        return binary_search(elements, elements + self.arrays[array].size(), value)


cdef Value value_of(Kind kind, int64_t integer) noexcept:
    cdef Value value
    value.kind, value.references = kind, 0
    value.number.integer = integer
    return value


cdef Value describe(object key, string &text):
    """Describe a canonical scalar; its text, if it has one, goes to `text`."""
    cdef Value row = value_of(KIND_REAL, 0)
    if isinstance(key, str):
        (&text)[0] = key.encode("utf-8", "surrogatepass")
        return value_of(KIND_TEXT, 0)
    if isinstance(key, float):
        if isfinite(<double> key):
            row.number.real = key
            return row
        return value_of(KIND_GREAT, 2 if key > 0 else -2)
    if -(2**63) <= key < 2**63:
        return value_of(KIND_INTEGER, key)
    (&text)[0] = abs(key).to_bytes((key.bit_length() + 7) // 8, "big")
    return value_of(KIND_GREAT, 1 if key > 0 else -1)


cdef int sign(int number) noexcept:
    return (number > 0) - (number < 0)


cdef bint is_number(Kind kind) noexcept:
    return KIND_INTEGER <= kind <= KIND_GREAT


cdef int64_t great_sign(const Value &value) noexcept:
    return value.number.integer if value.kind == KIND_GREAT else 0
