"""Splitting JSON text finds the same values as a decoder, wherever its windows end, and refuses what is not JSON."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestd.format import json_splitter
from ingestd.format.fields import BadEntry
from ingestd.format.json_splitter import NotJson, TooDeep, TooMany, count_elements, elements
from ingestd.format.object_splitter import TooLong, split_object
from support.scale import scaled

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(alphabet='ab"\\,[]{}:\u00e9\U0001f600'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('ab,"', max_size=3), inner, max_size=4),
    max_leaves=12,
)
STYLES: list[dict[str, Any]] = [
    {"separators": (",", ":")}, {"indent": 2}, {"indent": "\t", "separators": (" ,", " : ")}, {"ensure_ascii": False},
]  # fmt: skip


def split(data: bytes, start: int = 0) -> tuple[list[Any], int]:
    """The decoded elements of an array, and where it ends."""
    found = []
    parts = elements(data, start)
    while True:
        try:
            found.append(msgspec.json.decode(next(parts)))
        except StopIteration as stop:
            return found, stop.value


@pytest.fixture(params=[1, 7, 64, 2**16])
def window(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    size: int = request.param
    monkeypatch.setattr(json_splitter, "WINDOW", size)
    return size


@pytest.mark.soak
@pytest.mark.usefixtures("window")
@settings(max_examples=scaled(60, 3000), deadline=None)
@given(
    st.lists(JSON, max_size=12), st.sampled_from(STYLES), st.sampled_from([b"", b" ", b', "x": [1, {"y": 2}]}', b"]]"])
)
def test_elements_are_those_that_a_decoder_finds(values: list[Any], style: dict[str, Any], after: bytes) -> None:
    data = json.dumps(values, **style).encode()
    assert split(b"..." + data + after, 3) == (values, 3 + len(data))
    assert count_elements(data + after, 0, len(values)) == (len(values), len(data))
    if values:
        with pytest.raises(TooMany):
            count_elements(data + after, 0, len(values) - 1)


@pytest.mark.soak
@pytest.mark.usefixtures("window")
@settings(max_examples=scaled(60, 3000), deadline=None)
@given(st.lists(JSON, max_size=6), st.data())
def test_a_list_that_is_cut_is_not_json(values: list[Any], data: st.DataObject) -> None:
    text = json.dumps(values, ensure_ascii=False).encode()
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    with pytest.raises(NotJson):
        list(elements(cut, 0))


@pytest.mark.usefixtures("window")
@pytest.mark.parametrize("text", [b"[,]", b"[1,]", b"[,1]", b"[1,,2]", b"[ ,1,2]", b'["a]', b'["a\n"]', b"[1", b"["])
def test_lists_with_empty_places_or_open_ends_are_not_json(text: bytes) -> None:
    for before in (b"", b"0," * 20):
        with pytest.raises(NotJson):
            list(elements(text.replace(b"[", b"[" + before, 1), 0))


@pytest.mark.soak
@settings(max_examples=scaled(100, 3000), deadline=None)
@given(st.dictionaries(st.text('ab,"{}\\'), JSON, max_size=6), st.lists(JSON, max_size=4), st.sampled_from(STYLES))
def test_an_object_is_split_into_its_long_array_and_the_rest(
    fields: dict[str, Any], values: list[Any], style: dict[str, Any]
) -> None:
    text = json.dumps({**fields, "long": values}, **style).encode()
    for array in (json.dumps(values, **style).encode(), lambda start: split(text, start)[1]):
        if isinstance(array, bytes) and array not in text:
            continue  # written with another indent
        found = split_object(text + b" x", {"long": array}, 2**20, 30)
        assert json.loads(found.rest) == {**fields, "long": []}
        start, end = found.arrays["long"]
        assert json.loads(text[start:end]) == values
        assert found.end == len(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b'{"a"',
        b'{"a":',
        b'{"a":}',
        b'{"a":1',
        b'{"a":1,',
        b'{"a":1 "b":2}',
        b"{1:2}",
        b'{"a":"',
        b'{"a":[}',
    ],
)
def test_text_that_is_not_an_object(text: bytes) -> None:
    with pytest.raises(NotJson):
        split_object(text, {}, 2**20, 30)


def test_an_object_has_limits() -> None:
    text = b'{"a": [[1]], "long": [1, 2], "b": "xyz"}'
    rest = len(text) - len(b"[1, 2]")
    arrays = {"long": b"[1, 2]"}
    assert split_object(text, arrays, rest, 3).arrays == {"long": (21, 27)}
    with pytest.raises(TooDeep):
        split_object(text, arrays, rest, 2)
    with pytest.raises(TooLong):
        split_object(text, arrays, rest - 1, 3)
    with pytest.raises(TooLong, match="a"):
        split_object(text, arrays, 10, 3)


@pytest.mark.parametrize(
    "text", [b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b'{"long":[1],"long":[2]}', b'{"long":[2],"long":[2]}']
)
def test_a_key_that_appears_twice(text: bytes) -> None:
    with pytest.raises(BadEntry, match="appears twice"):
        split_object(text, {"long": b"[2]"}, 2**20, 30)
