"""Epochs of a log: which of the places it was read at are places in it still.

A copy of the store that is put back, or one whose disk lost its end, counts on from where it
is. Its sequences come again then, as other events; only with its epoch is one a place.
"""

from collections.abc import Mapping

from flexcore.domain.errors import OutOfRange, Reason


class Epochs:
    """The epoch an account's log is in, and how far it came in those before."""

    def __init__(self, current: int, past: Mapping[int, int]) -> None:
        self._current = current
        self._past = past

    def check(self, epoch: int, sequence: int) -> None:
        """Raise OutOfRange when the log did not come to a sequence in an epoch; O(1)."""
        if epoch == self._current:
            return
        end = self._past.get(epoch)
        if end is not None and sequence <= end:
            return
        came = "which it was not in" if end is None else f"in which it came to {end}"
        raise OutOfRange(
            f"the token is of sequence {sequence} of the log in epoch {epoch}, {came};"
            " start without a token",
            reason=Reason.TOKEN_EPOCH,
            metadata={"epoch": str(self._current)},
        )
