# TaskQueue, the priority queue, and the heap of tasks the router uses as well.

# Four children share two cache lines, and the tree is half as deep as a binary one.
cdef enum:
    ARITY = 4


cdef inline bint precedes(const TaskEntry &one, const TaskEntry &other) noexcept:
    """The order of tasks. It is strict and total because sequences differ: without that
    two tasks of one priority and start would leave in an order that depends on what
    else was in the heap, and a router rebuilt after a crash would decide differently.

    Bits and one branch: which of two tasks is first cannot be foreseen, that they did
    not start at once can.
    """
    if one.start == other.start:
        return one.rank < other.rank or (
            one.rank == other.rank and one.sequence < other.sequence
        )
    return (one.rank < other.rank) | (
        (one.rank == other.rank) & (one.start < other.start)
    )


cdef inline Py_ssize_t first_child(
    const TaskEntry *entries, Py_ssize_t first, Py_ssize_t size
) noexcept:
    """Return which of the children from `first` on precedes the others."""
    cdef Py_ssize_t one, other, child
    if first + ARITY <= size:
        one = first + precedes(entries[first + 1], entries[first])
        other = first + 2 + precedes(entries[first + 3], entries[first + 2])
        return one + ((other - one) & -precedes(entries[other], entries[one]))
    one = first
    for child in range(first + 1, size):
        if precedes(entries[child], entries[one]):
            one = child
    return one


cdef void task_rise(
    vector[TaskEntry] &heap, vector[int32_t] &positions, Py_ssize_t position
) noexcept:
    """Move the entry at the position up to where it belongs."""
    cdef TaskEntry *entries = heap.data()
    cdef int32_t *places = positions.data()
    cdef TaskEntry entry = entries[position]
    cdef Py_ssize_t parent
    while position > 0:
        parent = (position - 1) >> 2
        if not precedes(entry, entries[parent]):
            break
        entries[position] = entries[parent]
        places[entries[position].slot] = <int32_t> position
        position = parent
    entries[position] = entry
    places[entry.slot] = <int32_t> position


cdef void task_sink(
    vector[TaskEntry] &heap, vector[int32_t] &positions, Py_ssize_t position
) noexcept:
    """Move the entry at the position to where it belongs, most likely far down.

    The way down is a chain of misses, so what may be next is fetched ahead, a cache line
    of two entries at a time.
    """
    cdef TaskEntry *entries = heap.data()
    cdef int32_t *places = positions.data()
    cdef TaskEntry entry = entries[position]
    cdef Py_ssize_t size = heap.size()
    cdef Py_ssize_t start = position
    cdef Py_ssize_t child
    cdef Py_ssize_t ahead
    while position * ARITY + 1 < size:
        for ahead in range(0, ARITY * ARITY, 2):
            prefetch(entries + (position * ARITY + 1) * ARITY + 1 + ahead)
        child = first_child(entries, position * ARITY + 1, size)
        entries[position] = entries[child]
        places[entries[position].slot] = <int32_t> position
        position = child
    while position > start and precedes(entry, entries[(position - 1) >> 2]):
        entries[position] = entries[(position - 1) >> 2]
        places[entries[position].slot] = <int32_t> position
        position = (position - 1) >> 2
    entries[position] = entry
    places[entry.slot] = <int32_t> position


cdef int task_push(
    vector[TaskEntry] &heap, vector[int32_t] &positions, TaskEntry entry
) except -1:
    if entry.slot >= <int32_t> positions.size():
        positions.resize(entry.slot + 1)
    heap.push_back(entry)
    task_rise(heap, positions, heap.size() - 1)
    return 0


cdef int task_drop(
    vector[TaskEntry] &heap, vector[int32_t] &positions, int32_t slot
) except -1:
    return task_drop_at(heap, positions, positions[slot])


cdef int task_drop_at(
    vector[TaskEntry] &heap, vector[int32_t] &positions, Py_ssize_t position
) except -1:
    cdef TaskEntry last = heap.back()
    heap.pop_back()
    if position < <Py_ssize_t> heap.size():
        heap[position] = last
        task_sink(heap, positions, position)
        if position:
            task_rise(heap, positions, positions[last.slot])
    return 0


cdef int task_change(
    vector[TaskEntry] &heap, vector[int32_t] &positions, int32_t slot, int64_t rank
) except -1:
    heap[positions[slot]].rank = rank
    task_sink(heap, positions, positions[slot])
    task_rise(heap, positions, positions[slot])
    return 0


cdef int check_heap(vector[TaskEntry] &heap, vector[int32_t] &positions) except -1:
    cdef Py_ssize_t position
    cdef Py_ssize_t size = heap.size()
    cdef TaskEntry entry
    for position in range(size):
        entry = heap[position]
        where = f"entry {position} of {size}: {entry}"
        ensure(
            positions[entry.slot] == position,
            f"its slot points to {positions[entry.slot]}: {where}",
        )
        ensure(
            position == 0 or not precedes(entry, heap[(position - 1) // ARITY]),
            f"it precedes its parent: {where}",
        )
    return 0


@cython.final
cdef class TaskQueue:

    def __cinit__(self):
        self.slots = Slots()

    def push(self, int64_t item, int64_t priority, int64_t start, int64_t sequence):
        cdef int32_t slot = self.slots.acquire()
        if slot == <int32_t> self.items.size():
            self.items.push_back(item)
        self.items[slot] = item
        task_push(
            self.heap, self.positions, TaskEntry(~priority, start, sequence, slot, 0)
        )
        return self.slots.handle(slot)

    def peek(self):
        if self.heap.empty():
            raise IndexError("the task queue is empty")
        return self.items[self.heap[0].slot]

    def pop(self):
        item = self.peek()
        cdef int32_t slot = self.heap[0].slot
        task_drop(self.heap, self.positions, slot)
        self.slots.release(slot)
        return item

    def remove(self, int64_t handle):
        cdef int32_t slot = self.slots.find(handle)
        task_drop(self.heap, self.positions, slot)
        self.slots.release(slot)

    def reprioritize(self, int64_t handle, int64_t priority):
        cdef int32_t slot = self.slots.find(handle)
        task_change(self.heap, self.positions, slot, ~priority)

    def __len__(self):
        return self.heap.size()

    def __contains__(self, int64_t handle):
        return self.slots.live(handle)

    def __iter__(self):
        cdef vector[TaskEntry] entries = self.heap
        cdef TaskEntry entry
        sort(entries.begin(), entries.end(), &precedes)
        return iter([self.items[entry.slot] for entry in entries])

    def check(self):
        cdef Py_ssize_t size = self.heap.size()
        cdef TaskEntry entry
        ensure(size == self.slots.count(), "entries and slots in use differ in number")
        ensure(self.items.size() == self.slots.generations.size(), "a slot has no item")
        for entry in self.heap:
            ensure(self.slots.used(entry.slot), f"its slot is vacant: {entry}")
        check_heap(self.heap, self.positions)
