# Roster: members of queues, and who is fresh or lined up in their lanes.

cdef enum:
    GONE_MAX = 64           # slots that may wait for a sweep, and an eighth of all


@cython.final
cdef class Roster:

    def __cinit__(self, Lanes lanes not None):
        self.lanes = lanes
        self.workers = lanes.workers
        self.profiles = lanes.profiles

    # Lining up

    cdef int freshen(self, int32_t worker) except -1:
        """Note that the worker may be free on a channel they are not lined up on."""
        if not self.workers.rows[worker].fresh:
            self.fresh.push_back(worker)
            self.workers.rows[worker].fresh = True
        return 0

    cdef int line_up(self, int32_t worker) except -1:
        """Enter a worker in the lanes of every channel they are free on."""
        cdef Room *room
        cdef int32_t channel
        for channel in range(self.workers.channels):
            room = self.workers.room(worker, channel)
            if room.lined or not self.workers.free(worker, channel):
                continue
            room.lined = True
            room.stamp += 1
            if self.utilization:
                room.level = self.workers.level(worker, channel)
            self.line_up_on(worker, channel)
        return 0

    cdef int line_up_on(self, int32_t worker, int32_t channel) except -1:
        cdef Worker *row = &self.workers.rows[worker]
        cdef Room *room = self.workers.room(worker, channel)
        cdef IdleEntry entry = IdleEntry(0, worker, room.stamp)
        cdef int32_t place, number
        cdef Front *front
        for place in range(row.queue_count):
            number = self.lanes.first_at(row.queues[place], channel)
            while number != -1:
                front = &self.lanes.fronts[number]
                if front.order == -1:
                    self.lanes.enter(number, worker)
                else:
                    front.free += 1
                    entry.clock = (
                        room.offered_clock if front.order == OFFERED else room.idle_clock
                    )
                    self.lanes.push(
                        self.lanes.lanes[number],
                        &self.lanes.turns[number],
                        entry,
                        front.free,
                    )
                number = front.next
        return 0

    cdef int unline(self, int32_t worker, int32_t channel) except -1:
        """Take a worker who is lined up out of the lanes of a channel."""
        cdef Worker *row = &self.workers.rows[worker]
        cdef int32_t place, number
        cdef Front *front
        for place in range(row.queue_count):
            number = self.lanes.first_at(row.queues[place], channel)
            while number != -1:
                front = &self.lanes.fronts[number]
                if front.order == -1 or front.free == 1:
                    self.lanes.leave(number, worker)
                else:
                    front.free -= 1
                number = front.next
        self.workers.room(worker, channel).lined = False
        return 0

    cdef int unline_all(self, int32_t worker) except -1:
        cdef int32_t channel
        for channel in range(self.workers.channels):
            if self.workers.room(worker, channel).lined:
                self.unline(worker, channel)
        return 0

    # Following what is told of a worker

    cdef int follow(self, int32_t worker, int32_t channel) except -1:
        """Follow a change of the worker's room on a channel."""
        if self.utilization or not self.live_specs.empty():
            self.loosen(worker)
        cdef bint lined = self.workers.room(worker, channel).lined
        if lined != self.workers.free(worker, channel):
            if lined:
                self.unline(worker, channel)
            else:
                self.freshen(worker)
        return 0

    cdef int follow_all(self, int32_t worker) except -1:
        cdef int32_t channel
        for channel in range(self.workers.channels):
            self.follow(worker, channel)
        return 0

    cdef int loosen(self, int32_t worker) except -1:
        """Take a worker out of all lanes if live values put them elsewhere in one."""
        cdef int32_t channel, spec
        cdef Room *room
        cdef bint moved = False
        if self.utilization:
            for channel in range(self.workers.channels):
                room = self.workers.room(worker, channel)
                if room.lined and room.level != self.workers.level(worker, channel):
                    moved = True
        for spec in self.live_specs:
            moved |= self.refacet(worker, <Spec> self.lanes.specs[spec])
        if moved:
            self.turn_back(worker)
        return 0

    cdef int turn_back(self, int32_t worker) except -1:
        """Begin again in all lanes: what the entries say may be too late."""
        cdef int32_t channel
        self.unline_all(worker)
        for channel in range(self.workers.channels):
            if self.workers.free(worker, channel):
                return self.freshen(worker)
        return 0

    cdef bint refacet(self, int32_t worker, Spec spec) except -1:
        """Give a worker the facet the facts say; say whether it is another one."""
        cdef int32_t facet = spec.read(worker)
        if facet == spec.facet_of[worker]:
            return False
        self.unline_all(worker)
        spec.leave(worker)
        spec.enter(worker, facet)
        return True

    # Members

    cdef int count(self, int32_t worker, int32_t queue, int32_t step) except -1:
        """Count a worker in a queue once more or less."""
        cdef Worker *row = &self.workers.rows[worker]
        cdef int64_t key = (<int64_t> queue << 32) | row.activity
        self.lanes.queues[queue].members += step
        if row.available:
            self.lanes.queues[queue].available += step
        self.in_activity[key] += step
        if self.in_activity[key] == 0:
            self.in_activity.erase(key)
        return 0

    cdef int count_all(self, int32_t worker, int32_t step) except -1:
        cdef int32_t queue
        cdef Profile *profile = self.profiles.rows[self.workers.rows[worker].profile]
        for queue in profile.queues:
            self.count(worker, queue, step)
        return 0

    cdef void aim(self, int32_t worker) noexcept:
        """Point a worker's row at the queues of their profile."""
        cdef Worker *row = &self.workers.rows[worker]
        row.queues = self.profiles.rows[row.profile].queues.data()
        row.queue_count = <int32_t> self.profiles.rows[row.profile].queues.size()

    cdef int aim_all(self) except -1:
        """The same for all, after a program of a queue came or went."""
        cdef int32_t worker
        for worker in range(<int32_t> self.workers.rows.size()):
            if self.workers.slots.used(worker):
                self.aim(worker)
        return 0

    cdef int admit(self, int32_t worker) except -1:
        """Take in a worker whose row is there; they have no room so far."""
        self.aim(worker)
        self.count_all(worker, 1)
        for spec in self.lanes.specs:
            if spec is not None:
                (<Spec> spec).enter(worker, (<Spec> spec).read(worker))
        return 0

    cdef int dismiss(self, int32_t worker) except -1:
        """Forget a worker."""
        self.unline_all(worker)
        self.count_all(worker, -1)
        if self.workers.rows[worker].fresh:
            erase_from(self.fresh, worker)
        for spec in self.lanes.specs:
            if spec is not None:
                (<Spec> spec).leave(worker)
        self.profiles.leave(self.workers.rows[worker].profile)
        self.workers.remove(worker)
        if self.workers.gone.size() > GONE_MAX + self.workers.rows.size() // 8:
            self.lanes.sweep()
        return 0

    cdef int enroll(self, int32_t queue, bint joins) except -1:
        """Take all who belong to a queue into it and its lanes, or out of them."""
        cdef int32_t worker, channel, number
        for worker in range(<int32_t> self.workers.rows.size()):
            if not self.workers.slots.used(worker):
                continue
            if not self.lanes.belongs(worker, queue):
                continue
            if not joins:
                self.turn_back(worker)
            self.count(worker, queue, 1 if joins else -1)
            for channel in range(self.workers.channels):
                if self.workers.room(worker, channel).lined:
                    number = self.lanes.first_at(queue, channel)
                    while number != -1:
                        self.lanes.enter(number, worker)
                        number = self.lanes.fronts[number].next
        return 0

    cdef int relay(self, int32_t queue) except -1:
        """Begin the lines of a queue again, in its new order."""
        cdef int32_t worker, channel, number
        for worker in range(<int32_t> self.workers.rows.size()):
            if self.workers.slots.used(worker) and self.lanes.belongs(worker, queue):
                self.turn_back(worker)
        for channel in range(self.workers.channels):
            number = self.lanes.first_at(queue, channel)
            while number != -1:
                self.lanes.relay(number)
                number = self.lanes.fronts[number].next
        return 0

    cdef int shift(self, int32_t worker, int32_t profile) except -1:
        """Give a worker the profile that already counts them."""
        cdef int32_t old = self.workers.rows[worker].profile
        if self.profiles.rows[profile].queues == self.profiles.rows[old].queues:
            self.workers.rows[worker].profile = profile
            self.aim(worker)
        else:
            self.unline_all(worker)
            self.count_all(worker, -1)
            self.workers.rows[worker].profile = profile
            self.aim(worker)
            self.count_all(worker, 1)
            self.turn_back(worker)
        return self.profiles.leave(old)

    cdef int reprofile(self, int32_t path) except -1:
        """Read a path that came, or forget one that went, for all workers."""
        cdef int32_t worker, old, new
        for worker in range(<int32_t> self.workers.rows.size()):
            if self.workers.slots.used(worker):
                old = self.workers.rows[worker].profile
                new = self.profiles.move(old, self.workers.attributes[worker], path)
                self.shift(worker, new)
        return 0

    cdef int describe(self, int32_t worker, dict attributes) except -1:
        """Follow new attributes."""
        cdef int32_t old = self.workers.rows[worker].profile
        cdef int32_t new = self.profiles.move(old, attributes, -1)
        cdef bint moved = False
        self.workers.attributes[worker] = attributes
        self.shift(worker, new)
        if new != old:
            for spec in self.lanes.specs:
                if spec is not None:
                    moved |= self.refacet(worker, <Spec> spec)
            if moved:
                self.turn_back(worker)
        return 0

    cdef int switch(
        self, int32_t worker, int32_t activity, bint available, int64_t since
    ) except -1:
        """Follow a new activity."""
        cdef Worker *row = &self.workers.rows[worker]
        cdef bint back = since < row.available_since
        self.count_all(worker, -1)
        row.activity, row.available, row.available_since = activity, available, since
        self.count_all(worker, 1)
        if self.workers.reclock(worker) or back:
            self.turn_back(worker)
        return self.follow_all(worker)

    cdef int join_spec(self, Spec spec) except -1:
        """Give every worker a facet of a new spec."""
        cdef int32_t worker
        for worker in range(<int32_t> self.workers.rows.size()):
            if self.workers.slots.used(worker):
                spec.enter(worker, spec.read(worker))
        return 0
