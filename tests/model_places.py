"""The oracle's places: activities that workers are in, task channels they have room on."""

from tests.model_offers import Offers
from tests.model_rows import FINISHED, ModelTask, Plan, Refused


class Places(Offers):
    """Commands about activities and task channels.

    Both are called by the name they came with; an activity may be shown by another.
    """

    # Activities

    def create_activity(self, name: str, available: bool) -> None:
        self.refuse_taken(name in self.names.values())
        self.activities[name], self.names[name] = available, name

    def rename_activity(self, name: str, shown: str) -> None:
        if name not in self.activities:
            raise Refused("not_found")
        others = [self.names[other] for other in self.names if other != name]
        self.refuse_taken(shown in others)
        self.names[name] = shown

    def delete_activity(self, name: str) -> None:
        if name not in self.activities:
            raise Refused("not_found")
        workspace = self.workspace
        used = {workspace.default_activity, workspace.timeout_activity}
        for row in self.workers:
            used |= set() if row.gone else {row.activity, row.away_from, row.then}
        for plan in self.live_plans():
            skips = [target.get("skip_if") or "" for target in plan.targets()]
            used |= {name} if "{" + name + "}" in " ".join(skips) else set()
        self.hold("activity", name not in used)
        del self.activities[name], self.names[name]

    # Task channels

    def create_channel(self, channel: str, optimized: bool) -> None:
        """Open a channel; everybody has room for one task on it."""
        self.refuse_taken(channel in self.channels)
        self.channels[channel] = optimized
        for row in self.workers:
            row.capacity[channel] = 1

    def update_task_channel(self, channel: str, optimized: bool) -> None:
        if channel not in self.channels:
            raise Refused("not_found")
        self.channels[channel] = optimized

    def delete_channel(self, channel: str) -> None:
        """Close a channel no open task is on, and forget what anybody did there."""
        if channel not in self.channels:
            raise Refused("not_found")
        self.hold("channel", channel != "default")
        self.hold("channel", channel not in [row.channel for row in self.open_tasks()])
        del self.channels[channel]
        for row in self.workers:
            del row.capacity[channel]
            row.closed = row.closed - {channel}
            row.offered.pop(channel, None)
            row.released.pop(channel, None)

    def refuse_taken(self, taken: bool) -> None:
        if taken:
            raise Refused("already_exists")

    # What work there is

    def live_plans(self) -> list[Plan]:
        """Return what tasks walk through now, or may enter."""
        current = [row.revisions[-1] for row in self.workflows if not row.gone]
        tasks = [row for row in self.open_tasks() if row.workflow >= 0]
        return current + [self.plan(task) for task in tasks]

    def open_tasks(self) -> list[ModelTask]:
        return [
            row for row in self.tasks if row.status not in FINISHED and not row.gone
        ]
