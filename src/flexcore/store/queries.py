"""The SQL of the store, by name.

Every query is written by hand in `queries/<noun>.sql`, under a line
`-- name -- what it does`. No SQL is put together at run time.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

_HEADER = re.compile(r"^-- (\w+) -- .+$", re.MULTILINE)
_COMMENT = re.compile(r"(--.*\n|\s)*")


@cache
def load() -> Mapping[str, str]:
    """Read every query file; ValueError when two queries share a name."""
    queries: dict[str, str] = {}
    folder = resources.files(__package__) / "queries"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        for name, text in parse(file.read_text(encoding="utf-8")):
            if name in queries:
                raise ValueError(f"{file.name}: query {name} is defined twice")
            queries[name] = text
    return queries


def parse(text: str) -> list[tuple[str, str]]:
    """Return (name, statement) of each query in `text`; ValueError on stray lines."""
    headers = list(_HEADER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [len(text)]
    if not headers or not _COMMENT.fullmatch(text[: headers[0].start()]):
        raise ValueError("a query file begins with `-- name -- what it does`")
    found = []
    for header, end in zip(headers, ends, strict=True):
        name, statement = header[1], text[header.end() : end].strip()
        if not statement.endswith(";") or ";" in statement[:-1]:
            raise ValueError(f"query {name} is not one statement")
        found.append((name, statement[:-1]))
    return found
