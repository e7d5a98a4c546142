"""Media files, and bundles made from them."""

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ingestd.format.check import check_manifest
from ingestd.format.manifest import Manifest, parse_manifest
from ingestd.make.bundle import MadeBundle, make_bundle
from ingestd.mount import items
from ingestd.mount.records import ItemRequest
from support.items import request_for


def image(kind: str = "JPEG", colour: tuple[int, int, int] = (9, 8, 7)) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x0112] = 6
    exif.get_ifd(0x8769).update({0x9003: "2026:04:12 21:35:35", 0x829A: 0.004, 0x927C: b"\0\xff"})
    written = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(written, kind, exif=exif)
    return written.getvalue()


@dataclass
class Place:
    """A folder with media files, and an assets root for the bundles made from it."""

    media: Path
    root: Path

    def put(self, name: str | bytes, content: bytes) -> str:
        """Writes a media file; returns the hash of the item it becomes."""
        path = Path(os.fsdecode(os.fsencode(self.media) + b"/" + os.fsencode(name)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return hashlib.sha256(content).hexdigest()[:32]

    def make(self, **options: Any) -> MadeBundle:
        return make_bundle(self.media, self.root, **options)

    def manifest(self, made: MadeBundle) -> Manifest:
        """The manifest, after checking that it is valid and matches its files."""
        data = made.manifest.read_bytes()
        assert check_manifest(data, file_name=made.manifest.name).problems == []
        manifest = parse_manifest(data, sync_id=made.sync_id)
        assert not any(map(manifest.index.problem, manifest.entries()))
        self._demand_files(manifest)
        return manifest

    def _demand_files(self, manifest: Manifest) -> None:
        root = os.open(self.root, os.O_RDONLY)
        for entry in manifest.entries():
            if entry.path:
                want = ItemRequest(entry.ordinal, entry.path, entry.files)
                request = request_for("", [want], verify="sha256", limit=4 << 20)
                reading = items.ItemReader(root, request).read(want)
                assert reading.problem is None
                assert [document.kind for document in reading.documents] == ["source", "photo_manifest"]
        os.close(root)

    def document(self, item: str, name: str) -> Any:
        return json.loads((self.root / item / "source" / name).read_bytes())

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())
