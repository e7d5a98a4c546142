"""Commands run by a daemon on another host print what they print locally, and a hostile server does no harm."""

import json
import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ingestd import config
from ingestd.app import Daemon
from ingestd.cli import client, remote
from ingestd.pipeline import queueing
from ingestd.web import operations
from support.certificates import self_signed
from support.command import Result, Run, commands
from support.proxy import Answer, http_answer, reverse_proxy, says, stranger
from support.wait import until
from support.watching import until_watching
from support.world import World, cover, md5, photo

# The driver leaves the socket of a connection that it could not make to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

HOST = "ingest.example"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
HOSTILE = "a\x1b[31mb\nc\x9be\u202ef"
ID = "{}-0000-4000-8000-00000000000{}"
HERE, THERE = "aaaaaaaa", "bbbbbbbb"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("INGESTD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "none.toml")
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:9")
    monkeypatch.setenv("https_proxy", "http://192.0.2.1:9")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    with commands(monkeypatch, capsys) as call:
        yield call


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("a-token-of-olga-1\n")
    return file


@pytest.fixture
def daemon(world: World, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that scans only on request. Its queue is paused, so jobs keep their state."""
    tokens = tmp_path / "tokens"
    tokens.write_text("olga:operator:a-token-of-olga-1\nvictor:viewer:a-token-of-victor\n")
    http = {"listen": "127.0.0.1:0", "tokens_file": str(tokens), "allowed_hosts": [HOST]}
    mount = {"rescan_interval": 1000.0, "watch": "poll", "poll_interval": 1000.0}
    made = Daemon(world.settings(http=http, mount=mount, queue={"removal_limit": 1}))
    queueing.pause(made.context, "tester", None)
    made.start()
    try:
        until_watching(made)
        yield made
    finally:
        made.stop()


def address(daemon: Daemon) -> str:
    assert daemon.http is not None
    return daemon.http.address


@pytest.fixture
def elsewhere(daemon: Daemon, token: Path) -> Iterator[list[str]]:
    """Command options that reach the daemon through a reverse proxy with a path prefix."""
    with reverse_proxy(address(daemon), HOST) as proxy:
        yield ["--url", f"{proxy.url}/", "--token-file", str(token)]


def reach(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configures local commands, by environment variables, to use the test's database and mount."""
    monkeypatch.setenv("INGESTD_DATABASE__UNIX_SOCKET", world.server.socket)
    monkeypatch.setenv("INGESTD_DATABASE__USER", "ingestd")
    monkeypatch.setenv("INGESTD_MOUNT__ROOT", str(world.root))
    monkeypatch.setenv("INGESTD_MOUNT__REQUIRE_MOUNT", "false")
    monkeypatch.setenv("INGESTD_QUEUE__REMOVAL_LIMIT", "1")


# same output, locally and remotely


def scenario(world: World, run: Run, half: str, *options: str) -> list[Result]:
    """Runs every remote command, with bundles whose sync_ids begin with `half`."""
    one, bad, invalid, removal, changing = (ID.format(half, number) for number in range(1, 6))
    world.put(photo("a"), cover("c", "absent"), sync_id=one)
    world.put(photo("b"), {"type": "photo", "hash": HOSTILE}, sync_id=bad)
    world.put(photo("c"), status=f"up{HOSTILE}", sync_id=invalid)
    world.put(*({"type": "photo", "hash": md5(name)} for name in "xy"), action="remove", day=9, sync_id=removal)
    world.put(photo("d"), sync_id=changing)
    world.file(f"sync/{ID.format(half, 9)}.ready", b"")
    results = [run("scan", *options)]
    world.put(photo("e"), sync_id=changing)
    results += [run("scan", "--json", *options), run("scan", *options), run("scan", "--json", *options)]
    for arguments in (
        ["preflight", bad], ["preflight", bad, "--json"], ["preflight", invalid], ["preflight", UNKNOWN],
        ["queue", one, invalid, UNKNOWN, one, "--priority", "7"], ["queue", one, bad, "--json"],
        ["queue", one, "--priority", "-1"], ["queue", changing, "--only", "failed"], ["queue", removal],
        ["queue", removal, "--force", "--json"], ["queue", "'\\%_ --"], ["queue", ".."], ["cancel", one],
        ["cancel", bad, "--json"], ["cancel", one], ["cancel", UNKNOWN], ["cancel", "a/../b"],
        ["queue", bad, "--reimport", "--only", "failed"], ["queue", bad, "--priority", "x"], ["cancel"], ["queue", "ü"],
    ):  # fmt: skip
        results.append(run(*arguments, *options))
    (world.root / f"sync/{changing}.json").unlink()
    return [*results, run("queue", changing, *options), run("preflight", changing, *options)]


def alike(result: Result) -> tuple[int, str]:
    """Exit status and output, with sync_ids, digests, job ids and times replaced by constants."""
    text = re.sub(r"\b1\d{7}\b", "JOB", result.stdout.replace(THERE, HERE))
    text = re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", text)
    text = re.sub(r'{"id":\d+,', '{"id":ID,', text)
    return result.code, re.sub(r'("discovered_at":)"[^"]+Z"', r"\1TIME", text)


def test_remote_commands_print_the_same_as_local_ones(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: list[str]
) -> None:
    world.import_all(world.context(), world.put(photo("x"), photo("y")))
    world.sql("ALTER TABLE import_job AUTO_INCREMENT = 10000000")
    with monkeypatch.context() as patch:
        reach(world, patch)
        here = scenario(world, run, HERE)
    # An invalid configuration would end a local command.
    monkeypatch.setenv("INGESTD_NONSENSE", "1")
    there = scenario(world, run, THERE, *elsewhere)
    for local, distant in zip(here, there, strict=True):
        assert alike(distant) == alike(local)
    assert {result.code for result in here} == {0, 2, 3}
    assert [result.stdout for result in there if "\x1b" in result.stdout] == []
    requesters = world.sql("SELECT DISTINCT requested_by FROM import_job j JOIN ingest_batch b ON b.id = j.batch_id"
                           " WHERE b.sync_id LIKE %s", f"{THERE}%")  # fmt: skip
    assert requesters == [("olga",)]


def test_remote_commands_print_the_messages_of_local_ones(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: list[str]
) -> None:
    world.file(f"sync/{UNKNOWN}.ready", b"")
    waiting = "ingestd: 1 bundles have no readable manifest yet; a later scan looks again\n"
    assert run("scan", *elsewhere) == (0, "", f"ingestd: nothing new\n{waiting}")
    sync_id = world.put(photo("a"))
    assert run("scan", *elsewhere).table[0]["sync_id"] == sync_id
    nothing = run("cancel", sync_id, *elsewhere)
    assert nothing == (3, "", f"ingestd: batch {sync_id} has no job to cancel\n")
    world.sql("INSERT INTO import_job (batch_id, state, queued_at) SELECT id, 'running', NOW() FROM ingest_batch")
    running = run("cancel", sync_id, *elsewhere)
    assert (running.code, running.stdout) == (3, "")
    assert "is running; only stopping the service stops it" in running.stderr


# plans in the background


@pytest.fixture
def _all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "PLANNED_AT_ONCE", 0)


@pytest.mark.usefixtures("_all_are_large")
def test_a_background_plan_is_waited_for(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: list[str]
) -> None:
    sync_id = world.put(photo("a"), cover("c", "a"), {"type": "photo", "hash": HOSTILE})
    assert run("scan", *elsewhere).code == 0
    there = [run("preflight", sync_id, *elsewhere), run("preflight", sync_id, "--json", *elsewhere)]
    reach(world, monkeypatch)
    here = [run("preflight", sync_id), run("preflight", sync_id, "--json")]
    assert there[0] == here[0]
    assert (there[1].json, there[1].stderr) == (here[1].json, "")
    assert list(there[1].json) == list(here[1].json)
    assert list(there[1].json["counts"].items()) == list(here[1].json["counts"].items())


@pytest.mark.usefixtures("_all_are_large")
def test_a_failed_background_plan_prints_its_error(
    world: World, daemon: Daemon, run: Run, elsewhere: list[str]
) -> None:
    invalid = world.put(photo("a"), status="uploading")
    run("scan", *elsewhere)
    result = run("preflight", invalid, *elsewhere)
    assert (result.code, result.stdout) == (3, "")
    assert f"batch {invalid} is invalid" in result.stderr


# access


def test_a_refused_token_or_host_says_what_to_check(
    world: World, daemon: Daemon, run: Run, elsewhere: list[str], token: Path
) -> None:
    token.write_text("a-token-of-victor")
    views = run("scan", *elsewhere)
    assert (views.code, views.stdout) == (78, "")
    assert "victor is a viewer; only operators may change anything; check that the token" in views.stderr
    token.write_text("unknown-token")
    unknown = run("queue", UNKNOWN, *elsewhere)
    assert (unknown.code, unknown.stdout) == (78, "")
    assert "tokens_file" in unknown.stderr
    token.write_text("a-token-of-olga-1")
    direct = run("cancel", UNKNOWN, "--url", f"http://{address(daemon)}", "--token-file", token)
    assert (direct.code, direct.stdout) == (78, "")
    assert "allowed_hosts" in direct.stderr


@pytest.mark.parametrize(
    "content", [None, b"", b"\n", b"t\xc3\xb6ken", b"two\nlines", b"\xff\xfe", b"a\x00b", "folder"]
)
def test_a_token_file_without_a_token_is_a_configuration_error(
    run: Run, tmp_path: Path, content: bytes | str | None
) -> None:
    file = tmp_path / "secret"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        file.mkdir()
    result = run("scan", "--url", "http://127.0.0.1:1", "--token-file", file)
    assert (result.code, result.stdout) == (78, "")
    assert str(file) in result.stderr
    assert "two" not in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--url", "http://h"], ["--token-file", "f"], *(
            ["--url", url, "--token-file", "f"]
            for url in ("", "h", "h:80", "ftp://h", "http://", "http://:80", "http://u:p@h", "http://h:x", "http://h:99999",
                        "http://h?a=b", "http://h/#a", "http://[::1", "http://h/a b", "http://h\n", "http://hü")
        ),
    ],
)  # fmt: skip
def test_wrong_options_are_a_usage_error(run: Run, options: list[str]) -> None:
    result = run("cancel", UNKNOWN, *options)
    assert (result.code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr


def test_batches_are_queued_oldest_first_remotely(world: World, daemon: Daemon, run: Run, elsewhere: list[str]) -> None:
    newest, middle, oldest = (world.put(photo(str(day)), day=day) for day in (3, 2, 1))
    assert run("scan", *elsewhere).code == 0
    result = run("queue", newest, middle, UNKNOWN, oldest, *elsewhere, "--json").json
    assert [row["sync_id"] for row in result] == [newest, middle, UNKNOWN, oldest]
    assert result[3]["job_id"] < result[1]["job_id"] < result[0]["job_id"]


def test_reimport_is_refused_remotely(world: World, daemon: Daemon, run: Run, elsewhere: list[str]) -> None:
    result = run("queue", UNKNOWN, "--reimport", *elsewhere)
    assert (result.code, result.stdout) == (2, "")
    assert "run it on the host itself" in result.stderr


# outages


def test_queue_stops_at_an_outage_and_prints_the_results_so_far(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: list[str]
) -> None:
    first, second = sorted((world.put(photo("a")), world.put(photo("b"))))
    run("scan", *elsewhere)
    assert run("queue", first, *elsewhere).code == 0
    away = world.root.with_name("away")
    world.root.rename(away)
    try:
        queued = run("queue", first, second, *elsewhere)
    finally:
        away.rename(world.root)
    assert queued.code == 69
    assert str(world.root) in queued.stderr
    assert [row["sync_id"] for row in queued.table] == [first]


def test_a_scan_waits_for_the_mount(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, elsewhere: list[str]
) -> None:
    sync_id = world.put(photo("a"))
    away = world.root.with_name("away")
    world.root.rename(away)
    until(lambda: not daemon.context.mount.up, what="for the mount to be missed")
    monkeypatch.setattr(remote, "GIVE_UP_SECONDS", 0.3)
    waiting = run("scan", *elsewhere)
    assert (waiting.code, waiting.stdout) == (69, "")
    assert "is queued; no host with a mount has taken it yet" in waiting.stderr
    monkeypatch.setattr(remote, "GIVE_UP_SECONDS", 60.0)
    away.rename(world.root)
    assert run("scan", *elsewhere).code == 0
    assert world.status(sync_id) == "new"
    assert world.sql("SELECT DISTINCT state FROM ingest_request") == [("done",)]


def test_an_unreachable_daemon_exits_with_69(run: Run, token: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    for command in (["scan"], ["queue", UNKNOWN, UNKNOWN], ["preflight", UNKNOWN], ["cancel", UNKNOWN]):
        code, out, err = run(*command, "--url", f"http://127.0.0.1:{port}", "--token-file", token)
        assert (code, out) == (69, "")
        assert err == f"ingestd: http://127.0.0.1:{port} is unreachable: Connection refused\n"
    for url in ("http://no.such.host.invalid", f"http://{'a' * 64}.example", "http://a..b"):
        assert run("scan", "--url", url, "--token-file", token).code == 69


# hostile and broken servers


def problem(status: int, detail: str) -> bytes:
    body = {"type": "about:blank", "title": "x", "status": status, "detail": detail}
    return http_answer(f"{status} x", json.dumps(body).encode(), "Content-Type: application/problem+json")


STRANGE = {
    "no HTTP": (1, b"220 mail.example ESMTP\r\n"),
    "nothing": (69, b""),
    "half a line": (1, b"HTTP/1.1"),
    "no status": (1, b"HTTP/1.1 xyz\r\n\r\n"),
    "an endless line": (1, b"HTTP/1.1 200 " + b"x" * 70_000),
    "endless headers": (1, b"HTTP/1.1 202 x\r\n" + b"a: b\r\n" * 200),
    "half a body": (69, b"HTTP/1.1 202 x\r\nContent-Length: 100\r\n\r\n{}"),
    "half a chunk": (69, b"HTTP/1.1 202 x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}"),
    "no chunk": (69, b"HTTP/1.1 202 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
    "a page": (1, http_answer("202 x", b"<html>")),
    "an empty body": (1, http_answer("202 x", b"")),
    "no content": (1, b"HTTP/1.1 204 x\r\n\r\n"),
    "another shape": (1, http_answer("202 x", b"[1]")),
    "another type": (1, http_answer("202 x", b'{"id": "1"}')),
    "another problem": (1, http_answer("404 x", b'{"detail": "Not Found"}')),
    "bad UTF-8": (1, http_answer("202 x", b'{"id": 1, "x": "\xff"}')),
    "half a character": (1, http_answer("202 x", b'{"id": 1, "x": "\\ud800"}')),
    "deep": (1, http_answer("202 x", b'{"id": 1, "x": ' + b"[" * 900 + b"]" * 900 + b"}")),
    "deeper": (1, http_answer("202 x", b"[" * 100_000)),
    "a huge number": (1, http_answer("202 x", b'{"id": ' + b"9" * 500 + b"}")),
    "a redirect": (78, http_answer("302 x", b"", "Location: http://evil.example/\x1b[31m")),
    "a proxy's error": (69, http_answer("502 x", b"<h1>Bad Gateway</h1>")),
    "a proxy's login": (78, http_answer("401 x", b"<h1>Who are you?</h1>")),
    "a fault": (1, problem(500, "it broke")),
    "a wrong request": (1, problem(400, "not like this")),
    "too much": (1, problem(413, "too much")),
    "an outage": (69, problem(503, HOSTILE)),
    "hostile": (3, problem(409, HOSTILE)),
    "two opinions": (1, problem(409, "x").replace(b"409 x", b"404 x")),
}


@pytest.mark.parametrize("what", STRANGE)
def test_every_strange_response_ends_with_a_message(run: Run, token: Path, what: str) -> None:
    code, data = STRANGE[what]
    with stranger(says(data)) as url:
        result = run("scan", "--url", url, "--token-file", token)
        queued = run("queue", UNKNOWN, "--url", url, "--token-file", token)
    assert (result.code, result.stdout) == (code, "")
    assert result.stderr.startswith("ingestd: ")
    assert "Traceback" not in result.stderr
    assert queued.code in (code, 1)
    assert (result.stderr + queued.stderr + queued.stdout).replace("\n", "").isprintable()


def test_a_huge_response_is_not_read_to_its_end(run: Run, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_BYTES", 1000)
    for data in (http_answer("202 x", b'"' + b"x" * 1000), b"HTTP/1.1 404 x\r\n\r\n" + b"x" * 100_000):
        with stranger(says(data)) as url:
            assert run("scan", "--url", url, "--token-file", token).code == 1


def silence(connection: socket.socket) -> None:
    while connection.recv(1000):
        pass


def drip(connection: socket.socket) -> None:
    """A response that arrives byte by byte and never ends."""
    says(b"HTTP/1.1 202 x\r\n\r\n")(connection)
    connection.settimeout(0.02)
    while True:
        with suppress(TimeoutError):
            if not connection.recv(1):
                return
        connection.sendall(b" ")


def interim(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 x\r\n\r\n")


@pytest.mark.parametrize("answer", [silence, drip, interim])
def test_the_wait_for_a_response_is_limited(
    run: Run, token: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.3)
    with stranger(answer) as url:
        result = run("scan", "--url", url, "--token-file", token)
    assert (result.code, result.stdout) == (69, "")
    assert "did not respond in time" in result.stderr


def by_path(answers: dict[str, bytes]) -> Answer:
    """Chooses the response by the prefix of the path."""

    def answer(connection: socket.socket) -> None:
        asked = connection.recv(65536, socket.MSG_PEEK).split(b" ")[1].decode().removeprefix("/api/v1")
        found = next((data for path, data in answers.items() if asked.startswith(path)), problem(404, "unknown"))
        says(found)(connection)

    return answer


def ok(value: Any, status: int = 200) -> bytes:
    return http_answer(f"{status} x", json.dumps(value).encode())


RUNNING = {
    **dict.fromkeys(("sync_id", "result", "error", "requested_by", "claimed_at", "claimed_by", "finished_at")),
    **{"id": 5, "kind": "scan", "state": "running", "requested_at": "2026-04-12T21:35:35Z"},
}


def accepting(request: dict[str, Any]) -> Answer:
    """Accepts scans and pre-flights as request 5, which is shown as given."""
    accepted = ok({"id": 5}, 202)
    return by_path({"/requests/5": ok(request), "/scan": accepted, f"/batches/{UNKNOWN}/preflight": accepted})


@pytest.mark.parametrize(("state", "sentence"), [("running", "is running"), ("queued", "is queued")])
def test_a_long_wait_is_announced_and_ends(
    run: Run, token: Path, monkeypatch: pytest.MonkeyPatch, state: str, sentence: str
) -> None:
    monkeypatch.setattr(remote, "ANNOUNCE_SECONDS", 0.15)
    monkeypatch.setattr(remote, "GIVE_UP_SECONDS", 0.5)
    with stranger(accepting({**RUNNING, "state": state})) as url:
        result = run("scan", "--url", url, "--token-file", token)
    assert (result.code, result.stdout) == (69, "")
    announced, gave_up = result.stderr.splitlines()
    assert announced.startswith(f"ingestd: request 5 (the scan) at {url} {sentence}")
    assert announced.endswith("; waiting for its result")
    assert gave_up.startswith(f"ingestd: request 5 (the scan) at {url} {sentence}")
    assert gave_up.endswith("; it stays there and was not waited for any longer")


def test_an_unknown_request_ends_the_wait(run: Run, token: Path) -> None:
    with stranger(by_path({"/requests/": problem(404, "there is no request 5"), "/scan": ok({"id": 5}, 202)})) as url:
        result = run("scan", "--url", url, "--token-file", token)
    assert (result.code, result.stdout, result.stderr) == (3, "", "ingestd: there is no request 5\n")


def test_a_failed_request_ends_with_its_error(run: Run, token: Path) -> None:
    with stranger(accepting({**RUNNING, "state": "failed", "error": "the disk is full"})) as url:
        result = run("scan", "--url", url, "--token-file", token)
        plan = run("preflight", UNKNOWN, "--url", url, "--token-file", token)
    assert result == plan == (3, "", "ingestd: the disk is full\n")


def test_hostile_sync_ids_lead_to_no_other_path(run: Run, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_SYNC_IDS", 2)
    result = {"sync_ids": ["../../secret", UNKNOWN, UNKNOWN], "unrecorded": 0}
    with stranger(accepting({**RUNNING, "state": "done", "result": result})) as url:
        found = run("scan", "--url", url, "--token-file", token)
    assert (found.code, found.stdout) == (0, "")
    assert "only the first 2 batches are shown" in found.stderr


@pytest.mark.parametrize("result", [None, {}, {"sync_ids": 5, "unrecorded": 0}, {"ok": 1, "counts": {}}])
def test_a_result_of_another_shape_is_refused(run: Run, token: Path, result: Any) -> None:
    with stranger(accepting({**RUNNING, "state": "done", "result": result})) as url:
        for command in (["scan"], ["preflight", UNKNOWN]):
            found = run(*command, "--url", url, "--token-file", token)
            assert (found.code, found.stdout) == (1, "")
            assert "has no result that ingestd would give" in found.stderr


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, and its key."""
    return self_signed(tmp_path / "proxy.pem", "127.0.0.1")


def test_the_certificate_must_be_trusted(
    world: World, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch, token: Path, certificate: Path
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with reverse_proxy(address(daemon), HOST, tls) as proxy:
        options = ["--url", proxy.url, "--token-file", token]
        refused = run("scan", *options)
        assert (refused.code, refused.stdout, proxy.seen) == (78, "", [])
        assert "has a certificate that is not trusted: self-signed certificate" in refused.stderr
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert run("scan", *options) == (0, "", "ingestd: nothing new\n")
        assert run("scan", "--url", proxy.url.replace("https", "http"), "--token-file", token).code in (1, 69)
    with reverse_proxy(address(daemon), HOST) as proxy:
        wrong = run("scan", "--url", proxy.url.replace("http", "https"), "--token-file", token)
        assert (wrong.code, wrong.stdout) == (69, "")
