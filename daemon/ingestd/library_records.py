"""What the rows of the library say, as far as decisions depend on it: assets, covers, containers and members.

Each statement has the version of the bundle that made it. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from ingestd.model import Version


class StoredAsset(msgspec.Struct, frozen=True, gc=False):
    """The columns of an asset row that decisions depend on. There are as many as items, so it is made cheaply.

    `asset_type` None: no bundle delivered or removed it yet; it was named as a member, or as the parent of a cover.
    """

    id: int
    asset_type: str | None
    hash: str
    entry_sha256: str | None
    documents_sha256: str | None
    deleted: bool
    version: Version | None


@dataclass(frozen=True, slots=True)
class CoverFile:
    """The file of a cover; without a path there is none, or it was not delivered."""

    path: str | None = None
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Cover:
    """One cover of an asset, and the newest bundle that linked it, unlinked it, and delivered its file.

    `unlinked` is None where a newer bundle has linked it again.
    """

    hash: str
    linked: Version | None = None
    unlinked: Version | None = None
    delivered: Version | None = None
    file: CoverFile = CoverFile()


@dataclass(frozen=True, slots=True)
class Covers:
    """What bundles have stated about the covers of one asset: the one that was linked last, and all others by hash."""

    last: Cover | None = None
    others: Mapping[str, Cover] = field(default_factory=dict)

    @property
    def visible(self) -> tuple[str, CoverFile] | None:
        """The cover that readers see, with its file, where they see the asset."""
        return None if self.last is None or self.last.unlinked is not None else (self.last.hash, self.last.file)


@dataclass(frozen=True, slots=True)
class StoredContainer:
    """The columns of a gallery or collection row that decisions depend on.

    `titled` is the version of the newest list with a title, `complete` that of the newest complete list.
    """

    id: int
    hash: str
    title: str | None
    deleted: bool
    version: Version | None
    titled: Version | None
    complete: Version | None


@dataclass(frozen=True, slots=True)
class Member:
    """One membership row of a container."""

    asset_id: int
    position: int
    deleted: bool
    version: Version | None
