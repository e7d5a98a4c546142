"""Spellings of one host name or address are the same host; other hosts are not."""

import pytest

from ingestd.hosts import is_loopback, normalized

SAME = [
    ("ingest.example", ["INGEST.example", "ingest.example.", "Ingest.Example.", "ingest.example:"]),
    ("ingest.example:8640", ["INGEST.EXAMPLE:8640", "ingest.example.:8640"]),
    ("127.0.0.1:8640", ["127.0.0.1.:8640"]),
    ("[::1]:8640", ["[0:0:0:0:0:0:0:1]:8640", "[0000::0001]:8640"]),
    ("[::1]", ["::1", "0:0:0:0:0:0:0:1", "[::0:1]"]),
    ("[2001:db8::a]", ["2001:DB8:0:0::A"]),
    ("bücher.example", ["BÜCHER.example", "xn--bcher-kva.example", "bücher.example."]),
]  # fmt: skip
OTHER = [
    ("ingest.example", ["ingest.example:80", "ingest.example..", "ingest.example.evil.example", "ingestxexample", ""]),
    ("ingest.example:8640", ["ingest.example", "ingest.example:8641", "ingest.example:86400"]),
    ("[::1]:8640", ["[::1]", "[::2]:8640", "::1:8640"]),
    ("127.0.0.1", ["127.0.0.11", "0127.0.0.1", "[::ffff:127.0.0.1]"]),
]


@pytest.mark.parametrize(("host", "spelling"), [(host, other) for host, others in SAME for other in [host, *others]])
def test_spellings_of_one_host_are_the_same(host: str, spelling: str) -> None:
    assert normalized(spelling) == normalized(host)


@pytest.mark.parametrize(("host", "other"), [(host, other) for host, others in OTHER for other in others])
def test_other_hosts_are_not(host: str, other: str) -> None:
    assert normalized(other) != normalized(host)


def test_loopback() -> None:
    hosts = ("127.0.0.1", "127.9.9.9", "::1", "localhost", "192.0.2.1", "::", "localhost.example", "")
    assert [host for host in hosts if is_loopback(host)] == ["127.0.0.1", "127.9.9.9", "::1", "localhost"]
