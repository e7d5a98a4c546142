"""Counts of the rows that a batch takes out of sight, for the limit on removals. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Removals:
    """How many rows are taken out of sight: assets, files (covers count as files) and members of containers."""

    assets: int = 0
    files: int = 0
    members: int = 0

    @property
    def total(self) -> int:
        return self.assets + self.files + self.members

    def __add__(self, other: "Removals") -> "Removals":
        return Removals(self.assets + other.assets, self.files + other.files, self.members + other.members)

    def at_most(self, other: "Removals") -> "Removals":
        """The lesser count of each kind."""
        return Removals(min(self.assets, other.assets), min(self.files, other.files), min(self.members, other.members))

    def at_least(self, other: "Removals") -> "Removals":
        """The greater count of each kind."""
        return Removals(max(self.assets, other.assets), max(self.files, other.files), max(self.members, other.members))

    def as_dict(self) -> dict[str, int]:
        return {"assets": self.assets, "files": self.files, "members": self.members}

    def __str__(self) -> str:
        """The counts in words: "3 assets, 1 file"."""
        counts = [(self.assets, "asset"), (self.files, "file"), (self.members, "container member")]
        return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count) or "nothing"


NO_REMOVALS = Removals()


@dataclass(frozen=True, slots=True)
class StoredRemovals:
    """What a batch takes out of sight: `removed` so far, under any of its manifests; `approved` of it with approval.

    `expected` includes what was removed, and what the present manifest would still remove by its last plan. `refused`
    is what was expected when the batch was held.
    """

    removed: Removals = NO_REMOVALS
    expected: Removals = NO_REMOVALS
    refused: Removals = NO_REMOVALS
    approved: int = 0
    is_held: bool = False

    @property
    def has_more(self) -> bool:
        """Whether anything is still to be removed."""
        return self.expected != self.removed

    @property
    def unapproved(self) -> int:
        """How many of the expected rows are not approved."""
        return self.expected.total - self.approved
