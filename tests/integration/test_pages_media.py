"""Import Media: filters, paging, scan, pause and resume."""

import json
from urllib.parse import urlencode

import pytest

from support.html import Element
from support.web_client import UNKNOWN, Visitor, WebClient
from support.world import World, md5, photo

NOTHING_YET = "No batches yet. Scan now records the bundles on the mount."
NONE_SUCH = "No batches match these filters."
NONE_HERE = "No matches among the newest batches; the next page searches older ones."


def names(page: Element) -> list[str]:
    """The batches of a page, from top to bottom."""
    rows = page.live("rows").all("tr")
    assert [row.one("th").text for row in rows] == [row["data-key"] for row in rows]
    return [row["data-key"] for row in rows]


def numbers(sync_ids: list[str]) -> list[int]:
    return [int(sync_id.replace("-", "")) for sync_id in sync_ids]


def fill(world: World, count: int) -> None:
    """Batches 1 to `count`, each by its number; every third is an update, every fifth failed, every second of tide."""
    world.sql(
        "INSERT INTO ingest_batch (sync_id, status, action, source_host, type, item_count, discovered_at)"
        " SELECT LPAD(seq, 36, '0'), IF(MOD(seq, 5), 'imported', 'failed'), IF(MOD(seq, 3), 'create', 'update'),"
        f" IF(MOD(seq, 2), 'flux_1', 'tide%%'), 'event', seq, UTC_TIMESTAMP(6) FROM seq_1_to_{count}"
    )


def follow(visitor: Visitor, address: str | None) -> list[Element]:
    """A page, and all that come after it."""
    pages = []
    while address is not None:
        pages.append(visitor.see(address))
        address = pages[-1].link("Next page »")
    return pages


def collected(visitor: Visitor, **query: str) -> list[int]:
    return numbers([name for page in follow(visitor, f"/?{urlencode(query)}") for name in names(page)])


# the table


