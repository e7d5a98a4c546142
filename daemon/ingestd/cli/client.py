"""HTTP client for the API of a daemon on another host.

The server may be hostile, or another program: the size of a response and the time to wait for it are limited, and its
shape is checked. Proxies of the environment are not used and redirects are not followed, so that the token reaches only
the address that the user gave.
"""

import http.client
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import click
import msgspec
import orjson

from ingestd import __version__
from ingestd.cli.output import echo
from ingestd.errors import (
    ConfigError,
    DaemonBusy,
    DaemonRefused,
    DaemonUnavailable,
    IngestdError,
    NoDaemon,
    NotEligible,
    NotFound,
)
from ingestd.format.strict_json import repeated_key
from ingestd.hosts import is_loopback
from ingestd.text_file import read_text

CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 300.0
"""to connect, and to receive a whole response: queueing a batch may include planning it"""
QUIET_SECONDS = 5.0
"""without a response, until the person is informed"""
MAX_BYTES = 2**24
MAX_TOKEN = 4096
TOKEN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
PORTS = {"http": 80, "https": 443}
HINTS = {
    401: "check that the token in --token-file is one of its [http] tokens_file",
    403: "check that the token in --token-file is an operator's",
    421: "check that its [http] allowed_hosts has the host that --url names",
}
OVERLOADED = (429, 502, 503, 504)

T = TypeVar("T")
Raw = tuple[int, Message, bytes]
"""status, headers, body"""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a daemon; `path` is the prefix that a proxy may put before the paths of the API."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_overheard(self) -> bool:
        """Whether the token crosses a network unencrypted."""
        return self.scheme == "http" and not is_loopback(self.host)

    def __str__(self) -> str:
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}{self.path}"


def as_url(value: str) -> Address:
    """Parses the value of --url. Raises BadParameter."""
    try:
        parts = urlsplit(value)
        usual = PORTS[parts.scheme]
        port = parts.port or usual
    except (ValueError, KeyError):
        raise click.BadParameter("not a URL such as https://host:port") from None
    if not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment or not re.fullmatch("[!-~]+", value):
        raise click.BadParameter("a URL may have a scheme, host, port and path, nothing else, in ASCII")
    return Address(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))


def read_token(file: Path) -> str:
    """Reads the token from a file. Raises ConfigError."""
    try:
        token = read_text(file).strip()
    except OSError as error:
        raise ConfigError(f"cannot read the token file {file}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"cannot read the token file {file}: {error}") from error
    if len(token) > MAX_TOKEN or not TOKEN.fullmatch(token):
        raise ConfigError(f"the token file {file} has no token; it must be one line of ASCII")
    return token


class _Timed(io.RawIOBase):
    """Raw stream of a socket with one deadline for all reads. A timeout of the socket alone restarts with each byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock, self._deadline = raw, sock, time.monotonic() + ANSWER_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An HTTP response that must arrive as a whole within ANSWER_SECONDS."""

    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock))


