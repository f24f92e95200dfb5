# What has to hold between two calls, found again from the facts; and the facts, dumped.

cdef int check_router(Router router) except -1:
    check_slots(router)
    check_fresh(router)
    check_profiles(router)
    check_queues(router)
    check_tasks(router)
    live = 0
    for number, group in enumerate(router.groups):
        if group is not None:
            check_group(router, number, group)
            live += (<TaskGroup> group).live
    ensure(live == router.live, f"{live} groups are live, {router.live} counted")
    ready = list(router.ready)
    ensure(len(set(ready)) == len(ready), "a group is twice among the ready")
    return 0


cdef int check_slots(Router router) except -1:
    cdef int32_t queue, channel, number
    for queue in range(<int32_t> router.queues.size()):
        known = router.queue_slots.get(router.queues[queue].number, -1) == queue
        ensure(
            known == (router.profiles.programs[queue] is not None),
            f"queue slot {queue} is half in use",
        )
        for channel in range(router.workers.channels):
            number = router.group_of(queue, channel)
            if number != -1:
                group = <TaskGroup> router.groups[number]
                ensure(
                    known and group.queue == queue and group.channel == channel,
                    f"group {number} is not the one of queue slot {queue}",
                )
    ensure(len(router.queue_slots) + router.vacant_queues.size()
           == router.queues.size(), "a queue slot is lost")
    return 0


cdef int check_fresh(Router router) except -1:
    cdef int32_t worker
    fresh = list(router.fresh)
    ensure(len(set(fresh)) == len(fresh), "a worker is fresh twice")
    for worker in range(<int32_t> router.workers.rows.size()):
        marked = router.workers.slots.used(worker) and router.workers.rows[worker].fresh
        ensure(
            (worker in fresh) == marked, f"worker slot {worker} is wrongly fresh or not"
        )
    return 0


cdef int check_queues(Router router) except -1:
    cdef int32_t slot, worker, members, available
    for queue, slot in router.queue_slots.items():
        members = available = 0
        for worker in range(<int32_t> router.workers.rows.size()):
            if router.workers.slots.used(worker):
                if router.profile_of(worker).belongs(slot):
                    members += 1
                    available += router.workers.rows[worker].available
        counted = router.queues[slot]
        ensure(counted.members == members, f"queue {queue} has {members} members")
        ensure(
            counted.available == available, f"queue {queue} has {available} available"
        )
    return 0


cdef int check_tasks(Router router) except -1:
    cdef int32_t task, position
    cdef Place place
    cdef TaskGroup group
    waiting = dict.fromkeys(router.queue_slots.values(), 0)
    sequences = set()
    for task in range(<int32_t> router.places.size()):
        if not router.task_slots.used(task):
            continue
        place = router.places[task]
        group = <TaskGroup> router.groups[place.group]
        where = f"task slot {task} at {place}"
        ensure(group is not None, f"its group is gone: {where}")
        ensure(group.waiting.slots.used(place.slot), f"its group has it not: {where}")
        ensure(group.waiting.tasks[place.slot].item == task, f"another's slot: {where}")
        waiting[group.queue] += 1
        position = group.waiting.tasks[place.slot].position
        sequences.add(group.waiting.heap[position].sequence)
    ensure(len(sequences) == sum(waiting.values()), "two tasks share a sequence")
    total = sum([len((<TaskGroup> group).waiting) for group in router.groups
                 if group is not None])
    ensure(total == len(sequences), "a group holds a task that is gone")
    for slot, count in waiting.items():
        ensure(
            router.queues[slot].waiting == count,
            f"{count} tasks wait in queue slot {slot}",
        )
    return 0


cdef int check_group(Router router, int32_t number, TaskGroup group) except -1:
    cdef int32_t worker
    cdef int32_t free = 0
    where = f"group {number} of queue slot {group.queue} and channel {group.channel}"
    found = router.group_of(group.queue, group.channel)
    ensure(found == number, f"it is not found: {where}")
    group.waiting.check()
    group.idle.check()
    for worker in range(<int32_t> router.workers.rows.size()):
        if router.workers.slots.used(worker) and group.is_candidate(worker):
            free += 1
            ensure(
                group.idle.holds(worker) or router.workers.rows[worker].fresh,
                f"free worker slot {worker} is neither fresh nor in line: {where}",
            )
    ensure(free == group.free, f"{free} are free, {group.free} counted: {where}")
    ensure(
        group.live == (free > 0 and len(group.waiting) > 0), f"live is wrong: {where}"
    )
    ensure(
        group.ready == (number in list(router.ready)), f"ready is wrong: {where}"
    )
    ensure(group.ready or not group.live, f"it is live and not ready: {where}")
    return 0


