"""Whatever is asked, in keeping with /openapi.json or against it: no 5xx, and no answer that it does not describe."""

import json
from functools import partial
from typing import Any

import hypothesis.strategies as st
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi import checks

from ingestd.model import RequestKind
from ingestd.store import request
from ingestd.store.request import PreflightState
from support.scale import scaled
from support.wait import until
from support.web_client import HOST, UNKNOWN, WebClient
from support.world import World, cover, photo

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
HEADERS = {"Host": HOST, "Authorization": "Bearer the-operator-token"}
OPERATIONS = [
    ("POST", "/api/v1/batches/{sync_id}/queue"), ("POST", "/api/v1/batches/{sync_id}/cancel"),
    ("POST", "/api/v1/batches/{sync_id}/preflight"), ("POST", "/api/v1/queue"), ("POST", "/api/v1/scan"),
    ("POST", "/api/v1/pause"), ("POST", "/api/v1/resume"), ("GET", "/api/v1/batches"),
    ("GET", "/api/v1/batches/{sync_id}"), ("GET", "/api/v1/batches/{sync_id}/items"),
    ("GET", "/api/v1/batches/{sync_id}/events"), ("GET", "/api/v1/jobs"), ("GET", "/api/v1/jobs/{job_id}"),
    ("GET", "/api/v1/requests/{request_id}"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/openapi.json"),
    ("GET", "/api/v1/jobs/recent"), ("GET", "/api/v1/status"), ("GET", "/api/v1/stuck"),
    ("POST", "/api/v1/mount/accept"), ("GET", "/api/v1/events"),
]  # fmt: skip
TAKE_NOTHING = ("/healthz", "/readyz", "/openapi.json")
"""They have no parameters, so nothing can be wrong with one."""
IN_KEEPING = [(*operation, GenerationMode.POSITIVE) for operation in OPERATIONS]
AGAINST = [(*operation, GenerationMode.NEGATIVE) for operation in OPERATIONS if operation[1] not in TAKE_NOTHING]
many = settings(max_examples=scaled(25, 200), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def filled(world: World, web_client: WebClient) -> dict[str, list[Any]]:
    """A daemon with data, and the existing values to use in requests besides random ones."""
    web_client.context.mount.check()
    imported = world.put(photo("a"), cover("c", "missing"), {"type": "photo", "hash": "bad"}, day=1)
    world.import_all(web_client.context, imported)
    others = [world.put(photo("b"), day=2), world.put(photo("c"), verification={"passed": False}, day=3)]
    job_id = world.one("SELECT MAX(id) FROM import_job")
    scan, plan = run_requests(web_client, imported)
    return {"sync_id": [imported, *others, UNKNOWN], "job_id": [job_id, 0], "request_id": [scan, plan, 0]}


def run_requests(web_client: WebClient, sync_id: str) -> list[int]:
    """A scan and a pre-flight that are done: their ids."""
    db, kinds = web_client.context.db, ((RequestKind.SCAN, None), (RequestKind.PREFLIGHT, sync_id))
    ids = [db.transaction(partial(request.insert, kind=kind, requested_by="x", sync_id=id_)) for kind, id_ in kinds]
    web_client.run_scan()
    web_client.preflights.wake()
    until(lambda: db.read(partial(request.preflight_state, sync_id=sync_id)) == PreflightState())
    return ids


@pytest.mark.soak
@pytest.mark.parametrize(("method", "path", "mode"), IN_KEEPING + AGAINST)
def test_every_answer_is_a_described_one(
    world: World, web_client: WebClient, method: str, path: str, mode: GenerationMode
) -> None:
    known, base = filled(world, web_client), f"http://{web_client.listener.address}"
    schema = schemathesis.openapi.from_dict(json.loads(web_client.send("GET", "/openapi.json", headers=HEADERS).text))
    operation = schema[path][method]
    asked = []

    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    @many
    def ask(case: "schemathesis.Case[Any]", data: st.DataObject) -> None:
        for name in case.path_parameters:
            # A number that there is would take away what is wrong with the one that was made up.
            if (name == "sync_id" or mode is GenerationMode.POSITIVE) and data.draw(st.booleans()):
                case.path_parameters[name] = data.draw(st.sampled_from(known[name]))
        response = case.call(base_url=base, headers=HEADERS)
        case.validate_response(response, checks=CHECKS, headers=HEADERS)
        asked.append(response.status_code)

    ask()
    assert asked


def test_all_that_is_described_is_asked_for(web_client: WebClient) -> None:
    paths = json.loads(web_client.send("GET", "/openapi.json", headers=HEADERS).text)["paths"]
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == set(OPERATIONS)
