"""What happens, step by step, and what has to be true after each step."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Protocol

from flexcore.client import Client
from flexcore.demo.actors import Actor, Facts, Violated
from flexcore.demo.ledger import Ledger
from flexcore.demo.transcript import Transcript
from flexcore.terminal import short
from flexcore.v1 import (
    channel_pb2,
    conversation_pb2,
    interaction_pb2,
    routing_pb2,
)

BUSINESS = "+15550009999"
CUSTOMER = "+15550001111"
HASTY = "+15550002222"
SPANISH = "+34600000003"
CARRIER_ACCOUNT = "AC" + "d" * 32
WORKERS = ("worker-1", "worker-2", "worker-3")
BURST = 50

#: what one webhook has to have created in one change set
FIRST_CONTACT = {
    "conversation.created",
    "participant.added",
    "message.added",
    "interaction.created",
    "channel.created",
    "interaction.participant.joined",
    "invite.created",
    "task.created",
}


class ServerProcess(Protocol):
    """What the scenario does to the server."""

    @property
    def url(self) -> str:
        """Where webhooks go."""
        ...

    async def begin(self) -> str:
        """Start it; return the line it prints."""
        ...

    async def kill(self) -> None:
        """Kill it."""
        ...


@dataclass
class Cast:
    """Everybody who takes part, and what the scenario remembers of them."""

    transcript: Transcript
    server: ServerProcess
    customers: Actor
    agents: Actor
    client: Client
    ledger: Ledger
    auth_token: str
    workers: dict[str, str] = field(default_factory=dict)
    #: messages either way in the main conversation
    messages: int = 0
    commits: int = 0


@dataclass(frozen=True)
class Contact:
    """A conversation with a customer, offered to a worker."""

    conversation_sid: str
    interaction_sid: str
    task_sid: str
    worker: str
    reservation_sid: str


def expect(condition: object, what: str) -> None:
    """Stop unless what was promised is so."""
    if not condition:
        raise Violated(what)


async def run(cast: Cast) -> dict[str, Any]:
    """Play the whole scenario; return its figures."""
    await _set_up(cast)
    contact = await _first_contact(cast)
    await _accept(cast, contact)
    await _answer(cast, contact, "which invoice is it?")
    await _hasty_customer(cast)
    await _write(cast, contact, "the one of May")
    await _crash(cast, contact)
    await _end(cast, contact)
    await _spanish_customer(cast)
    # One task for each worker first: a stream may still wait to be opened again.
    await cast.agents.ask("burst", count=len(WORKERS))
    latency = await cast.agents.ask("burst", count=BURST)
    expect(
        latency["workers"] == len(WORKERS),
        f"{latency['workers']} of {len(WORKERS)} workers were offered tasks again",
    )
    await _hold_to_the_log(cast)
    info = await _info(cast)
    return {
        "messages": cast.messages,
        "events": info.head_sequence,
        "commits": cast.commits + info.commit_count,
        "offers": BURST,
        "offer_p50_ms": round(latency["p50"], 2),
        "offer_p99_ms": round(latency["p99"], 2),
        "seconds": round(cast.transcript.seconds, 2),
    }


async def _set_up(cast: Cast) -> None:
    """Three workers, and a business number whose first messages start interactions."""
    ready = await cast.customers.until("ready")
    await cast.agents.until("ready")
    sender = await cast.client.channel.CreateSender(
        address=BUSINESS,
        provider="twilio",
        base_url=ready["base_url"],
        public_url=cast.server.url,
        carrier_account_sid=CARRIER_ACCOUNT,
        auth_token=cast.auth_token,
    )
    await cast.client.channel.CreateAddressConfiguration(
        address=BUSINESS, auto_creation=channel_pb2.AUTO_CREATION_INTERACTION
    )
    await cast.customers.ask(
        "connect", business=BUSINESS, inbound_url=sender.sender.inbound_url
    )
    made = await cast.agents.ask("work", names=list(WORKERS))
    cast.workers = made["workers"]


async def _first_contact(cast: Cast) -> Contact:
    """A customer writes; one webhook makes everything up to the task."""
    contact, change_set = await _contact(cast, CUSTOMER, "my invoice is wrong")
    kinds = {event.type for event in change_set.events}
    expect(kinds >= FIRST_CONTACT, f"not in one change set: {FIRST_CONTACT - kinds}")
    cast.transcript.say(
        "server",
        f"conversation {short(contact.conversation_sid)}  "
        f"interaction {short(contact.interaction_sid)}  "
        f"task {short(contact.task_sid)}   1 commit, {len(change_set.events)} events",
    )
    return contact


async def _contact(cast: Cast, number: str, body: str) -> tuple[Contact, Any]:
    """Let a customer write for the first time; wait for the offer that follows."""
    cast.transcript.say("customer", f"{number} > {body}")
    await cast.customers.ask("say", number=number, to=BUSINESS, body=body)
    return await _offered(cast, number)


async def _offered(cast: Cast, number: str) -> tuple[Contact, Any]:
    """Return the contact that was offered, and the change set that made it."""
    offer = await cast.agents.until("offered", customer=number)
    about = offer["attributes"]
    change_set = await cast.ledger.until(
        f"task {offer['task_sid']}",
        lambda each: any(
            (event.type, event.sid) == ("task.created", offer["task_sid"])
            for event in each.events
        ),
    )
    expect(about.get("channelType") == "sms", f"the offer is of {about}")
    contact = Contact(
        conversation_sid=about["conversationSid"],
        interaction_sid=about["flexInteractionSid"],
        task_sid=offer["task_sid"],
        worker=offer["worker"],
        reservation_sid=offer["reservation_sid"],
    )
    return contact, change_set


async def _accept(cast: Cast, contact: Contact) -> None:
    """The agent takes part when accept returns, and reads what was said."""
    offer = await cast.agents.until("offered", task_sid=contact.task_sid)
    queue = await cast.client.workspace.GetTaskQueue(sid=offer["task_queue_sid"])
    cast.transcript.say(
        "agent",
        f"offered {short(contact.task_sid)}: queue {queue.task_queue.friendly_name}, "
        f"{offer['rule'].replace('_', ' ')} of {offer['candidates']}",
    )
    expect(
        offer["candidates"] == len(WORKERS),
        f"{offer['candidates']} workers were candidates, not {len(WORKERS)}",
    )
    joined = await cast.agents.ask("accept", reservation_sid=contact.reservation_sid)
    expect(
        joined["identity"] == contact.worker
        and contact.worker in joined["participants"],
        f"{contact.worker} takes no part when accept returns",
    )
    expect(
        joined["history"] == ["my invoice is wrong"],
        f"the history reads {joined['history']}",
    )
    cast.messages += 1
    cast.transcript.say(
        "agent", f"{contact.worker} accepted, takes part, reads: {joined['history'][0]}"
    )


async def _answer(cast: Cast, contact: Contact, body: str) -> None:
    """The agent answers; the phone gets it, and the receipt comes back by webhook."""
    said = await cast.agents.ask(
        "say",
        conversation_sid=contact.conversation_sid,
        author=contact.worker,
        body=body,
    )
    await _received(cast, body)
    await _receipt(cast, said)


async def _received(cast: Cast, body: str) -> None:
    await cast.customers.until("received", number=CUSTOMER, body=body)
    cast.messages += 1
    cast.transcript.say("customer", f"{CUSTOMER} < {body}")


async def _receipt(cast: Cast, said: Facts) -> None:
    (receipt_sid,) = said["receipts"]
    await cast.ledger.until(
        f"receipt {receipt_sid} delivered",
        lambda each: any(
            row.receipt.sid == receipt_sid
            and row.receipt.status == conversation_pb2.RECEIPT_STATUS_DELIVERED
            for row in each.resources
        ),
    )
    page = await cast.client.conversation.ListReceipts(message_sid=said["message_sid"])
    statuses = [receipt.status for receipt in page.receipts]
    expect(
        statuses == [conversation_pb2.RECEIPT_STATUS_DELIVERED],
        f"the receipts of {said['message_sid']} are {statuses}",
    )
    cast.transcript.say(
        "server",
        f"receipt {short(receipt_sid)} of {short(said['message_sid'])} delivered",
    )


async def _write(cast: Cast, contact: Contact, body: str) -> None:
    """The customer writes; the agent's conversation stream shows it."""
    cast.transcript.say("customer", f"{CUSTOMER} > {body}")
    await cast.customers.ask("say", number=CUSTOMER, to=BUSINESS, body=body)
    await _heard(cast, contact, body)


