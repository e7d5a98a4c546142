"""Every API route, over a real listener and a real database; every response is checked against /openapi.json."""

import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from ingestd.app import make_context
from ingestd.config import DatabaseSettings, Settings
from ingestd.errors import MountUnavailable
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.requests import PreflightStep, ScanStep
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.worker_pool import claim
from ingestd.service import Service
from ingestd.store.queries import jobs
from ingestd.web import Hooks, make_app, make_listener
from support.wait import PATIENCE, until
from support.world import World, cover, md5, photo, sample

# The driver leaves the socket of a connection that it could not make to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

HOST = "ingestd.test"
TOKENS = "# users\nolivia:operator:the-operator-token\n\nvictor:viewer:the-viewer-token\n"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
PROBLEM = "application/problem+json"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def detail(self) -> str:
        return str(self.json["detail"])


@dataclass
class Site:
    """The API of a daemon, with a client that checks responses against /openapi.json.

    Scans run when the test calls `scans`; pre-flights run in the background. `woken` lists the hooks that were called.
    """

    context: Context
    woken: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    spec: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        instance = this_instance()
        self.scans = ScanStep(self.context, instance, Scanner(self.context))
        self.preflights = Service("preflight", PreflightStep(self.context, instance).run_once, finally_do=self._close)
        on_queued, health = (lambda: self.woken.append("queued")), (lambda: list(self.reasons))
        self.web = make_app(self.context, Hooks(on_queued, self._on_request, health))
        listener = make_listener(self.context.settings, self.web)
        assert listener is not None
        self.listener = listener

    def _on_request(self) -> None:
        self.woken.append("request")
        self.preflights.wake()

    def _close(self) -> None:
        self.context.db.close()

    def start(self) -> None:
        self.listener.start()
        self.preflights.start()
        self.spec = json.loads(self.send("GET", "/openapi.json").text)

    def stop(self) -> None:
        self.listener.stop()
        self.preflights.stop()
        assert self.preflights.join(30)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Sends one request unchanged; underscores in header names become dashes."""
        connection = http.client.HTTPConnection(self.listener.address, timeout=60)
        sent = {"Host": HOST, "Authorization": "Bearer the-operator-token"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read().decode())
        finally:
            connection.close()

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Sends one request as an operator and compares the response with the description."""
        answer = self.send(method, path, None if body is None else json.dumps(body).encode())
        self.compare(method, path, answer)
        return answer

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status == 200, answer.text
        return answer.json

    def post(self, path: str, body: Any = None) -> Answer:
        return self.call("POST", path, body)

    def compare(self, method: str, path: str, answer: Answer) -> None:
        described = self.operation(method, path)["responses"][str(answer.status)]["content"]
        kind = answer.headers["Content-Type"]
        assert list(described) == [kind]
        check({**self.spec, "allOf": [described[kind]["schema"]]}, answer.json)

    def operation(self, method: str, path: str) -> dict[str, Any]:
        for template, methods in self.spec["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path.partition("?")[0]):
                found: dict[str, Any] = methods[method.lower()]
                return found
        raise AssertionError(f"{path} is not described")


def check(schema: dict[str, Any], value: Any) -> None:
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(value)


def settings_of(world: World, tmp_path: Path, **overrides: dict[str, Any]) -> Settings:
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKENS)
    http_section = {"listen": "127.0.0.1:0", "allowed_hosts": [HOST], "tokens_file": str(tokens)}
    return world.settings(http=http_section, **overrides)


def serve(world: World, settings: Settings) -> Iterator[Site]:
    context = make_context(settings)
    world.contexts.append(context)
    site = Site(context)
    site.start()
    yield site
    site.stop()


@pytest.fixture
def site(world: World, tmp_path: Path) -> Iterator[Site]:
    yield from serve(world, settings_of(world, tmp_path, queue={"removal_limit": 1}))


