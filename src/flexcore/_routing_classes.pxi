# Classes: waiting tasks that the same workers may take, and the first of a lane.

cdef enum:
    CLASSES_MAX = 10_000    # looked at in a lane for one worker; see Router.overruns
    HEAP_KEPT = 64          # entries a class that is gone keeps memory for
    GUARDED = -2            # instead of a kind: for somebody known, or not for some


cdef inline bint front_precedes(const Front &one, const Front &other) noexcept:
    """The order of tasks over all queues; bits and no branches, as in `precedes`."""
    return (one.tier < other.tier) | (
        (one.tier == other.tier)
        & (
            (one.rank < other.rank)
            | (
                (one.rank == other.rank)
                & (
                    (one.start < other.start)
                    | ((one.start == other.start) & (one.sequence < other.sequence))
                )
            )
        )
    )


@cython.final
cdef class Classes:

    def __cinit__(self, Lanes lanes not None):
        self.lanes = lanes

    def __dealloc__(self):
        cdef TaskClass *tasks
        for tasks in self.rows:
            del tasks

    cdef int32_t class_for(
        self, int32_t number, int32_t kind, int64_t known, vector[int64_t] &excluded
    ) except -1:
        """Return a class of a lane, which takes over one count of the kind."""
        cdef Lane *lane = self.lanes.lanes[number]
        cdef bint plain = kind == -1 and known == ANYBODY and excluded.empty()
        cdef vector[int64_t] key
        if plain and lane.plain != -1:
            return lane.plain
        if known == ANYBODY and excluded.empty() and not plain:
            there = lane.class_of.find(kind)
            if there != lane.class_of.end():
                (<Spec> self.lanes.specs[lane.spec]).drop_kind(kind)
                return dereference(there).second
        elif not plain:
            key.push_back(kind)
            key.push_back(known)
            key.insert(key.end(), excluded.begin(), excluded.end())
            found = lane.class_at.find(key)
            if found != lane.class_at.end():
                if kind != -1:
                    (<Spec> self.lanes.specs[lane.spec]).drop_kind(kind)
                return dereference(found).second
        cdef int32_t name = self.new_class()
        cdef TaskClass *tasks = self.rows[name]
        tasks.lane, tasks.kind, tasks.known = number, kind, known
        tasks.excluded = excluded
        self.kind_of[name] = kind
        if known != ANYBODY or not excluded.empty():
            self.kind_of[name] = GUARDED
        if plain:
            lane.plain = name
        elif self.kind_of[name] == GUARDED:
            lane.class_at[key] = name
        else:
            lane.class_of[kind] = name
        return name

    cdef int32_t new_class(self) except -1:
        cdef int32_t name
        if not self.vacant.empty():
            name = self.vacant.back()
            self.vacant.pop_back()
            return name
        name = <int32_t> self.rows.size()
        self.rows.push_back(new TaskClass())
        self.kind_of.push_back(-1)
        self.positions.push_back(-1)
        return name

    cdef int retire(self, int32_t number) except -1:
        """Forget a class without tasks."""
        cdef TaskClass *tasks = self.rows[number]
        cdef Lane *lane = self.lanes.lanes[tasks.lane]
        cdef vector[int64_t] key
        if number == lane.plain:
            lane.plain = -1
        elif self.kind_of[number] != GUARDED:
            lane.class_of.erase(tasks.kind)
        else:
            key.push_back(tasks.kind)
            key.push_back(tasks.known)
            key.insert(key.end(), tasks.excluded.begin(), tasks.excluded.end())
            lane.class_at.erase(key)
        if tasks.kind != -1:
            (<Spec> self.lanes.specs[lane.spec]).drop_kind(tasks.kind)
        tasks.lane = -1
        if tasks.heap.capacity() > HEAP_KEPT:
            vector[TaskEntry]().swap(tasks.heap)
        self.vacant.push_back(number)
        return 0

    cdef inline bint accepts(self, Lane *lane, TaskEntry *head, int32_t worker) except -1:
        """Say whether a member with room suits the tasks of a class."""
        if head.tag == -1:
            return True
        return self.accepts_class(lane, head.slot, worker)

    cdef bint accepts_class(self, Lane *lane, int32_t number, int32_t worker) except -1:
        cdef TaskClass *tasks = self.rows[number]
        cdef Spec spec
        if self.kind_of[number] == GUARDED and not self.admits(tasks, worker):
            return False
        if tasks.kind == -1:
            return True
        spec = <Spec> self.lanes.specs[lane.spec]
        return spec.suits(spec.facet_of[worker], tasks.kind)

    cdef bint admits(self, TaskClass *tasks, int32_t worker) noexcept:
        """Say whether the tasks are for a worker and do not exclude them."""
        cdef int64_t handle = self.lanes.workers.slots.handle(worker)
        if tasks.known != ANYBODY and tasks.known != handle:
            return False
        return not is_among(tasks.excluded, handle)

    # First tasks

    cdef void front_of(self, int32_t number, Front *front) noexcept:
        """Say what the first task of a class is like, if it is to be offered."""
        cdef TaskClass *tasks = self.rows[number]
        cdef TaskEntry *head = &tasks.heap[0]
        cdef Queue *queue = &self.lanes.queues[self.lanes.lanes[tasks.lane].queue]
        if queue.fan_out == 0:
            front.rank = front.start = front.sequence = INT64_MAX
            front.tier = NEVER
            return
        front.rank, front.start, front.sequence = head.rank, head.start, head.sequence
        front.tier = queue.tier

    cdef void refront(self, int32_t number) noexcept:
        """Follow a change of the first task of a lane."""
        cdef Lane *lane = self.lanes.lanes[number]
        cdef Front *front = &self.lanes.fronts[number]
        front.open = -1
        if lane.heads.empty():
            front.rank = front.start = front.sequence = INT64_MAX
            front.tier = NEVER
        else:
            self.front_of(lane.heads[0].slot, front)
            if lane.heads.size() == 1 and lane.heads[0].slot == lane.plain:
                front.open = lane.plain
        self.lanes.note_choosy(number)

    cdef int head_changed(self, int32_t number) except -1:
        """Follow a change of the first task of a class."""
        cdef TaskClass *tasks = self.rows[number]
        cdef Lane *lane = self.lanes.lanes[tasks.lane]
        cdef TaskEntry head
        if tasks.known == NOBODY:
            return 0
        if (
            tasks.listed
            and lane.heads.size() == 1
            and not tasks.heap.empty()
            and self.lanes.fronts[tasks.lane].tier != NEVER
        ):
            self.only_head_changed(lane, tasks)
            return 0
        if tasks.heap.empty():
            if tasks.listed:
                task_drop(lane.heads, self.positions, number)
        else:
            head = tasks.heap[0]
            head.slot, head.tag = number, self.kind_of[number]
            if not tasks.listed:
                task_push(lane.heads, self.positions, head)
            else:
                lane.heads[self.positions[number]] = head
                if lane.heads.size() > 1:
                    task_sink(lane.heads, self.positions, self.positions[number])
                    task_rise(lane.heads, self.positions, self.positions[number])
        tasks.listed = not tasks.heap.empty()
        self.refront(tasks.lane)
        return 0

    cdef inline void only_head_changed(self, Lane *lane, TaskClass *tasks) noexcept:
        """The same in a lane that has no other class."""
        cdef TaskEntry *head = lane.heads.data()
        cdef TaskEntry *first = tasks.heap.data()
        cdef Front *front = &self.lanes.fronts[tasks.lane]
        head.rank = front.rank = first.rank
        head.start = front.start = first.start
        head.sequence = front.sequence = first.sequence

    cdef int reheap(self, int32_t number) except -1:
        """Follow a change of all first tasks of a lane."""
        cdef Lane *lane = self.lanes.lanes[number]
        cdef int32_t position, name
        for position in range(<int32_t> lane.heads.size() - 1, -1, -1):
            name = lane.heads[position].slot
            lane.heads[position] = self.rows[name].heap[0]
            lane.heads[position].slot = name
            lane.heads[position].tag = self.kind_of[name]
            task_sink(lane.heads, self.positions, position)
        self.refront(number)
        return 0

    # The first task for a worker

    cdef int32_t first_for(
        self, int32_t worker, int32_t channel, Front *bound
    ) except -2:
        """Return the class whose first task is the first one for a worker with room.

        It is before `bound`, which becomes its head; -1 if there is none.
        """
        cdef Profile *profile = self.lanes.profiles.rows[
            self.lanes.workers.rows[worker].profile
        ]
        cdef int32_t queue, number, found
        cdef int32_t best = -1
        cdef int32_t first = -1
        cdef Front head = bound[0]
        cdef Front *front
        # The lane whose first task is the first is likely to have it: then little is
        # left to look at in the others.
        for queue in profile.queues:
            number = self.lanes.first_at(queue, channel)
            while number != -1:
                front = &self.lanes.fronts[number]
                if front.tier != NEVER and front_precedes(front[0], head):
                    first, head = number, front[0]
                number = front.next
        if first == -1:
            return -1
        best = self.first_of_lane(first, worker, bound)
        for queue in profile.queues:
            number = self.lanes.first_at(queue, channel)
            while number != -1:
                front = &self.lanes.fronts[number]
                if (
                    number != first
                    and front.tier != NEVER
                    and front_precedes(front[0], bound[0])
                ):
                    found = self.first_of_lane(number, worker, bound)
                    if found != -1:
                        best = found
                number = front.next
        return best

    cdef int32_t first_of_lane(
        self, int32_t number, int32_t worker, Front *bound
    ) except -2:
        """The same for one lane, whose first task is before `bound`.

        Goes down its heap of heads, no further than what suits the worker or is not
        before what was found, and through at most CLASSES_MAX others.
        """
        cdef Lane *lane = self.lanes.lanes[number]
        cdef TaskEntry *heads = lane.heads.data()
        cdef TaskEntry *head
        cdef int32_t size = <int32_t> lane.heads.size()
        cdef int32_t tier = self.lanes.fronts[number].tier
        cdef int32_t best = -1
        cdef int32_t facet = 0
        cdef int32_t seen = 0
        cdef int32_t place, child
        cdef Spec spec = None
        if lane.spec != -1:
            spec = <Spec> self.lanes.specs[lane.spec]
            if spec.bars(worker):
                return -1
            facet = spec.facet_of[worker]
        self.path.clear()
        self.path.push_back(0)
        while not self.path.empty() and seen < CLASSES_MAX:
            place = self.path.back()
            self.path.pop_back()
            head = heads + place
            if tier == bound.tier and not is_before_bound(head, bound):
                continue
            if (
                spec.suits(facet, head.tag)
                if head.tag >= 0
                else self.accepts(lane, head, worker)
            ):
                best = head.slot
                bound.rank, bound.start = head.rank, head.start
                bound.sequence, bound.tier = head.sequence, tier
                continue
            seen += 1
            # Only what is before the bound: of four children most are not.
            for child in range(
                min(place * ARITY + ARITY, size - 1), place * ARITY, -1
            ):
                if tier != bound.tier or is_before_bound(heads + child, bound):
                    prefetch(heads + child * ARITY + 1)
                    prefetch(heads + child * ARITY + 3)
                    self.path.push_back(child)
        self.overruns += seen == CLASSES_MAX
        return best


cdef inline bint is_before_bound(const TaskEntry *head, const Front *bound) noexcept:
    """Say whether a task is before another one of the same tier."""
    if head.rank != bound.rank:
        return head.rank < bound.rank
    if head.start != bound.start:
        return head.start < bound.start
    return head.sequence < bound.sequence


cdef bint is_among(const vector[int64_t] &handles, int64_t handle) noexcept:
    cdef const int64_t *first = handles.data()
    return binary_search(first, first + handles.size(), handle)
