"""ExplainTask over the wire: tasks that wait, have somebody, or are over."""

import json
from typing import Any

from google.protobuf.duration_pb2 import Duration

from flexcore.domain import limits
from flexcore.v1 import explanation_pb2 as pb
from flexcore.v1 import policy_pb2, routing_pb2
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving


async def route(serving: Serving, *targets: dict[str, Any]) -> str:
    """Make a workflow of these targets; return its sid."""
    routing = {"filters": [{"expression": "1 == 1", "targets": list(targets)}]}
    made = await serving.client.workspace.CreateWorkflow(
        friendly_name=f"workflow {len(targets)}",
        configuration=json.dumps({"task_routing": routing}),
    )
    return str(made.workflow.sid)


async def spanish(serving: Serving, **fields: Any) -> str:
    made = await serving.client.workspace.CreateTaskQueue(
        friendly_name="spanish", target_workers='languages HAS "es"', **fields
    )
    return str(made.task_queue.sid)


async def hire(serving: Serving, name: str, activity: str = "Available") -> Any:
    made = await serving.client.workspace.CreateWorker(
        friendly_name=name, activity=activity, attributes='{"languages":["en"]}'
    )
    return made.worker


async def explained(serving: Serving, sid: str) -> pb.Explanation:
    response = await serving.client.routing.ExplainTask(sid=sid)
    assert response.task == (await serving.client.routing.GetTask(sid=sid)).task
    found: pb.Explanation = response.explanation
    return found


async def test_task_that_waits_is_explained_step_by_step(serving: Serving) -> None:
    queue = await spanish(serving)
    step = {"queue": queue, "timeout": 60, "expression": "worker.level > 1"}
    workflow = await route(serving, step, {"queue": queue})
    ann = await hire(serving, "ann")
    await hire(serving, "ben", "Offline")
    task = (
        await serving.client.routing.CreateTask(
            workflow_sid=workflow, timeout=Duration(seconds=600)
        )
    ).task
    serving.clock.advance(7 * limits.SECOND)

    found = await explained(serving, task.sid)

    assert found.text == (
        '0 of 2 workers: languages HAS "es" fails;'
        " ann would match with es and with level > 1"
    )
    assert found.next_time.seconds == task.create_time.seconds + 60
    assert found.next_text == "it goes on to the next step"
    assert not found.reservations
    now, then = found.steps
    assert now == pb.StepExplanation(
        place=routing_pb2.ROUTING_PLACE_FILTER,
        filter_index=0,
        target_index=0,
        task_queue_sid=queue,
        task_queue_name="spanish",
        expression="worker.level > 1",
        current=True,
        workers=2,
        failures=[
            pb.ConditionCount(
                condition=pb.CONDITION_QUEUE, text='languages HAS "es" fails', workers=2
            )
        ],
        nearest=now.nearest,
    )
    assert now.nearest[0] == pb.NearMiss(
        worker_sid=ann.sid,
        worker_name="ann",
        failures=['languages HAS "es" fails', "worker.level > 1 fails"],
        remedies=["with es", "with level > 1"],
    )
    assert (then.target_index, then.current, then.expression) == (1, False, "")


async def test_answer_has_what_was_changed_just_before(serving: Serving) -> None:
    workflow = await route(serving, {"queue": await spanish(serving)})
    ann = await hire(serving, "ann", "Offline")
    routing = serving.client.routing
    sid = (await routing.CreateTask(workflow_sid=workflow)).task.sid
    await serving.client.workspace.UpdateWorker(
        sid=ann.sid, attributes='{"languages":["es"]}'
    )

    assert (await explained(serving, sid)).text == (
        "0 of 1 workers: not available; ann would match when available"
    )
    await serving.client.workspace.UpdateWorker(sid=ann.sid, activity="Available")
    assert (await explained(serving, sid)).text == "offered to ann"


async def test_task_in_a_pull_queue_and_one_with_routing_targets(
    serving: Serving,
) -> None:
    queue = await spanish(serving, max_reserved_workers=0)
    workflow = await route(serving, {"queue": queue})
    ann = await hire(serving, "ann", "Offline")
    routing = serving.client.routing
    waiting = (await routing.CreateTask(workflow_sid=workflow)).task
    direct = (
        await routing.CreateTask(
            routing_targets=[
                routing_pb2.RoutingTarget(sid=ann.sid, wait=Duration(seconds=5)),
                routing_pb2.RoutingTarget(sid=workflow),
            ]
        )
    ).task

    pull = await explained(serving, waiting.sid)
    assert pull.text.startswith("waits to be claimed by 0 of 1 workers: ")
    assert pull.steps[0].pull
    assert not pull.steps[0].HasField("routing_target_index")
    found = await explained(serving, direct.sid)
    assert found.text == "0 of 1 workers: not available; ann would match when available"
    assert found.next_text.startswith("it enters workflow ")
    now, then = found.steps
    assert (now.task_queue_sid, now.routing_target_index) == ("", 0)
    assert (then.task_queue_sid, then.routing_target_index) == (queue, 1)


async def test_offer_has_its_reason(serving: Serving) -> None:
    routing = serving.client.routing
    ann = await hire(serving, "ann")
    serving.clock.advance(limits.SECOND)
    ben = await hire(serving, "ben")
    sid = (await routing.CreateTask()).task.sid

    found = await explained(serving, sid)

    assert found.text == "offered to ann"
    assert not found.steps
    (reservation,) = found.reservations
    assert reservation.candidates == 2
    since = [ann.create_time, ben.create_time]
    keys = [str(time.ToMicroseconds()) for time in since]
    assert reservation.choice == routing_pb2.Choice(
        rule="longest_idle",
        key=keys[0],
        runner_up_sid=ben.sid,
        runner_up_key=keys[1],
    )
    assert found.next_text == "the offer to ann ends"
    assert found.next_time == reservation.deadline


