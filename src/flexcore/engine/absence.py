"""What is decided first after a time in which nobody could act: down, or a full disk.

Pending offers are moved by the gap, and whom somebody vouched for gets a whole grace
period from now.
"""

from collections.abc import Iterator

from flexcore.domain import limits
from flexcore.domain.states import Connectivity
from flexcore.engine.commands import Command, NotePresence, ShiftOffers
from flexcore.engine.decider import Decider
from flexcore.engine.routing.presence import unattended


def after_restart(decider: Decider, gap: int) -> Iterator[Command]:
    """Yield what makes up for a gap that no session outlived."""
    yield from _shifts(decider, gap)
    yield from _graces(decider, Connectivity.CONNECTED, Connectivity.GRACE)


def after_stall(decider: Decider, gap: int) -> Iterator[Command]:
    """Yield what makes up for a gap in which sessions went on."""
    yield from _shifts(decider, gap)
    yield from _graces(decider, Connectivity.GRACE)


def _shifts(decider: Decider, gap: int) -> Iterator[ShiftOffers]:
    offers = decider.deadlines.offered() if gap > 0 else []
    for first in range(0, len(offers), limits.SHIFT_OFFERS):
        sids = tuple(offers[first : first + limits.SHIFT_OFFERS])
        yield ShiftOffers(gap=gap, sids=sids)


def _graces(decider: Decider, *connectivities: Connectivity) -> Iterator[NotePresence]:
    for sids in list(unattended(decider.state, *connectivities)):
        yield NotePresence(cause="restart", worker_sids=sids)
