"""Looks at why a task waits, driven to their end at once."""

from flexcore.engine.routing.explain import Looking
from flexcore.engine.routing.explanation import Explanation


def finished(look: Looking) -> Explanation:
    """Let a look go on to its end; return what it found."""
    while True:
        try:
            next(look)
        except StopIteration as end:
            found: Explanation = end.value
            return found
