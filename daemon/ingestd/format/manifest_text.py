"""The text of a manifest, split into its envelope and the raw elements of its two lists. Pure.

Time and memory are linear in the length of the text, whatever the text: nothing is decoded before its length is known
to be within a limit.
"""

from collections.abc import Iterator, Mapping
from functools import partial

import msgspec

from ingestd.errors import ManifestError, ManifestOverLimit, ManifestUnsettled
from ingestd.format.fields import BadEntry, Limits, short_repr
from ingestd.format.json_splitter import (
    Alive,
    NotJson,
    TooDeep,
    TooMany,
    count_elements,
    elements,
    space_end,
    still_alive,
)
from ingestd.format.nesting import MAX_NESTING
from ingestd.format.object_splitter import Array, SplitObject, TooLong, split_object
from ingestd.format.strict_json import LONE_SURROGATE, text_problem, without_surrogates

Raw = msgspec.Raw | bytes

LISTS = ("items", "containers")
SHORT = 2**16
MIN_BYTES_PER_COMMA = 16
"""With fewer, a list may have so many elements that an object for each takes much more memory than the text."""
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class _Lists(msgspec.Struct):
    items: msgspec.Raw = msgspec.Raw(b"")
    containers: msgspec.Raw = msgspec.Raw(b"")


_decode_lists = msgspec.json.Decoder(_Lists).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_check_syntax = msgspec.json.Decoder(msgspec.Raw).decode


class ManifestText:
    """A manifest that is split, but not checked. `envelope` is its text without the elements of its lists.

    Raises ManifestUnsettled when the bytes are not complete JSON (they may be half-written), and ManifestError when
    they cannot be split. Most manifests are split by a fast decoder. What it refuses, but may be due to a single entry,
    is split by brackets; then each element is checked by itself. `alive()` is called now and then.
    """

    def __init__(self, data: bytes, limits: Limits, alive: Alive = still_alive) -> None:
        if data.startswith(BYTE_ORDER_MARKS):
            raise ManifestError(["the manifest begins with a byte order mark; it must be UTF-8 without one"])
        self._data, self._limits, self._alive = data, limits, alive
        self._counts = dict.fromkeys(LISTS, 0)
        self._raws: dict[str, list[msgspec.Raw]] = {}
        self._decoded = self._decode()
        split = self._split()
        self._arrays, self.envelope = split.arrays, split.rest
        self.fields = self._decode_envelope()

    @property
    def item_count(self) -> int:
        return self._counts["items"]

    @property
    def container_count(self) -> int:
        return self._counts["containers"]

    def items(self) -> Iterator[Raw]:
        return self._elements("items")

    def containers(self) -> Iterator[Raw]:
        return self._elements("containers")

    def _decode(self) -> _Lists | None:
        """The raw lists, if a decoder accepts the whole text; None if a single entry may be why it does not."""
        try:
            return _decode_lists(self._data)
        except msgspec.ValidationError:
            raise ManifestError(["the manifest is not a JSON object"]) from None
        except RecursionError:
            return None
        except ValueError as error:
            if self._data[-SHORT:].rstrip().endswith(b"}") and LONE_SURROGATE.search(self._data):
                return None
            raise ManifestUnsettled([f"the manifest is not complete JSON: {error}"]) from None

    def _split(self) -> SplitObject:
        limit = self._limits.max_envelope_bytes
        try:
            split = split_object(self._data, self._array_ends(), limit, MAX_NESTING)
            if space_end(self._data, split.end) < len(self._data):
                raise NotJson(split.end)
            return split
        except NotJson as error:
            raise ManifestUnsettled([f"the manifest is not complete JSON: it {error}"]) from None
        except BadEntry as bad:
            raise ManifestError([bad.problem]) from None
        except TooDeep:
            raise ManifestError([f"nested deeper than {MAX_NESTING} levels"]) from None
        except TooLong as error:
            problem = f"the envelope, all but the elements of `items` and `containers`, has more than {limit} bytes"
            place = f"(mount.max_envelope_bytes), exceeded in {short_repr(error.key)}"
            raise ManifestOverLimit([f"{problem} {place}"]) from None

    def _array_ends(self) -> Mapping[str, Array]:
        """The text of both lists, or functions that find the ends of them."""
        if self._decoded is None:
            return {key: partial(self._measure, key) for key in LISTS}
        raws = {"items": self._decoded.items, "containers": self._decoded.containers}
        is_dense = self._is_dense()
        for key, raw in raws.items():
            if bytes(memoryview(raw)[:1]) == b"[" and not is_dense:
                self._raws[key] = _decode_raws(raw)
                self._set_count(key, len(self._raws[key]))
        return {
            key: partial(self._measure, key) if key not in self._raws else memoryview(raw) for key, raw in raws.items()
        }

    def _is_dense(self) -> bool:
        return len(self._data) > SHORT and self._data.count(b",") * MIN_BYTES_PER_COMMA > len(self._data)

    def _measure(self, key: str, start: int) -> int:
        try:
            count, end = count_elements(self._data, start, self._max_count(key), self._alive)
        except TooMany:
            count, end = self._max_count(key) + 1, 0
        self._set_count(key, count)
        return end

    def _max_count(self, key: str) -> int:
        return self._limits.max_items if key == "items" else self._limits.max_containers

    def _set_count(self, key: str, count: int) -> None:
        if count > self._max_count(key):
            raise ManifestOverLimit([f"{key}: more than mount.max_{key} = {self._max_count(key)}"])
        self._counts[key] = count

    def _decode_envelope(self) -> dict[str, msgspec.Raw]:
        try:
            return _decode_fields(self.envelope)
        except ValueError as error:
            if (problem := text_problem(self.envelope)) is not None:
                raise ManifestError([problem]) from None
            raise ManifestUnsettled([f"the manifest is not complete JSON: {error}"]) from None

    def _elements(self, key: str) -> Iterator[Raw]:
        """The elements of a list. Raises ManifestUnsettled at one that is not JSON."""
        if key in self._raws:
            raws = self._raws.pop(key)[::-1]
            while raws:  # objects for a million elements take much memory, while what is made of them grows
                yield raws.pop()
        elif key in self._arrays:
            for raw in elements(self._data, self._arrays[key][0], self._alive):
                if isinstance(raw, bytes) and self._decoded is None:
                    self._check_element(raw)
                yield raw

    def _check_element(self, raw: bytes) -> None:
        """Raises ManifestUnsettled unless an element is JSON, but for its unpaired surrogates and its depth."""
        if len(raw) > self._limits.max_entry_bytes:
            return
        try:
            _check_syntax(without_surrogates(raw))
        except RecursionError:
            return
        except ValueError as error:
            raise ManifestUnsettled([f"the manifest is not complete JSON: {error}"]) from None
