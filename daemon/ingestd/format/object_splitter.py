"""Separates the few long arrays of a JSON object from the rest of it, which must be short. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from ingestd.format.fields import BadEntry, short_repr
from ingestd.format.json_splitter import NotJson, key_at, space_end, value_end
from ingestd.model import Reason

MeasureArray = Callable[[int], int]
Array = bytes | memoryview | MeasureArray
"""The text of an array, or a function that finds the end of the one that begins at an offset."""


class TooLong(ValueError):
    """An object without its long arrays has too many bytes; `key` is where the limit is exceeded."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


@dataclass(slots=True)
class SplitObject:
    """`rest`: the object with its long arrays empty. `arrays`: where each begins and ends. `end`: of the object."""

    rest: bytes = b""
    arrays: dict[str, tuple[int, int]] = field(default_factory=dict)
    end: int = 0


def split_object(data: bytes, arrays: Mapping[str, Array], max_bytes: int, max_depth: int) -> SplitObject:
    """Splits the object that `data` begins with; what follows it is left to the caller.

    `arrays` are the keys whose arrays may be long. Raises BadEntry for a key that appears twice, NotJson, TooDeep,
    TooLong.
    """
    return _Splitter(data, arrays, max_bytes, max_depth).split()


class _Splitter:
    def __init__(self, data: bytes, arrays: Mapping[str, Array], max_bytes: int, max_depth: int) -> None:
        self._data, self._long = data, arrays
        self._max_bytes, self._max_depth = max_bytes, max_depth - 1
        self._rest: list[bytes] = []
        self._rest_bytes = self._kept_to = 0
        self._keys: set[str] = set()
        self._arrays: dict[str, tuple[int, int]] = {}

    def split(self) -> SplitObject:
        data = self._data
        at = space_end(data, 0)
        if data[at : at + 1] != b"{":
            raise NotJson(at)
        at = space_end(data, at + 1)
        while data[at : at + 1] != b"}":
            at = space_end(data, self._field(at))
            if data[at : at + 1] == b",":
                at += 1
            elif data[at : at + 1] != b"}":
                raise NotJson(at)
        self._keep_to(at + 1, "}")
        return SplitObject(b"".join(self._rest), self._arrays, at + 1)

    def _field(self, start: int) -> int:
        """Where the field that begins at `start` ends."""
        found = key_at(self._data, start)
        if found is None:
            raise NotJson(start)
        raw, at = found
        key = _decode_key(raw)
        if key in self._keys:
            raise BadEntry(Reason.BAD_ENTRY, f"key {short_repr(key)} appears twice")
        self._keys.add(key)
        if key in self._long and self._data[at : at + 1] == b"[":
            return self._array(key, at)
        room = self._max_bytes - self._rest_bytes + self._kept_to
        end = value_end(self._data, at, limit=min(room, len(self._data)), max_depth=self._max_depth)
        if end is None:
            raise TooLong(key)
        return end

    def _array(self, key: str, start: int) -> int:
        """Where a long array ends."""
        self._keep_to(start, key)
        known = self._long[key]
        if callable(known):
            end = known(start)
        elif self._data.startswith(known, start):
            end = start + len(known)
        else:  # a decoder keeps the last of several
            raise BadEntry(Reason.BAD_ENTRY, f"key {short_repr(key)} appears twice")
        self._arrays[key] = (start, end)
        self._rest.append(b"[]")
        self._kept_to = end
        return end

    def _keep_to(self, end: int, key: str) -> None:
        """Keeps the text up to `end` as a part of the rest."""
        self._rest_bytes += end - self._kept_to
        if self._rest_bytes > self._max_bytes:
            raise TooLong(key)
        self._rest.append(self._data[self._kept_to : end])
        self._kept_to = end


def _decode_key(raw: bytes) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except ValueError:
        raise BadEntry(Reason.BAD_ENTRY, f"the key {short_repr(raw.decode(errors='replace'))} is not text") from None
