"""The commands scan and preflight, and arguments that name a batch."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support.command import RFC_3339, UNKNOWN, Run, properties
from support.world import World, cover, photo

HOSTILE = "a\x1b[31mb\nc\td\x9be\u202ef"


def test_scan_prints_new_batches(configured: World, run: Run) -> None:
    sync_id = configured.put(photo("a"), photo("b"))
    result = run("scan")
    assert (result.code, result.stderr) == (0, "")
    assert result.table == [
        {"sync_id": sync_id, "type": "event", "action": "create", "status": "new", "item_count": "2",
         "last_error": "-"}
    ]  # fmt: skip


def test_scan_without_news_prints_no_data(configured: World, run: Run) -> None:
    assert run("scan") == (0, "", "ingestd: nothing new\n")
    assert run("scan", "--json") == (0, "[]\n", "")


def test_scan_prints_json(configured: World, run: Run) -> None:
    sync_id = configured.put(photo("a"))
    (row,) = run("scan", "--json").json
    assert (row["sync_id"], row["status"], row["item_count"]) == (sync_id, "new", 1)
    assert RFC_3339.fullmatch(row["discovered_at"])
    assert row["completed_at"] is None


def test_scan_reports_bundles_without_a_readable_manifest(configured: World, run: Run) -> None:
    configured.file(f"sync/{UNKNOWN}.ready", b"")
    result = run("scan")
    assert (result.code, result.stdout) == (0, "")
    assert f"ingestd: 1 bundle without a readable manifest yet: {UNKNOWN}; a later scan looks again" in result.stderr
    assert f"ingestd: {UNKNOWN}: the manifest cannot be read: No such file or directory" in result.stderr


def is_a_link(manifest: Path) -> None:
    manifest.symlink_to("/etc/hostname")


def is_half_written(manifest: Path) -> None:
    manifest.write_bytes(b'{"syn')


@pytest.mark.parametrize(
    ("become", "reason"),
    [(is_a_link, "link"), (os.mkfifo, "not a"), (Path.mkdir, "not a"), (is_half_written, "not complete JSON")],
)
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_scan_says_why_a_manifest_is_waited_for(
    configured: World, run: Run, become: Callable[[Path], None], reason: str, more: tuple[str, ...]
) -> None:
    """Also beside many that have not come, whose names come first."""
    for number in range(30):
        configured.file(f"sync/{number:08}-0000-4000-8000-000000000000.ready", b"")
    sync_id = "ffffffff-ffff-4fff-8fff-ffffffffffff"
    configured.file(f"sync/{sync_id}.ready", b"")
    become(configured.root / f"sync/{sync_id}.json")
    stderr = run("scan", *more).stderr
    assert f"ingestd: 31 bundles without a readable manifest yet: {sync_id}, " in stderr
    (line,) = [line for line in stderr.splitlines() if line.startswith(f"ingestd: {sync_id}: ")]
    assert reason in line
    assert line.count(sync_id) == 1, "the reason is the same for all that have it"


def test_scan_and_doctor_show_a_name_that_only_looks_like_a_sentinel(configured: World, run: Run) -> None:
    configured.file(f"sync/{UNKNOWN}.READY", b"")
    result = run("scan")
    assert (result.code, result.stdout) == (0, "")
    assert f"{UNKNOWN}.READY" in result.stderr
    assert "rename it" in result.stderr
    assert f"0 bundles handed over; ignored 1 name like those of sentinels, such as {UNKNOWN}.READY" in (
        finding["detail"] for finding in run("doctor", "--json").json
    )


def test_preflight_prints_the_plan_and_does_not_change_the_library(configured: World, run: Run) -> None:
    sync_id = configured.put(photo("a"), cover("c", "a"), {"hash": HOSTILE})
    run("scan")
    result = run("preflight", sync_id)
    assert (result.code, result.stderr) == (0, "")
    shown = properties(result)
    assert (shown["sync_id"], shown["items"], shown["will_create"], shown["will_fail"]) == (sync_id, "3", "1", "1")
    assert result.stdout.splitlines()[-1].startswith("will fail: invalid #2: ")
    assert not any(configured.library().values())
    plan = run("preflight", sync_id, "--json").json
    assert plan["sync_id"] == sync_id
    assert plan["counts"]["will_link"] == 1


def test_preflight_of_an_invalid_batch_fails(configured: World, run: Run) -> None:
    invalid = configured.put(photo("a"), status="uploading")
    run("scan")
    result = run("preflight", invalid)
    assert (result.code, result.stdout) == (3, "")
    assert re.fullmatch(rf"ingestd: batch {invalid} is invalid: status: .*uploading.*\n", result.stderr)


@pytest.mark.parametrize("arguments", [["preflight"], ["cancel"], ["status"], ["status", "--json"], ["queue"]])
def test_an_unknown_batch_is_not_found(configured: World, run: Run, arguments: list[str]) -> None:
    result = run(*arguments, UNKNOWN)
    assert result.code == 3
    assert f"there is no batch {UNKNOWN}" in (result.stdout if arguments == ["queue"] else result.stderr)


@pytest.mark.parametrize("command", ["status", "queue", "cancel", "preflight", "pause --reason"])
def test_arguments_that_are_not_utf8_are_usage_errors(configured: World, run: Run, command: str) -> None:
    result = run(*command.split(), "\udcff")
    assert (result.code, result.stdout) == (2, "")
    assert "not valid UTF-8" in result.stderr or "is not a sync_id" in result.stderr


@pytest.mark.parametrize("command", ["status", "queue", "cancel", "preflight"])
def test_a_non_ascii_sync_id_is_a_usage_error(configured: World, run: Run, command: str) -> None:
    result = run(command, "ü")
    assert (result.code, result.stdout) == (2, "")
    assert "ü is not a sync_id" in result.stderr
    assert run(command, "'\\%_ --").code == 3
