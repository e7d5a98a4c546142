"""Effect of slow clients on a daemon that imports: 300 half-sent requests and 200 that send one byte per second.

Rounds with and without slow clients alternate.
"""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import cycle

from common import Bench, lean_item, put
from frame import Form, Value, measures, note
from real_daemon import daemon, make_files, seconds_of_job, wait_until_imported

ITEMS = 20_000
HALF_SENT, DRIPPING = 300, 200
TOKEN = "a-token-for-the-benchmark"
BEGUN = b"GET /api/v1/batches HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


@measures("slow-clients rate", "slow-clients answer")
def beside_slow_clients(world: Bench, form: Form) -> Iterator[Value]:
    with serving(world) as address:
        for number in range(form.rounds(7)):
            alone, with_them = pair(world, address, number)
            yield Value("slow-clients rate", with_them[0] / alone[0])
            yield Value("slow-clients answer", with_them[1])


@contextmanager
def serving(world: Bench) -> Iterator[str]:
    """A daemon with pages; yields their address."""
    address, tokens = f"127.0.0.1:{free_port()}", world.folder / "tokens"
    tokens.write_text(f"bench:operator:{TOKEN}\n")
    with daemon(world, http={"listen": address, "tokens_file": str(tokens)}):
        yield address


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


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
        note(f"{name}: {rate:,.0f} items/s, slowest answer {1000 * slowest:.0f} ms")
    return found[False], found[True]


def import_once(world: Bench, address: str, salt: str) -> Measured:
    items = [lean_item(number, salt) for number in range(ITEMS)]
    make_files(world, items)
    with asking(address) as taken:
        sync_id = put(world, items)
        wait_until_imported(world)
    return ITEMS / seconds_of_job(world, sync_id), max(taken)


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