@dataclass(frozen=True, slots=True)
class Client:
    """Client of one daemon. Raises for an error response what a command on that host would raise."""

    address: Address
    token: str

    def get(self, path: str, shape: type[T]) -> T:
        return self._ask("GET", path, None, {200: shape})

    def post(self, path: str, shapes: Mapping[int, type[T]], body: dict[str, Any] | None = None) -> T:
        """`shapes` has the type of the response for each status that is expected."""
        return self._ask("POST", path, orjson.dumps(body or {}), shapes)

    def _ask(self, method: str, path: str, body: bytes | None, shapes: Mapping[int, type[T]]) -> T:
        status, headers, data = self._answer(method, path, body)
        if status not in shapes:
            raise self._refusal(status, headers, data)
        try:
            return parsed(data, shapes[status])
        except ValueError as error:
            raise NoDaemon(f"{self.address} returned {status}, but not a response of ingestd: {error}") from error

    def _answer(self, method: str, path: str, body: bytes | None) -> Raw:
        """The response, unchecked. Raises an IngestdError if there is none."""
        try:
            with announced(f"waiting for a response of {self.address}"):
                return self._exchange(method, path, body)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> IngestdError:
        """The error for a request without a response. An impossible host name is a UnicodeError."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return ConfigError(f"{self.address} has a certificate that is not trusted: {error.verify_message}")
        if isinstance(error, TimeoutError):
            return DaemonUnavailable(f"{self.address} did not respond in time; repeating the command is safe")
        if isinstance(error, http.client.IncompleteRead):
            return DaemonUnavailable(f"{self.address} closed the connection in the middle of a response")
        if isinstance(error, OSError | UnicodeError):
            return DaemonUnavailable(f"{self.address} is unreachable: {getattr(error, 'strerror', None) or error}")
        return NoDaemon(f"{self.address} does not speak HTTP: {error!r}; check --url")

    def _exchange(self, method: str, path: str, body: bytes | None) -> Raw:
        connection = self._connection()
        connection.response_class = _Response
        headers = {"Authorization": f"Bearer {self.token}", "User-Agent": f"ingestd/{__version__}"}
        try:
            connection.request(method, f"{self.address.path}/api/v1{path}", body, headers)
            with connection.getresponse() as response:
                data = response.read(MAX_BYTES + 1)
                if response.length and len(data) <= MAX_BYTES:
                    raise http.client.IncompleteRead(data, response.length)
                return response.status, response.headers, data
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self.address.host, self.address.port
        if self.address.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=context)

    def _refusal(self, status: int, headers: Message, data: bytes) -> IngestdError:
        sentence = _sentence(status, data)
        if status in HINTS:
            why = (sentence or HTTPStatus(status).phrase).removesuffix(".")
            return ConfigError(f"{self.address} refuses: {why}; {HINTS[status]}")
        if status in OVERLOADED and sentence is not None:
            return DaemonBusy(sentence, _seconds(headers["Retry-After"]))
        if status in OVERLOADED:
            return DaemonUnavailable(f"{self.address} is unreachable: a proxy before it returned {status}")
        if 300 <= status < 400:
            to = headers["Location"]
            return ConfigError(f"{self.address} redirects to {to}; redirects are not followed, check --url")
        if sentence is None:
            return NoDaemon(f"{self.address} returned {status}, but not a response of ingestd; check --url")
        return {404: NotFound, 409: NotEligible}.get(status, DaemonRefused)(sentence)


@contextmanager
def announced(text: str) -> Iterator[None]:
    """Prints a message once the block has taken QUIET_SECONDS."""
    timer = threading.Timer(QUIET_SECONDS, echo, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Problem(msgspec.Struct):
    type: Literal["about:blank"]
    title: str
    status: int
    detail: str


def parsed(data: bytes, shape: type[T]) -> T:
    """Parses JSON of this shape. Raises ValueError, also for values that could not be written as JSON again."""
    if len(data) > MAX_BYTES:
        raise ValueError("it is too large")
    try:
        value = orjson.loads(data)
        orjson.dumps(value)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if (problem := repeated_key(data)) is not None:
        raise ValueError(problem)
    return shaped(value, shape)


def shaped(value: Any, shape: type[T]) -> T:
    """Converts a parsed JSON value. Raises ValueError if it has another shape."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def _seconds(retry_after: str | None) -> float | None:
    """The value of a Retry-After header in seconds; None if it is another or missing."""
    return float(retry_after) if retry_after is not None and re.fullmatch("[0-9]{1,9}", retry_after) else None


def _sentence(status: int, data: bytes) -> str | None:
    """The `detail` of a problem response of ingestd; None if the response is not from ingestd."""
    try:
        problem = parsed(data, _Problem)
    except ValueError:
        return None
    return problem.detail if problem.status == status else None
