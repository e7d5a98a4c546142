"""The rules of decision, one by one; and that no order of arrival changes where they lead."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import combinations, permutations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ingestd.decide import (
    advances,
    batch_status,
    decide_asset,
    decide_container,
    decide_cover,
    is_older,
    member_may_be_written,
)
from ingestd.model import (
    SUCCEEDED,
    Action,
    BatchStatus,
    Decision,
    Member,
    Reason,
    StoredAsset,
    StoredContainer,
    StoredCover,
    Verdict,
    Version,
)

NOON = datetime(2026, 4, 12, 12)
ENTRY, DOCUMENTS = "e" * 64, "d" * 64
OLD, NOW, NEW = (Version(NOON + timedelta(days=day), name) for day, name in ((1, "c"), (2, "b"), (3, "a")))

times = st.sampled_from([NOON, NOON + timedelta(microseconds=1), NOON + timedelta(days=1)])
names = st.sampled_from("abcd")
plain_versions = st.builds(Version, times, names)
versions = st.builds(Version, times, names, st.none() | names)
actions = st.sampled_from(list(Action))


# versions


@given(plain_versions, plain_versions)
def test_of_two_versions_one_is_older(one: Version, other: Version) -> None:
    assert is_older(one, other) is (one.sync_id != other.sync_id and not is_older(other, one))


@given(plain_versions, plain_versions, plain_versions)
def test_versions_are_in_one_line(a: Version, b: Version, c: Version) -> None:
    assume(len({a.sync_id, b.sync_id, c.sync_id}) == 3)
    if is_older(a, b) and is_older(b, c):
        assert is_older(a, c)


@given(versions, versions)
def test_the_completion_decides_whatever_prior_says(one: Version, other: Version) -> None:
    assume(one.sync_id != other.sync_id and one.completed_at != other.completed_at)
    assert is_older(one, other) is (one.completed_at < other.completed_at)


@pytest.mark.parametrize(("first", "second"), ["ab", "ba"])
def test_at_the_same_time_the_one_that_names_the_other_is_newer(first: str, second: str) -> None:
    follower, prior = Version(NOON, second, prior=first), Version(NOON, first)
    assert not is_older(follower, prior)
    assert is_older(prior, follower)
    assert is_older(Version(NOON, "a"), Version(NOON, "b", prior="z")), "a stranger decides nothing"


@given(versions, versions)
def test_a_bundle_is_never_older_than_itself(one: Version, other: Version) -> None:
    assert not is_older(one, replace(other, sync_id=one.sync_id))
    assert not is_older(one, None)


def test_what_advances_a_row() -> None:
    assert advances(NOW, None)
    assert advances(NOW, OLD)
    assert not advances(NOW, NEW)
    assert not advances(NOW, replace(NOW, prior="x")), "it is its last writer already"
    assert advances(NOW, replace(NOW, completed_at=NOON)), "its own manifest has a new time"


# assets


def stored_asset(
    version: Version | None = OLD, *, deleted: bool = False, documents: str | None = DOCUMENTS
) -> StoredAsset:
    return StoredAsset(1, "photo", "0" * 32, ENTRY, documents, deleted, version)


def asset(
    stored: StoredAsset | None,
    action: Action = Action.UPDATE,
    *,
    kind: str = "photo",
    entry: str = ENTRY,
    documents: str | None = DOCUMENTS,
    cover_differs: bool = False,
) -> Verdict:
    return decide_asset(action, kind, entry, documents, NOW, stored, cover_differs=cover_differs)


@pytest.mark.parametrize("action", [Action.CREATE, Action.UPDATE])
def test_an_absent_asset_is_created(action: Action) -> None:
    assert asset(None, action) == Verdict(Decision.CREATED)


def test_removing_an_absent_asset_leaves_a_tombstone() -> None:
    assert asset(None, Action.REMOVE) == Verdict(Decision.SKIPPED, Reason.TOMBSTONED)


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("version", [OLD, NEW, None])
def test_another_type_fails_and_names_both(action: Action, version: Version | None) -> None:
    verdict = asset(stored_asset(version), action, kind="video")
    assert (verdict.decision, verdict.reason) == (Decision.FAILED, Reason.TYPE_CONFLICT)
    assert verdict.error == f"hash {'0' * 32} is known as photo, delivered as video"


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("deleted", [True, False])
@pytest.mark.parametrize("entry", [ENTRY, "f" * 64])
def test_an_older_bundle_changes_nothing(action: Action, deleted: bool, entry: str) -> None:
    verdict = asset(stored_asset(NEW, deleted=deleted), action, entry=entry, cover_differs=True)
    assert verdict == Verdict(Decision.SKIPPED, Reason.SUPERSEDED)


@pytest.mark.parametrize(("version", "is_advanced"), [(OLD, True), (None, True), (NOW, False)])
def test_an_identical_delivery_is_skipped_and_becomes_the_last_writer(
    version: Version | None, is_advanced: bool
) -> None:
    assert asset(stored_asset(version)) == Verdict(Decision.SKIPPED, Reason.UNCHANGED, advances=is_advanced)


@pytest.mark.parametrize(
    "changed", [{"entry": "f" * 64}, {"documents": "f" * 64}, {"cover_differs": True}], ids=lambda c: next(iter(c))
)
def test_a_different_delivery_updates(changed: dict[str, object]) -> None:
    assert asset(stored_asset(), **changed) == Verdict(Decision.UPDATED)  # type: ignore[arg-type]
    assert asset(stored_asset(NOW), **changed) == Verdict(Decision.UPDATED)  # type: ignore[arg-type]


def test_documents_not_read_yet_count_as_unchanged_and_missing_ones_do_not() -> None:
    assert asset(stored_asset(), documents=None).decision is Decision.SKIPPED
    assert asset(stored_asset(documents=None)).decision is Decision.UPDATED


@pytest.mark.parametrize("action", [Action.CREATE, Action.UPDATE])
def test_a_removed_asset_delivered_again_is_updated(action: Action) -> None:
    assert asset(stored_asset(deleted=True), action) == Verdict(Decision.UPDATED)


def test_removing() -> None:
    assert asset(stored_asset(), Action.REMOVE, entry="f" * 64) == Verdict(Decision.REMOVED)
    again = asset(stored_asset(deleted=True), Action.REMOVE)
    assert again == Verdict(Decision.SKIPPED, Reason.UNCHANGED, advances=True)


# covers


PARENT = stored_asset()
COVER = StoredCover(1, "c" * 32, "c/0.jpg", False, NOW, 5, "a" * 64)


def cover(stored: StoredCover | None, action: Action = Action.UPDATE, parent: StoredAsset | None = PARENT) -> Verdict:
    return decide_cover(action, COVER, "0" * 32, parent, stored)


def test_a_cover_is_linked_to_a_live_parent() -> None:
    assert cover(None) == Verdict(Decision.LINKED)


@pytest.mark.parametrize("parent", [None, stored_asset(deleted=True)])
def test_a_cover_waits_for_its_parent(parent: StoredAsset | None) -> None:
    verdict = cover(None, parent=parent)
    assert (verdict.decision, verdict.reason) == (Decision.DEFERRED, Reason.PARENT_MISSING)
    assert verdict.waiting_for == "0" * 32
    assert "0" * 32 in str(verdict.error)


@pytest.mark.parametrize(
    "changed", [{"cover_hash": "f" * 32}, {"path": "x"}, {"bytes": 6}, {"sha256": None}, {"deleted": True}]
)
def test_another_cover_is_linked_unless_it_is_older(changed: dict[str, object]) -> None:
    other = replace(COVER, **changed)  # type: ignore[arg-type]
    assert cover(replace(other, version=OLD)) == Verdict(Decision.LINKED)
    assert cover(replace(other, version=NEW)) == Verdict(Decision.SKIPPED, Reason.SUPERSEDED)


@pytest.mark.parametrize(("version", "is_advanced"), [(OLD, True), (None, True), (NOW, False)])
def test_the_same_cover_is_skipped(version: Version | None, is_advanced: bool) -> None:
    verdict = cover(replace(COVER, version=version))
    assert verdict == Verdict(Decision.SKIPPED, Reason.UNCHANGED, advances=is_advanced)


@pytest.mark.parametrize(
    ("parent", "stored", "verdict"),
    [
        (None, None, Verdict(Decision.SKIPPED, Reason.ABSENT)),
        (PARENT, None, Verdict(Decision.SKIPPED, Reason.TOMBSTONED)),
        (PARENT, replace(COVER, version=NEW), Verdict(Decision.SKIPPED, Reason.SUPERSEDED)),
        (PARENT, replace(COVER, version=OLD), Verdict(Decision.REMOVED)),
        (stored_asset(deleted=True), replace(COVER, version=OLD), Verdict(Decision.REMOVED)),
        (PARENT, replace(COVER, version=OLD, cover_hash="f" * 32), Verdict(Decision.SKIPPED, Reason.ABSENT)),
        (
            PARENT,
            replace(COVER, version=OLD, deleted=True),
            Verdict(Decision.SKIPPED, Reason.UNCHANGED, advances=True),
        ),
    ],
)
def test_removing_a_cover(parent: StoredAsset | None, stored: StoredCover | None, verdict: Verdict) -> None:
    assert cover(stored, Action.REMOVE, parent) == verdict


# containers


def box(version: Version | None = OLD, *, deleted: bool = False) -> StoredContainer:
    return StoredContainer(1, "b" * 32, "Box", deleted, version, None)


@pytest.mark.parametrize(
    ("stored", "changes", "verdict"),
    [
        (None, True, Verdict(Decision.CREATED)),
        (box(), True, Verdict(Decision.UPDATED)),
        (box(NEW), True, Verdict(Decision.UPDATED)),
        (box(), False, Verdict(Decision.SKIPPED, Reason.UNCHANGED, advances=True)),
        (box(NOW), False, Verdict(Decision.SKIPPED, Reason.UNCHANGED)),
        (box(NEW), False, Verdict(Decision.SKIPPED, Reason.SUPERSEDED)),
    ],
)
def test_containers(stored: StoredContainer | None, changes: bool, verdict: Verdict) -> None:
    assert decide_container(Action.UPDATE, NOW, stored, changes, ()) == verdict


@pytest.mark.parametrize("stored", [None, box(), box(NEW)])
def test_a_container_with_missing_members_waits_and_counts_them(stored: StoredContainer | None) -> None:
    verdict = decide_container(Action.CREATE, NOW, stored, True, ["1" * 32, "2" * 32])
    assert (verdict.decision, verdict.reason) == (Decision.DEFERRED, Reason.MEMBERS_MISSING)
    assert str(verdict.error).startswith("2 members ")


@pytest.mark.parametrize(
    ("stored", "verdict"),
    [
        (None, Verdict(Decision.SKIPPED, Reason.TOMBSTONED)),
        (box(), Verdict(Decision.REMOVED)),
        (box(NEW), Verdict(Decision.SKIPPED, Reason.SUPERSEDED)),
        (box(deleted=True), Verdict(Decision.SKIPPED, Reason.UNCHANGED, advances=True)),
    ],
)
def test_removing_a_container_asks_for_no_member(stored: StoredContainer | None, verdict: Verdict) -> None:
    assert decide_container(Action.REMOVE, NOW, stored, True, ["1" * 32]) == verdict


def test_members() -> None:
    member = Member(1, 0, False, NOW)
    assert member_may_be_written(NEW, member, None)
    assert not member_may_be_written(OLD, member, None)
    assert member_may_be_written(NOW, member, NEW), "what a newer complete list left alone is its own to change"
    assert member_may_be_written(OLD, None, None)
    assert not member_may_be_written(OLD, None, NOW), "a newer complete list spoke of every member"
    assert member_may_be_written(NEW, None, NOW)


# confluence: bundles in any order lead to the same library


@dataclass(frozen=True)
class Delivery:
    """What one bundle says of one asset."""

    version: Version
    action: Action
    entry: str
    documents: str


def deliver(row: StoredAsset | None, bundle: Delivery) -> StoredAsset | None:
    """The row after a delivery, as the importer writes it."""
    verdict = decide_asset(
        bundle.action, "photo", bundle.entry, bundle.documents, bundle.version, row, cover_differs=False
    )
    written = StoredAsset(1, "photo", "0" * 32, bundle.entry, bundle.documents, False, bundle.version)
    if verdict.reason is Reason.TOMBSTONED:
        return replace(written, entry_sha256=None, documents_sha256=None, deleted=True)
    if verdict.decision in (Decision.CREATED, Decision.UPDATED):
        return written
    assert row is not None
    if verdict.decision is Decision.REMOVED:
        return replace(row, deleted=True, version=bundle.version)
    return replace(row, version=bundle.version) if verdict.advances else row


def visible(row: StoredAsset | None) -> tuple[str | None, str | None] | None:
    """What sites read of a row."""
    return None if row is None or row.deleted else (row.entry_sha256, row.documents_sha256)


def in_line(found: Sequence[Version]) -> list[Version]:
    """Versions, oldest first; discards the example if their priors contradict each other."""
    assume(len({version.sync_id for version in found}) == len(found))
    assume(all(is_older(one, other) is not is_older(other, one) for one, other in combinations(found, 2)))
    line = sorted(found, key=lambda one: sum(is_older(other, one) for other in found))
    assume(all(is_older(line[i], line[j]) for i, j in combinations(range(len(line)), 2)))
    return line


deliveries = st.builds(Delivery, versions, actions, st.sampled_from("xy"), st.sampled_from("xy"))
rows = st.none() | st.builds(
    StoredAsset, st.just(1), st.just("photo"), st.just("0" * 32), st.sampled_from("xyz"), st.sampled_from("xyz"),
    st.booleans(), st.none() | versions,
)  # fmt: skip


@given(st.lists(deliveries, min_size=2, max_size=3), rows)
def test_bundles_in_any_order_leave_the_newest(bundles: list[Delivery], start: StoredAsset | None) -> None:
    known = [start.version] if start and start.version else []
    newest = in_line([*(bundle.version for bundle in bundles), *known])[-1]
    wanted = [bundle for bundle in bundles if bundle.version == newest]
    content = visible(deliver(None, wanted[0])) if wanted else visible(start)
    for order in permutations(bundles):
        row = start
        for bundle in order:
            row = deliver(row, bundle)
        assert row is not None
        assert (visible(row), row.version) == (content, newest)


@given(deliveries, rows)
def test_a_bundle_delivered_twice_changes_nothing_more(bundle: Delivery, start: StoredAsset | None) -> None:
    once = deliver(start, bundle)
    assert deliver(once, bundle) == once


@dataclass(frozen=True)
class Listing:
    """What one bundle says of the members of one container."""

    version: Version
    members: tuple[str, ...]
    complete: bool


@dataclass(frozen=True)
class Listed:
    members: dict[str, Member]
    complete: Version | None = None


def enlist(box: Listed, listing: Listing) -> Listed:
    """The members after a list, as the importer writes them."""
    members, version = dict(box.members), listing.version
    for position, name in enumerate(listing.members):
        if member_may_be_written(version, members.get(name), box.complete):
            members[name] = Member(ord(name), position, False, version)
    if not listing.complete:
        return Listed(members, box.complete)
    for name, member in box.members.items():
        if name not in listing.members and not is_older(version, member.version):
            members[name] = replace(member, deleted=True, version=version)
    return Listed(members, box.complete if is_older(version, box.complete) else version)


listings = st.builds(
    Listing, versions, st.lists(st.sampled_from("mno"), unique=True, max_size=3).map(tuple), st.booleans()
)


@given(st.lists(listings, min_size=2, max_size=3))
def test_lists_in_any_order_leave_the_same_members(found: list[Listing]) -> None:
    line = in_line([listing.version for listing in found])
    ends = []
    for order in permutations(found):
        box = Listed({})
        for listing in order:
            box = enlist(box, listing)
        ends.append({name: member.position for name, member in box.members.items() if not member.deleted})
    assert all(end == ends[0] for end in ends)
    (newest,) = (listing for listing in found if listing.version == line[-1])
    assert [name for name, _ in sorted(ends[0].items(), key=lambda e: e[1]) if name in newest.members] == list(
        newest.members
    )


# the status of a batch


counts_of_all = st.dictionaries(st.sampled_from([decision.value for decision in Decision]), st.integers(0, 2))


@given(st.booleans(), counts_of_all, st.booleans())
def test_every_count_has_a_status(planned: bool, counts: dict[str, int], finished: bool) -> None:
    status = batch_status(planned, counts, finished=finished)
    here = {decision for decision, count in counts.items() if count}
    good = here & {*SUCCEEDED, Decision.IGNORED}
    needs_attention = here & {Decision.FAILED, Decision.DEFERRED}
    undecided = here - good - needs_attention
    assert (status is BatchStatus.NEW) is not planned
    assert (status is BatchStatus.IMPORTED) is (
        planned and not needs_attention and not undecided and bool(here or finished)
    )
    assert (status is BatchStatus.READY) is (
        planned and not needs_attention and not good and not (finished and not here)
    )
    if planned and needs_attention:
        assert status is (BatchStatus.PARTIAL if good else BatchStatus.FAILED)


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ({}, BatchStatus.READY),
        ({"will_create": 2, "pending": 1}, BatchStatus.READY),
        ({"created": 1, "updated": 1, "linked": 1, "removed": 1, "skipped": 1, "ignored": 1}, BatchStatus.IMPORTED),
        ({"skipped": 1, "failed": 1}, BatchStatus.PARTIAL),
        ({"created": 1, "deferred": 1}, BatchStatus.PARTIAL),
        ({"created": 1, "will_create": 1}, BatchStatus.PARTIAL),
        ({"failed": 1, "will_create": 1}, BatchStatus.FAILED),
        ({"deferred": 3}, BatchStatus.FAILED),
    ],
)
def test_status_of_a_planned_batch(counts: dict[str, int], status: BatchStatus) -> None:
    assert batch_status(True, counts, finished=False) is status
    assert batch_status(False, counts, finished=False) is BatchStatus.NEW


def test_a_batch_with_nothing_in_it_is_imported_once_it_ran() -> None:
    assert batch_status(True, {}, finished=True) is BatchStatus.IMPORTED
    assert batch_status(True, {"created": 0}, finished=True) is BatchStatus.IMPORTED
