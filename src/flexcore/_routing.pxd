"""Fields and C methods of the matcher; a Cython program may cimport this.

Nothing here is safe against wrong numbers: slots and handles are checked by the public
methods, which _routing.pyi describes. All classes belong to one thread.

A program that counts nanoseconds asks Router once for the slots of its queues, channels
and workers (queue_slot, channel_slot, worker_slot) and then calls free_room, enqueue and
decide, which are release, add_task and match without Python objects.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libcpp.map cimport map as cpp_map
from libcpp.string cimport string
from libcpp.unordered_map cimport unordered_map
from libcpp.unordered_set cimport unordered_set
from libcpp.vector cimport vector


# What the matcher is told, and what it works out of it: slots to specs.
include "_routing_facts.pxd"


# _routing_lanes.pxi

cdef struct Queue:
    int64_t number          # the caller's; -1 if vacant
    int64_t cursor          # order of the worker last offered something, round robin
    int32_t members
    int32_t available       # members whose activity is available
    int32_t waiting
    int32_t fan_out         # 0: nothing is offered
    int32_t tier            # queues of a lower one come first
    Order order
    bint lifo
    bint preferred


cdef struct Front:
    int64_t rank            # of the first task of a lane; of nothing_first, if nothing
    int64_t start           # is to be offered
    int64_t sequence
    int32_t tier            # NEVER if nothing is to be offered
    int32_t next            # another lane of the same queue and channel, or -1
    int32_t open            # the only class of the lane, if it is for anybody, or -1
    int32_t free            # workers lined up, in all lines
    int32_t order           # of a lane with one line, which is in Lanes.turns, or -1
    int32_t choosy          # another lane, another tier than 0, or not for anybody


cdef struct IdleEntry:
    int64_t clock           # as it was when the entry was placed; never too late
    int32_t worker
    uint32_t stamp          # of the line-up that placed it: an earlier one counts no more


cdef cppclass Turns:
    """Entries of workers, the first one first.

    Whoever is offered something comes after nearly all who are there, so most entries are
    added near the end and leave at the front. Those are in a row, where that costs a few
    moves and not a way through a heap. A heap has the others.
    Invariant: row ascends from `first` on; what is before it is done with.
    """

    vector[IdleEntry] row
    size_t first
    vector[IdleEntry] heap


cdef cppclass Line:
    """Free members of a lane that suit the same tasks, the best first.

    A worker who became busy, or whose clock moved, keeps their entry until it comes up.
    Then it is dropped, or moved to where the clock says now; so an offer costs nothing
    in the other lanes of its worker. Whoever is lined up again gets another entry, and
    the stamp tells it from those before.
    Invariant: every worker counted in `free` has one entry with the stamp of their room,
    and that is not too late.
    """

    Turns turns
    cpp_map[int64_t, IdleEntry] ring    # by order, instead of turns


cdef struct Mark:
    int32_t facet           # 0 where no spec reads anything
    int32_t level           # of utilization; 0 where it does not count
    int32_t free            # workers in the line


cdef cppclass Lane:
    """Where tasks wait for the same workers: a queue, a channel and a spec."""

    int32_t queue
    int32_t channel
    int32_t spec            # slot; -1 for none
    bint simple             # has one line, for everybody, which is in Lanes.turns
    bint ring               # goes around: round robin
    Order order
    int32_t occupied        # lines with somebody
    int32_t plain           # the class of tasks anybody may take; -1 if none
    vector[Line] lines
    vector[Mark] marks                  # of the lines: what every offer looks at
    vector[int32_t] line_by_facet               # or -1, where levels do not count
    unordered_map[int64_t, int32_t] line_at     # facet << 32 | level, where they do
    vector[TaskEntry] heads             # first tasks of classes, whose numbers are slots
    unordered_map[int32_t, int32_t] class_of    # by kind: for anybody
    cpp_map[vector[int64_t], int32_t] class_at  # all others, by kind, known, excluded


@cython.final
cdef class Lanes:
    """Queues with their lanes, and the lines of free workers in them."""

    cdef Workers workers
    cdef Profiles profiles
    cdef list specs                     # by slot: Spec; None if vacant
    cdef vector[Queue] queues           # by slot
    cdef vector[int32_t] vacant_queues
    cdef vector[Lane*] lanes            # by number; NULL if vacant
    cdef vector[Front] fronts           # by number: what every step looks at
    cdef vector[Turns] turns            # by number: the line of a simple lane
    cdef vector[int32_t] vacant_lanes
    cdef vector[int32_t] lane_at        # by queue * workers.channels + channel, or -1

    cdef bint belongs(self, int32_t worker, int32_t queue) noexcept
    cdef int32_t first_at(self, int32_t queue, int32_t channel) noexcept
    cdef int widen(self, int32_t channels) except -1
    cdef int32_t add_queue(self, int64_t number) except -1
    cdef int32_t find(self, int32_t queue, int32_t channel, int32_t spec) noexcept
    cdef int32_t open(self, int32_t queue, int32_t channel, int32_t spec) except -1
    cdef int close(self, int32_t number) except -1
    cdef void note_choosy(self, int32_t number) noexcept
    cdef int relay(self, int32_t number) except -1
    cdef Turns *turns_of(self, int32_t number, int32_t line) noexcept
    cdef int32_t line_of(self, Lane *lane, int32_t worker) except -1
    cdef int32_t add_line(self, Lane *lane, int32_t facet, int32_t level) except -1
    cdef int name_line(self, Lane *lane, Mark mark, int32_t number) except -1
    cdef int drop_empty_lines(self, Lane *lane) except -1
    cdef int enter(self, int32_t number, int32_t worker) except -1
    cdef bint bars(self, Lane *lane, int32_t worker) noexcept
    cdef int place(self, int32_t number, int32_t line, int32_t worker) except -1
    cdef int push(
        self, Lane *lane, Turns *turns, const IdleEntry &entry, int32_t free
    ) except -1
    cdef int leave(self, int32_t number, int32_t worker) except -1
    cdef bint stands(self, Lane *lane, IdleEntry *entry) noexcept
    cdef int64_t clock(self, Lane *lane, int32_t worker) noexcept
    cdef IdleEntry *settle(self, Lane *lane, Turns *turns) except? NULL
    cdef void pop(self, Turns *turns) noexcept
    cdef int compact(self, Lane *lane, Turns *turns) except -1
    cdef int keep_standing(self, Lane *lane, vector[IdleEntry] &entries) except -1
    cdef int compact_ring(self, Lane *lane, Line *line) except -1
    cdef int sweep(self) except -1


# _routing_roster.pxi

@cython.final
cdef class Roster:
    """Who belongs to which queue, and who is lined up there.

    Who becomes free is fresh until the next match has looked: with a backlog that match
    keeps them busy at once, and they never enter the lines of all their queues, which
    would be most of the cost of a step. Whatever else moves a worker between lines makes
    them leave all of them and be fresh.
    """

    cdef Workers workers
    cdef Profiles profiles
    cdef Lanes lanes
    cdef unordered_map[int64_t, int32_t] in_activity    # queue << 32 | activity
    cdef vector[int32_t] live_specs
    cdef int32_t utilization            # queues of that order
    cdef vector[int32_t] fresh

    cdef int freshen(self, int32_t worker) except -1
    cdef int line_up(self, int32_t worker) except -1
    cdef int line_up_on(self, int32_t worker, int32_t channel) except -1
    cdef int unline(self, int32_t worker, int32_t channel) except -1
    cdef int unline_all(self, int32_t worker) except -1
    cdef int loosen(self, int32_t worker) except -1
    cdef int follow(self, int32_t worker, int32_t channel) except -1
    cdef int follow_all(self, int32_t worker) except -1
    cdef int turn_back(self, int32_t worker) except -1
    cdef int count(self, int32_t worker, int32_t queue, int32_t step) except -1
    cdef int count_all(self, int32_t worker, int32_t step) except -1
    cdef void aim(self, int32_t worker) noexcept
    cdef int aim_all(self) except -1
    cdef int enroll(self, int32_t queue, bint joins) except -1
    cdef int relay(self, int32_t queue) except -1
    cdef int shift(self, int32_t worker, int32_t profile) except -1
    cdef bint refacet(self, int32_t worker, Spec spec) except -1
    cdef int reprofile(self, int32_t path) except -1
    cdef int describe(self, int32_t worker, dict attributes) except -1
    cdef int switch(
        self, int32_t worker, int32_t activity, bint available, int64_t since
    ) except -1
    cdef int join_spec(self, Spec spec) except -1
    cdef int admit(self, int32_t worker) except -1
    cdef int dismiss(self, int32_t worker) except -1


# _routing_classes.pxi

cdef cppclass TaskClass:
    """Waiting tasks of a lane that the same workers may take."""

    vector[TaskEntry] heap
    int32_t lane                    # -1 if vacant
    bint listed                     # is in Lane.heads: has tasks, not for nobody
    int32_t kind                    # of the spec; -1 if that reads nothing of tasks
    bint ready                      # is in Backlog.ready
    int64_t known                   # handle of the only worker, ANYBODY or NOBODY
    vector[int64_t] excluded        # handles, ascending


@cython.final
cdef class Classes:
    """Classes of waiting tasks, and the heap of their first tasks in each lane."""

    cdef Lanes lanes
    cdef vector[TaskClass*] rows        # by number
    cdef vector[int32_t] kind_of        # by number, or GUARDED
    cdef vector[int32_t] positions      # by number, in Lane.heads
    cdef vector[int32_t] vacant
    cdef vector[int32_t] path           # scratch of first_of_lane: positions to look at
    cdef int64_t overruns               # how often CLASSES_MAX cut a search short

    cdef int32_t class_for(
        self, int32_t number, int32_t kind, int64_t known, vector[int64_t] &excluded
    ) except -1
    cdef int32_t new_class(self) except -1
    cdef int retire(self, int32_t number) except -1
    cdef bint accepts(self, Lane *lane, TaskEntry *head, int32_t worker) except -1
    cdef bint accepts_class(self, Lane *lane, int32_t number, int32_t worker) except -1
    cdef bint admits(self, TaskClass *tasks, int32_t worker) noexcept
    cdef void front_of(self, int32_t number, Front *front) noexcept
    cdef void refront(self, int32_t number) noexcept
    cdef int head_changed(self, int32_t number) except -1
    cdef void only_head_changed(self, Lane *lane, TaskClass *tasks) noexcept
    cdef int reheap(self, int32_t number) except -1
    cdef int32_t first_for(
        self, int32_t worker, int32_t channel, Front *bound
    ) except -2
    cdef int32_t first_of_lane(
        self, int32_t number, int32_t worker, Front *bound
    ) except -2


# _routing_backlog.pxi

cdef struct Ready:
    Front head
    int32_t number


@cython.final
cdef class Backlog:
    """The waiting tasks, and the classes somebody in line may suit.

    Invariant between two calls: a class with tasks that a worker in line may take is
    ready, if its queue offers anything.
    """

    cdef Lanes lanes
    cdef Classes classes
    cdef Slots slots
    cdef vector[int32_t] class_of       # by task slot
    cdef vector[int32_t] positions      # by task slot, in the heap of its class
    cdef vector[int64_t] priorities     # by task slot
    cdef list attributes                # by task slot; as far as any was told
    cdef vector[int32_t] waiting_on     # by channel
    cdef vector[Ready] ready            # a heap while a match goes on

    cdef int32_t add(
        self, int32_t number, int64_t priority, int64_t start, int64_t sequence
    ) except -1
    cdef int remove(self, int32_t task) except -1
    cdef int remove_from(self, int32_t number, int32_t position) except -1
    cdef int change(self, int32_t task, int64_t priority) except -1
    cdef int describe(self, int32_t task, dict attributes) except -1
    cdef int rekey(self, int32_t slot, bint lifo) except -1
    cdef int close_lane(self, int32_t number) except -1
    cdef int mark(self, int32_t number) except -1
    cdef int mark_lane(self, int32_t number) except -1
    cdef int mark_queue(self, int32_t queue) except -1
    cdef int collect(self) except -1
    cdef bint is_over(self, int32_t number) noexcept
    cdef int unmark(self, int32_t number) except -1
    cdef int drop_first(self) except -1
    cdef int32_t first_ready(self, Front *front) except -2


# _routing_decisions.pxi

cdef struct Pick:
    int32_t rank
    int32_t level
    int64_t clock
    int64_t order
    int32_t worker          # -1 if nobody
    int32_t line            # where the entry is on top; -1 if it is not in line


cdef struct Offer:
    int64_t task            # handles
    int64_t worker
    int64_t runner_up       # 0 if there is none
    int32_t candidates
    int32_t worker_slot


@cython.final
cdef class Decisions:
    """Turns what waits and who is free into offers."""

    cdef Workers workers
    cdef Lanes lanes
    cdef Roster roster
    cdef Classes classes
    cdef Backlog backlog
    cdef vector[Offer] offers           # of the last match
    cdef vector[Pick] picks             # best first; those to be offered, and one more
    cdef vector[int32_t] loose          # fresh candidates
    cdef vector[int32_t] suited         # lines of candidates
    cdef vector[int32_t] aside          # workers whose entries were taken off a line

    cdef Py_ssize_t decide(self, int64_t now, Py_ssize_t limit) except -1
    cdef bint decide_alone(self, int64_t now) except -1
    cdef int line_up(self, bint marking) except -1
    cdef int32_t next_class(self) except -2
    cdef int32_t best_for(self, int32_t worker, Front *bound) except -2
    cdef int32_t best_on(
        self, int32_t worker, int32_t channel, Front *bound
    ) except -2
    cdef bint is_alone(self, int32_t number) noexcept
    cdef int serve_alone(self, int32_t number, int64_t now) except -1
    cdef int serve(self, int32_t number, int64_t now) except -1
    cdef int restore(self, int32_t number) except -1
    cdef int32_t line_of(self, int32_t number, int32_t worker) except -1
    cdef int32_t choose(self, int32_t number, Py_ssize_t wanted) except -1
    cdef int32_t count(self, int32_t number) except -1
    cdef int32_t count_lined(self, TaskClass *tasks) except -1
    cdef int32_t count_suited(self, TaskClass *tasks, Lane *lane) except -1
    cdef bint stands(self, TaskClass *tasks, Lane *lane, int32_t worker) except -1
    cdef int next_pick(self, TaskClass *tasks, Pick *best) except -1
    cdef int peek(self, TaskClass *tasks, int32_t line, Pick *pick) except -1
    cdef int peek_ring(self, TaskClass *tasks, int32_t line, Pick *pick) except -1
    cdef void describe(self, Lane *lane, int32_t worker, Pick *pick) noexcept
    cdef bint taken(self, int32_t worker) noexcept
    cdef bint candidate(self, int32_t number, int32_t worker) except -1
    cdef int occupy(
        self, int32_t worker, int32_t channel, int64_t now
    ) except -1


# _routing_router.pxi

@cython.final
cdef class Router:
    """Workers, waiting tasks and the offers that follow. One per workspace.

    Public numbers of queues and channels become slots in the public methods; below them
    there are slots only.
    """

    cdef Values values
    cdef Profiles profiles
    cdef Workers workers
    cdef Lanes lanes
    cdef Roster roster
    cdef Classes classes
    cdef Backlog backlog
    cdef Decisions decisions
    cdef Numbers queue_numbers
    cdef Numbers channel_numbers
    cdef list channels                  # by slot: number
    cdef Slots spec_slots
    cdef dict spec_ids                  # (pair, order_by) -> slot

    # For programs in Cython: slots, nothing checked, no Python object touched.
    # free_room is release; enqueue is add_task without a spec; decide is match, with
    # limit -1 for none: it returns the number of offers, which are in
    # decisions.offers until the next call.
    cdef int32_t queue_slot(self, int64_t queue) except -1
    cdef int32_t channel_slot(self, int64_t channel) except -1
    cdef int32_t worker_slot(self, int64_t worker) except -1
    cdef int free_room(self, int32_t worker, int32_t channel, int64_t now) except -1
    cdef int32_t enqueue(
        self,
        int32_t queue,
        int32_t channel,
        int64_t priority,
        int64_t start,
        int64_t sequence,
    ) except -1
    # The same for a task with a spec: spec is a slot of spec_slots, known a handle,
    # ANYBODY (-1) or NOBODY (0).
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
    ) except -1
    cdef int dequeue(self, int32_t task) except -1
    cdef Py_ssize_t decide(self, int64_t now, Py_ssize_t limit) except -1

    cdef int32_t spec_slot(self, int64_t spec) except -2
    cdef bint program_differs(self, int32_t slot, tuple program)
    cdef int32_t program_queue(
        self, int64_t queue, int32_t slot, tuple program
    ) except -1
    cdef int read_paths(self) except -1
    cdef int drop_paths(self) except -1
    cdef Spec make_spec(self, tuple pair, tuple order_by)