def test_a_row_describes_its_batch(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"), photo("b"), type="concert", source_host="flux-7")
    (row,) = olivia.see("/").rows()
    when = world.one("SELECT DATE_FORMAT(discovered_at, '%%Y-%%m-%%d %%H:%%i:%%s UTC') FROM ingest_batch")
    assert row == ["", sync_id, "concert", "create", "○ new", "2", "flux-7", when, "–"]
    assert olivia.see("/").link(sync_id) == f"/batches/{sync_id}"


def test_an_invalid_batch_shows_a_short_error(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"), verification={"passed": False})
    assert "verification" in olivia.see("/").live("rows").text
    world.sql("UPDATE ingest_batch SET last_error = %s", "wrong " * 200)
    assert 100 < len(olivia.see("/").one("span", class_="why").text) <= 120
    assert names(olivia.see("/?status=invalid")) == [sync_id]


def test_batches_are_filtered_newest_first(world: World, olivia: Visitor) -> None:
    fill(world, 60)
    every = range(60, 0, -1)
    wanted = {
        "": list(every),
        "status=failed": [n for n in every if n % 5 == 0],
        "status=imported&limit=7": [n for n in every if n % 5],
        "action=update": [n for n in every if n % 3 == 0],
        "action=remove": [],
        "status=failed&action=update": [60, 45, 30, 15],
        "status=failed&action=update&limit=1": [60, 45, 30, 15],
        "prefix=flux": [n for n in every if n % 2],
        "prefix=flux_1&limit=4": [n for n in every if n % 2],
        "prefix=flux%25": [],
        "prefix=FLUX": [],
        "prefix=tide%25": [n for n in every if n % 2 == 0],
        "prefix=tide&status=failed": [60, 50, 40, 30, 20, 10],
        "prefix=tide&status=failed&action=create&limit=1": [50, 40, 20, 10],
        f"prefix={'0' * 34}5": list(range(59, 49, -1)),
        f"prefix={'0' * 34}5&limit=3&action=update": [57, 54, 51],
        f"prefix={12:036}": [12],
        "prefix=%C3%A4": [],
        "prefix=0&status=&action=&limit=9": list(every),
    }
    for query, found in wanted.items():
        pages = follow(olivia, f"/?{query}")
        assert numbers([name for page in pages for name in names(page)]) == found, query
        if not found:
            assert NONE_SUCH in pages[0].one("main").text


def test_a_sync_id_prefix_is_case_insensitive(world: World, web_client: WebClient, olivia: Visitor) -> None:
    sync_id = web_client.put(photo("a"), sync_id="abcdef00-0000-4000-8000-000000000000")
    assert names(olivia.see("/?prefix=ABCDEF")) == [sync_id]


def test_filters_are_kept_and_can_be_cleared(world: World, olivia: Visitor) -> None:
    fill(world, 5)
    page = olivia.see("/?status=failed&action=create&prefix=0")
    chosen = {select["name"]: [o.text for o in select.all("option", selected="")] for select in page.all("select")}
    assert chosen == {"status": ["failed"], "action": ["create"]}
    assert page.one("input", name="prefix")["value"] == "0"
    assert page.link("Clear filters") == "/"
    assert olivia.see("/?limit=2").link("Clear filters") is None


@pytest.mark.parametrize(
    "query", ["limit=3", "limit=3&status=imported", "limit=1&prefix=flux", "limit=2&action=update"]
)
def test_paging_neither_skips_nor_repeats_batches(world: World, olivia: Visitor, query: str) -> None:
    """Batches added meanwhile do not shift the pages."""
    fill(world, 20)
    wanted = collected(olivia, limit="500", **dict(pair.split("=") for pair in query.split("&")[1:]))
    found: list[int] = []
    address: str | None = f"/?{query}"
    first = names(olivia.see(f"/?{query}"))
    for step in range(30):
        if address is None:
            break
        page = olivia.see(address)
        found += numbers(names(page))
        back = page.link("« First page")
        assert (back is None) == (step == 0)
        if back is not None and step == 1:
            assert names(olivia.see(back))[1:] == first[:-1]
        address = page.link("Next page »")
        world.sql(
            "INSERT INTO ingest_batch (sync_id, status, action, source_host, discovered_at)"
            " SELECT LPAD(%s, 36, '0'), 'imported', 'update', 'flux', UTC_TIMESTAMP(6) FROM DUAL WHERE %s = 0",
            900 + step, step,
        )  # fmt: skip
    assert address is None
    assert found == wanted
    assert page.link("Next page »") is None


def test_a_common_prefix_is_searched_window_by_window(world: World, olivia: Visitor) -> None:
    """The oldest 2,500 of 7,000 batches match: the first pages are empty with a hint, and none is skipped."""
    world.sql(
        "INSERT INTO ingest_batch (sync_id, status, source_host, discovered_at) SELECT LPAD(seq, 36, '0'), 'imported',"
        " IF(seq <= 2500, 'old', 'new'), UTC_TIMESTAMP(6) FROM seq_1_to_7000"
    )
    pages = follow(olivia, "/?prefix=old&limit=500")
    assert numbers([name for page in pages for name in names(page)]) == list(range(2500, 0, -1))
    assert [NONE_HERE in page.one("main").text for page in pages[:3]] == [True, True, False]
    assert pages[0].link("Next page »") is not None


def test_empty_tables_have_a_message(olivia: Visitor) -> None:
    page = olivia.see("/")
    assert NOTHING_YET in page.one("main").text
    assert (page.link("Next page »"), page.link("« First page"), page.link("Clear filters")) == (None, None, None)
    assert NONE_SUCH in olivia.see("/?status=failed").one("main").text


def test_a_running_job_shows_its_progress(world: World, web_client: WebClient, olivia: Visitor) -> None:
    running, queued, idle = (web_client.put(photo(name), day=day) for day, name in enumerate("abc", 1))
    olivia.post("/queue", {"sync_id": [running]})
    web_client.run_job()
    olivia.post("/queue", {"sync_id": [queued]})
    world.sql("UPDATE import_job SET items_done = 1500, items_total = 6000 WHERE state = 'running'")
    page = olivia.see("/")
    assert [row[-1] for row in page.rows()] == ["–", "◷ queued", "25 % 1 500 of 6 000"]
    bar = page.one("progress")
    assert (bar["value"], bar["max"], bar["aria-label"]) == ("1500", "6000", f"Progress of {running}")
    assert page.live("counts").text == "1 running, 1 queued, 0 waiting"
    world.sql("UPDATE import_job SET items_done = 0, items_total = 0 WHERE state = 'running'")
    assert olivia.see("/").rows()[-1][-1] == "0 % 0 of 0"
    assert names(page) == [idle, queued, running]


# scan, pause, resume


def test_a_viewer_is_offered_no_actions(web_client: WebClient) -> None:
    sync_id = web_client.put(photo("a"))
    mine, theirs = web_client.visitor("the-operator-token").see("/"), web_client.visitor("the-viewer-token").see("/")
    assert [box["value"] for box in mine.all("input", name="sync_id")] == [sync_id]
    assert theirs.all("input", type="checkbox", name="sync_id") == []
    assert theirs.buttons() == ["Sign out", "Filter"]
    assert {*mine.buttons()} > {"Scan now", "Pause on every host", "Queue selected…", "Pre-flight selected"}
    assert names(theirs) == [sync_id]
    assert "victor (viewer)" in theirs.one("header").text
    web_client.visitor("the-operator-token").post("/pause")
    assert web_client.visitor("the-viewer-token").see("/").form("/resume") is None


def test_scan_now_shows_the_outcome_of_the_scan(web_client: WebClient, olivia: Visitor, world: World) -> None:
    assert olivia.see("/").live("scan").text == ""
    sync_id = world.put(photo("a"))
    page = olivia.submit(olivia.see("/"), "/scan")
    assert page.live("scan").text == "Scan started…"
    assert web_client.woken == ["requests"]
    web_client.run_scan()
    page = olivia.see("/")
    assert names(page) == [sync_id]
    assert page.live("scan").text == "Scan finished: 1 new or changed batch."
    world.file(f"sync/{UNKNOWN}.ready", b"")
    olivia.post("/scan")
    web_client.run_scan()
    expected = "Scan finished: nothing new, 1 bundle without a readable manifest."
    assert olivia.see("/").live("scan").text == expected
    world.sql("UPDATE ingest_request SET state = 'failed', error = 'the reason', result = NULL")
    assert olivia.see("/").live("scan").text == "Scan failed: the reason"
    world.sql("UPDATE ingest_request SET requested_at = requested_at - INTERVAL 1 HOUR")
    assert olivia.see("/").live("scan").text == "", "an old outcome is no longer shown"


def test_the_queue_is_paused_and_resumed(world: World, web_client: WebClient, olivia: Visitor) -> None:
    answer = olivia.post("/pause", {"reason": "a look around"})
    assert (answer.status, answer.headers["Location"]) == (303, "/?notice=paused")
    page = olivia.see("/?notice=paused")
    assert page.one(class_="notice").text.startswith("The queue was paused")
    since = world.one("SELECT DATE_FORMAT(paused_at, '%%Y-%%m-%%d %%H:%%i:%%s UTC') FROM ingest_control")
    assert page.live("banner").text.startswith(f"The queue was paused at {since} by olivia: a look around. No host")
    assert page.form("/pause") is None
    assert olivia.see("/tasks").live("banner").text == page.live("banner").text
    # A second pause keeps the name and reason of the first.
    web_client.tokens.write_text("oscar:operator:any-other-token-1\nolivia:operator:the-operator-token\n")
    oscar = web_client.visitor("any-other-token-1")
    oscar.post("/pause", {"reason": "mine"})
    assert "by olivia: a look around" in oscar.see("/").live("banner").text
    resumed = oscar.submit(oscar.see("/tasks"), "/resume")
    assert resumed.one(class_="notice").text == "The queue was resumed."
    assert resumed.live("banner").text == ""
    assert web_client.woken == ["worker_pool"]
    oscar.post("/resume")
    events = [
        (kind, json.loads(payload)) for kind, payload in world.sql("SELECT event_type, payload FROM ingest_event")
    ]
    assert [(kind, payload["requested_by"], payload["reason"]) for kind, payload in events] == [
        ("queue_paused", "olivia", "a look around"), ("queue_resumed", "oscar", None),
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["/tasks", "/?status=failed&prefix=a", "/batches/{}"])
def test_resume_returns_to_the_same_page(web_client: WebClient, olivia: Visitor, path: str) -> None:
    path = path.format(web_client.put(photo("a")))
    olivia.post("/pause")
    page = olivia.see(path)
    form = page.form("/resume")
    assert form is not None
    answer = olivia.post("/resume", {"next": form.one("input", type="hidden")["value"]})
    assert answer.headers["Location"] == f"{path}{'&' if '?' in path else '?'}notice=resumed"
    assert olivia.see(answer.headers["Location"]).one("body")["data-address"] == path


def test_a_form_does_not_redirect_to_other_sites(olivia: Visitor) -> None:
    assert olivia.post("/scan", {"next": "//evil.example/"}).headers["Location"] == "/"


def test_a_pause_needs_no_reason(world: World, olivia: Visitor) -> None:
    olivia.submit(olivia.see("/"), "/pause", reason="")
    assert " by olivia. No host" in olivia.see("/").live("banner").text
    assert world.one("SELECT paused_reason FROM ingest_control") is None


def test_unknown_notices_are_not_shown(olivia: Visitor) -> None:
    for word in ("evil", "__class__", md5("x"), "scan%00", ""):
        assert not olivia.see(f"/?notice={word}").all(class_="notice")
