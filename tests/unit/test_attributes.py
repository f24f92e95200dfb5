"""Facts about attributes: what is refused, merge patches, canonical text."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexcore.domain import limits
from flexcore.domain.attributes import (
    JsonObject,
    JsonValue,
    canonical,
    check_attributes,
    merge_patch,
)
from flexcore.domain.errors import InvalidArgument


def refusal(text: str, field: str = "attributes") -> str:
    with pytest.raises(InvalidArgument) as caught:
        check_attributes(text, field)
    return str(caught.value)


def nested(depth: int) -> str:
    return '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)


def test_no_text_is_an_empty_object() -> None:
    assert check_attributes("") == {}
    assert check_attributes(" {} ") == {}


def test_values_keep_their_type_and_order() -> None:
    text = '{"b":1,"a":1.0,"c":[true,null,"\\u00e9\\n"],"d":{"":-9223372036854775808}}'

    found = check_attributes(text)
    assert repr(found) == repr(json.loads(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "a JSON object is expected, found: array"),
        ("null", "a JSON object is expected, found: null"),
        ("true", "a JSON object is expected, found: boolean"),
        ("1", "a JSON object is expected, found: number"),
        ('"x"', "a JSON object is expected, found: string"),
        ("{", "not valid JSON: input data was truncated (byte 1)"),
        (" ", "not valid JSON: input data was truncated (byte 1)"),
        ('{"a":1}}', "not valid JSON: trailing characters (byte 8)"),
        ('{"a" 1}', "not valid JSON: expected ':' (byte 5)"),
        ('{"a":NaN}', "not valid JSON: invalid character (byte 5)"),
        ('{"a":-Infinity}', "not valid JSON: invalid character (byte 6)"),
        ('{"a":1e999}', "not valid JSON: number out of range (byte 11)"),
        ('{"a":"x}', "not valid JSON: input data was truncated (byte 8)"),
        ('{"a":"x:', "not valid JSON: input data was truncated (byte 8)"),
        ('{"a":1,"a":1}', 'key "a" is given twice at character 8'),
        ('{"a":1,"\\u0061":1}', 'key "a" is given twice at character 8'),
        ('{"b":[{"a":1,"a" :1}]}', 'key "a" is given twice at character 14'),
        ('{"a":{"b":1},"b":1,"a":2}', 'key "a" is given twice at character 20'),
        ('{"\\x":1}', "malformed key at character 2"),
        ('{"a":"\ud800"}', "not valid UTF-8 at character 7"),
        ("\ufeff{}", "not valid JSON: invalid character (byte 0)"),
    ],
)
def test_malformed_text_is_refused_with_its_position(text: str, expected: str) -> None:
    assert refusal(text, "filter") == f"filter: {expected}"


@pytest.mark.parametrize(
    "text",
    [
        '{"a":{"b":1},"b":{"a":1}}',
        '[{"a":1},{"a":1}]',
        '{"a":["a","a",{"a":"a"},"a"]}',
        r'{"a":"\"a\":1,\"a\":1{[{[","b":"}"}',
    ],
)
def test_equal_keys_of_different_objects_are_no_duplicates(text: str) -> None:
    wrapped = f'{{"x":{text}}}'

    assert check_attributes(wrapped) == json.loads(wrapped)


@pytest.mark.parametrize("text", ["{]", "]{}", "}", '{"a":1]', "[}", '["a":1,"a":1]'])
def test_unbalanced_brackets_are_left_to_the_decoder(text: str) -> None:
    assert refusal(text)


@pytest.mark.parametrize(
    ("number", "valid"),
    [
        ("9223372036854775807", True),
        ("-9223372036854775808", True),
        ("9223372036854775808", False),
        ("-9223372036854775809", False),
        ("18446744073709551616", False),
        ("9223372036854775808.0", True),
        ("0.1234567890123456789012", True),
        ('"99999999999999999999"', True),
    ],
)
def test_integers_have_64_bits(number: str, valid: bool) -> None:
    text = f'{{"a":[0,{{"b":{number}}}]}}'

    if valid:
        assert check_attributes(text) == json.loads(text)
    else:
        expected = f"attributes.a[1].b: {number} is not an integer of 64 bits"
        assert refusal(text) == expected


def test_64_kib_are_the_most() -> None:
    # Two bytes a character in UTF-8.
    text = '{"a":"' + "é" * ((limits.ATTRIBUTES_BYTES - 8) // 2) + '"}'

    assert check_attributes(text)
    assert refusal(text + " ") == "attributes: 65537 bytes, at most 65536 are allowed"


def test_a_smaller_size_can_be_asked_for() -> None:
    assert check_attributes("{}", "filter", size_max=2) == {}
    with pytest.raises(InvalidArgument, match="3 bytes, at most 2 are allowed"):
        check_attributes("{} ", "filter", size_max=2)


def test_depth_16_is_the_deepest() -> None:
    assert check_attributes(nested(16)) == json.loads(nested(16))
    assert refusal(nested(17)) == "attributes: nested deeper than 16 at character 81"
    assert "nested deeper than 16" in refusal('{"a":' + "[" * 30_000)


def test_1000_keys_are_the_most() -> None:
    most = {"x": {str(number): 0 for number in range(limits.ATTRIBUTES_KEYS - 1)}}

    assert check_attributes(json.dumps(most)) == most
    more = json.dumps(most | {"last": 0})
    position = more.index('"last"') + 1
    expected = f"attributes: more than 1000 keys at character {position}"
    assert refusal(more) == expected


def test_a_key_of_256_bytes_is_the_longest() -> None:
    assert check_attributes(json.dumps({"é" * 128: 1}, ensure_ascii=False))
    expected = "attributes: key of more than 256 bytes at character 2"
    assert refusal(json.dumps({"é" * 128 + "x": 1}, ensure_ascii=False)) == expected
    assert refusal(json.dumps({"x" * 257: 1})) == expected


@pytest.mark.parametrize("piece", ['\\"', '"', '"\\', "[", "]", "\\", '"a":', " ", "9"])
@pytest.mark.parametrize("start", ["", '"', '{"a":', '{"a":"'])
def test_hostile_text_is_refused_in_linear_time(piece: str, start: str) -> None:
    text = start + piece * ((limits.ATTRIBUTES_BYTES - len(start)) // len(piece))

    before = time.process_time()
    assert refusal(text)
    # Linear work takes milliseconds; quadratic work takes most of a minute.
    assert time.process_time() - before < 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda below: st.lists(below, max_size=3)
    | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=8,
)  # fmt: skip
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


@given(OBJECTS)
def test_canonical_text_decodes_to_the_same_object(value: JsonObject) -> None:
    assert check_attributes(canonical(value)) == value
    assert check_attributes(json.dumps(value, indent=1)) == value


@given(OBJECTS)
def test_canonical_text_does_not_depend_on_the_order_of_keys(value: JsonObject) -> None:
    shuffled = dict(reversed(value.items()))

    assert canonical(shuffled) == canonical(value)


def test_canonical_text_is_compact() -> None:
    assert canonical({"b": [1, 2.0], "a": {"d": "é", "c": None}}) == (
        '{"a":{"c":null,"d":"é"},"b":[1,2.0]}'
    )


# RFC 7396, appendix A: original, patch, result.
RFC_7396: list[tuple[JsonValue, JsonValue, JsonValue]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("original", "patch", "result"), RFC_7396)
def test_merge_patch_follows_rfc_7396(
    original: JsonValue, patch: JsonValue, result: JsonValue
) -> None:
    """Attributes are objects, so the vectors are applied one level down as well."""
    if isinstance(original, dict) and isinstance(patch, dict):
        assert merge_patch(original, patch) == result
    assert merge_patch({"x": original}, {"x": patch}) == {"x": result}


def test_merge_patch_with_null_removes_an_object() -> None:
    assert merge_patch({"x": {"a": "foo"}, "y": 1}, {"x": None}) == {"y": 1}


@given(OBJECTS, OBJECTS)
def test_merge_patch_changes_neither_input(
    original: JsonObject, patch: JsonObject
) -> None:
    before = canonical(original), canonical(patch)

    once = merge_patch(original, patch)
    assert (canonical(original), canonical(patch)) == before
    assert merge_patch(once, patch) == once
