"""Print docs/states.md from the tables in domain/states.py.

python docs/print_states.py > docs/states.md
"""

from flexcore.domain.states import CONSEQUENCES, MACHINES, RECEIPT_RANK, Table

HEAD = """\
# States

Printed from the tables in `src/flexcore/domain/states.py` by `docs/print_states.py`; a
test keeps both equal. An arrow carries its cause. What has no arrow cannot happen: the
call is refused with FAILED_PRECONDITION and nothing has changed.
"""

RECEIPT = """
## receipt

A receipt has no table but a rank, since carriers report late, twice and out of order: it
moves to a higher rank only, and of equal ranks the first stays.
"""


def main() -> None:
    """Print the whole page."""
    print(page(), end="")


def page() -> str:
    """Return the page: one diagram per machine, then the ranks of receipts."""
    parts = [HEAD]
    for name, table in MACHINES.items():
        parts.append(f"\n## {name}\n\n```mermaid\n{diagram(table)}\n```\n")
        parts.append(consequences(name))
    parts.append(RECEIPT)
    parts.append("\n| rank | status |\n|---|---|\n")
    for rank in sorted(set(RECEIPT_RANK.values())):
        statuses = [each.value for each, at in RECEIPT_RANK.items() if at == rank]
        parts.append(f"| {rank} | {', '.join(statuses)} |\n")
    return "".join(parts)


def consequences(name: str) -> str:
    """Return a machine's causes with the events and effects of each, if they are kept."""
    found = CONSEQUENCES.get(name)
    if not found:
        return ""
    lines = ["", "| cause | events | what follows |", "|---|---|---|"]
    for cause, (events, effect) in found.items():
        lines.append(f"| {cause} | {', '.join(events) or '-'} | {effect} |")
    return "\n".join(lines) + "\n"


def diagram(table: Table) -> str:
    """Return a table as a diagram: it begins in its first state, ends where none leads."""
    lines = ["stateDiagram-v2", f"    [*] --> {next(iter(table))}"]
    for state, moves in table.items():
        for after in dict.fromkeys(moves.values()):
            causes = ", ".join(cause for cause, to in moves.items() if to is after)
            lines.append(f"    {state} --> {after}: {causes}")
        if not moves:
            lines.append(f"    {state} --> [*]")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
