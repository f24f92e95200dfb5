"""Entries: objects of a document, read key by key while the faults are gathered.

A fault is noted with its path and the value left out, so that one pass finds what is
wrong everywhere.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

from flexcore.domain import limits
from flexcore.domain.attributes import JsonObject, JsonValue
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.ids import SID_PATTERN
from flexcore.domain.objects import LINE, below, integer, objects, string

T = TypeVar("T")


class Findings:
    """What is wrong with a document, in the order found."""

    def __init__(self) -> None:
        self._errors: list[InvalidArgument] = []

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._errors)

    def note(self, path: str, text: str) -> None:
        """Note a fault at a path."""
        self._errors.append(InvalidArgument(path, text))

    def read(self, read: Callable[[], T], otherwise: T) -> T:
        """Return what `read` returns; what it refuses is noted."""
        try:
            return read()
        except InvalidArgument as error:
            self._errors.append(error)
            return otherwise

    def refuse(self) -> None:
        """Raise InvalidArgument naming every fault, if there is one."""
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            found = [each for error in self._errors for each in error.violations]
            raise InvalidArgument.of(found[: limits.DOCUMENT_FINDINGS])


class Entry:
    """One object of a document; a null counts as a key left out."""

    def __init__(self, value: JsonObject, path: str, findings: Findings) -> None:
        self.path = path
        self._value = value
        self._findings = findings
        self._asked: set[str] = set()

    def at(self, key: str) -> str:
        """Return the path of a key."""
        return below(self.path, key)

    def note(self, key: str, text: str) -> None:
        """Note a fault of the value of a key."""
        self._findings.note(self.at(key), text)

    def has(self, key: str) -> bool:
        """Say whether a key is there, with null or anything else."""
        return key in self._value

    def raw(self, key: str) -> JsonValue:
        """Return the value of a key, whatever it is."""
        self._asked.add(key)
        return self._value.get(key)

    def text(self, key: str, otherwise: str = "") -> str:
        """Return a string."""
        self._asked.add(key)
        read = self._findings.read
        found = read(lambda: string(self._value, self.path, key), None)
        return otherwise if found is None else found

    def line(self, key: str, chars_max: int, *, required: bool = False) -> str:
        """Return one line of text; one that is required is not blank."""
        before = self._findings.count
        found = self.text(key)
        if self._findings.count > before:
            return ""
        if len(found) > chars_max:
            refusal = f"{len(found)} characters, at most {chars_max} are allowed"
            self.note(key, refusal)
        elif not LINE.fullmatch(found):
            self.note(key, "not one line of text without control characters")
        elif required and not found.strip():
            self.note(key, "must not be empty" if found else "must be given")
        else:
            return found
        return ""

    def choice(self, key: str, words: Collection[str], otherwise: str) -> str:
        """Return one of some words."""
        found = self.text(key, otherwise)
        if found not in words:
            self.note(key, f"must be one of {', '.join(words)}")
            return otherwise
        return found

    def integer(self, key: str, least: int, most: int, otherwise: int) -> int:
        """Return an integer, given as a number or as its digits in a string."""
        self._asked.add(key)
        found = self._findings.read(
            lambda: integer(self._value, self.path, key, least, most), None
        )
        return otherwise if found is None else found

    def boolean(self, key: str, *, otherwise: bool) -> bool:
        """Return true or false, given as such or as a string."""
        found = self.raw(key)
        if found is None:
            return otherwise
        if isinstance(found, str):
            found = {"true": True, "false": False}.get(found)
        if not isinstance(found, bool):
            self.note(key, "true or false is required")
            return otherwise
        return found

    def sid(self, prefix: str, key: str = "sid") -> str:
        """Return the entry's own sid, or that of something it names; empty if none."""
        found = self.text(key)
        if found and not (SID_PATTERN.fullmatch(found) and found.startswith(prefix)):
            self.note(key, f"not a sid of {prefix} and 32 lower-case hex digits")
            return ""
        return found

    def object(self, key: str) -> JsonObject:
        """Return an object; one without keys if it is not there."""
        found = self.raw(key)
        if found is not None and not isinstance(found, dict):
            self.note(key, "an object is required")
        return found if isinstance(found, dict) else {}

    def entries(self, key: str) -> Iterator["Entry"]:
        """Yield the objects of an array."""
        self._asked.add(key)
        most = limits.CHANGE_SET_RESOURCES
        found: Sequence[tuple[JsonObject, str]] = self._findings.read(
            lambda: tuple(objects(self._value, self.path, key, most)), ()
        )
        for value, path in found:
            yield Entry(value, path, self._findings)

    def close(self, dropped: Collection[str] = ()) -> None:
        """Note every key that nobody asked for and that is not one to be dropped."""
        for key in self._value:
            if key not in self._asked and key not in dropped:
                self.note(key, "unknown key")
