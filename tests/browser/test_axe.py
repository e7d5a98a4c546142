"""No page breaks a rule of axe-core: light and dark, wide and narrow."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from browser.test_example import tick
from support.browser import Pages
from support.world import cover, photo

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 375, "height": 700}
LOOKS = [("light", WIDE), ("dark", WIDE), ("light", NARROW)]


@pytest.fixture(params=LOOKS, ids=["light", "dark", "narrow"])
def look(request: pytest.FixtureRequest) -> dict[str, Any]:
    scheme, viewport = request.param
    return {"color_scheme": scheme, "viewport": viewport}


def demand_no_violations(page: Page, where: str) -> None:
    found = Axe().run(page)
    assert found.response["violations"] == [], f"{where}: {found.generate_report()}"
    assert found.response["passes"], f"{where}: axe-core has looked at nothing"


def test_no_page_breaks_a_rule(pages: Pages, look: dict[str, Any]) -> None:
    page = pages.visit("/", **look)
    demand_no_violations(page, "Import Media, empty")
    ids = [pages.put(photo(f"a{n}"), cover(f"c{n}", f"none{n}"), {"type": "photo", "hash": "bad"}) for n in range(3)]
    invalid = pages.put(photo("x"), verification={"passed": False})
    expect(page.get_by_label(f"Select {invalid}")).to_be_visible()
    page.locator("summary", has_text="About this page").click()
    page.locator("summary", has_text="Pause the queue…").click()
    demand_no_violations(page, "Import Media, unfolded")
    page.get_by_role("button", name="Pause on every host").click()
    expect(page.get_by_role("region", name="Paused")).to_be_visible()
    tick(page, *ids, invalid)
    page.get_by_role("button", name="Queue selected…").click()
    page.get_by_role("dialog").wait_for()
    demand_no_violations(page, "the confirmation")
    page.get_by_role("button", name="Queue 3 batches").click()
    expect(page.get_by_role("dialog")).to_contain_text("3 of 3 queued")
    demand_no_violations(page, "the results")
    page.goto(pages.url("/tasks"))
    demand_no_violations(page, "Import Tasks, queued")
    page.goto(pages.url("/"))
    with pages.held_imports():
        page.get_by_role("button", name="Resume").click()
        pages.wait_for_status(ids[0], "importing")
        page.goto(pages.url("/tasks"))
        expect(page.get_by_role("region", name="Under way")).to_contain_text("running")
        demand_no_violations(page, "Import Tasks, running")
    for sync_id in ids:
        pages.wait_for_status(sync_id, "partial")
    for path in ("/", "/tasks", f"/batches/{ids[0]}", f"/batches/{invalid}", f"/batches/{ids[0]}?decision=failed"):
        page.goto(pages.url(path))
        demand_no_violations(page, path)
    page.goto(pages.url(f"/batches/{ids[1]}"))
    page.get_by_role("button", name="Pre-flight").click()
    page.locator("summary", has_text="Queue…").click()
    page.get_by_role("region", name="Recent events").locator("tbody summary").first.click()
    demand_no_violations(page, "a batch with its plan, unfolded")
    page.goto(pages.url("/batches/nothing"))
    demand_no_violations(page, "an unknown batch")


def test_signing_in_breaks_no_rule(pages: Pages, look: dict[str, Any]) -> None:
    page = pages.context(**look).new_page()
    page.goto(pages.url("/"))
    demand_no_violations(page, "signing in")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    demand_no_violations(page, "a wrong token")


def test_without_a_script_no_rule_is_broken_either(pages: Pages) -> None:
    """axe-core is a script itself: it looks at the pages as they come, before theirs has run."""
    sync_id = pages.put(photo("a"))
    context = pages.visit("/").context
    page = context.new_page()
    page.route("**/pages.js", lambda route: route.abort())
    for path in ("/", f"/batches/{sync_id}", "/tasks"):
        page.goto(pages.url(path))
        demand_no_violations(page, f"{path} without a script")
