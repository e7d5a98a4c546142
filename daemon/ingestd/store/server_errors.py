"""What each error number of the server or the driver means: the one table behind all reads and transactions.

An error is about the values of a statement, about the configuration, or about the moment. One that is not listed is
about the moment: it is waited out, and blames neither an item nor a job.
"""

from enum import Enum

from pymysql import MySQLError, ProgrammingError
from pymysql.constants import CR

from ingestd.config import DatabaseSettings
from ingestd.errors import (
    DatabaseContention,
    DatabaseOutOfReach,
    DatabaseRefused,
    DatabaseUnavailable,
    DataRefused,
    DataSuspected,
    IngestdError,
)

DRIVER_ERRORS = (MySQLError, UnicodeEncodeError)
"""what a statement may raise; text that is not Unicode fails before it reaches the server"""


class Meaning(Enum):
    """What an error is about, and so who is to act."""

    VALUES = "values"
    """the values sent: they would be refused again, so one item fails"""
    SUSPECTED = "suspected"
    """the values, or a rule of the site that fails whatever the values are: others have to pass before an item fails"""
    ACCOUNT = "account"
    """the configuration: user, password or host; a person has to act"""
    RIGHTS = "rights"
    """the configuration: what the user may do; a person has to act"""
    SCHEMA = "schema"
    """the configuration: tables, columns, version or settings of the server; a person has to act"""
    CONTENTION = "contention"
    """the moment: another transaction is in the way, and the connection can be used again"""
    MOMENT = "moment"
    """the moment: anything else, in a new connection"""


TABLE: dict[Meaning, dict[int, str]] = {
    Meaning.VALUES: {
        1048: "NULL in a column that refuses it",
        1118: "a row that no page can hold",
        1138: "NULL where a trigger refuses it",
        1153: "larger than max_allowed_packet",
        1162: "result larger than max_allowed_packet",
        1216: "foreign key: the row referred to is absent",
        1217: "foreign key: the row is referred to",
        1263: "NULL in a column that refuses it",
        1264: "out of range",
        1265: "cut",
        1292: "wrong format",
        1299: "a time that does not exist",
        1300: "a string that is invalid in its character set",
        1301: "result larger than max_allowed_packet",
        1365: "division by zero in an expression of the site",
        1366: "wrong format",
        1367: "wrong format",
        1369: "refused by the CHECK OPTION of a view",
        1406: "too long",
        1411: "wrong format",
        1416: "not a geometry",
        1441: "a time out of range",
        1451: "foreign key: the row is referred to",
        1452: "foreign key: the row referred to is absent",
        1525: "wrong format",
        1644: "SIGNAL of a trigger of the site",
        1690: "out of range in an expression",
        1916: "out of range in a cast",
        1917: "cut in a cast",
        1918: "wrong format in a cast",
        3140: "not JSON",
        4025: "refused by CHECK",
        4035: "not JSON",
        4036: "not JSON",
        4037: "not JSON",
        4038: "not JSON",
        4039: "not JSON",
        4040: "JSON that is nested too deeply",
        4178: "JSON that does not fit its column",
        4179: "JSON that does not fit its column",
    },
    Meaning.SUSPECTED: {
        1139: "a regular expression of the site that is wrong, or cannot be tried on this text",
        1172: "a trigger of the site that found several rows for one",
        1242: "a trigger of the site that found several rows for one",
    },
    Meaning.ACCOUNT: {
        1044: "no access to this database",
        1045: "wrong user or password",
        1130: "this host may not connect",
        1251: "authentication that the client does not know",
        1275: "a password in the old format",
        1524: "authentication plugin not loaded",
        1698: "wrong user or password",
        1820: "the password must be changed",
        1862: "the password has expired",
        1873: "wrong user or password",
        2026: "no TLS, or a certificate that is not trusted",
        2059: "authentication that would reveal the password",
        2061: "authentication failed in the client",
        3118: "account locked",
        3159: "the server requires TLS",
        4150: "account blocked after wrong passwords",
        4151: "account locked",
    },
    Meaning.RIGHTS: {
        1142: "no right to the table",
        1143: "no right to the column",
        1227: "a privilege is lacking",
        1345: "no right to the tables of a view",
        1370: "no right to the routine",
        1410: "no right to create accounts",
        1449: "the definer of a trigger or view is gone",
    },
    Meaning.SCHEMA: {
        1046: "no database selected",
        1049: "no such database",
        1051: "no such table",
        1054: "no such column",
        1064: "syntax that the server does not know: it is too old",
        1109: "no such table",
        1115: "no such character set",
        1136: "another number of columns",
        1146: "no such table",
        1176: "no such index",
        1193: "no such variable: the server is too old",
        1231: "a value that a variable does not take: the server is too old",
        1273: "no such collation",
        1286: "no such storage engine",
        1305: "no such routine, called by a trigger",
        1356: "a view without its tables",
        1364: "an added column has no default",
        1423: "an added column of a view has no default",
        1526: "no partition, for this month say",
        1591: "no partition, for this month say",
        1665: "binlog_format = STATEMENT",
        1709: "index too large for the row format",
        1748: "outside of the partition set",
    },
    Meaning.CONTENTION: {
        1020: "the row changed since it was read",
        1205: "lock wait",
        1213: "deadlock",
        1412: "the definition of the table changed meanwhile",
        1614: "deadlock",
        1969: "max_statement_time",
        3024: "max_execution_time",
    },
}
MEANINGS = {number: meaning for meaning, numbers in TABLE.items() for number in numbers}

