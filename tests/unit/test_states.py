"""What follows from states alone."""

import pytest

from flexcore.domain.states import ReservationStatus as R
from flexcore.domain.states import WorkState, work_state


@pytest.mark.parametrize(
    ("held", "state"),
    [
        ([], WorkState.IDLE),
        ([R.PENDING], WorkState.OFFERED),
        ([R.PENDING, R.WRAPPING], WorkState.WRAPPING),
        ([R.PENDING, R.WRAPPING, R.ACCEPTED], WorkState.BUSY),
    ],
)
def test_the_work_state_is_that_of_the_most_pressing_work(
    held: list[R], state: WorkState
) -> None:
    assert work_state(held) is state
