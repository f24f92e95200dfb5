# Part of _routing.pxd: handles, tasks, values, programs, profiles, workers, specs.

# _routing_slots.pxi

@cython.final
cdef class Slots:
    """Hands out small numbers again and again, and handles that never come back.

    A handle is generation << 32 | slot. Generations are odd while the slot is in use.
    """

    cdef vector[int32_t] generations    # by slot
    cdef vector[int32_t] vacant         # slots to hand out before new ones

    cdef int32_t acquire(self) except -1
    cdef int release(self, int32_t slot) except -1
    cdef int release_known(self, int32_t slot, int32_t generation) except -1
    cdef int retire(self, int32_t slot) except -1
    cdef int recycle(self, int32_t slot) except -1
    cdef int64_t handle(self, int32_t slot) noexcept
    cdef bint live(self, int64_t handle) noexcept
    cdef bint used(self, int32_t slot) noexcept
    cdef int32_t find(self, int64_t handle) except -1
    cdef Py_ssize_t count(self) noexcept


@cython.final
cdef class Numbers:
    """The slots of the caller's numbers; small ones are found without hashing."""

    cdef vector[int32_t] near           # by number; -1 if not known
    cdef unordered_map[int64_t, int32_t] far

    cdef int32_t find(self, int64_t number) noexcept
    cdef int put(self, int64_t number, int32_t slot) except -1
    cdef int drop(self, int64_t number) except -1


# _routing_queue.pxi

cdef struct TaskEntry:
    int64_t rank        # low first: the priority inverted, or 0 where it does not count
    int64_t start       # then low first; inverted where the last comes first
    int64_t sequence    # likewise; differs from task to task
    int32_t slot
    int32_t tag         # of a task its generation, of a class its kind or GUARDED


@cython.final
cdef class TaskQueue:
    """A heap of four children per entry; every slot knows where its entry is.

    Invariant: no entry precedes its parent, and positions[heap[i].slot] == i.
    """

    cdef Slots slots
    cdef vector[int64_t] items          # by slot
    cdef vector[int32_t] positions      # by slot
    cdef vector[TaskEntry] heap


# _routing_values.pxi

cdef enum Kind:
    KIND_NULL
    KIND_BOOLEAN
    KIND_INTEGER    # any whole number within 64 bits, written as int or float
    KIND_REAL       # any other finite float, hence below 2 ** 53 in magnitude
    KIND_GREAT      # a whole number beyond 64 bits, or infinite
    KIND_TEXT
    KIND_ARRAY
    KIND_OPAQUE     # an object, or not a number: equal to nothing, itself included


cdef union Number:
    int64_t integer     # of KIND_INTEGER; of KIND_GREAT the sign, doubled if infinite
    double real         # of KIND_REAL


cdef struct Value:
    Kind kind
    int32_t references
    Number number


@cython.final
cdef class Values:
    """Attribute values and constants as numbers: equal scalars have equal ids.

    1 and 1.0 share an id, true has another. Of an array the set of its scalars is kept,
    since no operator sees more of it. Values are counted and forgotten with the last
    reference.
    """

    cdef vector[Value] rows             # by id
    cdef vector[string*] texts          # by id: UTF-8, or a magnitude, high byte first
    cdef vector[const vector[int32_t]*] arrays  # by id: keys of array_ids
    cdef vector[int32_t] vacant
    cdef dict ids                       # canonical scalar -> id
    cdef list keys                      # by id: scalar; None of an array
    cdef cpp_map[vector[int32_t], int32_t] array_ids    # elements, ascending -> id

    cdef int32_t intern(self, object value) except -1
    cdef int32_t intern_array(self, object items) except -1
    cdef int32_t add(self, object key) except -1
    cdef int32_t place(self, Value row, object key) except -1
    cdef int release(self, int32_t value) except -1
    cdef int release_all(self, const vector[int32_t] &row) except -1
    cdef bint equal(self, int32_t one, int32_t other) noexcept
    cdef bint scalar(self, int32_t value) noexcept
    cdef bint number(self, int32_t value) noexcept
    cdef int compare(self, int32_t one, int32_t other) noexcept
    cdef int compare_numbers(self, int32_t one, int32_t other) noexcept
    cdef int compare_great(self, int32_t one, int32_t other) noexcept
    cdef bint contains(self, int32_t one, int32_t other) noexcept
    cdef bint has(self, int32_t array, int32_t value) noexcept


# _routing_program.pxi

