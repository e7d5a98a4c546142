"""The API and its probes without the database or the mount."""

import pytest

from ingestd.errors import MountUnavailable
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
