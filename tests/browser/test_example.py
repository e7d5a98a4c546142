"""End-to-end use by an operator: with the script, without it, and by keyboard alone."""

from playwright.sync_api import Locator, Page, expect

from support.browser import Pages
from support.world import cover, photo


def row(page: Page, key: str) -> Locator:
    return page.locator(f'tr[data-key="{key}"]')


def tick(page: Page, *sync_ids: str) -> None:
    for sync_id in sync_ids:
        page.get_by_label(f"Select {sync_id}").check()


def job_row(page: Page, region: str, sync_id: str) -> Locator:
    """The row of a batch's job in a region."""
    return page.get_by_role("region", name=region).get_by_role("row").filter(has_text=sync_id)


def put_three(pages: Pages) -> list[str]:
    return [pages.put(photo(f"a{number}"), photo(f"b{number}"), day=number + 1) for number in range(3)]


def test_a_bundle_from_its_sentinel_to_its_ledger(pages: Pages) -> None:
    page = pages.visit("/")
    expect(page.get_by_text("No batches yet.")).to_be_visible()
    first, second, third = put_three(pages)
    for sync_id in (first, second, third):
        expect(row(page, sync_id)).to_contain_text("new")
    tick(page, first, third)
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.get_by_role("button", name="Queue selected…").click()
    dialog = page.get_by_role("dialog", name="Queue 2 of 2 selected batches")
    dialog.get_by_label("Priority").fill("7")
    with pages.held_imports():
        dialog.get_by_role("button", name="Queue 2 batches").click()
        results = page.get_by_role("dialog", name="2 of 2 queued")
        expect(results.get_by_role("row").filter(has_text=first)).to_contain_text("priority 7")
        results.get_by_role("link", name="Import Tasks").click()
        page.mouse.move(0, 0)
        expect(job_row(page, "Active jobs", first)).to_contain_text("running")
        expect(job_row(page, "Active jobs", first)).to_contain_text("0 %")
    done = job_row(page, "Recently finished", first)
    expect(done).to_contain_text("created")
    expect(done).to_contain_text("done")
    done.get_by_role("link").click()
    read_ledger(page, first)
    assert pages.status(second) == "new"


