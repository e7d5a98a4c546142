"""Selected batches, the dialog that confirms, and paging."""

from playwright.sync_api import expect

from browser.test_example import row, tick
from support.browser import Pages
from support.world import photo


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


def test_an_error_is_shown_in_the_dialog(pages: Pages) -> None:
    page = pages.visit("/")
    pages.put(photo("a"))
    page.get_by_role("button", name="Queue selected…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("No batches selected")
    dialog.get_by_role("button", name="Back").click()
    expect(dialog).to_have_count(0)
