"""A workspace as one document: imported whole or not at all, exported as it is."""

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings

from flexcore.client import Client
from flexcore.client.documents import (
    Document,
    document_of,
    export_document,
    import_part,
    parts,
    text_of,
)
from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.semantics import POLICIES, Policy
from tests.api.refusals import Refusal, refusal
from tests.factories import make_sid
from tests.serving import Serving

WS, WA, TC, WQ, WW, WK, WC = (
    make_sid(prefix, 1) for prefix in ("WS", "WA", "TC", "WQ", "WW", "WK", "WC")
)


def routed(queue: str, **keys: Any) -> dict[str, Any]:
    return {"task_routing": {"default_filter": {"queue": queue, **keys}}}


def document(**sections: Any) -> Document:
    """A small document with every sid; a test changes what it is about."""
    return {
        "workspace": {
            "sid": WS,
            "friendly_name": "support",
            "semantics": "strict",
            "policies": {"refusal_limit": 3},
            "prioritize_queue_order": "LIFO",
            "default_activity_sid": WA,
            "timeout_activity_sid": WA,
            "vanished_queue_sid": WQ,
        },
        "activities": [
            {"sid": WA, "friendly_name": "Away", "available": False},
            {"sid": make_sid("WA", 2), "friendly_name": "Here", "available": True},
        ],
        "task_channels": [
            {
                "sid": TC,
                "unique_name": "default",
                "friendly_name": "Everything",
                "channel_optimized_routing": True,
            }
        ],
        "task_queues": [
            {
                "sid": WQ,
                "friendly_name": "billing",
                "target_workers": 'skills HAS "billing"',
                "max_reserved_workers": 2,
                "task_order": "LIFO",
                "policies": {"worker_order": "round_robin"},
            }
        ],
        "workflows": [
            {
                "sid": WW,
                "friendly_name": "incoming",
                "task_reservation_timeout": 30,
                "configuration": routed(WQ, priority=7),
                "assignment_callback_url": "",
                "fallback_assignment_callback_url": "",
            }
        ],
        "workers": [
            {
                "sid": WK,
                "friendly_name": "alice",
                "activity_sid": make_sid("WA", 2),
                "attributes": {"skills": ["billing"]},
                "channels": [
                    {
                        "sid": WC,
                        "task_channel_unique_name": "default",
                        "configured_capacity": 3,
                        "available": True,
                    }
                ],
            }
        ],
        **sections,
    }


async def take(client: Client, text: Document | str, workspace_sid: str = "") -> Any:
    text = text if isinstance(text, str) else json.dumps(text)
    return await client.workspace.ImportWorkspace(
        document=text, workspace_sid=workspace_sid
    )


async def refused(serving: Serving, text: Document | str, into: str = "") -> Refusal:
    """Import what is refused; nothing may have happened."""
    before = (await serving.client.admin.GetServerInfo()).server_info.head_sequence
    found = await refusal(take(serving.client, text, into))
    info = (await serving.client.admin.GetServerInfo()).server_info

    assert info.head_sequence == before
    assert len((await serving.client.workspace.ListWorkspaces()).workspaces) == 1
    return found


async def emptied(serving: Serving) -> Client:
    """Return a client of another account, which has nothing yet but its beginnings."""
    admin = serving.client.admin
    account = (await admin.CreateAccount(friendly_name="other")).account
    made = await admin.CreateKey(account_sid=account.sid, friendly_name="other")
    return await serving.connect(f"{made.key.sid}.{made.secret}")


# Whole


async def test_an_export_is_the_document_that_was_imported(serving: Serving) -> None:
    made = await take(serving.client, document())

    assert await export_document(serving.client, WS) == document()
    assert made.workspace.sid == WS
    assert list(made.warnings) == []


async def test_callback_urls_come_and_go_with_their_workflow(serving: Serving) -> None:
    urls = ("https://example.com/offers?at=1", "https://example.com:8443/")
    fields = ("assignment_callback_url", "fallback_assignment_callback_url")
    found = document()
    found["workflows"][0] |= dict(zip(fields, urls, strict=True))
    await take(serving.client, found)
    exported = await export_document(serving.client, WS)
    workflow = (await serving.client.workspace.GetWorkflow(sid=WW)).workflow

    assert exported == found
    assert tuple(getattr(workflow, field) for field in fields) == urls


