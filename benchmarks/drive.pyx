# distutils: language = c++
"""Plays a trace on a Router from C: what a step costs without calls from Python.

benchmarks/build.py compiles it against the declarations of the matcher. It calls what the
public methods call after they have checked their arguments and found the slots.
"""

from cpython cimport array
from libc.stdint cimport int32_t, int64_t
from libcpp.vector cimport vector

from flexcore._routing cimport Offer, Router


cdef struct Pair:
    int64_t task
    int64_t worker


cdef class Drive:
    """A Router in the contact center of a trace."""

    cdef Router router
    cdef vector[int32_t] queues     # by number: slot
    cdef vector[int32_t] channels   # likewise
    cdef vector[int32_t] workers    # likewise
    cdef vector[int64_t] tasks      # by number: handle
    cdef vector[Pair] offers        # handles
    cdef int64_t now

    def __init__(self, Router router not None, workers, queues, channels):
        """Take a Router with its workers (handles), queues and channels (numbers)."""
        self.router = router
        for queue in queues:
            self.queues.push_back(router.queue_slot(queue))
        for channel in channels:
            self.channels.push_back(router.channel_slot(channel))
        for worker in workers:
            self.workers.push_back(router.worker_slot(worker))

    def open(self, array.array tasks not None):
        """Let tasks arrive, each four numbers of a trace."""
        cdef int64_t *at = <int64_t *> tasks.data.as_longlongs
        cdef int64_t *end = at + len(tasks)
        while at < end:
            self.arrive(at)
            at += 4

    def play(self, array.array steps not None):
        """Play steps, each six numbers of a trace: this is timed."""
        cdef int64_t *at = <int64_t *> steps.data.as_longlongs
        cdef int64_t *end = at + len(steps)
        while at < end:
            self.complete(self.workers[at[0]], self.channels[at[1]])
            self.arrive(at + 2)
            at += 6

    def sequence(self):
        """Return the offers so far as (task, worker), by number."""
        cdef Py_ssize_t number
        cdef Pair offer
        tasks = {
            self.tasks[number]: number
            for number in range(<Py_ssize_t> self.tasks.size())
        }
        workers = {
            self.router.workers.slots.handle(self.workers[number]): number
            for number in range(<Py_ssize_t> self.workers.size())
        }
        return [(tasks[offer.task], workers[offer.worker]) for offer in self.offers]

    cdef int arrive(self, const int64_t *task) except -1:
        cdef int32_t slot = self.router.enqueue(
            self.queues[task[0]],
            self.channels[task[1]],
            task[2],
            task[3],
            <int64_t> self.tasks.size(),
        )
        self.tasks.push_back(self.router.backlog.slots.handle(slot))
        return self.match()

    cdef int complete(self, int32_t worker, int32_t channel) except -1:
        self.router.free_room(worker, channel, self.now + 1)
        return self.match()

    cdef int match(self) except -1:
        cdef Py_ssize_t number
        cdef const Offer *offer
        self.now += 1
        for number in range(self.router.decide(self.now, -1)):
            offer = &self.router.decisions.offers[number]
            self.offers.push_back(Pair(offer.task, offer.worker))
        return 0
