# Lanes: where tasks of one queue, channel and spec wait, and the lines of the free.

cdef enum:
    NEVER = 0x7FFFFFFF      # the tier of a lane from which nothing is offered
    SPARE = 16              # entries and lines beyond twice the useful ones


cdef inline Front nothing_first(int32_t next) noexcept:
    """The front of a lane without tasks: no task is after it."""
    return Front(INT64_MAX, INT64_MAX, INT64_MAX, NEVER, next, -1, 0, -1, 0)


cdef inline int64_t line_key(int32_t facet, int32_t level) noexcept:
    return (<int64_t> facet << 32) | level


@cython.final
cdef class Lanes:

    def __cinit__(self, Workers workers not None, Profiles profiles not None):
        self.workers = workers
        self.profiles = profiles
        self.specs = []

    def __dealloc__(self):
        cdef Lane *lane
        for lane in self.lanes:
            del lane

    cdef inline bint belongs(self, int32_t worker, int32_t queue) noexcept:
        return is_in_queue(
            self.profiles.rows[self.workers.rows[worker].profile], queue
        )

    cdef inline int32_t first_at(self, int32_t queue, int32_t channel) noexcept:
        return self.lane_at[<Py_ssize_t> queue * self.workers.channels + channel]

    cdef int widen(self, int32_t channels) except -1:
        """Make place for more channels; workers.channels is the number before."""
        cdef int32_t before = self.workers.channels
        cdef vector[int32_t] wider
        cdef Py_ssize_t queue, channel
        self.workers.widen(channels)
        wider.resize(self.queues.size() * self.workers.channels, -1)
        for queue in range(<Py_ssize_t> self.queues.size()):
            for channel in range(before):
                wider[queue * self.workers.channels + channel] = (
                    self.lane_at[queue * before + channel]
                )
        self.lane_at.swap(wider)
        return 0

    cdef int32_t add_queue(self, int64_t number) except -1:
        cdef int32_t slot
        cdef Queue queue = Queue(number, -1, 0, 0, 0, 1, 0, OFFERED, False, True)
        if self.vacant_queues.empty():
            slot = <int32_t> self.queues.size()
            self.queues.push_back(queue)
            self.lane_at.resize(self.queues.size() * self.workers.channels, -1)
        else:
            slot = self.vacant_queues.back()
            self.vacant_queues.pop_back()
            self.queues[slot] = queue
        return slot

    # Lanes

    cdef int32_t find(self, int32_t queue, int32_t channel, int32_t spec) noexcept:
        cdef int32_t number = self.first_at(queue, channel)
        while number != -1 and self.lanes[number].spec != spec:
            number = self.fronts[number].next
        return number

    cdef int32_t open(self, int32_t queue, int32_t channel, int32_t spec) except -1:
        """Make a lane with all who are lined up there: a scan over the workers."""
        cdef Lane *lane = new Lane()
        cdef int32_t number, worker
        cdef Py_ssize_t place = <Py_ssize_t> queue * self.workers.channels + channel
        if self.vacant_lanes.empty():
            number = <int32_t> self.lanes.size()
            self.lanes.push_back(lane)
            self.fronts.push_back(nothing_first(-1))
            self.turns.resize(number + 1)
        else:
            number = self.vacant_lanes.back()
            self.vacant_lanes.pop_back()
            self.lanes[number] = lane
        lane.queue, lane.channel, lane.spec, lane.plain = queue, channel, spec, -1
        self.fronts[number] = nothing_first(self.lane_at[place])
        self.lane_at[place] = number
        self.note_choosy(number)
        self.relay(number)
        for worker in range(<int32_t> self.workers.rows.size()):
            if self.workers.room(worker, channel).lined and self.belongs(worker, queue):
                self.enter(number, worker)
        return number

    cdef int close(self, int32_t number) except -1:
        """Forget a lane in which nothing waits."""
        cdef Lane *lane = self.lanes[number]
        cdef Py_ssize_t place = (
            <Py_ssize_t> lane.queue * self.workers.channels + lane.channel
        )
        cdef int32_t before = self.lane_at[place]
        if before == number:
            self.lane_at[place] = self.fronts[number].next
        else:
            while self.fronts[before].next != number:
                before = self.fronts[before].next
            self.fronts[before].next = self.fronts[number].next
            self.note_choosy(before)
        self.fronts[number] = nothing_first(-1)
        turn_clear(&self.turns[number])
        self.turns[number].row.shrink_to_fit()
        self.turns[number].heap.shrink_to_fit()
        self.lanes[number] = NULL
        self.vacant_lanes.push_back(number)
        del lane
        return 0

    cdef void note_choosy(self, int32_t number) noexcept:
        """Follow a change of what a lane's front says."""
        cdef Front *front = &self.fronts[number]
        front.choosy = front.next != -1 or (
            front.tier != NEVER and (front.tier != 0 or front.open == -1)
        )

    cdef int relay(self, int32_t number) except -1:
        """Begin with empty lines, as the order of the queue wants them."""
        cdef Lane *lane = self.lanes[number]
        cdef Front *front = &self.fronts[number]
        lane.occupied = 0
        lane.order = self.queues[lane.queue].order
        lane.ring = lane.order == ROUND_ROBIN
        lane.lines.clear()
        lane.marks.clear()
        lane.line_at.clear()
        lane.line_by_facet.clear()
        turn_clear(&self.turns[number])
        lane.simple = lane.spec == -1 and lane.order in (OFFERED, IDLE)
        front.free = 0
        front.order = <int32_t> lane.order if lane.simple else -1
        return 0

    # Lines

    cdef inline Turns *turns_of(self, int32_t number, int32_t line) noexcept:
        if self.lanes[number].simple:
            return &self.turns[number]
        return &self.lanes[number].lines[line].turns

    cdef int32_t line_of(self, Lane *lane, int32_t worker) except -1:
        """Return the line of a worker, with the level they are lined up with."""
        cdef int32_t facet = 0
        cdef int32_t level = 0
        if lane.spec != -1:
            facet = (<Spec> self.specs[lane.spec]).facet_of[worker]
        if lane.order == UTILIZATION:
            level = self.workers.room(worker, lane.channel).level
            found = lane.line_at.find(line_key(facet, level))
            if found != lane.line_at.end():
                return dereference(found).second
        elif facet < <int32_t> lane.line_by_facet.size():
            if lane.line_by_facet[facet] != -1:
                return lane.line_by_facet[facet]
        return self.add_line(lane, facet, level)

    cdef int name_line(self, Lane *lane, Mark mark, int32_t number) except -1:
        """Let a line be found; number -1 lets it be forgotten."""
        if lane.order == UTILIZATION:
            lane.line_at[line_key(mark.facet, mark.level)] = number
            if number == -1:
                lane.line_at.erase(line_key(mark.facet, mark.level))
            return 0
        if mark.facet >= <int32_t> lane.line_by_facet.size():
            lane.line_by_facet.resize(mark.facet + 1, -1)
        lane.line_by_facet[mark.facet] = number
        return 0

    cdef int32_t add_line(self, Lane *lane, int32_t facet, int32_t level) except -1:
        if <int32_t> lane.lines.size() > 2 * lane.occupied + SPARE:
            self.drop_empty_lines(lane)
        cdef int32_t number = <int32_t> lane.lines.size()
        lane.lines.resize(number + 1)
        lane.marks.push_back(Mark(facet, level, 0))
        self.name_line(lane, lane.marks[number], number)
        return number

    cdef int drop_empty_lines(self, Lane *lane) except -1:
        cdef Py_ssize_t number = 0
        cdef Py_ssize_t last
        cdef Mark mark
        while number < <Py_ssize_t> lane.lines.size():
            mark = lane.marks[number]
            if mark.free:
                number += 1
                continue
            self.name_line(lane, mark, -1)
            last = <Py_ssize_t> lane.lines.size() - 1
            if number < last:
                lane.lines[number] = move(lane.lines[last])
                mark = lane.marks[number] = lane.marks[last]
                self.name_line(lane, mark, <int32_t> number)
            lane.lines.pop_back()
            lane.marks.pop_back()
        return 0

    cdef int enter(self, int32_t number, int32_t worker) except -1:
        """Count a worker who is lined up on the channel of the lane, if not barred."""
        cdef Lane *lane = self.lanes[number]
        cdef int32_t line = 0
        if self.bars(lane, worker):
            return 0
        self.fronts[number].free += 1
        if not lane.simple:
            line = self.line_of(lane, worker)
            lane.occupied += lane.marks[line].free == 0
            lane.marks[line].free += 1
        return self.place(number, line, worker)

    cdef inline bint bars(self, Lane *lane, int32_t worker) noexcept:
        return lane.spec != -1 and (<Spec> self.specs[lane.spec]).bars(worker)

    cdef int place(self, int32_t number, int32_t line, int32_t worker) except -1:
        """Give a worker an entry in the line that counts them."""
        cdef Lane *lane = self.lanes[number]
        cdef Line *row
        cdef IdleEntry entry = IdleEntry(
            self.clock(lane, worker),
            worker,
            self.workers.room(worker, lane.channel).stamp,
        )
        if lane.simple:
            return self.push(
                lane, &self.turns[number], entry, self.fronts[number].free
            )
        row = &lane.lines[line]
        if not lane.ring:
            return self.push(lane, &row.turns, entry, lane.marks[line].free)
        row.ring[self.workers.rows[worker].order] = entry
        if row.ring.size() > 2 * <size_t> lane.marks[line].free + SPARE:
            self.compact_ring(lane, row)
        return 0

    cdef inline int push(
        self, Lane *lane, Turns *turns, const IdleEntry &entry, int32_t free
    ) except -1:
        """Add an entry to a line of so many who are free."""
        turn_push(turns, self.workers.rows.data(), entry)
        if turn_count(turns) > 2 * <size_t> free + SPARE:
            self.compact(lane, turns)
        return 0

    cdef int leave(self, int32_t number, int32_t worker) except -1:
        """Count a worker no longer; their entry goes when it comes up."""
        cdef Lane *lane = self.lanes[number]
        if self.bars(lane, worker):
            return 0
        self.fronts[number].free -= 1
        if lane.simple:
            if self.fronts[number].free == 0:
                turn_clear(&self.turns[number])
            return 0
        cdef int32_t line = self.line_of(lane, worker)
        lane.marks[line].free -= 1
        if lane.marks[line].free == 0:
            lane.occupied -= 1
            turn_clear(&lane.lines[line].turns)
            lane.lines[line].ring.clear()
        return 0

    cdef inline bint stands(self, Lane *lane, IdleEntry *entry) noexcept:
        """Say whether the entry is of a worker who has stood there since."""
        cdef Room *room = self.workers.room(entry.worker, lane.channel)
        return room.lined and room.stamp == entry.stamp

    cdef inline int64_t clock(self, Lane *lane, int32_t worker) noexcept:
        cdef Room *room = self.workers.room(worker, lane.channel)
        return room.offered_clock if lane.order == OFFERED else room.idle_clock

    cdef IdleEntry *settle(self, Lane *lane, Turns *turns) except? NULL:
        """Return the entry of the best in a line, NULL if nobody is in it."""
        cdef const Worker *rows = self.workers.rows.data()
        cdef IdleEntry *top = turn_top(turns, rows)
        cdef int64_t clock
        cdef bint heaped
        while top != NULL:
            heaped = top == turns.heap.data()
            # The room of each who may be next is a miss of its own.
            if turns.first + AHEAD < turns.row.size():
                prefetch(
                    self.workers.room(
                        turns.row[turns.first + AHEAD].worker, lane.channel
                    )
                )
            if self.stands(lane, top):
                clock = self.clock(lane, top.worker)
                if top.clock == clock:
                    return top
                turn_push(turns, rows, IdleEntry(clock, top.worker, top.stamp))
            turn_drop(turns, rows, heaped)
            top = turn_top(turns, rows)
        return NULL

    cdef void pop(self, Turns *turns) noexcept:
        """Drop the entry that settle returned."""
        cdef const Worker *rows = self.workers.rows.data()
        turn_drop(turns, rows, turn_top(turns, rows) == turns.heap.data())

    cdef int compact(self, Lane *lane, Turns *turns) except -1:
        """Drop the entries that count no more."""
        cdef const Worker *rows = self.workers.rows.data()
        cdef Py_ssize_t position
        turn_trim(turns)
        self.keep_standing(lane, turns.row)
        self.keep_standing(lane, turns.heap)
        for position in range(<Py_ssize_t> turns.heap.size() // ARITY, -1, -1):
            if position < <Py_ssize_t> turns.heap.size():
                turn_sink(turns.heap, rows, position)
        return 0

    cdef int keep_standing(self, Lane *lane, vector[IdleEntry] &entries) except -1:
        cdef size_t position
        cdef size_t kept = 0
        for position in range(entries.size()):
            if self.stands(lane, &entries[position]):
                entries[kept] = entries[position]
                kept += 1
        entries.resize(kept)
        return 0

    cdef int compact_ring(self, Lane *lane, Line *line) except -1:
        place = line.ring.begin()
        while place != line.ring.end():
            if self.stands(lane, &dereference(place).second):
                preincrement(place)
            else:
                place = line.ring.erase(place)
        return 0

    cdef int sweep(self) except -1:
        """Drop what refers to workers who are gone; their slots are free again."""
        cdef Lane *lane
        cdef Py_ssize_t number, line
        cdef int32_t worker
        for number in range(<Py_ssize_t> self.lanes.size()):
            lane = self.lanes[number]
            if lane != NULL:
                self.compact(lane, &self.turns[number])
                for line in range(<Py_ssize_t> lane.lines.size()):
                    self.compact(lane, &lane.lines[line].turns)
                    self.compact_ring(lane, &lane.lines[line])
        for worker in self.workers.gone:
            self.workers.slots.recycle(worker)
        self.workers.gone.clear()
        return 0
