"""The index of a manifest: repetitions, type conflicts, and which cover wins."""

from typing import Any

from ingestd.format.manifest_index import ManifestIndex
from ingestd.model import Reason
from support.manifests import A, B, C, D, cover, parsed, photo


def surveyed(*items: Any) -> ManifestIndex:
    return parsed(items=list(items)).index


def problems(*items: Any) -> list[tuple[int, Reason]]:
    """Ordinals and reasons of the items that fail because of others."""
    manifest = parsed(items=list(items))
    found = ((entry.ordinal, manifest.index.problem(entry)) for entry in manifest.standing())
    return [(ordinal, problem[0]) for ordinal, problem in found if problem]


def test_word_for_word_repetitions_collapse() -> None:
    found = surveyed(photo(), photo(), photo(B))
    assert (found.duplicates_collapsed, found.differing, found.conflicts) == (1, set(), {})
    assert (found.item_count, found.types, found.repeated) == (2, {"photo": 2}, {1})


def test_differing_repetitions_fail() -> None:
    assert problems(photo(title="x"), photo(title="y")) == [(0, Reason.DUPLICATE_ITEM)]


def test_one_hash_has_one_type() -> None:
    assert problems(photo(A), {"type": "video", "hash": A}, cover(A, B)) == [(1, Reason.TYPE_CONFLICT)]


def test_sizes_and_ignored_variants_are_summed() -> None:
    files = [{"variant": "original", "path": "a", "bytes": 5}, {"variant": "frosted", "path": "b", "bytes": 90}]
    found = surveyed(photo(path="p", files=files), photo(B, path="q", files=files))
    assert (found.total_bytes, found.derivatives_ignored) == (10, 2)


def test_no_sum_is_too_large_to_be_stored() -> None:
    files = [{"variant": f"v{i}", "path": "a", "bytes": 2**63 - 1} for i in range(3)]
    assert surveyed(photo(path="p", files=files)).total_bytes == 2**63 - 1


def test_the_last_cover_item_wins() -> None:
    assert surveyed(photo(), cover(B, A), cover(C, A)).covers == {A: (C, 2)}


def test_the_assets_own_word_wins_over_cover_items() -> None:
    assert surveyed(photo(cover_hash=B), cover(B, A), cover(C, A)).covers == {A: (B, 1)}
    assert surveyed(photo(cover_hash=D), cover(C, A)).covers == {A: (D, None)}


def test_cover_items_that_fail_win_nothing() -> None:
    failing = [cover(C, A, title="x"), cover(C, A, title="y")]
    assert surveyed(photo(), cover(B, A), *failing).covers == {A: (B, 1)}
    assert surveyed(photo(cover_hash=C), *failing).covers == {A: (C, None)}


def test_assets_that_fail_choose_no_cover() -> None:
    twice = [photo(cover_hash=C, title="x"), photo(cover_hash=C, title="y")]
    assert surveyed(*twice, cover(B, A)).covers == {A: (B, 2)}
    assert surveyed(photo(cover_hash=B), {"type": "video", "hash": A, "cover_hash": C}).covers == {A: (B, None)}


def test_a_type_that_fails_does_not_take_a_hash() -> None:
    bad = photo(A, title=7)
    video, audio = {"type": "video", "hash": A}, {"type": "audio", "hash": A}
    assert problems(bad, video, audio) == [(2, Reason.TYPE_CONFLICT)]
    assert problems(bad, video, {**video, "title": "x"}) == [(1, Reason.DUPLICATE_ITEM)]
    assert problems(video, audio, audio, bad) == [(1, Reason.TYPE_CONFLICT)]
    assert problems(video, audio, {**audio, "title": "x"}) == [(1, Reason.DUPLICATE_ITEM)]
