# What has to hold between two calls, found again from the facts.

cdef int check_router(Router router) except -1:
    check_slots(router)
    check_fresh(router)
    check_profiles(router)
    check_queues(router)
    check_workers(router)
    check_tasks(router)
    for number in range(<int32_t> router.lanes.lanes.size()):
        if router.lanes.lanes[<int32_t> number] != NULL:
            check_lane(router, number)
    for number in range(<int32_t> router.classes.rows.size()):
        if router.classes.rows[<int32_t> number].lane != -1:
            check_class(router, number)
    return 0


cdef list used_workers(Router router):
    slots = range(<int32_t> router.workers.rows.size())
    return [slot for slot in slots if router.workers.slots.used(slot)]


cdef int check_slots(Router router) except -1:
    """Numbers lead to slots and back, and no lane is lost."""
    cdef int32_t queue, channel, number
    cdef int32_t vacant = 0
    cdef int32_t reached = 0
    for queue in range(<int32_t> router.lanes.queues.size()):
        used = router.lanes.queues[queue].number != -1
        ensure(
            used == (router.profiles.programs[queue] is not None),
            f"queue slot {queue} is half in use",
        )
        if used:
            number = router.queue_numbers.find(router.lanes.queues[queue].number)
            ensure(number == queue, f"queue slot {queue} is not found")
        vacant += not used
        for channel in range(router.workers.channels):
            number = router.lanes.first_at(queue, channel)
            while number != -1:
                reached += 1
                lane = router.lanes.lanes[number]
                ensure(
                    lane != NULL
                    and used
                    and lane.queue == queue
                    and lane.channel == channel
                    and router.lanes.find(queue, channel, lane.spec) == number,
                    f"lane {number} is not one of queue slot {queue}",
                )
                number = router.lanes.fronts[number].next
    ensure(vacant == <int32_t> router.lanes.vacant_queues.size(), "a queue slot is lost")
    ensure(
        reached + router.lanes.vacant_lanes.size() == router.lanes.lanes.size(),
        "a lane is lost",
    )
    return 0


cdef int check_fresh(Router router) except -1:
    """Whoever is free somewhere is lined up there or fresh."""
    cdef int32_t worker, channel
    fresh = list(router.roster.fresh)
    ensure(len(set(fresh)) == len(fresh), "a worker is fresh twice")
    for worker in range(<int32_t> router.workers.rows.size()):
        where = f"worker slot {worker}"
        used = router.workers.slots.used(worker)
        marked = used and router.workers.rows[worker].fresh
        ensure((worker in fresh) == marked, f"wrongly fresh or not: {where}")
        for channel in range(router.workers.channels):
            free = used and router.workers.free(worker, channel)
            lined = router.workers.room(worker, channel).lined
            ensure(free or not lined, f"lined up without being free: {where}")
            ensure(marked or lined == free, f"neither fresh nor in line: {where}")
    return 0


cdef int check_queues(Router router) except -1:
    cdef int32_t slot, worker
    cdef int32_t utilization = 0
    cdef int64_t key
    counts = {}
    for slot in range(<int32_t> router.lanes.queues.size()):
        queue = router.lanes.queues[slot]
        if queue.number == -1:
            continue
        members = available = 0
        for worker in used_workers(router):
            if router.lanes.belongs(worker, slot):
                members += 1
                available += router.workers.rows[worker].available
                key = (<int64_t> slot << 32) | router.workers.rows[worker].activity
                counts[key] = counts.get(key, 0) + 1
        where = f"queue {queue.number}"
        ensure(queue.members == members, f"{where} has {members} members")
        ensure(queue.available == available, f"{where} has {available} available")
        utilization += queue.order == UTILIZATION
    ensure(dict(router.roster.in_activity) == counts, "activities are miscounted")
    ensure(utilization == router.roster.utilization, "orders are miscounted")
    return 0


