"""An account, a right or a schema that is wrong for a while: the daemon waits, a command ends with one sentence."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingestd.app import Daemon
from ingestd.errors import DatabaseRefused, DatabaseUnavailable
from ingestd.pipeline import pausing
from ingestd.pipeline.queueing import QueueRequest, enqueue
from ingestd.store import attempts
from ingestd.store.db import Tx
from support.mariadb_proxy import CONNECT, Fault, drop_reply, fake_error
from support.proxied import proxied
from support.wait import until
from support.world import World, photo

WRONG = {
    "right": (
        ["REVOKE INSERT ON asset FROM ingestd@localhost"],
        ["GRANT INSERT ON asset TO ingestd@localhost"],
        "may not do this: INSERT command denied",
    ),
    "table": (
        ["RENAME TABLE asset_file TO asset_file_moved"],
        ["RENAME TABLE asset_file_moved TO asset_file"],
        "run `ingestd migrate`",
    ),
    "column": (
        ["ALTER TABLE asset CHANGE title title_moved TEXT NULL"],
        ["ALTER TABLE asset CHANGE title_moved title TEXT NULL"],
        "Unknown column",
    ),
    "added column": (
        ["ALTER TABLE asset ADD COLUMN site INT NOT NULL"],
        ["ALTER TABLE asset DROP COLUMN site"],
        "doesn't have a default value",
    ),
    "account": (
        ["ALTER USER ingestd@localhost ACCOUNT LOCK"],
        ["ALTER USER ingestd@localhost ACCOUNT UNLOCK"],
        r"\[database\] user.*locked",
    ),
}


@contextmanager
def wrong(world: World, name: str) -> Iterator[None]:
    break_it, repair, _ = WRONG[name]
    for statement in break_it:
        world.sql(statement)
    try:
        yield
    finally:
        for statement in repair:
            world.sql(statement)


@pytest.mark.parametrize("name", WRONG)
def test_a_job_waits_until_a_person_has_acted(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr(attempts, "FIRST_NOTICE", 0.2)
    monkeypatch.setattr(attempts, "MAX_PAUSE", 0.1)
    monkeypatch.setattr(attempts.log, "warning", lambda _event, reason, **_: warned.append(reason))
    context = world.context()
    sync_id = world.put(photo("a"), photo("b"))
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "tester"))
    daemon = Daemon(world.settings(worker={"heartbeat_interval": 0.1}))
    try:
        with wrong(world, name):
            daemon.start()
            until(lambda: daemon.context.db.errors["other"] > 3, what="for several attempts")
            if name != "account":
                until(lambda: warned, what="for the warning")
            assert world.status(sync_id) in ("queued", "importing")
        released_at = time.monotonic()
        until(lambda: world.status(sync_id) == "imported", what="for the end of the import")
        assert time.monotonic() - released_at < 5.0
    finally:
        daemon.stop()
    kinds = [kind for kind, _ in world.events(sync_id)]
    assert [kinds.count(kind) for kind in ("job_claimed", "job_reset", "item_created", "item_failed")] == [1, 0, 2, 0]


def touch(tx: Tx) -> None:
    """Uses everything that may be wrong."""
    with tx.connection.cursor() as cursor:
        cursor.execute("SELECT asset_id FROM asset_file")
        cursor.execute(
            "INSERT INTO asset (asset_type, hash, title, entry_sha256, synced_at, sync_id, created_at, updated_at)"
            " SELECT 'photo', REPEAT('0', 32), 'title', '', NOW(), '', NOW(), NOW()"
        )


@pytest.mark.parametrize("name", WRONG)
def test_a_command_ends_with_one_sentence(world: World, name: str) -> None:
    context = world.context()
    with wrong(world, name), pytest.raises(DatabaseRefused, match=WRONG[name][2]) as raised:
        context.db.transaction(touch)
    assert raised.value.exit_status == 78
    assert "\n" not in str(raised.value)


def test_a_command_says_when_it_does_not_know_whether_it_was_done(world: World, tmp_path: Path) -> None:
    with proxied(world, tmp_path) as site:
        context = site.context()
        site.queued(context, photo("a"))
        lost = Fault("^COMMIT", drop_reply)
        site.proxy.add(lost, Fault(CONNECT, fake_error(1053), times=1e9, while_=lambda: bool(lost.done)))
        with pytest.raises(DatabaseUnavailable, match="whether the change was saved is not known"):
            pausing.pause(context, "olga", None)
