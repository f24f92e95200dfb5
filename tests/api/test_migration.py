"""From TaskRouter to here: the example reads its REST API, the command line imports."""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from flexcore.v1.routing_pb2 import TASK_STATUS_ASSIGNED
from tests.factories import make_sid
from tests.receiver import Receiver
from tests.serving import Serving

ROOT = Path(__file__).parents[2]
FLEXCORE = Path(sys.executable).with_name("flexcore")
WS, WQ, WW = (make_sid(prefix, 1) for prefix in ("WS", "WQ", "WW"))
OFFLINE, AVAILABLE = make_sid("WA", 1), make_sid("WA", 2)
DEFAULT, VOICE = make_sid("TC", 1), make_sid("TC", 2)
WORKERS = 5
USER, PASSWORD = "AC" + "a" * 32, "a secret"

ROUTING = {
    "task_routing": {
        "filters": [
            {
                "filter_friendly_name": "spanish",
                "expression": 'language == "es"',
                "targets": [
                    {
                        "queue": WQ,
                        "priority": "5",
                        "timeout": "30",
                        "expression": "worker.level >= task.level",
                        "order_by": "worker.level DESC",
                    }
                ],
            }
        ],
        "default_filter": {"queue": WQ},
    }
}


class FakeTaskRouter:
    """Answers as TaskRouter's REST API does: pages of two, and now and then a 429."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.origin = ""
        #: calls refused with 429 before one is answered, by path
        self.busy = {"/Workers": 2, f"/Workers/{make_sid('WK', 2)}/Channels": 1}
        #: calls that are cut off before one is answered, by path
        self.cut = {"/Workflows": 1}
        #: what the lists call the next page's server, if not themselves
        self.elsewhere = ""
        self.most = self.open = 0
        self.callback_url = "https://example.com/assignment"
        self.target_workers: str | None = "level > 1"

    async def answer(self, request: web.Request) -> web.Response:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await asyncio.sleep(0)
            return self._answer(request)
        finally:
            self.open -= 1

    def _answer(self, request: web.Request) -> web.Response:
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {token}":
            return web.json_response({"code": 20003}, status=401)
        path = request.path.removeprefix(f"/v1/Workspaces/{WS}")
        if self.busy.get(path):
            self.busy[path] -= 1
            return web.Response(status=429, headers={"Retry-After": "0"})
        if self.cut.get(path):
            self.cut[path] -= 1
            assert request.transport
            request.transport.abort()
        self.asked.append(path)
        found = self.resources().get(path)
        if found is None:
            return web.json_response({"code": 20404}, status=404)
        if not isinstance(found, tuple):
            return web.json_response(found)
        return web.json_response(self._page(request, *found))

    def _page(self, request: web.Request, key: str, rows: list[Any]) -> Any:
        start = int(request.query.get("Page", 0)) * 2
        following = f"{request.path}?PageSize=2&Page={start // 2 + 1}&PageToken=PT"
        more = len(rows) > start + 2
        return {
            key: rows[start : start + 2],
            "meta": {
                "key": key,
                "page": start // 2,
                "page_size": 2,
                "next_page_url": f"{self.elsewhere or self.origin}{following}"
                if more
                else None,
            },
        }

    def resources(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "": self._resource(WS, default_activity_sid=OFFLINE)
            | {
                "default_activity_name": "Offline",
                "timeout_activity_name": "Offline",
                "timeout_activity_sid": OFFLINE,
                "friendly_name": "Flex Task Assignment",
                "event_callback_url": "https://example.com/events",
                "events_filter": None,
                "multi_task_enabled": True,
                "prioritize_queue_order": "FIFO",
            },
            "/Activities": (
                "activities",
                [
                    self._resource(OFFLINE, friendly_name="Offline", available=False),
                    self._resource(AVAILABLE, friendly_name="Here", available=True),
                    self._resource(
                        make_sid("WA", 3), friendly_name="Lunch", available=False
                    ),
                ],
            ),
            "/TaskChannels": (
                "channels",
                [
                    self._channel(DEFAULT, "default"),
                    self._channel(VOICE, "voice"),
                ],
            ),
            "/TaskQueues": ("task_queues", [self._queue()]),
            "/Workflows": ("workflows", [self._workflow()]),
            "/Workers": ("workers", [self._worker(n) for n in range(1, WORKERS + 1)]),
        }
        for n in range(1, WORKERS + 1):
            path = f"/Workers/{make_sid('WK', n)}"
            found[path] = {**self._worker(n), "attributes": json.dumps({"level": n})}
            found[f"{path}/Channels"] = ("channels", self._rooms(n))
        return found

    def _resource(self, sid: str, **fields: Any) -> dict[str, Any]:
        return {
            "sid": sid,
            "account_sid": USER,
            "workspace_sid": WS,
            "date_created": "2015-07-30T20:00:00Z",
            "date_updated": "2015-07-30T20:00:00Z",
            "url": f"{self.origin}/v1/Workspaces/{WS}/x/{sid}",
            "links": {"statistics": "https://example.com"},
            **fields,
        }

    def _channel(self, sid: str, name: str) -> dict[str, Any]:
        return self._resource(
            sid,
            unique_name=name,
            friendly_name=name.title(),
            channel_optimized_routing=name == "voice",
        )

    def _queue(self) -> dict[str, Any]:
        return self._resource(
            WQ,
            friendly_name="English and Spanish",
            target_workers=self.target_workers,
            max_reserved_workers=1,
            task_order="FIFO",
            assignment_activity_sid=None,
            assignment_activity_name=None,
            reservation_activity_sid=None,
            reservation_activity_name=None,
        )

    def _workflow(self) -> dict[str, Any]:
        return self._resource(
            WW,
            friendly_name="Assign to Anyone",
            assignment_callback_url=self.callback_url,
            fallback_assignment_callback_url=None,
            configuration=json.dumps(ROUTING),
            document_content_type="application/json",
            task_reservation_timeout=45,
        )

    def _worker(self, number: int) -> dict[str, Any]:
        return self._resource(
            make_sid("WK", number),
            friendly_name=f"agent {number}",
            # As in a list, which leaves them out.
            attributes=None if number > 1 else '{"level": 1}',
            activity_sid=AVAILABLE if number > 3 else OFFLINE,
            activity_name="Here" if number > 3 else "Offline",
            available=number > 3,
            date_status_changed="2015-07-30T20:00:00Z",
        )

    def _rooms(self, number: int) -> list[dict[str, Any]]:
        return [
            self._resource(
                make_sid("WC", number * 2 + index),
                worker_sid=make_sid("WK", number),
                task_channel_sid=sid,
                task_channel_unique_name=name,
                configured_capacity=number,
                available=True,
                assigned_tasks=0,
                available_capacity_percentage=100,
            )
            for index, (sid, name) in enumerate(
                [(DEFAULT, "default"), (VOICE, "voice")]
            )
        ]


async def until_assigned(serving: Serving, task_sid: str) -> None:
    get = serving.client.routing.GetTask
    async with asyncio.timeout(10):
        while (await get(sid=task_sid)).task.status != TASK_STATUS_ASSIGNED:
            pass  # each call lets the server go on


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver({"instruction": "accept"}) as receiver:
        yield receiver


@pytest.fixture
async def taskrouter() -> AsyncIterator[FakeTaskRouter]:
    fake = FakeTaskRouter()
    app = web.Application()
    app.router.add_get("/{path:.*}", fake.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    fake.origin = f"http://127.0.0.1:{port}"
    yield fake
    await runner.cleanup()


async def run(*words: str | Path, **environment: str) -> tuple[int, str, str]:
    """Run a program with nothing set but what is given."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("FLEXCORE_", "TWILIO_"))
    }
    process = await asyncio.create_subprocess_exec(
        *words,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


async def read(
    taskrouter: FakeTaskRouter, *options: str, password: str = PASSWORD
) -> tuple[int, str, str]:
    return await run(
        sys.executable,
        ROOT / "examples/import_from_taskrouter.py",
        WS,
        "--base-url",
        taskrouter.origin,
        *options,
        TWILIO_ACCOUNT_SID=USER,
        TWILIO_AUTH_TOKEN=password,
    )


@pytest.mark.slow
async def test_a_workspace_of_taskrouter_routes_here_as_it_did(
    taskrouter: FakeTaskRouter, receiver: Receiver, serving: Serving, tmp_path: Path
) -> None:
    taskrouter.callback_url = receiver.url
    code, text, told = await read(taskrouter, "--concurrency", "3")
    assert code == 0, told
    path = tmp_path / "workspace.json"
    path.write_text(text)
    code, printed, warned = await run(
        FLEXCORE, "workspace", "import", path, FLEXCORE_DATA=str(serving.data)
    )

    assert (code, printed) == (0, f"{WS}\n"), warned
    assert "5 of 5 workers" in told
    assert taskrouter.most <= 3
    assert "assignment_callback_url" not in warned
    assert "date_created" not in text
    made = await serving.client.routing.CreateTask(
        workspace_sid=WS,
        workflow_sid=WW,
        task_channel="voice",
        attributes='{"language": "es", "level": 4}',
    )
    assert made.task.priority == 5
    sid = made.task.sid
    await until_assigned(serving, sid)
    offers = await serving.client.routing.ListReservations(task_sid=sid)
    assert [each.worker_name for each in offers.reservations] == ["agent 5"]
    room = await serving.client.workspace.GetWorkerChannel(
        worker_sid=make_sid("WK", 5), task_channel="voice"
    )
    assert room.worker_channel.sid == make_sid("WC", 11)
    assert room.worker_channel.configured_capacity == 5
    (call,) = receiver.calls
    assert call.form["ReservationSid"] == offers.reservations[0].sid


@pytest.mark.slow
async def test_everybody_can_begin_in_the_default_activity(
    taskrouter: FakeTaskRouter,
) -> None:
    taskrouter.busy.clear()
    _, text, _ = await read(taskrouter, "--default-activity")
    workers = json.loads(text)["workers"]

    assert [each.get("activity_sid") for each in workers] == [None] * WORKERS
    assert [each["attributes"] for each in workers] == [
        json.dumps({"level": number}) for number in range(1, WORKERS + 1)
    ]


@pytest.mark.slow
async def test_a_queue_for_nobody_stays_one(
    taskrouter: FakeTaskRouter, serving: Serving
) -> None:
    taskrouter.target_workers = None
    code, text, told = await read(taskrouter)
    await serving.client.workspace.ImportWorkspace(document=text)
    found = await serving.client.workspace.GetTaskQueue(sid=WQ)

    assert code == 0
    assert found.task_queue.target_workers == ""
    assert told.splitlines()[-1].startswith("left out: tasks, reservations, ")


@pytest.mark.slow
async def test_a_server_that_stays_busy_is_given_up(taskrouter: FakeTaskRouter) -> None:
    taskrouter.busy["/Activities"] = 8
    code, text, told = await read(taskrouter)

    assert (code, text) == (1, "")
    assert "429" in told
    assert told.endswith("/Activities?PageSize=1000, 8 times\n")


@pytest.mark.slow
async def test_the_credential_is_shown_to_no_other_server(
    taskrouter: FakeTaskRouter,
) -> None:
    taskrouter.elsewhere = "http://127.0.0.1:1"
    code, text, told = await read(taskrouter)

    assert (code, text) == (1, "")
    assert "the next page is at another server: http://127.0.0.1:1/" in told


@pytest.mark.slow
async def test_a_wrong_credential_is_said_once(taskrouter: FakeTaskRouter) -> None:
    code, text, told = await read(taskrouter, password="another")

    assert (code, text) == (1, "")
    assert "401" in told
    assert PASSWORD not in told


# The command line


async def command(serving: Serving, *words: str | Path) -> tuple[int, str, str]:
    return await run(FLEXCORE, "workspace", *words, FLEXCORE_DATA=str(serving.data))


@pytest.mark.slow
async def test_a_workspace_goes_to_a_file_and_back(
    serving: Serving, tmp_path: Path
) -> None:
    code, text, _ = await command(serving, "export")
    path = tmp_path / "workspace.json"
    path.write_text(text)
    taken, _, told = await command(serving, "import", path)

    assert (code, taken) == (0, 1)
    assert "workspace.sid" in told
    assert "is in use" in told
    setup = serving.client.workspace
    (there,) = (await setup.ListWorkspaces()).workspaces
    for rpc, rows in (
        ("DeleteWorkflow", (await setup.ListWorkflows()).workflows),
        ("DeleteTaskQueue", (await setup.ListTaskQueues()).task_queues),
        ("DeleteWorkspace", [there]),
    ):
        for row in rows:
            await getattr(setup, rpc)(sid=row.sid)
    code, printed, told = await command(serving, "import", path)
    assert (code, printed, told) == (0, f"{there.sid}\n", "")
    assert (await command(serving, "export"))[1] == text


@pytest.mark.slow
async def test_a_large_file_is_imported_part_by_part(
    serving: Serving, tmp_path: Path
) -> None:
    workers: list[dict[str, Any]] = [
        {"friendly_name": f"w{number}"} for number in range(900)
    ]
    workers[800]["attributes"] = []
    large = {
        "workspace": {
            "friendly_name": "large",
            "semantics": "strict",
            "default_activity_name": "Off",
            "timeout_activity_name": "Off",
        },
        "activities": [{"friendly_name": "Off"}],
        "workers": workers,
    }
    path = tmp_path / "large.json"
    path.write_text(json.dumps(large))
    code, printed, told = await command(serving, "import", path)
    assert (code, printed) == (1, "")
    lines = told.splitlines()
    assert lines[0].startswith("part 1 of 2: the workspace, 1 activities, ")
    assert lines[2].startswith("workers[800].attributes: ")
    sid = lines[3].rpartition(" --into ")[2].split()[0]
    del workers[800]["attributes"]
    path.write_text(json.dumps(large))
    code, printed, _ = await command(
        serving, "import", path, "--into", sid, "--part", "2"
    )

    assert (code, printed) == (0, f"{sid}\n")
    code, text, _ = await command(serving, "export", sid)
    assert len(json.loads(text)["workers"]) == 900


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is no document"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ('{"task_queues": [{"friendly_name": "a", "target_workers": "a ="}]}', "^"),
    ],
)
async def test_a_file_that_is_no_document_is_refused(
    serving: Serving, tmp_path: Path, text: str | None, told: str
) -> None:
    path = tmp_path / "file.json"
    if text is not None:
        path.write_text(text)
    workspaces = (await serving.client.workspace.ListWorkspaces()).workspaces
    code, printed, errors = await command(
        serving, "import", path, "--into", workspaces[0].sid
    )

    assert (code, printed) == (1, "")
    assert told in errors


@pytest.mark.slow
async def test_which_workspace_to_export_has_to_be_said_when_there_are_two(
    serving: Serving,
) -> None:
    await serving.client.workspace.CreateWorkspace(friendly_name="second")
    code, printed, told = await command(serving, "export")

    assert (code, printed) == (1, "")
    assert "there are 2 workspaces" in told
    assert "second" in told
