"""How much work something is: calls of functions, which are the same at every run.

Time would depend on the machine. What grows with how many rows there are calls something
for each of them.
"""

import sys
from collections.abc import Callable


def effort(act: Callable[[], object]) -> int:
    """Return how many functions were called, of Python and of C, to do something."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return calls
