"""What a workflow document names, and that a delete need not read documents for it."""

from pathlib import Path

import apsw
import pytest

from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import FailedPrecondition
from flexcore.domain.log import encode_row
from flexcore.domain.model import TaskQueue, WorkflowRevision
from flexcore.domain.workflow_names import named_sids
from flexcore.engine import commands as c
from tests.documents import document
from tests.engines import Running
from tests.factories import make_sid
from tests.staff import state_of

QUEUES = [make_sid("WQ", number) for number in range(5)]
ACTIVITY = make_sid("WA", 1)


def test_queues_are_named_wherever_the_format_has_them() -> None:
    text = document(
        filters=[
            {
                "queue": QUEUES[0],
                "targets": [{"queue": QUEUES[1]}, {"timeout": 5}],
                "on_exhausted": {"action": "queue", "queue": QUEUES[2]},
            }
        ],
        default_filter={"queue": QUEUES[3]},
        on_exhausted={"action": "queue", "queue": QUEUES[4]},
    )

    assert set(named_sids(text)) == set(QUEUES)


def test_activities_are_named_in_expressions_also_with_escapes() -> None:
    skipping = {"queue": QUEUES[0], "skip_if": f'worker.activity_sid == "{ACTIVITY}"'}
    text = document(filters=[{"targets": [skipping]}])
    escaped = text.replace("WA", "\\u0057A")

    assert ACTIVITY not in escaped
    assert named_sids(text) == named_sids(escaped) == (ACTIVITY, QUEUES[0])


def test_a_queue_in_a_text_is_no_use_of_it() -> None:
    named = {"filter_friendly_name": QUEUES[1], "targets": [{"queue": QUEUES[0]}]}
    assert named_sids(document(filters=[named])) == (QUEUES[0],)


async def test_a_queue_that_a_revision_names_stays(
    tmp_path: Path, clock: VirtualClock
) -> None:
    running = await Running(tmp_path / "data", clock).start()
    state = state_of(running)
    (queue,) = state.of_kind(TaskQueue)
    (revision,) = state.of_kind(WorkflowRevision)
    with pytest.raises(FailedPrecondition) as refused:
        await running.submit(c.DeleteTaskQueue(sid=queue.sid))
    await running.close()

    assert revision.names == (queue.sid,)
    assert revision.workflow_sid in str(refused.value.metadata)


async def test_a_revision_of_an_older_version_has_names_from_the_start(
    tmp_path: Path, clock: VirtualClock
) -> None:
    running = await Running(tmp_path / "data", clock).start()
    (revision,) = state_of(running).of_kind(WorkflowRevision)
    await running.close()
    older = encode_row(revision.evolve(names=None))
    with apsw.Connection(str(tmp_path / "data/flexcore.db")) as connection:
        connection.execute("UPDATE workflow_revision SET body = ?", (older,))

    running = await Running(tmp_path / "data", clock).start()
    (found,) = state_of(running).of_kind(WorkflowRevision)
    with pytest.raises(FailedPrecondition):
        await running.submit(c.DeleteTaskQueue(sid=revision.names[0]))
    await running.close()

    assert found == revision