async def test_reason_of_an_offer_has_the_values_of_order_by(serving: Serving) -> None:
    workspace, routing = serving.client.workspace, serving.client.routing
    (queue,) = (await workspace.ListTaskQueues()).task_queues
    order = "worker.level DESC"
    workflow = await route(serving, {"queue": queue.sid, "order_by": order})
    ann, ben, cy = [await hire(serving, name) for name in ("ann", "ben", "cy")]
    await workspace.UpdateWorker(sid=ben.sid, attributes_patch='{"level":2.5}')
    await workspace.UpdateWorker(sid=cy.sid, attributes_patch='{"level":"high"}')
    sid = (await routing.CreateTask(workflow_sid=workflow)).task.sid

    (reservation,) = (await explained(serving, sid)).reservations

    choice = reservation.choice
    idle = ann.create_time.ToMicroseconds()
    assert reservation.worker_sid == ben.sid
    assert (choice.order_by, choice.key) == (order, f"2.5, {idle}")
    assert (choice.runner_up_sid, choice.runner_up_key) == (ann.sid, f"-, {idle}")


async def test_claimed_and_direct_reservations_had_no_choice(serving: Serving) -> None:
    routing = serving.client.routing
    queue = await spanish(serving, max_reserved_workers=0)
    ann = await hire(serving, "ann")
    await serving.client.workspace.UpdateWorker(
        sid=ann.sid, attributes='{"languages":["es"]}'
    )
    workflow = await route(serving, {"queue": queue})
    claimed = (await routing.CreateTask(workflow_sid=workflow)).task.sid
    await routing.ClaimTask(sid=claimed, worker_sid=ann.sid)
    target = routing_pb2.RoutingTarget(sid=ann.sid, ignore_capacity=True)
    direct = (await routing.CreateTask(routing_targets=[target])).task.sid

    for sid, text, rule in (
        (claimed, "accepted by ann", "claim"),
        (direct, "offered to ann", "routing_target"),
    ):
        found = await explained(serving, sid)
        (reservation,) = found.reservations
        assert found.text == text
        assert reservation.choice == routing_pb2.Choice(rule=rule)
        assert reservation.candidates == 1


async def test_task_that_is_worked_on_and_over(serving: Serving) -> None:
    routing = serving.client.routing
    workspace = serving.client.workspace
    await workspace.UpdateWorkspace(
        sid=(await workspace.ListWorkspaces()).workspaces[0].sid,
        policies=policy_pb2.Policies(
            wrap_limit_seconds=60, retention_seconds=300, assigned_limit_seconds=900
        ),
    )
    await hire(serving, "ann")
    sid = (await routing.CreateTask()).task.sid
    (offer,) = (await explained(serving, sid)).reservations
    await routing.AcceptReservation(sid=offer.sid)

    seen = [await explained(serving, sid)]
    await routing.WrapTask(sid=sid)
    seen.append(await explained(serving, sid))
    await routing.CompleteTask(sid=sid, reason="answered")
    seen.append(await explained(serving, sid))

    assert [(each.text, each.next_text) for each in seen] == [
        ("accepted by ann", "it is deleted"),
        ("wrapped up by ann", "it is completed"),
        ("completed: answered", "it is deleted"),
    ]
    now = serving.clock.now() // limits.SECOND
    assert [each.next_time.seconds - now for each in seen] == [900, 60, 300]


async def test_canceled_task_says_why_and_that_nothing_follows(
    serving: Serving,
) -> None:
    routing = serving.client.routing
    sid = (await routing.CreateTask()).task.sid
    await routing.CancelTask(sid=sid, reason="not needed")

    found = await explained(serving, sid)

    assert found == pb.Explanation(text="canceled: not needed")


async def test_task_nobody_knows_is_not_found(serving: Serving) -> None:
    routing = serving.client.routing
    for sid in (make_sid("WT"), (await routing.CreateTask()).task.sid):
        await refusal_of_a_stranger(serving, sid)
    refused = await refusal(routing.ExplainTask(sid=make_sid("WT")))
    assert refused.code == "NOT_FOUND"
    refused = await refusal(routing.ExplainTask(sid=make_sid("WR")))
    assert refused.code == "INVALID_ARGUMENT"
    assert list(refused.fields) == ["sid"]


async def refusal_of_a_stranger(serving: Serving, sid: str) -> None:
    """Another account knows nothing of the task."""
    admin = serving.client.admin
    account = (await admin.CreateAccount(friendly_name="other")).account
    key = await admin.CreateKey(account_sid=account.sid, friendly_name="other")
    stranger = await serving.connect(f"{key.key.sid}.{key.secret}")
    refused = await refusal(stranger.routing.ExplainTask(sid=sid))

    assert refused.code == "NOT_FOUND"
    assert sid in refused.text


async def test_workers_of_another_workspace_are_not_counted(serving: Serving) -> None:
    await hire(serving, "ann", "Offline")
    sid = (await serving.client.routing.CreateTask()).task.sid
    other = (
        await serving.client.workspace.CreateWorkspace(friendly_name="other")
    ).workspace.sid
    await serving.client.workspace.CreateWorker(workspace_sid=other, friendly_name="x")

    assert (await explained(serving, sid)).steps[0].workers == 1


async def test_caller_who_goes_away_leaves_the_server_as_it_was(
    serving: Serving,
) -> None:
    await hire(serving, "ann", "Offline")
    routing = serving.client.routing
    sid = (await routing.CreateTask()).task.sid
    for _ in range(20):
        routing.ExplainTask(sid=sid).cancel()

    assert (await explained(serving, sid)).steps