async def test_what_is_imported_can_be_used_at_once(serving: Serving) -> None:
    await take(serving.client, document())
    made = await serving.client.routing.CreateTask(workspace_sid=WS, workflow_sid=WW)
    (offer,) = (
        await serving.client.routing.ListReservations(task_sid=made.task.sid)
    ).reservations

    assert (offer.worker_sid, made.task.priority) == (WK, 7)
    await serving.client.routing.AcceptReservation(sid=offer.sid)
    revisions = await serving.client.workspace.ListWorkflowRevisions(workflow_sid=WW)
    assert [each.number for each in revisions.workflow_revisions] == [1]


async def test_a_byte_order_mark_is_passed_over(serving: Serving) -> None:
    imported = await take(serving.client, "\ufeff" + json.dumps(document()))

    assert imported.workspace.sid


async def test_an_import_lasts(serving: Serving) -> None:
    await take(serving.client, document())
    await serving.restart()

    assert await export_document(serving.client, WS) == document()


async def test_lists_keep_the_order_of_the_document(serving: Serving) -> None:
    sids = [make_sid("WK", number) for number in (7, 3, 9, 1, 5)]
    workers = [{"sid": sid, "friendly_name": sid} for sid in sids]
    await take(serving.client, document(workers=workers))
    listed = (await serving.client.workspace.ListWorkers(workspace_sid=WS)).workers

    assert [each.sid for each in listed] == sids
    times = [each.create_time.ToMicroseconds() for each in listed]
    assert times == sorted(set(times))
    assert times[-1] <= serving.clock.now()


async def test_what_is_left_out_is_made(serving: Serving) -> None:
    short = {
        "workspace": {
            "friendly_name": "short",
            "semantics": "strict",
            "default_activity_name": "Off",
            "timeout_activity_name": "Off",
        },
        "activities": [{"friendly_name": "Off"}],
        "task_queues": [{"friendly_name": "all"}],
        "workflows": [{"friendly_name": "one", "configuration": routed("all")}],
        "workers": [{"friendly_name": "bob", "attributes": None}],
    }
    del short["workers"][0]["attributes"]  # type: ignore[attr-defined,index]
    made = await take(serving.client, short)
    found = await export_document(serving.client, made.workspace.sid)

    assert [each["unique_name"] for each in found["task_channels"]] == ["default"]
    (queue,), (worker,) = found["task_queues"], found["workers"]
    assert (queue["target_workers"], queue["max_reserved_workers"]) == ("1==1", 1)
    assert found["workflows"][0]["configuration"] == routed(queue["sid"])
    assert found["workflows"][0]["task_reservation_timeout"] == 120
    assert worker["activity_sid"] == found["activities"][0]["sid"]
    assert (worker["attributes"], worker["channels"][0]["configured_capacity"]) == (
        {},
        1,
    )


async def test_two_copies_of_a_document_without_sids_are_two_workspaces(
    serving: Serving,
) -> None:
    first = await take(serving.client, without_sids("first"))
    second = await take(serving.client, without_sids("second"))

    assert first.workspace.sid != second.workspace.sid


def without_sids(name: str) -> Document:
    """A document that names everything."""
    found = document()
    found["workspace"] |= {
        "friendly_name": name,
        "default_activity_name": "Away",
        "timeout_activity_name": "Away",
    }
    del found["workspace"]["default_activity_sid"]
    del found["workspace"]["timeout_activity_sid"]
    del found["workers"][0]["activity_sid"]
    found["workflows"][0]["configuration"] = routed("billing")
    for entries in ([found["workspace"]], *[found[key] for key in SECTIONS]):
        for entry in entries:
            del entry["sid"]
    del found["workers"][0]["channels"][0]["sid"]
    return found


SECTIONS = ("activities", "task_channels", "task_queues", "workflows", "workers")


async def test_a_repeat_is_answered_like_the_first(serving: Serving) -> None:
    call = {"document": json.dumps(document()), "request_id": "once"}
    first = await serving.client.workspace.ImportWorkspace(**call)
    again = await serving.client.workspace.ImportWorkspace(**call)

    assert again == first


