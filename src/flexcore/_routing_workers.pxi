# Workers: their room and clocks per channel.

cdef enum:
    LEVELS = 1_000_000      # utilization is compared in millionths


cdef inline Room no_room() noexcept:
    """A channel nobody spoke of: open, without capacity, never used."""
    return Room(0, 0, 0, False, True, 0, 0, 0, 0, 0, 0)


@cython.final
cdef class Workers:

    def __cinit__(self):
        self.slots = Slots()
        self.attributes = []

    cdef int32_t add(self, dict attributes, Worker row) except -1:
        self.orders.insert(row.order)
        cdef int32_t worker = self.slots.acquire()
        if worker == <int32_t> self.rows.size():
            self.rows.reserve(with_spare(self.rows.size(), self.rows.capacity()))
            self.rows.push_back(row)
            self.rooms.reserve(self.rows.capacity() * self.channels)
            self.attributes.append(None)
            self.rooms.resize(self.rows.size() * self.channels, no_room())
        self.rows[worker] = row
        self.attributes[worker] = attributes
        self.reclock(worker)
        return worker

    cdef int remove(self, int32_t worker) except -1:
        cdef int32_t channel
        cdef uint32_t stamp
        self.orders.erase(self.rows[worker].order)
        self.attributes[worker] = None
        for channel in range(self.channels):
            # Entries with an earlier stamp are still about.
            stamp = self.room(worker, channel).stamp
            self.room(worker, channel)[0] = no_room()
            self.room(worker, channel).stamp = stamp
        self.slots.retire(worker)
        self.gone.push_back(worker)
        return 0

    cdef int widen(self, int32_t channels) except -1:
        """Make place for more channels, at least for twice as many as there are."""
        cdef vector[Room] wider
        cdef Py_ssize_t worker, channel
        if channels <= self.channels:
            return 0
        channels = max(channels, 2 * self.channels)
        wider.resize(self.rows.size() * channels, no_room())
        for worker in range(<Py_ssize_t> self.rows.size()):
            for channel in range(self.channels):
                wider[worker * channels + channel] = self.room(worker, channel)[0]
        self.rooms.swap(wider)
        self.channels = channels
        self.optimized.resize(channels)
        for worker in range(<Py_ssize_t> self.rows.size()):
            self.reclock(<int32_t> worker)
        return 0

    cdef inline Room *room(self, int32_t worker, int32_t channel) noexcept:
        return &self.rooms[<Py_ssize_t> worker * self.channels + channel]

    cdef inline bint free(self, int32_t worker, int32_t channel) noexcept:
        cdef Room *room = self.room(worker, channel)
        return (
            room.occupied < room.capacity
            and room.open
            and self.rows[worker].available
        )

    cdef int32_t level(self, int32_t worker, int32_t channel) noexcept:
        """Return the utilization that counts in lanes of the channel."""
        cdef int64_t capacity = 0
        cdef int64_t occupied = 0
        cdef int32_t number
        cdef Room *room
        if self.optimized[channel]:
            room = self.room(worker, channel)
            capacity, occupied = room.capacity, room.occupied
        else:
            for number in range(self.channels):
                room = self.room(worker, number)
                capacity += room.capacity
                occupied += room.occupied
        if capacity == 0:
            return INT32_MAX
        return <int32_t> min(occupied * LEVELS // capacity, <int64_t> INT32_MAX)

    cdef int32_t live(self, int32_t worker, int32_t channel, int32_t field) noexcept:
        cdef Room *room = self.room(worker, channel)
        if field == CONFIGURED_CAPACITY:
            return room.capacity
        if field == ASSIGNED_TASKS:
            return room.assigned
        if room.occupied >= room.capacity:
            return 0
        return <int32_t> (
            <int64_t> (room.capacity - room.occupied) * 100 // room.capacity
        )

    cdef bint note_offer(self, int32_t worker, int32_t channel, int64_t now) noexcept:
        """Move the clocks; say whether one went back."""
        cdef Room *rooms = self.room(worker, 0)
        cdef int32_t number
        rooms[channel].offered = now
        if self.optimized[channel]:
            return self.reclock(worker)
        for number in range(self.channels):
            if now < rooms[number].idle_clock:
                return self.reclock(worker)
            if not self.optimized[number]:
                rooms[number].offered_clock = rooms[number].idle_clock = now
        return False

    cdef bint note_release(self, int32_t worker, int32_t channel, int64_t now) noexcept:
        """Move the clocks; say whether one went back."""
        cdef Room *rooms = self.room(worker, 0)
        cdef int32_t number
        rooms[channel].released = now
        if self.optimized[channel]:
            return self.reclock(worker)
        for number in range(self.channels):
            if now < rooms[number].idle_clock:
                return self.reclock(worker)
            if not self.optimized[number]:
                rooms[number].idle_clock = now
        return False

    cdef bint reclock(self, int32_t worker) noexcept:
        """Find the clocks from what is known; say whether one went back."""
        cdef int64_t since = max(self.rows[worker].available_since, <int64_t> 0)
        cdef int64_t offered = 0
        cdef int64_t idle = since
        cdef Room *room
        cdef int32_t channel
        cdef bint back = False
        cdef Room before
        for channel in range(self.channels):
            room = self.room(worker, channel)
            offered = max(offered, room.offered)
            idle = max(idle, max(room.offered, room.released))
        for channel in range(self.channels):
            room = self.room(worker, channel)
            before = room[0]
            room.offered_clock, room.idle_clock = offered, idle
            if self.optimized[channel]:
                room.offered_clock = room.offered
                room.idle_clock = max(since, max(room.offered, room.released))
            back |= room.offered_clock < before.offered_clock
            back |= room.idle_clock < before.idle_clock
        return back
