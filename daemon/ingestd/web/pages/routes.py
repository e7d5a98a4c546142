"""The routes of the pages."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Response

from ingestd.config import Settings
from ingestd.web.operations import Operations
from ingestd.web.pages import formatting
from ingestd.web.pages.batch import BatchPage
from ingestd.web.pages.bulk import Bulk
from ingestd.web.pages.layout import Layout
from ingestd.web.pages.ledger import Ledger
from ingestd.web.pages.media import Media
from ingestd.web.pages.sign_in import SignIn
from ingestd.web.pages.tasks import Tasks
from ingestd.web.security.tokens import Tokens
from ingestd.web.troubles import Troubles
from ingestd.web.views import Views

PUBLIC = frozenset({"static", "pages.sign_in", "pages.sign_out"})
"""Reachable without a session: static files hold no data, and signing in precedes the session."""


@dataclass(frozen=True, slots=True)
class Address:
    """One route; templates refer to it as `pages.<name>`."""

    method: str
    rule: str
    name: str
    view: Callable[..., Response]


def register(
    app: Flask, settings: Settings, tokens: Tokens, views: Views, operations: Operations, troubles: Troubles
) -> None:
    """Adds all pages."""
    formatting.register(app)
    layout, priority = Layout(views.db, troubles), settings.queue.priority
    media, selected = Media(layout, operations), Bulk(layout, operations, priority)
    batch, tasks = BatchPage(layout, views, operations, priority), Tasks(layout)
    ledger = Ledger(layout, views)
    for address in (*_views(media, batch, tasks, ledger), *_actions(media, selected, batch), *_session(SignIn(tokens))):
        app.add_url_rule(address.rule, f"pages.{address.name}", address.view, methods=[address.method])


def _views(media: Media, batch: BatchPage, tasks: Tasks, ledger: Ledger) -> list[Address]:
    return [
        Address("GET", "/", "media", media.show),
        Address("GET", "/batches/<sync_id>", "batch", batch.show),
        Address("GET", "/tasks", "tasks", tasks.show),
        Address("GET", "/ledger", "ledger", ledger.show),
    ]


def _actions(media: Media, selected: Bulk, batch: BatchPage) -> list[Address]:
    return [
        Address("POST", "/scan", "scan", media.scan),
        Address("POST", "/pause", "pause", media.pause),
        Address("POST", "/resume", "resume", media.resume),
        Address("POST", "/confirm", "confirm", selected.confirm),
        Address("POST", "/queue", "queue_selected", selected.queue),
        Address("POST", "/preflight", "preflight_selected", selected.preflight),
        Address("POST", "/batches/<sync_id>/queue", "queue_batch", batch.queue),
        Address("POST", "/batches/<sync_id>/cancel", "cancel_batch", batch.cancel),
        Address("POST", "/batches/<sync_id>/preflight", "preflight_batch", batch.preflight),
    ]


def _session(sign_in: SignIn) -> list[Address]:
    return [
        Address("POST", "/sign-in", "sign_in", sign_in.sign_in),
        Address("POST", "/sign-out", "sign_out", sign_in.sign_out),
    ]