# TaskRouter's


def taskrouter() -> Document:
    """A document as TaskRouter's REST API gives its parts: texts, links and all."""
    common = {
        "account_sid": "AC" + "a" * 32,
        "date_created": "2020-03-24T19:40:10Z",
        "date_updated": "2020-03-24T19:40:10Z",
        "url": "https://taskrouter.twilio.com/v1/Workspaces/" + WS,
        "links": {"statistics": "https://taskrouter.twilio.com/v1/Statistics"},
    }
    inner = {**common, "workspace_sid": WS}
    found = document()
    found["workspace"] = {
        **common,
        "sid": WS,
        "friendly_name": "Flex Task Assignment",
        "semantics": "compat",
        "default_activity_name": "Away",
        "default_activity_sid": WA,
        "timeout_activity_name": "Away",
        "timeout_activity_sid": WA,
        "event_callback_url": "https://example.com/events",
        "events_filter": None,
        "multi_task_enabled": True,
        "prioritize_queue_order": "FIFO",
    }
    for section in SECTIONS:
        found[section] = [{**inner, **each} for each in found[section]]
    found["task_channels"][0]["channel_optimized_routing"] = "true"
    found["task_queues"][0] |= {
        "max_reserved_workers": "2",
        "reservation_activity_sid": None,
        "reservation_activity_name": None,
        "assignment_activity_sid": make_sid("WA", 2),
        "assignment_activity_name": "Here",
    }
    del found["task_queues"][0]["policies"]
    found["workflows"][0] |= {
        "assignment_callback_url": "https://example.com/assignment",
        "fallback_assignment_callback_url": "",
        "document_content_type": "application/json",
        "task_reservation_timeout": "30",
        "configuration": CONFIGURATION,
    }
    found["workers"][0] |= {
        "activity_name": "Here",
        "available": True,
        "attributes": '{"skills":["billing"],  "n": 9007199254740993}',
        "date_status_changed": "2020-03-24T19:40:10Z",
    }
    found["workers"][0]["channels"] = [
        {
            **inner,
            "sid": WC,
            "worker_sid": WK,
            "task_channel_sid": TC,
            "task_channel_unique_name": "default",
            "configured_capacity": "3",
            "available": True,
            "assigned_tasks": 0,
            "available_capacity_percentage": 100,
        }
    ]
    return found


CONFIGURATION = """\
{"task_routing": {
  "filters": [{"filter_friendly_name": "vip", "expression": "vip == true", "targets": [
     {"queue": "WQ", "priority": "10", "timeout": "60",
      "expression": "worker.level >= task.level", "order_by": "worker.level DESC"}]}],
  "default_filter": {"queue": "WQ", "timeout": null}}}
""".replace('"WQ"', f'"{WQ}"')


async def test_resources_of_taskrouter_are_taken_as_they_are(serving: Serving) -> None:
    made = await take(serving.client, taskrouter())
    found = await export_document(serving.client, WS)
    workflow = await serving.client.workspace.GetWorkflow(sid=WW)

    assert workflow.workflow.configuration == CONFIGURATION
    assert found["workspace"]["semantics"] == "compat"
    assert found["workspace"]["policies"] == {}
    assert found["workers"][0]["attributes"] == {
        "n": 9007199254740993,
        "skills": ["billing"],
    }
    assert workflow.workflow.assignment_callback_url == "https://example.com/assignment"
    assert found["workers"][0]["channels"][0]["configured_capacity"] == 3
    assert found["task_queues"][0]["max_reserved_workers"] == 2
    assert found["task_channels"][0]["channel_optimized_routing"] is True
    assert made.workspace.effective_policies.retention_seconds == 300


async def test_what_means_nothing_here_is_dropped_and_said(serving: Serving) -> None:
    made = await take(serving.client, taskrouter())
    said = {text.partition(" ")[0]: text for text in made.warnings}

    assert said["activities[].url"] == (
        "activities[].url is dropped (2): resources are named by their sids"
    )
    assert said.keys() >= {
        "workspace.event_callback_url",
        "workspace.multi_task_enabled",
        "task_queues[].assignment_activity_sid",
        "workflows[].document_content_type",
        "workers[].available",
        "workers[].channels[].assigned_tasks",
    }
    # Null says nothing, so that nothing was lost.
    assert not said.keys() & {
        "workspace.events_filter",
        "task_queues[].reservation_activity_sid",
    }


