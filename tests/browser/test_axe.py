"""No page has accessibility violations (axe-core): light and dark, wide and narrow."""

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


def check_accessibility(page: Page, where: str) -> None:
    found = Axe().run(page)
    assert found.response["violations"] == [], f"{where}: {found.generate_report()}"
    assert found.response["passes"], f"{where}: axe-core checked nothing"


def test_pages_are_accessible(pages: Pages, look: dict[str, Any]) -> None:
    page = pages.visit("/", **look)
    check_accessibility(page, "Import Media, empty")
    ids = [pages.put(photo(f"a{n}"), cover(f"c{n}", f"none{n}"), {"type": "photo", "hash": "bad"}) for n in range(3)]
    invalid = pages.put(photo("x"), verification={"passed": False})
    expect(page.get_by_label(f"Select {invalid}")).to_be_visible()
    page.locator("summary", has_text="About this page").click()
    page.locator("summary", has_text="Pause the queue…").click()
    check_accessibility(page, "Import Media, unfolded")
    page.get_by_role("button", name="Pause on every host").click()
    expect(page.get_by_role("region", name="Paused")).to_be_visible()
    tick(page, *ids, invalid)
    page.get_by_role("button", name="Queue selected…").click()
    page.get_by_role("dialog").wait_for()
    check_accessibility(page, "the confirmation")
    page.get_by_role("button", name="Queue 3 batches").click()
    expect(page.get_by_role("dialog")).to_contain_text("3 of 3 queued")
    check_accessibility(page, "the results")
    page.goto(pages.url("/tasks"))
    check_accessibility(page, "Import Tasks, queued")
    page.goto(pages.url("/"))
    with pages.held_imports():
        page.get_by_role("button", name="Resume").click()
        pages.wait_for_status(ids[0], "importing")
        page.goto(pages.url("/tasks"))
        expect(page.get_by_role("region", name="Active jobs")).to_contain_text("running")
        check_accessibility(page, "Import Tasks, running")
    for sync_id in ids:
        pages.wait_for_status(sync_id, "partial")
    for path in (
        "/",
        "/tasks",
        "/ledger",
        f"/batches/{ids[0]}",
        f"/batches/{invalid}",
        f"/batches/{ids[0]}?decision=failed",
    ):
        page.goto(pages.url(path))
        check_accessibility(page, path)
    page.goto(pages.url(f"/batches/{ids[1]}"))
    page.get_by_role("button", name="Pre-flight").click()
    page.locator("summary", has_text="Queue…").click()
    page.get_by_role("region", name="Recent events").locator("tbody summary").first.click()
    check_accessibility(page, "a batch with its plan, unfolded")
    page.goto(pages.url("/batches/nothing"))
    check_accessibility(page, "an unknown batch")


def test_sign_in_is_accessible(pages: Pages, look: dict[str, Any]) -> None:
    page = pages.context(**look).new_page()
    page.goto(pages.url("/"))
    check_accessibility(page, "signing in")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    check_accessibility(page, "a wrong token")


def test_pages_are_accessible_without_their_script(pages: Pages) -> None:
    """axe-core needs scripts, so only the page's own script is blocked."""
    sync_id = pages.put(photo("a"))
    context = pages.visit("/").context
    page = context.new_page()
    page.route("**/pages.js", lambda route: route.abort())
    for path in ("/", f"/batches/{sync_id}", "/tasks", "/ledger"):
        page.goto(pages.url(path))
        check_accessibility(page, f"{path} without a script")
