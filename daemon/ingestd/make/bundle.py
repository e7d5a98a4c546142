"""Makes a bundle from a folder of media files, for trials. It is complete and valid, and never visible half-written."""

import hashlib
import os
import stat
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingestd.errors import BundleError
from ingestd.make.manifest import BundleOptions, as_json, encode_manifest, now, require_valid
from ingestd.make.media import MIME, MediaFile
from ingestd.make.output import copy_file, make_folder, read_errors, write_file
from ingestd.mount.paths import printable


@dataclass(frozen=True, slots=True)
class MadeBundle:
    """The bundle in numbers. `skipped`: files that are not media; `duplicates`: files with the content of another."""

    sync_id: str
    items: int
    bytes: int
    manifest: Path
    skipped: int = 0
    duplicates: int = 0


def make_bundle(
    folder: Path,
    root: Path,
    *,
    action: str = "create",
    kind: str = "photo-set",
    prior: str | None = None,
    gallery: str | None = None,
    sync_id: str | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> MadeBundle:
    """Makes a bundle below `root` from the media files in `folder` and its subfolders.

    `kind` is the manifest's type; `gallery` the title of a gallery of all items; `on_progress` gets the number of
    files done and of all files. Raises BundleError.
    """
    options = BundleOptions(sync_id or str(uuid.uuid4()), action, kind, prior, gallery, now())
    require_valid(options)
    paths, skipped = _find_media(folder, root)
    media: dict[str, MediaFile] = {}
    for done, path in enumerate(paths, start=1):
        file = _inspect(path, folder)
        if media.setdefault(file.hash, file) is file and action != "remove":
            _write_item(root / file.folder, file)
        on_progress(done, len(paths))
    manifest = _hand_over(root, options, list(media.values()))
    size = sum(file.bytes for file in media.values())
    return MadeBundle(options.sync_id, len(media), size, manifest, skipped, len(paths) - len(media))


def _find_media(folder: Path, root: Path) -> tuple[list[Path], int]:
    """The media files in order of path, and the number of other files. Links count as others: they could lead out."""
    if not folder.is_dir():
        raise BundleError(f"{printable(str(folder))} is not a folder; name the folder with the media files")
    if folder.resolve() == root.resolve():
        raise BundleError(f"{printable(str(root))} holds the media files; choose another folder for the bundle")
    paths = list(_walk(folder, root))
    media = sorted((path for path in paths if _is_media(path)), key=os.fsencode)
    if not media:
        suffixes = " ".join(suffix[1:] for suffix in MIME)
        problem = f"no media files below {printable(str(folder))}"
        raise BundleError(f"{problem}; supported are files with these suffixes: {suffixes}")
    return media, len(paths) - len(media)


def _walk(folder: Path, root: Path) -> Iterator[Path]:
    """All files below a folder, without those of earlier bundles if the root is in there, too."""
    bundles = root.resolve()
    with read_errors(folder):
        for parent, folders, names in os.walk(folder, onerror=_raise):
            here = Path(parent)
            folders[:] = [name for name in folders if (here / name).resolve() != bundles]
            yield from (here / name for name in names)


def _raise(error: OSError) -> None:
    raise error


def _is_media(path: Path) -> bool:
    with read_errors(path):
        return path.suffix.lower() in MIME and stat.S_ISREG(path.lstat().st_mode)


def _inspect(path: Path, folder: Path) -> MediaFile:
    with read_errors(path), path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        found = os.fstat(file.fileno())
    return MediaFile(path, printable(str(path.relative_to(folder))), found.st_size, found.st_mtime, sha256)


def _write_item(folder: Path, file: MediaFile) -> None:
    documents = folder / "source" / "data"
    make_folder(documents)
    _copy(file, folder / file.file_name)
    write_file(documents.parent / "source.json", [as_json(file.source())])
    write_file(documents / "photo.manifest.json", [as_json(file.metadata())])


def _copy(file: MediaFile, target: Path) -> None:
    """Copies the file. Raises BundleError if its content is no longer the one that the manifest will list."""
    digest = hashlib.sha256()
    copy_file(file.path, target, digest.update)
    if digest.hexdigest() != file.sha256:
        problem = f"{printable(str(file.path))} changed while it was read"
        raise BundleError(f"{problem}; make the bundle again when nothing writes to the file")


def _hand_over(root: Path, options: BundleOptions, media: Sequence[MediaFile]) -> Path:
    """Writes the manifest and then the sentinel, so that the sentinel appears last."""
    sync = root / "sync"
    make_folder(sync)
    manifest = sync / f"{options.sync_id}.json"
    write_file(manifest, [encode_manifest(options, media)])
    write_file(sync / f"{options.sync_id}.ready", [])
    return manifest
