"""Line 20: from a sentinel to an imported bundle of one item, by an idle daemon with inotify.

Compared with a script that does the same reads, and sends the very statements of the daemon, one after another.
"""

import hashlib
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from common import Bench, announce, lean_item, median, write_manifest
from frame import Form, Value, measures, note
from real_daemon import daemon, make_files, wait_until_imported
from statements import logged, sent, until_done

COUNTED = ("ingest_batch", "import_job", "ingest_batch_item", "asset")
FIRST_ID = 5_000_000_000
"""Ids of each table begin at a number that is found in no other part of a statement."""
REST = 0.3
"""seconds between two bundles, in which the daemon becomes idle, and caches of processor and disk become cold"""
MODELS = 3
"""bundles whose statements are logged: those of the one with the fewest are sent, as what else was sent is by chance"""
SESSION = (
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES'",
)
FINISHED = (
    "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', finished_at) / 1e6 FROM import_job j"
    " JOIN ingest_batch b ON b.id = j.batch_id WHERE b.sync_id = '{}' AND b.status = 'imported'"
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle of one item, and all that distinguishes its statements from those of another."""

    sync_id: str
    item: dict[str, Any]
    manifest_sha256: str
    ids: tuple[int, ...]

    @property
    def marks(self) -> list[str]:
        found = (self.sync_id, self.item["files"][0]["sha256"], self.item["hash"], self.manifest_sha256)
        return [*found, *map(str, self.ids)]


@measures("20a", "20b")
def latency(world: Bench, form: Form) -> Iterator[Value]:
    turns, count = form.of(5, 2), form.of(30, 20)
    for number, table in enumerate(COUNTED):
        world.sql(f"ALTER TABLE {table} AUTO_INCREMENT = {FIRST_ID + number * 10**8}")
    for number in range(form.rounds(3)):
        ours, script = list[float](), list[float]()
        for turn in range(turns):
            name = f"{number}/{turn}"
            with daemon(world):
                pattern, model = min((recorded(world, f"{name}/model {one}") for one in range(MODELS)), key=length)
                ours += [with_daemon(world, f"{name}/{one}") for one in range(count)]
            script += [with_script(world, pattern, model, f"{name}/script/{one}") for one in range(count)]
        note(f"ingestd {shown(ours)}; script {shown(script)}")
        yield Value("20a", median(ours) / median(script))
        yield Value("20b", p99(ours) / p99(script))


def shown(seconds: list[float]) -> str:
    return f"{1000 * median(seconds):.1f} ms, p99 {1000 * p99(seconds):.1f} ms"


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[-1]


def recorded(world: Bench, name: str) -> tuple[list[str], Bundle]:
    """The statements for one bundle from record to done, and that bundle."""
    model = make(world, name)
    with logged(world):
        announce(world, model.sync_id)
        wait_until_imported(world)
    return [one.text for one in until_done(sent(world))], model


def length(recorded: tuple[list[str], Bundle]) -> int:
    """The number of statements."""
    return len(recorded[0])


def make(world: Bench, name: str) -> Bundle:
    """A bundle but for its sentinel; its rows will have the next ids."""
    item = lean_item(0, name)
    make_files(world, [item])
    rows = dict(
        world.sql("SELECT TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()")
    )
    sync_id = write_manifest(world, [item])
    digest = hashlib.sha256(manifest_of(world, sync_id).read_bytes()).hexdigest()
    return Bundle(sync_id, item, digest, tuple(rows[table] for table in COUNTED))


def manifest_of(world: Bench, sync_id: str) -> Path:
    return world.root / "sync" / f"{sync_id}.json"


def with_daemon(world: Bench, name: str) -> float:
    """Seconds from the sentinel to the end of the job."""
    bundle = make(world, name)
    time.sleep(REST)
    begun = time.time()
    announce(world, bundle.sync_id)
    wait_until_imported(world)
    return finished(world, bundle.sync_id) - begun


def finished(world: Bench, sync_id: str) -> float:
    """When its job ended, by the clock of the server, which runs on this machine."""
    ((seconds,),) = world.sql(FINISHED.format(sync_id))
    return float(seconds)


def with_script(world: Bench, pattern: list[str], model: Bundle, name: str) -> float:
    """Seconds of the same work on one connection."""
    bundle, connection = make(world, name), world.owner()
    texts = [rewritten(text, model, bundle) for text in pattern]
    with connection.cursor() as cursor:
        for statement in SESSION:
            cursor.execute(statement)
        time.sleep(REST)
        begun = time.time()
        announce(world, bundle.sync_id)
        read(world, bundle)
        for text in texts:
            cursor.execute(text)
            cursor.fetchall()
    connection.close()
    return finished(world, bundle.sync_id) - begun


def rewritten(text: str, model: Bundle, bundle: Bundle) -> str:
    for old, new in zip(model.marks, bundle.marks, strict=True):
        text = text.replace(old, new)
    return text


def read(world: Bench, bundle: Bundle) -> None:
    """What is read of the mount: names, the manifest, and the size of the file."""
    assert f"{bundle.sync_id}.ready" in os.listdir(world.root / "sync")
    data = manifest_of(world, bundle.sync_id).read_bytes()
    assert hashlib.sha256(data).digest()
    for item in orjson.loads(data)["items"]:
        for file in item["files"]:
            assert os.stat(world.root / item["path"] / file["path"]).st_size == file["bytes"]
