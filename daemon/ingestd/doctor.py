"""Checks the prerequisites of ingestd, with a remedy for each problem."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from ingestd.config import Settings, exposed_secrets
from ingestd.embedded import grant_statements
from ingestd.errors import IngestdError
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import host, this_instance
from ingestd.pipeline.requests import FRESH_HEARTBEATS
from ingestd.store import job, mount
from ingestd.store.queries import server
from ingestd.wording import counted

MIN_VERSION = (10, 6)
BULK_WRITES = {
    True: "many rows are written by LOAD DATA LOCAL",
    False: "many rows are written by INSERT, which is slower: the server has local_infile = OFF",
}
MIN_PACKET = 16 * 2**20
MAX_CLOCK_SKEW = 5.0
FORBIDDEN = {"UPDATE", "DELETE", "DROP", "ALTER", "TRIGGER"}
SHOWN_RIGHTS = 3


class Finding(NamedTuple):
    """One check: what was seen, and what to do if it is not well."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(context: Context) -> list[Finding]:
    """Runs all checks, independent of one another's results, on a valid configuration.

    An unreachable database is one finding, not one per check that needs it.
    """
    findings = [Finding("configuration", True, "read and valid"), *_secrets(context.settings)]
    findings += _attempt("mount", _mount, context)
    server = _attempt("database", _server, context)
    findings += server
    if server[-1].check != "database":
        findings += _attempt("rights", _rights, context) + _attempt("claim index", _claim_index, context)
        findings += _attempt("machine-id", _machine_id, context)
        if findings[1].ok:
            findings += _attempt("mount identity", _mount_identity, context)
    return findings


def _attempt(name: str, check: Callable[[Context], Iterator[Finding]], context: Context) -> list[Finding]:
    findings: list[Finding] = []
    try:
        findings.extend(check(context))
    except IngestdError as error:
        findings.append(Finding(name, False, str(error)))
    return findings


def _secrets(settings: Settings) -> Iterator[Finding]:
    for file in exposed_secrets(settings):
        yield Finding("secret file", False, f"other users can read or replace {file}", f"chmod 600 {file}")


def _mount(context: Context) -> Iterator[Finding]:
    identity = context.mount.identify()
    yield Finding("mount", True, f"{identity.point.fs_type} at {identity.point.point}")
    listing = context.mount.list_sentinels()
    handed_over, ignored = f"{counted(len(listing.sync_ids), 'bundle')} handed over", listing.ignored
    if ignored:
        handed_over += f"; ignored {counted(len(ignored), 'name')} like those of sentinels, such as {ignored[0]}"
    yield Finding("sentinels", True, handed_over)
    if context.mount.notices.is_sync_covered:
        covered = f"{context.settings.mount.root}/sync is on another file system than {context.settings.mount.root}"
        yield Finding("hand-over folder", False, covered, "if that is not intended, unmount what covers it")


def _server(context: Context) -> Iterator[Finding]:
    facts = context.db.read(server.facts)
    version = facts.version
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    upgrade = "SELECT … FOR UPDATE SKIP LOCKED needs MariaDB 10.6 or newer: upgrade the server"
    yield Finding("server version", "MariaDB" in version and numbers >= MIN_VERSION, version, upgrade)
    yield _packet(facts.max_allowed_packet, context.settings.mount.max_document_bytes)
    binlog = facts.binlog_format
    bad_binlog = facts.log_bin and binlog == "STATEMENT"
    yield Finding("binary log", not bad_binlog, f"binlog_format = {binlog}", "set binlog_format = MIXED or ROW")
    skew = abs((facts.now - datetime.now(UTC).replace(tzinfo=None)).total_seconds())
    yield Finding("clock", skew <= MAX_CLOCK_SKEW, f"{skew:.1f} s off the database's", "run chrony or ntpd on both")
    yield Finding("bulk writes", True, BULK_WRITES[facts.local_infile])


def _packet(packet: int, max_document_bytes: int) -> Finding:
    """A document may double when it is stored as JSON, and its statement is a third longer than that."""
    needed = max(MIN_PACKET, 3 * max_document_bytes)
    remedy = f"set it to at least {needed >> 20}M, or lower mount.max_document_bytes"
    return Finding("packet size", packet >= needed, f"max_allowed_packet = {packet}", remedy)


def _rights(context: Context) -> Iterator[Finding]:
    rights = context.db.read(server.rights)
    too_much = sorted({right for table, right in rights if table in (None, "ingest_event") and right in FORBIDDEN})
    detail = f"may {', '.join(too_much)} in the ledger" if too_much else "the ledger can be added to, and not changed"
    yield Finding("rights", not too_much, detail, "give the daemon an account of its own, with sql/grants.sql")
    held = set(rights)
    lacking = [f"{right} on {table}" for table, right in needed_rights() if not held & {(table, right), (None, right)}]
    more = f" and {len(lacking) - SHOWN_RIGHTS} more" if len(lacking) > SHOWN_RIGHTS else ""
    detail = f"lacks {', '.join(lacking[:SHOWN_RIGHTS])}{more}" if lacking else "may do all that it has to"
    yield Finding("needed rights", not lacking, detail, "run sql/grants.sql, after `ingestd migrate`")


def needed_rights() -> Iterator[tuple[str, str]]:
    """(table, right) for all that sql/grants.sql gives for whole tables."""
    for statement in grant_statements():
        found = re.match(r"GRANT (.+) ON (\w+) TO ", statement)
        assert found is not None, statement
        for right in re.findall(r"[A-Z]+(?! ?\()\b", found[1]):
            yield found[2], right


def _claim_index(context: Context) -> Iterator[Finding]:
    plan = context.db.read(job.explain_claim)
    well = bool(plan) and plan[0][5] == "claim" and "filesort" not in str(plan[0][-1])
    detail = f"key {plan[0][5]}, {plan[0][-1]}" if plan else "no plan"
    yield Finding("claim index", well, detail, "run `ingestd migrate`, then ANALYZE TABLE import_job")


def _machine_id(context: Context) -> Iterator[Finding]:
    """Whether a live worker of another host, or of another boot, uses the machine-id of this host."""
    own, fresh = this_instance(), FRESH_HEARTBEATS * context.settings.worker.heartbeat_seconds
    workers = context.db.read(lambda tx: job.workers_of_machine(tx, own.machine_id, fresh))
    mine = f"{own.machine_id}/{own.boot_id}/"
    others = [name for name, text in workers if not (text.startswith(mine) and name.startswith(f"{host()}/"))]
    detail = f"shared with {others[0]}, which is alive" if others else f"{own.machine_id}, used by no other live host"
    yield Finding("machine-id", not others, detail, "on a clone: rm /etc/machine-id && systemd-machine-id-setup")


def _mount_identity(context: Context) -> Iterator[Finding]:
    """Whether what is mounted is what this host expects, and what any host does not read from."""
    found = context.mount.identify().origin
    known = context.db.read(partial(mount.find, place=context.gate.place))
    problems = [refused.sentence for refused in context.db.read(mount.refused)]
    if known is not None and known.refused is None and not known.origin.is_same(found):
        problems.append(f"{known.root} was {known.origin} and is now {found}")
    remedy = "mount the former again, or run `ingestd mount accept`"
    yield Finding("mount identity", not problems, "; ".join(problems) or str(found), remedy)
