"""The log of a real daemon: every line, in the format of the journal and as JSON."""

import json
import os
import re
from typing import Any

from support.process import Daemons, Process
from support.wait import until
from support.world import World

STOP_SECONDS = 20.0
LINE = re.compile(r"<[2-7]>level=(debug|info|warning|error|critical) event=\w+( [\w.]+=(\"[^\"]*\"|\S*))*")
SETTINGS: dict[str, Any] = {"queue": {"auto": ["create"]}, "mount": {"rescan_interval": 0.2}}
HOSTILE = "dawn\nlevel=critical event=forged.ready"


def import_one(world: World, daemons: Daemons, environment: dict[str, str], **sections: Any) -> tuple[str, list[str]]:
    """Lets a daemon import a bundle next to one that tries to forge a line; returns the sync_id and the log's lines."""
    (world.root / "sync" / HOSTILE).touch()
    process = daemons.make("run", database={"unix_socket": world.server.socket, "user": "ingestd"}, **sections)
    daemons.started.append((process, None))
    process.log_file.touch()
    process.environment = {key: value.format(os.stat(process.log_file)) for key, value in environment.items()}
    process.start()
    sync_id = world.put({"type": "photo", "hash": "0" * 32})
    wait_for_import(world, process, sync_id)
    assert process.terminate(STOP_SECONDS) == 0, process.log
    return sync_id, process.log.split("\n")[:-1]


def wait_for_import(world: World, process: Process, sync_id: str) -> None:
    def imported() -> bool:
        assert not process.has_ended(), process.log
        known = world.sql("SELECT status FROM ingest_batch WHERE sync_id = %s", sync_id)
        return known == [("imported",)]

    until(imported, what=lambda: f"for the import; log: {process.log}")
    process.wait_for("job_finished")
    process.wait_for("sentinel_ignored")


def test_every_line_for_the_journal_has_a_priority_and_no_time(world: World, daemons: Daemons) -> None:
    journal = {"JOURNAL_STREAM": "{0.st_dev}:{0.st_ino}"}
    _, lines = import_one(world, daemons, journal, **SETTINGS, log={"level": "debug"})
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    events = [line.split()[1].removeprefix("event=") for line in lines]
    assert {"started", "job_claimed", "job_finished", "stopped"} <= set(events)
    assert "forged" not in events


def test_journal_stream_of_another_file_is_ignored(world: World, daemons: Daemons) -> None:
    _, lines = import_one(world, daemons, {"JOURNAL_STREAM": "{0.st_dev}:1"}, **SETTINGS)
    assert [line for line in lines if not re.match(r"timestamp=\S+Z level=\w+ event=\w+( |$)", line)] == []


def test_every_line_is_json_on_request(world: World, daemons: Daemons) -> None:
    _, lines = import_one(world, daemons, {}, **SETTINGS, log={"level": "debug", "format": "json"})
    events = [json.loads(line) for line in lines]
    (ignored,) = (event for event in events if event["event"] == "sentinel_ignored")
    assert ignored["name"] == HOSTILE
    (claimed,) = (event for event in events if event["event"] == "job_claimed")
    (finished,) = (event for event in events if event["event"] == "job_finished")
    for key in ("job_id", "worker", "claim_token"):
        assert finished[key] == claimed[key]
    assert {"info", "warning"} <= {event["level"] for event in events}
