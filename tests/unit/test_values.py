"""Rows on their way into an INSERT: how many travel together, and as what text."""

from collections.abc import Iterator

import pytest

from ingestd.store.values import BYTES_PER_STATEMENT, ROWS_PER_STATEMENT, Json, literal, rows_values


def test_statements_are_limited_by_rows_and_by_bytes() -> None:
    short = list(rows_values((n, "a") for n in range(2 * ROWS_PER_STATEMENT + 1)))
    assert [part.count for part in short] == [ROWS_PER_STATEMENT, ROWS_PER_STATEMENT, 1]
    long = list(rows_values((n, "é" * (BYTES_PER_STATEMENT // 5)) for n in range(5)))
    assert [part.count for part in long] == [2, 2, 1]
    assert all(len(part.text.encode()) <= BYTES_PER_STATEMENT for part in long)


def test_row_is_asked_for_when_those_before_were_taken() -> None:
    asked = []

    def rows() -> Iterator[tuple[Json]]:
        for n in range(4):
            asked.append(n)
            yield (Json(b'"' + b"a" * BYTES_PER_STATEMENT + b'"'),)

    taken = rows_values(rows())
    next(taken)
    assert asked == [0, 1], "one that did not fit any more"


def test_constants_end_each_row() -> None:
    (part,) = rows_values([(1, "it's"), (2, None)], "\\", 3)
    assert part.text == r"(1,'it\'s','\\',3),(2,NULL,'\\',3)"


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        literal(1.5)