async def _heard(cast: Cast, contact: Contact, body: str) -> Facts:
    heard = await cast.agents.until(
        "message", conversation_sid=contact.conversation_sid, body=body
    )
    expect(heard["author"] == CUSTOMER, f"{heard['author']} is said to have written")
    cast.messages += 1
    return heard


async def _hasty_customer(cast: Cast) -> None:
    """Two first messages at once are one conversation, one sent twice is one message."""
    cast.transcript.say(
        "customer", f"{HASTY} > two messages at once, one of them twice"
    )
    first, _ = await asyncio.gather(
        cast.customers.ask("say", number=HASTY, to=BUSINESS, body="hello?"),
        cast.customers.ask("say", number=HASTY, to=BUSINESS, body="anybody there?"),
    )
    contact, _ = await _offered(cast, HASTY)
    await cast.customers.ask(
        "say",
        number=HASTY,
        to=BUSINESS,
        body="hello?",
        message_sid=first["message_sid"],
    )
    page = await cast.client.conversation.ListMessages(
        conversation_sid=contact.conversation_sid
    )
    bodies = sorted(message.body for message in page.messages)
    expect(bodies == ["anybody there?", "hello?"], f"the conversation holds {bodies}")
    begun = cast.ledger.events("conversation.created")
    expect(len(begun) == 2, f"{len(begun)} conversations began instead of 2")
    cast.transcript.say(
        "server",
        f"conversation {short(contact.conversation_sid)}: 1 for both, "
        f"{len(bodies)} messages of 3 webhooks",
    )
    await cast.agents.ask("accept", reservation_sid=contact.reservation_sid)
    ended = await cast.agents.ask(
        "end", interaction_sid=contact.interaction_sid, complete=True
    )
    expect(
        ended["tasks"] == [routing_pb2.TASK_STATUS_COMPLETED],
        f"ending left the task in status {ended['tasks']}",
    )
    cast.transcript.say("agent", f"{contact.worker} accepted, ended and completed it")


