"""Effect of slow clients on a daemon that imports: 300 half-sent requests and 200 that send one byte per second.

Rounds with and without slow clients alternate.
"""

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import cycle
from typing import TypeVar

from common import Bench, bench, lean_item, median, put, report

T = TypeVar("T")

ITEMS = int(os.environ.get("ITEMS", "20000"))
ROUNDS = int(os.environ.get("ROUNDS", "7"))
HALF_SENT, DRIPPING = 300, 200
MIN_RATE, MAX_ANSWER = 0.9, 1.0
TOKEN = "a-token-for-the-benchmark"
BEGUN = b"GET /api/v1/batches HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


def main() -> None:
    with bench() as world, daemon(world) as address:
        import_once(world, address, "warm")
        pairs = [pair(world, address, number) for number in range(ROUNDS)]
    rates = [with_them[0] / alone[0] for alone, with_them in pairs]
    slowest = [with_them[1] for _, with_them in pairs]
    fast, prompt = median(rates) >= MIN_RATE, max(slowest) <= MAX_ANSWER
    report("rate of import with slow clients, relative to without", rates, f"at least {MIN_RATE}", fast)
    report("slowest answer with slow clients, in seconds", slowest, f"at most {MAX_ANSWER:g}", prompt)
    sys.exit(0 if fast and prompt else 1)


@contextmanager
def daemon(world: Bench) -> Iterator[str]:
    """A daemon in its own process; yields its HTTP address."""
    address = f"127.0.0.1:{free_port()}"
    (world.folder / "tokens").write_text(f"bench:operator:{TOKEN}\n")
    settings = {
        "MOUNT__ROOT": str(world.root), "MOUNT__REQUIRE_MOUNT": "false", "MOUNT__VERIFY": "none",
        "DATABASE__UNIX_SOCKET": world.server.socket, "QUEUE__AUTO": '["create"]', "HTTP__LISTEN": address,
        "HTTP__TOKENS_FILE": str(world.folder / "tokens"), "METRICS__LISTEN": "", "LOG__LEVEL": "error",
    }  # fmt: skip
    environment = {**os.environ, **{f"INGESTD_{name}": value for name, value in settings.items()}}
    process = subprocess.Popen([sys.executable, "-m", "ingestd", "run"], env=environment)
    try:
        wait_for(lambda: is_listening(address))
        yield address
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def is_listening(address: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(target(address)) == 0


def target(address: str) -> tuple[str, int]:
    host, _, port = address.partition(":")
    return host, int(port)


Measured = tuple[float, float]
"""Items per second from claim to done, and the seconds of the slowest response meanwhile."""


def pair(world: Bench, address: str, number: int) -> tuple[Measured, Measured]:
    """One import without slow clients and one with them, in alternating order."""
    found = {}
    for with_them in (number % 2 == 0, number % 2 == 1):
        with slow_clients(address) if with_them else nullcontext():
            found[with_them] = import_once(world, address, f"{number}/{with_them}")
    for with_them, (rate, slowest) in sorted(found.items()):
        name = "with slow clients" if with_them else "alone"
        print(f"  {name}: {rate:,.0f} items/s, slowest answer {1000 * slowest:.0f} ms", flush=True)
    return found[False], found[True]


def import_once(world: Bench, address: str, salt: str) -> Measured:
    with asking(address) as taken:
        sync_id = put(world, [lean_item(number, salt) for number in range(ITEMS)])
        done = (
            "SELECT TIMESTAMPDIFF(MICROSECOND, claimed_at, finished_at) / 1e6 FROM import_job"
            f" WHERE state = 'done' AND batch_id = (SELECT id FROM ingest_batch WHERE sync_id = '{sync_id}')"
        )
        ((seconds,),) = wait_for(lambda: world.sql(done))
    return ITEMS / float(seconds), max(taken)


def wait_for(condition: Callable[[], T], seconds: float = 300.0) -> T:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.1)
    return value


@contextmanager
def asking(address: str) -> Iterator[list[float]]:
    """Lists the batches in a loop; yields the seconds of each response."""
    taken: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            taken.append(seconds_of_a_look(address))

    with in_thread(look, over):
        yield taken


def seconds_of_a_look(address: str) -> float:
    connection, start = http.client.HTTPConnection(address, timeout=60), time.perf_counter()
    connection.request(
        "GET", "/api/v1/batches?limit=10", headers={"Host": "localhost:8640", "Authorization": f"Bearer {TOKEN}"}
    )
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()
    connection.close()
    return time.perf_counter() - start


@contextmanager
def slow_clients(address: str) -> Iterator[None]:
    """Connects all slow clients and lets the dripping ones send bytes."""
    half_sent, dripping = ([begun(address) for _ in range(count)] for count in (HALF_SENT, DRIPPING))
    over = threading.Event()

    def drip() -> None:
        # One after another, so that each byte wakes the server.
        for client in cycle(dripping):
            if over.wait(1.0 / DRIPPING):
                return
            client.send(b"x")

    try:
        with in_thread(drip, over):
            yield
        assert all(is_open(client) for client in (*half_sent, *dripping)), "the round outlasted the slow clients"
    finally:
        for client in (*half_sent, *dripping):
            client.close()


def begun(address: str) -> socket.socket:
    client = socket.create_connection(target(address), timeout=10)
    client.sendall(BEGUN)
    client.setblocking(False)
    return client


def is_open(client: socket.socket) -> bool:
    """Whether the server has neither responded nor closed the connection."""
    try:
        client.recv(1)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def in_thread(work: Callable[[], None], over: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    main()
