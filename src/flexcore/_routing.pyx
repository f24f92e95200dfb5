# distutils: language = c++
"""The matcher: which worker is offered which task.

It knows integers and attribute values, nothing of the rest of flexcore: no clock, no
random number, no call back into Python while it decides. Read it in this order; the
public text is _routing.pyi, fields with their invariants are in _routing.pxd.

_routing_queue.pxi    TaskQueue: tasks by priority, start and sequence; handles
_routing_workers.pxi  workers, their room per channel, the idle order of a queue
_routing_program.pxi  predicates over attributes: values, instructions
_routing_profiles.pxi workers alike, for whom a predicate is evaluated once
_routing_group.pxi    tasks that the same workers can take, and who is best
_routing_router.pxi   Router: what changed, and the offers that follow
_routing_check.pxi    Router.check and Router.dump

Checks of list bounds, of negative list indices and of C arithmetic are compiled out by
setup.py: every number that comes from outside is checked in a public method, and below
there is nothing but slots the matcher itself gave out. FLEXCORE_DEBUG=1 builds with all
of them and with the assertions of the C++ containers. They are not switched here since
a header comment would win over the debug build.
"""

from operator import itemgetter
from pprint import pformat

cimport cython
from cython.operator cimport dereference
from libc.math cimport floor, isfinite
from libc.stdint cimport INT32_MAX, SIZE_MAX, int32_t, int64_t, uint64_t
from libcpp.algorithm cimport binary_search, find, make_heap, pop_heap, push_heap, sort
from libcpp.string cimport npos, string
from libcpp.vector cimport vector

cdef extern from *:
    """
    #ifndef FLEXCORE_DEBUG
    #define FLEXCORE_DEBUG 0
    #endif
    """
    const bint FLEXCORE_DEBUG

DEBUG = bool(FLEXCORE_DEBUG)


cdef int ensure(bint holds, object broken) except -1:
    """Raise AssertionError; unlike assert also under python -O."""
    if not holds:
        raise AssertionError(broken)
    return 0


include "_routing_queue.pxi"
include "_routing_workers.pxi"
include "_routing_program.pxi"
include "_routing_profiles.pxi"
include "_routing_group.pxi"
include "_routing_router.pxi"
include "_routing_check.pxi"
