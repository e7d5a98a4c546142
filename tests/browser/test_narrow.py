"""On a telephone, what matters most of each row is visible without scrolling sideways."""

import pytest
from playwright.sync_api import Locator, ViewportSize, expect

from support.browser import Pages
from support.world import cover, photo

NARROW: ViewportSize = {"width": 390, "height": 800}


def right_edge(locator: Locator) -> float:
    box = locator.bounding_box()
    assert box is not None, "it is not shown"
    return box["x"] + box["width"]


@pytest.fixture
def sync_id(pages: Pages) -> str:
    """A batch of which one item failed, and one is deferred."""
    sync_id = pages.put(photo("a"), cover("c", "absent"), {"type": "photo", "hash": "bad"}, type="a" * 40)
    page = pages.visit(f"/batches/{sync_id}")
    page.locator("summary", has_text="Queue…").click()
    page.get_by_role("button", name="Queue", exact=True).click()
    pages.wait_for_status(sync_id, "partial")
    page.context.close()
    return sync_id


def test_the_status_of_a_batch(pages: Pages, sync_id: str) -> None:
    page = pages.visit("/", viewport=NARROW)
    status = page.get_by_role("row").filter(has=page.get_by_role("link", name=sync_id)).locator(".state")
    expect(status).to_have_text("◐ partial")
    assert right_edge(status) <= NARROW["width"]


def test_the_result_of_a_job(pages: Pages, sync_id: str) -> None:
    page = pages.visit("/tasks", viewport=NARROW)
    failed = page.get_by_text("1 failed")
    expect(failed).to_be_visible()
    assert right_edge(failed) <= NARROW["width"]


def test_what_happened(pages: Pages, sync_id: str) -> None:
    page = pages.visit("/ledger", viewport=NARROW)
    sentence = page.get_by_text("finished: batch partial")
    expect(sentence).to_be_visible()
    assert right_edge(sentence.locator("xpath=..")) <= NARROW["width"]
