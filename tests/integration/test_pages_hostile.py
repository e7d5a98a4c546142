"""Hostile text from bundles, the tokens file or requests is escaped on every page."""

import json
from urllib.parse import quote

from support.html import check_tame
from support.web_client import WebClient
from support.world import World, photo

HOSTILE = (
    "\"><script>alert(1)</script><img src=x onerror=alert(1)>' & {{7*7}} </td></table> \u202eevil\u2066 \x01\x1b\x7f"
    + "x" * 100
)
HOSTILE_ASCII = "<b onclick=x>'\"&{{7}}"
HARMLESS, HARMLESS_ASCII = "a host", "a word"


def spoil(world: World, text: str, word: str) -> None:
    """Writes `text`, or `word` where only ASCII fits, into every column with external content."""
    for table, columns in {"ingest_batch": ("source_host", "last_error"), "ingest_batch_item": ("last_error",),
                           "import_job": ("requested_by", "claimed_by", "last_error"),
                           "ingest_control": ("paused_by", "paused_reason")}.items():  # fmt: skip
        world.sql(f"UPDATE {table} SET " + ", ".join(f"{column} = %s" for column in columns), *[text] * len(columns))
    world.sql("UPDATE ingest_batch SET type = %s, manifest_summary = %s", text[:64], json.dumps({text: {text: [text]}}))
    world.sql("UPDATE ingest_batch_item SET asset_type = %s, asset_hash = LEFT(CONCAT(id, %s), 32)", word, word)
    world.sql("UPDATE ingest_batch_item SET waiting_for = %s, cover_hash = %s", word, word)
    world.sql("UPDATE ingest_control SET paused = 1, paused_at = UTC_TIMESTAMP(6)")
    batch_id = world.one("SELECT MIN(id) FROM ingest_batch")
    world.sql("DELETE FROM ingest_batch_container")
    world.sql("TRUNCATE ingest_event")
    world.sql(
        "INSERT INTO ingest_batch_container (batch_id, ordinal, type, hash, entry_sha256, decision, target_ids,"
        " last_error, updated_at) VALUES (%s, 0, %s, %s, '', 'failed', %s, %s, UTC_TIMESTAMP(6))",
        batch_id, word, word, json.dumps({text: text}), text,
    )  # fmt: skip
    event = "INSERT INTO ingest_event (batch_id, event_type, payload) VALUES (%s, %s, %s)"
    world.sql(event, batch_id, word, json.dumps({text: text, "n": [text] * 9}))


def test_hostile_text_does_not_change_the_markup(world: World, web_client: WebClient) -> None:
    """The markup of every page is the same as with harmless text, and the text is shown."""
    sync_id = world.put(photo("a"), {"type": "photo", "hash": "bad"})
    world.import_all(web_client.context, sync_id)
    other = web_client.put(photo("b"), day=2)
    olivia = web_client.visitor("the-operator-token")
    olivia.post("/queue", {"sync_id": [other]})
    looks = ["/", "/tasks", f"/batches/{sync_id}", f"/batches/{other}"]
    spoil(world, HARMLESS, HARMLESS_ASCII)
    tame = {path: olivia.see(path) for path in looks}
    spoil(world, HOSTILE, HOSTILE_ASCII)
    for path in looks:
        page = olivia.see(path)
        check_tame(page)
        assert HOSTILE in page.live("banner").raw, path
    media, tasks, one = (olivia.see(path) for path in looks[:3])
    assert media.raw.count(HOSTILE) > 3
    assert tasks.raw.count(HOSTILE) >= 5
    for name in ("standing", "details", "jobs", "items", "containers"):
        assert HOSTILE in one.live(name).raw, name
    assert one.section("manifest").raw.count(HOSTILE) == 2
    assert HOSTILE_ASCII in one.live("items").raw
    (event,) = one.live("events").all("tr")
    assert json.loads(event.one("pre").raw) == {HOSTILE: HOSTILE, "n": [HOSTILE] * 9}
    for path, page in {"/": media, "/tasks": tasks, looks[2]: one}.items():
        assert page.skeleton() == tame[path].skeleton(), path


def test_hostile_request_parameters_are_escaped(web_client: WebClient, world: World) -> None:
    """Parameters are escaped where the response repeats them."""
    olivia = web_client.visitor("the-operator-token")
    typed = HOSTILE[:200].replace("\n", " ")
    page = olivia.see(f"/?prefix={quote(typed)}")
    check_tame(page)
    assert page.one("input", name="prefix")["value"] == typed
    named = "'\"><img src=x onerror=alert(1)>/../%00"
    for path in ("/confirm", "/queue", "/preflight"):
        page = olivia.post(path, {"sync_id": [named, "//evil.example", "..", "ä"]}).page
        check_tame(page)
        assert named in page.raw
        assert not page.all("img")
    for path in (f"/batches/{quote(named, safe='')}", f"/?status={quote(HOSTILE)}", f"/?{quote(HOSTILE)}=1"):
        answer = olivia.get(path)
        assert answer.status in (400, 404)
        check_tame(answer.page)
        assert not answer.page.all("img")
    olivia.submit(olivia.see("/"), "/pause", reason=HOSTILE)
    banner = olivia.see("/tasks").live("banner")
    assert HOSTILE in banner.raw
    assert json.loads(world.one("SELECT payload FROM ingest_event"))["reason"] == HOSTILE


def test_a_hostile_user_name_is_escaped(web_client: WebClient, world: World) -> None:
    name = "<b>'\"&{{7*7}}</b>" + "ö" * 200
    web_client.tokens.write_text(f"{name}:operator:a-token-of-someone\n")
    olivia = web_client.visitor("a-token-of-someone")
    page = olivia.see("/")
    assert name in page.one("header").raw
    check_tame(olivia.submit(page, "/pause"))
    assert name in olivia.see("/tasks").live("banner").raw
    web_client.tokens.write_text(f"{name}:viewer:a-token-of-someone\n")
    assert f"{name} is a viewer" in olivia.post("/resume").page.raw
