"""The description of the API, and its metrics."""

import re

from openapi_spec_validator import validate

from support.api_site import UNKNOWN, Site
from support.world import World, sample


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
