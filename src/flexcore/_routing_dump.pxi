# The facts a router was told and what follows from them, sorted, without handles.

cdef dict dump_router(Router router):
    cdef int32_t slot
    return {
        "channels": sorted([
            number
            for slot, number in enumerate(router.channels)
            if router.workers.optimized[<int32_t> slot]
        ]),
        "queues": dump_queues(router),
        "workers": dump_workers(router),
        "tasks": dump_tasks(router),
    }


cdef list dump_queues(Router router):
    cdef int32_t slot
    cdef Queue queue
    queues = []
    for slot in range(<int32_t> router.lanes.queues.size()):
        queue = router.lanes.queues[slot]
        if queue.number == -1:
            continue
        queues.append({
            "queue": queue.number,
            "program": (<Program> router.profiles.programs[slot]).source,
            "lifo": queue.lifo != 0,
            "preferred": queue.preferred != 0,
            "fan_out": queue.fan_out,
            "order": <int> queue.order,
            "cursor": queue.cursor,
            "members": queue.members,
            "available": queue.available,
            "waiting": queue.waiting,
        })
    return sorted(queues, key=itemgetter("queue"))


cdef list dump_workers(Router router):
    cdef int32_t slot, queue, channel
    cdef Profile *profile
    cdef Worker row
    cdef Workers workers = router.workers
    dumped = []
    for slot in range(<int32_t> workers.rows.size()):
        if not workers.slots.used(slot):
            continue
        row = workers.rows[slot]
        profile = router.profiles.rows[row.profile]
        queues = [router.lanes.queues[queue].number for queue in profile.queues]
        rooms = [
            (number, *dump_room(workers.room(slot, channel)[0]))
            for channel, number in enumerate(router.channels)
        ]
        untouched = dump_room(no_room())
        dumped.append({
            "order": row.order,
            "attributes": workers.attributes[slot],
            "activity": row.activity,
            "available": row.available != 0,
            "available_since": row.available_since,
            "channels": sorted([room for room in rooms if room[1:] != untouched]),
            "queues": sorted(queues),
        })
    return sorted(dumped, key=itemgetter("order"))


cdef tuple dump_room(Room room):
    return (
        room.capacity,
        room.occupied,
        room.assigned,
        room.open != 0,
        room.offered,
        room.released,
    )


cdef list dump_tasks(Router router):
    cdef TaskEntry entry
    cdef TaskClass *tasks
    cdef int64_t handle
    cdef bint lifo
    dumped = []
    for tasks in router.classes.rows:
        if tasks.lane == -1:
            continue
        lane = router.lanes.lanes[tasks.lane]
        lifo = router.lanes.queues[lane.queue].lifo
        pair, order_by = (), ()
        if lane.spec != -1:
            pair = (<Spec> router.lanes.specs[lane.spec]).pair
            order_by = (<Spec> router.lanes.specs[lane.spec]).order_by
        for entry in tasks.heap:
            dumped.append({
                "sequence": ~entry.sequence if lifo else entry.sequence,
                "queue": router.lanes.queues[lane.queue].number,
                "channel": router.channels[lane.channel],
                "priority": router.backlog.priorities[entry.slot],
                "start": ~entry.start if lifo else entry.start,
                "pair": pair,
                "order_by": order_by,
                "attributes": attributes_of(router.backlog, entry.slot),
                "known": dump_known(router.workers, tasks.known),
                "excluded": sorted([
                    router.workers.rows[handle & 0xFFFFFFFF].order
                    for handle in tasks.excluded
                    if router.workers.slots.live(handle)
                ]),
            })
    return sorted(dumped, key=itemgetter("sequence"))


cdef object attributes_of(Backlog backlog, int32_t task):
    known = task < <int32_t> len(backlog.attributes)
    return backlog.attributes[task] if known else None


cdef object dump_known(Workers workers, int64_t known):
    """The order of the only worker, in a tuple, or an empty one; None for anybody."""
    if known == ANYBODY:
        return None
    if not workers.slots.live(known):
        return ()
    return (workers.rows[known & 0xFFFFFFFF].order,)
