"""Documents of workspaces of any size: exported page by page, imported in parts.

A part is what one call may create (ImportWorkspace): the first makes the workspace, the
others are added to it. A document that is small enough is one part, all or nothing.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from flexcore.client import Client

Document: TypeAlias = dict[str, Any]

#: lists of a document, in the order in which one refers to another
SECTIONS: Final = (
    "activities",
    "task_channels",
    "task_queues",
    "workflows",
    "workers",
)
#: resources, bytes, and words and signs of queues and workflows of a part; a call may
#: change 1,000, write 1 MiB, and bring 20,000 in expressions
PART_RESOURCES: Final = 1_000
PART_BYTES: Final = 900_000
PART_WORDS: Final = 20_000
#: bytes of a resource besides what the document says of it
_RESOURCE_BYTES: Final = 300
#: entries of an exported page
_PAGE_SIZE: Final = 200


async def export_document(client: "Client", workspace_sid: str) -> Document:
    """Return a workspace with all it holds."""
    document: Document = {}
    token = ""
    while True:
        page = await client.workspace.ExportWorkspace(
            sid=workspace_sid, page_size=_PAGE_SIZE, page_token=token
        )
        for section, value in json.loads(page.document).items():
            if section in SECTIONS:
                document.setdefault(section, []).extend(value)
            else:
                document[section] = value
        token = page.next_page_token
        if not token:
            return document


def text_of(document: Document) -> str:
    """Return a document as text for people: the same document gives the same text."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def document_of(text: str) -> Document:
    """Read a document; ValueError if it is no JSON object, or has a key twice."""
    found = json.loads(text, object_pairs_hook=_once)
    if not isinstance(found, dict):
        raise ValueError("a JSON object is expected")  # noqa: TRY004  # as json does
    return found


def _once(pairs: Sequence[tuple[str, Any]]) -> Document:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return found


@dataclass(frozen=True)
class Part:
    """What one call takes; `begins` is how much of each section came before."""

    document: Document
    begins: Mapping[str, int]

    def __str__(self) -> str:
        """Say what it holds."""
        counts = {name: len(_list(self.document, name)) for name in SECTIONS}
        named = ["the workspace"] if "workspace" in self.document else []
        named += [f"{n} {name.replace('_', ' ')}" for name, n in counts.items() if n]
        return ", ".join(named)

    def placed(self, text: str) -> str:
        """Return a text about this part with the paths of the whole document."""

        def place(found: re.Match[str]) -> str:
            return f"{found[1]}[{int(found[2]) + self.begins.get(found[1], 0)}]"

        return _PATH.sub(place, text)


_PATH = re.compile(rf"\b({'|'.join(SECTIONS)})\[([0-9]+)\]")


def parts(document: Document) -> Iterator[Part]:
    """Yield what one call each takes, in the order to import it in."""
    rooms = _rooms(document)
    done = dict.fromkeys(SECTIONS, 0)
    begins: Mapping[str, int] = dict(done)
    part = {key: value for key, value in document.items() if key not in SECTIONS}
    # What is no list is not ours to split: the server says what is wrong with it.
    part |= {
        name: document[name]
        for name in SECTIONS
        if name in document and not isinstance(document[name], list)
    }
    # The workspace, and the task channel `default` that it gets if there is none.
    count, size, words = 2, _size(part), 0
    for section in SECTIONS:
        for entry in _list(document, section):
            resources = _resources(section, rooms)
            weight = _size(entry) * (2 if section == "workflows" else 1)
            weight += resources * _RESOURCE_BYTES
            said = _words(section, entry)
            # A single entry may be larger than that: alone it is taken nevertheless.
            full = (
                count + resources > PART_RESOURCES
                or size + weight > PART_BYTES
                or words + said > PART_WORDS
            )
            if full and part:
                yield Part(part, begins)
                part, begins, count, size, words = {}, dict(done), 0, 0, 0
            part.setdefault(section, []).append(entry)
            done[section] += 1
            count, size, words = count + resources, size + weight, words + said
    yield Part(part, begins)


async def import_part(
    client: "Client", part: Part, workspace_sid: str = ""
) -> tuple[str, Sequence[str]]:
    """Import a part; return the workspace's sid and what the server has to say."""
    made = await client.workspace.ImportWorkspace(
        document=json.dumps(part.document, ensure_ascii=False, separators=(",", ":")),
        workspace_sid=workspace_sid,
    )
    return made.workspace.sid, [part.placed(text) for text in made.warnings]


def _words(section: str, entry: object) -> int:
    """Return at least as many words and signs as an entry has in its expressions."""
    if section not in ("task_queues", "workflows"):
        return 0
    return len(_WORD.findall(json.dumps(entry, ensure_ascii=False)))


_WORD = re.compile(r"\w+|[^\w\s]")


def _list(document: Mapping[str, Any], section: str) -> Sequence[Any]:
    found = document.get(section)
    return found if isinstance(found, list) else ()


def _rooms(document: Mapping[str, Any]) -> int:
    """Return how many task channels a worker has room on: `default` is always there."""
    channels = [
        each.get("unique_name")
        for each in _list(document, "task_channels")
        if isinstance(each, dict)
    ]
    return len({*channels, "default"})


def _resources(section: str, rooms: int) -> int:
    if section == "workflows":
        return 2  # with its revision
    return 1 + rooms if section == "workers" else 1


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
