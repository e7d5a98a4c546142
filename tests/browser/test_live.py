"""The script of the pages: live updates, and what a refresh must not disturb."""

import re
from typing import Any

from playwright.sync_api import Page, Request, expect

from browser.test_example import row, tick
from support.browser import Pages
from support.world import photo


def reads(page: Page) -> list[str]:
    """The addresses that the script requests from now on."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if request.resource_type == "fetch":
            asked.append(request.url)

    page.on("request", note)
    return asked


def wait_for_reads(page: Page, count: int = 2) -> None:
    """Waits for `count` refreshes; when the last arrives, the first has been applied."""
    for _ in range(count):
        with page.expect_response(lambda response: response.request.resource_type == "fetch"):
            pass


def test_rows_appear_and_change_live(pages: Pages) -> None:
    page = pages.visit("/")
    sync_id = pages.put(photo("a"))
    expect(row(page, sync_id)).to_contain_text("new")
    pages.world.sql("UPDATE ingest_batch SET status = 'failed', last_error = 'no luck' WHERE sync_id = %s", sync_id)
    expect(row(page, sync_id)).to_contain_text("no luck")


def test_rows_do_not_move_while_some_are_selected(pages: Pages) -> None:
    first = pages.put(photo("a"), day=1)
    page = pages.visit("/")
    tick(page, first)
    second = pages.put(photo("b"), day=2)
    show = page.get_by_role("button", name="Show 1 new")
    expect(show).to_be_visible()
    pages.world.sql("UPDATE ingest_batch SET status = 'failed' WHERE sync_id = %s", first)
    expect(row(page, first)).to_contain_text("failed")
    expect(page.get_by_label(f"Select {first}")).to_be_checked()
    expect(row(page, second)).to_have_count(0)
    show.click()
    expect(row(page, second)).to_be_visible()
    expect(page.get_by_label(f"Select {first}")).to_be_checked()
    expect(show).to_be_hidden()


def test_rows_do_not_move_under_the_pointer_or_focus(pages: Pages) -> None:
    first = pages.put(photo("a"), day=1)
    page = pages.visit("/")
    row(page, first).hover()
    second = pages.put(photo("b"), day=2)
    expect(page.get_by_role("button", name="Show 1 new")).to_be_visible()
    page.get_by_label(f"Select {first}").focus()
    page.mouse.move(0, 0)
    wait_for_reads(page)
    expect(row(page, second)).to_have_count(0)
    expect(page.get_by_label(f"Select {first}")).to_be_focused()
    page.get_by_role("heading", level=1).click()
    expect(row(page, second)).to_be_visible()


def test_open_details_and_selected_text_are_kept(pages: Pages) -> None:
    sync_id = pages.put(photo("a"))
    page = pages.visit(f"/batches/{sync_id}")
    unfolded = page.get_by_role("region", name="Recent events").locator("tbody details").first
    unfolded.locator("summary").click()
    page.get_by_role("button", name="Pre-flight").wait_for()
    pages.world.sql("UPDATE ingest_batch SET last_error = 'said later' WHERE sync_id = %s", sync_id)
    expect(page.get_by_text("said later")).to_be_visible()
    expect(unfolded).to_have_attribute("open", "")
    page.get_by_text("said later").select_text()
    pages.world.sql("UPDATE ingest_batch SET last_error = 'said at last' WHERE sync_id = %s", sync_id)
    wait_for_reads(page)
    expect(page.get_by_text("said later")).to_be_visible()
    page.evaluate("document.getSelection().removeAllRanges()")
    expect(page.get_by_text("said at last")).to_be_visible()


def test_no_refresh_while_a_dialog_is_open(pages: Pages) -> None:
    first = pages.put(photo("a"))
    page = pages.visit("/")
    tick(page, first)
    # Just after a refresh, so that the next one would fall into the time when the dialog is open.
    wait_for_reads(page, 1)
    page.get_by_role("button", name="Queue selected…").click()
    page.get_by_role("dialog").wait_for()
    assert page.evaluate("document.querySelector('dialog').open")
    assert page.evaluate(QUIET) == []
    page.keyboard.press("Escape")
    wait_for_reads(page, 1)


def test_no_refresh_while_the_tab_is_hidden(pages: Pages) -> None:
    page = pages.visit("/")
    wait_for_reads(page, 1)
    page.evaluate("show = (state) => { Object.defineProperty(document, 'hidden', {value: state, configurable: true});"
                  " document.dispatchEvent(new Event('visibilitychange')); }")  # fmt: skip
    page.evaluate("show(true)")
    assert page.evaluate(QUIET) == []
    page.evaluate("show(false)")
    wait_for_reads(page, 1)


QUIET = """async () => {
  // A running request may still finish; then three intervals pass without another one.
  const seen = [];
  const real = window.fetch;
  window.fetch = (...parameters) => { seen.push(String(parameters[0])); return real(...parameters); };
  await new Promise((resolve) => setTimeout(resolve, 3 * REFRESH_INTERVAL));
  window.fetch = real;
  return seen;
}"""


def test_the_live_switch_is_remembered(pages: Pages) -> None:
    page = pages.visit("/")
    page.get_by_label("Live").uncheck()
    page.reload()
    expect(page.get_by_label("Live")).not_to_be_checked()
    assert page.evaluate(QUIET) == []
    page.get_by_label("Live").check()
    wait_for_reads(page, 1)
    page.goto(pages.url("/tasks"))
    expect(page.get_by_label("Live")).to_be_checked()


def test_the_result_of_a_form_stays_live(pages: Pages) -> None:
    sync_id = pages.put(photo("a"))
    page = pages.visit(f"/batches/{sync_id}?decision=failed")
    page.get_by_role("button", name="Pre-flight").click()
    expect(page.get_by_role("region", name="Plan", exact=True)).to_be_visible()
    pages.world.sql("UPDATE ingest_batch SET last_error = 'said later' WHERE sync_id = %s", sync_id)
    expect(page.get_by_text("said later")).to_be_visible()
    expect(page.get_by_role("region", name="Plan", exact=True)).to_be_visible()
    expect(page.locator("#live-state")).to_have_text("")


def test_an_outage_and_an_ended_session_are_shown(pages: Pages) -> None:
    page = pages.visit("/")
    pages.tokens.write_text("somebody:operator:something-different\n")
    expect(page.get_by_text("(signed out)")).to_be_visible()
    pages.tokens.write_text("olivia:operator:the-operator-token\n")
    expect(page.get_by_text("(signed out)")).to_be_hidden()
    pages.daemon.kill()
    expect(page.get_by_text("(no response)")).to_be_visible()


def test_a_range_is_selected_with_shift_and_all_at_once(pages: Pages) -> None:
    for number in range(5):
        pages.put(photo(str(number)), day=number + 1)
    page = pages.visit("/")
    boxes = page.locator("tbody input[type=checkbox]")
    expect(boxes).to_have_count(5)
    boxes.nth(1).click()
    boxes.nth(3).click(modifiers=["Shift"])
    assert [box.is_checked() for box in boxes.all()] == [False, True, True, True, False]
    boxes.nth(3).click()
    boxes.nth(2).click(modifiers=["Shift"])
    assert [box.is_checked() for box in boxes.all()] == [False, True, False, False, False]
    page.get_by_label("Select all on this page").click()
    expect(page.get_by_text("5 selected")).to_be_visible()
    page.get_by_label("Select all on this page").click()
    expect(page.get_by_text("selected", exact=False).first).to_be_hidden()


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
    for path in ("/", f"/batches/{sync_id}", "/tasks"):
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


def test_paging_to_older_batches_skips_none(pages: Pages) -> None:
    """New rows push the oldest ones to the next page."""
    first, second = (pages.put(photo(name), day=day) for day, name in enumerate("ab", 1))
    page = pages.visit("/?limit=2")
    expect(page.get_by_role("link", name="Next page")).to_have_count(0)
    third = pages.put(photo("c"), day=3)
    expect(row(page, third)).to_be_visible()
    expect(row(page, first)).to_have_count(0)
    page.get_by_role("link", name="Next page").click()
    expect(row(page, first)).to_be_visible()
    expect(row(page, second)).to_have_count(0)


def test_only_queued_batches_are_deselected(pages: Pages) -> None:
    first = pages.put(photo("a"), day=1)
    invalid = pages.put(photo("b"), verification={"passed": False}, day=2)
    page = pages.visit("/")
    tick(page, first, invalid)
    page.get_by_role("button", name="Pre-flight selected").click()
    expect(page.get_by_role("heading", name="Pre-flight")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Pre-flight selected")).to_be_focused()
    expect(page.get_by_label(f"Select {first}")).to_be_checked()
    page.get_by_role("button", name="Queue selected…").click()
    page.get_by_role("button", name="Queue 1 batch").click()
    expect(page.get_by_role("heading", name="1 of 1 queued")).to_be_focused()
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_role("button", name="Queue selected…")).to_be_focused()
    expect(page.get_by_label(f"Select {first}")).not_to_be_checked()
    expect(page.get_by_label(f"Select {invalid}")).to_be_checked()


def test_an_ended_session_is_shown_in_the_dialog(pages: Pages) -> None:
    first = pages.put(photo("a"))
    page = pages.visit("/")
    tick(page, first)
    pages.tokens.write_text("olivia:operator:anany-other-token-1\n")
    page.get_by_role("button", name="Queue selected…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Your session has ended. Nothing was changed.")
    dialog.get_by_label("Token").fill("anany-other-token-1")
    dialog.get_by_role("button", name="Sign in").click()
    expect(row(page, first)).to_be_visible()
    assert pages.status(first) == "new"


def test_jobs_do_not_move_under_the_pointer(pages: Pages) -> None:
    first, second = (pages.put(photo(name), day=day) for day, name in enumerate("ab", 1))
    with pages.held_imports():
        page = pages.visit("/")
        tick(page, first)
        page.get_by_role("button", name="Queue selected…").click()
        page.get_by_role("button", name="Queue 1 batch").click()
        page.get_by_role("dialog").get_by_role("link", name="Import Tasks").click()
        row_of_first = page.get_by_role("region", name="Active jobs").get_by_role("row").filter(has_text=first)
        expect(row_of_first).to_contain_text("running")
        row_of_first.hover()
    pages.wait_for_status(first, "imported")
    show = page.get_by_role("button", name="Show changes")
    expect(show).to_be_visible()
    expect(row_of_first).to_be_visible()
    show.click()
    expect(page.get_by_role("region", name="Active jobs")).to_contain_text("No active jobs.")
    assert pages.status(second) == "new"


def test_an_error_is_shown_in_the_dialog(pages: Pages) -> None:
    page = pages.visit("/")
    pages.put(photo("a"))
    page.get_by_role("button", name="Queue selected…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("No batches selected")
    dialog.get_by_role("button", name="Back").click()
    expect(dialog).to_have_count(0)
