"""`ingestd status` shows a hand-over folder that cannot be listed to its end, until a listing ends."""

import re
from collections.abc import Callable

import pytest

from ingestd.mount import listing_receiver
from ingestd.pipeline.identity import host
from support.command import RFC_3339, Run, properties
from support.faulty_fuse import FaultyFuse
from support.world import World, photo


def list_endlessly(faulty: FaultyFuse) -> None:
    faulty.endless["sync"] = "{}.tmp".format


def hang_midway(faulty: FaultyFuse) -> None:
    faulty.break_listing("sync")


@pytest.mark.parametrize(
    ("fault", "code", "problem"),
    [
        (
            list_endlessly,
            1,
            r"the listing of \S+/sync does not end \(.+\); mount it again, or move bundles .+",
        ),
        (
            hang_midway,
            69,
            r"\S+/sync cannot be listed to its end \(.+ does not answer: .+\); see that it is a folder, and .+",
        ),
    ],
)
def test_status_shows_a_listing_that_does_not_end(
    configured: World,
    faulty: FaultyFuse,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[FaultyFuse], None],
    code: int,
    problem: str,
) -> None:
    monkeypatch.setattr(listing_receiver, "MAX_NAMES", 20_000)
    monkeypatch.setenv("INGESTD_MOUNT__DEADLINE", "1")
    configured.put(photo("a"))
    fault(faulty)
    try:
        assert run("scan").code == code
        line = properties(run("status"))["listing"]
        assert re.fullmatch(rf"{re.escape(host())} since {RFC_3339.pattern}: {problem}", line)
        (shown,) = run("status", "--json").json["broken_listings"]
        assert (shown["host"], shown["root"]) == (host(), str(faulty.point))
        assert run("scan").code == code
        (again,) = run("status", "--json").json["broken_listings"]
        assert again["since"] == shown["since"]
    finally:
        faulty.clear()
    assert run("scan").code == 0
    assert "listing" not in properties(run("status"))
