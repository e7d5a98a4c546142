"""Rows on their way into an INSERT: how many travel together, and as what text."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from ingestd.store import values
from ingestd.store.values import BYTES_PER_STATEMENT, ROWS_PER_STATEMENT, Json, Rows, asset_rows_of, literal, rows_of


def test_statements_are_limited_by_rows_and_by_bytes() -> None:
    short = list(rows_of((n, "a") for n in range(2 * ROWS_PER_STATEMENT + 1)))
    assert [len(part) for part in short] == [ROWS_PER_STATEMENT, ROWS_PER_STATEMENT, 1]
    long = list(rows_of((n, Json(b"a" * (2 * BYTES_PER_STATEMENT // 5))) for n in range(5)))
    assert [len(part) for part in long] == [2, 2, 1]
    assert all(len(part.values.encode()) <= BYTES_PER_STATEMENT + 100 for part in long)


def test_row_is_asked_for_when_those_before_were_taken() -> None:
    asked = []

    def rows() -> Iterator[tuple[Json]]:
        for n in range(4):
            asked.append(n)
            yield (Json(b'"' + b"a" * BYTES_PER_STATEMENT + b'"'),)

    taken = rows_of(rows())
    next(taken)
    assert asked == [0, 1], "one that did not fit any more"


def test_constants_end_each_row() -> None:
    (part,) = rows_of([(1, "it's"), (2, None)], "\\", 3)
    assert part.values == r"(1,'it\'s','\\',3),(2,NULL,'\\',3)"


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        literal(1.5)


def test_lines_escape_what_ends_a_value() -> None:
    rows = Rows([("a\tb\nc\\", None, Json(b'["\\n"]')), ("", 7, "\\N")], (datetime(2026, 4, 12, 21, 35, 35, 5),))
    assert rows.lines == (
        b'a\\\tb\\\nc\\\\\t\\N\t["\\\\n"]\t2026-04-12 21:35:35.000005\n\t7\t\\\\N\t2026-04-12 21:35:35.000005\n'
    )


ROWS_OF_ASSETS = [("a", 1, "text\t\\", None), (None, 2, None, None), ("b", 3, "x\n", "y"), ("a", 4, "", "z")]
IDS = {"a": 17, "b": 4}


@pytest.mark.parametrize("is_ready", [False, True])
def test_rows_of_assets_get_their_ids_when_those_are_known(is_ready: bool) -> None:
    """Ready or not; a second time with others, as where a transaction runs again."""
    (rows,) = asset_rows_of(ROWS_OF_ASSETS, "end", 5)
    if is_ready:
        rows.encode()
    for ids in (IDS, {"a": 1, "b": 2}):
        expected = [(row[0] and ids[row[0]], *row[1:]) for row in ROWS_OF_ASSETS]
        (plain,) = rows_of(expected, "end", 5)
        found = rows.at(ids)
        assert (list(found.rows), found.lines, found.values) == (expected, plain.lines, plain.values)


def test_rows_that_are_ready_are_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    (rows,) = asset_rows_of(ROWS_OF_ASSETS)
    rows.encode()
    monkeypatch.setattr(values, "_fields", None)
    assert rows.at(IDS).lines.startswith(b"17\t1\t")
