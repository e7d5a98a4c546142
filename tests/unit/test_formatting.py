"""The Jinja filters of the pages: values are readable, and text from bundles is escaped."""

from datetime import datetime

import pytest
from markupsafe import Markup

from ingestd.records import Event
from ingestd.web.pages import formatting
from support.html import parse


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (None, "–"),
        (0, "0 seconds"),
        (0.9, "0 seconds"),
        (-5, "0 seconds"),
        (59, "59 seconds"),
        (65, "1 minute and 5 seconds"),
        (3601, "1 hour"),
        (86399, "23 hours and 59 minutes"),
        (93784, "1 day and 2 hours"),
        (86400 * 400, "400 days"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float | None, wanted: str) -> None:
    assert formatting.duration(seconds) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0, "0 Bytes"),
        (1, "1 Byte"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (2**20, "1.0 MiB"),
        (2**64, "16.0 EiB"),
    ],
)
def test_sizes_have_units(value: int, wanted: str) -> None:
    assert formatting.size(value) == wanted


def test_counts_have_singular_and_plural() -> None:
    assert [formatting.plural(count, "item") for count in (0, 1, 1200)] == ["0 items", "1 item", "1\u202f200 items"]
    assert formatting.plural(2, "batch", "batches") == "2 batches"


def test_times_are_readable_by_people_and_programs() -> None:
    assert formatting.time(datetime(2026, 4, 1, 12, 30, 5, 999)) == (
        '<time datetime="2026-04-01T12:30:05Z" title="2026-04-01 12:30:05 UTC">2026-04-01 12:30:05 UTC</time>'
    )
    assert "–" in formatting.time(None)


def test_states_are_words_beside_a_sign() -> None:
    assert formatting.state("will_fail") == '<span class="state bad">will fail</span>'
    assert formatting.state("done") == '<span class="state calm">done</span>'
    assert formatting.state("imported") == '<span class="state good"><span aria-hidden="true">✓</span> imported</span>'
    assert formatting.state("<b>") == '<span class="state calm">&lt;b&gt;</span>'


@pytest.mark.parametrize(
    ("counts", "tones"),
    [
        ({"created": 3, "skipped": 1}, {"3 created": "good", "1 skipped": "calm"}),
        ({"created": 2, "failed": 1}, {"2 created": "calm", "1 failed": "bad"}),
        ({"updated": 2, "deferred": 1}, {"2 updated": "calm", "1 deferred": "wait"}),
        ({"linked": 2, "containers_failed": 1}, {"2 linked": "calm", "1 container failed": "bad"}),
        ({"created": 2, "containers_deferred": 2}, {"2 created": "calm", "2 containers deferred": "wait"}),
    ],
)
def test_the_result_of_a_job_is_green_only_if_everything_succeeded(
    counts: dict[str, int], tones: dict[str, str]
) -> None:
    shown = parse(formatting.result(counts))
    found = {item.text.lstrip("✕◷ "): item["class"].removeprefix("state ") for item in shown.all("li")}
    assert found == tones


def test_a_job_without_a_result() -> None:
    assert formatting.result(None) == formatting.NONE
    assert formatting.result({}) == "nothing decided"


def test_text_from_bundles_is_never_markup() -> None:
    hostile = {"<b>": ["<i>", None], "long": "<u>" * 100}
    event = Event(1, None, "batch_invalid", {"error": "<u>" * 1000}, datetime(2026, 1, 1))
    leaves = formatting.flat({"a": hostile, "b": {}, "": 1})
    assert leaves == [("a.<b>", '["<i>",null]'), ("a.long", "<u>" * 100), ("", "1")]
    texts = [text for leaf in leaves for text in leaf] + [
        formatting.payload(hostile),
        formatting.sentence(event),
        formatting.number(-1234),
    ]
    assert not [text for text in texts if isinstance(text, Markup)]
    assert len(formatting.sentence(event)) == formatting.MAX_SENTENCE + 1
