# Predicates over worker attributes: values as ids, programs over rows of ids, profiles.

cdef enum:
    NULL_ID = 0
    FALSE_ID = 1
    TRUE_ID = 2
    OPAQUE_ID = 3
    FIRST_ID = 4        # those before it are neither counted nor forgotten
    INCOMPARABLE = 2

cdef tuple SCALARS = (type(None), bool, int, float, str)

cdef dict OPERATIONS = {
    # name: (opcode, operands)
    "==": (OP_EQUAL, 2),
    "!=": (OP_UNEQUAL, 2),
    "<": (OP_LESS, 2),
    "<=": (OP_LESS_OR_EQUAL, 2),
    ">": (OP_GREATER, 2),
    ">=": (OP_GREATER_OR_EQUAL, 2),
    "contains": (OP_CONTAINS, 2),
    "not_contains": (OP_NOT_CONTAINS, 2),
    "has": (OP_HAS, 2),
    "in": (OP_IN, 2),
    "not_in": (OP_NOT_IN, 2),
    "and": (OP_AND, 2),
    "or": (OP_OR, 2),
    "is_null": (OP_IS_NULL, 1),
    "is_not_null": (OP_IS_NOT_NULL, 1),
    "not": (OP_NOT, 1),
}


@cython.final
cdef class Values:

    def __cinit__(self):
        cdef Kind kind
        self.ids = {}
        self.keys = []
        for kind in (KIND_NULL, KIND_BOOLEAN, KIND_BOOLEAN, KIND_OPAQUE):
            self.rows.push_back(Value(kind, 0, 0, 0.0))
            self.keys.append(None)
        self.texts.resize(FIRST_ID)
        self.arrays.resize(FIRST_ID)

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
        return self.keep(value)

    cdef int32_t intern_array(self, object items) except -1:
        cdef int32_t element, array
        cdef vector[int32_t] ascending
        cdef Py_ssize_t size
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
        # Half the size of a tuple, and no other canonical value is of this type.
        size = ascending.size() * sizeof(int32_t)
        array = self.keep((<char *> ascending.data())[:size])
        if self.rows[array].references == 1:
            self.arrays[array] = ascending
        else:
            for element in ascending:
                self.release(element)
        return array

    cdef int32_t keep(self, object key) except -1:
        cdef int32_t value
        found = self.ids.get(key)
        if found is None:
            found = self.add(key)
        value = found
        self.rows[value].references += 1
        return value

    cdef int32_t add(self, object key) except -1:
        cdef int32_t value
        cdef string text
        cdef Value row = describe(key, text)
        if self.vacant.empty():
            value = <int32_t> self.rows.size()
            self.rows.push_back(row)
            self.keys.append(None)
            self.texts.resize(value + 1)
            self.arrays.resize(value + 1)
        else:
            value = self.vacant.back()
            self.vacant.pop_back()
        self.rows[value] = row
        self.texts[value] = text
        self.keys[value] = key
        self.ids[key] = value
        return value

    cdef int release(self, int32_t value) except -1:
        """Count one reference less; forget the value with the last one."""
        cdef int32_t element
        if value < FIRST_ID:
            return 0
        self.rows[value].references -= 1
        if self.rows[value].references:
            return 0
        del self.ids[self.keys[value]]
        self.keys[value] = None
        for element in self.arrays[value]:
            self.release(element)
        self.arrays[value].clear()
        self.texts[value].clear()
        self.vacant.push_back(value)
        return 0

    cdef bint equal(self, int32_t one, int32_t other) noexcept:
        return one == other and self.rows[one].kind < KIND_ARRAY

    cdef int compare(self, int32_t one, int32_t other) noexcept:
        """Below, at or above zero, or INCOMPARABLE."""
        cdef Kind kind = self.rows[one].kind
        if kind == KIND_TEXT and self.rows[other].kind == KIND_TEXT:
            # Bytes of UTF-8 sort like code points.
            return sign(self.texts[one].compare(self.texts[other]))
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
            return -1 if left.integer < right.integer else 1
        if left.kind == KIND_REAL and right.kind == KIND_REAL:
            return -1 if left.real < right.real else 1
        # A real is no whole number and below 2 ** 53: its floor is exact.
        if left.kind == KIND_INTEGER:
            return -1 if left.integer <= <int64_t> floor(right.real) else 1
        return 1 if right.integer <= <int64_t> floor(left.real) else -1

    cdef int compare_great(self, int32_t one, int32_t other) noexcept:
        cdef int64_t left = great_sign(self.rows[one])
        cdef int64_t right = great_sign(self.rows[other])
        if left != right:
            return -1 if left < right else 1
        cdef size_t size = self.texts[one].size()
        cdef int magnitude
        if size != self.texts[other].size():
            magnitude = -1 if size < self.texts[other].size() else 1
        else:
            magnitude = sign(self.texts[one].compare(self.texts[other]))
        return magnitude if left > 0 else -magnitude

    cdef bint contains(self, int32_t one, int32_t other) noexcept:
        if self.rows[one].kind != KIND_TEXT or self.rows[other].kind != KIND_TEXT:
            return False
        return self.texts[one].find(self.texts[other]) != npos

    cdef bint has(self, int32_t array, int32_t value) noexcept:
        if self.rows[array].kind != KIND_ARRAY:
            return False
        return binary_search(
            self.arrays[array].begin(), self.arrays[array].end(), value
        )


