"""Text and documents survive the way into the database and back."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestd.embedded import EmbeddedMariaDB
from ingestd.store.db import Database
from ingestd.store.values import Json, rows_of
from support.trial_db import run


@pytest.fixture(scope="module")
def reader(server: EmbeddedMariaDB) -> Iterator[Database]:
    made = Database(server.settings())
    yield made
    made.close()


@given(text=st.text())
def test_any_text_survives_json_table(reader: Database, text: str) -> None:
    rows = Json(orjson.dumps([[text, 1], [text + "'", 2]]))
    statement = "SELECT t FROM JSON_TABLE(%s, '$[*]' COLUMNS (t LONGTEXT PATH '$[0]', n INT PATH '$[1]')) j ORDER BY n"
    assert reader.read(lambda tx: run(tx, statement, rows)) == [(text,), (text + "'",)]


@given(text=st.text())
def test_any_text_survives_a_list_of_values(reader: Database, text: str) -> None:
    (rows,) = rows_of([(text, 1), (text + "'", 2)], text)
    found = reader.read(lambda tx: run(tx, "WITH v (t, n, c) AS (VALUES %s) SELECT t, c FROM v ORDER BY n", rows))
    assert found == [(text, text), (text + "'", text)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(value=json_values, indent=st.booleans(), space=st.text("\t\n\r ", max_size=3))
def test_any_document_survives_as_it_is(reader: Database, value: Any, indent: bool, space: str) -> None:
    text = space + orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode() + space
    document = Json(text.encode())
    ((back, valid),) = reader.read(lambda tx: run(tx, "SELECT %s, JSON_VALID(%s)", document, document))
    assert back == text
    assert valid == 1
