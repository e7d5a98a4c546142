"""Requests that the API refuses, and the problem that each response names."""

import json
from typing import Any

import pytest

from ingestd.store.queries import jobs
from support.api_site import PROBLEM, UNKNOWN, Site
from support.world import World


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
        (b'{"manifest_sha256": "00"}', "/manifest_sha256"),
        (b'{"force": true, "max_removals": -1}', "/max_removals"),
        (b'{"max_removals": 3}', "/"),
        (b'{"force": {"x": ' + b"[" * 1015 + b"]" * 1015 + b"}}", "/"),
    ],
)
def test_a_wrong_body_is_refused_and_the_error_names_the_place(site: Site, body: bytes, place: str) -> None:
    path = f"/api/v1/batches/{UNKNOWN}/queue"
    answer = site.send("POST", path, body)
    assert answer.status == 400
    site.compare("POST", path, answer)
    assert place in answer.json["errors"][0]["place"]
    assert place in answer.detail


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"priority": 1, "priority": 2}', "priority"),
        (b'{"force": false, "force": false}', "force"),
        (b'{"force": true, "priority": 1, "for\\u0063e": false}', "force"),
        (b'{"only": {"a": 1, "b": [{"x": ":", "x": ":"}]}}', "x"),
        (b'{"": 1, "": 1}', ""),
    ],
)
@pytest.mark.parametrize("path", [f"/api/v1/batches/{UNKNOWN}/queue", "/api/v1/pause"])
def test_a_repeated_key_is_refused_and_named(world: World, site: Site, path: str, body: bytes, key: str) -> None:
    answer = site.send("POST", path, body)
    assert (answer.status, answer.headers["Content-Type"]) == (400, PROBLEM)
    site.compare("POST", path, answer)
    assert answer.detail == f"The request is wrong at /: key {key!r} appears twice."
    assert world.one("SELECT paused FROM ingest_control") == 0


def test_equal_keys_of_different_objects_and_many_colons_are_accepted(site: Site) -> None:
    assert site.send("POST", "/api/v1/pause", b'{"reason": "a:b, \\"reason\\": \\"reason\\":"}').status == 200


@pytest.mark.parametrize("query", ["limit=1&limit=2", "after=9&limit=1&after=9", "limit=1&l%69mit=1"])
@pytest.mark.parametrize("path", ["/api/v1/batches", "/api/v1/jobs"])
def test_a_repeated_query_parameter_is_refused(site: Site, path: str, query: str) -> None:
    answer = site.call("GET", f"{path}?{query}")
    assert answer.status == 400
    assert answer.detail.endswith("given more than once.")


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
