"""Jinja filters for values on pages. Text from bundles is hostile and always escaped."""

from datetime import datetime
from functools import lru_cache
from typing import Any

import humanize
import orjson
from flask import Flask
from markupsafe import Markup

from ingestd import event_sentences
from ingestd.records import Event
from ingestd.wording import noun

SIGNS = {
    "new": "○", "ready": "○", "queued": "◷", "waiting": "◷", "importing": "▶", "running": "▶", "imported": "✓",
    "held": "‖", "partial": "◐", "deferred": "◷", "failed": "✕", "invalid": "✕", "cancelled": "–",
}  # fmt: skip
"""A sign for each state, so that states do not differ by colour alone."""
TONES = {
    "queued": "wait", "waiting": "wait", "deferred": "wait", "importing": "run", "running": "run", "imported": "good",
    "created": "good", "updated": "good", "linked": "good", "held": "half", "partial": "half",
    "failed": "bad", "invalid": "bad", "will_fail": "bad", "will_defer": "wait",
}  # fmt: skip

NONE = Markup('<span class="none">–</span>')
MAX_SENTENCE = 500


def register(app: Flask) -> None:
    app.jinja_env.filters.update(
        time=time,
        number=number,
        plural=plural,
        size=size,
        state=state,
        duration=duration,
        payload=payload,
        sentence=sentence,
        result=result,
        flat=flat,
        rate=rate,
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def time(value: datetime | None) -> str:
    """A <time> element in UTC; the script converts it to the viewer's time zone."""
    if value is None:
        return NONE
    day, hour = f"{value:%Y-%m-%d}", f"{value:%H:%M:%S}"
    # Built without escaping: it holds digits only, and escaping costs a tenth of a page with a hundred rows.
    return Markup(f'<time datetime="{day}T{hour}Z" title="{day} {hour} UTC">{day} {hour} UTC</time>')


def number(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: 1 item, 2 items."""
    return f"{number(count)} {noun(count, one, many)}"


def size(value: int) -> str:
    """A number of bytes with a binary unit: 1.5 MiB."""
    return humanize.naturalsize(value, binary=True, format="%.1f")


def rate(value: float) -> str:
    """Items per second, rounded; two significant digits below ten."""
    return number(round(value)) if value >= 10 else f"{value:.2g}"


@lru_cache(maxsize=100)
def state(value: str) -> str:
    """A status, state or decision as a word, with a sign and a colour."""
    sign = Markup('<span aria-hidden="true">{}</span> ').format(SIGNS[value]) if value in SIGNS else ""
    return Markup('<span class="state {}">{}{}</span>').format(TONES.get(value, "calm"), sign, value.replace("_", " "))


def result(counts: dict[str, int] | None) -> str:
    """The result of a job. It is green only if nothing failed and nothing is deferred."""
    if counts is None:
        return NONE
    is_good = not any(name.endswith(("failed", "deferred")) for name in counts)
    parts = [_result_part(name, count, is_good=is_good) for name, count in counts.items()]
    return Markup('<ul class="tally">{}</ul>').format(Markup("").join(parts)) if parts else Markup("nothing decided")


def _result_part(name: str, count: int, *, is_good: bool) -> Markup:
    what, _, decision = name.rpartition("_")
    tone = TONES.get(decision, "calm")
    shown = f"{plural(count, what[:-1])} {decision}" if what else f"{number(count)} {decision}"
    sign = Markup('<span aria-hidden="true">{}</span> ').format(SIGNS[decision]) if decision in SIGNS else ""
    tone = "calm" if tone == "good" and not is_good else tone
    return Markup('<li class="state {}">{}{}</li>').format(tone, sign, shown)


def duration(seconds: float | None) -> str:
    """A duration in up to two units, rounded down: 1 hour and 5 minutes."""
    if seconds is None:
        return "–"
    whole = max(0, int(seconds))
    unit, length = ("seconds", 1) if whole < 3600 else ("minutes", 60) if whole < 86400 else ("hours", 3600)
    rounded = whole - whole % length
    return humanize.precisedelta(rounded, minimum_unit=unit, suppress=("years", "months"), format="%d")


def payload(value: Any) -> str:
    """Indented JSON."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def sentence(event: Event) -> str:
    """What an event says, or the beginning of it."""
    text = event_sentences.sentence(event.event_type, event.payload)
    return text if len(text) <= MAX_SENTENCE else f"{text[:MAX_SENTENCE]}…"


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """The leaves of a nested object as (dotted name, text) pairs."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in flat(inner, f"{name}.{key}" if name else str(key))]
    return [(name, value if isinstance(value, str) else orjson.dumps(value).decode())]
