# Backlog: the waiting tasks, and the classes the next match has to look at.

cdef bint follows(const Ready &one, const Ready &other) noexcept:
    """Order classes by their first tasks; the standard library puts the last on top."""
    return front_precedes(other.head, one.head)


@cython.final
cdef class Backlog:

    def __cinit__(self, Classes classes not None):
        self.lanes = classes.lanes
        self.classes = classes
        self.slots = Slots()
        self.attributes = []

    # Tasks

    cdef int32_t add(
        self, int32_t number, int64_t priority, int64_t start, int64_t sequence
    ) except -1:
        """Add a task to a class; return its slot."""
        cdef TaskClass *tasks = self.classes.rows[number]
        cdef Lane *lane = self.lanes.lanes[tasks.lane]
        cdef Queue *queue = &self.lanes.queues[lane.queue]
        cdef int32_t task = self.slots.acquire()
        cdef TaskEntry entry = TaskEntry(
            ~priority, start, sequence, task, self.slots.generations[task]
        )
        if queue.lifo:
            entry = TaskEntry(0, ~start, ~sequence, task, entry.tag)
        if task >= <int32_t> self.class_of.size():
            self.class_of.push_back(-1)
            self.priorities.push_back(0)
        self.class_of[task] = number
        self.priorities[task] = priority
        task_push(tasks.heap, self.positions, entry)
        queue.waiting += 1
        self.waiting_on[lane.channel] += 1
        if lane.spec != -1:
            (<Spec> self.lanes.specs[lane.spec]).waiting += 1
        if self.positions[task] == 0:
            self.classes.head_changed(number)
        # With others there it is ready already, or nobody in line suits.
        if tasks.heap.size() == 1 and self.lanes.fronts[tasks.lane].free:
            self.mark(number)
        return task

    cdef int remove(self, int32_t task) except -1:
        """Take a task out; its class goes with the last one."""
        return self.remove_from(self.class_of[task], self.positions[task])

    cdef int remove_from(self, int32_t number, int32_t position) except -1:
        """The same where its place is known."""
        cdef TaskClass *tasks = self.classes.rows[number]
        cdef Lane *lane = self.lanes.lanes[tasks.lane]
        cdef bint first = position == 0
        cdef int32_t task = tasks.heap[position].slot
        self.slots.release_known(task, tasks.heap[position].tag)
        task_drop_at(tasks.heap, self.positions, position)
        if task < <int32_t> len(self.attributes):
            self.attributes[task] = None
        self.lanes.queues[lane.queue].waiting -= 1
        self.waiting_on[lane.channel] -= 1
        if lane.spec != -1:
            (<Spec> self.lanes.specs[lane.spec]).waiting -= 1
        if first:
            self.classes.head_changed(number)
        if tasks.heap.empty() and not tasks.ready and number != lane.plain:
            self.classes.retire(number)
        return 0

    cdef int change(self, int32_t task, int64_t priority) except -1:
        cdef int32_t number = self.class_of[task]
        cdef TaskClass *tasks = self.classes.rows[number]
        self.priorities[task] = priority
        if not self.lanes.queues[self.lanes.lanes[tasks.lane].queue].lifo:
            task_change(tasks.heap, self.positions, task, ~priority)
            self.classes.head_changed(number)
        return 0

    cdef int describe(self, int32_t task, dict attributes) except -1:
        """Keep the attributes of a task."""
        while len(self.attributes) <= task:
            self.attributes.append(None)
        self.attributes[task] = attributes
        return 0

    # Queues and lanes that change

    cdef int rekey(self, int32_t slot, bint lifo) except -1:
        """Follow a change of what is first in a queue, and whether at all."""
        cdef Queue *queue = &self.lanes.queues[slot]
        cdef int32_t number, position
        cdef TaskClass *tasks
        cdef TaskEntry *entry
        cdef bint inverted = queue.lifo != lifo
        queue.lifo = lifo
        queue.tier = 2 * (not queue.preferred) + lifo
        for number in range(<int32_t> self.classes.rows.size()):
            tasks = self.classes.rows[number]
            if tasks.lane == -1 or self.lanes.lanes[tasks.lane].queue != slot:
                continue
            for position in range(<int32_t> tasks.heap.size() if inverted else 0):
                entry = &tasks.heap[position]
                entry.rank = 0 if lifo else ~self.priorities[entry.slot]
                entry.start, entry.sequence = ~entry.start, ~entry.sequence
            for position in range(<int32_t> tasks.heap.size() - 1, -1, -1):
                task_sink(tasks.heap, self.positions, position)
        for number in range(<int32_t> self.lanes.lanes.size()):
            if (
                self.lanes.lanes[number] != NULL
                and self.lanes.lanes[number].queue == slot
            ):
                self.classes.reheap(number)
                self.mark_lane(number)
        return 0

    cdef int close_lane(self, int32_t number) except -1:
        """Forget a lane in which nothing waits, with its classes."""
        cdef Py_ssize_t position
        cdef int32_t name
        cdef vector[Ready] kept
        for position in range(<Py_ssize_t> self.ready.size()):
            if self.classes.rows[self.ready[position].number].lane != number:
                kept.push_back(self.ready[position])
        self.ready.swap(kept)
        for name in range(<int32_t> self.classes.rows.size()):
            if self.classes.rows[name].lane == number:
                self.classes.retire(name)
        return self.lanes.close(number)

    # Classes to be looked at

    cdef int mark(self, int32_t number) except -1:
        """Let the next match look at a class: somebody in line may suit."""
        cdef TaskClass *tasks = self.classes.rows[number]
        cdef Ready ready
        if tasks.ready or tasks.known == NOBODY:
            return 0
        self.classes.front_of(number, &ready.head)
        if ready.head.tier == NEVER:
            return 0
        ready.number = number
        tasks.ready = True
        self.ready.push_back(ready)
        return 0

    cdef int mark_lane(self, int32_t number) except -1:
        cdef Lane *lane = self.lanes.lanes[number]
        cdef TaskEntry head
        if self.lanes.fronts[number].free:
            for head in lane.heads:
                self.mark(head.slot)
        return 0

    cdef int mark_queue(self, int32_t queue) except -1:
        cdef int32_t channel, number
        for channel in range(self.lanes.workers.channels):
            number = self.lanes.first_at(queue, channel)
            while number != -1:
                self.mark_lane(number)
                number = self.lanes.fronts[number].next
        return 0

    cdef int collect(self) except -1:
        """Make a heap of the ready classes by what is first in them now."""
        cdef Py_ssize_t position, kept = 0
        cdef Ready ready
        if self.ready.empty():
            return 0
        for position in range(<Py_ssize_t> self.ready.size()):
            ready = self.ready[position]
            if self.is_over(ready.number):
                self.unmark(ready.number)
                continue
            self.classes.front_of(ready.number, &ready.head)
            self.ready[kept] = ready
            kept += 1
        self.ready.resize(kept)
        make_heap(self.ready.begin(), self.ready.end(), &follows)
        return 0

    cdef bint is_over(self, int32_t number) noexcept:
        """Say whether nothing can be offered of a class any more."""
        cdef TaskClass *tasks = self.classes.rows[number]
        cdef Lane *lane = self.lanes.lanes[tasks.lane]
        return tasks.heap.empty() or self.lanes.queues[lane.queue].fan_out == 0

    cdef int unmark(self, int32_t number) except -1:
        """Note that a class is no longer ready."""
        cdef TaskClass *tasks = self.classes.rows[number]
        tasks.ready = False
        if tasks.heap.empty() and number != self.lanes.lanes[tasks.lane].plain:
            self.classes.retire(number)
        return 0

    cdef int drop_first(self) except -1:
        """Drop the first ready class."""
        cdef int32_t number = self.ready.front().number
        pop_heap(self.ready.begin(), self.ready.end(), &follows)
        self.ready.pop_back()
        return self.unmark(number)

    cdef int32_t first_ready(self, Front *front) except -2:
        """Return the ready class with the first task, -1 if there is none.

        `front` becomes its head, or what only a task that may be offered precedes.
        """
        cdef int32_t number
        while not self.ready.empty():
            number = self.ready.front().number
            if self.is_over(number):
                self.drop_first()
                continue
            self.classes.front_of(number, front)
            if front.sequence == self.ready.front().head.sequence:
                return number
            pop_heap(self.ready.begin(), self.ready.end(), &follows)
            self.ready.back().head = front[0]
            push_heap(self.ready.begin(), self.ready.end(), &follows)
        front[0] = nothing_first(-1)
        return -1

