"""Policies between the domain, where they are words and numbers by name, and protos."""

from collections.abc import Mapping

from google.protobuf.descriptor import FieldDescriptor

from flexcore.domain.semantics import Overrides, Semantics, Value
from flexcore.services.convert import numbers, texts
from flexcore.v1 import policy_pb2

SEMANTICS = numbers(policy_pb2.Semantics, "SEMANTICS", Semantics)
SEMANTICS_TEXT = texts(policy_pb2.Semantics, "SEMANTICS")

TASK_ORDER = {"FIFO": policy_pb2.TASK_ORDER_FIFO, "LIFO": policy_pb2.TASK_ORDER_LIFO}
TASK_ORDER_TEXT = {number: word for word, number in TASK_ORDER.items()}

_FIELDS: Mapping[str, FieldDescriptor] = policy_pb2.Policies.DESCRIPTOR.fields_by_name


def policies_to_proto(values: Overrides) -> policy_pb2.Policies:
    """Convert policies; those that are not among `values` stay unset."""
    message = policy_pb2.Policies()
    for name, value in values.items():
        setattr(message, name, _number(_FIELDS[name], value))
    return message


def policies_from_proto(message: policy_pb2.Policies) -> dict[str, Value]:
    """Return the policies that are set."""
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def _number(field: FieldDescriptor, value: Value) -> Value:
    """Return a value as the proto has it: a word is a member of the field's enum."""
    if field.enum_type is None:
        return value
    return field.enum_type.values_by_name[f"{field.name}_{value}".upper()].number


def _value(field: FieldDescriptor, value: Value) -> Value:
    if field.enum_type is None:
        return value
    name = field.enum_type.values_by_number[int(value)].name
    return name.removeprefix(f"{field.name}_".upper()).lower()
