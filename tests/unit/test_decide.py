"""The rules of decision, one by one."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestd.decide import (
    batch_status,
    decide_asset,
    decide_container,
    member_may_be_written,
)
from ingestd.library_records import Member, StoredAsset, StoredContainer
from ingestd.model import SUCCEEDED, Action, BatchStatus, Decision, Reason, Verdict, Version

NOON = datetime(2026, 4, 12, 12)
ENTRY, DOCUMENTS = "e" * 64, "d" * 64
OLD, NOW, NEW = (Version(NOON + timedelta(days=day), name) for day, name in ((1, "c"), (2, "b"), (3, "a")))


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
    verdict = asset(stored_asset(NEW, deleted=deleted), action, entry=entry)
    assert verdict == Verdict(Decision.SKIPPED, Reason.SUPERSEDED)


@pytest.mark.parametrize(("action", "deleted"), [(Action.REMOVE, False), (Action.UPDATE, True)])
def test_an_older_entry_links_its_cover_where_readers_see_it(action: Action, deleted: bool) -> None:
    assert asset(stored_asset(NEW), cover_differs=True) == Verdict(Decision.LINKED)
    verdict = asset(stored_asset(NEW, deleted=deleted), action, cover_differs=True)
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


# containers


def box(version: Version | None = OLD, *, deleted: bool = False) -> StoredContainer:
    return StoredContainer(1, "b" * 32, "Box", deleted, version, None, None)


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
    assert not member_may_be_written(NOW, member, NEW), "a complete list is about all members"
    assert member_may_be_written(OLD, None, None)
    assert not member_may_be_written(OLD, None, NOW), "a newer complete list spoke of every member"
    assert member_may_be_written(NEW, None, NOW)


# the status of a batch


counts_of_all = st.dictionaries(st.sampled_from([decision.value for decision in Decision]), st.integers(0, 2))


@settings(deadline=None)
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
    assert (status is BatchStatus.READY) is (planned and bool(undecided or not (here or finished)))
    if planned and needs_attention and not undecided:
        assert status is (BatchStatus.PARTIAL if good else BatchStatus.FAILED)


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ({}, BatchStatus.READY),
        ({"will_create": 2, "pending": 1}, BatchStatus.READY),
        ({"created": 1, "updated": 1, "linked": 1, "removed": 1, "skipped": 1, "ignored": 1}, BatchStatus.IMPORTED),
        ({"skipped": 1, "failed": 1}, BatchStatus.PARTIAL),
        ({"created": 1, "deferred": 1}, BatchStatus.PARTIAL),
        ({"created": 1, "will_create": 1}, BatchStatus.READY),
        ({"failed": 1, "created": 1, "pending": 1}, BatchStatus.READY),
        ({"failed": 1, "will_create": 1}, BatchStatus.READY),
        ({"deferred": 3}, BatchStatus.FAILED),
    ],
)
def test_status_of_a_planned_batch(counts: dict[str, int], status: BatchStatus) -> None:
    assert batch_status(True, counts, finished=False) is status
    assert batch_status(False, counts, finished=False) is BatchStatus.NEW


def test_a_batch_with_nothing_in_it_is_imported_once_it_ran() -> None:
    assert batch_status(True, {}, finished=True) is BatchStatus.IMPORTED
    assert batch_status(True, {"created": 0}, finished=True) is BatchStatus.IMPORTED
