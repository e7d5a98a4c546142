"""One chunk: its draft confirmed under lock, then written set-wise, in the caller's transaction.

The order of locks is the same for every writer: assets by hash, everything else below them.
"""

from collections.abc import Mapping, Sequence

from ingestd.bundle.files import SOURCE
from ingestd.model import Decision, Reason, Verdict, Version
from ingestd.pipeline import judge
from ingestd.pipeline.importer import cover
from ingestd.pipeline.importer.draft import Draft, Piece, draft
from ingestd.pipeline.judge import Bundle, Facts
from ingestd.store import item, ledger, library
from ingestd.store.db import Tx


def write(tx: Tx, batch_id: int, bundle: Bundle, drafted: Draft, again: bool = False) -> Sequence[Verdict]:
    """Writes library rows, item decisions and ledger events; returns what was decided of each piece.

    `again`: an earlier attempt met another writer, so that nothing the draft rests on may be taken for granted.
    """
    drafted = _confirmed(tx, bundle, drafted, again=again)
    if drafted.is_of_covers:
        cover.write(tx, bundle, drafted)
    else:
        _write_assets(tx, bundle, drafted)
    _record(tx, drafted)
    item.shift_tally(tx, batch_id, (piece.row for piece in drafted.pieces), drafted.verdicts)
    return drafted.verdicts


def _confirmed(tx: Tx, bundle: Bundle, drafted: Draft, *, again: bool) -> Draft:
    """The draft if the locked rows say what it was made from; otherwise one made from them.

    What was absent has no row to lock. If somebody inserts it meanwhile, our own INSERT fails and all starts over.
    """
    entries = [piece.entry for piece in drafted.pieces]
    if not (again or drafted.is_of_covers):
        entries = [entry for entry in entries if entry.asset_hash in drafted.facts.assets]
    facts = judge.gather(tx, bundle, entries, lock=True)
    return drafted if facts == drafted.facts else draft(bundle, drafted.pieces, facts)


def fail(tx: Tx, batch_id: int, piece: Piece, verdict: Verdict) -> None:
    """Writes that one item failed, and nothing else of it."""
    item.decide(tx, [(piece.row.id, verdict)])
    item.shift_tally(tx, batch_id, [piece.row], [verdict])
    ledger.append_items(tx, [piece.row.id])


def _record(tx: Tx, drafted: Draft) -> None:
    """Writes the decisions to the items, those without an error set-wise, and tells all of them to the ledger."""
    alike: dict[tuple[Decision, Reason | None], list[int]] = {}
    single = []
    for piece, verdict in drafted.decided():
        if verdict.error is None:
            alike.setdefault((verdict.decision, verdict.reason), []).append(piece.row.id)
        else:
            single.append((piece.row.id, verdict))
    for (decision, reason), ids in alike.items():
        item.decide_alike(tx, ids, decision, reason)
    item.decide(tx, single)
    ledger.append_items(tx, [piece.row.id for piece in drafted.pieces])


def _write_assets(tx: Tx, bundle: Bundle, drafted: Draft) -> None:
    known = {hash_: asset.id for hash_, asset in drafted.facts.assets.items()}
    # INSERT never overwrites: whoever else inserted one of them meanwhile makes this transaction start over.
    library.insert_assets(tx, bundle.version, drafted.inserts)
    library.update_assets(tx, bundle.version, drafted.updates)
    library.retire(tx, _ids(drafted.by_hash(Decision.UPDATED), known))
    library.remove_assets(tx, bundle.version, _ids(drafted.by_hash(Decision.REMOVED), known))
    advancing = [piece for piece, verdict in drafted.decided() if verdict.advances]
    library.advance_assets(tx, bundle.version, _ids(advancing, known))
    library.write_files(tx, bundle.version, drafted.files)
    _write_more(tx, bundle, drafted, known)


def _ids(pieces: Sequence[Piece], known: Mapping[str, int]) -> list[int]:
    return sorted(known[piece.entry.asset_hash] for piece in pieces)


def _write_more(tx: Tx, bundle: Bundle, drafted: Draft, known: Mapping[str, int]) -> None:
    """Documents and own covers, for which the ids of new assets are asked; many items have neither."""
    written = drafted.by_hash(Decision.CREATED, Decision.UPDATED)
    more = [piece for piece in written if piece.reading.documents or piece.entry.cover_hash]
    new = [piece.entry.asset_hash for piece in more if piece.entry.asset_hash not in known]
    ids = {**known, **library.live_assets(tx, new)}
    more.sort(key=lambda piece: ids[piece.entry.asset_hash])
    _write_documents(tx, bundle.version, more, ids)
    _link_own_covers(tx, bundle, drafted.facts, more, ids)


def _write_documents(tx: Tx, version: Version, pieces: Sequence[Piece], ids: Mapping[str, int]) -> None:
    """In order of asset; whatever was current before is retired already."""
    sources: list[tuple[int, str, str]] = []
    ai_runs: list[tuple[int, str, str, str]] = []
    for piece in pieces:
        asset_id = ids[piece.entry.asset_hash]
        for document in sorted(piece.reading.documents, key=lambda d: (d.kind, d.sha256)):
            if document.kind == SOURCE:
                sources.append((asset_id, document.sha256, document.text))
            else:
                ai_runs.append((asset_id, document.kind, document.sha256, document.text))
    library.write_sources(tx, version, sources)
    library.write_ai_runs(tx, version, ai_runs)


def _link_own_covers(tx: Tx, bundle: Bundle, facts: Facts, pieces: Sequence[Piece], ids: Mapping[str, int]) -> None:
    rows = []
    for piece in pieces:
        own = judge.own_cover(piece.entry, bundle, facts)
        if own is not None:
            rows.append((ids[piece.entry.asset_hash], own, None, None, None, 0))
    library.write_covers(tx, bundle.version, rows)
