"""Times of an envelope: whatever RFC 3339 allows, leap seconds included, and nothing else."""

import pytest

from ingestd.errors import ManifestError
from support.manifests import parsed

ACCEPTED = {
    "2016-12-31T23:59:60Z": "2017-01-01 00:00:00",
    "2016-12-31t23:59:60z": "2017-01-01 00:00:00",
    "2016-12-31T18:59:60-05:00": "2017-01-01 00:00:00",
    "2017-01-01T05:29:60.25+05:30": "2017-01-01 00:00:00.250000",
    "2026-04-12T21:35:35+23:59": "2026-04-11 21:36:35",
    "0001-01-01T00:00:00Z": "0001-01-01 00:00:00",
}
REFUSED = {
    "2016-12-31T23:59:61Z": "not an RFC 3339 time",
    "2016-12-31T22:59:60Z": "not an RFC 3339 time",
    "2016-12-31T23:60:60Z": "not an RFC 3339 time",
    "2016-12-31T23:59:60": "not an RFC 3339 time",
    "2016-12-31T23:59:600Z": "not an RFC 3339 time",
    "2016-12-31T23:59:\uff16\uff10Z": "not an RFC 3339 time",
    "60": "not an RFC 3339 time",
    "9999-12-31T23:59:60Z": "out of range",
    "0001-01-01T00:00:00+23:59": "out of range",
}


@pytest.mark.parametrize("text", ACCEPTED)
def test_times_are_kept_in_utc(text: str) -> None:
    assert str(parsed(completed_at=text).completed_at) == ACCEPTED[text]


@pytest.mark.parametrize("text", REFUSED)
def test_other_times_are_a_problem_of_the_bytes(text: str) -> None:
    with pytest.raises(ManifestError, match=REFUSED[text]) as raised:
        parsed(created_at=text)
    assert raised.value.basis == "bytes"
