"""The HTTP interface: what may be asked of this daemon, by whom, and how it is answered."""

from ingestd.web.api.health import Health
from ingestd.web.hooks import Hooks
from ingestd.web.server import make_app, make_listener

__all__ = ["Health", "Hooks", "make_app", "make_listener"]
