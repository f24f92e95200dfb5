"""Objects: values of a JSON document, each checked and named by its path."""

import re
from collections.abc import Iterator

from flexcore.domain.attributes import JsonObject
from flexcore.domain.errors import InvalidArgument

#: one line of text, and a name that expressions can use
LINE = re.compile("[^\x00-\x1f\x7f-\x9f\u2028\u2029]*")
NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_NUMERAL = re.compile(r"[0-9]{1,10}")


def below(path: str, key: str) -> str:
    """Return the path of a key; the document itself has none."""
    return f"{path}.{key}" if path else key


def check_keys(value: JsonObject, path: str, known: frozenset[str]) -> None:
    """Refuse a key that is not known."""
    for key in value:
        if key not in known:
            raise InvalidArgument(below(path, key), "unknown key")


def objects(
    value: JsonObject, path: str, key: str, count_max: int
) -> Iterator[tuple[JsonObject, str]]:
    """Yield the objects of an array of at most `count_max`, each with its path."""
    items = value.get(key)
    if items is None:
        return
    if not isinstance(items, list):
        raise InvalidArgument(below(path, key), "an array is required")
    if len(items) > count_max:
        refusal = f"{len(items)} entries, at most {count_max} are allowed"
        raise InvalidArgument(below(path, key), refusal)
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise InvalidArgument(
                f"{below(path, key)}[{index}]", "an object is required"
            )
        yield item, f"{below(path, key)}[{index}]"


def string(value: JsonObject, path: str, key: str) -> str | None:
    """Read a string, None if it is not there."""
    found = value.get(key)
    if found is not None and not isinstance(found, str):
        raise InvalidArgument(below(path, key), "a string is required")
    return found


def integer(
    value: JsonObject, path: str, key: str, least: int, most: int
) -> int | None:
    """Read an integer, given as a number or as its digits in a string."""
    found = value.get(key)
    if found is None:
        return None
    if isinstance(found, str) and _NUMERAL.fullmatch(found):
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int):
        raise InvalidArgument(below(path, key), "an integer is required")
    if not least <= found <= most:
        refusal = f"{found} is not between {least} and {most}"
        raise InvalidArgument(below(path, key), refusal)
    return found
