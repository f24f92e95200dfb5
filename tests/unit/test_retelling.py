"""What the matcher is told anew, and what it forgets, when the set-up changes."""

from typing import Any

import pytest

from flexcore.engine import commands as c
from flexcore.engine.routing.matching import Matching
from tests.vectors.floor import Floor, step


class Checked(Floor):
    """A floor whose matcher is compared with one rebuilt from the rows."""

    def check(self) -> None:
        assert self.decider.matching.dump() == Matching.rebuilt(self.state).dump()


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ({"wrap_limit_seconds": 5}, 0),
        ({"worker_order": "round_robin"}, 0),
        ({"priority_boost_seconds": 10}, 3),
    ],
)
def test_tasks_are_told_anew_only_of_what_they_read(
    policies: dict[str, Any], told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = Checked("strict")
    for name in "TUV":
        floor.add_task(name)
    waits: list[object] = []
    wait = floor.decider.matching._wait
    monkeypatch.setattr(
        floor.decider.matching, "_wait", lambda task: (waits.append(task), wait(task))
    )
    floor.update_workspace(policies=policies)
    assert len(waits) == told
    floor.check()


def test_a_deleted_task_channel_leaves_nothing_behind() -> None:
    floor = Checked("strict")
    floor.hire("A")
    floor.add_channel("video", channel_optimized_routing=True)
    floor.add_task("T", channel="video")
    floor.accept("A")
    floor.complete("T")
    floor.do(c.DeleteTaskChannel(sid=floor.sid("video")))
    floor.check()


def test_a_channel_made_anew_is_what_its_name_means_in_expressions() -> None:
    floor = Checked("strict")
    floor.hire("A")
    floor.add_channel("video")
    floor.lead(step("Q", expression="worker.channel.video.configured_capacity == 9"))
    floor.add_task("T")
    floor.do(c.DeleteTaskChannel(sid=floor.sid("video")))
    floor.check()
    floor.add_channel("video")
    floor.check()
