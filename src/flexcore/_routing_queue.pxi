# TaskQueue, the priority queue, and Slots, which every handle comes from.

cdef int32_t LAST_GENERATION = INT32_MAX - 1
# Four children share two cache lines, and the tree is half as deep as a binary one.
cdef enum:
    ARITY = 4


class StaleHandle(KeyError):
    """The handle was never given out, or what it stood for is gone."""

    def __str__(self):
        return str(self.args[0])


@cython.final
cdef class Slots:

    cdef int32_t acquire(self) except -1:
        cdef int32_t slot
        if self.vacant.empty():
            slot = <int32_t> self.generations.size()
            self.generations.push_back(0)
            # Room for every slot, so that release cannot run out of memory.
            self.vacant.reserve(self.generations.capacity())
        else:
            slot = self.vacant.back()
            self.vacant.pop_back()
        self.generations[slot] += 1
        return slot

    cdef int release(self, int32_t slot) except -1:
        self.generations[slot] += 1
        # A slot that ran out of generations is given up: its handles stay stale.
        if self.generations[slot] < LAST_GENERATION:
            self.vacant.push_back(slot)
        return 0

    cdef int64_t handle(self, int32_t slot) noexcept:
        return (<int64_t> self.generations[slot] << 32) | slot

    cdef bint used(self, int32_t slot) noexcept:
        return self.generations[slot] & 1

    cdef bint live(self, int64_t handle) noexcept:
        cdef int64_t slot = handle & 0xFFFFFFFF
        cdef int64_t generation = handle >> 32
        if handle < 0 or slot >= <int64_t> self.generations.size():
            return False
        return generation & 1 and self.generations[slot] == generation

    cdef int32_t find(self, int64_t handle) except -1:
        if not self.live(handle):
            raise StaleHandle(f"handle {handle} is stale")
        return <int32_t> (handle & 0xFFFFFFFF)

    cdef Py_ssize_t count(self) noexcept:
        cdef Py_ssize_t slot, used = 0
        for slot in range(<Py_ssize_t> self.generations.size()):
            used += self.generations[slot] & 1
        return used


cdef bint precedes(const TaskEntry &one, const TaskEntry &other) noexcept:
    """The order of tasks. It is strict and total because sequences differ: without that
    two tasks of one priority and start would leave in an order that depends on what
    else was in the heap, and a router rebuilt after a crash would decide differently.
    """
    if one.priority != other.priority:
        return one.priority > other.priority
    if one.start != other.start:
        return one.start < other.start
    return one.sequence < other.sequence


@cython.final
cdef class TaskQueue:

    def __cinit__(self):
        self.slots = Slots()

    def push(self, int64_t item, int64_t priority, int64_t start, int64_t sequence):
        return self.slots.handle(self.add(item, priority, start, sequence))

    def peek(self):
        if self.heap.empty():
            raise IndexError("the task queue is empty")
        return self.tasks[self.heap[0].slot].item

    def pop(self):
        item = self.peek()
        self.discard(self.heap[0].slot)
        return item

    def remove(self, int64_t handle):
        self.discard(self.slots.find(handle))

    def reprioritize(self, int64_t handle, int64_t priority):
        self.change(self.slots.find(handle), priority)

    def __len__(self):
        return self.heap.size()

    def __contains__(self, int64_t handle):
        return self.slots.live(handle)

    def __iter__(self):
        cdef vector[TaskEntry] entries = self.heap
        cdef TaskEntry entry
        sort(entries.begin(), entries.end(), &precedes)
        return iter([self.tasks[entry.slot].item for entry in entries])

    def check(self):
        cdef Py_ssize_t position
        cdef Py_ssize_t size = self.heap.size()
        cdef TaskEntry entry
        ensure(size == self.slots.count(), "entries and slots in use differ in number")
        ensure(self.tasks.size() == self.slots.generations.size(), "a slot has no task")
        for position in range(size):
            entry = self.heap[position]
            where = f"entry {position} of {size}: {entry}"
            ensure(self.slots.used(entry.slot), f"its slot is vacant: {where}")
            ensure(
                self.tasks[entry.slot].position == position,
                f"its slot points to {self.tasks[entry.slot].position}: {where}",
            )
            ensure(
                position == 0
                or not precedes(entry, self.heap[(position - 1) // ARITY]),
                f"it precedes its parent: {where}",
            )

    cdef int32_t add(
        self, int64_t item, int64_t priority, int64_t start, int64_t sequence
    ) except -1:
        cdef int32_t slot = self.slots.acquire()
        cdef TaskEntry entry = TaskEntry(priority, start, sequence, slot)
        if slot == <int32_t> self.tasks.size():
            self.tasks.push_back(TaskSlot(item, 0))
        self.tasks[slot].item = item
        self.heap.push_back(entry)
        self.rise(self.heap.size() - 1, entry)
        return slot

    cdef int discard(self, int32_t slot) except -1:
        cdef Py_ssize_t position = self.tasks[slot].position
        cdef TaskEntry last = self.heap.back()
        self.heap.pop_back()
        self.slots.release(slot)
        if last.slot != slot:
            self.sink(position, last)
            self.rise(self.tasks[last.slot].position, last)
        return 0

    cdef void change(self, int32_t slot, int64_t priority) noexcept:
        cdef Py_ssize_t position = self.tasks[slot].position
        cdef TaskEntry entry = self.heap[position]
        entry.priority = priority
        self.sink(position, entry)
        self.rise(self.tasks[slot].position, entry)

    cdef void place(self, Py_ssize_t position, TaskEntry entry) noexcept:
        self.heap[position] = entry
        self.tasks[entry.slot].position = <int32_t> position

    cdef void rise(self, Py_ssize_t position, TaskEntry entry) noexcept:
        cdef Py_ssize_t parent
        while position > 0:
            parent = (position - 1) // ARITY
            if not precedes(entry, self.heap[parent]):
                break
            self.place(position, self.heap[parent])
            position = parent
        self.place(position, entry)

    cdef void sink(self, Py_ssize_t position, TaskEntry entry) noexcept:
        cdef Py_ssize_t size = self.heap.size()
        cdef Py_ssize_t child, first, best
        while True:
            first = position * ARITY + 1
            if first >= size:
                break
            best = first
            for child in range(first + 1, min(first + ARITY, size)):
                if precedes(self.heap[child], self.heap[best]):
                    best = child
            if not precedes(self.heap[best], entry):
                break
            self.place(position, self.heap[best])
            position = best
        self.place(position, entry)
