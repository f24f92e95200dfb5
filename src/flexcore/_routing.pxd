"""Fields and C methods of the matcher; a Cython program may cimport this.

Nothing here is safe against wrong numbers: slots and handles are checked by the public
methods, which _routing.pyi describes. All classes belong to one thread.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libcpp.map cimport map as cpp_map
from libcpp.string cimport string
from libcpp.vector cimport vector


# _routing_queue.pxi

@cython.final
cdef class Slots:
    """Hands out small numbers again and again, and handles that never come back.

    A handle is generation << 32 | slot. Generations are odd while the slot is in use.
    """

    cdef vector[int32_t] generations    # by slot
    cdef vector[int32_t] vacant         # slots to hand out before new ones

    cdef int32_t acquire(self) except -1
    cdef int release(self, int32_t slot) except -1
    cdef int64_t handle(self, int32_t slot) noexcept
    cdef bint live(self, int64_t handle) noexcept
    cdef bint used(self, int32_t slot) noexcept
    cdef int32_t find(self, int64_t handle) except -1
    cdef Py_ssize_t count(self) noexcept


cdef struct TaskEntry:
    int64_t priority    # high first
    int64_t start       # then low first
    int64_t sequence    # then low first; differs from task to task
    int32_t slot


cdef struct TaskSlot:
    int64_t item
    int32_t position    # of its entry in the heap


@cython.final
cdef class TaskQueue:
    """A heap of four children per entry; every slot knows where its entry is.

    Invariant: no entry precedes its parent, and slots[heap[i].slot].position == i.
    """

    cdef Slots slots
    cdef vector[TaskSlot] tasks         # by slot
    cdef vector[TaskEntry] heap

    cdef int32_t add(
        self, int64_t item, int64_t priority, int64_t start, int64_t sequence
    ) except -1
    cdef int discard(self, int32_t slot) except -1
    cdef void change(self, int32_t slot, int64_t priority) noexcept
    cdef void place(self, Py_ssize_t position, TaskEntry entry) noexcept
    cdef void rise(self, Py_ssize_t position, TaskEntry entry) noexcept
    cdef void sink(self, Py_ssize_t position, TaskEntry entry) noexcept


# _routing_workers.pxi

cdef struct Worker:
    int64_t last_offered    # microseconds; the idle clock
    int64_t order           # breaks ties of the clock; differs from worker to worker
    int32_t profile
    bint available
    bint fresh              # is in Router.fresh


cdef struct Room:
    int32_t capacity
    int32_t occupied        # may exceed the capacity after that was lowered


@cython.final
cdef class Workers:
    """The workers of a router, with the room each has on each channel."""

    cdef Slots slots
    cdef vector[Worker] rows            # by slot
    cdef vector[Room] rooms             # by slot * channels + channel
    cdef int32_t channels
    cdef list attributes                # by slot; kept by reference, None if vacant
    cdef set orders

    cdef int32_t add(self, dict attributes, Worker row) except -1
    cdef int remove(self, int32_t worker) except -1
    cdef int widen(self, int32_t channels) except -1
    cdef Room *room(self, int32_t worker, int32_t channel) noexcept
    cdef bint free(self, int32_t worker, int32_t channel) noexcept
    cdef bint is_before(self, int32_t worker, int32_t other) noexcept


cdef packed struct IdleEntry:   # one per worker, queue and channel: size counts
    int64_t last_offered    # as it was when the entry was placed; never too late
    int32_t worker


@cython.final
cdef class IdleOrder:
    """A heap of workers by idle clock that is put right at its top only.

    A worker that became busy or was offered something keeps its entry until the entry
    comes up. Then it is dropped, or moved to where the clock says now. So an offer
    costs nothing in the other queues of its worker.
    Invariant: at most one entry per worker, none later than the clock of its worker.
    """

    cdef Workers workers
    cdef vector[IdleEntry] heap
    cdef vector[uint64_t] present       # bits by worker: has an entry

    cdef bint holds(self, int32_t worker) noexcept
    cdef int enter(self, int32_t worker) except -1
    cdef void leave(self, Py_ssize_t position) noexcept
    cdef Py_ssize_t find(self, int32_t worker) noexcept
    cdef void forget(self, int32_t worker) noexcept
    cdef void turn_back(self, int32_t worker) noexcept
    cdef bint precedes(self, IdleEntry *one, IdleEntry *other) noexcept
    cdef void rise(self, Py_ssize_t position, IdleEntry entry) noexcept
    cdef Py_ssize_t sink(self, Py_ssize_t position, IdleEntry entry) noexcept


# _routing_program.pxi

cdef enum Kind:
    KIND_NULL
    KIND_BOOLEAN
    KIND_INTEGER    # any whole number within 64 bits, written as int or float
    KIND_REAL       # any other finite float, hence below 2 ** 53 in magnitude
    KIND_GREAT      # a whole number beyond 64 bits, or infinite
    KIND_TEXT
    KIND_ARRAY
    KIND_OPAQUE     # an object, or not a number: equal to nothing, itself included


cdef struct Value:
    Kind kind
    int32_t references
    int64_t integer     # of KIND_INTEGER; of KIND_GREAT the sign, doubled if infinite
    double real


@cython.final
cdef class Values:
    """Attribute values and constants as numbers: equal scalars have equal ids.

    1 and 1.0 share an id, true has another. Of an array the set of its scalars is kept,
    since no operator sees more of it. Values are counted and forgotten with the last
    reference.
    """

    cdef vector[Value] rows             # by id
    cdef vector[string] texts           # by id: UTF-8, or a magnitude, high byte first
    cdef vector[vector[int32_t]] arrays # by id: ids of the elements, ascending
    cdef vector[int32_t] vacant
    cdef dict ids                       # canonical Python value -> id
    cdef list keys                      # by id

    cdef int32_t intern(self, object value) except -1
    cdef int32_t intern_array(self, object items) except -1
    cdef int32_t keep(self, object key) except -1
    cdef int32_t add(self, object key) except -1
    cdef int release(self, int32_t value) except -1
    cdef bint equal(self, int32_t one, int32_t other) noexcept
    cdef int compare(self, int32_t one, int32_t other) noexcept
    cdef int compare_numbers(self, int32_t one, int32_t other) noexcept
    cdef int compare_great(self, int32_t one, int32_t other) noexcept
    cdef bint contains(self, int32_t one, int32_t other) noexcept
    cdef bint has(self, int32_t array, int32_t value) noexcept


cdef enum Opcode:
    OP_CONST
    OP_PATH
    OP_EQUAL
    OP_UNEQUAL
    OP_LESS
    OP_LESS_OR_EQUAL
    OP_GREATER
    OP_GREATER_OR_EQUAL
    OP_CONTAINS
    OP_NOT_CONTAINS
    OP_HAS
    OP_IN
    OP_NOT_IN
    OP_AND
    OP_OR
    OP_IS_NULL
    OP_IS_NOT_NULL
    OP_NOT


cdef struct Instruction:
    Opcode opcode
    int32_t argument    # of OP_CONST a value, of OP_PATH a path


@cython.final
cdef class Program:
    """A predicate over one row of values."""

    cdef tuple source
    cdef vector[Instruction] code

    cdef bint holds(self, Values values, const int32_t *row, int32_t *stack) noexcept


@cython.final
cdef class Profile:
    """Workers of equal values in all that programs read, and their queues."""

    cdef vector[int32_t] row            # value by path; null where the path is unused
    cdef vector[int32_t] queues         # ascending
    cdef vector[uint64_t] bits          # the same, by queue
    cdef int32_t workers                # how many; the profile goes with the last one

    cdef bint belongs(self, int32_t queue) noexcept
    cdef int assign(self, int32_t queue, bint belongs) except -1


@cython.final
cdef class Profiles:
    """Evaluates each program once per profile and remembers the answer."""

    cdef Values values
    cdef list programs                  # by queue; None if vacant
    cdef list paths                     # by path: segments; None if unused
    cdef dict path_ids
    cdef vector[int32_t] path_references
    cdef vector[vector[int32_t]] readers    # by path: queues whose program reads it
    cdef list rows                      # by number: Profile; None if vacant
    cdef vector[int32_t] vacant
    cdef cpp_map[vector[int32_t], int32_t] by_row   # values to number
    cdef vector[int32_t] stack          # of the deepest program

    cdef Program compile(self, tuple source)
    cdef int32_t keep_path(self, tuple segments) except -1
    cdef list fresh_paths(self, Program program)
    cdef list drop_unused_paths(self)
    cdef int install(self, int32_t queue, Program program) except -1
    cdef int uninstall(self, int32_t queue) except -1
    cdef bint evaluate(self, int32_t queue, Profile profile)
    cdef int32_t enlist(self, dict attributes) except -1
    cdef int32_t move(self, int32_t profile, dict attributes, int32_t changed) except -1
    cdef int32_t read(self, int32_t path, dict attributes) except -1
    cdef int32_t join(self, vector[int32_t] &row, Profile origin) except -1
    cdef int32_t number(self, Profile profile) except -1
    cdef int remember(self, Profile profile, Profile origin) except -1
    cdef int leave(self, int32_t number) except -1


# _routing_group.pxi

@cython.final
cdef class TaskGroup:
    """Waiting tasks that the same workers can take: one queue, one channel.

    Invariant: live says that free and waiting are both above zero, and a live group is
    in the list of ready ones.
    """

    cdef int32_t queue
    cdef int32_t channel
    cdef Workers workers
    cdef Profiles profiles
    cdef TaskQueue waiting
    cdef IdleOrder idle                 # has every free member who is not fresh
    cdef int32_t free                   # members that are available and have room
    cdef bint live
    cdef bint ready

    cdef bint is_candidate(self, int32_t worker) noexcept
    cdef int32_t best(self, vector[int32_t] &fresh) except -1
    cdef int32_t best_idle(self) except -1


# _routing_router.pxi

cdef struct Queue:
    int64_t number      # the caller's; -1 if vacant
    int32_t members
    int32_t available   # members whose activity is available
    int32_t waiting


cdef struct Place:
    int32_t group
    int32_t slot        # in the group's TaskQueue


cdef struct Ready:
    TaskEntry head
    int32_t group


cdef struct Offer:
    int64_t task
    int64_t worker
    int32_t candidates


@cython.final
cdef class Router:
    """Workers, waiting tasks and the offers that follow. One per workspace.

    Public numbers of queues and channels become slots in the public methods; below them
    there are slots only. Every change keeps all counts right at once; `decide` turns
    live groups into offers until none is live.
    """

    cdef Profiles profiles
    cdef Workers workers
    cdef dict queue_slots               # number -> slot
    cdef vector[Queue] queues           # by slot
    cdef vector[int32_t] vacant_queues
    cdef dict channel_slots             # number -> slot
    cdef list channels                  # by slot: number
    cdef Slots task_slots
    cdef vector[Place] places           # by task slot
    cdef list groups                    # by number: TaskGroup; None if vacant
    cdef vector[int32_t] vacant_groups
    cdef vector[int32_t] group_at       # by queue * workers.channels + channel, or -1
    cdef vector[int32_t] ready          # groups that were live since the last match
    cdef int32_t live                   # how many are
    cdef vector[int32_t] fresh          # workers who became free since the last match
    cdef vector[Ready] heads            # heap of ready groups while deciding
    cdef vector[Offer] offers           # of the last match

    cdef int32_t queue_slot(self, int64_t queue) except -1
    cdef int32_t channel_slot(self, int64_t channel) except -1
    cdef int32_t add_queue(self, int64_t queue) except -1
    cdef int widen(self, int32_t channels) except -1
    cdef int32_t group_of(self, int32_t queue, int32_t channel) noexcept
    cdef int32_t open_group(self, int32_t queue, int32_t channel) except -1
    cdef int close_group(self, int32_t queue, int32_t channel) except -1
    cdef Profile profile_of(self, int32_t worker)
    cdef int settle(self, TaskGroup group, int32_t number) except -1
    cdef int count(self, int32_t number, int32_t step) except -1
    cdef int freshen(self, int32_t worker) except -1
    cdef int line_up(self) except -1
    cdef int turn(self, int32_t worker, int32_t channel, bint free) except -1
    cdef int join(self, int32_t worker, int32_t queue, bint joins) except -1
    cdef int join_all(self, int32_t worker, bint joins) except -1
    cdef int enroll(self, int32_t queue, bint joins) except -1
    cdef int shift(self, int32_t worker, int32_t profile) except -1
    cdef int reprofile(self, int32_t path) except -1
    cdef int switch(self, int32_t worker, bint available) except -1
    cdef int occupy(
        self, int32_t worker, int32_t channel, int32_t capacity, int32_t occupied
    ) except -1
    cdef int32_t enqueue(
        self, int32_t queue, int32_t channel, TaskEntry entry
    ) except -1
    cdef int dequeue(self, int32_t task) except -1
    cdef int decide(self, int64_t now, size_t limit) except -1
    cdef int keep_ready(self) except -1
    cdef int collect_heads(self) except -1
    cdef int offer(self, TaskGroup group, int64_t now) except -1
    cdef int set_clock(self, int32_t worker, int64_t now) except -1
