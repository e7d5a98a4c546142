"""Commands run by a daemon on another host print what they print locally."""

import re

import pytest

from ingestd.app import Daemon
from ingestd.pipeline.ignored_names import MAX_WARNINGS
from ingestd.pipeline.queueing import QueueRequest, enqueue
from support.command import Result, Run
from support.elsewhere import HOSTILE, UNKNOWN, reach
from support.world import World, cover, md5, photo

ID = "{}-0000-4000-8000-00000000000{}"
HERE, THERE = "aaaaaaaa", "bbbbbbbb"


def scenario(world: World, run: Run, half: str, *options: str) -> list[Result]:
    """Runs every remote command, with bundles whose sync_ids begin with `half`."""
    one, bad, invalid, removal, changing = (ID.format(half, number) for number in range(1, 6))
    world.put(photo("a"), cover("c", "absent"), sync_id=one)
    world.put(photo("b"), {"type": "photo", "hash": HOSTILE}, sync_id=bad)
    world.put(photo("c"), status=f"up{HOSTILE}", sync_id=invalid)
    world.put(*({"type": "photo", "hash": md5(name)} for name in "xy"), action="remove", day=9, sync_id=removal)
    world.put(photo("d"), sync_id=changing)
    world.file(f"sync/{ID.format(half, 9)}.ready", b"")
    results = [run("scan", *options)]
    world.put(photo("e"), sync_id=changing)
    results += [run("scan", "--json", *options), run("scan", *options), run("scan", "--json", *options)]
    for arguments in (
        ["preflight", bad], ["preflight", bad, "--json"], ["preflight", invalid], ["preflight", UNKNOWN],
        ["queue", one, invalid, UNKNOWN, one, "--priority", "7"], ["queue", one, bad, "--json"],
        ["queue", one, "--priority", "-1"], ["queue", changing, "--only", "failed"], ["queue", removal],
        ["queue", removal, "--force", "--json"], ["queue", "'\\%_ --"], ["queue", ".."], ["cancel", one],
        ["cancel", bad, "--json"], ["cancel", one], ["cancel", UNKNOWN], ["cancel", "a/../b"],
        ["queue", bad, "--reimport", "--only", "failed"], ["queue", bad, "--priority", "x"], ["cancel"], ["queue", "ü"],
    ):  # fmt: skip
        results.append(run(*arguments, *options))
    (world.root / f"sync/{changing}.json").unlink()
    return [*results, run("queue", changing, *options), run("preflight", changing, *options)]


def alike(result: Result) -> tuple[int, str]:
    """Exit status and output, with sync_ids, digests, job ids and times replaced by constants."""
    text = re.sub(r"\b1\d{7}\b", "JOB", result.stdout.replace(THERE, HERE))
    text = re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", text)
    text = re.sub(r'{"id":\d+,', '{"id":ID,', text)
    return result.code, re.sub(r'("discovered_at":)"[^"]+Z"', r"\1TIME", text)


def test_remote_commands_print_the_same_as_local_ones(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: list[str]
) -> None:
    world.import_all(world.context(), world.put(photo("x"), photo("y")))
    world.sql("ALTER TABLE import_job AUTO_INCREMENT = 10000000")
    with monkeypatch.context() as patch:
        reach(world, patch)
        here = scenario(world, run, HERE)
    # An invalid configuration would end a local command.
    monkeypatch.setenv("INGESTD_NONSENSE", "1")
    there = scenario(world, run, THERE, *elsewhere)
    for local, distant in zip(here, there, strict=True):
        assert alike(distant) == alike(local)
    assert {result.code for result in here} == {0, 2, 3}
    assert [result.stdout for result in there if "\x1b" in result.stdout] == []
    requesters = world.sql("SELECT DISTINCT requested_by FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id"
                           " WHERE b.sync_id LIKE %s", f"{THERE}%")  # fmt: skip
    assert requesters == [("olga",)]


def untimed(result: Result) -> list[str]:
    """The lines on standard error, in order of their text."""
    return sorted(re.sub(r"timestamp=\S+ ", "", line) for line in result.stderr.splitlines())


def test_remote_commands_print_the_messages_of_local_ones(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: list[str]
) -> None:
    world.file(f"sync/{UNKNOWN}.ready", b"")
    waiting = f"ingestd: 1 bundle without a readable manifest yet: {UNKNOWN}; a later scan looks again\n"
    waiting += f"ingestd: {UNKNOWN}: the manifest cannot be read: No such file or directory\n"
    unknown = run("status", UNKNOWN, *elsewhere)
    assert (unknown.code, "`ingestd scan` records what is on the mount" in unknown.stderr) == (3, True)
    assert run("scan", *elsewhere) == (0, "", f"ingestd: nothing new\n{waiting}")
    sync_id = world.put(photo("a"))
    assert run("scan", *elsewhere).table[0]["sync_id"] == sync_id
    nothing = run("cancel", sync_id, *elsewhere)
    assert nothing == (3, "", f"ingestd: batch {sync_id} has no job to cancel\n")
    world.sql("INSERT INTO import_job (batch_id, state, queued_at) SELECT id, 'running', NOW() FROM ingest_batch")
    running = run("cancel", sync_id, *elsewhere)
    assert (running.code, running.stdout) == (3, "")
    assert "is running; only stopping the service stops it" in running.stderr


def test_a_remote_scan_shows_ignored_names_as_a_local_one(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: list[str]
) -> None:
    for number in range(MAX_WARNINGS + 5):
        world.file(f"sync/odd-{number}{HOSTILE}.ready", b"")
    with monkeypatch.context() as patch:
        reach(world, patch)
        here = run("scan")
    run("scan", *elsewhere)
    there = run("scan", *elsewhere)  # the daemon, in this process, has logged them before
    assert there.stderr.count("rename it") == MAX_WARNINGS + 1
    assert untimed(there) == untimed(here)


@pytest.mark.parametrize(
    "options",
    [[], ["--json"], ["--by", "cli:größe & co"], ["--type", "job_queued", "--since", "1h"], ["--limit", "1"]],
)
def test_remote_events_are_those_of_this_host(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: list[str], options: list[str]
) -> None:
    sync_id, context = world.put(photo("a")), world.context()
    world.put(photo("b"), day=2)
    world.scan(context)
    enqueue(context, QueueRequest(sync_id, "cli:größe & co"))
    with monkeypatch.context() as patch:
        reach(world, patch)
        here = [run("events", *which, *options) for which in ([], [sync_id], [UNKNOWN])]
    there = [run("events", *which, *options, *elsewhere) for which in ([], [sync_id], [UNKNOWN])]
    assert there == here
    assert [result.code for result in here] == [0, 0, 3]
    assert here[0].stdout.count("\n") > 1
