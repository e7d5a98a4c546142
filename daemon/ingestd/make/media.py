"""Media files: the supported types, and the items made from them."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingestd import __version__
from ingestd.format.fields import CLEAN_PATH
from ingestd.make.metadata import image_metadata
from ingestd.mount.paths import printable

PHOTOS = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
VIDEOS = {".mp4": "video/mp4", ".mov": "video/quicktime", ".mkv": "video/x-matroska", ".webm": "video/webm"}
MIME = PHOTOS | VIDEOS
"""Suffixes of media files, in lower case, and their MIME types."""

MAX_TITLE = 255


@dataclass(frozen=True, slots=True)
class MediaFile:
    """One file that becomes an item. `relative` is its printable path, `mtime` in seconds since the epoch."""

    path: Path
    relative: str
    bytes: int
    mtime: float
    sha256: str

    @property
    def type(self) -> str:
        return "photo" if self.suffix in PHOTOS else "video"

    @property
    def hash(self) -> str:
        """The item's hash: the first half of the content's SHA-256, so that equal content is one asset."""
        return self.sha256[:32]

    @property
    def folder(self) -> str:
        return f"{self.type}/{self.hash}"

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()

    @property
    def file_name(self) -> str:
        """The file's own name, or `original` if that is not a valid path or not printable."""
        name = self.path.name
        return name if name.isprintable() and CLEAN_PATH.fullmatch(name) else f"original{self.suffix}"

    @property
    def title(self) -> str:
        text = os.fsencode(self.path.stem).decode("utf-8", "replace")
        return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)[:MAX_TITLE]

    def source(self) -> dict[str, Any]:
        """The item's provenance, for its source/source.json."""
        return {
            "file_name": printable(self.path.name),
            "relative_path": self.relative,
            "modified_at": _time(self.mtime),
            "bytes": self.bytes,
            "sha256": self.sha256,
            "tool": "ingestd bundle make",
            "tool_version": __version__,
        }

    def metadata(self) -> dict[str, Any]:
        """Technical metadata of the file, for its source/data/photo.manifest.json."""
        known: dict[str, Any] = {"bytes": self.bytes, "mime": MIME[self.suffix]}
        return known | image_metadata(self.path) if self.type == "photo" else known


def rfc3339(moment: datetime) -> str:
    """A UTC time in the form that manifests use."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _time(seconds: float) -> str | None:
    try:
        return rfc3339(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return None
