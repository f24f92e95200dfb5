"""A decision looks at what it is about, however much more there is."""

from flexcore.domain.model import Reservation
from flexcore.engine import commands as c
from tests.effort import effort
from tests.vectors.floor import Floor


def test_a_rejection_looks_at_no_offers_that_have_ended() -> None:
    floor = Floor("compat")
    floor.hire("A")
    floor.add_task()

    def reject() -> None:
        (sid,) = floor.state.sids(Reservation, "open_worker_sid", floor.sid("A"))
        floor.do(c.RejectReservation(sid=sid))

    first = effort(reject)
    for _ in range(200):
        reject()

    assert effort(reject) < first * 1.1