cdef enum Opcode:
    OP_CONST
    OP_WORKER
    OP_TASK
    OP_EQUAL
    OP_NOT_EQUAL
    OP_UNEQUAL
    OP_LESS
    OP_LESS_OR_EQUAL
    OP_GREATER
    OP_GREATER_OR_EQUAL
    OP_CONTAINS
    OP_NOT_CONTAINS
    OP_LACKS
    OP_HAS
    OP_IN
    OP_NOT_IN
    OP_NOT_IN_ARRAY
    OP_NOT_IN_KNOWN
    OP_NOT_IN_OR_MISSING
    OP_AND
    OP_OR
    OP_IS_NULL
    OP_IS_NOT_NULL
    OP_NOT


cdef struct Instruction:
    Opcode opcode
    int32_t argument    # of OP_CONST a value, of OP_WORKER and OP_TASK a place in a row


@cython.final
cdef class Program:
    """A predicate over a row of values of a worker and one of a task."""

    cdef tuple source
    cdef vector[Instruction] code
    cdef vector[int32_t] starts         # of the parts that all have to hold
    cdef vector[int32_t] ends

    cdef int split(self) except -1
    cdef bint holds(
        self,
        Values values,
        const int32_t *worker,
        const int32_t *task,
        int32_t *stack,
    ) noexcept
    cdef bint may_hold(
        self, Values values, const int32_t *worker, int32_t *stack
    ) noexcept
    cdef bint reads_task(self, int32_t start, int32_t stop) noexcept
    cdef bint part_holds(
        self,
        int32_t start,
        int32_t stop,
        Values values,
        const int32_t *worker,
        const int32_t *task,
        int32_t *stack,
    ) noexcept


# _routing_profiles.pxi

cdef cppclass Profile:
    """Workers of equal values in all that programs read, and their queues."""

    const string *row                   # value by path; a key of Profiles.by_row
    vector[int32_t] queues              # ascending
    int32_t workers                     # how many; the profile goes with the last one


@cython.final
cdef class Profiles:
    """Evaluates each queue's program once per profile and remembers the answer."""

    cdef Values values
    cdef list programs                  # by queue; None if vacant
    cdef list paths                     # by path: segments; None if unused
    cdef dict path_ids
    cdef vector[int32_t] path_references
    cdef vector[uint8_t] path_read      # by path: the rows have its values
    cdef vector[vector[int32_t]] readers    # by path: queues whose program reads it
    cdef vector[Profile*] rows          # by number; NULL if vacant
    cdef vector[int32_t] vacant
    # Values to number. A string keeps three of them without an allocation of its own.
    cdef cpp_map[string, int32_t] by_row
    cdef vector[int32_t] stack          # of the deepest program

    cdef int reserve_stack(self, Py_ssize_t depth) except -1
    cdef Program compile(self, tuple source)
    cdef int32_t keep_path(self, tuple segments) except -1
    cdef list unread_paths(self)
    cdef list drop_unused_paths(self)
    cdef int install(self, int32_t queue, Program program) except -1
    cdef int uninstall(self, int32_t queue) except -1
    cdef bint evaluate(self, int32_t queue, Profile *profile)
    cdef int32_t enlist(self, dict attributes) except -1
    cdef int32_t move(self, int32_t profile, dict attributes, int32_t changed) except -1
    cdef int32_t read(self, int32_t path, dict attributes) except -1
    cdef int32_t join(self, vector[int32_t] &row, Profile *origin) except -1
    cdef int32_t number(self, Profile *profile) except -1
    cdef int remember(self, Profile *profile, Profile *origin) except -1
    cdef int leave(self, int32_t number) except -1


# _routing_workers.pxi

cdef enum Order:
    OFFERED
    IDLE
    UTILIZATION
    ROUND_ROBIN


cdef struct Worker:
    int64_t order           # breaks ties; differs from worker to worker
    int64_t available_since
    const int32_t *queues   # of the profile, so that a step need not look there
    int32_t queue_count
    int32_t profile
    int32_t activity
    bint available
    bint fresh              # is in Roster.fresh


cdef struct Room:
    int64_t offered_clock   # what counts in the lanes of the channel: of it alone, or
    int64_t idle_clock      # the latest of all; idle: offered, released or available
    uint32_t stamp          # how often the worker was lined up
    uint8_t lined           # counts as free in the lanes of the channel, unless barred
    uint8_t open
    int32_t capacity
    int32_t occupied        # may exceed the capacity after that was lowered
    int32_t assigned
    int32_t level           # the utilization with which the worker is lined up
    int64_t offered         # microseconds, of the last offer on the channel
    int64_t released