async def test_an_expression_that_is_never_true_is_pointed_out(
    serving: Serving,
) -> None:
    odd = document()
    odd["task_queues"][0]["target_workers"] = "1 == 2"
    made = await take(serving.client, odd)

    assert [text.partition(":")[0] for text in made.warnings] == [
        "task_queues[0].target_workers"
    ]


@pytest.mark.parametrize(
    ("path", "value", "field", "text"),
    [
        ("workspace.multi_task_enabled", False, None, "no single-tasking"),
        ("workspace.semantics", None, None, "must be given"),
        ("workspace.semantics", "loose", None, "one of strict, compat"),
        ("workspace.attention_routing_enabled", True, None, "unknown key"),
        ("workspace.friendly_name", "", None, "must be given"),
        ("workspace.friendly_name", "a\nb", None, "one line"),
        ("workspace.friendly_name", 7, None, "a string is required"),
        ("workspace.default_activity_sid", WQ, None, "no activity here"),
        ("workspace.timeout_activity_sid", None, None, "must be given"),
        ("workspace.timeout_activity_name", "Here", None, "is 'Away'"),
        ("workspace.vanished_queue_sid", "everyone", None, "not a sid of WQ"),
        ("workspace.policies.patience", 7, None, "no such policy"),
        ("workspace.policies.refusal_limit", [7], None, "whole number"),
        ("workspace.prioritize_queue_order", "ANY", None, "FIFO, LIFO"),
        ("workspace", None, "workspace", "must be given"),
        ("workspace", [], "workspace", "an object is required"),
        ("activities[1].sid", WA, None, "that of activities[0]"),
        ("activities[1].sid", WQ, None, "not a sid of WA"),
        ("activities[1].friendly_name", "AWAY", None, "that of activities[0]"),
        ("activities[1].available", "maybe", None, "true or false"),
        ("activities[1]", "Here", None, "an object is required"),
        ("activities", {}, None, "an array is required"),
        ("task_channels[0].unique_name", "a-b", None, "not letters"),
        ("task_queues[0].target_workers", "a =", None, "operand expected"),
        ("task_queues[0].max_reserved_workers", "51", None, "between 0 and 50"),
        ("task_queues[0].policies.step_clock", "age", None, "not of a queue"),
        ("workflows[0].task_reservation_timeout", 0, None, "between 1 and"),
        ("workflows[0].assignment_callback_url", "ftp://a.org", None, "https on"),
        ("workflows[0].fallback_assignment_callback_url", 7, None, "a string"),
        ("workflows[0].configuration", None, None, "must be given"),
        ("workflows[0].configuration", "{", None, "not valid JSON"),
        (
            "workflows[0].configuration",
            routed("nowhere"),
            "workflows[0].configuration.task_routing.default_filter.queue",
            "does not exist",
        ),
        ("workers[0].attributes", None, None, "get the worker itself"),
        ("workers[0].attributes", "[]", None, "a JSON object"),
        ("workers[0].activity_sid", make_sid("WA", 9), None, "no activity here"),
        ("workers[0].channels[0].configured_capacity", 51, None, "between 0"),
        ("workers[0].channels[0].task_channel_unique_name", "fax", None, "no task"),
        ("workers[0].channels[0].task_channel_unique_name", None, None, "must be"),
        ("workers[0].channels[0].colour", "red", None, "unknown key"),
        ("colour", "red", None, "unknown key"),
    ],
)
async def test_a_fault_is_refused_with_its_path(
    serving: Serving, path: str, value: Any, field: str | None, text: str
) -> None:
    found = await refused(serving, changed(document(), path, value))

    assert found.code == "INVALID_ARGUMENT"
    assert text in found.fields[field or path]


def changed(found: Document, path: str, value: Any) -> Document:
    """Return a document with another value at a path."""
    *steps, last = path.replace("]", "").replace("[", ".").split(".")
    place: Any = found
    for step in steps:
        place = place[int(step) if step.isdigit() else step]
    place[int(last) if last.isdigit() else last] = value
    return found


