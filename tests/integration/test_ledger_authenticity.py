"""The ledger's ids and times: the daemon's account cannot falsify them, whatever it sets in its session."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pymysql
import pytest

from support.account import Do, connected
from support.world import World

ADD = "INSERT INTO ingest_event (batch_id, event_type, payload) VALUES (NULL, 'queue_paused', '{}')"
ADD_TWO = f"{ADD}, (NULL, 'queue_resumed', '{{}}')"
ADD_SELECTED = "INSERT INTO ingest_event (event_type, payload) SELECT 'queue_paused', '{}' FROM ingest_control"
ADD_SET = "INSERT INTO ingest_event SET event_type = 'queue_paused', payload = '{}'"
FORMS = [
    ADD,
    ADD_TWO,
    ADD_SELECTED,
    ADD_SET,
    ADD.replace("INSERT", "INSERT IGNORE"),
    "EXECUTE IMMEDIATE '{}'".format(ADD.replace("'", "''")),
]
HIGHEST = 2**64 - 3
CUSTOM = 1644
DENIED = 1227


@pytest.fixture
def daemon(world: World) -> Iterator[Do]:
    """Runs a statement as the daemon's account."""
    with connected(world.server.settings()) as do:
        yield do


def refused(do: Do, statement: str) -> int:
    with pytest.raises(pymysql.MySQLError) as caught:
        do(statement)
    number: int = caught.value.args[0]
    return number


def assert_times_are_true(world: World, count: int) -> None:
    now = world.one("SELECT UTC_TIMESTAMP(6)")
    times = [row[0] for row in world.sql("SELECT created_at FROM ingest_event ORDER BY id")]
    assert len(times) == count
    assert isinstance(now, datetime)
    assert all(timedelta(0) <= now - time < timedelta(seconds=30) for time in times), (now, times)


SESSIONS = [
    "timestamp = 946684800", "timestamp = 1", "timestamp = 4102444800", "time_zone = '+12:00'", "time_zone = '-11:59'",
    "time_zone = 'SYSTEM'", "timestamp = 946684800, time_zone = '-05:30'", "sql_mode = ''", "sql_mode = 'ORACLE'",
    "sql_mode = 'ALLOW_INVALID_DATES,NO_ZERO_DATE'", "foreign_key_checks = 0, unique_checks = 0",
    "lc_time_names = 'de_DE'", "explicit_defaults_for_timestamp = 0",
]  # fmt: skip


@pytest.mark.parametrize("variables", SESSIONS)
def test_time_is_that_of_the_server_whatever_a_session_sets(world: World, daemon: Do, variables: str) -> None:
    daemon(f"SET SESSION {variables}")
    for form in FORMS:
        daemon(form)
    assert_times_are_true(world, 7)
    for part in ("timestamp = 946684800", "time_zone = '-11:00'"):
        daemon(f"SET STATEMENT {part} FOR {ADD}")
    assert_times_are_true(world, 9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("number", [HIGHEST, 1, 2**63])
def test_id_cannot_be_chosen_and_blocks_no_later_row(world: World, daemon: Do, form: str, number: int) -> None:
    daemon(ADD)
    assert refused(daemon, f"SET STATEMENT insert_id = {number} FOR {form}") == CUSTOM
    daemon(f"SET insert_id = {number}")
    assert refused(daemon, form) == CUSTOM
    daemon("SET insert_id = 0")
    daemon(ADD)
    ids = [row[0] for row in world.sql("SELECT id FROM ingest_event ORDER BY id")]
    assert len(ids) == 2
    assert ids[1] - ids[0] < 1000


def test_steps_between_ids_block_no_later_row(world: World, daemon: Do) -> None:
    daemon("SET auto_increment_increment = 65535, auto_increment_offset = 65535")
    for _ in range(3):
        daemon(ADD)
    daemon("SET auto_increment_increment = DEFAULT, auto_increment_offset = DEFAULT")
    daemon(ADD)
    assert world.one("SELECT MAX(id) FROM ingest_event") < 2**32


@pytest.mark.parametrize("variables", ["check_constraint_checks = 0", "skip_replication = 1"])
def test_checks_and_replication_cannot_be_skipped(world: World, daemon: Do, variables: str) -> None:
    daemon(f"SET SESSION {variables}")
    for form in (ADD, ADD.replace("'{}'", "'no JSON'"), ADD_SELECTED):
        assert refused(daemon, form) == CUSTOM
    assert world.one("SELECT COUNT(*) FROM ingest_event") == 0


@pytest.mark.parametrize(
    "variable",
    ["sql_log_bin = 0", "binlog_format = 'STATEMENT'", "pseudo_thread_id = 1", "gtid_domain_id = 5", "gtid_seq_no = 5",
     "server_id = 7", "binlog_row_image = 'MINIMAL'"],
)  # fmt: skip
def test_other_variables_of_the_binary_log_are_denied(daemon: Do, variable: str) -> None:
    assert refused(daemon, f"SET SESSION {variable}") == DENIED


def test_trigger_cannot_be_removed_by_the_account(daemon: Do) -> None:
    assert refused(daemon, "DROP TRIGGER ingest_event_is_authentic") == 1142
    assert refused(daemon, f"CREATE TRIGGER x BEFORE INSERT ON ingest_event FOR EACH ROW SET @a = ({1})") == 1142


def test_owner_may_still_restore_rows_with_their_ids(world: World) -> None:
    world.sql("INSERT INTO ingest_event (id, event_type, payload) VALUES (77, 'x', '{}')")
    assert world.one("SELECT id FROM ingest_event") == 77
