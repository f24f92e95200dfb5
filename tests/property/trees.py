"""Random expressions: trees of each context, how they are written, what they read."""

import re

from hypothesis import strategies as st

from flexcore.domain.expressions import Context, Dialect
from flexcore.domain.trees import LIVE_FIELDS, Const, Node, Operation, Path

ACTIVITY = "WA" + "0123456789abcdef" * 2
CHANNELS = {"voice": 0, "chat": 1}
KEYS = ["a", "b", "skills", "in", "x-y", "", "wor ker", "back`tick", "worker", "task"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([-1.0, 0.0, 0.5, 1.0, 1e300]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "b", "ab", "it's", 'say "x"', "back\\slash", "é"]),
    st.text(max_size=4),
)
VALUES = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), below, max_size=3)
    ),
    max_leaves=6,
)
#: most paths start at one of these, so that they find something
FREQUENT = ["a", "b", "skills"]
ATTRIBUTES = st.fixed_dictionaries(
    dict.fromkeys(FREQUENT, VALUES),
    optional={key: VALUES for key in KEYS if key not in FREQUENT},
)
COUNTS = st.dictionaries(
    st.sampled_from(["available", "unavailable", ACTIVITY]), st.integers(0, 3)
)
ROOMS = st.dictionaries(
    st.sampled_from(["voice", "chat", "fax"]),
    st.fixed_dictionaries(dict.fromkeys(LIVE_FIELDS, st.integers(0, 3))),
)
WORKERS = st.builds(lambda found, rooms: found | {"channel": rooms}, ATTRIBUTES, ROOMS)
#: what an expression may meet, by root
SCOPES = st.fixed_dictionaries(
    {"task": ATTRIBUTES, "worker": WORKERS, "workers": COUNTS}
)

SEGMENTS = st.builds(
    lambda first, rest: (first, *rest),
    st.sampled_from(FREQUENT) | st.sampled_from(KEYS),
    st.just([]) | st.lists(st.sampled_from(KEYS) | st.integers(0, 3), max_size=2),
)
LIVE = st.builds(
    lambda name, field: Path("worker", ("channel", name, field), live=True),
    st.sampled_from(["voice", "chat", "fax"]),
    st.sampled_from(LIVE_FIELDS),
)
CONDITION_PATHS = {
    Context.WORKER: st.builds(Path, st.just("worker"), SEGMENTS),
    Context.TASK: st.builds(Path, st.just("task"), SEGMENTS),
    Context.PAIR: st.builds(Path, st.sampled_from(["worker", "task"]), SEGMENTS),
    Context.SKIP: st.nothing(),
}
PATHS = {
    **CONDITION_PATHS,
    Context.PAIR: CONDITION_PATHS[Context.PAIR] | LIVE,
    Context.SKIP: st.builds(
        lambda name: Path("workers", (name,)),
        st.sampled_from(["available", "unavailable", ACTIVITY]),
    ),
}
CONSTANTS = st.builds(Const, SCALARS | st.lists(SCALARS, max_size=4).map(tuple))

BINARY = {
    "==": "==",
    "!=": "!=",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "contains": "CONTAINS",
    "not_contains": "NOT CONTAINS",
    "has": "HAS",
    "in": "IN",
    "not_in": "NOT IN",
}
UNARY = {"is_null": "IS NULL", "is_not_null": "IS NOT NULL"}

DIALECTS = st.builds(
    Dialect, st.sampled_from(["negate", "false"]), st.sampled_from(["empty", "false"])
)


def trees(context: Context) -> st.SearchStrategy[Node]:
    """Draw conditions as they are written; the operators are those of `BINARY`."""
    operands = PATHS[context] | CONSTANTS
    conditions = st.one_of(
        CONDITION_PATHS[context],
        st.builds(Const, st.booleans()),
        st.builds(
            lambda name, left, right: Operation(name, (left, right)),
            st.sampled_from(sorted(BINARY)),
            operands,
            operands,
        ),
        st.builds(
            lambda name, operand: Operation(name, (operand,)),
            st.sampled_from(sorted(UNARY)),
            operands,
        ),
    )
    return st.recursive(
        conditions,
        lambda below: (
            st.builds(lambda operand: Operation("not", (operand,)), below)
            | st.builds(
                lambda name, left, right: Operation(name, (left, right)),
                st.sampled_from(["and", "or"]),
                below,
                below,
            )
        ),
        max_leaves=8,
    )


#: a context, and a tree in it
CASES = st.sampled_from(list(Context)).flatmap(
    lambda context: st.tuples(st.just(context), trees(context))
)


def text_of(node: Node) -> str:
    """Write a tree down with all its parentheses and prefixes."""
    match node:
        case Const():
            return constant_text(node.value)
        case Path():
            return path_text(node)
        case Operation(operator=("and" | "or") as name):
            left, right = (text_of(operand) for operand in node.operands)
            return f"({left}) {name.upper()} ({right})"
        case Operation(operator="not"):
            return f"NOT ({text_of(node.operands[0])})"
        case Operation(operator=name) if name in UNARY:
            return f"{text_of(node.operands[0])} {UNARY[name]}"
        case Operation(operator=name):
            left, right = (text_of(operand) for operand in node.operands)
            return f"{left} {BINARY[name]} {right}"


def constant_text(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(constant_text, value))}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return {None: "null"}.get(value, str(value))


def path_text(path: Path) -> str:
    text: str = path.root
    for segment in path.segments:
        if isinstance(segment, int):
            text += f"[{segment}]"
        elif "`" in segment:
            text += f"[{constant_text(segment)}]"
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", segment):
            text += f".{segment}"
        else:
            text += f".`{segment}`"
    return text
