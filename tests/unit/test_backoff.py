"""Growing pauses between tries."""

from itertools import islice

import pytest

from ingestd.backoff import backoff


def test_pauses_double_up_to_the_longest() -> None:
    assert list(islice(backoff(0.5, 15.0), 8)) == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]


def test_pauses_have_no_end() -> None:
    assert list(islice(backoff(0.1, 10.0), 5000, 5001)) == [10.0]


@pytest.mark.parametrize("first", [0.1, 0.2])
def test_each_backoff_begins_with_the_first_pause(first: float) -> None:
    for _ in range(2):
        assert next(backoff(first, 1.0)) == first
