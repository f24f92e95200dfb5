"""An account with at least two of everything, and a request for every RPC.

What a request needs to be taken is filled in from its descriptor and the resources of a
world, so that a new RPC or field comes under the tests of all RPCs by itself.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from pathlib import Path
from typing import Any

import uvloop
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from flexcore.client import Client
from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.engine.commands import ReceiveMessage
from flexcore.services.registry import SERVICES
from flexcore.v1 import (
    channel_pb2,
    routing_service_pb2,
    rules_pb2,
    worker_requests_pb2,
)
from tests.serving import Serving

#: what is no call with one request; it has tests of its own
SESSIONS = {"AgentSession"}
METHODS: dict[str, MethodDescriptor] = {
    method.name: method
    for service in SERVICES
    for method in service.methods
    if method.name not in SESSIONS
}
STREAMS = {"StreamReservations", "WatchConversation", "WatchEvents", "WatchStatistics"}
READS = ("Get", "List", "Stream", "Watch", "Explain", "Export")

CONFIGURATION = '{"task_routing":{"default_filter":{"queue":"%s"}}}'


def rules_of(field: FieldDescriptor) -> rules_pb2.FieldRules:
    return field.GetOptions().Extensions[rules_pb2.rules]


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def mutating(method: MethodDescriptor) -> bool:
    return not method.name.startswith(READS)


async def call(client: Client, rpc: str, request: Message) -> Message:
    """Make a call as it is; of a stream, return the first message."""
    method = METHODS[rpc]
    service = method.containing_service.name.removesuffix("Service").lower()
    if rpc in STREAMS:
        stream = getattr(getattr(client, service), rpc)(request)
        try:
            return await stream.read()
        finally:
            stream.cancel()
    return await getattr(getattr(client, service), rpc)(request)


class World:
    """The resources of one account; `sids` has one of each prefix."""

    def __init__(self, serving: Serving, client: Client, number: int) -> None:
        self.serving = serving
        self.client = client
        self.number = number
        self.sids: dict[str, str] = {}
        #: what some RPCs need instead, because of its state
        self.instead: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, str] = {}
        #: what every known sid is called
        self.names: dict[str, str] = {}

    def address(self, number: int) -> str:
        return f"+1555{self.number:03}{number:04}"

    def tick(self) -> None:
        """Let time pass: what is made at one time is listed in any order."""
        self.serving.clock.advance(limits.MILLISECOND)

    def fields(self, rpc: str) -> dict[str, Any]:
        """Return the fields with which `rpc` is taken."""
        found: dict[str, Any] = {}
        for field in METHODS[rpc].input_type.fields:
            rules = rules_of(field)
            if rules.sid and (rules.required or field.name in _NAMED):
                found[field.name] = self.sids[rules.sid[0]]
            elif rules.required and field.name in _VALUES:
                found[field.name] = _VALUES[field.name]
        extra = _EXTRA.get(rpc, {})
        found |= {
            name: value(self) if callable(value) else value
            for name, value in extra.items()
        }
        return found | self.instead.get(rpc, {})

    def request(self, rpc: str, **changed: Any) -> Message:
        """Return a request that is taken, but for what is `changed` in it."""
        message = GetMessageClass(METHODS[rpc].input_type)
        return message(**{**self.fields(rpc), **changed})


#: sids that are always said, since there are two workspaces
_NAMED = {"workspace_sid", "workflow_sid"}
_VALUES = {
    "friendly_name": "new",
    "unique_name": "fresh",
    "author": "ann",
    "provider": "twilio",
    "base_url": "http://127.0.0.1:9",
    "public_url": "https://desk.example.org",
    "carrier_account_sid": "AC1",
    "auth_token": "very secret",
}
_EXTRA: dict[str, dict[str, Any]] = {
    "AddParticipant": {"identity": "bob"},
    "SendMessage": {"body": "hello"},
    "CreateSender": {"address": lambda world: world.address(8)},
    "CreateAddressConfiguration": {
        "address": lambda world: world.address(9),
        "auto_creation": channel_pb2.AUTO_CREATION_INTERACTION,
    },
    "CreateWorkflow": {"configuration": lambda world: CONFIGURATION % world.sids["WQ"]},
    "UpdateWorkerChannel": {"task_channel": "default"},
    "ListReceipts": {"conversation_sid": lambda world: world.sids["CH"]},
    "CreateWorker": {"activity": "Offline"},
    "BatchCreateTasks": {
        "tasks": lambda world: [
            routing_service_pb2.NewTask(workflow_sid=world.sids["WW"])
        ]
    },
    "BatchCreateWorkers": {
        "workers": [worker_requests_pb2.NewWorker(friendly_name="newer")]
    },
    "GetWorkerChannel": {"task_channel": "default"},
    "ImportWorkspace": {"document": '{"activities":[{"friendly_name":"imported"}]}'},
    "GetTaskQueueStatistics": {"sids": lambda world: [world.sids["WQ"]]},
}


async def build(serving: Serving, client: Client, number: int = 1) -> World:
    """Fill the client's account: offered, accepted and waiting work, two of a kind."""
    world = World(serving, client, number)
    await _routing(world)
    await _senders(serving, world)
    await _conversations(world)
    key = None
    for _ in range(2):
        key = (await client.admin.CreateKey(friendly_name="one")).key
    assert key is not None
    world.sids |= {"SK": key.sid, "AC": key.account_sid}
    await _tokens(world)
    world.names |= {sid: name for name, sid in world.tokens.items() if len(sid) == 34}
    world.names |= {sid: prefix for prefix, sid in world.sids.items()}
    world.tick()
    return world


