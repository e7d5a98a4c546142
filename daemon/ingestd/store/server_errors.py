"""What each error number of the server or the driver means: the one table behind all reads and transactions.

An error is about the values of a statement, about the configuration, or about the moment. One that is not listed is
about the moment: it is waited out, and blames neither an item nor a job.
"""

from enum import Enum

from pymysql import MySQLError, ProgrammingError
from pymysql.constants import CR, ER

from ingestd.config import DatabaseSettings
from ingestd.errors import DatabaseContention, DatabaseRefused, DatabaseUnavailable, DataRefused, IngestdError

DRIVER_ERRORS = (MySQLError, UnicodeEncodeError)
"""what a statement may raise; text that is not Unicode fails before it reaches the server"""


class Meaning(Enum):
    """What an error is about, and so who is to act."""

    VALUES = "values"
    """the values sent: they would be refused again, so one item fails"""
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


MEANINGS = {
    # CHECK, NOT NULL, foreign keys, views
    ER.BAD_NULL_ERROR: Meaning.VALUES,
    1138: Meaning.VALUES,  # invalid use of NULL
    1216: Meaning.VALUES,
    1217: Meaning.VALUES,
    1263: Meaning.VALUES,
    1369: Meaning.VALUES,
    1451: Meaning.VALUES,
    1452: Meaning.VALUES,
    4025: Meaning.VALUES,
    # SIGNAL of a trigger
    1644: Meaning.VALUES,
    # length, range and format
    1118: Meaning.VALUES,  # a row that no page can hold
    1153: Meaning.VALUES,
    1162: Meaning.VALUES,
    1264: Meaning.VALUES,
    1265: Meaning.VALUES,
    1292: Meaning.VALUES,
    1299: Meaning.VALUES,
    1300: Meaning.VALUES,
    1301: Meaning.VALUES,
    1365: Meaning.VALUES,
    1366: Meaning.VALUES,
    1367: Meaning.VALUES,
    1406: Meaning.VALUES,
    1411: Meaning.VALUES,
    1416: Meaning.VALUES,
    1441: Meaning.VALUES,
    1525: Meaning.VALUES,
    1690: Meaning.VALUES,
    1916: Meaning.VALUES,
    1917: Meaning.VALUES,
    1918: Meaning.VALUES,
    # JSON
    3140: Meaning.VALUES,
    **dict.fromkeys(range(4035, 4041), Meaning.VALUES),
    4178: Meaning.VALUES,
    4179: Meaning.VALUES,
    # accounts
    ER.DBACCESS_DENIED_ERROR: Meaning.ACCOUNT,
    ER.ACCESS_DENIED_ERROR: Meaning.ACCOUNT,
    1130: Meaning.ACCOUNT,  # this host may not connect
    1251: Meaning.ACCOUNT,
    1275: Meaning.ACCOUNT,
    1524: Meaning.ACCOUNT,
    1698: Meaning.ACCOUNT,
    1820: Meaning.ACCOUNT,
    1862: Meaning.ACCOUNT,
    1873: Meaning.ACCOUNT,
    3118: Meaning.ACCOUNT,
    4150: Meaning.ACCOUNT,
    4151: Meaning.ACCOUNT,
    3159: Meaning.ACCOUNT,  # the server requires TLS
    CR.CR_SSL_CONNECTION_ERROR: Meaning.ACCOUNT,
    CR.CR_AUTH_PLUGIN_CANNOT_LOAD: Meaning.ACCOUNT,
    CR.CR_AUTH_PLUGIN_ERR: Meaning.ACCOUNT,
    # rights
    1142: Meaning.RIGHTS,
    1143: Meaning.RIGHTS,
    1227: Meaning.RIGHTS,
    1345: Meaning.RIGHTS,
    1370: Meaning.RIGHTS,
    1410: Meaning.RIGHTS,
    1449: Meaning.RIGHTS,  # the definer of a trigger or view is gone
    # schema and settings of the server
    1046: Meaning.SCHEMA,
    1049: Meaning.SCHEMA,
    1051: Meaning.SCHEMA,
    1054: Meaning.SCHEMA,
    1064: Meaning.SCHEMA,
    1109: Meaning.SCHEMA,
    1115: Meaning.SCHEMA,
    1136: Meaning.SCHEMA,
    1146: Meaning.SCHEMA,
    1176: Meaning.SCHEMA,
    1193: Meaning.SCHEMA,
    1231: Meaning.SCHEMA,
    1273: Meaning.SCHEMA,
    1286: Meaning.SCHEMA,
    1305: Meaning.SCHEMA,
    1356: Meaning.SCHEMA,
    1364: Meaning.SCHEMA,  # a column that somebody added has no default
    1423: Meaning.SCHEMA,
    1526: Meaning.SCHEMA,  # no partition for this month, say
    1591: Meaning.SCHEMA,
    1665: Meaning.SCHEMA,  # binlog_format = STATEMENT
    1709: Meaning.SCHEMA,
    1748: Meaning.SCHEMA,
    # others in the way
    1020: Meaning.CONTENTION,
    1205: Meaning.CONTENTION,
    1213: Meaning.CONTENTION,
    1412: Meaning.CONTENTION,  # the definition of a table changed meanwhile
    1614: Meaning.CONTENTION,
    1969: Meaning.CONTENTION,
    3024: Meaning.CONTENTION,
}

DUPLICATES = frozenset({1022, 1062, 1169, 1586, 1761, 1762, 1859})
"""Another writer was first, or the value is taken in a UNIQUE key of the site: only the first goes away by itself."""
CUT = frozenset({1927, 2006, 2013, 2055, 4031})
"""The connection ended."""
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


def is_own_timeout(error: Exception) -> bool:
    """Whether we stopped waiting for the server, as opposed to a server that ended the connection."""
    return isinstance(error.__context__, TimeoutError)


def is_cut(error: Exception) -> bool:
    """Whether the other side ended the connection."""
    return number_of(error) in CUT and not is_own_timeout(error)


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
    if _is_of_driver(error):
        return DataRefused(f"the driver refuses the values: {text}")
    said, meaning = f"{text} ({number})", meaning_of(number, getattr(error, "sqlstate", None))
    if meaning is Meaning.VALUES:
        return DataRefused(f"the database refuses the values: {said}")
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
    out_of_reach = "is out of reach" if kind_of(error) == "connection" else "cannot do it now"
    return DatabaseUnavailable(f"the database at {where} {out_of_reach}: {said}")


def _tls_hint(number: int) -> str:
    return "; see [database] ssl, ssl_ca, ssl_verify" if number == CR.CR_SSL_CONNECTION_ERROR else ""


def _is_of_driver(error: Exception) -> bool:
    """Whether the driver refused the values before it sent them."""
    return isinstance(error, UnicodeEncodeError) or (isinstance(error, ProgrammingError) and not number_of(error))
