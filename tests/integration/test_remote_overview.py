"""Commands about the whole queue through a daemon elsewhere: the same output and exit status as on the host itself."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.mount.mountinfo import MountPoint
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.command import UNKNOWN, Run, commands
from support.proxy import reverse_proxy
from support.web_client import HOST, WebClient
from support.world import World, new_sync_id, photo

FIRST = MountPoint(1, "0:1", "/mnt", "fuse.rclone", "s3:bucket")
OTHER = MountPoint(1, "0:1", "/mnt", "ext4", "/dev/sda1")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], world: World) -> Iterator[Run]:
    monkeypatch.setenv("INGESTD_DATABASE__UNIX_SOCKET", world.server.socket)
    monkeypatch.setenv("INGESTD_DATABASE__USER", "ingestd")
    monkeypatch.setenv("INGESTD_MOUNT__ROOT", str(world.root))
    monkeypatch.setenv("INGESTD_MOUNT__REQUIRE_MOUNT", "false")
    with commands(monkeypatch, capsys) as call:
        yield call


@pytest.fixture
def elsewhere(web_client: WebClient, tmp_path: Path) -> Iterator[list[str]]:
    token = tmp_path / "token"
    token.write_text("the-operator-token\n")
    token.chmod(0o600)
    with reverse_proxy(web_client.listener.address, HOST) as proxy:
        yield ["--url", proxy.url, "--token-file", str(token)]


def fill(world: World, web_client: WebClient) -> list[str]:
    """An imported batch, a queued one, one that waits for it, and a stuck bundle."""
    done = world.put(photo("a"))
    world.import_all(web_client.context, done)
    queued = web_client.put(photo("b"), day=2)
    waiting = web_client.put(photo("c"), day=3, prior_sync_id=queued)
    for sync_id in (queued, waiting):
        enqueue(web_client.context, QueueRequest(sync_id, "olga"))
    stuck = ("not\x1b this one", "flux-1")
    world.sql("INSERT INTO ingest_stuck VALUES (%s, %s, %s, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))", new_sync_id(), *stuck)
    return [done, queued, waiting]


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_it_is_printed_as_here(
    world: World, web_client: WebClient, run: Run, elsewhere: list[str], json: list[str]
) -> None:
    fill(world, web_client)
    assert run("pause", "--reason", "lunch").code == 0
    for command in (["status"], ["batches"], ["batches", "--status", "queued"], ["batches", "--limit", "1"], ["jobs"]):
        here, there = run(*command, *json), run(*command, *json, *elsewhere)
        assert (there.code, there.stdout) == (0, here.stdout)
        assert here.stdout


def test_many_batches_are_read_in_pages(world: World, web_client: WebClient, run: Run, elsewhere: list[str]) -> None:
    world.sql(
        "INSERT INTO ingest_batch (sync_id, status, discovered_at)"
        " SELECT LPAD(seq, 36, '0'), 'imported', UTC_TIMESTAMP(6) FROM seq_1_to_1200"
    )
    for limit in ("1100", "100000"):
        assert run("batches", "--limit", limit, *elsewhere).stdout == run("batches", "--limit", limit).stdout


def test_the_queue_is_paused_and_resumed(world: World, run: Run, elsewhere: list[str]) -> None:
    results = [run(*command, *elsewhere) for command in (["pause", "--reason", "x"], ["pause"], ["resume"], ["resume"])]
    assert [result.code for result in results] == [0] * 4
    said = ["paused", r"was paused already, since \S+Z by olivia: x", "resumed", "was not paused"]
    for text, result in zip(said, results, strict=True):
        assert re.fullmatch(f"ingestd: {text}\n", result.stderr)
    kinds = world.sql("SELECT event_type, JSON_VALUE(payload, '$.requested_by') FROM ingest_event")
    assert kinds == [("queue_paused", "olivia"), ("queue_resumed", "olivia")]
    assert run("pause", "--reason", "x" * 1001).code == 2


def test_a_batch_is_imported_again(world: World, web_client: WebClient, run: Run, elsewhere: list[str]) -> None:
    sync_id = world.put(photo("a"))
    world.import_all(web_client.context, sync_id)
    assert run("queue", sync_id, "--reimport", *elsewhere).table[0]["is_new"] == "yes"
    assert world.one("SELECT scope FROM import_job ORDER BY id DESC LIMIT 1") == "reimport"
    assert run("queue", sync_id, "--reimport", "--priority", "7", *elsewhere).table[0]["is_new"] == "no"
    assert world.run_next(web_client.context) == "done"
    assert list(world.decisions(sync_id).values()) == ["skipped:unchanged"]


@pytest.fixture
def rclone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has to come before `web_client`: as soon as that is served, its threads look at what is mounted."""
    monkeypatch.setattr("ingestd.mount.access.mount_point", lambda *_: FIRST)


@pytest.mark.usefixtures("rclone")
def test_a_mount_is_accepted(
    world: World, web_client: WebClient, run: Run, elsewhere: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    web_client.put(photo("a"))
    nothing = run("mount", "accept", *elsewhere)
    assert (nothing.code, nothing.stdout) == (3, "")
    assert "there is nothing to accept: fuse.rclone s3:bucket" in nothing.stderr
    monkeypatch.setattr("ingestd.mount.access.mount_point", lambda *_: OTHER)
    accepted = run("mount", "accept", "--json", *elsewhere)
    assert (accepted.code, accepted.json) == (0, {"from": "fuse.rclone s3:bucket", "to": "ext4 /dev/sda1"})
    assert run("mount", "accept", *elsewhere).code == 3
    by = "SELECT JSON_VALUE(payload, '$.requested_by') FROM ingest_event WHERE event_type = 'mount_accepted'"
    assert world.one(by) == "olivia"


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_sync_id_may_be_shortened(
    world: World, web_client: WebClient, run: Run, elsewhere: list[str], where: str
) -> None:
    options = elsewhere if where == "there" else []
    one, two = (f"abcdef{digit}0-0000-4000-8000-000000000000" for digit in "12")
    for sync_id in (one, two):
        web_client.put(photo("a"), sync_id=sync_id, source_host="abcdef2-host")
    assert run("status", "abcdef1", *options).code == 0
    assert run("queue", "ABCDEF1", two[:13], *options).code == 0
    assert world.sql("SELECT sync_id FROM import_job j JOIN ingest_batch b ON b.id = batch_id") == [(one,), (two,)]
    assert run("cancel", one[:9], *options).code == 0
    for unknown in ("abcde", "abcdef_", "abcdef%", "abcdef3", "", UNKNOWN[:7]):
        assert run("cancel", "--", unknown, *options).code == 3 if not options else True
    several = run("queue", "abcdef", two, "--priority", "3", *options)
    assert (several.code, several.stdout) == (3, "")
    assert f"several batches begin with abcdef: {one}, {two}" in several.stderr
    assert world.one("SELECT priority FROM import_job WHERE state = 'queued'") == 100, "nothing was changed"
