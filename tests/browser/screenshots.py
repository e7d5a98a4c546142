"""Takes the screenshots in docs/img from a real daemon with sample data. Run as `make screenshots`."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
from playwright.sync_api import Page, ViewportSize

from support.browser import Pages, chromium, pages_of
from support.private_db import migrated_server
from support.process import daemons_of
from support.world import World, cover, md5, photo

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "img"
SIZE: ViewportSize = {"width": 1440, "height": 800}
QUICK = {"worker": {"threads": 2, "chunk_items": 100}}


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with site() as pages:
        partial = import_some(pages)
        with running_job(pages):
            for number in range(4):
                pages.put(photo(f"later {number}"), day=9, source_host=f"flux-{number % 2 + 1}")
            take(pages, partial)
    sys.stdout.write(f"screenshots are in {IMAGES}\n")


@contextmanager
def site() -> Iterator[Pages]:
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "assets" / "sync").mkdir(parents=True)
        with migrated_server() as server, chromium() as browser:
            world = World(server, folder / "assets")
            with daemons_of(world, folder) as daemons, pages_of(world, daemons, browser, **QUICK) as pages:
                yield pages
    finally:
        shutil.rmtree(folder)


def import_some(pages: Pages) -> str:
    """Three imported batches, an invalid one, and a partial one, whose sync_id is returned."""
    for number in range(3):
        imported(pages, *(photo(f"{number} {n}") for n in range(40)), day=number + 1, source_host="flux-1")
    pages.put(photo("x"), day=4, source_host="flux-2", verification={"passed": False})
    wrong: list[Any] = [{"type": "photo", "hash": f"bad{n}"} for n in range(3)]
    covers = [cover(f"cover {n}", "not there") for n in range(2)]
    items = [*wrong, *covers, *(photo(f"p {n}") for n in range(20))]
    return imported(pages, *items, day=5, source_host="flux-2")


def imported(pages: Pages, *items: Any, **envelope: Any) -> str:
    sync_id = pages.put(*items, **envelope)
    queue(pages, sync_id)
    pages.wait_for_status(sync_id, "imported", "partial")
    return sync_id


def queue(pages: Pages, sync_id: str) -> None:
    page = pages.visit(f"/batches/{sync_id}")
    page.locator("summary", has_text="Queue…").click()
    page.get_by_role("button", name="Queue", exact=True).click()
    page.get_by_role("status").wait_for()
    page.context.close()


@contextmanager
def running_job(pages: Pages) -> Iterator[None]:
    """A job that runs until it meets a locked asset, and a second job that waits for it."""
    sync_id = pages.put(
        *(photo(f"big {n}") for n in range(1200)), photo("0 0", title="other light"), action="update", day=6
    )
    owner = pages.world.server.owner_settings()
    connection = pymysql.connect(unix_socket=owner.unix_socket, user=owner.user, database=owner.name)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM asset WHERE hash = %s FOR UPDATE", (md5("0 0"),))
        queue(pages, sync_id)
        pages.wait_for_status(sync_id, "importing")
        queue(pages, pages.put(photo("promoter"), action="update", day=7, prior_sync_id=sync_id))
        yield
    finally:
        connection.close()


def take(pages: Pages, partial: str) -> None:
    page = pages.visit("/", viewport=SIZE)
    snap(page, "import-media")
    page.goto(pages.url("/tasks"))
    snap(page, "import-tasks")
    page.goto(pages.url("/ledger"))
    snap(page, "ledger")
    page.goto(pages.url(f"/batches/{partial}?decision=failed"))
    page.set_viewport_size({"width": 1440, "height": 1100})
    snap(page, "batch")
    page.set_viewport_size(SIZE)
    page.goto(pages.url("/"))
    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name="Queue selected…").click()
    page.get_by_role("dialog").wait_for()
    snap(page, "queue-selected")
    dark = pages.visit("/", viewport=SIZE, color_scheme="dark")
    snap(dark, "import-media-dark")


def snap(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
