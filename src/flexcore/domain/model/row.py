"""What every resource has."""

from typing import Self

import msgspec


class Row(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="kind"):
    """What every resource has: a sid, a version that grows by one, two times."""

    sid: str
    version: int = 1
    create_time: int = 0
    update_time: int = 0

    def evolve(self, **changes: object) -> Self:
        """Return a copy with `changes`."""
        return msgspec.structs.replace(self, **changes)
