"""A hostile manifest costs itself: bundles beside it are recorded and imported, and the daemon stays small."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingestd.errors import ManifestUnsettled
from ingestd.mount import access
from ingestd.mount.access import Mount
from ingestd.mount.helper_process import HelperProcess
from ingestd.pipeline.scanner import Scanner
from support.hostile_entries import CONTAINERS, ITEMS
from support.hostile_manifests import ENVELOPES, MIB, TEXTS, Shape
from support.manifests import SYNC_ID
from support.measured import peak
from support.scale import scaled
from support.scanning import last_error, write_sentinel
from support.world import World, md5, new_sync_id, photo

SIZE = 2 * MIB
SIZES = {"long text in verification": 17 * MIB}
"""by name: more than the server takes in one statement"""
CORPUS = {shape.name: shape for shape in [*ENVELOPES, *TEXTS, *ITEMS, *CONTAINERS]}
HOSTILE = [
    "long text in verification",
    "empty objects under an unknown key",
    "distinct keys, then one twice",
    "31 brackets and a long text",
    "empty containers over the limit",
    "byte order mark",
]


def put(world: World, shape: Shape, size: int = SIZE) -> str:
    """Delivers a hostile bundle whose name sorts before all others."""
    sync_id = f"00000000{new_sync_id()[8:]}"
    world.file(f"sync/{sync_id}.json", shape.make(size).replace(SYNC_ID.encode(), sync_id.encode()))
    write_sentinel(world, sync_id)
    return sync_id


@pytest.mark.soak
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_invalid_and_the_healthy_one_beside_it_is_imported(world: World, name: str) -> None:
    context = world.context()
    hostile = put(world, CORPUS[name], scaled(SIZES.get(name, SIZE), 64 * MIB))
    healthy = world.put(photo("a"))
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    assert world.import_all(context, healthy) == ["done"]
    assert (world.status(hostile), world.status(healthy)) == ("invalid", "imported")
    assert last_error(world, hostile)
    assert peak() - before < 48 * MIB


def test_a_half_written_manifest_is_waited_for_beside_a_healthy_one(world: World) -> None:
    scanner = Scanner(world.context())
    hostile, healthy = put(world, CORPUS["cut in escapes"]), world.put(photo("a"))
    assert scanner.scan() == [healthy]
    assert hostile in scanner._recorder.settling


@pytest.mark.soak
def test_bad_items_fail_alone_in_a_long_manifest(world: World) -> None:
    context = world.context()
    items: list[Any] = [photo(f"p{number}", files=0) for number in range(scaled(300, 30_000))]
    items[100:100] = [{"type": "photo", "hash": md5("x"), "title": "\ud800"}, {}, 7, {"novelty": "x" * 300_000}]
    items[250:250] = [{"type": "photo", "hash": md5("long"), "novelty": "x" * 1_000_000}]
    sync_id = world.put(*items)
    assert world.import_all(context, sync_id) == ["done"]
    decisions = world.decisions(sync_id)
    bad = [hash_ for hash_, decision in decisions.items() if decision != "created"]
    assert bad == [md5("x"), "#101", "#102", "#103", md5("long")]
    assert len(decisions) == len(items)
    [error] = world.sql("SELECT last_error FROM ingest_batch_item WHERE asset_hash = %s", md5("x"))
    assert error == ("title: contains an unpaired surrogate",)


def test_a_raised_limit_makes_a_manifest_valid(world: World) -> None:
    sync_id = world.put(photo("a"), photo("b"))
    with_limit = world.context(mount={"max_items": 1})
    reading = with_limit.mount.read_manifest(sync_id)
    assert reading.problem is not None
    assert reading.problem.basis == "setting"
    assert "mount.max_items = 1" in str(reading.problem)
    assert world.context().mount.read_manifest(sync_id).manifest is not None


def test_a_helper_that_dies_says_nothing_about_the_mount(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = world.context().mount
    sync_id = world.put(photo("a"))
    mount.check()
    with monkeypatch.context() as patch:
        patch.setattr(access, "RECHECK_SECONDS", math.inf)  # a check would meet the same
        kill_when_asked(patch)
        with pytest.raises(ManifestUnsettled, match="its helper process was ended by signal 9"):
            mount.read_manifest(sync_id)
    assert mount.up
    assert mount.read_manifest(sync_id).manifest is not None


def kill_when_asked(patch: pytest.MonkeyPatch) -> None:
    """Kills each helper between request and reply."""
    send, receive = HelperProcess.send, HelperProcess.receive

    def stop_and_send(helper: HelperProcess, *values: Any) -> None:
        os.kill(helper._process.pid, signal.SIGSTOP)
        send(helper, *values)

    def kill_and_receive(helper: HelperProcess, *values: Any) -> Any:
        os.kill(helper._process.pid, signal.SIGKILL)
        return receive(helper, *values)

    patch.setattr(HelperProcess, "send", stop_and_send)
    patch.setattr(HelperProcess, "receive", kill_and_receive)


def test_a_reading_shows_signs_of_life(world: World) -> None:
    mount: Mount = world.context().mount
    signs: list[int] = []
    sync_id = put(world, CORPUS["empty objects"], MIB)
    assert mount.read_manifest(sync_id, None, lambda: signs.append(1)).manifest is not None
    assert len(signs) > 10


@pytest.mark.parametrize(
    ("work", "outcome"),
    [
        ("bytearray(2**27)", "OutOfMemory"),
        ("[bytes(1000) for _ in range(2**18)]", "OutOfMemory"),
        ("os.kill(os.getpid(), 9)", "Died: the process . was ended by signal 9"),
        ("1 / 0", "Died: the process . ended with status 4"),
        ("bytearray(2**20)", "ended"),
    ],
)
def test_a_compartment_ends_alone(work: str, outcome: str) -> None:
    script = (
        "import os, re\nfrom ingestd.mount import compartment\n"
        f"try:\n  compartment.run(lambda: {work}, 2**26)\n  print('ended')\n"
        "except compartment.OutOfMemory:\n  print('OutOfMemory')\n"
        "except compartment.Died as error:\n  print('Died:', re.sub('[0-9]{2,}', '.', str(error)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == outcome
