"""The scenarios by the number of their vector."""

import importlib
from collections.abc import Callable
from pathlib import Path

from tests.vectors.floor import Floor, Seen

Scenario = Callable[[Floor], Seen]

_SCENARIOS: dict[int, Scenario] = {}


def vector(number: int) -> Callable[[Scenario], Scenario]:
    """Give a scenario the number it is known by."""

    def add(scenario: Scenario) -> Scenario:
        assert number not in _SCENARIOS, number
        _SCENARIOS[number] = scenario
        return scenario

    return add


def compat(scenario: Scenario) -> Seen:
    """Return what is seen of a scenario where TaskRouter's rules hold."""
    return scenario(Floor("compat"))


def all_vectors() -> dict[int, Scenario]:
    """Return every scenario by its number, in order."""
    for path in Path(__file__).parent.glob("test_*.py"):
        # Those that ask for all vectors have none, and may be asking right now.
        if "@vector(" in path.read_text():
            importlib.import_module(f"tests.vectors.{path.stem}")
    return dict(sorted(_SCENARIOS.items()))
