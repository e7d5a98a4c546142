"""The reads of a page's script."""

from playwright.sync_api import Page, Request


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
