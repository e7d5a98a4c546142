"""The readers of a mount are shared among the requests that use them at the same time."""

from contextlib import ExitStack

import pytest

from ingestd.mount.reader_shares import ReaderShares


def test_a_request_alone_gets_all_readers() -> None:
    shares = ReaderShares(32)
    for _ in range(2):
        with shares.share(500) as readers:
            assert readers == 32


@pytest.mark.parametrize(("items", "expected"), [(1, 2), (3, 3), (32, 32), (33, 32)])
def test_a_request_gets_no_more_than_it_has_items(items: int, expected: int) -> None:
    with ReaderShares(32).share(items) as readers:
        assert readers == expected


def test_small_requests_leave_the_rest_to_a_large_one() -> None:
    shares = ReaderShares(32)
    with shares.share(1), shares.share(1), shares.share(1), shares.share(500) as readers:
        assert readers == 32 - 3 * 2


def test_requests_that_follow_one_another_come_to_equal_shares() -> None:
    shares, running = ReaderShares(32), [ExitStack() for _ in range(4)]
    used = [0] * 4
    for turn in range(12):
        one = turn % 4
        running[one].close()
        used[one] = running[one].enter_context(shares.share(500))
        assert used[one] >= 8, "each gets its part at once"
    assert used == [8, 8, 8, 8]
    for stack in running:
        stack.close()


def test_one_reader_is_never_more() -> None:
    with ReaderShares(1).share(500) as readers:
        assert readers == 1


def test_a_request_that_fails_gives_its_share_back() -> None:
    shares = ReaderShares(32)
    with pytest.raises(RuntimeError), shares.share(500):
        raise RuntimeError
    with shares.share(500) as readers:
        assert readers == 32
