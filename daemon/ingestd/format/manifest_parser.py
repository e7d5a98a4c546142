"""Parses a manifest into its envelope, blocks of encoded records, and its index. Pure."""

from collections.abc import Iterator

from ingestd.errors import ManifestError
from ingestd.format.container import parse_container
from ingestd.format.entry import MIN_IDENTITY_BYTES, parse_entry
from ingestd.format.envelope import EnvelopeReader
from ingestd.format.fields import Limits
from ingestd.format.json_splitter import Alive, still_alive
from ingestd.format.manifest_index import IndexBuilder, ManifestIndex
from ingestd.format.manifest_text import ManifestText
from ingestd.format.records import Block, Envelope, blocks, encode_record, entry_record
from ingestd.format.strict_json import check_json

Part = Envelope | Block | ManifestIndex


def parse_parts(data: bytes, sync_id: str | None, limits: Limits, alive: Alive = still_alive) -> Iterator[Part]:
    """The envelope, the blocks of records, and last the index. `sync_id`: the one in the file's name, if it has one.

    Raises ManifestUnsettled when the bytes are not complete JSON (they may be half-written), otherwise ManifestError
    with every problem of the envelope. `alive()` is called now and then.
    """
    text = ManifestText(data, limits, alive)
    yield read_envelope(text, sync_id)
    index = IndexBuilder()
    yield from blocks("items", _item_records(text, limits, index))
    yield from blocks("containers", _container_records(text, limits))
    yield index.finish()


def read_envelope(text: ManifestText, sync_id: str | None) -> Envelope:
    """The checked envelope. Raises ManifestError with all its problems."""
    reader = EnvelopeReader(text.fields)
    reader.check(lambda: check_json(text.envelope))
    found = reader.read(sync_id)
    if reader.problems or found is None:
        raise ManifestError(reader.problems)
    return Envelope(**found, item_count=text.item_count, container_count=text.container_count)


def _item_records(text: ManifestText, limits: Limits, index: IndexBuilder) -> Iterator[bytes]:
    """The records of all items. One that is too short for an identity is kept as JSON: it fails, whatever it says."""
    max_bytes = limits.max_entry_bytes
    for ordinal, raw in enumerate(text.items()):
        if len(raw) < MIN_IDENTITY_BYTES:
            index.add_without_identity()
            yield bytes(raw)
            continue
        entry = parse_entry(ordinal, raw, max_bytes)
        index.add(entry)
        yield entry_record(entry, raw)


def _container_records(text: ManifestText, limits: Limits) -> Iterator[bytes]:
    return (encode_record(parse_container(ordinal, raw, limits)) for ordinal, raw in enumerate(text.containers()))
