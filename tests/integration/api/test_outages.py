"""The API and its probes without the database or the mount."""

import errno
import os
import socket
from unittest.mock import Mock

import pytest

from ingestd.errors import MountReplaced, MountUnavailable, OtherRelease, Shortage
from ingestd.mount.access import Mount
from ingestd.web.api.health import LACKING, Health
from ingestd.web.hooks import Hooks
from support.api_site import UNKNOWN, Site, put
from support.wait import PATIENCE, until
from support.world import World, photo

# The driver leaves the socket of a connection that it could not make to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def test_every_route_returns_503_without_the_database(cut_off: Site) -> None:
    calls = [("GET", "/api/v1/batches"), ("GET", f"/api/v1/batches/{UNKNOWN}"), ("GET", "/api/v1/jobs")]
    calls += [("POST", f"/api/v1/batches/{UNKNOWN}/{what}") for what in ("queue", "cancel", "preflight")]
    for method, path in calls:
        answer = cut_off.call(method, path)
        assert answer.status == 503
        assert "out of reach" in answer.detail
        assert answer.headers["Retry-After"]
    assert cut_off.post("/api/v1/queue", {"sync_ids": [UNKNOWN]}).status == 503


def test_reading_a_batch_returns_503_without_the_mount(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    world.root.rename(world.root.with_name("elsewhere"))
    for what in ("queue", "preflight"):
        answer = site.post(f"/api/v1/batches/{sync_id}/{what}")
        assert answer.status == 503
        assert "mount" in answer.detail
    assert site.post("/api/v1/queue", {"sync_ids": [sync_id]}).status == 503
    assert site.get("/api/v1/batches")["items"][0]["sync_id"] == sync_id


def test_health_and_readiness(world: World, site: Site) -> None:
    # The service of pre-flights checks the mount too, at a moment of its own.
    site.preflights.stop()
    assert site.preflights.join(PATIENCE)
    away = world.root.rename(world.root.with_name("away"))
    with pytest.raises(MountUnavailable):
        site.context.mount.check()
    assert site.get("/healthz") == {"status": "ok"}
    waiting = site.call("GET", "/readyz")
    assert (waiting.status, waiting.json["reasons"]) == (503, ["the mount is unavailable"])
    away.rename(world.root)
    world.scan(site.context)
    until(lambda: site.call("GET", "/readyz").json == {"status": "ok"})
    site.reasons.append("scanner has been silent for 200 s")
    for path in ("/healthz", "/readyz"):
        answer = site.call("GET", path)
        assert (answer.status, answer.json["reasons"]) == (503, site.reasons)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MountUnavailable("away"), "the mount is unavailable"),
        (MountReplaced("another"), "the mount is unavailable"),
        (Shortage("no helper process can be started"), LACKING),
        (OtherRelease("another release"), "another release of ingestd was installed: this daemon has to be restarted"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_readiness_says_what_keeps_the_mount_from_being_read(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: MountUnavailable, reason: str
) -> None:
    # The service of pre-flights checks the mount too, at a moment of its own.
    site.preflights.stop()
    assert site.preflights.join(PATIENCE)
    site.context.mount.check()
    monkeypatch.setattr(Mount, "identify", Mock(side_effect=error))
    with pytest.raises(MountUnavailable):
        site.context.mount.check()
    assert site.call("GET", "/readyz").json["reasons"] == [reason]
    monkeypatch.undo()
    site.context.mount.check()
    assert site.call("GET", "/readyz").json == {"status": "ok"}


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS])
def test_a_database_connection_without_a_descriptor_is_a_shortage(
    site: Site, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    site.context.mount.check()
    health = Health(site.context, Hooks(Mock(), Mock(), list))
    monkeypatch.setattr(socket, "socket", Mock(side_effect=OSError(number, os.strerror(number))))
    assert health.readyz().get_json()["reasons"] == [LACKING]


def test_parts_that_lack_resources_make_the_daemon_not_ready(site: Site) -> None:
    site.context.mount.check()
    assert Health(site.context, Hooks(Mock(), Mock(), list, lambda: ["scanner"])).readyz().get_json()["reasons"] == [
        LACKING
    ]


def test_a_daemon_without_its_database_is_healthy_and_not_ready(cut_off: Site) -> None:
    assert cut_off.get("/healthz") == {"status": "ok"}
    answer = cut_off.call("GET", "/readyz")
    assert answer.status == 503
    assert "the database is unavailable" in answer.json["reasons"]
    assert "nowhere" not in answer.text


@pytest.mark.parametrize("table", ["ingest_control", "import_job", "ingest_batch"])
def test_a_server_that_answers_but_runs_no_queries_is_not_ready(world: World, site: Site, table: str) -> None:
    site.context.mount.check()
    world.sql(f"RENAME TABLE {table} TO away")
    try:
        until(lambda: site.call("GET", "/readyz").status == 503)
        assert site.call("GET", "/readyz").json["reasons"] == ["the database is unavailable"]
    finally:
        world.sql(f"RENAME TABLE away TO {table}")
    until(lambda: site.call("GET", "/readyz").json == {"status": "ok"})
