"""Rows of any kind as protos, and answers as responses.

A row and its message have the same name, so the field of a response that takes a row is
the one whose message type has the row's name.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message as AnyMessage

from flexcore import _wire
from flexcore.domain import limits, model
from flexcore.engine.commands import Answer
from flexcore.services import (
    convert_admin,
    convert_channel,
    convert_conversation,
    convert_interaction,
    convert_routing,
    convert_workspace,
)
from flexcore.services.layout import Layout
from flexcore.v1 import routing_pb2

M = TypeVar("M", bound=AnyMessage)

#: kinds of which a day makes many
LAYOUTS: Mapping[type[model.Row], Layout[Any]] = {
    model.Worker: convert_workspace.WORKER,
    model.WorkerChannel: convert_workspace.WORKER_CHANNEL,
    model.Task: convert_routing.TASK,
    model.Reservation: convert_routing.RESERVATION,
    model.Conversation: convert_conversation.CONVERSATION,
    model.Participant: convert_conversation.PARTICIPANT,
    model.Message: convert_conversation.MESSAGE,
    model.Receipt: convert_conversation.RECEIPT,
    model.Interaction: convert_interaction.INTERACTION,
    model.InteractionChannel: convert_interaction.INTERACTION_CHANNEL,
    model.InteractionParticipant: convert_interaction.INTERACTION_PARTICIPANT,
    model.Invite: convert_interaction.INVITE,
}
#: and set-up
_SET_UP: Mapping[type[model.Row], Callable[[Any], AnyMessage]] = {
    model.Account: convert_admin.account_to_proto,
    model.Key: convert_admin.key_to_proto,
    model.Workspace: convert_workspace.workspace_to_proto,
    model.Activity: convert_workspace.activity_to_proto,
    model.TaskChannel: convert_workspace.task_channel_to_proto,
    model.TaskQueue: convert_workspace.task_queue_to_proto,
    model.Workflow: convert_workspace.workflow_to_proto,
    model.WorkflowRevision: convert_workspace.workflow_revision_to_proto,
    model.AddressConfiguration: convert_channel.address_configuration_to_proto,
    model.Sender: convert_channel.sender_to_proto,
}
TO_PROTO: Mapping[type[model.Row], Callable[[Any], AnyMessage]] = {
    **_SET_UP,
    **{kind: layout.message for kind, layout in LAYOUTS.items()},
}

_NO_NAMES: Mapping[str, str] = {}
_NAMES: Mapping[type[model.Row], tuple[tuple[str, str], ...]] = {
    model.Workspace: (
        ("default_activity_sid", "default_activity_name"),
        ("timeout_activity_sid", "timeout_activity_name"),
    ),
    model.Worker: (("activity_sid", "activity_name"),),
    model.Task: (
        ("task_queue_sid", "task_queue_friendly_name"),
        ("workflow_sid", "workflow_friendly_name"),
    ),
}


def answer_to_proto(response: M, answer: Answer) -> M:
    """Fill a response with the rows of an answer, and the sequence if it has one."""
    if _has_sequence(response.DESCRIPTOR):
        setattr(response, "sequence", answer.sequence)  # noqa: B010  # M is any message
    return rows_to_proto(response, answer.rows, answer.time, answer.names)


def rows_to_proto(
    message: M,
    rows: Iterable[model.Row],
    time: int = 0,
    names: Mapping[str, str] = _NO_NAMES,
) -> M:
    """Put every row into the field of `message` for its kind, if there is one.

    `time` is when the rows are told of; tasks are of an age then. `names` are those of
    what they refer to.
    """
    fields = _fields(message.DESCRIPTOR)
    for row in rows:
        found = fields.get(type(row).__name__)
        if found is None:
            continue
        name, repeated = found
        converted = TO_PROTO[type(row)](row)
        if time and isinstance(converted, routing_pb2.Task):
            converted.age.FromSeconds((time - row.create_time) // limits.SECOND)
        for sid_field, name_field in _NAMES.get(type(row), ()):
            setattr(converted, name_field, names.get(getattr(row, sid_field), ""))
        if repeated:
            getattr(message, name).append(converted)
        else:
            getattr(message, name).MergeFrom(converted)
    return message


def encode_row(row: model.Row, time: int) -> bytes:
    """Return the proto of a row as bytes, as it is told of at a time."""
    layout = LAYOUTS.get(type(row))
    if layout is None:
        return TO_PROTO[type(row)](row).SerializeToString()
    if not isinstance(row, model.Task):
        return layout.encode(row)
    age = (time - row.create_time) // limits.SECOND
    told = _wire.integer(1, age) if age else b""
    return layout.encode(row) + _wire.delimited(routing_pb2.Task.AGE_FIELD_NUMBER, told)


@functools.cache
def _fields(kind: Descriptor) -> Mapping[str, tuple[str, bool]]:
    return {
        field.message_type.name: (field.name, field.is_repeated)
        for field in kind.fields
        if field.message_type
    }


@functools.cache
def _has_sequence(kind: Descriptor) -> bool:
    return "sequence" in kind.fields_by_name
