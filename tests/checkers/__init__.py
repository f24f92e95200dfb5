"""Checkers over a log: what must hold of routing, whoever decided it and however.

A checker looks at one change set with everything before it and says in sentences what is
wrong. They know rows and events, not the engine: expressions are evaluated by the
reference, candidates are found by asking every worker.
"""

from collections.abc import Callable, Iterable, Iterator

from flexcore.domain.log import ChangeSet
from tests.checkers.choice import choice
from tests.checkers.fold import Fold, Moment
from tests.checkers.lives import (
    accepts,
    deadlines,
    held,
    offers_of_a_task,
    places,
    status,
    vanished,
)
from tests.checkers.order import candidates, capacity, claims, conservation, order

Checker = Callable[[Moment], Iterator[str]]

CHECKERS: tuple[Checker, ...] = (
    capacity,
    candidates,
    claims,
    choice,
    order,
    conservation,
    accepts,
    offers_of_a_task,
    status,
    held,
    deadlines,
    places,
    vanished,
)


def violations(
    log: Iterable[ChangeSet], checkers: Iterable[Checker] = CHECKERS
) -> Iterator[str]:
    """Yield what is wrong with a log that begins at the beginning, and who says so."""
    fold, checkers = Fold(), tuple(checkers)
    for change_set in log:
        moment = fold.apply(change_set)
        for checker in checkers:
            for text in checker(moment):
                yield f"{checker.__name__}: {text}"