@cython.final
cdef class Workers:
    """The workers of a router, with the room each has on each channel.

    A slot is given to somebody else only after a sweep of the lanes, whose idle orders
    may refer to a worker who is gone.
    """

    cdef Slots slots
    cdef vector[Worker] rows            # by slot
    cdef vector[Room] rooms             # by slot * channels + channel
    cdef vector[uint8_t] optimized      # by channel: its clocks are its own
    cdef int32_t channels
    cdef list attributes                # by slot; kept by reference, None if vacant
    cdef unordered_set[int64_t] orders
    cdef vector[int32_t] gone           # slots that wait for the sweep

    cdef int32_t add(self, dict attributes, Worker row) except -1
    cdef int remove(self, int32_t worker) except -1
    cdef int widen(self, int32_t channels) except -1
    cdef Room *room(self, int32_t worker, int32_t channel) noexcept
    cdef bint free(self, int32_t worker, int32_t channel) noexcept
    cdef int32_t level(self, int32_t worker, int32_t channel) noexcept
    cdef int32_t live(self, int32_t worker, int32_t channel, int32_t field) noexcept
    cdef bint note_offer(self, int32_t worker, int32_t channel, int64_t now) noexcept
    cdef bint note_release(self, int32_t worker, int32_t channel, int64_t now) noexcept
    cdef bint reclock(self, int32_t worker) noexcept


# _routing_specs.pxi

cdef struct Operand:
    int32_t path            # of Profiles; -1 if it is live
    int32_t channel         # of a live one
    int32_t field           # of a live one: Field


cdef struct Clause:
    int32_t operand
    bint descending


cdef cppclass Facet:
    """Workers of equal values in all that a spec reads of them."""

    vector[int32_t] row                 # as in Spec.facet_at: values, and live numbers
    vector[int32_t] values              # the same, all of them as values
    vector[uint8_t] verdicts            # by kind: Verdict
    int32_t workers


cdef cppclass TaskKind:
    """Tasks of equal values in all that a spec reads of them."""

    vector[int32_t] row
    vector[uint8_t] verdicts            # by facet: Verdict
    int32_t classes


@cython.final
cdef class Spec:
    """Which workers suit which tasks, beyond the queue, and who of them is better.

    The pair program is evaluated once per kind of tasks and facet of workers, when the
    answer is first needed. It is kept twice, since who looks for a task has one facet
    and goes over kinds, and who looks for a worker has one kind and goes over facets.
    Kinds and facets without tasks or workers are kept a while: they tend to come back.

    A facet is barred if a part of the program that reads the worker alone does not hold:
    nothing that waits will ever suit, so its workers are in no line.
    """

    cdef Values values
    cdef Profiles profiles
    cdef Workers workers
    cdef tuple pair
    cdef tuple order_by
    cdef Program program                # None if everybody suits
    cdef vector[Operand] operands       # what is read of a worker
    cdef list task_paths                # what is read of a task: segments
    cdef vector[Clause] clauses
    cdef bint live                      # some operand is
    cdef int32_t waiting                # tasks
    cdef vector[int32_t] facet_of       # by worker slot
    cdef vector[Facet] facets
    cdef vector[int32_t] ranks          # by facet, by order_by; equals are equal
    cdef vector[uint8_t] facet_used     # by facet: is in facet_at
    cdef vector[uint8_t] facet_barred   # by facet
    cdef vector[int32_t] vacant_facets
    cdef int32_t retired_facets         # in facet_at, but of no worker
    cdef vector[int32_t] ranking        # facets by rank
    cdef cpp_map[vector[int32_t], int32_t] facet_at
    cdef vector[TaskKind] kinds
    cdef vector[uint8_t] kind_used
    cdef vector[int32_t] vacant_kinds
    cdef int32_t retired_kinds
    cdef cpp_map[vector[int32_t], int32_t] kind_at
    cdef vector[int32_t] scratch

    cdef int32_t operand(self, tuple step, dict channels) except -1
    cdef Program lower(self, tuple source, dict channels)
    cdef int32_t read(self, int32_t worker) except -1
    cdef int32_t add_facet(self) except -1
    cdef bint bars(self, int32_t worker) noexcept
    cdef int rank(self, int32_t facet) except -1
    cdef int number_ranks(self) except -1
    cdef int compare(self, int32_t one, int32_t other) noexcept
    cdef int enter(self, int32_t worker, int32_t facet) except -1
    cdef int leave(self, int32_t worker) except -1
    cdef int sweep_facets(self) except -1
    cdef int32_t kind(self, dict attributes) except -1
    cdef int drop_kind(self, int32_t kind) except -1
    cdef int sweep_kinds(self) except -1
    cdef bint judge(self, int32_t kind, int32_t facet) except -1
    cdef bint suits(self, int32_t facet, int32_t kind) except -1
    cdef bint accepts(self, int32_t kind, int32_t facet) except -1
    cdef int close(self) except -1
