"""Fuzz what reads text of users: expressions, orders, references, workflow documents.

    python -m tests.property.fuzz --seconds 600

With atheris installed inputs are mutated along the coverage they reach, else spliced at
random from the same beginnings. A finding is written to a file and ends the run.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.expressions import (
    Context,
    Dialect,
    ExpressionError,
    judgement_of,
    parse,
    parse_order,
    parse_reference,
)
from flexcore.domain.plan_lint import warnings_of_plan
from flexcore.domain.tokens import tokens
from flexcore.domain.workflows import after_skip, enter, parse_workflow, step_at

try:
    import atheris
except ImportError:
    atheris = None

DIALECTS = [
    Dialect(mismatch, missing)
    for mismatch in ("negate", "false")
    for missing in ("empty", "false")
]
#: attributes, counts and channels that paths of the beginnings find something in
SCOPE = {
    "a": 1,
    "b": ["x", 2, None],
    "c": {"d": "x"},
    "available": 2,
    "channel": {"voice": {"assigned_tasks": 1}},
}
DOCUMENT = (
    '{"task_routing":{"filters":[{"filter_friendly_name":"f","expression":"a==1",'
    '"targets":[{"queue":"WQ1","priority":"5","timeout":10,"skip_if":"1==1",'
    '"expression":"task.a == worker.a","order_by":"worker.a DESC",'
    '"known_worker_sid":"task.a"},{}],"on_exhausted":{"action":"queue","queue":"WQ1"}}],'
    '"default_filter":{"queue":"WQ1"},"on_exhausted":"default"}}'
)
BEGINNINGS = [
    "a == 1 AND worker.b HAS 'x' OR NOT (c.d[0] != null)",
    "task.a NOT IN worker.b AND worker.channel.voice.assigned_tasks <= 1",
    "workers.available == 0 OR workers.WA" + "0" * 32 + " > 1",
    "`x-y` IS NOT NULL and b NOT contains \"q\\'\" or c['d'] IN [1, -2.5e3, true]",
    "worker.a DESC, worker.c.d ASC",
    "task.c.d[0]['x']",
    DOCUMENT,
]

#: CPU seconds that reading one text may take, with or without instrumentation
SECONDS_MAX = 0.1

ran: Counter[str] = Counter()


def one_input(data: bytes) -> None:
    """Read bytes as everything that text can be; raise on any finding."""
    text = data.decode("utf-8", errors="surrogateescape")
    ran["inputs"] += 1
    for context in Context:
        for dialect in DIALECTS:
            check_expression(text, context, dialect)
    for read in (parse_order, parse_reference):
        attempt("other", lambda read=read: read(text, "field"))
    check_workflow(text)


def attempt(kind: str, read: Callable[[], object]) -> object:
    """Return what was read, None if it was refused as it should be, and in time."""
    begin = time.process_time()
    try:
        found = read()
    except InvalidArgument as error:
        check_position(error)
        found = None
    seconds = time.process_time() - begin
    assert seconds <= SECONDS_MAX, f"{kind}: {seconds:.3f} s"
    ran[f"{kind}, {'refused' if found is None else 'read'}"] += 1
    ran["microseconds at most"] = max(ran["microseconds at most"], int(seconds * 1e6))
    return found


def check_position(error: InvalidArgument) -> None:
    if isinstance(error, ExpressionError):
        assert 1 <= error.position <= len(error.expression) + 1


def check_expression(text: str, context: Context, dialect: Dialect) -> None:
    expression = attempt("expressions", lambda: parse(text, context, dialect=dialect))
    if expression is None:
        return
    # What limits the work: one token a character, some steps a token.
    assert len(tokens(text)) <= len(text) + 1 <= limits.EXPRESSION_CHARS + 1
    assert expression.size <= limits.EXPRESSION_NODES
    assert len(expression.program({"voice": 0})) == expression.size
    constant = judgement_of(expression).constant

    def value(of: object) -> bool:
        if context is Context.PAIR:
            return of.evaluate_pair(SCOPE, SCOPE)
        return of.evaluate(SCOPE)

    assert constant in (None, value(expression))
    assert value(expression) is all(map(value, expression.conjuncts()))


def check_workflow(text: str) -> None:
    plan = attempt("workflows", lambda: parse_workflow(text, lambda _: True))
    if plan is None:
        return
    assert len(warnings_of_plan(plan)) <= limits.WORKFLOW_WARNINGS + 1
    step, steps = enter(plan, SCOPE), 0
    while step is not None:
        assert step_at(plan, step.filter_index, step.target_index) == step
        step, steps = after_skip(plan, step, SCOPE), steps + 1
        assert steps <= limits.WORKFLOW_PARTS + 1


def splice(source: random.Random) -> bytes:
    """Cut, repeat and mix the beginnings."""
    text = source.choice(BEGINNINGS).encode()
    for _ in range(source.randint(0, 6)):
        other = source.choice(BEGINNINGS).encode()
        start, end = sorted(source.choices(range(len(other) + 1), k=2))
        at = source.randint(0, len(text))
        cut = min(len(text), at + source.choice([0, 0, 1, 5]))
        piece = source.choice(
            [other[start:end], source.randbytes(1), other[start : start + 3] * 40]
        )
        text = text[:at] + piece + text[cut:]
    return text


def run_splicing(seconds: float, seed: int) -> None:
    source = random.Random(seed)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        data = splice(source)
        try:
            one_input(data)
        except Exception:
            found = Path(f"finding-{seed}-{ran['inputs']}")
            found.write_bytes(data)
            sys.stderr.write(f"finding in {found}\n")
            raise


def run_atheris(seconds: int, folder: Path) -> None:
    """Does not return: libFuzzer ends the process."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(BEGINNINGS):
        (folder / f"beginning-{number}").write_text(text)
    atheris.instrument_all()
    atheris.Setup(
        [
            sys.argv[0],
            str(folder),
            f"-max_total_time={seconds}",
            f"-max_len={2 * limits.EXPRESSION_CHARS}",
            "-timeout=1",
            "-print_final_stats=1",
        ],
        one_input,
    )
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--splice", action="store_true", help="do not use atheris")
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz"))
    given = parser.parse_args()
    if atheris is not None and not given.splice:
        run_atheris(given.seconds, given.corpus)
    run_splicing(given.seconds, given.seed)
    for kind, count in sorted(ran.items()):
        sys.stdout.write(f"{count:>10,} {kind}\n")


if __name__ == "__main__":
    main()