async def test_all_faults_are_named_at_once(serving: Serving) -> None:
    bad = document()
    bad["task_queues"][0]["target_workers"] = "a ="
    bad["workflows"][0]["configuration"] = routed("nowhere")
    bad["workers"][0]["activity_sid"] = "gone"
    bad["colour"] = "red"
    found = await refused(serving, bad)

    assert [*found] == ["INVALID_ARGUMENT", "FIELD_INVALID"]
    assert list(found.fields) == [
        "task_queues[0].target_workers",
        "workflows[0].configuration.task_routing.default_filter.queue",
        "workers[0].activity_sid",
        "colour",
    ]


async def test_a_single_fault_of_an_expression_has_its_position(
    serving: Serving,
) -> None:
    bad = changed(document(), "task_queues[0].target_workers", "a =")
    found = await refused(serving, bad)

    assert [*found] == ["INVALID_ARGUMENT", "EXPRESSION_INVALID"]
    assert found.metadata["position"] == "4"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"workspace":{},"workspace":{}}', "{" * 30_000]
)
async def test_what_is_no_document_is_refused(serving: Serving, text: str) -> None:
    found = await refused(serving, text)

    assert found.code == "INVALID_ARGUMENT"
    assert found.fields.keys() == {"document"}


# Sids and names that are taken


@pytest.mark.parametrize(
    ("path", "sid"),
    [
        ("workspace.sid", "WS"),
        ("activities[1].sid", "WA"),
        ("task_channels[0].sid", "TC"),
        ("task_queues[0].sid", "WQ"),
        ("workflows[0].sid", "WW"),
        ("workers[0].sid", "WK"),
        ("workers[0].channels[0].sid", "WC"),
    ],
)
async def test_a_sid_in_use_exists_already(
    serving: Serving, path: str, sid: str
) -> None:
    used = await sids(serving)
    # What would refer to the sid that is replaced is not there.
    alone = document(workflows=[]) if sid == "WQ" else document()
    alone["workers"][0].pop("activity_sid")
    found = await refused(serving, changed(alone, path, used[sid]))

    assert [*found] == ["ALREADY_EXISTS", "RESOURCE_EXISTS"]
    assert found.metadata == {"sid": used[sid], "field": path, "count": "1"}
    assert found.text.startswith(f"{path}: ")


async def sids(serving: Serving) -> dict[str, str]:
    """Return a sid of each kind that is in use."""
    setup = serving.client.workspace
    worker = await setup.CreateWorker(friendly_name="zoe")
    rows = [
        (await setup.ListWorkspaces()).workspaces[0],
        (await setup.ListActivities()).activities[0],
        (await setup.ListTaskChannels()).task_channels[0],
        (await setup.ListTaskQueues()).task_queues[0],
        (await setup.ListWorkflows()).workflows[0],
        worker.worker,
        worker.worker_channels[0],
    ]
    return {row.sid[:2]: row.sid for row in rows}


async def test_the_name_of_another_workspace_exists_already(serving: Serving) -> None:
    bad = changed(document(), "workspace.friendly_name", "DEFAULT")
    found = await refused(serving, bad)

    assert found.code == "ALREADY_EXISTS"
    assert found.metadata["field"] == "workspace.friendly_name"


async def test_another_account_may_have_the_same_sids(serving: Serving) -> None:
    await take(serving.client, document())
    other = await emptied(serving)
    await take(other, document())

    assert await export_document(other, WS) == document()


# Parts


