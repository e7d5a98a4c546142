"""What reading and parsing a long manifest takes of memory, in bytes for each byte of it."""

import hashlib
import tracemalloc
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ingestd.format.fields import Limits
from ingestd.format.manifest_parser import parse_parts
from ingestd.mount.manifests import send_manifest
from ingestd.mount.mount_ids import unique_mount_id
from ingestd.mount.wire import ManifestHead, ReadManifest
from support.manifests import SYNC_ID, encoded, photo

ITEMS = 20_000


def long_manifest() -> bytes:
    """As long as real ones are, at about 290 bytes an item."""
    text = "x" * 190
    return encoded(items=[photo(f"{number:032x}", path=f"photo/{number:032x}", title=text) for number in range(ITEMS)])


def peak(work: Callable[[], object]) -> int:
    """The most bytes that some work had allocated at one moment."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_reading_keeps_a_manifest_once(tmp_path: Path) -> None:
    data = long_manifest()
    (tmp_path / "sync").mkdir()
    (tmp_path / "sync" / f"{SYNC_ID}.json").write_bytes(data)
    (tmp_path / "sync" / f"{SYNC_ID}.ready").touch()
    request = ReadManifest(str(tmp_path), SYNC_ID, 2**30, Limits(), hashlib.sha256(data).hexdigest())
    sent: list[object] = []
    found = peak(lambda: send_manifest(request, sent.append, lambda: None))
    with (tmp_path / "sync" / f"{SYNC_ID}.json").open("rb") as file:
        mount_id = unique_mount_id(file.fileno())
    assert sent == [ManifestHead(request.known_sha256 or "", len(data), is_unchanged=True, mount_id=mount_id)]
    assert found < 1.3 * len(data)


def test_parsing_copies_nothing_and_keeps_little_of_each_item() -> None:
    """Not the text of its list once more, nor an object for each element until the end."""
    data = long_manifest()
    found = peak(lambda: deque(parse_parts(data, SYNC_ID, Limits()), maxlen=0))
    assert found < 0.8 * len(data)
