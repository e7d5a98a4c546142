"""What each type of ledger event says, as a sentence for people. Pure.

Payloads may be of any release: a value that one does not have is shown as "?".
"""

from collections.abc import Callable, Mapping
from typing import Any

from ingestd.wording import counted

Payload = Mapping[str, Any]

UNKNOWN = "?"
COUNTED = {
    "item_count": "item", "container_count": "container", "total_bytes": "byte", "assets": "asset", "files": "file",
    "members": "container member",
}  # fmt: skip
OUTCOMES = ("created", "updated", "linked", "removed", "skipped", "deferred", "failed")
TEMPLATES = {
    "scan": "Discovered: {action} of {item_count}, {total_bytes}",
    "bundle_stuck": "Cannot be read or recorded: {reason}",
    "batch_invalid": "Invalid: {error}",
    "batch_valid": "Valid again",
    "manifest_changed": "Another manifest was delivered",
    "preflight_started": "Pre-flight started: {action} of {item_count}, {container_count}",
    "preflight_finished": "Planned: {counts}",
    "job_queued": "Job {job_id} queued by {requested_by} with priority {priority}",
    "job_waiting": "Job {job_id} waits for an earlier batch",
    "job_promoted": "Job {job_id} queued: the batch that it waited for has no active job any more",
    "job_reprioritised": "Priority of job {job_id} changed to {priority} by {requested_by}",
    "job_rescoped": "Scope of job {job_id} changed to {scope} by {requested_by}",
    "job_taken_over": "Job {job_id} taken over by {requested_by}",
    "job_cancelled": "Job {job_id} cancelled by {requested_by}",
    "retry_cancelled": "Retry of job {job_id} cancelled by {requested_by}",
    "job_claimed": "Job {job_id} claimed by {worker_id}",
    "job_reset": "Job {job_id} reset by {reaped_by}: its worker {prior_claimed_by} is dead or silent",
    "job_released": "Job {job_id} released by {worker_id}: {reason}",
    "import_started": "Import started: {action} of {item_count}, {already_terminal_count} of them decided before",
    "import_finished": "Import finished: {status}; {tally}",
    "queue_resumed": "Queue resumed by {requested_by}",
    "removal_refused": "Held: {reason}",
    "removal_approved": "Removal of {assets}, {files} and {members} approved by {requested_by}",
    "mount_accepted": "Mount accepted by {requested_by}: {to} instead of {from}",
}


def _queue_paused(payload: Payload) -> str:
    return f"Queue paused by {_shown(payload.get('requested_by', UNKNOWN))}{_because(payload.get('reason'))}"


def _job_finished(payload: Payload) -> str:
    summary = payload.get("summary")
    status = summary.get("status", UNKNOWN) if isinstance(summary, dict) else UNKNOWN
    job = f"Job {_shown(payload.get('job_id', UNKNOWN))}"
    error = payload.get("error")
    return f"{job} finished: batch {_shown(status)}" if error is None else f"{job} failed: {_shown(error)}"


def _entry(payload: Payload, outcome: str) -> str:
    """An item or a container, its outcome, and why."""
    why = payload.get("error")
    if why is None and payload.get("superseded_by"):
        why = f"superseded by batch {_shown(payload['superseded_by'])}"
    kind, hash_ = _shown(payload.get("type", UNKNOWN)), _shown(payload.get("hash", UNKNOWN))
    return f"{kind[:1].upper()}{kind[1:]} {hash_} {outcome}{_because(why or payload.get('reason'))}"


SPECIAL: dict[str, Callable[[Payload], str]] = {"queue_paused": _queue_paused, "job_finished": _job_finished}
EVENT_TYPES = sorted(
    {
        *TEMPLATES,
        *SPECIAL,
        "container_ignored",
        *(f"{what}_{end}" for what in ("item", "container") for end in OUTCOMES),
    }
)
"""all types of events"""


def sentence(event_type: str, payload: Payload) -> str:
    """What an event says. Never raises; a type of another release is shown by its name."""
    if event_type in SPECIAL:
        return SPECIAL[event_type](payload)
    if event_type in TEMPLATES:
        return TEMPLATES[event_type].format_map(_Values(payload))
    what, _, outcome = event_type.partition("_")
    return _entry(payload, outcome) if what in ("item", "container") else event_type.replace("_", " ").capitalize()


class _Values(dict[str, Any]):
    def __init__(self, payload: Payload) -> None:
        super().__init__({key: _shown(value, COUNTED.get(key)) for key, value in payload.items()})

    def __missing__(self, key: str) -> str:
        return UNKNOWN


def _shown(value: Any, noun: str | None = None) -> str:
    """A value in words, a count with its noun. Counts of decisions that are zero are left out."""
    if value is None:
        return "none"
    if not isinstance(value, dict):
        return str(value) if noun is None or not isinstance(value, int) else counted(value, noun)
    counts = [f"{count} {str(name).replace('_', ' ')}" for name, count in value.items() if count]
    return ", ".join(counts) or "nothing"


def _because(why: Any) -> str:
    return "" if why is None else f": {str(why).replace('_', ' ') if str(why).isidentifier() else why}"
