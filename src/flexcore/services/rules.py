"""Field rules: the options of rules.proto, read once and applied to every request.

`Rules` turns the descriptors of request messages into a table of small checks, so that a
request costs a look-up and one call per field that has a rule. What is inside JSON text
is checked by whoever decodes it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from flexcore.domain import limits
from flexcore.domain.addresses import parse_address
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.objects import LINE, NAME
from flexcore.v1 import rules_pb2

#: says what is wrong with a value, or None
Judge: TypeAlias = Callable[[Any], str | None]
#: appends what is wrong with one field of a message; the text before its name comes second
Check: TypeAlias = Callable[[Any, str, list[tuple[str, str]]], None]

TIMESTAMP_SECONDS_MIN = -62_135_596_800
TIMESTAMP_SECONDS_MAX = 253_402_300_799
DURATION_SECONDS_MAX = 315_576_000_000

_PATTERNS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "event_type": (
        re.compile(r"[a-z_-]+(?:\.[a-z_-]+)*"),
        "words of lower-case letters, dashes and underscores, joined by dots",
    ),
    "line": (
        LINE,
        "one line of text without control characters",
    ),
    "name": (
        NAME,
        "letters, digits, _ and $, not beginning with a digit",
    ),
    "url": (
        re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?"),
        "an http or https URL without a user",
    ),
}


class Rules:
    """The checks of some request messages, by message type."""

    def __init__(self, descriptors: Iterable[Descriptor]) -> None:
        self._checks: dict[str, tuple[Check, ...]] = {}
        for descriptor in descriptors:
            self._compile(descriptor)

    def check(self, request: Message) -> None:
        """Raise InvalidArgument naming every field of `request` that breaks a rule."""
        violations: list[tuple[str, str]] = []
        for check in self._checks[request.DESCRIPTOR.full_name]:
            check(request, "", violations)
        if violations:
            raise InvalidArgument.of(violations)

    def _compile(self, descriptor: Descriptor) -> tuple[Check, ...]:
        name = descriptor.full_name
        if name not in self._checks:
            found = (self._field(field) for field in descriptor.fields)
            self._checks[name] = tuple(check for check in found if check)
        return self._checks[name]

    def _field(self, field: FieldDescriptor) -> Check | None:
        rules = field.GetOptions().Extensions[rules_pb2.rules]
        if field.message_type and field.message_type.full_name not in _WELL_KNOWN:
            return _nested(field, rules, self._compile(field.message_type))
        judge = _judge(field, rules)
        if field.is_repeated and field.enum_type:
            judge = _enum(frozenset(field.enum_type.values_by_number) - {0})
        if field.is_repeated:
            return _repeated(field.name, rules, judge)
        if field.has_presence:
            return _present(field.name, rules.required, judge)
        return _plain(field.name, rules, judge)


# --- where a value is found ------------------------------------------------------------


def _plain(name: str, rules: rules_pb2.FieldRules, judge: Judge | None) -> Check | None:
    """Check a field that is given when it is not empty, zero or false."""
    if judge is None and not rules.required:
        return None
    missing = "must be given" if rules.required else None
    other = rules.required_without

    def check(message: Any, prefix: str, violations: list[tuple[str, str]]) -> None:
        value = getattr(message, name)
        if value:
            text = judge(value) if judge else None
        elif other and not getattr(message, other):
            text = f"must be given unless {other} is"
        else:
            text = missing
        if text:
            violations.append((prefix + name, text))

    return check


def _present(name: str, required: bool, judge: Judge | None) -> Check | None:
    """Check a field that knows whether it was given, whatever its value."""
    if judge is None and not required:
        return None

    def check(message: Any, prefix: str, violations: list[tuple[str, str]]) -> None:
        if message.HasField(name):
            text = judge(getattr(message, name)) if judge else None
        else:
            text = "must be given" if required else None
        if text:
            violations.append((prefix + name, text))

    return check


def _repeated(
    name: str, rules: rules_pb2.FieldRules, judge: Judge | None
) -> Check | None:
    """Check how many items there are, and each of them."""
    if not rules.max_items:
        raise ValueError(f"{name} is repeated and has no max_items")
    most = rules.max_items

    def check(message: Any, prefix: str, violations: list[tuple[str, str]]) -> None:
        items = getattr(message, name)
        text = _excess(items, most)
        if text:
            violations.append((prefix + name, text))
            return
        for index, item in enumerate(items):
            found = judge(item) if judge else None
            if found:
                violations.append((f"{prefix}{name}[{index}]", found))

    return check


def _nested(
    field: FieldDescriptor, rules: rules_pb2.FieldRules, checks: tuple[Check, ...]
) -> Check:
    """Check a message, or each of a repeated field, by the rules of its own fields."""
    name, most, most_bytes = field.name, rules.max_items, rules.max_bytes
    if not field.is_repeated:
        return _below(name, checks)
    if not most:
        raise ValueError(f"{field.full_name} is repeated and has no max_items")

    def check(message: Any, prefix: str, violations: list[tuple[str, str]]) -> None:
        items = getattr(message, name)
        if rules.required and not items:
            violations.append((prefix + name, "must be given"))
        text = _excess(items, most, most_bytes)
        if text:
            violations.append((prefix + name, text))
            return
        for index, item in enumerate(items):
            for below in checks:
                below(item, f"{prefix}{name}[{index}].", violations)

    return check


def _excess(items: Any, most: int, most_bytes: int = 0) -> str | None:
    """Say that there are too many items, or that all of them are too large together."""
    if len(items) > most:
        return f"{len(items)} items, at most {most} are allowed"
    size = sum(item.ByteSize() for item in items) if most_bytes else 0
    if size > most_bytes:
        return f"{size} bytes, at most {most_bytes} are allowed"
    return None


def _below(name: str, checks: tuple[Check, ...]) -> Check:
    """Check one message, if it is given."""

    def check(message: Any, prefix: str, violations: list[tuple[str, str]]) -> None:
        if message.HasField(name):
            for below in checks:
                below(getattr(message, name), f"{prefix}{name}.", violations)

    return check


# --- what a value must be --------------------------------------------------------------


def _judge(field: FieldDescriptor, rules: rules_pb2.FieldRules) -> Judge | None:
    if field.message_type:
        return _WELL_KNOWN[field.message_type.full_name](rules)
    if field.enum_type:
        return _enum(frozenset(field.enum_type.values_by_number))
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _string(rules)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return None
    return _number(rules)


def _string(rules: rules_pb2.FieldRules) -> Judge | None:
    judges = [judge for judge in (_size(rules), _form(rules)) if judge]
    if len(judges) < 2:
        return judges[0] if judges else None
    size, form = judges
    return lambda value: size(value) or form(value)


def _size(rules: rules_pb2.FieldRules) -> Judge | None:
    fewest, most, most_bytes = rules.min_chars, rules.max_chars, rules.max_bytes
    if rules.json_object:
        most_bytes = most_bytes or limits.ATTRIBUTES_BYTES
    if not (fewest or most or most_bytes):
        return None

    def judge(value: str) -> str | None:
        if len(value) < fewest:
            return f"{len(value)} characters, at least {fewest} are needed"
        if most and len(value) > most:
            return f"{len(value)} characters, at most {most} are allowed"
        # A character takes at most four bytes; most texts need not be encoded.
        if most_bytes and len(value) * 4 > most_bytes:
            size = len(value.encode())
            if size > most_bytes:
                return f"{size} bytes, at most {most_bytes} are allowed"
        return None

    return judge


def _form(rules: rules_pb2.FieldRules) -> Judge | None:
    if rules.sid:
        return _sid(tuple(rules.sid))
    allowed = tuple(getattr(rules, "in"))
    if allowed:
        return _choice(allowed)
    if rules.pattern == "address":
        return _address
    if rules.pattern:
        return _pattern(*_PATTERNS[rules.pattern])
    return None


def _sid(prefixes: tuple[str, ...]) -> Judge:
    match = re.compile(f"(?:{'|'.join(prefixes)})[0-9a-f]{{32}}").fullmatch
    wanted = " or ".join(prefixes)
    text = f"not a sid of {wanted} and 32 lower-case hex digits"
    return lambda value: None if not value or match(value) else text


def _choice(allowed: tuple[str, ...]) -> Judge:
    text = f"not one of {', '.join(allowed)}"
    return lambda value: None if not value or value in allowed else text


def _pattern(pattern: re.Pattern[str], what: str) -> Judge:
    match = pattern.fullmatch
    text = f"not {what}"
    return lambda value: None if not value or match(value) else text


def _address(value: str) -> str | None:
    try:
        parse_address(value, "address")
    except InvalidArgument as refusal:
        return refusal.violations[0][1]
    return None


def _enum(numbers: frozenset[int]) -> Judge:
    return lambda value: None if value in numbers else f"{value} is not a known value"


def _number(rules: rules_pb2.FieldRules) -> Judge | None:
    low = rules.min if rules.HasField("min") else None
    high = rules.max if rules.HasField("max") else None
    if low is None and high is None:
        return None

    def judge(value: int) -> str | None:
        if low is not None and value < low:
            return f"{value} is below {low}"
        if high is not None and value > high:
            return f"{value} is above {high}"
        return None

    return judge


def _duration(rules: rules_pb2.FieldRules) -> Judge:
    low = rules.min if rules.HasField("min") else 0
    high = rules.max if rules.HasField("max") else DURATION_SECONDS_MAX

    def judge(value: Any) -> str | None:
        if value.nanos:
            return "not a whole number of seconds"
        if not low <= value.seconds <= high:
            return f"{value.seconds} seconds is not within {low} to {high}"
        return None

    return judge


def _timestamp(rules: rules_pb2.FieldRules) -> Judge:
    low = rules.min if rules.HasField("min") else TIMESTAMP_SECONDS_MIN
    high = rules.max if rules.HasField("max") else TIMESTAMP_SECONDS_MAX

    def judge(value: Any) -> str | None:
        if not 0 <= value.nanos < 1_000_000_000:
            return f"{value.nanos} nanoseconds is not within a second"
        if not low <= value.seconds <= high:
            return f"{value.seconds} seconds is not within {low} to {high}"
        return None

    return judge


_WELL_KNOWN: Mapping[str, Callable[[rules_pb2.FieldRules], Judge]] = {
    "google.protobuf.Duration": _duration,
    "google.protobuf.Timestamp": _timestamp,
}