def read_ledger(page: Page, sync_id: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Batch {sync_id}")
    events = page.get_by_role("region", name="Recent events")
    finished = events.get_by_role("row").filter(has_text="job_finished")
    finished.locator("summary").click()
    expect(finished.locator("pre")).to_contain_text('"phase": "job_finish"')
    for event in ("scan", "preflight_finished", "job_queued", "job_claimed", "item_created", "import_finished"):
        expect(events.get_by_role("row").filter(has_text=event).first).to_be_visible()


def test_a_queued_job_is_cancelled(pages: Pages) -> None:
    (sync_id, *_) = put_three(pages)
    page = pages.visit("/")
    page.get_by_text("Pause the queue…").click()
    page.get_by_label("Reason").fill("disks are full")
    page.get_by_role("button", name="Pause on every host").click()
    banner = page.get_by_role("region", name="Paused")
    expect(banner).to_contain_text("by olivia: disks are full")
    row(page, sync_id).get_by_role("link").click()
    page.locator("summary", has_text="Queue…").click()
    page.get_by_role("button", name="Queue", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("The batch was queued")
    page.get_by_role("button", name="Cancel job").click()
    expect(page.get_by_role("status")).to_contain_text("was cancelled")
    expect(page.get_by_role("region", name="Job history")).to_contain_text("cancelled")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("status")).to_contain_text("was resumed")
    expect(banner).to_have_count(0)
    assert [kind for kind, _ in pages.world.events(sync_id)][-2:] == ["job_queued", "job_cancelled"]


def test_a_running_job_explains_what_stops_it(pages: Pages) -> None:
    sync_id = pages.put(photo("a"))
    page = pages.visit(f"/batches/{sync_id}")
    with pages.held_imports():
        page.locator("summary", has_text="Queue…").click()
        page.get_by_role("button", name="Queue", exact=True).click()
        pages.wait_for_status(sync_id, "importing")
        page.goto(pages.url(f"/batches/{sync_id}"))
        expect(page.get_by_text("Only stopping the service stops it")).to_be_visible()
        expect(page.get_by_role("button", name="Cancel job")).to_have_count(0)
    expect(page.get_by_text("Status: ✓ imported")).to_be_visible()


def test_a_bundle_is_imported_without_the_script(pages: Pages) -> None:
    first, second, third = put_three(pages)
    page = pages.visit("/", java_script_enabled=False)
    tick(page, first, second)
    page.get_by_role("button", name="Queue selected…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Queue 2 of 2 selected batches")
    page.get_by_role("button", name="Queue 2 batches").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("2 of 2 queued")
    for sync_id in (first, second):
        pages.wait_for_status(sync_id, "imported")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Import Tasks").click()
    done = job_row(page, "Recently finished", first)
    expect(done).to_contain_text("created")
    done.get_by_role("link").click()
    read_ledger(page, first)
    page.goto(pages.url(f"/batches/{third}"))
    page.get_by_role("button", name="Pre-flight").click()
    expect(page.get_by_role("region", name="Plan", exact=True)).to_contain_text("will create 2")
    assert pages.status(third) == "ready"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()


def test_a_bundle_is_imported_by_keyboard_alone(pages: Pages) -> None:
    first, second, third = put_three(pages)
    page = pages.context().new_page()
    page.goto(pages.url("/"))
    # What is typed before the field has the focus is lost.
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type("the-operator-token")
    page.keyboard.press("Enter")
    expect(row(page, third)).to_be_visible()
    tab_to(page, f"Select {third}")
    page.keyboard.press("Space")
    tab_to(page, f"Select {first}")
    page.keyboard.press("Space")
    expect(page.get_by_text("2 selected")).to_be_visible()
    tab_to(page, "Queue selected…", back=True)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Queue 2 of 2")
    tab_to(page, "Queue 2 batches")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("2 of 2 queued")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for sync_id in (first, third):
        expect(row(page, sync_id)).to_contain_text("imported")
    tab_to(page, first, back=True)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Batch {first}")
    assert pages.status(second) == "new"


def tab_to(page: Page, name: str, *, back: bool = False) -> None:
    """Presses Tab until the element with this name has the focus."""
    named = f"e => [e.ariaLabel, e.innerText].some(text => (text || '').trim() === {name!r})"
    for _ in range(80):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if page.locator(":focus").count() and page.locator(":focus").evaluate(named):
            return
    raise AssertionError(f"no Tab leads to {name!r}")


def test_failures_are_listed_by_reason_and_filtered(pages: Pages) -> None:
    sync_id = pages.put(photo("a"), cover("c", "unknown"), {"type": "photo", "hash": "bad"})
    page = pages.visit("/")
    tick(page, sync_id)
    page.get_by_role("button", name="Pre-flight selected").click()
    expect(page.get_by_role("dialog", name="Pre-flight")).to_contain_text("will create 1")
    page.get_by_role("dialog").get_by_role("link", name="Back").click()
    page.get_by_role("button", name="Queue selected…").click()
    page.get_by_role("button", name="Queue 1 batch").click()
    pages.wait_for_status(sync_id, "partial")
    page.goto(pages.url(f"/batches/{sync_id}"))
    groups = page.get_by_role("table", name="by reason")
    expect(groups.get_by_role("row").filter(has_text="bad_entry")).to_contain_text("1")
    expect(groups.get_by_role("row").filter(has_text="parent_missing")).to_contain_text("1")
    groups.get_by_role("link", name="failed").click()
    items = page.get_by_role("region", name="Items")
    expect(items.get_by_role("row")).to_have_count(2)
    expect(items).to_contain_text("bad_entry")
