"""SQL files: fragments, templates, and columns in the order of the fields of their records."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from ingestd import records
from ingestd.model import Decision
from ingestd.store import sql
from ingestd.store.sql import SQL_FOLDER, Queries, RowReader, expanded, fragments_of

COLUMNS = fragments_of((SQL_FOLDER / "columns.sql").read_text())
RECORDS = {
    "batch_columns": records.Batch,
    "job_columns": records.Job,
    "item_columns": records.Item,
    "container_columns": records.Container,
    "event_columns": records.Event,
    "request_columns": records.IngestRequest,
    "stuck_columns": records.StuckBundle,
}
FILES = [
    str(path.relative_to(SQL_FOLDER).with_suffix(""))
    for path in (*SQL_FOLDER.glob("*.sql"), *(SQL_FOLDER / "queries").glob("*.sql"))
    if path.stem not in ("grants", "columns")
]


def named(columns: str) -> list[str]:
    """The names of columns: `b.id` is id, `i.asset_type AS type` is type."""
    return [re.split(r"[. ]", column.strip())[-1] for column in columns.split(",")]


@pytest.mark.parametrize(("fragment", "record"), RECORDS.items())
def test_columns_stand_in_the_order_of_the_fields(fragment: str, record: type) -> None:
    assert named(COLUMNS[fragment]) == [field.name for field in fields(record)]


def test_every_list_of_columns_has_its_record() -> None:
    assert set(COLUMNS) == set(RECORDS)


def test_listed_batches_add_their_columns_at_the_end() -> None:
    added = fragments_of((SQL_FOLDER / "queries" / "batches.sql").read_text())["listed_columns"]
    names = named(added.replace("{{batch_columns}}", COLUMNS["batch_columns"]))
    assert names == [field.name for field in fields(records.ListedBatch)]


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_expanded_completely(name: str) -> None:
    queries = Queries(name, kind="gallery")
    assert queries.names
    for query in queries.names:
        assert "{{" not in getattr(queries, query).sql


def test_fragments_are_expanded_within_fragments() -> None:
    text = "-- fragment: a\n-- a comment\nx, {{b}}\n\n-- name: q\nSELECT {{a}};\n\n-- fragment: b\ny\n"
    assert expanded(text, {}, "test") == "-- name: q\nSELECT x, y;\n\n"


def test_unknown_placeholder_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"sql/test\.sql: unknown placeholder \{\{nothing\}\}; known are kind"):
        expanded("-- name: q\nSELECT {{nothing}};\n", {"kind": "gallery"}, "test")


def test_missing_file_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(str(Path("sql") / "missing.sql"))):
        _ = Queries("missing").names


def test_rows_become_records() -> None:
    row = (0, "photo", "0" * 32, "failed", "bad_entry", '{"asset_id":5}', None, None, None, None, None)
    item = RowReader(records.Item)(row)
    assert (item.decision, item.reason, item.target_ids) == ("failed", "bad_entry", {"asset_id": 5})
    assert isinstance(item.decision, Decision)
    assert RowReader(records.Control)((1, None, None, None)).paused is True


@pytest.mark.parametrize("row", [(1, None, None), (1, None, None, None, None)])
def test_row_of_another_length_is_an_error(row: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, IndexError)):
        RowReader(records.Control)(row)


def test_a_process_that_read_all_files_needs_none_of_them_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql._read.cache_clear()
    sql.read_all()
    monkeypatch.setattr(sql, "SQL_FOLDER", tmp_path / "gone")
    assert all(sql._read(name) for name in FILES)
    assert Queries("control").names
