"""Wrong tokens are limited for each client, logged at a bounded rate, and remembered in bounded memory."""

import pytest
from structlog.testing import capture_logs

from ingestd.web.security import attempts
from ingestd.web.security.attempts import CLIENT_BURST, LOG_BURST, MAX_CLIENTS, REPORT_SECONDS, WrongTokens
from ingestd.web.security.tokens import MIN_TOKEN, parse
from support.logged import Logged, logged_by


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    return logged_by(attempts, monkeypatch)


@pytest.fixture
def wrong(clock: Clock) -> WrongTokens:
    return WrongTokens(clock)


def note(wrong: WrongTokens, count: int, address: str | None = "192.0.2.1") -> list[bool]:
    return [wrong.note(address, "request") for _ in range(count)]


def test_client_is_limited_after_its_allowance_and_gets_it_back_slowly(wrong: WrongTokens, clock: Clock) -> None:
    assert note(wrong, 300) == [False] * CLIENT_BURST + [True] * (300 - CLIENT_BURST)
    assert note(wrong, 1, "192.0.2.2") == [False], "other clients are not affected"
    clock.now += 3 * attempts.CLIENT_SECONDS
    assert note(wrong, 4) == [False, False, False, True]
    clock.now += 1e6
    assert note(wrong, CLIENT_BURST + 1) == [False] * CLIENT_BURST + [True]


def test_lines_are_written_up_to_a_rate_and_the_others_counted(
    wrong: WrongTokens, clock: Clock, logged: Logged
) -> None:
    note(wrong, 300)
    note(wrong, 300, "192.0.2.2")
    assert len(logged.of("wrong_token")) == LOG_BURST
    assert logged.of("wrong_tokens") == []
    clock.now += REPORT_SECONDS
    wrong.report()
    wrong.report()
    (counted,) = logged.of("wrong_tokens")
    assert counted["count"] == 600 - LOG_BURST
    clock.now += 1000 * REPORT_SECONDS
    wrong.report()
    assert len(logged.of("wrong_tokens")) == 1, "nothing to report, nothing reported"
    assert logged.lines[0] == {"event": "wrong_token", "client": "192.0.2.1", "purpose": "request"}


def test_memory_is_bounded_however_many_addresses_are_used(wrong: WrongTokens) -> None:
    for number in range(3 * MAX_CLIENTS):
        note(wrong, 1, f"10.0.{number // 256}.{number % 256}")
    assert len(wrong._clients) == MAX_CLIENTS
    note(wrong, CLIENT_BURST, "192.0.2.1")
    assert note(wrong, 1, "192.0.2.1") == [True], "the newest client is remembered"


@pytest.mark.parametrize(
    ("address", "client"),
    [("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("::1", "::/64"), (None, "unknown"), ("odd", "unknown")],
)
def test_clients_of_one_ipv6_network_are_one(
    wrong: WrongTokens, logged: Logged, address: str | None, client: str
) -> None:
    note(wrong, 1, address)
    assert logged.lines[0]["client"] == client


@pytest.mark.parametrize("length", [1, 2, 8, MIN_TOKEN - 1])
def test_short_token_is_ignored_and_its_line_is_logged_without_it(length: int) -> None:
    short = "q" * length
    with capture_logs() as logged:
        known = parse(f"# tokens\nolga:operator:{short}\nvictor:viewer:{'v' * MIN_TOKEN}\n")
    assert [identity.name for _, identity in known] == ["victor"]
    (entry,) = logged
    assert entry["line"] == 2
    assert str(MIN_TOKEN) in entry["reason"]
    assert short not in str({**entry, "reason": ""})