class Template:
    """A world on disk, to be copied: a start costs a tenth of making it anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._world, self._now = uvloop.run(self._make())

    async def _make(self) -> tuple[World, int]:
        async with Serving(self._folder, VirtualClock()) as serving:
            return await build(serving, serving.client), serving.clock.now()

    @asynccontextmanager
    async def copied(self, folder: Path) -> AsyncIterator[World]:
        """Serve a copy of the world."""
        shutil.copytree(self._folder, folder)
        async with Serving(folder, VirtualClock(self._now)) as serving:
            world = copy(self._world)
            world.serving, world.client = serving, serving.client
            # Answered when what a start decides by itself is in the log.
            await world.client.routing.GetTask(sid=world.sids["WT"])
            yield world


#: a part of the addresses of each world but the first
_numbers = iter(range(2, 1_000))


async def build_another(serving: Serving) -> World:
    """Fill a further account, as its own key sees it."""
    admin = serving.client.admin
    account = (await admin.CreateAccount(friendly_name="other")).account
    made = await admin.CreateKey(account_sid=account.sid, friendly_name="other")
    client = await serving.connect(f"{made.key.sid}.{made.secret}")
    return await build(serving, client, next(_numbers))


async def _routing(world: World) -> None:
    """Two of each; the first worker is offered a task, the second works on one."""
    setup, routing, sids = world.client.workspace, world.client.routing, world.sids
    sids["WS"] = (await setup.ListWorkspaces()).workspaces[0].sid
    sids["WQ"] = (await setup.ListTaskQueues()).task_queues[0].sid
    sids["WW"] = (await setup.ListWorkflows()).workflows[0].sid
    activities = (await setup.ListActivities()).activities
    channels = (await setup.ListTaskChannels()).task_channels
    names = {each.friendly_name: each.sid for each in activities}
    names |= {each.unique_name: each.sid for each in channels}
    sids |= {"WA": names["Available"], "TC": names["default"]}
    world.names |= {sid: name for name, sid in names.items()}
    world.tick()
    other = (await setup.CreateWorkspace(friendly_name="other")).workspace.sid
    in_first = {"workspace_sid": sids["WS"]}
    # Nobody serves it, so that what enters it waits.
    shut = await setup.CreateTaskQueue(
        friendly_name="shut", target_workers="", **in_first
    )
    second = await setup.CreateWorkflow(
        friendly_name="second",
        configuration=CONFIGURATION % shut.task_queue.sid,
        **in_first,
    )
    world.tokens |= {
        "other_workspace": other,
        "other_workflow": second.workflow.sid,
        "other_queue": shut.task_queue.sid,
    }
    workers, tasks = [], []
    for name in ("ann", "ben"):
        world.tick()
        worker = await setup.CreateWorker(
            friendly_name=name, activity="Available", attributes='{"a":1}', **in_first
        )
        workers.append(worker)
    for _ in range(3):
        world.tick()
        task = await routing.CreateTask(workflow_sid=sids["WW"], **in_first)
        tasks.append(task.task.sid)
    offers = [
        (await routing.ListReservations(worker_sid=each.worker.sid)).reservations[0]
        for each in workers
    ]
    accepted = (await routing.AcceptReservation(sid=offers[1].sid)).reservation
    # Another revision, so that there are two; what waits stays in the first.
    changed = await setup.UpdateWorkflow(
        sid=sids["WW"], configuration=CONFIGURATION % sids["WQ"] + " "
    )
    sids["WV"] = changed.workflow.revision_sid
    sids |= {
        "WK": offers[0].worker_sid,
        "WC": next(
            each.sid
            for each in workers[0].worker_channels
            if each.task_channel_sid == sids["TC"]
        ),
        "WT": tasks[2],
        "WR": offers[0].sid,
    }
    world.instead |= {
        "WrapTask": {"sid": accepted.task_sid},
        "CompleteTask": {"sid": accepted.task_sid},
        "WrapReservation": {"sid": accepted.sid},
        "CompleteReservation": {"sid": accepted.sid},
        "DeleteWorkspace": {"sid": other},
    }
    await _spare(world, in_first)
    world.instead["ClaimTask"] = {"sid": await _claimable(world, in_first)}


async def _spare(world: World, in_first: dict[str, str]) -> None:
    """One of each kind that nothing uses, so that it can be deleted."""
    setup, named = world.client.workspace, {"friendly_name": "spare"}
    activity = (await setup.CreateActivity(**named, **in_first)).activity
    channel = (
        await setup.CreateTaskChannel(unique_name="spare", **in_first)
    ).task_channel
    queue = (
        await setup.CreateTaskQueue(**named, target_workers="", **in_first)
    ).task_queue
    workflow = await setup.CreateWorkflow(
        **named,
        configuration=CONFIGURATION % world.tokens["other_queue"],
        **in_first,
    )
    worker = (await setup.CreateWorker(**named, **in_first)).worker
    for rpc, row in (
        ("DeleteActivity", activity),
        ("DeleteTaskChannel", channel),
        ("DeleteTaskQueue", queue),
        ("DeleteWorkflow", workflow.workflow),
        ("DeleteWorker", worker),
    ):
        world.instead[rpc] = {"sid": row.sid}
        world.names[row.sid] = f"spare {row.sid[:2]}"


async def _claimable(world: World, in_first: dict[str, str]) -> str:
    """Let a task wait in a queue that offers nothing, on a channel with room."""
    setup = world.client.workspace
    queue = await setup.CreateTaskQueue(
        friendly_name="pull",
        target_workers='friendly_name == "ann"',
        max_reserved_workers=0,
        **in_first,
    )
    workflow = await setup.CreateWorkflow(
        friendly_name="pull",
        configuration=CONFIGURATION % queue.task_queue.sid,
        **in_first,
    )
    made = await world.client.routing.CreateTask(
        workflow_sid=workflow.workflow.sid, task_channel="sms", **in_first
    )
    sid: str = made.task.sid
    return sid


async def _senders(serving: Serving, world: World) -> None:
    """Two addresses with configurations, and two messages nobody took."""
    channel = world.client.channel
    for number in (1, 2):
        world.tick()
        address = world.address(number)
        sender = (
            await channel.CreateSender(world.request("CreateSender", address=address))
        ).sender
        made = await channel.CreateAddressConfiguration(
            world.request("CreateAddressConfiguration", address=address)
        )
        world.sids |= {"XE": sender.sid, "IG": made.address_configuration.sid}
    engine = serving.server.engine
    endpoint_id = sender.inbound_url.rpartition("/")[2]
    for number in (1, 2):
        lost = ReceiveMessage(
            endpoint_id=endpoint_id,
            channel_message_sid=f"SM{number}",
            address=world.address(7),
            proxy_address=world.address(3),
            body="is anybody there?",
        )
        await engine.submit(engine.endpoint(endpoint_id).principal, lost)


async def _conversations(world: World) -> None:
    """Three conversations; two have interactions, one is free for a further one."""
    talk, sids = world.client.conversation, world.sids
    for number in (4, 5, 6):
        world.tick()
        sid = (await talk.CreateConversation()).conversation.sid
        await talk.AddParticipant(conversation_sid=sid, identity="ann")
        for address in (number, number + 10):
            world.tick()
            customer = await talk.AddParticipant(
                conversation_sid=sid,
                address=world.address(address),
                proxy_address=world.address(1),
            )
        for _ in range(2):
            said = await talk.SendMessage(
                conversation_sid=sid, author="ann", body="hello"
            )
        sids |= {
            "CH": sid,
            "MB": customer.participant.sid,
            "IM": said.message.sid,
            "DY": said.receipts[0].sid,
        }
        if number < 6:
            await _interaction(world)
    sids["OB"] = "OB" + sids["DY"][2:]


async def _interaction(world: World) -> None:
    """An agent takes part, a second invite waits."""
    interaction, routing, sids = (
        world.client.interaction,
        world.client.routing,
        world.sids,
    )
    made = await interaction.CreateInteraction(
        conversation_sid=sids["CH"],
        workspace_sid=sids["WS"],
        workflow_sid=sids["WW"],
        task_channel="chat",
        attributes='{"a":1}',
    )
    (offer,) = (await routing.ListReservations(task_sid=made.task.sid)).reservations
    joined = await routing.AcceptReservation(sid=offer.sid)
    world.tick()
    invite = await interaction.CreateInvite(
        interaction_sid=made.interaction.sid,
        workflow_sid=world.tokens["other_workflow"],
    )
    sids |= {
        "KD": made.interaction.sid,
        "UO": made.channel.sid,
        "KG": invite.invite.sid,
        "UT": joined.interaction_participant.sid,
    }


async def _tokens(world: World) -> None:
    """A page token of each list that has a second page; a token of each stream."""
    for rpc, method in METHODS.items():
        if "page_token" in method.input_type.fields_by_name:
            page: Any = await call(world.client, rpc, world.request(rpc, page_size=1))
            world.tokens[rpc] = page.next_page_token
    for rpc in STREAMS:
        first: Any = await call(world.client, rpc, world.request(rpc))
        if "resume_token" in first.DESCRIPTOR.fields_by_name:
            world.tokens[rpc] = first.resume_token
    world.tick()
    # Something for each stream that goes on from there.
    await world.client.workspace.UpdateWorker(
        sid=world.sids["WK"], attributes_patch='{"b":1}'
    )
    await world.client.conversation.SendMessage(
        conversation_sid=world.sids["CH"], author="ann", body="well?"
    )
