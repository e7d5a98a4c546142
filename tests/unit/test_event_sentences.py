"""Ledger events as sentences."""

import pytest

from ingestd.event_sentences import EVENT_TYPES, sentence

HASH = "212a6c7a8629cd00baae3940aa717e6c"
TALLY = {"created": 2, "updated": 0, "linked": 1, "failed": 0}


@pytest.mark.parametrize(
    ("event_type", "payload", "said"),
    [
        ("scan", {"action": "create", "item_count": 1, "total_bytes": 9}, "Discovered: create of 1 item, 9 bytes"),
        ("preflight_finished", {"counts": {"will_create": 3, "will_fail": 0}}, "Planned: 3 will create"),
        ("preflight_finished", {"counts": {"will_create": 0}}, "Planned: nothing"),
        ("job_queued", {"job_id": 5, "requested_by": "olga", "priority": 7}, "Job 5 queued by olga with priority 7"),
        ("import_finished", {"status": "partial", "tally": TALLY}, "Import finished: partial; 2 created, 1 linked"),
        ("job_finished", {"job_id": 5, "error": None, "summary": {"status": "imported"}},
         "Job 5 finished: batch imported"),
        ("job_finished", {"job_id": 5, "error": "no table", "summary": {"status": "failed"}}, "Job 5 failed: no table"),
        ("queue_paused", {"requested_by": "olga", "reason": None}, "Queue paused by olga"),
        ("removal_approved", {"assets": 1, "files": 0, "members": 2, "requested_by": "olga"},
         "Removal of 1 asset, 0 files and 2 container members approved by olga"),
        ("mount_accepted", {"requested_by": "olga", "from": None, "to": "nfs x"},
         "Mount accepted by olga: nfs x instead of none"),
        ("item_created", {"type": "photo", "hash": HASH, "error": None}, f"Photo {HASH} created"),
        ("item_failed", {"type": "photo", "hash": HASH, "error": "a.jpg does not exist"},
         f"Photo {HASH} failed: a.jpg does not exist"),
        ("item_skipped", {"type": "photo", "hash": HASH, "error": None, "reason": "superseded", "superseded_by": "x-1"},
         f"Photo {HASH} skipped: superseded by batch x-1"),
        ("item_skipped", {"type": "photo", "hash": HASH, "error": None, "reason": "type_conflict"},
         f"Photo {HASH} skipped: type conflict"),
        ("container_ignored", {"type": "album", "hash": HASH, "error": None}, f"Album {HASH} ignored"),
        ("of_another_release", {}, "Of another release"),
    ],
)  # fmt: skip
def test_sentences(event_type: str, payload: dict[str, object], said: str) -> None:
    assert sentence(event_type, payload) == said


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@pytest.mark.parametrize(
    "payload", [{}, {"summary": None, "error": {"{x}": 1}, "type": 5, "reason": "{reason}", "counts": [1], "hash": {}}]
)
def test_any_payload_gives_a_sentence(event_type: str, payload: dict[str, object]) -> None:
    assert sentence(event_type, payload)
