"""Attributes: one JSON object as text, checked before it is believed.

`check_attributes` scans the text once, in linear time, for what a decoder does not
report or only finds too late: size, depth, number of keys, keys given twice. Only then
is it decoded. What passes can always be encoded, stored and compared again.
"""

import re
from itertools import islice
from typing import TypeAlias

import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument

JsonValue: TypeAlias = (
    bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None
)
JsonObject: TypeAlias = dict[str, JsonValue]

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

#: Brackets and strings, keys with their colon; everything else is skipped. An open
#: string takes the rest of the text and the quantifiers are possessive, so that no input
#: makes the scan read a character more than a few times.
_TOKEN = re.compile(
    r'[{}\[\]]|"[^"\\]*+(?:\\.[^"\\]*+)*+"(?:\s*+:)?|".*+',
    re.DOTALL,
)
_OPENING = frozenset("{[")
_CLOSING = frozenset("}]")
#: an integer beyond 64 bits has at least 19 digits; most texts have no such run
_LONG_NUMBER = re.compile(r"[0-9]{19}")
_KINDS = {list: "array", str: "string", bool: "boolean", type(None): "null"}


def check_attributes(
    text: str, field: str = "attributes", size_max: int = limits.ATTRIBUTES_BYTES
) -> JsonObject:
    """Decode attributes, at most `size_max` bytes of UTF-8; "" is an empty object.

    Raises InvalidArgument with the field and the position of what was found.
    """
    if text == "":
        return {}
    return decode_object(text, field, size_max=size_max)


def decode_object(
    text: str,
    field: str,
    *,
    size_max: int,
    keys_max: int = limits.ATTRIBUTES_KEYS,
    depth_max: int = limits.ATTRIBUTES_DEPTH,
    tokens_max: int | None = None,
) -> JsonObject:
    """Decode one JSON object of at most `size_max` bytes and `keys_max` keys in all.

    `tokens_max` limits keys, strings and brackets together.
    """
    encoded = _encoded(text, field, size_max)
    tokens = _TOKEN.findall(text)
    if tokens_max is not None and len(tokens) > tokens_max:
        refusal = f"more than {tokens_max} keys, strings and brackets"
        raise InvalidArgument(field, refusal)
    _scan(text, tokens, field, keys_max, depth_max)
    try:
        value = msgspec.json.decode(encoded)
    except msgspec.DecodeError as error:
        raise _malformed(field, error, len(encoded)) from error
    if not isinstance(value, dict):
        found = _KINDS.get(type(value), "number")
        raise InvalidArgument(field, f"a JSON object is expected, found: {found}")
    if _LONG_NUMBER.search(text):
        _check_integers(value, field)
    return value


def merge_patch(target: JsonObject, patch: JsonObject) -> JsonObject:
    """Apply a JSON merge patch (RFC 7396) and return a new object.

    The result can be larger than either input; check its canonical text again.
    """
    merged = dict(target)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = merge_patch(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def changed(text: str, attributes: str | None, attributes_patch: str | None) -> str:
    """Return stored attributes as an update leaves them: replaced, patched, or both."""
    if attributes is not None:
        text = canonical(check_attributes(attributes))
    if attributes_patch is not None:
        patch = check_attributes(attributes_patch, "attributes_patch")
        text = canonical(merge_patch(msgspec.json.decode(text), patch))
        check_attributes(text, "attributes_patch")
    return text


def canonical(value: JsonObject) -> str:
    """Encode compactly with sorted keys: the same object gives the same text."""
    return msgspec.json.encode(value, order="deterministic").decode()


def _encoded(text: str, field: str, size_max: int) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        refusal = f"not valid UTF-8 at character {error.start + 1}"
        raise InvalidArgument(field, refusal) from error
    if len(encoded) > size_max:
        refusal = f"{len(encoded)} bytes, at most {size_max} are allowed"
        raise InvalidArgument(field, refusal)
    return encoded


def _scan(
    text: str, tokens: list[str], field: str, keys_max: int, depth_max: int
) -> None:
    """Refuse excess depth, too many or too long keys, and keys given twice.

    Broken JSON may pass: the decoder stops at its first fault, which lies behind
    everything this scan has understood.
    """
    #: the keys of every open object; arrays and the level outside stay empty
    levels: list[set[str]] = [set()]
    keys = 0
    for index, token in enumerate(tokens):
        refusal = ""
        if token[-1] == ":":
            keys += 1
            refusal = _key_refusal(token[1 : token.rindex('"')], levels[-1])
            if keys > keys_max:
                refusal = f"more than {keys_max} keys"
        elif token in _OPENING:
            levels.append(set())
            if len(levels) > depth_max + 1:
                refusal = f"nested deeper than {depth_max}"
        elif token in _CLOSING and len(levels) > 1:
            levels.pop()
        if refusal:
            raise InvalidArgument(field, f"{refusal} at character {_at(text, index)}")


def _key_refusal(raw: str, seen: set[str]) -> str:
    key = raw
    if "\\" in raw:
        try:
            key = msgspec.json.decode(f'"{raw}"', type=str)
        except msgspec.DecodeError:
            return "malformed key"
    longest = limits.ATTRIBUTES_KEY_BYTES
    # A character takes at most four bytes.
    if len(key) * 4 > longest and len(key.encode()) > longest:
        return f"key of more than {longest} bytes"
    if key in seen:
        return f'key "{key}" is given twice'
    seen.add(key)
    return ""


def _at(text: str, index: int) -> int:
    """Count the characters up to a token, from one."""
    return next(islice(_TOKEN.finditer(text), index, None)).start() + 1


def _check_integers(value: JsonValue, path: str) -> None:
    if isinstance(value, dict):
        for key, below in value.items():
            _check_integers(below, f"{path}.{key}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            _check_integers(below, f"{path}[{index}]")
    elif isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        raise InvalidArgument(path, f"{value} is not an integer of 64 bits")


def _malformed(field: str, error: msgspec.DecodeError, size: int) -> InvalidArgument:
    """Name the byte at which the decoder stopped."""
    found = str(error).removeprefix("JSON is malformed: ")
    if "byte" not in found:
        found = f"{found.partition(' - ')[0].lower()} (byte {size})"
    return InvalidArgument(field, f"not valid JSON: {found}")
