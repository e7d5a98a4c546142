"""How values look on a page. What comes from a bundle is hostile: nothing here makes markup of it unescaped."""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
from flask import Flask
from markupsafe import Markup

SIGNS = {
    "new": "○", "ready": "○", "queued": "◷", "waiting": "◷", "importing": "▶", "running": "▶", "imported": "✓",
    "done": "✓", "partial": "◐", "deferred": "◷", "failed": "✕", "invalid": "✕", "cancelled": "–",
}  # fmt: skip
"""A shape for each state, so that no colour has to be told apart; words stand beside it."""
TONES = {
    "queued": "wait", "waiting": "wait", "deferred": "wait", "importing": "run", "running": "run", "imported": "good",
    "done": "good", "created": "good", "updated": "good", "linked": "good", "partial": "half", "failed": "bad",
    "invalid": "bad", "will_fail": "bad", "will_defer": "wait",
}  # fmt: skip

NONE = Markup('<span class="none">–</span>')
BRIEF = 120


def register(app: Flask) -> None:
    app.jinja_env.filters.update(
        time=time, number=number, size=size, state=state, duration=duration, payload=payload, flat=flat, rate=rate
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def time(value: datetime | None) -> str:
    """In UTC; the script shows it in the viewer's zone."""
    if value is None:
        return NONE
    day, hour = f"{value:%Y-%m-%d}", f"{value:%H:%M:%S}"
    # Digits are no markup, and escaping them costs a tenth of a page of a hundred rows.
    return Markup(f'<time datetime="{day}T{hour}Z" title="{day} {hour} UTC">{day} {hour} UTC</time>')


def number(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def size(value: int) -> str:
    """Bytes, for people."""
    amount, unit = float(value), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{number(value)} B" if unit == "B" else f"{amount:.1f} {unit}"


def rate(value: float) -> str:
    """Items a second; of slow ones the first digit that tells anything."""
    return number(round(value)) if value >= 10 else f"{value:.2g}"


@lru_cache(maxsize=100)
def state(value: str) -> str:
    """A status, a state or a decision: its word, with a sign and a tone."""
    sign = Markup('<span aria-hidden="true">{}</span> ').format(SIGNS[value]) if value in SIGNS else ""
    return Markup('<span class="state {}">{}{}</span>').format(TONES.get(value, "calm"), sign, value.replace("_", " "))


def duration(seconds: float | None) -> str:
    """As people say it, in its two largest units."""
    if seconds is None:
        return "–"
    left = max(0, int(timedelta(seconds=seconds).total_seconds()))
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def payload(value: Any) -> str:
    """JSON on several lines."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def brief(value: Any) -> str:
    """The beginning of JSON, on one line."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= BRIEF else f"{text[:BRIEF]}…"


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """The leaves of a nested object, each by its dotted name."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in flat(inner, f"{name}.{key}" if name else str(key))]
    return [(name, value if isinstance(value, str) else orjson.dumps(value).decode())]
