"""The operator's pages: Import Media, one batch, Import Tasks. Plain HTML forms; a script adds live updates."""

from ingestd.web.pages.layout import refusal
from ingestd.web.pages.routes import PUBLIC, register

__all__ = ["PUBLIC", "refusal", "register"]
