"""The reader of items: what hangs, dies or is replaced says nothing about a file."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestd.errors import MountSilent, MountUnavailable
from ingestd.format.entry import File
from ingestd.model import Reason
from ingestd.mount import helper, items, wire
from ingestd.mount.inbox import Inbox
from ingestd.mount.reader import ItemReader
from ingestd.mount.records import ItemRequest, Reading
from ingestd.mount.replies import ReplyChannel
from support.items import request_for
from support.real_mount import (
    LATE,
    SOON,
    MakeMount,
    entry,
    freeze_helpers,
    refuse_pause,
    replace_root,
    set_deadline,
    void,
)


def test_what_is_absent_is_looked_for_again_while_the_bundle_is_fresh(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount()
    late = entry(root, "late", files=(File("original", "a.jpg"),))
    folder, hidden = root / str(late.path), root / "not-listed-yet"
    (folder / "a.jpg").touch()
    folder.rename(hidden)
    identity = mount.check()
    settled = ItemReader(mount, identity, refuse_pause).read([late])[late.ordinal]
    assert settled.reason is Reason.FILE_MISSING
    shows, deadline = [hidden], time.monotonic() + 60.0
    reader = ItemReader(mount, identity, lambda _s: void(shows.pop().rename(folder)), fresh_until=deadline)
    fresh = reader.read([late])[late.ordinal]
    assert (fresh.problem, len(fresh.documents)) == (None, 1)


def test_the_reader_reads_documents_and_reports_progress(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount()
    entries = [entry(root, "a"), entry(root, "b")]
    progress: list[int] = []
    readings = ItemReader(mount, mount.check(), refuse_pause, progress.append).read(entries)
    assert [readings[e.ordinal].documents[0].text for e in entries] == [b'{"name": "a"}', b'{"name": "b"}']
    assert sum(progress) == 26


def test_reader_tries_again_until_it_passes(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount(settle_seconds=LATE)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) < 3:
            freeze_helpers(mount)
        else:
            set_deadline(mount, LATE)

    reader = ItemReader(mount, mount.check(), pause)
    freeze_helpers(mount)
    entries = [entry(root, "a"), entry(root, "b")]
    readings = reader.read(entries)
    assert [readings[e.ordinal].problem for e in entries] == [None, None]
    assert [readings[e.ordinal].documents[0].text for e in entries] == [b'{"name": "a"}', b'{"name": "b"}']
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


def test_reader_gives_up_after_its_time(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount(settle_seconds=SOON)
    reader = ItemReader(mount, mount.check(), lambda _seconds: void(freeze_helpers(mount)))
    freeze_helpers(mount)
    one = entry(root, "a")
    reading = reader.read([one])[one.ordinal]
    assert reading.reason is Reason.FILE_UNREADABLE
    assert "does not answer" in (reading.problem or "")


def test_silent_items_do_not_keep_the_others_from_being_read(
    make_mount: MakeMount, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = make_mount(settle_seconds=60.0)
    entries = [entry(root, name) for name in "abcd"]
    silent = {entries[0].ordinal, entries[2].ordinal}
    good = {entries[1].ordinal, entries[3].ordinal}
    read_items = mount.read_items
    arrived: set[int] = set()
    rounds: list[float] = []

    def read_until_silence(
        wants: list[ItemRequest], on_bytes: Callable[[int], None], _room: int, **_others: object
    ) -> Iterator[Reading]:
        for want in wants:
            if want.ordinal in silent:
                raise MountSilent("silence")
            arrived.add(want.ordinal)
            yield from read_items([want], on_bytes)

    def pause(seconds: float) -> None:
        rounds.append(seconds)
        assert len(rounds) < 20, f"only {arrived} were read"
        if arrived >= good:
            silent.clear()

    monkeypatch.setattr(mount, "read_items", read_until_silence)
    readings = ItemReader(mount, mount.check(), pause).read(entries)
    assert [readings[e.ordinal].problem for e in entries] == [None] * 4


@pytest.mark.parametrize("workers", [1, 4])
def test_what_is_read_arrives_although_the_next_gives_no_answer(
    root: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    answered = threading.Event()
    wants = [ItemRequest(e.ordinal, e.path or "", ()) for e in (entry(root, name) for name in "abcd")]
    silent = wants[2].ordinal
    read_item = items.ItemReader.read

    def read_or_hang(self: items.ItemReader, want: ItemRequest) -> Reading:
        assert want.ordinal != silent or answered.wait(60.0)
        return read_item(self, want)

    monkeypatch.setattr(items.ItemReader, "read", read_or_hang)
    ours, theirs = os.pipe()
    request = request_for(str(root), wants, workers=workers)
    reading = threading.Thread(target=lambda: helper.read_items(request, ReplyChannel(theirs)))
    reading.start()
    try:
        inbox = Inbox(ours)
        first = next_ordinals(inbox)
        answered.set()
        second = next_ordinals(inbox)
    finally:
        answered.set()
        reading.join()
        os.close(ours)
        os.close(theirs)
    assert [first, second] == [[w.ordinal for w in wants[:2]], [w.ordinal for w in wants[2:]]]


def next_ordinals(inbox: Inbox) -> list[int]:
    """The items of the next readings; reports of progress are passed over."""
    reply: wire.Reply = wire.Progress(0)
    while isinstance(reply, wire.Progress):
        reply = wire.decode_reply(inbox.receive(wire.Deadline(30.0)) or b"")
    assert isinstance(reply, wire.Readings)
    return [reading.ordinal for reading in reply.readings]


def test_missing_file_is_the_items_fault(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount()
    one = entry(root, "a", files=(File("original", "0.jpg", 10),))
    reading = ItemReader(mount, mount.check(), refuse_pause).read([one])[one.ordinal]
    assert reading.reason is Reason.FILE_MISSING


def test_missing_file_on_a_replaced_mount_is_not(make_mount: MakeMount, root: Path, other_file_system: Path) -> None:
    mount = make_mount()
    one = entry(root, "a", files=(File("original", "0.jpg", 1),))
    (root / (one.path or "") / "0.jpg").write_bytes(b"x")
    reader = ItemReader(mount, mount.check(), refuse_pause)
    assert reader.read([one])[one.ordinal].problem is None
    replace_root(root, other_file_system)
    with pytest.raises(MountUnavailable, match="replaced"):
        reader.read([one])


def test_reader_stops_trying_when_the_mount_is_replaced(
    make_mount: MakeMount, root: Path, other_file_system: Path
) -> None:
    mount = make_mount(settle_seconds=3600.0)
    one = entry(root, "a")

    def pause(_seconds: float) -> None:
        freeze_helpers(mount)
        replace_root(root, other_file_system)

    reader = ItemReader(mount, mount.check(), pause)
    freeze_helpers(mount)
    with pytest.raises(MountUnavailable, match="replaced"):
        reader.read([one])


def test_error_of_the_pause_ends_the_trying(make_mount: MakeMount, root: Path) -> None:
    mount = make_mount()
    one = entry(root, "a")
    reader = ItemReader(mount, mount.check(), refuse_pause)
    freeze_helpers(mount)
    with pytest.raises(AssertionError, match="nothing to wait for"):
        reader.read([one])
