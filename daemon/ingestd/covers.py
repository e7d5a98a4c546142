"""What bundles say about the covers of an asset, applied in any order. Pure.

Of all links only the newest counts. A cover that is unlinked stays so unless a newer bundle links it, also when it was
not the linked one, or not known at all, when that was said. The file of a cover stays known when another one is linked.
"""

from dataclasses import replace

from ingestd.decide import is_older
from ingestd.library_records import Cover, CoverFile, Covers
from ingestd.model import Version

NOTHING_KNOWN = Covers()


def link(covers: Covers, hash_: str, version: Version, file: CoverFile | None) -> Covers:
    """After a bundle linked a cover; `file` None: it did not deliver it."""
    cover = _delivered(_find(covers, hash_), version, file)
    last = covers.last
    if last is not None and is_older(version, last.linked):
        return _with(covers, cover)
    unlinked = cover.unlinked if cover.unlinked and is_older(version, cover.unlinked) else None
    linked = replace(cover, linked=version, unlinked=unlinked)
    if last is None or last.hash == hash_:
        return Covers(linked, covers.others)
    return Covers(linked, {**covers.others, last.hash: replace(last, linked=None)})


def unlink(covers: Covers, hash_: str, version: Version) -> Covers:
    """After a bundle unlinked a cover."""
    cover = _find(covers, hash_)
    if is_older(version, cover.linked) or is_older(version, cover.unlinked):
        return covers
    return _with(covers, replace(cover, unlinked=version))


def _find(covers: Covers, hash_: str) -> Cover:
    if covers.last is not None and covers.last.hash == hash_:
        return covers.last
    return covers.others.get(hash_, Cover(hash_))


def _delivered(cover: Cover, version: Version, file: CoverFile | None) -> Cover:
    if file is None or is_older(version, cover.delivered):
        return cover
    return replace(cover, delivered=version, file=file)


def _with(covers: Covers, cover: Cover) -> Covers:
    """With one cover changed, if there is anything to know about it."""
    if covers.last is not None and covers.last.hash == cover.hash:
        return Covers(cover, covers.others)
    if cover == Cover(cover.hash):
        return covers
    return Covers(covers.last, {**covers.others, cover.hash: cover})
