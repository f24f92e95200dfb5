"""What an expression says of values it was not made for."""

from typing import Any

from tests.vectors.floor import Floor, Seen
from tests.vectors.registry import compat, vector


def serves(floor: Floor, target_workers: str, **attributes: Any) -> Seen:
    """Say whether a worker with these attributes serves a queue."""
    floor.update_queue("Q", target_workers=target_workers)
    floor.hire("A", **attributes)
    floor.add_task()
    return {"true": floor.offers() == ["A pending"]}


@vector(37)
def array_is_compared_with_a_text(floor: Floor) -> Seen:
    return serves(floor, "a != 'x'", a=["y"])


def test_vector_37_an_array_is_not_unequal_to_a_text() -> None:
    assert compat(array_is_compared_with_a_text) == {"true": False}


@vector(38)
def nothing_is_an_array(floor: Floor) -> Seen:
    return serves(floor, "a NOT IN b", a="x", b="y")


def test_vector_38_nothing_is_not_in_what_is_no_array() -> None:
    assert compat(nothing_is_an_array) == {"true": False}


@vector(39)
def missing_value_is_compared_with_null(floor: Floor) -> Seen:
    return serves(floor, "missing == null")


def test_vector_39_what_is_missing_is_null() -> None:
    assert compat(missing_value_is_compared_with_null) == {"true": True}


@vector(40)
def or_stands_beside_and(floor: Floor) -> Seen:
    expression = "skills HAS 'x' OR y == 1 AND z == 2"
    return serves(floor, expression, skills=["x"], y=1, z=3)


def test_vector_40_and_binds_tighter_than_or() -> None:
    assert compat(or_stands_beside_and) == {"true": True}


@vector(101)
def array_is_missing(floor: Floor) -> Seen:
    return serves(floor, "'x' NOT IN missing")


def test_vector_101_nothing_is_not_in_what_is_missing() -> None:
    assert compat(array_is_missing) == {"true": False}
