"""Workers, and what each may do on a task channel."""

from flexcore.domain.model.row import Row
from flexcore.domain.states import Connectivity


class Worker(Row, frozen=True, gc=False, kw_only=True, tag="worker"):
    """Somebody who can be offered tasks; `order` breaks ties and never changes.

    `available_time` is since when the worker has been available without a break;
    `missed_offers` how many offers in a row ran out; `return_activity_sid` where the
    worker goes back to on the next sign of life (policy missed_offer);
    `next_activity_sid` what the worker does once no work is left. `grace_time` is when
    the grace period ends, or when the next few tasks of a vanished worker go on;
    `taken_out` says that it ended where the policy vanished_worker has effects.
    """

    workspace_sid: str
    friendly_name: str
    attributes: str
    activity_sid: str
    activity_time: int
    order: int
    available_time: int = 0
    missed_offers: int = 0
    return_activity_sid: str = ""
    next_activity_sid: str = ""
    connectivity: Connectivity = Connectivity.UNTRACKED
    grace_time: int = 0
    taken_out: bool = False

    @property
    def available(self) -> bool:
        """Whether the worker may be offered tasks."""
        return self.available_time > 0

    @property
    def available_workspace_sid(self) -> str:
        """The workspace, as long as the worker may be offered tasks."""
        return self.workspace_sid if self.available else ""

    @property
    def name_key(self) -> str:
        """What must be unique: the friendly name, whatever its case, per workspace."""
        return f"{self.workspace_sid}|{self.folded_name}"

    @property
    def folded_name(self) -> str:
        """The friendly name, whatever its case."""
        return self.friendly_name.casefold()


class WorkerChannel(Row, frozen=True, gc=False, kw_only=True, tag="worker_channel"):
    """How many tasks of one task channel a worker may hold, and its clocks.

    `last_offered` is when an offer was last made, `last_released` when one last ended.
    """

    workspace_sid: str
    worker_sid: str
    task_channel_sid: str
    task_channel_unique_name: str
    configured_capacity: int = 1
    available: bool = True
    last_offered: int = 0
    last_released: int = 0
