"""Makes a bundle from a folder of media files, for trials: complete, valid, and never visible half-written."""

import hashlib
import os
import platform
import secrets
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from ingestd.errors import BundleError
from ingestd.format.check import check_manifest
from ingestd.make.media import MIME, Media, rfc3339
from ingestd.mount.paths import printable

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Made:
    """The bundle that was made. `skipped`: files that are no media; `duplicates`: files with the content of another."""

    sync_id: str
    items: int
    bytes: int
    manifest: Path
    skipped: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class _Order:
    """What the caller wants of the bundle."""

    sync_id: str
    action: str
    kind: str
    prior: str | None
    gallery: str | None
    created_at: str


def make_bundle(
    media: Path,
    root: Path,
    *,
    action: str = "create",
    kind: str = "photo-set",
    prior: str | None = None,
    gallery: str | None = None,
    sync_id: str | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Made:
    """Makes a bundle below `root` from the media files of a folder and of the folders in it.

    `kind` is the manifest's type; `gallery` the title of a gallery of all items; `on_progress` is told how many files
    are done, of how many. Raises BundleError.
    """
    order = _Order(sync_id or str(uuid.uuid4()), action, kind, prior, gallery, _now())
    _demand_sound(order)
    found, skipped = _find(media, root)
    items: dict[str, Media] = {}
    for done, path in enumerate(found, start=1):
        one = _digest(path, media)
        if items.setdefault(one.hash, one) is one and action != "remove":
            _write_item(root / one.folder, one)
        on_progress(done, len(found))
    manifest = _hand_over(root, order, list(items.values()))
    size = sum(one.bytes for one in items.values())
    return Made(order.sync_id, len(items), size, manifest, skipped, len(found) - len(items))


def _demand_sound(order: _Order) -> None:
    """Raises for what would make the manifest invalid, before anything is written."""
    try:
        problems = check_manifest(_manifest(order, []), file_name=f"{order.sync_id}.json").problems
    except orjson.JSONEncodeError:
        problems = ["they are not UTF-8"]
    if problems:
        raise BundleError(f"no bundle can be made with these options: {'; '.join(problems)}")


def _find(media: Path, root: Path) -> tuple[list[Path], int]:
    """The media files in order of path, and the number of other files; links count as such: they may lead anywhere."""
    if not media.is_dir():
        raise BundleError(f"{printable(str(media))} is not a folder; name the folder that holds the media files")
    if media.resolve() == root.resolve():
        raise BundleError(f"{printable(str(root))} holds the media files; choose another folder for the bundle")
    files = list(_walk(media, root))
    found = sorted((path for path in files if _is_media(path)), key=os.fsencode)
    if not found:
        kinds = " ".join(suffix[1:] for suffix in MIME)
        raise BundleError(f"no media files below {printable(str(media))}; the bundle takes files that end in: {kinds}")
    return found, len(files) - len(found)


def _walk(media: Path, root: Path) -> Iterator[Path]:
    bundles = root.resolve()
    with _reading(media):
        for folder, folders, names in os.walk(media, onerror=_raise):
            here = Path(folder)
            folders[:] = [name for name in folders if (here / name).resolve() != bundles]
            yield from (here / name for name in names)


def _raise(error: OSError) -> None:
    raise error


def _is_media(path: Path) -> bool:
    with _reading(path):
        return path.suffix.lower() in MIME and stat.S_ISREG(path.lstat().st_mode)


def _digest(path: Path, media: Path) -> Media:
    with _reading(path), path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        found = os.fstat(file.fileno())
    return Media(path, printable(str(path.relative_to(media))), found.st_size, found.st_mtime, sha256)


def _write_item(folder: Path, one: Media) -> None:
    documents = folder / "source" / "data"
    with _writing(folder):
        documents.mkdir(parents=True, exist_ok=True)
    _copy(one, folder / one.file_name)
    _write(documents.parent / "source.json", [_json(one.source())])
    _write(documents / "photo.manifest.json", [_json(one.metadata())])


def _copy(one: Media, target: Path) -> None:
    """Copies the file, and makes sure that it still has the content which the manifest will promise."""
    digest = hashlib.sha256()
    with _reading(one.path), one.path.open("rb") as file:
        _write(target, _blocks(one.path, file, digest.update))
    if digest.hexdigest() != one.sha256:
        problem = f"{printable(str(one.path))} changed while it was read"
        raise BundleError(f"{problem}; make the bundle again when nothing writes to the file")


def _blocks(path: Path, file: BinaryIO, watch: Callable[[bytes], None]) -> Iterator[bytes]:
    while True:
        with _reading(path):
            block = file.read(BLOCK)
        if not block:
            return
        watch(block)
        yield block


def _hand_over(root: Path, order: _Order, items: list[Media]) -> Path:
    """Writes the manifest, then the sentinel: whoever sees the sentinel finds all the rest."""
    sync = root / "sync"
    with _writing(sync):
        sync.mkdir(parents=True, exist_ok=True)
    manifest = sync / f"{order.sync_id}.json"
    _write(manifest, [_manifest(order, items)])
    _write(sync / f"{order.sync_id}.ready", [])
    return manifest


def _manifest(order: _Order, items: list[Media]) -> bytes:
    removing = order.action == "remove"
    return _json(
        {
            "sync_id": order.sync_id,
            "type": order.kind,
            "action": order.action,
            "status": "completed",
            "source_host": platform.node() or None,
            "created_at": order.created_at,
            "completed_at": _now(),
            "prior_sync_id": order.prior,
            "verification": {"passed": True, "total_files": 0 if removing else len(items)},
            "items": [_identity(one) if removing else _entry(one) for one in items],
            "containers": list(_containers(order, items)),
        }
    )


def _identity(one: Media) -> dict[str, Any]:
    return {"type": one.type, "hash": one.hash}


def _entry(one: Media) -> dict[str, Any]:
    file = {"variant": "original", "path": one.file_name, "bytes": one.bytes, "sha256": one.sha256}
    return {**_identity(one), "path": one.folder, "title": one.title, "files": [file]}


def _containers(order: _Order, items: list[Media]) -> Iterator[dict[str, Any]]:
    if order.gallery is not None:
        hash_ = hashlib.sha256(f"gallery {order.sync_id}".encode()).hexdigest()[:32]
        members = [one.hash for one in items]
        yield {"type": "gallery", "hash": hash_, "title": order.gallery, "items": members, "complete": True}


def _write(path: Path, parts: Iterable[bytes]) -> None:
    """Writes a file so that it is there as a whole or not at all, also after a power cut."""
    part = path.parent / f".{secrets.token_hex(8)}.part"
    with _writing(path):
        try:
            with part.open("xb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(f"cannot read {printable(str(path))}: {error.strerror}; mend it or move it away") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"cannot write {printable(str(path))}: {error.strerror}"
        raise BundleError(f"{reason}; choose a folder that you may write to and that has room") from error


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n"


def _now() -> str:
    return rfc3339(datetime.now(UTC))
