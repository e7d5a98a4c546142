"""The envelope of a manifest: everything but its items and containers, checked field by field. Pure."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import orjson

from ingestd.format.fields import SYNC_ID, BadEntry, Text, describe_error, short_repr
from ingestd.model import Action

MAX_TEXT = 255
MAX_TYPE = 64
_LEAP_SECOND = re.compile(r"(\S{10}.\d\d:\d\d:)60(\D.*)", re.ASCII)


class EnvelopeReader:
    """Reads the fields of an envelope one by one and collects all `problems`."""

    def __init__(self, fields: dict[str, msgspec.Raw]) -> None:
        self._fields = fields
        self.problems: list[str] = []

    def check(self, check: Callable[[], object]) -> None:
        """Runs a check; a BadEntry that it raises becomes a problem."""
        try:
            check()
        except BadEntry as bad:
            self.problems.append(bad.problem)

    def read(self, expected_sync_id: str | None) -> dict[str, Any] | None:
        """The values of an Envelope by name; None if there are problems."""
        envelope = {
            "sync_id": self._sync_id(expected_sync_id),
            "type": self._text("type", required=True, max_length=MAX_TYPE),
            "action": self._action(),
            "created_at": self._time("created_at"),
            "completed_at": self._time("completed_at"),
        }
        verification = self._completed_verification()
        self._check_list("items", required=True)
        self._check_list("containers")
        host, prior = self._text("source_host"), self._prior_sync_id()
        if self.problems:
            return None
        return {
            **envelope,
            "source_host": host,
            "prior_sync_id": prior,
            "summary": self._summary(verification, prior),
        }

    def _summary(self, verification: dict[str, Any] | None, prior: str | None) -> dict[str, Any]:
        """The part of the envelope that a batch stores; times as the manifest has them."""
        return {
            "created_at": self._get("created_at", str),
            "completed_at": self._get("completed_at", str),
            "verification": verification,
            "prior_sync_id": prior,
        }

    def _get(self, key: str, kind: Any, *, required: bool = False) -> Any:
        raw = self._fields.get(key)
        if raw is None or bytes(memoryview(raw)[:5]) == b"null":
            if required:
                self.problems.append(f"{key}: {'missing' if raw is None else 'null, but required'}")
            return None
        try:
            return msgspec.json.decode(raw, type=kind)
        except (ValueError, RecursionError) as error:
            self.problems.append(f"{key}: {describe_error(error)}")
            return None

    def _text(self, key: str, *, required: bool = False, max_length: int = MAX_TEXT) -> str | None:
        value: str | None = self._get(key, Text, required=required)
        if value is not None and len(value) > max_length:
            self.problems.append(f"{key}: longer than {max_length} characters")
        if required and value == "":
            self.problems.append(f"{key}: empty")
        return value

    def _sync_id(self, expected: str | None) -> str | None:
        sync_id = self._text("sync_id", required=True)
        if sync_id and not SYNC_ID.fullmatch(sync_id):
            self.problems.append(f"sync_id: {short_repr(sync_id)} is not a lower-case UUID")
        elif sync_id and expected is not None and sync_id != expected:
            self.problems.append(f"sync_id: {sync_id} differs from the one in the file's name, {expected}")
        return sync_id

    def _prior_sync_id(self) -> str | None:
        prior = self._text("prior_sync_id")
        if prior is not None and not SYNC_ID.fullmatch(prior):
            self.problems.append(f"prior_sync_id: {short_repr(prior)} is not a lower-case UUID")
        return prior

    def _action(self) -> Action | None:
        text = self._text("action", required=True)
        try:
            return Action(text) if text else None
        except ValueError:
            self.problems.append(f"action: {short_repr(text)} is not one of {', '.join(Action)}")
            return None

    def _time(self, key: str) -> datetime | None:
        text = self._get(key, str, required=True)
        if text is None:
            return None
        try:
            return _utc(text)
        except (msgspec.ValidationError, ValueError):
            self.problems.append(f"{key}: {short_repr(text)} is not an RFC 3339 time with Z or an offset")
        except OverflowError:
            self.problems.append(f"{key}: {short_repr(text)} is out of range")
        return None

    def _completed_verification(self) -> dict[str, Any] | None:
        """The value of `verification`, which must have passed, of a bundle whose `status` must be completed."""
        status = self._get("status", object, required=True)
        if status is not None and status != "completed":
            self.problems.append(f'status: expected "completed", got {short_repr(status)}')
        verification: dict[str, Any] | None = self._get("verification", dict[str, Any], required=True)
        if verification is None:
            return None
        if verification.get("passed") is not True:
            self.problems.append(f"verification.passed: expected true, got {short_repr(verification.get('passed'))}")
        if _has_huge_number(verification):
            self.problems.append("verification: contains an integer of more than 64 bits")
        return verification

    def _check_list(self, key: str, *, required: bool = False) -> None:
        self._get(key, list[Any], required=required)


def _utc(text: str) -> datetime:
    """An RFC 3339 time as naive UTC; a leap second counts as the second after it. Raises ValueError, OverflowError."""
    leap = _LEAP_SECOND.fullmatch(text)
    moment = msgspec.convert(f"{leap[1]}59{leap[2]}" if leap else text, datetime)
    if moment.tzinfo is None:
        raise ValueError("a time without an offset")
    moment = moment.astimezone(UTC).replace(tzinfo=None)
    if leap and (moment.hour, moment.minute) != (23, 59):
        raise ValueError("leap seconds end a day")
    return moment + timedelta(seconds=bool(leap))


def _has_huge_number(value: Any) -> bool:
    """Whether a value contains a number that cannot be written as JSON again, as the batch's summary will be."""
    try:
        orjson.dumps(value)
    except (orjson.JSONEncodeError, RecursionError):
        return True
    return False
