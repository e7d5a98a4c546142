"""A helper that dies, or answers what was not asked, costs one item at most, and is replaced."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.errors import HelperFailed, MountSilent
from ingestd.model import Reason
from ingestd.mount.access import Mount
from ingestd.mount.records import ItemRequest
from support.faulty_helper import ANSWERING, MARKED, QUICK, inject
from support.mounts import Folder
from support.scale import IS_SOAK
from support.world import World, md5, photo

SILENCE = 1.0
"""A deadline that a helper meets although it has to start first."""
WAYS = {
    "kill": f"signal {int(signal.SIGKILL)}",
    "segv": f"signal {int(signal.SIGSEGV)}",
    "exit": "status 7",
    "raise": "unforeseen LookupError: surprise",
    "memory": "unforeseen MemoryError",
}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "assets")


@pytest.fixture(params=[1, 16])
def mount(folder: Folder, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Mount]:
    monkeypatch.setattr(Mount, "is_remote", True)
    made = folder.mount(readers=request.param)
    yield made
    made.close()


@pytest.mark.parametrize("way", WAYS)
def test_an_item_that_ends_its_helper_fails_alone(
    folder: Folder, mount: Mount, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    inject(monkeypatch, QUICK, MARKED)
    fatal = (5, 6, 29)
    for number in range(40):
        folder.item(f"{number}", b"{}", f'"{way}"'.encode() if number in fatal else b"[]")
    readings = folder.read(mount)
    assert [reading.ordinal for reading in readings if reading.problem] == [*fatal]
    for number in fatal:
        assert (readings[number].reason, readings[number].transient) == (Reason.FILE_UNREADABLE, False)
        assert WAYS[way] in str(readings[number].problem)
        assert md5(f"{number}") in str(readings[number].problem)
    assert all(len(reading.documents) == 2 for reading in readings if reading.ordinal not in fatal)


def test_siblings_of_an_item_that_ends_its_helper_are_imported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    inject(monkeypatch, MARKED)
    sync_id = world.put(*(photo(name) for name in "abcde"))
    for name, content in {"b": '"kill"', "c": "{}", "d": '"raise"'}.items():
        world.file(f"photo/{md5(name)}/source/data/x.json", content.encode())
    assert world.import_all(world.context(), sync_id) == ["done"]
    bad = "failed:file_unreadable"
    assert list(world.decisions(sync_id).values()) == ["created", bad, "created", bad, "created"]


def test_a_helper_that_something_else_ended_once_fails_no_item(
    folder: Folder, mount: Mount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    once = f"""
    from pathlib import Path
    first = Path({str(tmp_path / "first")!r})
    if not first.exists():
        first.touch()
        documents.as_json = lambda data: os.kill(os.getpid(), signal.SIGKILL)
    """
    inject(monkeypatch, MARKED, once)
    folder.item("a", b"{}")
    assert [reading.problem for reading in folder.read(mount)] == [None]


VIOLATIONS = {
    "readings that are empty": "while True: yield wire.Readings([])",
    "another item": "yield wire.Readings([Reading(first + 7)], True)",
    "an unknown item": "yield wire.Readings([Reading(10**6)], True)",
    "an item twice": "yield wire.Readings([Reading(first), Reading(first)], True)",
    "the second item first": "yield wire.Readings([Reading(first + 1), Reading(first)], True)",
    "too many": "yield wire.Readings([Reading(first + n) for n in range(len(request.items) + 1)], True)",
    "an end without a reading": "yield wire.Readings([], True)",
    "an end within a reading": "yield wire.Readings([Reading(first, is_partial=True)], True)",
    "a part of another item": "yield wire.Readings([Reading(first, is_partial=True), Reading(first + 1)], True)",
    "another kind of reply": "yield wire.RootInfo(1)",
    "what is not MessagePack": 'yield b"\\x03" + bytes(7) + b"\\xc1\\xc1\\xc1"',
    "what is not a reply": 'yield b"\\x01" + bytes(7) + b"\\x07"',
    "a frame without an end": 'yield b"\\xff" * 8',
}


@pytest.mark.parametrize("mount", [1], indirect=True)
@pytest.mark.parametrize("violation", VIOLATIONS)
def test_what_breaks_the_protocol_is_not_accepted(
    folder: Folder, mount: Mount, monkeypatch: pytest.MonkeyPatch, violation: str
) -> None:
    wanted = [ItemRequest(e.ordinal, str(e.path), ()) for e in (folder.item("a"), folder.item("b"))]
    inject(monkeypatch, ANSWERING.format(replies=VIOLATIONS[violation]))
    with pytest.raises(HelperFailed, match="does not answer"):
        list(mount.read_items(wanted))
    readings = folder.read(mount)
    assert {reading.reason for reading in readings} == {Reason.FILE_UNREADABLE}
    monkeypatch.undo()
    assert [reading.problem for reading in folder.read(mount)] == [None, None], "the helper was not replaced"


@pytest.mark.parametrize("mount", [1], indirect=True)
def test_signs_of_life_without_progress_do_not_extend_the_deadline(
    folder: Folder, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    inject(monkeypatch, ANSWERING.format(replies="while True: yield wire.Progress(0)"))
    mount.settings = mount.settings.model_copy(update={"deadline": 0.2})
    with pytest.raises(MountSilent, match="the deadline passed"):
        list(mount.read_items([ItemRequest(0, str(folder.item("a").path), ())]))


@pytest.mark.soak
@pytest.mark.parametrize("window", [1, 2500, 4000] if IS_SOAK else [2500])
def test_items_at_fault_are_found_although_not_all_fit_into_memory(
    folder: Folder, mount: Mount, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    inject(monkeypatch, QUICK, MARKED)
    monkeypatch.setattr("ingestd.mount.attempt.READ_WINDOW", window)
    mount.settings = mount.settings.model_copy(update={"deadline": SILENCE, "settle_seconds": 0.01})
    fatal = {3: b'"hang"', 5: b'"kill"'} | ({0: b'"hang"'} if IS_SOAK else {})
    for number in range(10):
        folder.item(f"{number}", b'"' + b"x" * 1000 + b'"', fatal.get(number, b"{}"))
    readings = folder.read(mount)
    assert [reading.ordinal for reading in readings] == [*range(10)]
    assert [reading.ordinal for reading in readings if reading.problem] == sorted(fatal)
    assert {len(reading.documents) for reading in readings if not reading.problem} == {2}