cdef int check_workers(Router router) except -1:
    """Clocks and facets are what the facts say."""
    cdef int32_t worker, slot
    cdef int32_t channel
    cdef Spec spec
    orders = set()
    for worker in used_workers(router):
        orders.add(router.workers.rows[worker].order)
        for channel in range(router.workers.channels):
            before = router.workers.room(worker, channel)[0]
            router.workers.reclock(worker)
            after = router.workers.room(worker, channel)[0]
            ensure(
                before.offered_clock == after.offered_clock
                and before.idle_clock == after.idle_clock,
                f"worker slot {worker} has a wrong clock",
            )
    ensure(len(orders) == len(used_workers(router)), "two workers share an order")
    ensure(len(orders) == <Py_ssize_t> router.workers.orders.size(), "an order is lost")
    live = []
    for slot in range(<int32_t> len(router.lanes.specs)):
        spec = router.lanes.specs[slot]
        if spec is not None:
            check_spec(router, spec)
            if spec.live:
                live.append(slot)
    ensure(sorted(list(router.roster.live_specs)) == live, "a live spec is lost")
    return 0


cdef int check_spec(Router router, Spec spec) except -1:
    cdef int32_t worker, facet, other
    counts = {}
    for worker in used_workers(router):
        facet = spec.facet_of[worker]
        counts[facet] = counts.get(facet, 0) + 1
        found = spec.read(worker)
        ensure(found == facet, f"worker slot {worker} has facet {facet}, not {found}")
    retired = 0
    for facet in range(<int32_t> spec.facets.size()):
        if not spec.facet_used[facet]:
            continue
        workers = spec.facets[facet].workers
        ensure(workers == counts.get(facet, 0), f"facet {facet} has {workers} workers")
        retired += workers == 0
        barred = spec.program is not None and not spec.program.may_hold(
            spec.values, spec.facets[facet].values.data(), spec.profiles.stack.data()
        )
        ensure(spec.facet_barred[facet] == barred, f"facet {facet} is wrongly barred")
        for other in range(facet):
            if spec.facet_used[other] and not spec.clauses.empty():
                ensure(
                    sign(spec.compare(facet, other))
                    == sign(spec.ranks[facet] - spec.ranks[other]),
                    f"facets {facet} and {other} are ranked wrongly",
                )
    ensure(retired == spec.retired_facets, "facets are counted wrongly")
    return check_verdicts(router, spec)


cdef int check_verdicts(Router router, Spec spec) except -1:
    cdef int32_t kind, facet
    cdef vector[uint8_t] verdicts
    for kind in range(<int32_t> spec.kinds.size()):
        if not spec.kind_used[kind]:
            continue
        verdicts = spec.kinds[kind].verdicts
        for facet in range(<int32_t> verdicts.size()):
            if verdicts[facet] != UNKNOWN:
                ensure(
                    spec.facet_used[facet]
                    and spec.suits(facet, kind) == (verdicts[facet] == ACCEPTED)
                    and spec.judge(kind, facet) == (verdicts[facet] == ACCEPTED)
                    and not (verdicts[facet] == ACCEPTED and spec.facet_barred[facet]),
                    f"kind {kind} and facet {facet}: the remembered answer is wrong",
                )
    return 0