async def _spanish_customer(cast: Cast) -> None:
    """A task that nobody can take says why; a skill is added, and the offer follows."""
    await _route_spanish(cast)
    cast.transcript.say("customer", f"{SPANISH} > hola, una pregunta")
    await cast.customers.ask("say", number=SPANISH, to=BUSINESS, body="hola")
    change_set = await cast.ledger.until(
        "the task of a Spanish customer",
        lambda each: any(SPANISH in row.task.attributes for row in each.resources),
    )
    (task_sid,) = {row.task.sid for row in change_set.resources if row.task.sid}
    explained = await cast.client.routing.ExplainTask(sid=task_sid)
    why = explained.explanation.text
    cast.transcript.say("server", f"task {short(task_sid)} waits, {why}")
    expect(
        why == '0 of 3 workers: languages HAS "es" fails; worker-1 would match with es',
        f"the task waits for another reason: {why}",
    )
    await cast.client.workspace.UpdateWorker(
        sid=cast.workers["worker-1"], attributes_patch='{"languages": ["en", "es"]}'
    )
    cast.transcript.say("demo", "worker-1 learns Spanish")
    contact, _ = await _offered(cast, SPANISH)
    expect(contact.worker == "worker-1", f"{contact.worker} was offered the task")
    await cast.agents.ask("accept", reservation_sid=contact.reservation_sid)
    await cast.agents.ask("end", interaction_sid=contact.interaction_sid, complete=True)
    cast.transcript.say("agent", "worker-1 was offered it, answered and completed it")


async def _route_spanish(cast: Cast) -> None:
    """Send those who write from Spain to whoever speaks Spanish."""
    workspace = cast.client.workspace
    spanish = await workspace.CreateTaskQueue(
        friendly_name="spanish", target_workers='languages HAS "es"'
    )
    (workflow,) = (await workspace.ListWorkflows()).workflows
    configuration = json.loads(workflow.configuration)
    configuration["task_routing"]["filters"] = [
        {
            "filter_friendly_name": "Spain",
            "expression": 'customerAddress CONTAINS "+34"',
            "targets": [{"queue": spanish.task_queue.sid}],
        }
    ]
    await workspace.UpdateWorkflow(
        sid=workflow.sid, configuration=json.dumps(configuration)
    )


