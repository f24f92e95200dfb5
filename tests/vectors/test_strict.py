"""The same scenarios under `strict`: what is seen then, and which policy is the reason."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from flexcore.domain.semantics import POLICIES
from tests.vectors.floor import Floor
from tests.vectors.registry import all_vectors, compat

FOLDER = Path(__file__).parent

VECTORS = all_vectors()
STRICT: dict[int, dict[str, Any]] = {
    int(name.removeprefix("vector_")): entry
    for name, entry in tomllib.loads((FOLDER / "strict.toml").read_text()).items()
}
NUMBERS = [*range(1, 49), *range(52, 59), *range(101, 106)]
#: 55 rejects a thousand times
PARAMETERS = [
    pytest.param(number, marks=[pytest.mark.slow] * (number == 55))
    for number in NUMBERS
]
#: the policies whose two presets differ, with the value of `compat`
DIFFERENT = {
    name: policy.compat
    for name, policy in POLICIES.items()
    if policy.compat != policy.strict
}


def test_every_vector_has_a_scenario_and_an_entry() -> None:
    assert list(VECTORS) == NUMBERS
    assert list(STRICT) == NUMBERS


@pytest.mark.parametrize("number", PARAMETERS)
def test_strict_makes_of_a_vector_what_the_file_says(number: int) -> None:
    assert VECTORS[number](Floor("strict")) == STRICT[number]["seen"]


@pytest.mark.parametrize("number", PARAMETERS)
def test_vector_differs_exactly_where_the_file_names_a_reason(number: int) -> None:
    same = compat(VECTORS[number]) == STRICT[number]["seen"]

    assert same == ("explained_by" not in STRICT[number])


@pytest.mark.parametrize("number", [n for n in STRICT if "explained_by" in STRICT[n]])
def test_each_policy_named_explains_the_difference_alone_and_no_other(
    number: int,
) -> None:
    scenario = VECTORS[number]
    expected = compat(scenario)

    explaining = [
        name
        for name, value in DIFFERENT.items()
        if scenario(Floor("strict", **{name: value})) == expected
    ]

    assert explaining == STRICT[number]["explained_by"]


def test_every_policy_that_differs_is_the_reason_of_something() -> None:
    reasons = {
        name for entry in STRICT.values() for name in entry.get("explained_by", ())
    }

    # How long refusals last says nothing where they do not count; sessions are elsewhere.
    assert reasons == DIFFERENT.keys() - {"refusal_seconds", "second_session"}
