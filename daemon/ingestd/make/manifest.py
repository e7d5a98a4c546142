"""The manifest of a bundle that is made from media files."""

import hashlib
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from ingestd.errors import BundleError
from ingestd.format.check import check_manifest
from ingestd.make.media import MediaFile, rfc3339


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """The caller's choices. `type` is the manifest's type; `gallery` the title of a gallery of all items."""

    sync_id: str
    action: str
    type: str
    prior: str | None
    gallery: str | None
    created_at: str


def require_valid(options: BundleOptions) -> None:
    """Raises BundleError if a manifest with these options would be invalid."""
    try:
        problems = check_manifest(encode_manifest(options, []), file_name=f"{options.sync_id}.json").problems
    except orjson.JSONEncodeError:
        problems = ["they are not UTF-8"]
    if problems:
        raise BundleError(f"no bundle can be made with these options: {'; '.join(problems)}")


def encode_manifest(options: BundleOptions, media: Sequence[MediaFile]) -> bytes:
    """The manifest as indented JSON, completed now."""
    is_removal = options.action == "remove"
    return as_json(
        {
            "sync_id": options.sync_id,
            "type": options.type,
            "action": options.action,
            "status": "completed",
            "source_host": platform.node() or None,
            "created_at": options.created_at,
            "completed_at": now(),
            "prior_sync_id": options.prior,
            "verification": {"passed": True, "total_files": 0 if is_removal else len(media)},
            "items": [_identity(file) if is_removal else _item(file) for file in media],
            "containers": list(_containers(options, media)),
        }
    )


def _identity(file: MediaFile) -> dict[str, Any]:
    return {"type": file.type, "hash": file.hash}


def _item(file: MediaFile) -> dict[str, Any]:
    original = {"variant": "original", "path": file.file_name, "bytes": file.bytes, "sha256": file.sha256}
    return {**_identity(file), "path": file.folder, "title": file.title, "files": [original]}


def _containers(options: BundleOptions, media: Sequence[MediaFile]) -> Iterator[dict[str, Any]]:
    if options.gallery is not None:
        hash_ = hashlib.sha256(f"gallery {options.sync_id}".encode()).hexdigest()[:32]
        members = [file.hash for file in media]
        yield {"type": "gallery", "hash": hash_, "title": options.gallery, "items": members, "complete": True}


def as_json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n"


def now() -> str:
    return rfc3339(datetime.now(UTC))