cdef int check_profiles(Router router) except -1:
    cdef int32_t worker, value, path
    cdef Profiles profiles = router.profiles
    cdef Profile profile
    check_programs(profiles)
    references = {}
    counts = {}
    for worker in range(<int32_t> router.workers.rows.size()):
        if not router.workers.slots.used(worker):
            continue
        profile = router.profile_of(worker)
        counts[profile] = counts.get(profile, 0) + 1
        for path in range(<int32_t> profile.row.size()):
            value = profiles.read(path, router.workers.attributes[worker])
            profiles.values.release(value)
            ensure(
                value == profile.row[path],
                f"worker slot {worker} has another value of {profiles.paths[path]}",
            )
    for profile in profiles.rows:
        if profile is not None:
            ensure(profile.workers == counts.get(profile, 0) > 0, "a profile miscounts")
            check_profile(profiles, profile, references)
    check_values(profiles, references)
    return 0


cdef int check_programs(Profiles profiles) except -1:
    cdef int32_t queue, path
    cdef Instruction step
    readers = [set() for _ in profiles.paths]
    counts = [0] * len(profiles.paths)
    for queue in range(<int32_t> len(profiles.programs)):
        if profiles.programs[queue] is not None:
            for step in (<Program> profiles.programs[queue]).code:
                if step.opcode == OP_PATH:
                    readers[step.argument].add(queue)
                    counts[step.argument] += 1
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
    return 0


cdef int check_profile(Profiles profiles, Profile profile, dict references) except -1:
    cdef int32_t queue, value
    ensure(len(list(profile.row)) == len(profiles.paths), "a profile lacks paths")
    for queue in range(<int32_t> len(profiles.programs)):
        ensure(
            profile.belongs(queue) == profiles.evaluate(queue, profile),
            f"queue slot {queue}: the remembered answer is wrong",
        )
    known = range(64 * <int32_t> profile.bits.size())
    queues = [queue for queue in known if profile.belongs(queue)]
    ensure(queues == list(profile.queues), "queues and bits of a profile differ")
    for value in profile.row:
        references[value] = references.get(value, 0) + 1
    ensure(
        profiles.by_row.count(profile.row) == 1
        and profiles.rows[profiles.by_row[profile.row]] is profile,
        "a profile is not found by its values",
    )
    return 0


cdef int check_values(Profiles profiles, dict references) except -1:
    """Compare the references that are counted with those there are."""
    cdef int32_t value, element, queue
    cdef Instruction step
    cdef Values values = profiles.values
    for queue in range(<int32_t> len(profiles.programs)):
        if profiles.programs[queue] is not None:
            for step in (<Program> profiles.programs[queue]).code:
                if step.opcode == OP_CONST:
                    references[step.argument] = references.get(step.argument, 0) + 1
    for value in values.ids.values():
        for element in values.arrays[value]:
            references[element] = references.get(element, 0) + 1
    for key, value in values.ids.items():
        ensure(values.keys[value] == key, f"value {key!r} has another's id")
        ensure(
            values.rows[value].references == references.get(value, 0) > 0,
            f"value {key!r} is counted {values.rows[value].references} times, "
            f"referred to {references.get(value, 0)} times",
        )
    return 0


cdef list dump_queues(Router router):
    cdef int32_t slot
    queues = []
    for queue, slot in sorted(router.queue_slots.items()):
        queues.append({
            "queue": queue,
            "program": (<Program> router.profiles.programs[slot]).source,
            "members": router.queues[slot].members,
            "available": router.queues[slot].available,
            "waiting": router.queues[slot].waiting,
        })
    return queues


cdef list dump_workers(Router router):
    cdef int32_t slot, queue, channel
    cdef Profile profile
    cdef Workers workers = router.workers
    dumped = []
    for slot in range(<int32_t> workers.rows.size()):
        if not workers.slots.used(slot):
            continue
        rooms = [
            (number, workers.room(slot, channel).capacity,
             workers.room(slot, channel).occupied)
            for channel, number in enumerate(router.channels)
        ]
        profile = router.profile_of(slot)
        queues = [router.queues[queue].number for queue in profile.queues]
        dumped.append({
            "order": workers.rows[slot].order,
            "attributes": workers.attributes[slot],
            "available": workers.rows[slot].available != 0,
            "last_offered": workers.rows[slot].last_offered,
            "channels": sorted([room for room in rooms if room[1] or room[2]]),
            "queues": sorted(queues),
        })
    return sorted(dumped, key=itemgetter("order"))


cdef list dump_tasks(Router router):
    cdef TaskEntry entry
    cdef TaskGroup group
    tasks = []
    for group in router.groups:
        if group is None:
            continue
        for entry in group.waiting.heap:
            tasks.append({
                "sequence": entry.sequence,
                "queue": router.queues[group.queue].number,
                "channel": router.channels[group.channel],
                "priority": entry.priority,
                "start": entry.start,
            })
    return sorted(tasks, key=itemgetter("sequence"))