cdef int check_tasks(Router router) except -1:
    """Every task is in the heap of its class, and counted."""
    cdef int32_t task, number, slot
    cdef Backlog backlog = router.backlog
    waiting = [0] * <Py_ssize_t> router.lanes.queues.size()
    waiting_on = [0] * router.workers.channels
    waiting_with = [0] * len(router.lanes.specs)
    sequences = set()
    for task in range(<int32_t> backlog.class_of.size()):
        if not backlog.slots.used(task):
            continue
        number = backlog.class_of[task]
        tasks = router.classes.rows[number]
        where = f"task slot {task} of class {number}"
        ensure(
            tasks.lane != -1 and tasks.heap[backlog.positions[task]].slot == task,
            f"its class has it not: {where}",
        )
        entry = tasks.heap[backlog.positions[task]]
        current = entry.tag == backlog.slots.generations[task]
        ensure(current, f"its entry is of another generation: {where}")
        lane = router.lanes.lanes[tasks.lane]
        lifo = router.lanes.queues[lane.queue].lifo
        rank = 0 if lifo else ~backlog.priorities[task]
        ensure(entry.rank == rank, f"its priority is another one: {where}")
        sequences.add(~entry.sequence if lifo else entry.sequence)
        waiting[lane.queue] += 1
        waiting_on[lane.channel] += 1
        if lane.spec != -1:
            waiting_with[lane.spec] += 1
    ensure(len(sequences) == sum(waiting), "two tasks share a sequence")
    for slot in range(<int32_t> router.lanes.queues.size()):
        count = router.lanes.queues[slot].waiting
        ensure(count == waiting[slot], f"{count} tasks wait in queue slot {slot}")
    ensure(waiting_on == list(backlog.waiting_on), "a channel miscounts")
    for slot, spec in enumerate(router.lanes.specs):
        if spec is not None:
            count = (<Spec> spec).waiting
            ensure(count == waiting_with[slot], f"{count} tasks wait with spec {slot}")
    return 0


cdef int check_lane(Router router, int32_t number) except -1:
    """Lines count who is lined up; the first task of the lane is known."""
    cdef Lane *lane = router.lanes.lanes[number]
    cdef int32_t worker, place, name
    cdef Front front
    where = f"lane {number} of queue slot {lane.queue} and channel {lane.channel}"
    counts = {}
    for worker in used_workers(router):
        if router.workers.room(worker, lane.channel).lined and (
            router.lanes.belongs(worker, lane.queue)
            and not router.lanes.bars(lane, worker)
        ):
            place = 0 if lane.simple else router.lanes.line_of(lane, worker)
            counts.setdefault(place, set()).add(worker)
    free = router.lanes.fronts[number].free
    total = sum([len(workers) for workers in counts.values()])
    ensure(total == free, f"{free} are counted free: {where}")
    if lane.simple:
        check_turns(
            router, lane, &router.lanes.turns[number], counts.get(0, set()), where
        )
    else:
        ensure(len(counts) == lane.occupied, f"occupied is wrong: {where}")
    for place in range(<int32_t> lane.lines.size()):
        check_line(router, lane, place, counts.get(place, set()))
    check_heap(lane.heads, router.classes.positions)
    for place in range(<int32_t> lane.heads.size()):
        name = lane.heads[place].slot
        here = router.classes.rows[name].heap[0].sequence == lane.heads[place].sequence
        ensure(here, f"class {name} has another first task: {where}")
    front.tier = NEVER
    if not lane.heads.empty():
        router.classes.front_of(lane.heads[0].slot, &front)
    known = router.lanes.fronts[number]
    ensure(
        front.tier == known.tier
        and (front.tier == NEVER or front.sequence == known.sequence),
        f"its first task is another one: {where}",
    )
    return 0


cdef int check_line(Router router, Lane *lane, int32_t place, set workers) except -1:
    cdef Line *line = &lane.lines[place]
    where = f"line {place} of queue slot {lane.queue} and channel {lane.channel}"
    free = lane.marks[place].free
    ensure(free == len(workers), f"{free} are counted free: {where}")
    if not lane.ring:
        return check_turns(router, lane, &line.turns, workers, where)
    found = []
    for order, row in dict(line.ring).items():
        if router.lanes.stands(lane, &line.ring[order]):
            found.append(row["worker"])
            here = order == router.workers.rows[<int32_t> row["worker"]].order
            ensure(here, f"order {order} is another's: {where}")
    ensure(sorted(found) == sorted(workers), f"not everyone has an entry: {where}")
    return 0


