"""Vectors come out the same when nothing but the rows is left between any two steps."""

import pytest

from tests.vectors import registry
from tests.vectors.floor import Floor, ForgetfulFloor

#: 55 rejects a thousand times, and every start reads all that there is
NUMBERS = [number for number in registry.all_vectors() if number != 55]


@pytest.mark.parametrize("semantics", ["strict", "compat"])
@pytest.mark.parametrize("number", NUMBERS)
def test_vector_is_the_same_whatever_is_forgotten_on_the_way(
    number: int, semantics: str
) -> None:
    scenario = registry.all_vectors()[number]

    assert scenario(ForgetfulFloor(semantics)) == scenario(Floor(semantics))
