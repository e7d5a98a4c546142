"""A real Chromium that opens the pages of a real daemon."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from support.process import Daemons, Process
from support.programs import demand
from support.wait import until
from support.world import World

OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
TOKENS = "olivia:operator:the-operator-token\nvictor:viewer:the-viewer-token\n"
PATIENCE_MS = 20_000
ZONE = "Asia/Kolkata"
HURRY = "{ const real = window.setTimeout; window.setTimeout = (work, delay) => real(work, delay / 8); }"
"""Makes timers of the pages eight times faster; they use timers only for refreshing."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    program = demand("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        yield browser
        browser.close()


@dataclass
class Pages:
    """The pages of one daemon, and the browsers that open them."""

    world: World
    daemon: Process
    address: str
    tokens: Path
    browser: Browser

    def url(self, path: str = "/") -> str:
        return f"http://{self.address}{path}"

    def context(self, **options: Any) -> BrowserContext:
        """A new browser context."""
        context = self.browser.new_context(**{"timezone_id": ZONE, **options})
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(HURRY)
        return context

    def visit(self, path: str = "/", *, token: str = "the-operator-token", **options: Any) -> Page:
        """Opens a page in a new browser context, signed in with `token`."""
        page = self.context(**options).new_page()
        page.goto(self.url(path))
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Sign out").wait_for()
        page.wait_for_load_state()  # The script runs; before it does, a click has another effect.
        return page

    def put(self, *items: Any, **envelope: Any) -> str:
        """Delivers a bundle and waits until the daemon has recorded it."""
        sync_id = self.world.put(*items, **envelope)
        until(lambda: self.status(sync_id), what="for the batch")
        return sync_id

    def status(self, sync_id: str) -> str:
        rows = self.world.sql("SELECT status FROM ingest_batch WHERE sync_id = %s", sync_id)
        return str(rows[0][0]) if rows else ""

    def wait_for_status(self, sync_id: str, *wanted: str) -> None:
        until(lambda: self.status(sync_id) in wanted, what=lambda: f"for {wanted}, it is {self.status(sync_id)}")

    @contextmanager
    def held_imports(self) -> Iterator[None]:
        """Jobs claimed meanwhile block at a lock on the library."""
        settings = self.world.server.owner_settings()
        connection = pymysql.connect(unix_socket=settings.unix_socket, user=settings.user, database=settings.name)
        try:
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLES asset_file WRITE")
                yield
        finally:
            connection.close()


@contextmanager
def pages_of(world: World, daemons: Daemons, browser: Browser, **sections: Any) -> Iterator[Pages]:
    """The pages of a new daemon; its browser contexts are closed afterwards."""
    port, tokens = free_port(), daemons.folder / "tokens"
    address = f"127.0.0.1:{port}"
    tokens.write_text(TOKENS)
    http = {"listen": address, "tokens_file": str(tokens), "allowed_hosts": [address, f"localhost:{port}"]}
    daemon = daemons.start(http=http, **sections)
    daemon.wait_until_started()
    try:
        yield Pages(world, daemon, address, tokens, browser)
    finally:
        for context in list(browser.contexts):
            context.close()


def free_port() -> int:
    """A free port: allowed_hosts must contain the address before the daemon starts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