@pytest.fixture
def cut_off(world: World, tmp_path: Path) -> Iterator[Site]:
    """The API without a database."""
    nowhere = DatabaseSettings(unix_socket=str(tmp_path / "nowhere"))
    yield from serve(world, settings_of(world, tmp_path).model_copy(update={"database": nowhere}))


def put(world: World, site: Site, *items: Any, **envelope: Any) -> str:
    """Writes a bundle and records it."""
    sync_id = world.put(*items, **envelope)
    world.scan(site.context)
    return sync_id


def run_it(world: World) -> None:
    """Claims the queued job, so that it counts as running."""
    with_lease = claim(world.contexts[0], "test/pid:1/0", str(this_instance()))
    assert with_lease is not None


def all_pages(site: Site, path: str) -> list[Any]:
    """All rows of a list, read page by page."""
    found, after = [], ""
    while True:
        page = site.get(path + after)
        found += page["items"]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


# queue


def test_a_batch_is_queued_once(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    made = site.post(f"/api/v1/batches/{sync_id}/queue", {"priority": 7})
    assert made.status == 201
    assert (made.json["sync_id"], made.json["state"], made.json["priority"]) == (sync_id, "queued", 7)
    assert made.headers["Location"] == f"/api/v1/jobs/{made.json['id']}"
    assert site.woken == ["queued"]
    again = site.post(f"/api/v1/batches/{sync_id}/queue")
    assert (again.status, again.json) == (200, made.json)
    sooner = site.post(f"/api/v1/batches/{sync_id}/queue", {"priority": 3})
    assert (sooner.status, sooner.json) == (200, {**made.json, "priority": 3})
    assert world.one("SELECT COUNT(*) FROM import_job") == 1


def test_the_ledger_names_who_requested(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    assert site.post(f"/api/v1/batches/{sync_id}/queue").json["requested_by"] == "olivia"
    site.post(f"/api/v1/batches/{sync_id}/queue", {"priority": 1})
    site.post(f"/api/v1/batches/{sync_id}/cancel")
    names = [payload["requested_by"] for _, payload in world.events(sync_id) if "requested_by" in payload]
    assert names == ["olivia"] * 3


def test_a_batch_that_cannot_be_queued_is_refused_with_the_reason(world: World, site: Site) -> None:
    assert site.post(f"/api/v1/batches/{UNKNOWN}/queue").status == 404
    assert site.post("/api/v1/batches/%C3%A4/queue").status == 404
    invalid = put(world, site, photo("a"), verification={"passed": False})
    refused = site.post(f"/api/v1/batches/{invalid}/queue")
    assert refused.status == 409
    assert f"batch {invalid} is invalid: verification" in refused.detail
    sync_id = put(world, site, photo("b"))
    assert "has no deferred items" in site.post(f"/api/v1/batches/{sync_id}/queue", {"only": "deferred"}).detail
    (world.root / f"sync/{sync_id}.json").unlink()
    (world.root / f"sync/{sync_id}.ready").unlink()
    gone = site.post(f"/api/v1/batches/{put(world, site, photo('c'))}/queue")
    assert gone.status == 201


def test_a_missing_manifest_is_not_an_outage(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    (world.root / f"sync/{sync_id}.json").unlink()
    assert site.post(f"/api/v1/batches/{sync_id}/queue").status == 409
    assert site.post(f"/api/v1/batches/{sync_id}/preflight").status == 409


def test_several_batches_are_queued_oldest_first(world: World, site: Site) -> None:
    newest, middle, oldest = (put(world, site, photo(str(day)), day=day) for day in (3, 2, 1))
    answer = site.post("/api/v1/queue", {"sync_ids": [newest, middle, oldest]})
    jobs = {result["sync_id"]: result["job"]["id"] for result in answer.json["results"]}
    assert list(jobs) == [newest, middle, oldest]
    assert jobs[oldest] < jobs[middle] < jobs[newest]


def test_a_running_job_refuses_what_it_cannot_take_up(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    address = f"/api/v1/batches/{sync_id}/queue"
    assert site.post(address).status == 201
    run_it(world)
    assert site.post(address).status == 200
    for body in ({"priority": 3}, {"force": True}, {"only": "failed"}):
        refused = site.post(address, body)
        assert refused.status == 409
        assert "can no longer take up" in refused.detail


def test_removals_beyond_the_limit_need_force(world: World, site: Site) -> None:
    world.import_all(site.context, world.put(photo("a"), photo("b"), day=1))
    sync_id = put(world, site, photo("a"), photo("b"), action="remove", day=2)
    refused = site.post(f"/api/v1/batches/{sync_id}/queue")
    assert refused.status == 409
    assert "queue.removal_limit = 1" in refused.detail
    assert world.events(sync_id)[-1][0] == "removal_refused"
    shown = site.get(f"/api/v1/batches/{sync_id}")
    nothing = {"assets": 0, "files": 0, "members": 0}
    assert (shown["status"], shown["removals"]["is_held"], shown["removals"]["removed"]) == ("held", True, nothing)
    assert [row["sync_id"] for row in site.get("/api/v1/batches?status=held")["items"]] == [sync_id]
    assert site.post(f"/api/v1/batches/{sync_id}/queue", {"force": True}).status == 201


def test_only_failed_or_deferred_items_can_be_queued(world: World, site: Site) -> None:
    sync_id = world.put(photo("a"), cover("c", "unknown"))
    world.import_all(site.context, sync_id)
    assert site.post(f"/api/v1/batches/{sync_id}/queue", {"only": "failed"}).status == 409
    made = site.post(f"/api/v1/batches/{sync_id}/queue", {"only": "deferred"})
    assert (made.status, made.json["scope"]) == (201, "deferred")


def test_many_batches_are_queued_with_one_request(world: World, site: Site) -> None:
    first, second = (put(world, site, photo(name), day=day) for day, name in enumerate("ab", 1))
    invalid = put(world, site, photo("c"), verification={"passed": False})
    answer = site.post("/api/v1/queue", {"sync_ids": [first, UNKNOWN, invalid, second, first], "priority": 9})
    assert answer.status == 200
    results = answer.json["results"]
    assert [(result["sync_id"], result["status"]) for result in results] == [
        (first, 201), (UNKNOWN, 404), (invalid, 409), (second, 201), (first, 200),
    ]  # fmt: skip
    assert [result["job"] and result["job"]["priority"] for result in results] == [9, None, None, 9, 9]
    assert "is invalid" in results[2]["error"]


# cancel


def test_a_job_is_cancelled(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    assert site.post(f"/api/v1/batches/{UNKNOWN}/cancel").status == 404
    nothing = site.post(f"/api/v1/batches/{sync_id}/cancel")
    assert (nothing.status, nothing.detail) == (409, f"batch {sync_id} has no job to cancel")
    site.post(f"/api/v1/batches/{sync_id}/queue")
    cancelled = site.post(f"/api/v1/batches/{sync_id}/cancel")
    assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled")
    site.post(f"/api/v1/batches/{sync_id}/queue")
    run_it(world)
    running = site.post(f"/api/v1/batches/{sync_id}/cancel")
    assert running.status == 409
    assert "is running" in running.detail


# preflight


def test_a_plan_is_made(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"), {"type": "photo", "hash": "bad"})
    answer = site.post(f"/api/v1/batches/{sync_id}/preflight")
    assert answer.status == 200
    assert (answer.json["ok"], answer.json["item_count"]) == (False, 2)
    assert answer.json["counts"]["will_create"] == 1
    assert [wrong["hash"] for wrong in answer.json["failure_samples"]] == ["#1"]
    assert site.post(f"/api/v1/batches/{UNKNOWN}/preflight").status == 404
    invalid = put(world, site, photo("c"), verification={"passed": False})
    assert site.post(f"/api/v1/batches/{invalid}/preflight").status == 409


@pytest.mark.parametrize("items", [1, 5001])
def test_a_preflight_is_refused_while_the_job_runs(world: World, site: Site, items: int) -> None:
    sync_id = put(world, site, photo("a"))
    site.post(f"/api/v1/batches/{sync_id}/queue")
    world.sql("UPDATE ingest_batch SET item_count = %s", items)
    run_it(world)
    refused = site.post(f"/api/v1/batches/{sync_id}/preflight")
    assert refused.status == 409
    assert "is importing" in refused.detail


def test_a_large_plan_is_made_in_the_background(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    world.sql("UPDATE ingest_batch SET item_count = 5000")
    at_once = site.post(f"/api/v1/batches/{sync_id}/preflight")
    assert at_once.status == 200
    world.sql("UPDATE ingest_batch SET item_count = 5001, plan_sha256 = NULL")
    accepted = site.post(f"/api/v1/batches/{sync_id}/preflight")
    number, address = accepted.json["id"], accepted.headers["Location"]
    assert (accepted.status, address) == (202, f"/api/v1/requests/{number}")
    assert address in accepted.detail
    request = until(lambda: (found := site.get(address))["state"] == "done" and found)
    assert request["result"] == at_once.json
    assert (request["kind"], request["sync_id"], request["error"]) == ("preflight", sync_id, None)
    assert (request["requested_by"], request["id"]) == ("olivia", number)
    assert TIME.fullmatch(request["requested_at"])
    assert request["requested_at"] <= request["claimed_at"] <= request["finished_at"]
    assert site.get(f"/api/v1/batches/{sync_id}")["preflight"] == {"pending": False, "error": None}
    assert site.get(f"/api/v1/batches/{sync_id}")["plan_sha256"] is not None


def test_a_batch_shows_the_state_of_its_newest_preflight(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"))
    path = f"/api/v1/batches/{sync_id}"
    world.sql("UPDATE ingest_batch SET item_count = 5001")
    site.preflights.stop()
    site.preflights.join()
    site.post(f"{path}/preflight")
    assert site.get(path)["preflight"] == {"pending": True, "error": None}
    world.sql("UPDATE ingest_request SET state = 'running'")
    assert site.get(path)["preflight"] == {"pending": True, "error": None}
    world.sql("UPDATE ingest_request SET state = 'failed', error = 'not now'")
    assert site.get(path)["preflight"] == {"pending": False, "error": "not now"}
    site.post(f"{path}/preflight")
    assert site.get(path)["preflight"] == {"pending": True, "error": None}


# scan, pause, resume


def test_a_scan_is_accepted_and_its_request_has_the_result(world: World, site: Site) -> None:
    sync_ids = sorted((world.put(photo("a")), world.put(photo("b"))))
    world.file(f"sync/{UNKNOWN}.ready", b"")
    accepted = site.post("/api/v1/scan")
    assert accepted.status == 202
    assert site.woken == ["request"]
    number, address = accepted.json["id"], accepted.headers["Location"]
    assert address == f"/api/v1/requests/{number}"
    assert address in accepted.detail
    queued = site.get(address)
    assert (queued["kind"], queued["state"], queued["sync_id"], queued["result"]) == ("scan", "queued", None, None)
    assert site.post("/api/v1/scan").json["id"] == number, "a scan that has not begun answers both"
    site.scans.notify()
    site.scans.run_once()
    done = site.get(address)
    assert (done["state"], done["result"]) == ("done", {"sync_ids": sync_ids, "unrecorded": 1})
    # Several threads read them, so either may be recorded first.
    assert sorted(batch["sync_id"] for batch in site.get("/api/v1/batches")["items"]) == sync_ids


@pytest.mark.parametrize("number", ["0", "1", "9" * 18])
def test_an_unknown_request_is_not_found(world: World, site: Site, number: str) -> None:
    world.sql("ALTER TABLE ingest_request AUTO_INCREMENT = 1000")
    site.post("/api/v1/scan")
    answer = site.call("GET", f"/api/v1/requests/{number}")
    assert answer.status == 404
    assert f"no request {number}" in answer.detail
    assert site.send("GET", "/api/v1/requests/x").status == 404


def test_the_queue_is_paused_and_resumed(site: Site) -> None:
    paused = site.post("/api/v1/pause", {"reason": "a look around"})
    assert paused.status == 200
    shown = {key: paused.json[key] for key in ("paused", "changed", "paused_by", "paused_reason")}
    assert shown == {"paused": True, "changed": True, "paused_by": "olivia", "paused_reason": "a look around"}
    assert site.post("/api/v1/pause").json == {**paused.json, "changed": False}
    resumed = site.post("/api/v1/resume")
    assert (resumed.status, resumed.json["paused"], resumed.json["changed"]) == (200, False, True)
    assert site.woken == ["queued"]
    assert not site.post("/api/v1/resume").json["changed"]


# lists


def test_batches_are_listed_newest_first_in_pages(world: World, site: Site) -> None:
    sync_ids = [put(world, site, photo(str(day)), day=day) for day in range(1, 6)]
    invalid = put(world, site, photo("x"), verification={"passed": False})
    found = all_pages(site, "/api/v1/batches?limit=2")
    assert [batch["sync_id"] for batch in found] == [invalid, *reversed(sync_ids)]
    assert [batch["sync_id"] for batch in all_pages(site, "/api/v1/batches?limit=1&status=invalid")] == [invalid]
    assert [b["sync_id"] for b in all_pages(site, "/api/v1/batches?limit=2&status=new")] == sync_ids[::-1]


def test_a_batch_shows_its_decisions_and_failures(world: World, site: Site) -> None:
    bad = [{"type": "photo", "hash": f"bad{i}"} for i in range(2)]
    sync_id = world.put(photo("a"), photo("b"), photo("c"), cover("d", "unknown"), *bad)
    world.import_all(site.context, sync_id)
    batch = site.get(f"/api/v1/batches/{sync_id}")
    assert batch["status"] == "partial"
    assert batch["decisions"] == {"created": 3, "deferred": 1, "failed": 2}
    assert batch["failures"] == [
        {"decision": "failed", "reason": "bad_entry", "items": 2},
        {"decision": "deferred", "reason": "parent_missing", "items": 1},
    ]
    assert batch["manifest_sha256"] == batch["plan_sha256"]
    assert batch["manifest_summary"] is not None
    assert [job["state"] for job in batch["jobs"]] == ["done"]
    assert site.call("GET", f"/api/v1/batches/{UNKNOWN}").status == 404


def test_items_are_listed_in_the_order_of_the_manifest(world: World, site: Site) -> None:
    names = [f"p{i}" for i in range(7)]
    sync_id = world.put(*map(photo, names), cover("late", "unknown"), {"type": "photo", "hash": "bad"})
    world.import_all(site.context, sync_id)
    items = all_pages(site, f"/api/v1/batches/{sync_id}/items?limit=2")
    assert [item["hash"] for item in items] == [*map(md5, names), md5("late"), "#8"]
    assert items[0]["target_ids"] == {"asset_id": world.one("SELECT id FROM asset WHERE hash = %s", md5("p0"))}
    for decision, hashes in {"created": [*map(md5, names)], "failed": ["#8"], "deferred": [md5("late")]}.items():
        some = all_pages(site, f"/api/v1/batches/{sync_id}/items?limit=3&decision={decision}")
        assert [item["hash"] for item in some] == hashes
    assert site.get(f"/api/v1/batches/{sync_id}/items?decision=linked") == {"items": [], "next": None}
    assert site.call("GET", f"/api/v1/batches/{UNKNOWN}/items").status == 404


def test_items_no_longer_listed_are_left_out(world: World, site: Site) -> None:
    sync_id = put(world, site, photo("a"), photo("b"), {"type": "photo", "hash": "bad"})
    site.post(f"/api/v1/batches/{sync_id}/preflight")
    world.put(photo("b"), sync_id=sync_id)
    site.post(f"/api/v1/batches/{sync_id}/preflight")
    assert [item["hash"] for item in all_pages(site, f"/api/v1/batches/{sync_id}/items?limit=1")] == [md5("b")]
    assert site.get(f"/api/v1/batches/{sync_id}/items?decision=failed")["items"] == []


def test_events_are_listed_newest_first(world: World, site: Site) -> None:
    sync_id = world.put(photo("a"), photo("b"))
    world.import_all(site.context, sync_id, put(world, site, photo("z"), day=2))
    events = all_pages(site, f"/api/v1/batches/{sync_id}/events?limit=3")
    assert [(event["event_type"], event["payload"]) for event in reversed(events)] == world.events(sync_id)
    assert site.call("GET", f"/api/v1/batches/{UNKNOWN}/events").status == 404


def test_batches_are_filtered_by_action_and_prefix(world: World, site: Site) -> None:
    first, second = put(world, site, photo("a")), put(world, site, photo("a"), action="update", day=2)
    third = put(world, site, photo("b"), source_host="tide_1", day=3)

    def found(query: str) -> list[str]:
        return [batch["sync_id"] for batch in all_pages(site, f"/api/v1/batches?limit=1&{query}")]

    assert found("action=update") == [second]
    assert found("action=create&status=new") == [third, first]
    assert found("action=create&status=failed") == []
    assert found(f"prefix={first[:13].upper()}") == [first]
    assert found("prefix=flux-") == [second, first]
    assert found("prefix=flux-&action=update&status=new") == [second]
    assert found("prefix=tide_") == [third]
    assert found("prefix=t%25") == found("prefix=t_de") == found("prefix=%C3%A4") == []


def test_jobs_are_listed_newest_first(world: World, site: Site) -> None:
    sync_ids = [world.put(photo(str(day)), day=day) for day in range(1, 5)]
    world.import_all(site.context, *sync_ids[:2])
    made = [site.post(f"/api/v1/batches/{sync_id}/queue").json for sync_id in sync_ids[2:]]
    assert [job["sync_id"] for job in all_pages(site, "/api/v1/jobs?limit=1")] == sync_ids[::-1]
    assert [job["sync_id"] for job in all_pages(site, "/api/v1/jobs?limit=1&state=queued")] == sync_ids[:1:-1]
    assert [job["sync_id"] for job in all_pages(site, "/api/v1/jobs?limit=1&state=done")] == sync_ids[1::-1]
    assert site.get("/api/v1/jobs?state=failed") == {"items": [], "next": None}
    assert site.get(f"/api/v1/jobs/{made[0]['id']}") == made[0]
    assert site.call("GET", "/api/v1/jobs/4294967296").status == 404
    assert site.send("GET", "/api/v1/jobs/1x").status == 404


# wrong requests


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"priority": 1,\n "force": tru}', "line 2, column"),
        (b"\xff\xfe", "line 1, column"),
        (b"a=b", "line 1, column 1"),
        (b"[" * 5000, "line 1, column"),
        (b'{"priority": NaN}', "line 1, column"),
        (b"[]", "/"),
        (b'"{}"', "/"),
        (b'{"priority": "5"}', "/priority"),
        (b'{"priority": 2147483648}', "/priority"),
        (b'{"force": 1}', "/force"),
        (b'{"only": "some"}', "/only"),
        (b'{"Priority": 1}', "/Priority"),
    ],
)
def test_a_wrong_body_is_refused_and_the_error_names_the_place(site: Site, body: bytes, place: str) -> None:
    path = f"/api/v1/batches/{UNKNOWN}/queue"
    answer = site.send("POST", path, body)
    assert answer.status == 400
    site.compare("POST", path, answer)
    assert place in answer.json["errors"][0]["place"]
    assert place in answer.detail


@pytest.mark.parametrize("body", [{}, {"sync_ids": []}, {"sync_ids": [1]}, {"sync_ids": ["x"] * 501}])
def test_queueing_without_sync_ids_is_refused(site: Site, body: Any) -> None:
    answer = site.post("/api/v1/queue", body)
    assert answer.status == 400
    assert answer.json["errors"][0]["place"].startswith("/sync_ids")


@pytest.mark.parametrize(
    "query",
    ["limit=501", "limit=0", "limit=x", "after=-1", "after=x", "status=odd", "action=odd", "prefix=", "colour=red"],
)
def test_a_wrong_query_parameter_is_refused(site: Site, query: str) -> None:
    answer = site.call("GET", f"/api/v1/batches?{query}")
    assert answer.status == 400
    assert answer.json["errors"][0]["place"] == f"query parameter {query.partition('=')[0]}"


def test_the_largest_page_has_500_rows(site: Site) -> None:
    assert site.get("/api/v1/batches?limit=500") == {"items": [], "next": None}


def test_an_oversized_body_is_refused(site: Site) -> None:
    fits = json.dumps({"reason": "x"}).encode().ljust(64 * 1024)
    assert site.send("POST", "/api/v1/pause", fits).status == 200
    for method, path in (("POST", "/api/v1/pause"), ("POST", "/api/v1/scan"), ("GET", "/api/v1/jobs")):
        answer = site.send(method, path, fits + b" ")
        assert answer.status == 413
        site.compare(method, path, answer)


@pytest.mark.parametrize(
    "path", ["/nothing", "/api", "/api/v1/batches/", "/api//v1/jobs", "/static/x", "/openapi/", "/api/v2/jobs"]
)
def test_other_paths_are_not_found(site: Site, path: str) -> None:
    answer = site.send("GET", path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, PROBLEM)
    assert answer.detail


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/api/v1/jobs", "GET, HEAD"),
        ("GET", "/api/v1/scan", "POST"),
        ("DELETE", "/api/v1/batches", "GET, HEAD"),
        ("OPTIONS", "/api/v1/scan", "POST"),
    ],
)
def test_a_wrong_method_is_refused(site: Site, method: str, path: str, allowed: str) -> None:
    answer = site.send(method, path)
    assert (answer.status, answer.headers["Content-Type"], answer.headers["Allow"]) == (405, PROBLEM, allowed)


def break_down() -> None:
    raise RuntimeError("a secret detail")


def test_an_unexpected_error_shows_no_detail(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "page", lambda *_args, **_more: break_down())
    answer = site.call("GET", "/api/v1/jobs")
    assert answer.status == 500
    assert "secret" not in answer.text


# outages and health


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


# description and metrics


def test_the_description_is_true(site: Site) -> None:
    validate(site.spec)
    described = {(m.upper(), path) for path, methods in site.spec["paths"].items() for m in methods}
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in site.web.url_map.iter_rules()
        if not rule.endpoint.startswith(("pages.", "static"))
        for method in (rule.methods or set()) - {"HEAD"}
    }
    assert described == served
    is_open = {
        path for path, methods in site.spec["paths"].items() if not methods.get("get", {"security": 1}).get("security")
    }
    assert is_open == {"/healthz", "/readyz"}


def test_requests_are_counted_by_rule(world: World, site: Site) -> None:
    for _ in range(2):
        site.call("GET", f"/api/v1/batches/{UNKNOWN}")
    site.send("BREW", "/coffee")
    rule = "/api/v1/batches/<sync_id>"
    assert sample(site.context, "http_requests_total", route=rule, method="GET", code="404") == 2
    assert sample(site.context, "http_requests_total", route="unmatched", method="other", code="404") == 1
    assert sample(site.context, "http_request_duration_seconds_count", route=rule) == 2
    text = [key for family in site.context.instruments.registry.collect() for key in family.samples]
    assert not [key for key in text if UNKNOWN in str(key) or "coffee" in str(key)]
