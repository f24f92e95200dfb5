# distutils: language = c++
"""The matcher: which worker is offered which task.

It knows integers and attribute values, nothing of the rest of flexcore: no clock, no
random number, no call back into Python while it decides. The public text is
_routing.pyi, fields with their invariants are in _routing.pxd.

Tasks wait in a *lane*: one queue, channel and spec. A spec is what a task asks for
beyond the queue: a predicate over task and worker, and an order of workers. Tasks of a
lane that the same workers may take are a *class*, a heap; the classes of a lane are a
heap by their first tasks. Free workers of a lane who are alike in what the spec reads
(who have one *facet* of it) and in utilization, where that counts, stand in a *line*, by
how long they have waited. A spec without expressions, and no spec, has one line
and one class: the usual case, on which nothing of the rest costs anything. Who fails what
a spec says of the worker alone stands in no line of it.

Who becomes free is *fresh* and in no line. A match first asks for the first task of the
queues of each fresh worker; only who then is still free is lined up. So with a backlog a
worker never enters the lines of all their queues. Lines are put right at their top only.

Read it in this order:

_routing_slots.pxi      handles, and the caller's numbers
_routing_queue.pxi      TaskQueue, and the heap of tasks
_routing_values.pxi     attribute values as numbers
_routing_program.pxi    predicates: instructions over rows of values
_routing_profiles.pxi   workers alike for all queues; who belongs where
_routing_workers.pxi    room and clocks of workers, per channel
_routing_specs.pxi      pair predicates and order_by; facets and kinds
_routing_turns.pxi      whose turn it is in a line
_routing_lanes.pxi      lanes and their lines
_routing_roster.pxi     members, who is fresh and who is lined up
_routing_classes.pxi    classes of tasks, and the first of a lane
_routing_backlog.pxi    the waiting tasks
_routing_decisions.pxi  the next task, the best worker, the offer
_routing_router.pxi     Router, the public methods
_routing_check.pxi      Router.check
_routing_dump.pxi       Router.dump

Checks of list bounds, of negative list indices and of C arithmetic are compiled out by
setup.py: every number that comes from outside is checked in a public method, and below
there is nothing but slots the matcher itself gave out. FLEXCORE_DEBUG=1 builds with all
of them and with the assertions of the C++ containers. They are not switched here since
a header comment would win over the debug build.
"""

from marshal import dumps
from operator import itemgetter
from pprint import pformat

cimport cython
from cython.operator cimport dereference, preincrement
from libc.math cimport floor, isfinite
from libc.stdint cimport INT32_MAX, INT64_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libcpp.algorithm cimport binary_search, find, make_heap, pop_heap, push_heap, sort
from libcpp.map cimport map as cpp_map
from libcpp.string cimport npos, string
from libcpp.utility cimport move
from libcpp.vector cimport vector

cdef extern from *:
    """
    #ifndef FLEXCORE_DEBUG
    #define FLEXCORE_DEBUG 0
    #endif
    /* Ask for a conditional move: a branch would be wrong half of the time. */
    #if defined(__has_builtin)
    #if __has_builtin(__builtin_expect_with_probability)
    #define FLEXCORE_UNFORESEEN(x) __builtin_expect_with_probability((x), 1, 0.5)
    #endif
    #endif
    #ifndef FLEXCORE_UNFORESEEN
    #define FLEXCORE_UNFORESEEN(x) (x)
    #endif
    """
    const bint FLEXCORE_DEBUG
    bint unforeseen "FLEXCORE_UNFORESEEN" (bint holds) noexcept
    void prefetch "__builtin_prefetch" (const void *address) noexcept

DEBUG = bool(FLEXCORE_DEBUG)


cdef int ensure(bint holds, object broken) except -1:
    """Raise AssertionError; unlike assert also under python -O."""
    if not holds:
        raise AssertionError(broken)
    return 0


include "_routing_slots.pxi"
include "_routing_queue.pxi"
include "_routing_values.pxi"
include "_routing_program.pxi"
include "_routing_profiles.pxi"
include "_routing_workers.pxi"
include "_routing_specs.pxi"
include "_routing_turns.pxi"
include "_routing_lanes.pxi"
include "_routing_roster.pxi"
include "_routing_classes.pxi"
include "_routing_backlog.pxi"
include "_routing_decisions.pxi"
include "_routing_router.pxi"
include "_routing_check.pxi"
include "_routing_dump.pxi"
