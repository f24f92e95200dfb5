# Turns: the entries of a line, by whose turn it is.

cdef enum:
    AHEAD = 4               # entries from the first one, whose room is fetched
    NEAR = 32               # entries from the end at most, where one is put in the row


cdef inline bint comes_before(
    const Worker *rows, const IdleEntry &one, const IdleEntry &other
) noexcept:
    """The order of a line. It is total because orders of workers differ, else who of two
    equal clocks comes first would depend on what happened before, and a rebuilt router
    would decide differently.
    """
    if one.clock != other.clock:
        return one.clock < other.clock
    return rows[one.worker].order < rows[other.worker].order


cdef inline IdleEntry *turn_top(Turns *turns, const Worker *rows) noexcept:
    """Return the first entry, NULL if there is none."""
    cdef IdleEntry *top = NULL
    if turns.first < turns.row.size():
        top = turns.row.data() + turns.first
    if not turns.heap.empty() and (
        top == NULL or comes_before(rows, turns.heap[0], top[0])
    ):
        top = turns.heap.data()
    return top


cdef inline int turn_push(
    Turns *turns, const Worker *rows, const IdleEntry &entry
) except -1:
    cdef size_t place = turns.row.size()
    cdef IdleEntry *entries
    if place >= turns.first + NEAR and comes_before(
        rows, entry, turns.row[place - NEAR]
    ):
        turn_reserve(turns.heap)
        turns.heap.push_back(entry)
        turn_rise(turns.heap, rows)
        return 0
    if place == turns.row.capacity() and 4 * turns.first > place:
        turn_trim(turns)
        place = turns.row.size()
    turn_reserve(turns.row)
    turns.row.push_back(entry)
    entries = turns.row.data()
    while place > turns.first and comes_before(rows, entry, entries[place - 1]):
        entries[place] = entries[place - 1]
        place -= 1
    entries[place] = entry
    return 0


cdef void turn_trim(Turns *turns) noexcept:
    """Forget the entries of the row that are done with."""
    turns.row.erase(turns.row.begin(), turns.row.begin() + turns.first)
    turns.first = 0


cdef inline int turn_reserve(vector[IdleEntry] &entries) except -1:
    """Make place for one more: by a half, not the whole, since entries are most of what
    a worker takes.
    """
    if entries.size() == entries.capacity():
        entries.reserve(entries.size() * 3 // 2 + 2)
    return 0


cdef inline void turn_drop(Turns *turns, const Worker *rows, bint heaped) noexcept:
    """Drop the first entry, which is in the heap or in the row."""
    if not heaped:
        turns.first += 1
        return
    turns.heap[0] = turns.heap.back()
    turns.heap.pop_back()
    if turns.heap.size() > 1:
        turn_sink(turns.heap, rows, 0)


cdef void turn_clear(Turns *turns) noexcept:
    turns.row.clear()
    turns.heap.clear()
    turns.first = 0


cdef inline size_t turn_count(const Turns *turns) noexcept:
    return turns.row.size() - turns.first + turns.heap.size()


# The heap

cdef inline void turn_rise(vector[IdleEntry] &heap, const Worker *rows) noexcept:
    """Move the last entry up to where it belongs."""
    cdef IdleEntry *entries = heap.data()
    cdef Py_ssize_t position = heap.size() - 1
    cdef IdleEntry entry = entries[position]
    cdef Py_ssize_t parent
    while position > 0:
        parent = (position - 1) >> 2
        if not comes_before(rows, entry, entries[parent]):
            break
        entries[position] = entries[parent]
        position = parent
    entries[position] = entry


cdef void turn_sink(
    vector[IdleEntry] &heap, const Worker *rows, Py_ssize_t position
) noexcept:
    """Move an entry down to where it belongs."""
    cdef IdleEntry *entries = heap.data()
    cdef IdleEntry entry = entries[position]
    cdef Py_ssize_t size = heap.size()
    cdef Py_ssize_t first = position * ARITY + 1
    cdef Py_ssize_t child, least
    while first < size:
        least = first
        for child in range(first + 1, min(first + ARITY, size)):
            if comes_before(rows, entries[child], entries[least]):
                least = child
        if not comes_before(rows, entries[least], entry):
            break
        entries[position] = entries[least]
        position = least
        first = position * ARITY + 1
    entries[position] = entry
