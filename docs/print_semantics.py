"""Print docs/semantics.md from the policies, and from the vectors that differ by them.

python docs/print_semantics.py > docs/semantics.md
"""

import re
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flexcore.domain.semantics import POLICIES, Policy, Value

VECTORS = Path(__file__).parents[1] / "tests/vectors"

HEAD = """\
# Semantics

A workspace has one of two presets: `strict` is flexcore's own, `compat` behaves as
TaskRouter does. A preset is a value for each of the policies below and nothing else. A
workspace may set any of them for itself, whatever its preset, and a task queue some;
what is set closer to the task counts.

Printed from the table in `src/flexcore/domain/semantics.py` and from
`tests/vectors/strict.toml` by `docs/print_semantics.py`; a test keeps both equal.

## Policies

| policy | strict | compat | allowed | set by | vectors that differ |
|---|---|---|---|---|---|
"""

MEANINGS = """
What they say:

"""

DIFFERENCES = """
## Vectors that differ

Of the {count} vectors in `tests/vectors/` these come out differently under `strict`. Each
of the policies named is the whole reason: set to its value of `compat` it alone brings
back what `compat` does. The tests prove that, and that no other policy does.

| vector | under compat | under strict | policy |
|---|---|---|---|
"""


def main() -> None:
    """Print the whole page."""
    print(page(), end="")


def page() -> str:
    """Return the page: a table of the policies, what they mean, what differs."""
    vectors = dict(_vectors())
    parts = [HEAD]
    for name, policy in POLICIES.items():
        because = [n for n, each in vectors.items() if name in _reasons(each)]
        parts.append(_line(name, policy, because))
    parts.append(MEANINGS)
    for name, policy in POLICIES.items():
        parts.append(_wrapped(f"- **{name}**: {policy.meaning}."))
    parts.append(DIFFERENCES.format(count=len(vectors)))
    facts = _facts()
    for number, vector in vectors.items():
        if words := ", ".join(f"`{name}`" for name in _reasons(vector)):
            parts.append(
                f"| {number} | {facts[number]} | {vector['instead']} | {words} |\n"
            )
    return "".join(parts)


def _line(name: str, policy: Policy, because: list[int]) -> str:
    cells = (
        f"`{name}`",
        _word(policy.strict),
        _word(policy.compat),
        _allowed(policy),
        "workspace, queue" if policy.queue else "workspace",
        ", ".join(map(str, because)),
    )
    return f"| {' | '.join(cells)} |\n".replace("|  |", "| |")


def _wrapped(text: str) -> str:
    return (
        textwrap.fill(text, 88, subsequent_indent="  ", break_on_hyphens=False) + "\n"
    )


def _allowed(policy: Policy) -> str:
    if policy.range:
        return " to ".join(map(_word, policy.range))
    return ", ".join(map(_word, policy.words or (True, False)))


def _word(value: Value) -> str:
    """Return a value as requests spell it."""
    return f"`{str(value).lower()}`"


def _reasons(vector: dict[str, Any]) -> list[str]:
    reasons: list[str] = vector.get("explained_by", [])
    return reasons


def _vectors() -> Iterator[tuple[int, dict[str, Any]]]:
    for name, vector in tomllib.loads((VECTORS / "strict.toml").read_text()).items():
        yield int(name.removeprefix("vector_")), vector


def _facts() -> dict[int, str]:
    """Return what each vector's test states, by the name of the test."""
    found = {}
    for path in VECTORS.glob("test_*.py"):
        for number, fact in re.findall(
            r"def test_vector_(\d+)_(\w+)", path.read_text()
        ):
            found[int(number)] = fact.replace("_", " ")
    return found


if __name__ == "__main__":
    main()