cdef int check_turns(
    Router router, Lane *lane, Turns *turns, set workers, str where
) except -1:
    """Everyone counted has one entry, which is not too late, and they are in order."""
    cdef size_t position
    cdef const Worker *rows = router.workers.rows.data()
    found = []
    for position in range(turns.first, turns.row.size()):
        check_turn(router, lane, &turns.row[position], found, where)
        ensure(
            position == turns.first
            or not comes_before(rows, turns.row[position], turns.row[position - 1]),
            f"idle entry {position} is out of order: {where}",
        )
    for position in range(turns.heap.size()):
        check_turn(router, lane, &turns.heap[position], found, where)
        ensure(
            position == 0
            or not comes_before(
                rows, turns.heap[position], turns.heap[(position - 1) // ARITY]
            ),
            f"idle entry {position} precedes its parent: {where}",
        )
    ensure(sorted(found) == sorted(workers), f"not everyone has an entry: {where}")
    # Bounded as somebody comes, not as somebody goes: a line of one who is offered
    # something is not touched elsewhere.
    ensure(
        turn_count(turns) <= 2 * router.workers.rows.size() + SPARE + 1
        or not workers,
        f"too many entries are out of date: {where}",
    )
    return 0


cdef int check_turn(
    Router router, Lane *lane, IdleEntry *entry, list found, str where
) except -1:
    if router.lanes.stands(lane, entry):
        found.append(entry.worker)
        ensure(
            entry.clock <= router.lanes.clock(lane, entry.worker),
            f"the entry of worker slot {entry.worker} is too late: {where}",
        )
    return 0


cdef int check_class(Router router, int32_t number) except -1:
    """A class somebody in line may suit is ready."""
    cdef TaskClass *tasks = router.classes.rows[number]
    cdef Lane *lane = router.lanes.lanes[tasks.lane]
    cdef Ready ready
    cdef int32_t listed, name = lane.plain
    cdef vector[int64_t] key
    where = f"class {number} of queue slot {lane.queue} and channel {lane.channel}"
    check_heap(tasks.heap, router.backlog.positions)
    if number != lane.plain:
        key.push_back(tasks.kind)
        key.push_back(tasks.known)
        key.insert(key.end(), tasks.excluded.begin(), tasks.excluded.end())
        name = lane.class_at[key] if lane.class_at.count(key) else -1
        if router.classes.kind_of[number] != GUARDED:
            name = lane.class_of[tasks.kind]
        ensure(tasks.ready or not tasks.heap.empty(), f"it is empty: {where}")
    ensure(name == number, f"it is not found: {where}")
    ensure(
        tasks.listed
        == (not tasks.heap.empty() and tasks.known != NOBODY),
        f"it is wrongly in the heap of its lane or not: {where}",
    )
    listed = 0
    for ready in router.backlog.ready:
        listed += ready.number == number
    ensure(listed == tasks.ready, f"it is {listed} times ready: {where}")
    if tasks.ready or tasks.heap.empty() or not router.lanes.queues[lane.queue].fan_out:
        return 0
    for worker in used_workers(router):
        ensure(
            not router.workers.room(worker, lane.channel).lined
            or not router.decisions.candidate(number, worker),
            f"worker slot {worker} would suit and it is not ready: {where}",
        )
    return 0


cdef int check_profiles(Router router) except -1:
    """Profiles have the values of their workers, and remember right answers."""
    cdef int32_t worker, value, path, number
    cdef Profiles profiles = router.profiles
    cdef Profile *profile
    check_programs(router)
    references = {}
    counts = {}
    for worker in used_workers(router):
        number = router.workers.rows[worker].profile
        profile = profiles.rows[number]
        counts[number] = counts.get(number, 0) + 1
        for path in range(path_count(profile)):
            value = profiles.read(path, router.workers.attributes[worker])
            profiles.values.release(value)
            ensure(
                value == values_of(profile)[path],
                f"worker slot {worker} has another value of {profiles.paths[path]}",
            )
    for number in range(<int32_t> profiles.rows.size()):
        if profiles.rows[number] != NULL:
            ensure(
                profiles.rows[number].workers == counts.get(number, 0) > 0,
                f"profile {number} miscounts",
            )
            check_profile(profiles, number, references)
    check_values(router, references)
    return 0


cdef int check_programs(Router router) except -1:
    cdef int32_t queue, path
    cdef Instruction step
    cdef Operand operand
    cdef Profiles profiles = router.profiles
    readers = [set() for _ in profiles.paths]
    counts = [0] * len(profiles.paths)
    for queue in range(<int32_t> len(profiles.programs)):
        if profiles.programs[queue] is not None:
            for step in (<Program> profiles.programs[queue]).code:
                if step.opcode == OP_WORKER:
                    readers[step.argument].add(queue)
                    counts[step.argument] += 1
    for spec in router.lanes.specs:
        if spec is not None:
            for operand in (<Spec> spec).operands:
                if operand.path != -1:
                    counts[operand.path] += 1
    for path in range(<int32_t> len(profiles.paths)):
        where = f"path {path} {profiles.paths[path]}"
        ensure(
            sorted(readers[path]) == sorted(list(profiles.readers[path])),
            f"wrong readers: {where}",
        )
        ensure(counts[path] == profiles.path_references[path], f"wrong count: {where}")
        ensure(
            (counts[path] > 0) == (profiles.paths[path] is not None), f"leak: {where}"
        )
        ensure((counts[path] > 0) == profiles.path_read[path], f"not read: {where}")
    return 0


cdef int check_profile(Profiles profiles, int32_t number, dict references) except -1:
    cdef int32_t queue, value
    cdef Profile *profile = profiles.rows[number]
    cdef vector[int32_t] row
    row.assign(values_of(profile), values_of(profile) + path_count(profile))
    ensure(<Py_ssize_t> row.size() == len(profiles.paths), "a profile lacks paths")
    for queue in range(<int32_t> len(profiles.programs)):
        ensure(
            is_in_queue(profile, queue) == profiles.evaluate(queue, profile),
            f"queue slot {queue}: the remembered answer is wrong",
        )
    queues = list(profile.queues)
    ensure(queues == sorted(set(queues)), "the queues of a profile are out of order")
    for value in row:
        references[value] = references.get(value, 0) + 1
    ensure(
        profiles.by_row[dereference(profile.row)] == number,
        "a profile is not found by its values",
    )
    return 0


cdef int check_values(Router router, dict references) except -1:
    """Compare the references that are counted with those there are."""
    cdef int32_t value, element
    cdef vector[int32_t] elements
    cdef Values values = router.values
    programs = [*router.profiles.programs]
    for spec in router.lanes.specs:
        if spec is not None:
            programs.append((<Spec> spec).program)
            count_of_spec(spec, references)
    for program in programs:
        if program is not None:
            for step in (<Program> program).code:
                if step.opcode == OP_CONST:
                    references[step.argument] = references.get(step.argument, 0) + 1
    for value in range(FIRST_ID, <int32_t> values.rows.size()):
        if values.arrays[value] != NULL:
            elements = dereference(values.arrays[value])
            for element in elements:
                references[element] = references.get(element, 0) + 1
    for value in range(FIRST_ID, <int32_t> values.rows.size()):
        counted = values.rows[value].references
        there = references.get(value, 0)
        ensure(counted == there, f"value {value} is counted {counted}, not {there}")
    for key, value in values.ids.items():
        ensure(values.keys[value] == key, f"value {key!r} has another's id")
        ensure(values.rows[value].references > 0, f"value {key!r} is not forgotten")
    used = len(values.ids) + values.array_ids.size()
    ensure(
        used + values.vacant.size() + FIRST_ID == values.rows.size(), "an id is lost"
    )
    return 0


cdef int count_of_spec(Spec spec, dict references) except -1:
    cdef int32_t facet, kind, value
    for facet in range(<int32_t> spec.facets.size()):
        if spec.facet_used[facet]:
            for value in spec.facets[facet].values:
                references[value] = references.get(value, 0) + 1
    for kind in range(<int32_t> spec.kinds.size()):
        if spec.kind_used[kind]:
            for value in spec.kinds[kind].row:
                references[value] = references.get(value, 0) + 1
    return 0
