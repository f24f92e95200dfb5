"""Print the README's table of benchmarks from the results that are kept.

python docs/print_figures.py prints the rows between the README's two marks. Each figure is
the newest kept one of its name: `python -m benchmarks --keep` keeps them by date. A figure
nobody kept has no row.
"""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "benchmarks/results"

BEGIN, END = "<!-- figures: docs/print_figures.py -->\n", "<!-- end of figures -->\n"

HEAD = """\
| what | command | measured | beside it | ratio | on |
|---|---|---|---|---|---|
"""

#: what each benchmark measures, and what is measured beside it
MEANINGS = {
    "rpc_create_task": (
        "durable CreateTask calls, 100 at a time",
        "bare gRPC echo",
    ),
    "offer_latency": ("create to offer on the stream, one at a time", "one echo call"),
    "routing_steps_vs_cpp": ("routing steps, inside", "a plain C++ program"),
    "routing_steps_vs_sortedcontainers": (
        "routing steps, through Python",
        "sortedcontainers",
    ),
    "routing_growth_backlog": (
        "growth of a step's cost, 1,000 to 1,000,000 waiting",
        "the C++ program",
    ),
    "routing_growth_workers": (
        "growth of a step's cost, 100 to 50,000 workers",
        "the C++ program",
    ),
    "routing_expressions": (
        "routing steps with expressions on every task",
        "without",
    ),
    "routing_mismatch": ("a step among workers of the wrong kind", "a plain step"),
    "routing_bytes_per_task": ("matcher's memory for a waiting task", "attributes"),
    "routing_bytes_per_worker": (
        "matcher's memory for a worker in 10 queues",
        "attributes",
    ),
    "routing_share": ("matcher's part of a whole cycle", ""),
    "stream_bytes_per_agent": (
        "server's memory for an idle agent's stream, of 10,000",
        "a bare stream",
    ),
    "stream_idle_cpu": ("CPU of 10,000 idle agents with their heartbeats", ""),
    "session_bytes_per_worker": (
        "server's memory for a worker of an idle agent session of 100",
        "",
    ),
    "stream_catchup": (
        "20 streams that resume 50,000 stored events each",
        "bare streams, a message for each event",
    ),
    "stream_live": (
        "create to offer, 1,000 workers on 10 sessions, half of the maximum",
        "",
    ),
    "stream_offer_latency": (
        "create to offer, 200 a second in an open loop, idle workers",
        "a bare stream that waits for the disk",
    ),
    "explain_writer_delay": (
        "longest that Explain holds the writer up",
        "turns that only compute",
    ),
}


def main() -> None:
    """Print the table."""
    print(table(), end="")


def table() -> str:
    """Return the table: a row for each figure that was kept."""
    kept = figures()
    rows = [
        _row(name, kept[name], *meaning)
        for name, meaning in MEANINGS.items()
        if name in kept
    ]
    return HEAD + "".join(rows)


def figures() -> dict[str, dict[str, Any]]:
    """Return the newest kept figure of every name."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(RESULTS.glob("2*.json")):
        found |= json.loads(path.read_text())
    return found


def _row(name: str, figure: dict[str, Any], what: str, beside: str) -> str:
    yardstick, ratio = figure["yardstick"], figure["ratio"]
    cells = (
        what,
        f"`python -m benchmarks {name}`",
        f"{_number(figure['value'])} {figure['unit']}",
        f"{beside}: {_number(yardstick)}" if yardstick is not None else "-",
        _number(ratio) if ratio is not None else "-",
        figure["date"],
    )
    return f"| {' | '.join(cells)} |\n"


def _number(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


if __name__ == "__main__":
    main()
