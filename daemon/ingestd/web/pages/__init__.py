"""The operator's pages: Import Media, one batch, Import Tasks. HTML that works without a script, and lives with one."""

from ingestd.web.pages.layout import refusal
from ingestd.web.pages.routes import PUBLIC, register

__all__ = ["PUBLIC", "refusal", "register"]