async def test_a_part_is_added_to_a_workspace(serving: Serving) -> None:
    await take(serving.client, document())
    part = {
        "task_channels": [{"unique_name": "chat"}],
        "task_queues": [{"friendly_name": "more"}],
        "workflows": [
            {"friendly_name": "old", "configuration": routed(WQ)},
            {"friendly_name": "new", "configuration": routed("more")},
            {"friendly_name": "named", "configuration": routed("billing")},
        ],
        "workers": [
            {
                "friendly_name": "bob",
                "activity_name": "Here",
                "channels": [
                    {"task_channel_unique_name": "default", "configured_capacity": 0},
                    {"task_channel_unique_name": "chat", "configured_capacity": 5},
                ],
            }
        ],
    }
    serving.clock.advance(limits.SECOND)
    made = await take(serving.client, part, WS)
    found = await export_document(serving.client, WS)

    assert made.workspace.sid == WS
    rooms = [
        {
            room["task_channel_unique_name"]: room["configured_capacity"]
            for room in rooms
        }
        for rooms in (worker["channels"] for worker in found["workers"])
    ]
    assert rooms == [{"default": 3, "chat": 1}, {"default": 0, "chat": 5}]
    more = found["task_queues"][1]["sid"]
    configurations = [each["configuration"] for each in found["workflows"]]
    assert configurations[1:] == [routed(WQ), routed(more), routed(WQ)]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"activities": [{"friendly_name": "away"}]}, "activities[0].friendly_name"),
        (
            {"task_channels": [{"unique_name": "default"}]},
            "task_channels[0].unique_name",
        ),
        ({"task_queues": [{"friendly_name": "A"}]}, ""),
        (
            {"task_queues": [{"friendly_name": "Billing"}]},
            "task_queues[0].friendly_name",
        ),
        ({"workers": [{"friendly_name": "ALICE"}]}, "workers[0].friendly_name"),
    ],
)
async def test_a_name_of_the_workspace_exists_already(
    serving: Serving, part: Document, field: str
) -> None:
    await take(serving.client, document())
    if not field:
        await take(serving.client, part, WS)
        return
    found = await refusal(take(serving.client, part, WS))

    assert found.code == "ALREADY_EXISTS"
    assert found.metadata["field"] == field


async def test_a_part_has_no_workspace_of_its_own(serving: Serving) -> None:
    await take(serving.client, document())
    part = {"workspace": document()["workspace"]}
    found = await refusal(take(serving.client, part, WS))
    nowhere = await refusal(take(serving.client, {}, make_sid("WS", 9)))

    assert found.fields.keys() == {"workspace"}
    assert nowhere.code == "NOT_FOUND"


async def test_more_than_a_decision_may_change_is_refused(serving: Serving) -> None:
    workers = [{"friendly_name": f"w{number}"} for number in range(499)]
    many = document(workers=workers)
    found = await refused(serving, many)

    assert [*found] == ["RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED"]
    assert "comes to 1005" in found.text
    many["workers"] = workers[:496]
    await take(serving.client, many)
    channels = [{"unique_name": f"c{number}"} for number in range(15)]
    full = await refusal(take(serving.client, {"task_channels": channels}, WS))
    assert full.code == "RESOURCE_EXHAUSTED"


async def test_a_large_document_is_imported_in_parts(serving: Serving) -> None:
    workers = [{"friendly_name": f"w{number:04}"} for number in range(1_300)]
    large = document(workers=workers)
    found = list(parts(large))
    sid = ""
    for part in found:
        sid, _ = await import_part(serving.client, part, sid)
        serving.clock.advance(limits.SECOND)
    exported = await export_document(serving.client, WS)

    assert len(found) == 3
    names = [each["friendly_name"] for each in exported["workers"]]
    assert names == [each["friendly_name"] for each in workers]
    assert str(found[0]).startswith("the workspace, 2 activities, 1 task channels")
    assert found[1].placed("workers[2].sid: x") == (
        f"workers[{len(found[0].document['workers']) + 2}].sid: x"
    )


def wordy(workflow: int) -> dict[str, Any]:
    """A workflow of 40 filters, each of 9 parts."""
    return {
        "friendly_name": f"f{workflow}",
        "configuration": {
            "task_routing": {
                "filters": [
                    {
                        "expression": f"a{workflow} == {n} AND b{n} == 1",
                        "targets": [{"queue": WQ}],
                    }
                    for n in range(40)
                ]
            }
        },
    }


async def test_what_takes_long_to_read_is_refused_and_imported_in_parts(
    serving: Serving,
) -> None:
    large = document(workflows=[wordy(number) for number in range(56)])
    found = await refused(serving, large)

    assert [*found] == ["RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED"]
    assert "import this document in parts" in found.text
    assert found.metadata["limit"] == "20000"
    sid = ""
    for part in parts(large):
        sid, _ = await import_part(serving.client, part, sid)
    listed = await serving.client.workspace.ListWorkflows(
        workspace_sid=sid, page_size=100
    )
    assert len(listed.workflows) == 56


