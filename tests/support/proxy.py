"""A reverse proxy with a path prefix, and servers that send arbitrary bytes."""

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREFIX = "/behind/a/proxy"


class _Handler(BaseHTTPRequestHandler):
    """Forwards requests below PREFIX; returns a page for all others."""

    server: "_Server"

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        if not self.path.startswith(f"{PREFIX}/"):
            self._answer(404, {"Content-Type": "text/html"}, b"<h1>Not here</h1>")
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        kept = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
        connection = http.client.HTTPConnection(self.server.behind, timeout=60)
        try:
            headers = {**kept, "Host": self.server.host}
            connection.request(self.command, self.path.removeprefix(PREFIX), body, headers)
            answer = connection.getresponse()
            self._answer(answer.status, dict(answer.headers), answer.read())
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    behind: str
    host: str
    seen: list[str]

    @property
    def url(self) -> str:
        scheme = "https" if isinstance(self.socket, ssl.SSLSocket) else "http"
        return f"{scheme}://127.0.0.1:{self.server_address[1]}{PREFIX}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores clients that distrust the certificate and disconnect during the handshake."""


@contextmanager
def reverse_proxy(behind: str, host: str, tls: ssl.SSLContext | None = None) -> Iterator[_Server]:
    """A proxy in reverse_proxy of the daemon at `behind`; it sends `host` as Host header."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.behind, server.host, server.seen = behind, host, []
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


Answer = Callable[[socket.socket], None]


@contextmanager
def stranger(answer: Answer) -> Iterator[str]:
    """A server that handles each connection with `answer`; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_serve, args=(listening, answer))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            # Only this wakes a thread that is waiting in accept().
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listening: socket.socket, answer: Answer) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                answer(connection)


def says(data: bytes) -> Answer:
    """Reads the request, sends these bytes and closes."""

    def answer(connection: socket.socket) -> None:
        with connection.makefile("rb") as asked:
            length = 0
            while (line := asked.readline()).strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            asked.read(length)
        connection.sendall(data)

    return answer


def http_answer(status: str, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body
