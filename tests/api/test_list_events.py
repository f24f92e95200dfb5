"""ListEvents shows a window of the log by what its events are about."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from flexcore.domain import limits
from flexcore.domain.limits import SECOND
from flexcore.v1 import event_pb2
from tests.api.refusals import refusal
from tests.api.world import CONFIGURATION
from tests.factories import make_sid
from tests.serving import Serving


async def events(serving: Serving, **fields: Any) -> list[event_pb2.Event]:
    """Return the events of all pages."""
    found: list[event_pb2.Event] = []
    token = ""
    while True:
        page = await serving.client.event.ListEvents(page_token=token, **fields)
        found += [event for each in page.change_sets for event in each.events]
        token = page.next_page_token
        if not token:
            return found


class Work:
    """A worker who has accepted a task; another task waits in a queue for nobody."""

    async def begin(self, serving: Serving) -> None:
        setup, routing = serving.client.workspace, serving.client.routing
        self.workspace = (await setup.ListWorkspaces()).workspaces[0].sid
        self.queue = (await setup.ListTaskQueues()).task_queues[0].sid
        self.workflow = (await setup.ListWorkflows()).workflows[0].sid
        channels = (await setup.ListTaskChannels()).task_channels
        self.chat = next(c.sid for c in channels if c.unique_name == "chat")
        shut = await setup.CreateTaskQueue(friendly_name="shut", target_workers="1==2")
        self.shut = shut.task_queue.sid
        walk = await setup.CreateWorkflow(
            friendly_name="walk", configuration=CONFIGURATION % self.shut
        )
        self.walk = walk.workflow.sid
        made = await setup.CreateWorker(friendly_name="ann", activity="Available")
        self.worker = made.worker.sid
        first = await routing.CreateTask(
            workflow_sid=self.workflow, task_channel="chat", attributes='{"a":1}'
        )
        self.first = first.task.sid
        self.second = (await routing.CreateTask(workflow_sid=self.walk)).task.sid
        offers = await routing.ListReservations(task_sid=self.first)
        self.offer = offers.reservations[0].sid
        accepted = await routing.AcceptReservation(sid=self.offer)
        self.last = accepted.sequence


@pytest.fixture
async def work(serving: Serving) -> Work:
    found = Work()
    await found.begin(serving)
    return found


OFFERED = ["reservation.created", "reservation.accepted"]
ENTERED = [
    "task.created",
    "workflow.entered",
    "task-queue.entered",
    "workflow.target-matched",
]


@pytest.mark.parametrize(
    ("field", "name", "expected"),
    [
        ("task_sid", "first", ENTERED + OFFERED),
        ("task_sid", "second", ENTERED),
        ("reservation_sid", "offer", OFFERED),
        ("worker_sid", "worker", ["worker.created", *OFFERED]),
        ("task_queue_sid", "shut", ["task-queue.created", *ENTERED]),
        ("workflow_sid", "walk", ["workflow.created", *ENTERED]),
        ("task_channel_sid", "chat", ["task-channel.created", *ENTERED, *OFFERED]),
    ],
)
async def test_events_of_one_thing(
    serving: Serving, work: Work, field: str, name: str, expected: list[str]
) -> None:
    found = await events(serving, **{field: getattr(work, name)})

    types = [event.type for event in found if "revision" not in event.type]
    assert types == expected


async def test_all_that_is_set_must_match(serving: Serving, work: Work) -> None:
    both = await events(serving, worker_sid=work.worker, types=["reservation"])
    none = await events(serving, worker_sid=work.worker, task_sid=work.second)

    assert [event.type for event in both] == OFFERED
    assert none == []
    assert await events(serving, worker_sid=make_sid("WK", 5)) == []


@pytest.mark.parametrize(
    "misspelled", ["task.creatd", "tasks", "workflow.revision", "task-queue.expression"]
)
async def test_a_type_that_nothing_has_is_refused(
    serving: Serving, misspelled: str
) -> None:
    types = ["task", "reservation.created", misspelled]
    listed = await refusal(serving.client.event.ListEvents(types=types))
    watched = await refusal(serving.client.event.WatchEvents(types=types).read())

    for refused in (listed, watched):
        assert [*refused] == ["INVALID_ARGUMENT", "FIELD_INVALID"]
        assert refused.fields.keys() == {"types[2]"}


async def test_without_a_filter_there_is_the_whole_log(
    serving: Serving, work: Work
) -> None:
    found = await events(serving, page_size=2)

    assert [event.sequence for event in found] == list(range(1, work.last + 1))
    everything = await events(serving, workspace_sid=work.workspace)
    assert [event.sequence for event in everything] == list(range(1, work.last + 1))


async def test_resources_come_with_the_events_that_match(
    serving: Serving, work: Work
) -> None:
    page = await serving.client.event.ListEvents(reservation_sid=work.offer)

    kinds = [
        [each.WhichOneof("resource") for each in change_set.resources]
        for change_set in page.change_sets
    ]
    assert kinds == [["reservation"], ["reservation"]]


async def test_events_say_what_was_left_and_since_when(
    serving: Serving, work: Work
) -> None:
    serving.clock.advance(SECOND)
    worker = await serving.client.workspace.GetWorker(sid=work.worker)
    await serving.client.workspace.UpdateWorker(sid=work.worker, activity="Offline")
    (moved,) = await events(serving, types=["worker.activity.update"])
    entered = await events(serving, types=["task-queue.entered"])

    assert moved.place_sid == worker.worker.activity_sid
    assert moved.place_time == worker.worker.activity_time
    assert [event.place_sid for event in entered] == [work.queue, work.shut]


async def test_a_window(serving: Serving, work: Work) -> None:
    serving.clock.advance(60 * SECOND)
    middle = Timestamp(seconds=serving.clock.now() // SECOND)
    created = await serving.client.routing.CreateTask(workflow_sid=work.walk)
    types = {"types": ["task.created"]}
    later = await events(serving, start_time=middle, **types)
    before = await events(serving, end_time=middle, **types)

    assert [event.sid for event in later] == [created.task.sid]
    assert [event.sid for event in before] == [work.first, work.second]
    serving.clock.advance(14 * 60 * SECOND + SECOND)
    assert await events(serving, **types) == later


async def test_a_window_that_is_older_than_the_log_begins_with_it(
    serving: Serving, work: Work
) -> None:
    start = Timestamp(seconds=1_000)

    found = await events(serving, start_time=start, types=["task.created"])
    assert [event.sid for event in found] == [work.first, work.second]


async def test_a_page_of_large_change_sets_is_short(serving: Serving) -> None:
    attributes = '{"a":"' + "x" * 60_000 + '"}'
    for _ in range(40):
        await serving.client.routing.CreateTask(attributes=attributes)
    fields: dict[str, Any] = {"types": ["task.created"], "page_size": 1_000}
    page = await serving.client.event.ListEvents(**fields)

    assert 10 < len(page.change_sets) < 20
    assert page.ByteSize() <= limits.LIST_BYTES + 1_000
    assert len(await events(serving, **fields)) == 40


async def test_a_token_belongs_to_its_filter(serving: Serving, work: Work) -> None:
    page = await serving.client.event.ListEvents(page_size=1)
    call = serving.client.event.ListEvents(
        page_token=page.next_page_token, task_sid=work.first
    )

    assert (await refusal(call)).fields.keys() == {"page_token"}


@pytest.mark.usefixtures("work")
async def test_a_page_that_is_given_up_meanwhile_is_refused(serving: Serving) -> None:
    page = await serving.client.event.ListEvents(page_size=1)
    engine = serving.server.engine
    (account,) = (one for sid, one in engine.accounts().items() if sid.strip("AC0"))
    serving.clock.advance(8 * 86_400 * SECOND)
    engine._store.clean_up(account.sid, account.epoch, serving.clock.now())
    call = serving.client.event.ListEvents(page_token=page.next_page_token, page_size=1)

    assert [*await refusal(call)] == ["OUT_OF_RANGE", "TOKEN_BELOW_FLOOR"]
