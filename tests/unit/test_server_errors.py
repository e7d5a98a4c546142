"""The table of error numbers: what an error means, and the sentence that a person gets."""

import pymysql
import pytest
from pymysql.constants import ER

from ingestd.config import DatabaseSettings
from ingestd.errors import DatabaseContention, DatabaseOutOfReach, DatabaseRefused, DatabaseUnavailable, DataRefused
from ingestd.store.server_errors import MEANINGS, Meaning, kind_of, meaning_of, translate

SETTINGS = DatabaseSettings(host="db.example", port=3307)
MOMENT = (DatabaseUnavailable, DatabaseOutOfReach)
LISTED_NUMBERS = sorted({value for value in vars(ER).values() if isinstance(value, int)})
NUMBERS = sorted({*range(1000, 2100), *range(3000, 3200), *range(4000, 4300), *LISTED_NUMBERS, 0, 30_001, 65_535})


def error(number: int, text: str = "text", sqlstate: str | None = None) -> pymysql.OperationalError:
    return pymysql.OperationalError(number, text, sqlstate=sqlstate)


def test_every_number_has_a_meaning_and_most_are_about_the_moment() -> None:
    translated = {number: translate(error(number), SETTINGS) for number in NUMBERS}
    assert len(translated) > 1500
    refused = {number for number, made in translated.items() if isinstance(made, DataRefused)}
    assert refused == {n for n, meaning in MEANINGS.items() if meaning in (Meaning.VALUES, Meaning.SUSPECTED)}
    assert all(isinstance(made, DatabaseUnavailable) for number, made in translated.items() if number not in refused)


@pytest.mark.parametrize("number", [1021, 1030, 1037, 1040, 1114, 1203, 1206, 1226, 1290, 1317, 1927, 4192, 9999])
def test_full_busy_and_stopping_servers_are_about_the_moment(number: int) -> None:
    made = translate(error(number), SETTINGS)
    assert type(made) in MOMENT
    assert made.exit_status == 69
    assert "db.example:3307" in str(made)


@pytest.mark.parametrize("number", [1048, 1264, 1366, 1406, 1452, 1644, 4025])
def test_constraints_and_formats_are_about_the_values(number: int) -> None:
    assert type(translate(error(number), SETTINGS)) is DataRefused


@pytest.mark.parametrize("number", [0, 1105, 1644, 20_001, 30_001])
def test_what_a_trigger_raises_is_about_the_values_whatever_its_number(number: int) -> None:
    assert meaning_of(number, "45000") is Meaning.VALUES


@pytest.mark.parametrize("number", [1044, 1045, 1049, 1054, 1142, 1146, 1449, 1526, 1698])
def test_accounts_rights_and_schema_are_for_a_person(number: int) -> None:
    made = translate(error(number), SETTINGS)
    assert isinstance(made, DatabaseRefused)
    assert made.exit_status == 78


@pytest.mark.parametrize("number", [1020, 1062, 1205, 1213, 1969])
def test_others_in_the_way_are_contention(number: int) -> None:
    assert isinstance(translate(error(number), SETTINGS), DatabaseContention)


def test_a_refused_account_is_named_by_its_section() -> None:
    assert "[database] user" in str(translate(error(1045), SETTINGS))
    assert "[migrate] user" in str(translate(error(1045), SETTINGS, "migrate"))


def test_what_the_driver_refuses_is_about_the_values() -> None:
    assert isinstance(translate(pymysql.ProgrammingError("nan can not be used with MySQL"), SETTINGS), DataRefused)
    with pytest.raises(UnicodeEncodeError) as raised:
        "\ud800".encode()
    assert isinstance(translate(raised.value, SETTINGS), DataRefused)


def test_a_protocol_error_without_a_number_is_about_the_moment() -> None:
    assert type(translate(pymysql.InternalError("Packet sequence number wrong"), SETTINGS)) in MOMENT


def test_kinds_of_the_metric() -> None:
    kinds = {number: kind_of(error(number)) for number in (1213, 1205, 1969, 2006, 2013, 1040, 1021, 4025)}
    assert kinds == {
        1213: "deadlock", 1205: "lock_wait", 1969: "timeout", 2006: "connection", 2013: "connection",
        1040: "connection", 1021: "other", 4025: "other",
    }  # fmt: skip


def test_a_host_that_was_not_asked_is_not_named() -> None:
    settings = DatabaseSettings(unix_socket="/run/db.sock")
    refused = pymysql.OperationalError(2003, "Can't connect to MySQL server on '127.0.0.1' ([Errno 2] No such file)")
    sentence = str(translate(refused, settings))
    assert "/run/db.sock" in sentence
    assert "127.0.0.1" not in sentence
    assert "127.0.0.1" in str(translate(refused, DatabaseSettings()))