DUPLICATES = frozenset({1022, 1062, 1169, 1586, 1761, 1762, 1859})
"""Another writer was first, or the value is taken in a UNIQUE key of the site: only the first goes away by itself."""
CUT = frozenset({1927, 2006, 2013, 2055, 4031})
"""The connection ended."""
UNSENT = CR.CR_SERVER_GONE_ERROR
"""The driver could not send the statement, because the connection had ended."""
SAID = frozenset({1927, 4031})
"""The server ended it, and said that somebody killed it, or that the client was silent for too long."""
TIMEOUTS = frozenset({1969, 3024})
SIGNALLED = "45000"
"""SQLSTATE of a condition that a trigger or CHECK of the site raises, whatever number it gives it"""

SCHEMA_HINT = "the schema or the server does not fit: run `ingestd migrate`, then `ingestd doctor`"
RIGHTS_HINT = "run sql/grants.sql again, then `ingestd doctor`"


def meaning_of(number: int, sqlstate: str | None = None) -> Meaning:
    if sqlstate == SIGNALLED:
        return Meaning.VALUES
    return Meaning.CONTENTION if number in DUPLICATES else MEANINGS.get(number, Meaning.MOMENT)


def number_of(error: Exception) -> int:
    """The error's number; 0 if it has none."""
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) and isinstance(error, MySQLError) else 0


def is_unknown(error: Exception) -> bool:
    """Whether it came from the other side, which goes on, and nothing is known of its number."""
    number, sqlstate = number_of(error), getattr(error, "sqlstate", None)
    is_of_client = not number or CR.CR_ERROR_FIRST <= number <= CR.CR_ERROR_LAST
    return not is_of_client and number not in CUT and meaning_of(number, sqlstate) is Meaning.MOMENT


def is_own_timeout(error: Exception) -> bool:
    """Whether we stopped waiting for the server, as opposed to a server that ended the connection."""
    return isinstance(error.__context__, TimeoutError)


def is_cut(error: Exception) -> bool:
    """Whether the other side ended the connection."""
    return number_of(error) in CUT and not is_own_timeout(error)


def is_closed(error: Exception) -> bool:
    """Whether the other side ended the connection without a word."""
    return is_cut(error) and number_of(error) not in SAID


def kind_of(error: Exception) -> str:
    """The label of the metric database_errors_total."""
    number = number_of(error)
    known = {1213: "deadlock", 1205: "lock_wait", **dict.fromkeys(TIMEOUTS, "timeout")}
    lost = isinstance(error, MySQLError) and (number in CONNECTION or not number) and not _is_of_driver(error)
    return known.get(number, "connection" if lost else "other")


CONNECTION = CUT | {1040, 1042, 1043, 1047, 1053, 1129, 1152, 1158, 1159, 1160, 1161, 1180, 1203, 1226, 1290, 1317}
CONNECTION |= set(range(2001, 2056))


def translate(error: Exception, settings: DatabaseSettings, section: str = "database") -> IngestdError:
    """Our error for a driver's error, with a sentence that says where and what to do.

    `section` of the configuration names the account that was used.
    """
    number, where = number_of(error), settings.unix_socket or f"{settings.host}:{settings.port}"
    text = str(error.args[1]) if number and len(error.args) > 1 else str(error)
    if settings.unix_socket:  # the driver names the host, which was not asked
        text = text.replace(f" on '{settings.host}'", "")
    if _is_of_driver(error):
        return DataSuspected(f"the driver refuses the values: {text}")
    said, meaning = f"{text} ({number})", meaning_of(number, getattr(error, "sqlstate", None))
    if meaning is Meaning.VALUES:
        return DataRefused(f"the database refuses the values: {said}")
    if meaning is Meaning.SUSPECTED:
        return DataSuspected(f"the database refuses the values, or a rule of the site fails: {said}")
    if meaning is Meaning.ACCOUNT:
        return DatabaseRefused(
            f"the database at {where} refuses the account of [{section}] user: {said}{_tls_hint(number)}"
        )
    if meaning is Meaning.RIGHTS:
        return DatabaseRefused(f"the account of [{section}] user may not do this: {said}; {RIGHTS_HINT}")
    if meaning is Meaning.SCHEMA:
        return DatabaseRefused(f"the database at {where}: {said}; {SCHEMA_HINT}")
    if meaning is Meaning.CONTENTION:
        return DatabaseContention(f"the database is busy: {said}", is_duplicate=number in DUPLICATES)
    if kind_of(error) == "connection":
        return DatabaseOutOfReach(f"the database at {where} is out of reach: {said}")
    return DatabaseUnavailable(f"the database at {where} cannot do it now: {said}")


def _tls_hint(number: int) -> str:
    return "; see [database] ssl, ssl_ca, ssl_verify" if number == CR.CR_SSL_CONNECTION_ERROR else ""


def _is_of_driver(error: Exception) -> bool:
    """Whether the driver refused the values before it sent them."""
    return isinstance(error, UnicodeEncodeError) or (isinstance(error, ProgrammingError) and not number_of(error))
