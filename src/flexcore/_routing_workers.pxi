# Workers with their room per channel, and the idle order of one queue on one channel.

@cython.final
cdef class Workers:

    def __cinit__(self):
        self.slots = Slots()
        self.attributes = []
        self.orders = set()

    cdef int32_t add(self, dict attributes, Worker row) except -1:
        self.orders.add(row.order)
        cdef int32_t worker = self.slots.acquire()
        if worker == <int32_t> self.rows.size():
            self.rows.push_back(row)
            self.attributes.append(None)
            self.rooms.resize(self.rows.size() * self.channels)
        self.rows[worker] = row
        self.attributes[worker] = attributes
        return worker

    cdef int remove(self, int32_t worker) except -1:
        cdef int32_t channel
        self.orders.discard(self.rows[worker].order)
        self.attributes[worker] = None
        for channel in range(self.channels):
            self.room(worker, channel)[0] = Room(0, 0)
        return self.slots.release(worker)

    cdef int widen(self, int32_t channels) except -1:
        """Make place for more channels, at least for twice as many as there are."""
        cdef vector[Room] wider
        cdef Py_ssize_t worker, channel
        if channels <= self.channels:
            return 0
        channels = max(channels, 2 * self.channels)
        wider.resize(self.rows.size() * channels)
        for worker in range(<Py_ssize_t> self.rows.size()):
            for channel in range(self.channels):
                wider[worker * channels + channel] = self.room(worker, channel)[0]
        self.rooms.swap(wider)
        self.channels = channels
        return 0

    cdef Room *room(self, int32_t worker, int32_t channel) noexcept:
        return &self.rooms[<Py_ssize_t> worker * self.channels + channel]

    cdef bint free(self, int32_t worker, int32_t channel) noexcept:
        cdef Room *room = self.room(worker, channel)
        return self.rows[worker].available and room.occupied < room.capacity

    cdef bint is_before(self, int32_t worker, int32_t other) noexcept:
        """The order of workers. It is total because their orders differ: without that
        workers who were offered something in one match, or nothing ever, would follow
        in the order of a heap, and a rebuilt router would decide differently.
        """
        if self.rows[worker].last_offered != self.rows[other].last_offered:
            return self.rows[worker].last_offered < self.rows[other].last_offered
        return self.rows[worker].order < self.rows[other].order


@cython.final
cdef class IdleOrder:

    def __cinit__(self, Workers workers not None):
        self.workers = workers

    def check(self):
        cdef Py_ssize_t position
        cdef IdleEntry entry, parent
        seen = set()
        for position in range(<Py_ssize_t> self.heap.size()):
            entry = self.heap[position]
            parent = self.heap[max(position - 1, 0) // 2]
            where = f"idle entry {position}: {entry}"
            used = self.workers.slots.used(entry.worker)
            ensure(used, f"its worker is gone: {where}")
            ensure(self.holds(entry.worker), f"it is not marked present: {where}")
            ensure(entry.worker not in seen, f"its worker has two: {where}")
            seen.add(entry.worker)
            ensure(
                entry.last_offered <= self.workers.rows[entry.worker].last_offered,
                f"it is later than the clock of its worker: {where}",
            )
            ensure(
                not self.precedes(&entry, &parent), f"it precedes its parent: {where}"
            )
        for worker in range(64 * self.present.size()):
            ensure(
                self.holds(worker) == (worker in seen),
                f"worker slot {worker} is marked present without an entry",
            )

    cdef bint holds(self, int32_t worker) noexcept:
        cdef Py_ssize_t word = worker >> 6
        if word >= <Py_ssize_t> self.present.size():
            return False
        return (self.present[word] >> (worker & 63)) & 1

    cdef int enter(self, int32_t worker) except -1:
        """Give the worker an entry unless it has one already."""
        cdef Py_ssize_t word = worker >> 6
        if self.holds(worker):
            return 0
        if word >= <Py_ssize_t> self.present.size():
            self.present.resize(word + 1)
        cdef IdleEntry entry = IdleEntry(self.workers.rows[worker].last_offered, worker)
        if self.heap.size() == self.heap.capacity():
            # By a half, not the whole: these entries are most of what a worker takes.
            self.heap.reserve(self.heap.size() * 3 // 2 + 4)
        self.heap.push_back(entry)
        self.present[word] |= <uint64_t> 1 << (worker & 63)
        self.rise(self.heap.size() - 1, entry)
        return 0

    cdef void leave(self, Py_ssize_t position) noexcept:
        """Drop the entry at the position."""
        cdef int32_t worker = self.heap[position].worker
        cdef IdleEntry last = self.heap.back()
        self.heap.pop_back()
        self.present[worker >> 6] &= ~(<uint64_t> 1 << (worker & 63))
        if last.worker != worker and self.sink(position, last) == position:
            self.rise(position, last)

    cdef Py_ssize_t find(self, int32_t worker) noexcept:
        cdef Py_ssize_t position = 0
        while self.heap[position].worker != worker:
            position += 1
        return position

    cdef void forget(self, int32_t worker) noexcept:
        """Drop the entry of a worker whose slot will be another's."""
        if self.holds(worker):
            self.leave(self.find(worker))

    cdef void turn_back(self, int32_t worker) noexcept:
        """Bring up an entry that is later than the clock of its worker."""
        cdef IdleEntry entry = IdleEntry(self.workers.rows[worker].last_offered, worker)
        cdef Py_ssize_t position
        if self.holds(worker):
            position = self.find(worker)
            if entry.last_offered < self.heap[position].last_offered:
                self.rise(position, entry)

    cdef bint precedes(self, IdleEntry *one, IdleEntry *other) noexcept:
        if one.last_offered != other.last_offered:
            return one.last_offered < other.last_offered
        return (
            self.workers.rows[one.worker].order < self.workers.rows[other.worker].order
        )

    cdef void rise(self, Py_ssize_t position, IdleEntry entry) noexcept:
        cdef Py_ssize_t parent
        while position > 0:
            parent = (position - 1) // 2
            if not self.precedes(&entry, &self.heap[parent]):
                break
            self.heap[position] = self.heap[parent]
            position = parent
        self.heap[position] = entry

    cdef Py_ssize_t sink(self, Py_ssize_t position, IdleEntry entry) noexcept:
        cdef Py_ssize_t size = self.heap.size()
        cdef Py_ssize_t child
        while True:
            child = position * 2 + 1
            if child >= size:
                break
            if child + 1 < size:
                child += self.precedes(&self.heap[child + 1], &self.heap[child])
            if not self.precedes(&self.heap[child], &entry):
                break
            self.heap[position] = self.heap[child]
            position = child
        self.heap[position] = entry
        return position
