"""What bundles say about the covers of an asset, and the verdict on each, in any order."""

from datetime import datetime, timedelta
from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestd.covers import NOTHING_KNOWN, link, unlink
from ingestd.decide import decide_cover
from ingestd.library_records import CoverFile, Covers, StoredAsset
from ingestd.model import Action, Decision, Reason, Verdict, Version

NOON = datetime(2026, 4, 12, 12)
OLD, NOW, NEW = (Version(NOON + timedelta(days=day), name) for day, name in ((1, "c"), (2, "b"), (3, "a")))
X, Y = "c" * 32, "d" * 32
FILE, OTHER_FILE = CoverFile("c/0.jpg", 5, "a" * 64), CoverFile("c/1.jpg")
PARENT = StoredAsset(1, "photo", "0" * 32, "e" * 64, None, False, OLD)
REMOVED_PARENT = StoredAsset(1, "photo", "0" * 32, "e" * 64, None, True, OLD)
SUPERSEDED = Verdict(Decision.SKIPPED, Reason.SUPERSEDED)


def linked(version: Version | None, hash_: str = X, file: CoverFile = FILE) -> Covers:
    return NOTHING_KNOWN if version is None else link(NOTHING_KNOWN, hash_, version, file)


def verdict(before: Covers, action: Action = Action.UPDATE, parent: StoredAsset | None = PARENT) -> Verdict:
    """The verdict on a cover item that links or removes X."""
    after = unlink(before, X, NOW) if action is Action.REMOVE else link(before, X, NOW, FILE)
    return decide_cover(action, X, NOW, "0" * 32, parent, before, after)


def test_a_cover_is_linked_to_a_live_parent() -> None:
    assert verdict(NOTHING_KNOWN) == Verdict(Decision.LINKED)


@pytest.mark.parametrize("parent", [None, REMOVED_PARENT])
def test_a_cover_waits_for_its_parent(parent: StoredAsset | None) -> None:
    found = verdict(NOTHING_KNOWN, parent=parent)
    assert (found.decision, found.reason) == (Decision.DEFERRED, Reason.PARENT_MISSING)
    assert found.waiting_for == "0" * 32
    assert "0" * 32 in str(found.error)


@pytest.mark.parametrize("other", [(Y, FILE), (X, OTHER_FILE), (X, CoverFile())])
def test_another_cover_is_linked_unless_it_is_older(other: tuple[str, CoverFile]) -> None:
    assert verdict(linked(OLD, *other)) == Verdict(Decision.LINKED)
    assert verdict(linked(NEW, *other)) == SUPERSEDED


@pytest.mark.parametrize(("unlinked", "expected"), [(OLD, Verdict(Decision.LINKED)), (NEW, SUPERSEDED)])
def test_an_unlinked_cover_is_linked_again_unless_that_is_older(unlinked: Version, expected: Verdict) -> None:
    assert verdict(unlink(linked(OLD), X, unlinked)) == expected


@pytest.mark.parametrize("version", [OLD, NOW])
def test_the_same_cover_is_skipped(version: Version) -> None:
    assert verdict(linked(version)) == Verdict(Decision.SKIPPED, Reason.UNCHANGED)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (NOTHING_KNOWN, Verdict(Decision.SKIPPED, Reason.TOMBSTONED)),
        (linked(NEW), SUPERSEDED),
        (linked(OLD), Verdict(Decision.REMOVED)),
        (linked(OLD, Y), Verdict(Decision.SKIPPED, Reason.ABSENT)),
        (unlink(linked(OLD), X, OLD), Verdict(Decision.SKIPPED, Reason.UNCHANGED)),
    ],
)
def test_removing_a_cover(before: Covers, expected: Verdict) -> None:
    assert verdict(before, Action.REMOVE) == expected


def test_the_file_of_a_cover_stays_known_while_another_one_is_linked() -> None:
    covers = link(link(linked(OLD), Y, NOW, None), X, NEW, None)
    assert covers.visible == (X, FILE)


def test_a_cover_that_was_unlinked_before_it_was_linked_stays_unlinked() -> None:
    covers = link(unlink(NOTHING_KNOWN, X, NEW), X, NOW, FILE)
    assert covers.visible is None
    assert link(covers, Y, OLD, FILE).visible is None, "an older one was replaced by it"


def test_one_bundle_may_say_something_else_when_it_is_delivered_again() -> None:
    assert unlink(linked(NOW), X, NOW).visible is None
    assert link(unlink(linked(NOW), X, NOW), X, NOW, FILE).visible == (X, FILE)
    assert link(linked(NOW), Y, NOW, None).visible == (Y, CoverFile())


Statement = tuple[str, str, CoverFile | None]
"""links or unlinks, which cover, with which file"""
statements = st.tuples(
    st.sampled_from(["link", "unlink"]), st.sampled_from([X, Y]), st.sampled_from([None, FILE, OTHER_FILE])
)


def say(covers: Covers, said: tuple[int, Statement]) -> Covers:
    place, (what, hash_, file) = said
    version = Version(NOON + timedelta(days=place), "abcd"[place])
    return link(covers, hash_, version, file) if what == "link" else unlink(covers, hash_, version)


def in_order(said: list[Statement]) -> tuple[str, CoverFile] | None:
    """What readers see after statements, oldest first."""
    seen, files = None, {}
    for what, hash_, file in said:
        if what == "unlink":
            seen = None if seen == hash_ else seen
            continue
        seen = hash_
        if file is not None:
            files[hash_] = file
    return None if seen is None else (seen, files.get(seen, CoverFile()))


@settings(deadline=None)
@given(st.lists(statements, min_size=1, max_size=4))
def test_statements_in_any_order_leave_the_same_cover(said: list[Statement]) -> None:
    for order in permutations(enumerate(said)):
        assert reduce(say, order, NOTHING_KNOWN).visible == in_order(said)
