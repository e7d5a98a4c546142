"""Bundles in any order lead to the same library: versions have a total order, and decisions follow it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import combinations, permutations, product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs

from ingestd import decide
from ingestd.decide import (
    advances,
    decide_asset,
    is_older,
    member_may_be_written,
)
from ingestd.library_records import Member, StoredAsset
from ingestd.model import MAX_GENERATION, Action, Decision, Reason, Version

NOON = datetime(2026, 4, 12, 12)
OLD, NOW, NEW = (Version(NOON + timedelta(days=day), name) for day, name in ((1, "c"), (2, "b"), (3, "a")))

times = st.sampled_from([NOON, NOON + timedelta(microseconds=1), NOON + timedelta(days=1)])
names = st.sampled_from("abcd")
plain_versions = st.builds(Version, times, names)
versions = st.builds(Version, times, names, st.integers(0, 2))
actions = st.sampled_from(list(Action))


# versions


@settings(deadline=None)
@given(plain_versions, plain_versions)
def test_of_two_versions_one_is_older(one: Version, other: Version) -> None:
    assert is_older(one, other) is (one.sync_id != other.sync_id and not is_older(other, one))


@settings(deadline=None)
@given(plain_versions, plain_versions, plain_versions)
def test_versions_are_transitive(a: Version, b: Version, c: Version) -> None:
    assume(len({a.sync_id, b.sync_id, c.sync_id}) == 3)
    if is_older(a, b) and is_older(b, c):
        assert is_older(a, c)


@settings(deadline=None)
@given(versions, versions)
def test_completion_time_takes_precedence_over_prior(one: Version, other: Version) -> None:
    assume(one.sync_id != other.sync_id and one.completed_at != other.completed_at)
    assert is_older(one, other) is (one.completed_at < other.completed_at)


@pytest.mark.parametrize(("first", "second"), ["ab", "ba"])
def test_at_the_same_time_the_one_that_names_the_other_is_newer(first: str, second: str) -> None:
    prior, follower = decide.versions({first: (NOON, None), second: (NOON, first)})
    assert not is_older(follower, prior)
    assert is_older(prior, follower)


def test_priors_of_other_times_and_unknown_ones_have_no_effect() -> None:
    known = {"a": (NOON, "z"), "b": (NOON, "a"), "c": (NOON + timedelta(days=1), "b"), "d": (NOON, "d")}
    assert {version.sync_id: version.generation for version in decide.versions(known)} == {
        "a": 0,
        "b": 1,
        "c": 0,
        "d": 0,
    }


GRAPHS = list(product([None, "a", "b", "c", "d", "unknown"], repeat=4))
"""which bundle each of four of one time names as its prior, in all combinations"""


def test_the_order_of_versions_has_no_circles_whatever_the_priors() -> None:
    for priors in GRAPHS:
        known = dict(zip("abcd", [(NOON, prior) for prior in priors], strict=True))
        found = decide.versions(known)
        line = sorted(found, key=decide.age)
        assert all(is_older(line[i], line[j]) and not is_older(line[j], line[i]) for i, j in combinations(range(4), 2))
        by_id = {version.sync_id: version for version in found}
        for version in found:
            prior = by_id.get(known[version.sync_id][1] or "")
            if prior and prior != version and version.generation < MAX_GENERATION:
                assert is_older(prior, version), "a circle is the only exception"


def test_a_generation_only_grows_while_bundles_arrive() -> None:
    for priors in GRAPHS:
        known = dict(zip("abcd", [(NOON, prior) for prior in priors], strict=True))
        for arrival in permutations("abcd"):
            before: dict[str, int] = {}
            for count in range(1, 5):
                now = {
                    v.sync_id: v.generation for v in decide.versions({name: known[name] for name in arrival[:count]})
                }
                assert all(now[name] >= generation for name, generation in before.items())
                before = now


@settings(deadline=None)
@given(versions, versions)
def test_a_bundle_is_never_older_than_itself(one: Version, other: Version) -> None:
    assert not is_older(one, replace(other, sync_id=one.sync_id))
    assert not is_older(one, None)


def test_newer_bundle_advances_a_row() -> None:
    assert advances(NOW, None)
    assert advances(NOW, OLD)
    assert not advances(NOW, NEW)
    assert not advances(NOW, replace(NOW, generation=1)), "it is its last writer already"
    assert advances(NOW, replace(NOW, completed_at=NOON)), "its own manifest has a new time"


# bundles in any order


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
        return structs.replace(written, entry_sha256=None, documents_sha256=None, deleted=True)
    if verdict.decision in (Decision.CREATED, Decision.UPDATED):
        return written
    assert row is not None
    if verdict.decision is Decision.REMOVED:
        return structs.replace(row, deleted=True, version=bundle.version)
    return structs.replace(row, version=bundle.version) if verdict.advances else row


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


@settings(deadline=None)
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


@settings(deadline=None)
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


@settings(deadline=None)
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
