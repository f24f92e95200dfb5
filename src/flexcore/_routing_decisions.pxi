# Decisions: which task is next, who is best for it, and the offer that follows.

cdef enum:
    FRESH_MAX = 4           # workers a match looks at one by one; more are lined up


cdef inline bint is_better(const Pick &one, const Pick &other) noexcept:
    """The order of candidates. It is total because orders of workers differ."""
    if one.rank != other.rank:
        return one.rank < other.rank
    if one.level != other.level:
        return one.level < other.level
    if one.clock != other.clock:
        return one.clock < other.clock
    return one.order < other.order


@cython.final
cdef class Decisions:

    def __cinit__(self, Roster roster not None, Backlog backlog not None):
        self.workers = roster.workers
        self.lanes = roster.lanes
        self.roster = roster
        self.backlog = backlog
        self.classes = backlog.classes

    cdef Py_ssize_t decide(self, int64_t now, Py_ssize_t limit) except -1:
        """Make offers until no task has a candidate; return how many.

        At the limit, what else may be offered stays ready for the next call.
        """
        cdef int32_t number
        cdef bint limited = False
        self.offers.clear()
        if self.roster.fresh.empty() and self.backlog.ready.empty():
            return 0
        if limit and self.roster.fresh.size() == 1 and self.backlog.ready.empty():
            if self.decide_alone(now):
                return self.offers.size()
        self.backlog.collect()
        while True:
            if self.roster.fresh.size() > FRESH_MAX:
                self.line_up(True)
                self.backlog.collect()
            if 0 <= limit <= <Py_ssize_t> self.offers.size():
                limited = True
                break
            number = self.next_class()
            if number == -1:
                break
            if not self.serve(number, now):
                # For good: whoever an offer makes a candidate is fresh.
                self.backlog.drop_first()
        self.line_up(limited)
        return self.offers.size()

    cdef bint decide_alone(self, int64_t now) except -1:
        """Offer something to the only one who is fresh: the usual case with a backlog.

        True if nothing else is to be decided: they take nothing, or have no room left.
        """
        cdef Front bound = nothing_first(-1)
        cdef int32_t worker = self.roster.fresh[0]
        cdef int32_t number = self.best_for(worker, &bound)
        cdef int32_t channel
        if number == -1:
            self.line_up(False)
            return True
        if self.is_alone(number):
            self.serve_alone(number, now)
        else:
            self.serve(number, now)
        if self.roster.fresh.size() > 1 or not self.backlog.ready.empty():
            return False
        for channel in range(self.workers.channels):
            if self.workers.free(worker, channel):
                if not self.workers.room(worker, channel).lined:
                    return False
        self.workers.rows[worker].fresh = False
        self.roster.fresh.clear()
        return True

    cdef int line_up(self, bint marking) except -1:
        """Line up all who are fresh; let their classes be looked at if `marking`."""
        cdef int32_t worker
        cdef int32_t lane
        if self.roster.fresh.empty():
            return 0
        for worker in self.roster.fresh:
            self.workers.rows[worker].fresh = False
            self.roster.line_up(worker)
        self.roster.fresh.clear()
        if marking:
            for lane in range(<int32_t> self.lanes.fronts.size()):
                if self.lanes.fronts[lane].tier != NEVER:
                    self.backlog.mark_lane(lane)
        return 0

    # The next task

    cdef int32_t next_class(self) except -2:
        """Return the class whose first task is next, -1 if nothing is."""
        cdef Front bound
        cdef int32_t number = self.backlog.first_ready(&bound)
        cdef int32_t worker, found
        for worker in self.roster.fresh:
            found = self.best_for(worker, &bound)
            if found != -1:
                number = found
        return number

    cdef int32_t best_for(self, int32_t worker, Front *bound) except -2:
        """Return the class of the first task for a fresh worker.

        It is before `bound`, which becomes its head; -1 if there is none.
        """
        cdef int32_t channel, found
        cdef int32_t best = -1
        for channel in range(self.workers.channels):
            if (
                self.backlog.waiting_on[channel]
                and self.workers.free(worker, channel)
                and not self.workers.room(worker, channel).lined
            ):
                found = self.best_on(worker, channel, bound)
                if found != -1:
                    best = found
        return best

    cdef int32_t best_on(
        self, int32_t worker, int32_t channel, Front *bound
    ) except -2:
        """The same on a channel they are free on."""
        cdef const int32_t *queue = self.workers.rows[worker].queues
        cdef const int32_t *end = queue + self.workers.rows[worker].queue_count
        cdef const int32_t *lane_at = self.lanes.lane_at.data() + channel
        cdef const Front *fronts = self.lanes.fronts.data()
        cdef const Front *front
        cdef const Front *best = bound
        cdef int64_t rank = INT64_MAX if bound.tier else bound.rank
        cdef int64_t start = INT64_MAX if bound.tier else bound.start
        cdef Py_ssize_t channels = self.workers.channels
        cdef int32_t choosy = False
        cdef int32_t number
        cdef bint earlier
        while queue < end:
            number = lane_at[queue[0] * channels]
            queue += 1
            if number == -1:
                continue
            front = &fronts[number]
            choosy |= front.choosy
            # All are of tier 0, or somebody is choosy. Bits, as in `precedes`.
            if front.start == start:
                earlier = front_precedes(front[0], best[0])
            else:
                earlier = (front.rank < rank) | (
                    (front.rank == rank) & (front.start < start)
                )
            best = front if unforeseen(earlier) else best
            rank = front.rank if unforeseen(earlier) else rank
            start = front.start if unforeseen(earlier) else start
        if choosy:
            return self.classes.first_for(worker, channel, bound)
        if best == bound:
            return -1
        bound[0] = best[0]
        return best.open

    # The offer

    cdef int serve(self, int32_t number, int64_t now) except -1:
        """Offer the first task of a class; return 0 if there is nobody to offer to."""
        cdef TaskClass *tasks = self.classes.rows[number]
        cdef int32_t lane_number = tasks.lane
        cdef Lane *lane = self.lanes.lanes[lane_number]
        cdef Queue *queue = &self.lanes.queues[lane.queue]
        cdef Py_ssize_t fan_out = queue.fan_out
        cdef int32_t candidates = self.choose(number, fan_out + 1)
        cdef int32_t task = tasks.heap[0].slot
        cdef Py_ssize_t place
        cdef Offer offer
        if candidates:
            offer.task = self.backlog.slots.handle(task)
            offer.candidates = candidates
            offer.runner_up = 0
            if <Py_ssize_t> self.picks.size() > fan_out:
                offer.runner_up = self.workers.slots.handle(self.picks[fan_out].worker)
                self.picks.pop_back()
            for place in range(<Py_ssize_t> self.picks.size()):
                offer.worker_slot = self.picks[place].worker
                offer.worker = self.workers.slots.handle(offer.worker_slot)
                self.offers.push_back(offer)
            if queue.order == ROUND_ROBIN:
                queue.cursor = self.picks.back().order
            self.backlog.remove_from(number, 0)
            for place in range(<Py_ssize_t> self.picks.size()):
                self.occupy(self.picks[place].worker, lane.channel, now)
        self.restore(lane_number)
        return candidates

    cdef inline bint is_alone(self, int32_t number) noexcept:
        """Say whether only the one who is fresh can be offered the tasks of a class."""
        cdef Lane *lane = self.lanes.lanes[self.classes.rows[number].lane]
        return (
            lane.plain == number
            and self.lanes.fronts[self.classes.rows[number].lane].free == 0
            and not lane.ring
            and not self.classes.rows[number].ready
        )

    cdef int serve_alone(self, int32_t number, int64_t now) except -1:
        """Offer the first task of a class to the one who is fresh: the usual case."""
        cdef TaskClass *tasks = self.classes.rows[number]
        cdef int32_t task = tasks.heap[0].slot
        cdef int64_t handle = (<int64_t> tasks.heap[0].tag << 32) | task
        cdef int32_t worker = self.roster.fresh[0]
        cdef int32_t channel = self.lanes.lanes[tasks.lane].channel
        prefetch(&tasks.heap.back())
        self.offers.push_back(
            Offer(
                handle, self.workers.slots.handle(worker), 0, 1, worker
            )
        )
        self.backlog.remove_from(number, 0)
        return self.occupy(worker, channel, now)

    cdef int occupy(self, int32_t worker, int32_t channel, int64_t now) except -1:
        """Let a worker hold one more, offered now."""
        self.workers.room(worker, channel).occupied += 1
        if self.workers.note_offer(worker, channel, now):
            self.roster.turn_back(worker)
        return self.roster.follow(worker, channel)

    cdef int restore(self, int32_t number) except -1:
        """Give an entry again to those who still stand in line."""
        cdef int32_t worker
        for worker in self.aside:
            if self.workers.room(worker, self.lanes.lanes[number].channel).lined:
                self.lanes.place(number, self.line_of(number, worker), worker)
        self.aside.clear()
        return 0

    cdef int32_t line_of(self, int32_t number, int32_t worker) except -1:
        cdef Lane *lane = self.lanes.lanes[number]
        return 0 if lane.simple else self.lanes.line_of(lane, worker)

    # Candidates

    cdef bint candidate(self, int32_t number, int32_t worker) except -1:
        cdef Lane *lane = self.lanes.lanes[self.classes.rows[number].lane]
        return (
            self.workers.free(worker, lane.channel)
            and self.lanes.belongs(worker, lane.queue)
            and self.classes.accepts_class(lane, number, worker)
        )

    cdef int32_t count(self, int32_t number) except -1:
        """Count the candidates; those who are fresh go to `loose`."""
        cdef TaskClass *tasks = self.classes.rows[number]
        cdef Lane *lane = self.lanes.lanes[tasks.lane]
        cdef int32_t worker
        self.loose.clear()
        self.suited.clear()
        if tasks.known != ANYBODY:
            if not self.workers.slots.live(tasks.known):
                return 0
            return self.candidate(number, <int32_t> (tasks.known & 0xFFFFFFFF))
        for worker in self.roster.fresh:
            if not self.workers.room(
                worker, lane.channel
            ).lined and self.candidate(number, worker):
                self.loose.push_back(worker)
        return self.count_lined(tasks) + <int32_t> self.loose.size()

    cdef int32_t count_lined(self, TaskClass *tasks) except -1:
        cdef Lane *lane = self.lanes.lanes[tasks.lane]
        cdef int32_t total = self.lanes.fronts[tasks.lane].free
        cdef Py_ssize_t number
        cdef int32_t worker
        cdef int64_t handle
        if total == 0:
            return 0
        if not lane.simple:
            total = self.count_suited(tasks, lane)
        for handle in tasks.excluded:
            worker = <int32_t> (handle & 0xFFFFFFFF)
            if self.workers.slots.live(handle) and self.stands(tasks, lane, worker):
                total -= 1
        return total

    cdef int32_t count_suited(self, TaskClass *tasks, Lane *lane) except -1:
        """Count the workers in lines that suit; those lines go to `suited`."""
        cdef Spec spec = None
        cdef int32_t number
        cdef int32_t total = 0
        cdef Mark mark
        if tasks.kind != -1:
            spec = <Spec> self.lanes.specs[lane.spec]
        for number in range(<int32_t> lane.marks.size()):
            mark = lane.marks[number]
            if mark.free and (spec is None or spec.accepts(tasks.kind, mark.facet)):
                total += mark.free
                self.suited.push_back(number)
        return total

    cdef bint stands(self, TaskClass *tasks, Lane *lane, int32_t worker) except -1:
        """Say whether a worker in line would suit, were they not excluded."""
        cdef Spec spec
        if not self.workers.room(worker, lane.channel).lined:
            return False
        if not self.lanes.belongs(worker, lane.queue):
            return False
        if tasks.kind == -1:
            return True
        spec = <Spec> self.lanes.specs[lane.spec]
        return spec.suits(spec.facet_of[worker], tasks.kind)

    # The best of them

    cdef int32_t choose(self, int32_t number, Py_ssize_t wanted) except -1:
        """Pick the best candidates, best first; return how many there are in all.

        All but one of `wanted` are taken off their lines, to be restored.
        """
        cdef TaskClass *tasks = self.classes.rows[number]
        cdef int32_t candidates = self.count(number)
        cdef Lane *lane = self.lanes.lanes[tasks.lane]
        cdef Pick best
        self.picks.clear()
        if candidates == 1 and not self.loose.empty():
            self.describe(lane, self.loose[0], &best)
            self.picks.push_back(best)
            return 1
        if tasks.known != ANYBODY:
            wanted = 0
            if candidates:
                self.describe(lane, <int32_t> (tasks.known & 0xFFFFFFFF), &best)
                self.picks.push_back(best)
        wanted = min(wanted, <Py_ssize_t> candidates)
        while <Py_ssize_t> self.picks.size() < wanted:
            self.next_pick(tasks, &best)
            self.picks.push_back(best)
            if best.line != -1 and <Py_ssize_t> self.picks.size() < wanted:
                self.lanes.pop(self.lanes.turns_of(tasks.lane, best.line))
                self.aside.push_back(best.worker)
        return candidates

    cdef int next_pick(self, TaskClass *tasks, Pick *best) except -1:
        """Find the best candidate who is not picked; there is one."""
        cdef Lane *lane = self.lanes.lanes[tasks.lane]
        cdef Pick pick
        cdef Mark mark
        cdef Spec spec = None
        cdef int32_t number, worker
        best.worker = -1
        if lane.spec != -1:
            spec = <Spec> self.lanes.specs[lane.spec]
        if lane.simple and self.lanes.fronts[tasks.lane].free:
            best.rank = best.level = 0
            self.peek(tasks, 0, best)
        for number in self.suited:
            mark = lane.marks[number]
            pick.level = mark.level
            pick.rank = 0 if spec is None else spec.ranks[mark.facet]
            if best.worker != -1 and (
                pick.rank > best.rank
                or (pick.rank == best.rank and pick.level > best.level)
            ):
                continue
            if lane.ring:
                self.peek_ring(tasks, number, &pick)
            else:
                self.peek(tasks, number, &pick)
            if pick.worker != -1 and (best.worker == -1 or is_better(pick, best[0])):
                best[0] = pick
        for worker in self.loose:
            if not self.taken(worker):
                self.describe(lane, worker, &pick)
                if best.worker == -1 or is_better(pick, best[0]):
                    best[0] = pick
        return 0

    cdef int peek(self, TaskClass *tasks, int32_t number, Pick *pick) except -1:
        """Describe the first of a line who may be picked; worker -1 if nobody."""
        cdef Lane *lane = self.lanes.lanes[tasks.lane]
        cdef Turns *turns = self.lanes.turns_of(tasks.lane, number)
        cdef IdleEntry *top = self.lanes.settle(lane, turns)
        while top != NULL:
            if tasks.excluded.empty() or not is_among(
                tasks.excluded, self.workers.slots.handle(top.worker)
            ):
                pick.clock = top.clock
                pick.order = self.workers.rows[top.worker].order
                pick.worker, pick.line = top.worker, number
                return 0
            self.aside.push_back(top.worker)
            self.lanes.pop(turns)
            top = self.lanes.settle(lane, turns)
        pick.worker = -1
        return 0

    cdef int peek_ring(self, TaskClass *tasks, int32_t number, Pick *pick) except -1:
        """The same in a line that goes around from the queue's cursor."""
        cdef Lane *lane = self.lanes.lanes[tasks.lane]
        cdef Line *line = &lane.lines[number]
        cdef int64_t cursor = self.lanes.queues[lane.queue].cursor
        cdef Py_ssize_t left = line.ring.size()
        cdef int32_t worker
        pick.worker = pick.line = -1
        place = line.ring.upper_bound(cursor)
        while left:
            left -= 1
            if place == line.ring.end():
                place = line.ring.begin()
            worker = dereference(place).second.worker
            pick.order = dereference(place).first
            if not self.lanes.stands(lane, &dereference(place).second):
                place = line.ring.erase(place)
                continue
            if not self.taken(worker) and not is_among(
                tasks.excluded, self.workers.slots.handle(worker)
            ):
                pick.worker = worker
                pick.clock = pick.order <= cursor
                return 0
            preincrement(place)
        return 0

    cdef void describe(self, Lane *lane, int32_t worker, Pick *pick) noexcept:
        """Say where a worker who is not in line would stand."""
        cdef Queue *queue = &self.lanes.queues[lane.queue]
        cdef Spec spec
        pick.rank = pick.level = 0
        if lane.spec != -1:
            spec = <Spec> self.lanes.specs[lane.spec]
            pick.rank = spec.ranks[spec.facet_of[worker]]
        if queue.order == UTILIZATION:
            pick.level = self.workers.level(worker, lane.channel)
        pick.order = self.workers.rows[worker].order
        if queue.order == ROUND_ROBIN:
            pick.clock = pick.order <= queue.cursor
        else:
            pick.clock = self.lanes.clock(lane, worker)
        pick.worker = worker
        pick.line = -1

    cdef inline bint taken(self, int32_t worker) noexcept:
        cdef Py_ssize_t place
        for place in range(<Py_ssize_t> self.picks.size()):
            if self.picks[place].worker == worker:
                return True
        return False