def test_parts_are_small_enough_and_together_the_document() -> None:
    text = "x" * 60_000
    large = document(
        task_queues=[{"friendly_name": f"q{n}"} for n in range(2_500)],
        workflows=[
            {"friendly_name": f"f{n}", "configuration": text} for n in range(30)
        ],
        workers=[{"friendly_name": f"w{n}"} for n in range(700)],
    )
    found = list(parts(large))
    together: Document = {}
    for part in found:
        for key, value in part.document.items():
            if key == "workspace":
                together[key] = value
            else:
                together.setdefault(key, []).extend(value)

    assert together == large
    assert all(len(json.dumps(each.document)) < 1_000_000 for each in found)
    assert "workspace" in found[0].document


def test_what_is_no_list_is_left_to_the_server() -> None:
    (part,) = parts({"workers": {}, "colour": "red"})

    assert part.document == {"workers": {}, "colour": "red"}


def test_a_key_given_twice_is_refused_by_the_client_too() -> None:
    with pytest.raises(ValueError, match="'a' is given twice"):
        document_of('{"a": 1, "a": 2}')
    with pytest.raises(ValueError, match="object"):
        document_of("[]")


# Export


async def test_an_export_has_pages(serving: Serving) -> None:
    await take(serving.client, document(workers=[]))
    workers = [{"friendly_name": f"w{number}"} for number in range(7)]
    serving.clock.advance(limits.SECOND)
    await take(serving.client, {"workers": workers}, WS)
    pages, token = [], ""
    while True:
        page = await serving.client.workspace.ExportWorkspace(
            sid=WS, page_size=3, page_token=token
        )
        pages.append(json.loads(page.document))
        token = page.next_page_token
        if not token:
            break

    counts = [sum(len(page.get(key, ())) for key in SECTIONS) for page in pages]
    assert counts == [3, 3, 3, 3]
    assert ["workspace" in page for page in pages] == [True, False, False, False]
    whole = await export_document(serving.client, WS)
    assert [w for page in pages for w in page.get("workers", ())] == whole["workers"]


async def test_a_page_of_an_export_ends_at_its_bytes(serving: Serving) -> None:
    long = {"note": "x" * 60_000}
    for first in (0, 10, 20):
        workers = [
            {"friendly_name": f"w{number}", "attributes": long}
            for number in range(first, first + 10)
        ]
        part = {"workers": workers} if first else document(workers=workers)
        await take(serving.client, part, WS if first else "")
        serving.clock.advance(limits.SECOND)
    page = await serving.client.workspace.ExportWorkspace(sid=WS)

    assert page.next_page_token
    assert 1_000_000 < len(page.document) < 1_200_000
    assert len((await export_document(serving.client, WS))["workers"]) == 30


async def test_a_page_token_belongs_to_its_workspace(serving: Serving) -> None:
    await take(serving.client, document())
    setup = serving.client.workspace
    found = (await setup.ListWorkspaces()).workspaces
    other = next(each.sid for each in found if each.sid != WS)
    page = await setup.ExportWorkspace(sid=WS, page_size=1)
    foreign = await refusal(
        setup.ExportWorkspace(sid=other, page_token=page.next_page_token)
    )
    missing = await refusal(setup.ExportWorkspace(sid=make_sid("WS", 9)))

    assert foreign.fields.keys() == {"page_token"}
    assert missing.code == "NOT_FOUND"


async def test_what_was_set_up_by_calls_is_exported_and_imported(
    serving: Serving,
) -> None:
    setup = serving.client.workspace
    sid = (await setup.ListWorkspaces()).workspaces[0].sid
    # Every account begins with one of the name `default`.
    await setup.UpdateWorkspace(sid=sid, friendly_name="moved")
    for number in range(3):
        serving.clock.advance(limits.MILLISECOND)
        await setup.CreateWorker(friendly_name=f"w{number}")
    worker = (await setup.ListWorkers()).workers[0]
    await setup.UpdateWorkerChannel(
        worker_sid=worker.sid, task_channel="chat", configured_capacity=4
    )
    first = await export_document(serving.client, sid)
    other = await emptied(serving)
    (part,) = parts(first)
    await import_part(other, part)

    assert text_of(await export_document(other, sid)) == text_of(first)
    rows = (await other.workspace.ListWorkers(workspace_sid=sid)).workers
    assert [row.friendly_name for row in rows] == ["w0", "w1", "w2"]
    assert [row.available for row in rows] == [False] * 3


