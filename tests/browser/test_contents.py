"""What the pages show, and to whom."""

import re
from typing import Any

from playwright.sync_api import Page, expect

from browser.test_example import row
from support.browser import Pages
from support.reads import wait_for_reads
from support.world import photo


def test_times_are_local_with_utc_on_hover(pages: Pages) -> None:
    sync_id = pages.put(photo("a"))
    pages.world.sql("UPDATE ingest_batch SET discovered_at = '2026-06-30 20:15:30' WHERE sync_id = %s", sync_id)
    page = pages.visit("/", timezone_id="Asia/Kolkata")
    time = row(page, sync_id).locator("time")
    expect(time).to_have_text("2026-07-01 01:45:30")
    expect(time).to_have_attribute("title", "2026-06-30 20:15:30 UTC")
    plain = pages.visit("/", java_script_enabled=False)
    expect(row(plain, sync_id).locator("time")).to_have_text("2026-06-30 20:15:30 UTC")


def test_markup_in_a_bundle_is_escaped_and_no_other_site_is_contacted(pages: Pages) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    sync_id = pages.put(photo("a"), source_host=hostile)
    pages.world.sql("UPDATE ingest_batch SET source_host = %s, last_error = %s", hostile, hostile)
    page = pages.visit("/")
    asked: list[str] = []
    wrong: list[Any] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    for path in ("/", f"/batches/{sync_id}", "/tasks", "/ledger"):
        page.goto(pages.url(path))
    page.goto(pages.url(f"/batches/{sync_id}"))
    expect(page.get_by_text(hostile).first).to_be_visible()
    wait_for_reads(page)
    assert wrong == []
    assert [url for url in asked if not url.startswith(pages.url())] == []


def test_a_viewer_sees_no_action_buttons(pages: Pages) -> None:
    sync_id = pages.put(photo("a"))
    page = pages.visit("/", token="the-viewer-token")
    expect(row(page, sync_id)).to_be_visible()
    assert names_of_buttons(page) == ["Filter", "Sign out"]
    page.goto(pages.url(f"/batches/{sync_id}"))
    assert names_of_buttons(page) == ["Filter", "Sign out"]


def names_of_buttons(page: Page) -> list[str]:
    return sorted(button.inner_text() for button in page.get_by_role("button").all())


def test_a_link_from_another_site_keeps_the_session(pages: Pages) -> None:
    """The cookie is SameSite=Strict; still, a link in a dashboard opens the batch without a new sign-in."""
    sync_id = pages.put(photo("a"))
    page = pages.visit("/")
    elsewhere = "http://elsewhere.test/"
    link = f'<a href="{pages.url(f"/batches/{sync_id}")}">the batch</a>'
    page.route(re.compile("elsewhere"), lambda route: route.fulfill(body=link, content_type="text/html"))
    page.goto(elsewhere)
    page.get_by_role("link", name="the batch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Batch {sync_id}")
    stranger = pages.context().new_page()
    stranger.route(re.compile("elsewhere"), lambda route: route.fulfill(body=link, content_type="text/html"))
    stranger.goto(elsewhere)
    stranger.get_by_role("link", name="the batch").click()
    expect(stranger.get_by_label("Token")).to_be_visible()
