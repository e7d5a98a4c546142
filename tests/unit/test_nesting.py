"""How deep JSON text is nested: right for every text, and linear in its length whatever it consists of."""

import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestd.format import nesting
from ingestd.format.nesting import MAX_NESTING, depth_problem

MIB = 2**20
DEEP = b"[" * (MAX_NESTING + 1)
HOSTILE = {
    "escaped quotes in a string that never ends": DEEP[1:] + b'{"' + b'\\"' * 2 * MIB,
    "quotes": DEEP[1:] + b'"' * 4 * MIB,
    "backslashes": DEEP[1:] + b"\\" * 4 * MIB,
    "backslashes in a string": DEEP[1:] + b'"' + b"\\" * 4 * MIB,
    "quote and backslash in turn": DEEP[1:] + b'"\\' * 2 * MIB,
    "pairs": DEEP[1:-1] + b"[]" * 2 * MIB,
    "closing brackets": DEEP + b"]" * 4 * MIB,
    "opening brackets": b"[{" * 2 * MIB,
    "empty strings": DEEP[1:] + b'"",' * MIB,
    "zeros": DEEP[1:] + bytes(4 * MIB),
    "one string": DEEP[1:] + b'"' + b"x" * 4 * MIB + b'"',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_takes_long_or_much_memory(name: str) -> None:
    raw = HOSTILE[name]
    began = time.process_time()
    depth_problem(raw)
    assert time.process_time() - began < 1.0
    tracemalloc.start()
    depth_problem(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MIB


def nest(levels: int, innermost: str) -> bytes:
    return ("[" * levels + innermost + "]" * levels).encode()


@pytest.mark.parametrize("innermost", ["1", '"[[["', r'"\"[["', r'"\\"', '""', r'"\\\"{{"', '"größe 📷 ["'])
def test_brackets_in_strings_do_not_count(innermost: str) -> None:
    assert depth_problem(nest(MAX_NESTING, innermost)) is None
    assert depth_problem(nest(MAX_NESTING + 1, innermost)) == "nested deeper than 30 levels"


texts = st.text(st.sampled_from('[]{}"\\a:,ü'), max_size=12)
values = st.recursive(texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2))


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@settings(deadline=None)
@given(value=values, limit=st.integers(0, 4), block=st.integers(1, 9))
def test_depth_is_right_wherever_a_block_ends(value: Any, limit: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nesting, "MAX_NESTING", limit)
        patch.setattr(nesting, "BLOCK", block)
        problem = depth_problem(json.dumps(value, ensure_ascii=False).encode())
    assert (problem is not None) == (depth_of(value) > limit)
