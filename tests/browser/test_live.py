"""The script of the pages: live updates, and what a refresh must not disturb."""

from playwright.sync_api import expect

from browser.test_example import row, tick
from support.browser import Pages
from support.reads import wait_for_reads
from support.world import photo


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
