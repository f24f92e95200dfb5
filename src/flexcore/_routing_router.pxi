# Router: facts go in, offers come out.

cdef enum:
    CHANNELS_MAX = 1000     # of one router; overflow: ValueError
    FRESH_MAX = 4           # workers a match looks at one by one; more are lined up


cdef bint follows(const Ready &one, const Ready &other) noexcept:
    """Order groups by their first tasks; the standard library puts the last on top."""
    return precedes(other.head, one.head)


@cython.final
cdef class Router:

    def __cinit__(self):
        self.profiles = Profiles()
        self.workers = Workers()
        self.queue_slots = {}
        self.channel_slots = {}
        self.channels = []
        self.task_slots = Slots()
        self.groups = []

    # Queues

    def set_queue(self, int64_t queue, tuple program not None):
        if queue < 0:
            raise ValueError(f"queue {queue} is negative")
        cdef Program compiled = self.profiles.compile(program)
        cdef int32_t path
        for path in self.profiles.fresh_paths(compiled):
            self.reprofile(path)
        cdef int32_t slot = self.queue_slots.get(queue, -1)
        if slot == -1:
            slot = self.add_queue(queue)
        else:
            self.enroll(slot, False)
            self.profiles.uninstall(slot)
        self.profiles.install(slot, compiled)
        self.enroll(slot, True)
        for path in self.profiles.drop_unused_paths():
            self.reprofile(path)

    def remove_queue(self, int64_t queue):
        cdef int32_t slot = self.queue_slot(queue)
        cdef int32_t path, channel
        if self.queues[slot].waiting:
            raise ValueError(f"{self.queues[slot].waiting} tasks wait in queue {queue}")
        self.enroll(slot, False)
        self.profiles.uninstall(slot)
        for channel in range(self.workers.channels):
            self.close_group(slot, channel)
        self.queues[slot].number = -1
        self.vacant_queues.push_back(slot)
        del self.queue_slots[queue]
        for path in self.profiles.drop_unused_paths():
            self.reprofile(path)

    def waiting(self, int64_t queue):
        return self.queues[self.queue_slot(queue)].waiting

    def members(self, int64_t queue):
        return self.queues[self.queue_slot(queue)].members

    def available(self, int64_t queue):
        return self.queues[self.queue_slot(queue)].available

    def eligible(self, int64_t queue, int64_t worker):
        cdef int32_t slot = self.queue_slot(queue)
        return self.profile_of(self.workers.slots.find(worker)).belongs(slot) != 0

    # Workers

    def add_worker(
        self,
        dict attributes not None,
        bint available,
        int64_t last_offered,
        int64_t order,
    ):
        if order in self.workers.orders:
            raise ValueError(f"order {order} is taken by another worker")
        cdef int32_t profile = self.profiles.enlist(attributes)
        cdef int32_t worker = self.workers.add(
            attributes, Worker(last_offered, order, profile, available, False)
        )
        self.join_all(worker, True)
        return self.workers.slots.handle(worker)

    def set_attributes(self, int64_t worker, dict attributes not None):
        cdef int32_t slot = self.workers.slots.find(worker)
        cdef int32_t old = self.workers.rows[slot].profile
        cdef int32_t new = self.profiles.move(old, attributes, -1)
        self.workers.attributes[slot] = attributes
        self.shift(slot, new)

    def set_available(self, int64_t worker, bint available):
        self.switch(self.workers.slots.find(worker), available)

    def set_channel(
        self, int64_t worker, int64_t channel, int32_t capacity, int32_t occupied
    ):
        cdef int32_t slot = self.workers.slots.find(worker)
        if capacity < 0:
            raise ValueError(f"capacity {capacity} is negative")
        if occupied < 0:
            raise ValueError(f"occupied {occupied} is negative")
        self.occupy(slot, self.channel_slot(channel), capacity, occupied)

    def release(self, int64_t worker, int64_t channel):
        cdef int32_t slot = self.workers.slots.find(worker)
        cdef int32_t place = self.channel_slots.get(channel, -1)
        if place == -1 or self.workers.room(slot, place).occupied == 0:
            raise ValueError(f"the worker holds nothing on channel {channel}")
        cdef Room room = self.workers.room(slot, place)[0]
        self.occupy(slot, place, room.capacity, room.occupied - 1)

    def remove_worker(self, int64_t worker):
        cdef int32_t slot = self.workers.slots.find(worker)
        self.join_all(slot, False)
        if self.workers.rows[slot].fresh:
            self.fresh.erase(find(self.fresh.begin(), self.fresh.end(), slot))
        for group in self.groups:
            if group is not None:
                (<TaskGroup> group).idle.forget(slot)
        self.profiles.leave(self.workers.rows[slot].profile)
        self.workers.remove(slot)

    # Tasks

    def add_task(
        self,
        int64_t queue,
        int64_t channel,
        int64_t priority,
        int64_t start,
        int64_t sequence,
    ):
        cdef int32_t slot = self.queue_slot(queue)
        cdef int32_t place = self.channel_slot(channel)
        return self.task_slots.handle(
            self.enqueue(slot, place, TaskEntry(priority, start, sequence, -1))
        )

    def remove_task(self, int64_t task):
        self.dequeue(self.task_slots.find(task))

    def reprioritize(self, int64_t task, int64_t priority):
        cdef Place place = self.places[self.task_slots.find(task)]
        (<TaskGroup> self.groups[place.group]).waiting.change(place.slot, priority)

    def match(self, int64_t now, limit=None):
        cdef Offer offer
        self.decide(now, SIZE_MAX if limit is None else limit)
        return [(offer.task, offer.worker, offer.candidates) for offer in self.offers]

    # Inspection

    def check(self):
        try:
            check_router(self)
        except AssertionError as broken:
            raise AssertionError(f"{broken}\n{pformat(self.dump())}") from broken

    def dump(self):
        return {
            "queues": dump_queues(self),
            "workers": dump_workers(self),
            "tasks": dump_tasks(self),
        }

    # Numbers of the caller to slots

    cdef int32_t queue_slot(self, int64_t queue) except -1:
        found = self.queue_slots.get(queue)
        if found is None:
            raise KeyError(f"queue {queue} is not known")
        return found

    cdef int32_t channel_slot(self, int64_t channel) except -1:
        """Return the slot of a channel, which is known from its first mention on."""
        found = self.channel_slots.get(channel)
        if found is not None:
            return found
        if channel < 0:
            raise ValueError(f"channel {channel} is negative")
        cdef int32_t slot = len(self.channels)
        if slot == CHANNELS_MAX:
            raise ValueError(f"more than {CHANNELS_MAX} channels")
        self.widen(slot + 1)
        self.channels.append(channel)
        self.channel_slots[channel] = slot
        return slot

    cdef int32_t add_queue(self, int64_t queue) except -1:
        cdef int32_t slot
        if self.vacant_queues.empty():
            slot = <int32_t> self.queues.size()
            self.queues.push_back(Queue(queue, 0, 0, 0))
            self.group_at.resize(self.queues.size() * self.workers.channels, -1)
        else:
            slot = self.vacant_queues.back()
            self.vacant_queues.pop_back()
            self.queues[slot] = Queue(queue, 0, 0, 0)
        self.queue_slots[queue] = slot
        return slot

    cdef int widen(self, int32_t channels) except -1:
        cdef int32_t before = self.workers.channels
        cdef vector[int32_t] wider
        cdef Py_ssize_t queue, channel
        self.workers.widen(channels)
        wider.resize(self.queues.size() * self.workers.channels, -1)
        for queue in range(<Py_ssize_t> self.queues.size()):
            for channel in range(before):
                wider[queue * self.workers.channels + channel] = (
                    self.group_at[queue * before + channel]
                )
        self.group_at.swap(wider)
        return 0

    # Groups

    cdef int32_t group_of(self, int32_t queue, int32_t channel) noexcept:
        return self.group_at[<Py_ssize_t> queue * self.workers.channels + channel]

    cdef int32_t open_group(self, int32_t queue, int32_t channel) except -1:
        """Make a group with all who are free for it: the one scan over the workers."""
        cdef TaskGroup group = TaskGroup(
            queue, channel, self.workers, self.profiles
        )
        cdef int32_t worker, number
        if self.vacant_groups.empty():
            number = len(self.groups)
            self.groups.append(group)
        else:
            number = self.vacant_groups.back()
            self.vacant_groups.pop_back()
            self.groups[number] = group
        self.group_at[<Py_ssize_t> queue * self.workers.channels + channel] = number
        for worker in range(<int32_t> self.workers.rows.size()):
            if self.workers.slots.used(worker) and group.is_candidate(worker):
                group.idle.enter(worker)
                group.free += 1
        return number

    cdef int close_group(self, int32_t queue, int32_t channel) except -1:
        cdef int32_t number = self.group_of(queue, channel)
        cdef Py_ssize_t position
        if number == -1:
            return 0
        for position in range(<Py_ssize_t> self.ready.size()):
            if self.ready[position] == number:
                self.ready.erase(self.ready.begin() + position)
                break
        self.groups[number] = None
        self.vacant_groups.push_back(number)
        self.group_at[<Py_ssize_t> queue * self.workers.channels + channel] = -1
        return 0

    cdef inline Profile profile_of(self, int32_t worker):
        return <Profile> self.profiles.rows[self.workers.rows[worker].profile]

    cdef int settle(self, TaskGroup group, int32_t number) except -1:
        """Follow a change of free or waiting."""
        cdef bint live = group.free > 0 and not group.waiting.heap.empty()
        if live == group.live:
            return 0
        group.live = live
        self.live += 1 if live else -1
        if live and not group.ready:
            group.ready = True
            self.ready.push_back(number)
        return 0

    cdef int count(self, int32_t number, int32_t step) except -1:
        """Count one free member more or less; the idle order finds out later."""
        cdef TaskGroup group = <TaskGroup> self.groups[number]
        group.free += step
        return self.settle(group, number)

    cdef int freshen(self, int32_t worker) except -1:
        """Note that the worker became free somewhere.

        With a backlog the next match keeps such workers busy at once: they never enter
        the idle orders of all their queues, which is most of the cost of a step.
        """
        if not self.workers.rows[worker].fresh:
            self.fresh.push_back(worker)
            self.workers.rows[worker].fresh = True
        return 0

    cdef int line_up(self) except -1:
        """Enter fresh workers in the idle orders of the groups they are free for."""
        cdef int32_t worker, channel, queue, number
        for worker in self.fresh:
            for channel in range(self.workers.channels):
                if not self.workers.free(worker, channel):
                    continue
                for queue in self.profile_of(worker).queues:
                    number = self.group_of(queue, channel)
                    if number != -1:
                        (<TaskGroup> self.groups[number]).idle.enter(worker)
        for worker in self.fresh:
            self.workers.rows[worker].fresh = False
        self.fresh.clear()
        return 0

    # Workers in queues

    cdef int turn(self, int32_t worker, int32_t channel, bint free) except -1:
        """Make a worker free or not on a channel, in every queue of theirs."""
        cdef Profile profile = self.profile_of(worker)
        cdef int32_t queue, number
        for queue in profile.queues:
            number = self.group_of(queue, channel)
            if number != -1:
                self.count(number, 1 if free else -1)
        return self.freshen(worker) if free else 0

    cdef int join(self, int32_t worker, int32_t queue, bint joins) except -1:
        """Take a worker into a queue, or out of it."""
        cdef int32_t step = 1 if joins else -1
        cdef int32_t channel, number
        self.queues[queue].members += step
        if not self.workers.rows[worker].available:
            return 0
        self.queues[queue].available += step
        for channel in range(self.workers.channels):
            number = self.group_of(queue, channel)
            if number != -1 and self.workers.free(worker, channel):
                self.count(number, step)
        return self.freshen(worker) if joins else 0

    cdef int join_all(self, int32_t worker, bint joins) except -1:
        cdef int32_t queue
        for queue in self.profile_of(worker).queues:
            self.join(worker, queue, joins)
        return 0

    cdef int enroll(self, int32_t queue, bint joins) except -1:
        """Take all who belong to a queue into it, or out of it."""
        cdef int32_t worker
        for worker in range(<int32_t> self.workers.rows.size()):
            if not self.workers.slots.used(worker):
                continue
            if self.profile_of(worker).belongs(queue):
                self.join(worker, queue, joins)
        return 0

    cdef int shift(self, int32_t worker, int32_t profile) except -1:
        """Give a worker the profile that already counts them."""
        cdef int32_t old = self.workers.rows[worker].profile
        if profile != old:
            self.join_all(worker, False)
            self.workers.rows[worker].profile = profile
            self.join_all(worker, True)
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

    cdef int switch(self, int32_t worker, bint available) except -1:
        cdef int32_t channel, queue
        if available == self.workers.rows[worker].available:
            return 0
        self.workers.rows[worker].available = True
        for channel in range(self.workers.channels):
            if self.workers.free(worker, channel):
                self.turn(worker, channel, available)
        self.workers.rows[worker].available = available
        for queue in self.profile_of(worker).queues:
            self.queues[queue].available += 1 if available else -1
        return 0

    cdef int occupy(
        self, int32_t worker, int32_t channel, int32_t capacity, int32_t occupied
    ) except -1:
        cdef bint before = self.workers.free(worker, channel)
        self.workers.room(worker, channel)[0] = Room(capacity, occupied)
        cdef bint after = self.workers.free(worker, channel)
        return 0 if before == after else self.turn(worker, channel, after)

    # Tasks in groups

    cdef int32_t enqueue(
        self, int32_t queue, int32_t channel, TaskEntry entry
    ) except -1:
        cdef int32_t number = self.group_of(queue, channel)
        if number == -1:
            number = self.open_group(queue, channel)
        cdef TaskGroup group = <TaskGroup> self.groups[number]
        cdef int32_t task = self.task_slots.acquire()
        if task == <int32_t> self.places.size():
            self.places.push_back(Place(-1, -1))
        self.places[task] = Place(
            number,
            group.waiting.add(task, entry.priority, entry.start, entry.sequence),
        )
        self.queues[queue].waiting += 1
        self.settle(group, number)
        return task

    cdef int dequeue(self, int32_t task) except -1:
        cdef Place place = self.places[task]
        cdef TaskGroup group = <TaskGroup> self.groups[place.group]
        group.waiting.discard(place.slot)
        self.task_slots.release(task)
        self.queues[group.queue].waiting -= 1
        return self.settle(group, place.group)

    # Decisions

    cdef int decide(self, int64_t now, size_t limit) except -1:
        """Turn live groups into offers, first task first, until none is live.

        At the limit the groups that are still live stay ready for the next call.
        """
        cdef TaskGroup group
        cdef int32_t number
        self.offers.clear()
        if self.fresh.size() > FRESH_MAX:
            self.line_up()
        self.collect_heads()
        while self.live > 0 and self.offers.size() < limit:
            pop_heap(self.heads.begin(), self.heads.end(), &follows)
            number = self.heads.back().group
            group = <TaskGroup> self.groups[number]
            if group.live:
                self.offer(group, now)
            if group.live:
                self.heads.back().head = group.waiting.heap[0]
                push_heap(self.heads.begin(), self.heads.end(), &follows)
            else:
                # For good: an offer frees nobody.
                self.heads.pop_back()
        self.keep_ready()
        return self.line_up()

    cdef int keep_ready(self) except -1:
        """Look again at what the limit left over."""
        cdef Ready head
        cdef TaskGroup group
        for head in self.heads:
            group = <TaskGroup> self.groups[head.group]
            if not group.ready:
                group.ready = True
                self.ready.push_back(head.group)
        return 0

    cdef int collect_heads(self) except -1:
        cdef int32_t number
        cdef TaskGroup group
        self.heads.clear()
        for number in self.ready:
            group = <TaskGroup> self.groups[number]
            group.ready = False
            if group.live:
                self.heads.push_back(Ready(group.waiting.heap[0], number))
        self.ready.clear()
        make_heap(self.heads.begin(), self.heads.end(), &follows)
        return 0

    cdef int offer(self, TaskGroup group, int64_t now) except -1:
        """Offer the first task of a live group to its best worker."""
        cdef int32_t worker = group.best(self.fresh)
        cdef int32_t task = <int32_t> (
            group.waiting.tasks[group.waiting.heap[0].slot].item
        )
        cdef Room room = self.workers.room(worker, group.channel)[0]
        self.offers.push_back(
            Offer(
                self.task_slots.handle(task),
                self.workers.slots.handle(worker),
                group.free,
            )
        )
        self.dequeue(task)
        self.set_clock(worker, now)
        return self.occupy(worker, group.channel, room.capacity, room.occupied + 1)

    cdef int set_clock(self, int32_t worker, int64_t now) except -1:
        cdef int64_t before = self.workers.rows[worker].last_offered
        self.workers.rows[worker].last_offered = now
        if now < before:
            for group in self.groups:
                if group is not None:
                    (<TaskGroup> group).idle.turn_back(worker)
        return 0