cdef Value describe(object key, string &text):
    """Describe a canonical value; its text, if it has one, goes to `text`."""
    if isinstance(key, bytes):
        return Value(KIND_ARRAY, 0, 0, 0.0)
    if isinstance(key, str):
        (&text)[0] = key.encode("utf-8", "surrogatepass")
        return Value(KIND_TEXT, 0, 0, 0.0)
    if isinstance(key, float):
        if isfinite(<double> key):
            return Value(KIND_REAL, 0, 0, key)
        return Value(KIND_GREAT, 0, 2 if key > 0 else -2, 0.0)
    if -(2**63) <= key < 2**63:
        return Value(KIND_INTEGER, 0, key, 0.0)
    (&text)[0] = abs(key).to_bytes((key.bit_length() + 7) // 8, "big")
    return Value(KIND_GREAT, 0, 1 if key > 0 else -1, 0.0)


cdef int sign(int number) noexcept:
    return (number > 0) - (number < 0)


cdef bint is_number(Kind kind) noexcept:
    return KIND_INTEGER <= kind <= KIND_GREAT


cdef int64_t great_sign(const Value &value) noexcept:
    return value.integer if value.kind == KIND_GREAT else 0


cdef int verify(tuple source) except -1:
    """Return the stack that is needed; raise ValueError if this is no program."""
    cdef int depth = 0
    cdef int deepest = 0
    for position, step in enumerate(source):
        if not isinstance(step, tuple) or not step:
            raise ValueError(f"instruction {position} is no tuple: {step!r}")
        operation = OPERATIONS.get(step[0])
        if operation is not None and len(step) == 1:
            if depth < operation[1]:
                raise ValueError(f"instruction {position} lacks operands: {step!r}")
            depth -= operation[1]
        elif not is_operand(step):
            raise ValueError(f"instruction {position} is not known: {step!r}")
        depth += 1
        deepest = max(deepest, depth)
    if source and depth != 1:
        raise ValueError(f"the program leaves {depth} values instead of one")
    return deepest


cdef bint is_operand(tuple step):
    if step[0] == "const" and len(step) == 2:
        items = step[1] if isinstance(step[1], tuple) else (step[1],)
        return all([isinstance(item, SCALARS) for item in items])
    if step[0] == "path" and len(step) == 3:
        return (
            step[1] == "worker"
            and isinstance(step[2], tuple)
            and all([type(segment) in (str, int) for segment in step[2]])
        )
    return False


cdef object resolve(dict attributes, tuple segments):
    """Look a path up; None if it leads nowhere."""
    node = attributes
    for segment in segments:
        if isinstance(segment, str):
            if not isinstance(node, dict):
                return None
            node = (<dict> node).get(segment)
        elif isinstance(node, (list, tuple)) and 0 <= segment < len(node):
            node = node[segment]
        else:
            return None
    return node


@cython.final
cdef class Program:

    cdef bint holds(self, Values values, const int32_t *row, int32_t *stack) noexcept:
        cdef Instruction step
        cdef Py_ssize_t top = -1
        cdef int32_t result
        for step in self.code:
            if step.opcode == OP_CONST:
                top += 1
                result = step.argument
            elif step.opcode == OP_PATH:
                top += 1
                result = row[step.argument]
            elif step.opcode >= OP_IS_NULL:
                result = TRUE_ID if unary(step.opcode, stack[top]) else FALSE_ID
            else:
                top -= 1
                result = (
                    TRUE_ID
                    if binary(values, step.opcode, stack[top], stack[top + 1])
                    else FALSE_ID
                )
            stack[top] = result
        return top == 0 and stack[0] == TRUE_ID


cdef bint unary(Opcode opcode, int32_t operand) noexcept:
    if opcode == OP_IS_NULL:
        return operand == NULL_ID
    if opcode == OP_IS_NOT_NULL:
        return operand != NULL_ID
    return operand != TRUE_ID


cdef bint binary(Values values, Opcode opcode, int32_t one, int32_t other) noexcept:
    if opcode == OP_AND:
        return one == TRUE_ID and other == TRUE_ID
    if opcode == OP_OR:
        return one == TRUE_ID or other == TRUE_ID
    if opcode == OP_HAS:
        return values.has(one, other)
    if opcode == OP_EQUAL:
        return values.equal(one, other)
    if opcode == OP_UNEQUAL:
        return not values.equal(one, other)
    if opcode == OP_IN:
        return values.has(other, one)
    if opcode == OP_NOT_IN:
        return not values.has(other, one)
    if opcode == OP_CONTAINS:
        return values.contains(one, other)
    if opcode == OP_NOT_CONTAINS:
        return not values.contains(one, other)
    return ordered(opcode, values.compare(one, other))


cdef bint ordered(Opcode opcode, int order) noexcept:
    if order == INCOMPARABLE:
        return False
    if opcode == OP_LESS:
        return order < 0
    if opcode == OP_LESS_OR_EQUAL:
        return order <= 0
    if opcode == OP_GREATER:
        return order > 0
    return order >= 0
