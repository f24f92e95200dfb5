# Router: the public methods. Facts go in, offers come out.

cdef enum:
    CHANNELS_MAX = 1000     # of one router; overflow: ValueError
    FAN_OUT_MAX = 50


@cython.final
cdef class Router:

    def __cinit__(self):
        self.values = Values()
        self.profiles = Profiles(self.values)
        self.workers = Workers()
        self.lanes = Lanes(self.workers, self.profiles)
        self.roster = Roster(self.lanes)
        self.classes = Classes(self.lanes)
        self.backlog = Backlog(self.classes)
        self.decisions = Decisions(self.roster, self.backlog)
        self.queue_numbers = Numbers()
        self.channel_numbers = Numbers()
        self.channels = []
        self.spec_slots = Slots()
        self.spec_ids = {}

    # Queues

    def set_queue(
        self,
        int64_t queue,
        tuple program not None,
        bint lifo=False,
        bint preferred=True,
        int32_t fan_out=1,
        int32_t order=0,
        int64_t cursor=-1,
    ):
        if queue < 0:
            raise ValueError(f"queue {queue} is negative")
        if not 0 <= fan_out <= FAN_OUT_MAX:
            raise ValueError(f"fan_out {fan_out} is not within 0 and {FAN_OUT_MAX}")
        if not OFFERED <= order <= ROUND_ROBIN:
            raise ValueError(f"order {order} is not known")
        cdef int32_t slot = self.queue_numbers.find(queue)
        if slot == -1 or self.program_differs(slot, program):
            slot = self.program_queue(queue, slot, program)
        cdef Queue *row = &self.lanes.queues[slot]
        row.cursor = cursor
        if row.order != order:
            self.roster.utilization += (order == UTILIZATION) - (
                row.order == UTILIZATION
            )
            row.order = <Order> order
            self.roster.relay(slot)
        if row.lifo != lifo or row.preferred != preferred or row.fan_out != fan_out:
            row.preferred = preferred
            row.fan_out = fan_out
            self.backlog.rekey(slot, lifo)

    def remove_queue(self, int64_t queue):
        cdef int32_t slot = self.queue_slot(queue)
        cdef int32_t channel
        if self.lanes.queues[slot].waiting:
            raise ValueError(
                f"{self.lanes.queues[slot].waiting} tasks wait in queue {queue}"
            )
        self.roster.enroll(slot, False)
        self.profiles.uninstall(slot)
        self.roster.aim_all()
        for channel in range(self.workers.channels):
            while self.lanes.first_at(slot, channel) != -1:
                self.backlog.close_lane(self.lanes.first_at(slot, channel))
        self.roster.utilization -= self.lanes.queues[slot].order == UTILIZATION
        self.lanes.queues[slot].number = -1
        self.lanes.vacant_queues.push_back(slot)
        self.queue_numbers.drop(queue)
        self.drop_paths()

    def waiting(self, int64_t queue):
        return self.lanes.queues[self.queue_slot(queue)].waiting

    def members(self, int64_t queue):
        return self.lanes.queues[self.queue_slot(queue)].members

    def available(self, int64_t queue):
        return self.lanes.queues[self.queue_slot(queue)].available

    def in_activity(self, int64_t queue, int32_t activity):
        cdef int64_t key = (<int64_t> self.queue_slot(queue) << 32) | activity
        found = self.roster.in_activity.find(key)
        if activity < 0 or found == self.roster.in_activity.end():
            return 0
        return dereference(found).second

    def eligible(self, int64_t queue, int64_t worker):
        cdef int32_t slot = self.queue_slot(queue)
        return self.lanes.belongs(self.workers.slots.find(worker), slot) != 0

    def cursor(self, int64_t queue):
        return self.lanes.queues[self.queue_slot(queue)].cursor

    def set_channel_optimized(self, int64_t channel, bint optimized):
        cdef int32_t slot = self.channel_slot(channel)
        cdef int32_t worker
        if self.workers.optimized[slot] == optimized:
            return
        self.workers.optimized[slot] = optimized
        for worker in range(<int32_t> self.workers.rows.size()):
            self.workers.reclock(worker)
            if self.workers.slots.used(worker):
                self.roster.turn_back(worker)

    # Workers

    def add_worker(
        self,
        dict attributes not None,
        int32_t activity,
        bint available,
        int64_t order,
        int64_t available_since=0,
    ):
        if activity < 0:
            raise ValueError(f"activity {activity} is negative")
        if self.workers.orders.count(order):
            raise ValueError(f"order {order} is taken by another worker")
        cdef int32_t profile = self.profiles.enlist(attributes)
        cdef Worker row = Worker(
            order, available_since, NULL, 0, profile, activity, available, False
        )
        cdef int32_t worker = self.workers.add(attributes, row)
        self.roster.admit(worker)
        return self.workers.slots.handle(worker)

    def set_attributes(self, int64_t worker, dict attributes not None):
        self.roster.describe(self.workers.slots.find(worker), attributes)

    def set_activity(
        self, int64_t worker, int32_t activity, bint available, int64_t available_since
    ):
        cdef int32_t slot = self.workers.slots.find(worker)
        if activity < 0:
            raise ValueError(f"activity {activity} is negative")
        self.roster.switch(slot, activity, available, available_since)

    def set_channel(
        self,
        int64_t worker,
        int64_t channel,
        int32_t capacity,
        int32_t occupied,
        int32_t assigned=0,
        bint open=True,
        int64_t offered=0,
        int64_t released=0,
    ):
        cdef int32_t slot = self.workers.slots.find(worker)
        if capacity < 0:
            raise ValueError(f"capacity {capacity} is negative")
        if occupied < 0:
            raise ValueError(f"occupied {occupied} is negative")
        if assigned < 0:
            raise ValueError(f"assigned {assigned} is negative")
        cdef int32_t place = self.channel_slot(channel)
        cdef Room *room = self.workers.room(slot, place)
        cdef bint back = offered < room.offered or released < room.released
        room.capacity, room.occupied, room.assigned = capacity, occupied, assigned
        room.open, room.offered, room.released = open, offered, released
        if self.workers.reclock(slot) or back:
            self.roster.turn_back(slot)
        self.roster.follow(slot, place)

    def take(self, int64_t worker, int64_t channel, int64_t now):
        cdef int32_t slot = self.workers.slots.find(worker)
        cdef int32_t place = self.channel_slot(channel)
        if self.workers.room(slot, place).occupied == INT32_MAX:
            raise OverflowError("too many are held")
        self.decisions.occupy(slot, place, now)

    def release(self, int64_t worker, int64_t channel, int64_t now):
        cdef int32_t slot = self.workers.slots.find(worker)
        cdef int32_t place = self.channel_numbers.find(channel)
        if place == -1 or self.workers.room(slot, place).occupied == 0:
            raise ValueError(f"the worker holds nothing on channel {channel}")
        self.free_room(slot, place, now)

    def assign(self, int64_t worker, int64_t channel, int32_t step):
        cdef int32_t slot = self.workers.slots.find(worker)
        cdef int32_t place = self.channel_slot(channel)
        cdef Room *room = self.workers.room(slot, place)
        if not 0 <= <int64_t> room.assigned + step <= INT32_MAX:
            raise ValueError(f"the worker is assigned {room.assigned} on the channel")
        room.assigned += step
        self.roster.follow(slot, place)

    def remove_worker(self, int64_t worker):
        self.roster.dismiss(self.workers.slots.find(worker))

    # Specs

    def open_spec(self, tuple pair not None, tuple order_by=()):
        # Not the tuples: 1 and True are equal as keys.
        key = dumps((pair, order_by), 0)
        found = self.spec_ids.get(key)
        if found is not None:
            return self.spec_slots.handle(found)
        cdef Spec spec = self.make_spec(pair, order_by)
        cdef int32_t slot = self.spec_slots.acquire()
        if slot == len(self.lanes.specs):
            self.lanes.specs.append(None)
        self.lanes.specs[slot] = spec
        self.spec_ids[key] = slot
        self.read_paths()
        self.roster.join_spec(spec)
        if spec.live:
            self.roster.live_specs.push_back(slot)
        return self.spec_slots.handle(slot)

    def close_spec(self, int64_t spec):
        cdef int32_t slot = self.spec_slots.find(spec)
        cdef Spec row = <Spec> self.lanes.specs[slot]
        cdef int32_t lane
        if row.waiting:
            raise ValueError(f"{row.waiting} tasks wait with the spec")
        for lane in range(<int32_t> self.lanes.lanes.size()):
            if self.lanes.lanes[lane] != NULL and self.lanes.lanes[lane].spec == slot:
                self.backlog.close_lane(lane)
        row.close()
        erase_from(self.roster.live_specs, slot)
        self.lanes.specs[slot] = None
        self.spec_slots.release(slot)
        del self.spec_ids[dumps((row.pair, row.order_by), 0)]
        self.drop_paths()

    # Tasks

    def add_task(
        self,
        int64_t queue,
        int64_t channel,
        int64_t priority,
        int64_t start,
        int64_t sequence,
        int64_t spec=0,
        dict attributes=None,
        known=None,
        excluded=(),
    ):
        cdef int32_t slot = self.queue_slot(queue)
        cdef int32_t place = self.channel_slot(channel)
        cdef vector[int64_t] handles
        cdef int64_t only = ANYBODY
        if spec == 0 and attributes is None and known is None and not excluded:
            return self.backlog.slots.handle(
                self.enqueue(slot, place, priority, start, sequence)
            )
        if known is not None:
            only = known
            only = max(only, <int64_t> NOBODY)
        if excluded:
            handles = sorted(set(excluded))
        return self.backlog.slots.handle(
            self.enqueue_for(
                slot, place, priority, start, sequence,
                self.spec_slot(spec), attributes, only, handles,
            )
        )

    def remove_task(self, int64_t task):
        self.dequeue(self.backlog.slots.find(task))

    def reprioritize(self, int64_t task, int64_t priority):
        self.backlog.change(self.backlog.slots.find(task), priority)

    def candidate(self, int64_t task, int64_t worker):
        cdef int32_t number = self.backlog.class_of[self.backlog.slots.find(task)]
        cdef int32_t slot = self.workers.slots.find(worker)
        return self.decisions.candidate(number, slot) != 0

    def count(self, int64_t task):
        cdef int32_t number = self.backlog.class_of[self.backlog.slots.find(task)]
        return self.decisions.count(number)

    # Decisions

    def match(self, int64_t now, limit=None):
        cdef Py_ssize_t size = self.decide(now, -1 if limit is None else limit)
        cdef Py_ssize_t number
        cdef Offer *offer
        cdef list offers = []
        for number in range(size):
            offer = &self.decisions.offers[number]
            offers.append(
                (offer.task, offer.worker, offer.candidates, offer.runner_up)
            )
        return offers

    # Inspection

    @property
    def overruns(self):
        return self.classes.overruns

    def check(self):
        try:
            check_router(self)
        except AssertionError as broken:
            raise AssertionError(f"{broken}\n{pformat(self.dump())}") from broken

    def dump(self):
        return dump_router(self)

    # The same for programs in Cython

    cdef int32_t queue_slot(self, int64_t queue) except -1:
        cdef int32_t slot = self.queue_numbers.find(queue)
        if slot == -1:
            raise KeyError(f"queue {queue} is not known")
        return slot

    cdef int32_t channel_slot(self, int64_t channel) except -1:
        """Return the slot of a channel, which is known from its first mention on."""
        cdef int32_t slot = self.channel_numbers.find(channel)
        if slot != -1:
            return slot
        if channel < 0:
            raise ValueError(f"channel {channel} is negative")
        slot = len(self.channels)
        if slot == CHANNELS_MAX:
            raise ValueError(f"more than {CHANNELS_MAX} channels")
        self.lanes.widen(slot + 1)
        self.backlog.waiting_on.resize(self.workers.channels)
        self.channels.append(channel)
        self.channel_numbers.put(channel, slot)
        return slot

    cdef int32_t worker_slot(self, int64_t worker) except -1:
        return self.workers.slots.find(worker)

    cdef int32_t spec_slot(self, int64_t spec) except -2:
        return -1 if spec == 0 else self.spec_slots.find(spec)

    cdef int free_room(self, int32_t worker, int32_t channel, int64_t now) except -1:
        # Where the next match looks first.
        prefetch(self.workers.rows[worker].queues)
        self.workers.room(worker, channel).occupied -= 1
        if self.workers.note_release(worker, channel, now):
            self.roster.turn_back(worker)
        return self.roster.follow(worker, channel)

    cdef int32_t enqueue(
        self,
        int32_t queue,
        int32_t channel,
        int64_t priority,
        int64_t start,
        int64_t sequence,
    ) except -1:
        cdef vector[int64_t] nobody
        cdef int32_t lane = self.lanes.find(queue, channel, -1)
        if lane == -1 or self.lanes.lanes[lane].plain == -1:
            return self.enqueue_for(
                queue, channel, priority, start, sequence, -1, None, ANYBODY, nobody
            )
        return self.backlog.add(
            self.lanes.lanes[lane].plain, priority, start, sequence
        )

    cdef int32_t enqueue_for(
        self,
        int32_t queue,
        int32_t channel,
        int64_t priority,
        int64_t start,
        int64_t sequence,
        int32_t spec,
        dict attributes,
        int64_t known,
        vector[int64_t] &excluded,
    ) except -1:
        cdef int32_t kind = -1
        cdef int32_t lane, task
        cdef Spec row
        if spec != -1:
            row = <Spec> self.lanes.specs[spec]
            if row.program is not None:
                if attributes is None and row.task_paths:
                    raise ValueError("the spec reads attributes and the task has none")
                kind = row.kind(attributes)
        lane = self.lanes.find(queue, channel, spec)
        if lane == -1:
            lane = self.lanes.open(queue, channel, spec)
        task = self.backlog.add(
            self.classes.class_for(lane, kind, known, excluded),
            priority,
            start,
            sequence,
        )
        if attributes is not None:
            self.backlog.describe(task, attributes)
        return task

    cdef int dequeue(self, int32_t task) except -1:
        return self.backlog.remove(task)

    cdef Py_ssize_t decide(self, int64_t now, Py_ssize_t limit) except -1:
        return self.decisions.decide(now, limit)

    # Programs and paths

    cdef bint program_differs(self, int32_t slot, tuple program):
        # Not the tuples: 1 equals True.
        return repr(program) != repr(
            (<Program> self.profiles.programs[slot]).source
        )

    cdef int32_t program_queue(
        self, int64_t queue, int32_t slot, tuple program
    ) except -1:
        """Give a queue a program, or another one; -1 is the slot of a new queue."""
        cdef Program compiled = self.profiles.compile(program)
        self.read_paths()
        if slot == -1:
            slot = self.lanes.add_queue(queue)
            self.queue_numbers.put(queue, slot)
        else:
            self.roster.enroll(slot, False)
            self.profiles.uninstall(slot)
        self.profiles.install(slot, compiled)
        self.roster.aim_all()
        self.roster.enroll(slot, True)
        self.backlog.mark_queue(slot)
        self.drop_paths()
        return slot

    cdef int read_paths(self) except -1:
        """Read the paths nobody read before."""
        for path in self.profiles.unread_paths():
            self.profiles.path_read[<int32_t> path] = True
            self.roster.reprofile(path)
        return 0

    cdef int drop_paths(self) except -1:
        """Forget the paths nobody reads any more."""
        for path in self.profiles.drop_unused_paths():
            self.roster.reprofile(path)
        return 0

    cdef Spec make_spec(self, tuple pair, tuple order_by):
        """Verify what a spec is made of, and make it."""
        self.profiles.reserve_stack(verify(pair, True))
        for clause in order_by:
            if (
                not isinstance(clause, tuple)
                or len(clause) != 2
                or not isinstance(clause[0], tuple)
                or not is_of_worker(clause[0])
            ):
                raise ValueError(f"order_by is not understood: {clause!r}")
        operands = [*pair, *[operand for operand, _ in order_by]]
        slots = {
            step[1]: self.channel_slot(step[1])
            for step in operands
            if step[0] == "live"
        }
        return Spec(pair, order_by, self.profiles, self.workers, slots)
