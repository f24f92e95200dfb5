# TaskGroup: the tasks of one queue on one channel, and who can take them.

@cython.final
cdef class TaskGroup:

    def __cinit__(
        self,
        int32_t queue,
        int32_t channel,
        Workers workers not None,
        Profiles profiles not None,
    ):
        self.queue = queue
        self.channel = channel
        self.workers = workers
        self.profiles = profiles
        self.waiting = TaskQueue()
        self.idle = IdleOrder(workers)

    cdef bint is_candidate(self, int32_t worker) noexcept:
        cdef int32_t profile = self.workers.rows[worker].profile
        return self.workers.free(worker, self.channel) and (
            <Profile> self.profiles.rows[profile]
        ).belongs(self.queue)

    cdef int32_t best(self, vector[int32_t] &fresh) except -1:
        """Return the free member offered something least recently.

        `fresh` are few and not yet in the idle order; free is above zero.
        """
        cdef int32_t worker, other
        cdef int32_t best = -1
        cdef int32_t seen = 0
        for worker in fresh:
            if self.is_candidate(worker):
                seen += 1
                if best == -1 or self.workers.is_before(worker, best):
                    best = worker
        if seen < self.free:
            other = self.best_idle()
            if best == -1 or self.workers.is_before(other, best):
                best = other
        return best

    cdef int32_t best_idle(self) except -1:
        """Return the best in the idle order, which has a free member."""
        cdef IdleEntry entry
        cdef int64_t last_offered
        while True:
            entry = self.idle.heap[0]
            last_offered = self.workers.rows[entry.worker].last_offered
            if not self.is_candidate(entry.worker):
                self.idle.leave(0)
            elif entry.last_offered != last_offered:
                self.idle.sink(0, IdleEntry(last_offered, entry.worker))
            else:
                return entry.worker
