"""How things stand, kept up to date by the stream of what changed."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flexcore.client.streams import Resuming
from flexcore.v1 import routing_service_pb2, statistics_pb2

if TYPE_CHECKING:
    from flexcore.client import Client


@dataclass(frozen=True, slots=True)
class StatisticsView:
    """A workspace and its task queues, by sid, as they stood at a time of the server.

    Their `cumulative` is unset, and so are ages: `time` less since when.
    """

    time: datetime
    workspace: statistics_pb2.WorkspaceStatistics
    task_queues: Mapping[str, statistics_pb2.TaskQueueStatistics]


class Statistics(Resuming[routing_service_pb2.WatchStatisticsResponse, StatisticsView]):
    """How things stand: a whole view at once, then one whenever something changed.

    A heartbeat comes as the same view with a later time. It has no token: what was missed
    is in the view that comes next.
    """

    def __init__(
        self, client: "Client", workspace_sid: str, task_queue_sids: Sequence[str]
    ) -> None:
        super().__init__(client, "")
        self._asked = {
            "workspace_sid": workspace_sid,
            "task_queue_sids": list(task_queue_sids),
        }
        self._workspace = statistics_pb2.WorkspaceStatistics()
        self._task_queues: dict[str, statistics_pb2.TaskQueueStatistics] = {}
        #: what the messages told that came so far of the next view
        self._part = routing_service_pb2.WatchStatisticsResponse()

    def _open(self) -> Any:
        self._part = routing_service_pb2.WatchStatisticsResponse()
        return self._client.routing.WatchStatistics(**self._asked)

    async def _read(
        self, response: routing_service_pb2.WatchStatisticsResponse
    ) -> AsyncIterator[StatisticsView]:
        if response.go_away:
            return
        self._part.MergeFrom(response)
        if not response.complete:
            return
        told, self._part = self._part, routing_service_pb2.WatchStatisticsResponse()
        if told.HasField("workspace_statistics"):
            self._workspace = told.workspace_statistics
        before = {} if told.whole else self._task_queues
        new = {each.sid: each for each in told.task_queue_statistics}
        self._task_queues = before | new
        yield StatisticsView(
            told.time.ToDatetime(UTC), self._workspace, self._task_queues
        )

    def _handled(self, response: routing_service_pb2.WatchStatisticsResponse) -> None:
        """There is no token to keep."""