# Any configuration


NAMES = st.text(
    st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")),
    min_size=1,
    max_size=12,
).filter(str.strip)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
EXPRESSIONS = st.sampled_from(["", "1==1", "a.b >= 2 AND NOT x", 'skills HAS "ü"'])


def values_of(policy: Policy) -> st.SearchStrategy[Any]:
    if policy.words:
        return st.sampled_from(policy.words)
    return st.integers(*policy.range) if policy.range else st.booleans()


def policies(*, queue: bool) -> st.SearchStrategy[Any]:
    names = [name for name, each in POLICIES.items() if each.queue or not queue]
    return st.fixed_dictionaries(
        {}, optional={name: values_of(POLICIES[name]) for name in names}
    )


def named(count: int, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(
        st.fixed_dictionaries({"friendly_name": NAMES}, optional=fields),
        max_size=count,
        unique_by=lambda each: each["friendly_name"].casefold(),
    )


@st.composite
def documents(draw: st.DrawFn) -> Document:
    activities = draw(named(4, available=st.booleans()).filter(bool))
    channels = draw(
        st.lists(st.sampled_from(["default", "chat", "a_1", "$b"]), unique=True)
    )
    queues = draw(
        named(
            4,
            target_workers=EXPRESSIONS,
            max_reserved_workers=st.integers(0, 50),
            task_order=st.sampled_from(["FIFO", "LIFO"]),
            policies=policies(queue=True),
        ).filter(bool)
    )
    queue_names = st.sampled_from([each["friendly_name"] for each in queues])
    workflows = draw(
        named(3, task_reservation_timeout=st.integers(1, 86_400)).map(list)
    )
    for each in workflows:
        each["configuration"] = routed(draw(queue_names))
    ends = [each["friendly_name"] for each in activities]
    workers = draw(
        named(
            5,
            attributes=st.dictionaries(NAMES, JSON, max_size=3),
            activity_name=st.sampled_from(ends),
        )
    )
    for each in workers:
        there = (
            draw(st.lists(st.sampled_from(channels), unique=True)) if channels else []
        )
        each["channels"] = [
            {
                "task_channel_unique_name": name,
                "configured_capacity": draw(st.integers(0, 50)),
                "available": draw(st.booleans()),
            }
            for name in there
        ]
    return {
        "workspace": {
            "friendly_name": draw(NAMES),
            "semantics": draw(st.sampled_from(["strict", "compat"])),
            "policies": draw(policies(queue=False)),
            "default_activity_name": draw(st.sampled_from(ends)),
            "timeout_activity_name": draw(st.sampled_from(ends)),
        },
        "activities": activities,
        "task_channels": [{"unique_name": name} for name in channels],
        "task_queues": queues,
        "workflows": workflows,
        "workers": workers,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.mark.slow
def test_any_workspace_is_the_same_after_export_and_import(folder: Path) -> None:
    count = 0

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(documents())
    def check(found: Document) -> None:
        nonlocal count
        count += 1
        uvloop.run(compare(folder / str(count), found))

    check()


async def compare(folder: Path, found: Document) -> None:
    async with Serving(folder, VirtualClock()) as serving:
        if found["workspace"]["friendly_name"].casefold() == "default":
            return
        made = await take(serving.client, found)
        first = await export_document(serving.client, made.workspace.sid)
        other = await emptied(serving)
        (part,) = parts(document_of(text_of(first)))
        _, warnings = await import_part(other, part)
        again = await export_document(other, made.workspace.sid)

        assert text_of(again) == text_of(first)
        assert [text for text in warnings if "dropped" in text] == []
        for section in ("activities", "task_queues", "workflows", "workers"):
            names = [each["friendly_name"] for each in first.get(section, ())]
            assert names == [each["friendly_name"] for each in found[section]]
        attributes = [each["attributes"] for each in first.get("workers", ())]
        assert attributes == [each.get("attributes", {}) for each in found["workers"]]