async def _crash(cast: Cast, contact: Contact) -> None:
    """Kill the server while a message is on its way out and another on its way in."""
    reply, answer = "I see it: it was sent twice", "so I pay once?"
    after_event = max(each.get("sequence", 0) for each in _heard_so_far(cast, contact))
    # The carrier takes the reply and does not answer: nobody knows whether it was sent.
    await cast.customers.ask("hold")
    said = await cast.agents.ask(
        "say",
        conversation_sid=contact.conversation_sid,
        author=contact.worker,
        body=reply,
    )
    await _received(cast, reply)
    before = await _info(cast)
    cast.commits += before.commit_count
    await cast.server.kill()
    cast.transcript.say("demo", "kill -9 server")
    cast.transcript.say("customer", f"{CUSTOMER} > {answer}")
    writing = asyncio.create_task(
        cast.customers.ask("say", number=CUSTOMER, to=BUSINESS, body=answer)
    )
    cast.transcript.say("server", await cast.server.begin())
    await writing
    heard = await _heard(cast, contact, answer)
    expect(heard["resumed"] >= 1, "the conversation stream was never cut")
    missed, repeated = await _compare_messages(cast, contact)
    cast.transcript.say(
        "agent",
        f"resumed after event {after_event}: {missed} missed, {repeated} repeated",
    )
    expect(not missed and not repeated, f"{missed} missed, {repeated} repeated")
    await _receipt(cast, said)
    # Messages of one pair leave in order: this one waits until it is known what became
    # of the one before, so that a repeat of that one would have arrived by now.
    await _answer(cast, contact, "yes, the second one is void")
    received = [each.get("body") for each in cast.customers.events]
    expect(
        received.count(reply) == 1, f"the phone got it {received.count(reply)} times"
    )
    cast.transcript.say("demo", f"received once, though its fate was unknown: {reply}")


def _heard_so_far(cast: Cast, contact: Contact) -> list[Facts]:
    sid = contact.conversation_sid
    return [each for each in cast.agents.events if each.get("conversation_sid") == sid]


async def _compare_messages(cast: Cast, contact: Contact) -> tuple[int, int]:
    """Return how many messages the agent's stream missed and how many it repeated."""
    page = await cast.client.conversation.ListMessages(
        conversation_sid=contact.conversation_sid
    )
    kept = {message.index for message in page.messages}
    told = await cast.agents.ask("seen")
    seen = told["seen"][contact.conversation_sid]
    return len(kept - set(seen)), len(seen) - len(set(seen))


async def _end(cast: Cast, contact: Contact) -> None:
    """The agent ends the interaction and completes the task."""
    ended = await cast.agents.ask("end", interaction_sid=contact.interaction_sid)
    expect(
        ended["channel"] == interaction_pb2.INTERACTION_CHANNEL_STATUS_CLOSED
        and ended["conversation"] == conversation_pb2.CONVERSATION_STATE_CLOSED,
        f"the interaction did not close: {ended}",
    )
    expect(
        ended["tasks"] == [routing_pb2.TASK_STATUS_WRAPPING],
        f"the task is in status {ended['tasks']}, not wrapping",
    )
    await _require_released(cast)
    cast.transcript.say(
        "agent",
        f"ended {short(contact.interaction_sid)}: task wrapping, conversation closed, "
        f"{CUSTOMER} and {BUSINESS} released",
    )
    done = await cast.agents.ask("complete", task_sid=contact.task_sid)
    expect(
        done["task"] == routing_pb2.TASK_STATUS_COMPLETED, "the task is not complete"
    )
    expect(
        not done["held"], f"{contact.worker} still holds {done['held']} reservations"
    )
    cast.transcript.say(
        "agent", f"completed {short(contact.task_sid)}: {contact.worker} has room again"
    )


async def _require_released(cast: Cast) -> None:
    """Bind the pair to a conversation of our own, which a held pair would refuse."""
    made = await cast.client.conversation.CreateConversation(friendly_name="probe")
    sid = made.conversation.sid
    await cast.client.conversation.AddParticipant(
        conversation_sid=sid, address=CUSTOMER, proxy_address=BUSINESS
    )
    await cast.client.conversation.CloseConversation(sid=sid)


async def _hold_to_the_log(cast: Cast) -> None:
    """Every stream gave what the log has, each thing once; so did the carrier."""
    info = await _info(cast)
    await cast.ledger.until(
        f"event {info.head_sequence}",
        lambda each: each.last_sequence >= info.head_sequence,
    )
    told = await cast.agents.ask("seen")
    expect(not told["lost"], f"{told['lost']} streams lost their place")
    for name, sid in cast.workers.items():
        seen = [tuple(each) for each in told["seen"].get(sid, [])]
        logged = cast.ledger.of_worker(sid)
        expect(seen == logged, f"the stream of {name} differs from the log")
        expect(told["resumed"][sid] >= 1, f"the stream of {name} was never cut")
    received = [each["body"] for each in cast.customers.events if "body" in each]
    twice = sorted({body for body in received if received.count(body) > 1})
    expect(not twice, f"the phone got twice: {twice}")


async def _info(cast: Cast) -> Any:
    response = await cast.client.admin.GetServerInfo()
    return response.server_info
