"""Asks a daemon elsewhere over its HTTP interface.

Whatever answers may be hostile, or another program: what it says is bounded, checked, and awaited for a limited time.
Proxies that the environment names are not used, and redirects not followed: the token is for nobody but the address.
"""

import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import click
import msgspec
import orjson

from ingestd import __version__
from ingestd.errors import (
    ConfigError,
    DaemonRefused,
    DaemonUnavailable,
    IngestdError,
    NoDaemon,
    NotEligible,
    NotFound,
)

CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 300.0
"""the latter for all of an answer: what queues a batch may have to plan it first"""
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
Raw = tuple[int, str | None, bytes]
"""status, Location, body"""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a daemon is; `path` is the part of its URL before that of the interface, as a proxy may have one."""

    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}{self.path}"


def as_url(value: str) -> Address:
    """A parameter that names a daemon."""
    try:
        parts = urlsplit(value)
        usual = PORTS[parts.scheme]
        port = parts.port or usual
    except (ValueError, KeyError):
        raise click.BadParameter("a URL such as https://host:port is needed") from None
    if not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment or not re.fullmatch("[!-~]+", value):
        raise click.BadParameter("scheme, host, port and path are needed, and nothing else, in ASCII")
    return Address(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))


def read_token(file: Path) -> str:
    """The token of a file. Raises ConfigError."""
    try:
        with file.open("rb") as opened:
            token = opened.read(MAX_TOKEN).decode("ascii", "replace").strip()
    except OSError as error:
        raise ConfigError(f"cannot read the token file {file}: {error.strerror}") from error
    if not TOKEN.fullmatch(token):
        raise ConfigError(f"the token file {file} has no token: one line of ASCII is needed")
    return token


class _Timed(io.RawIOBase):
    """What comes from a socket, until a deadline: a timeout of the socket begins anew with each byte."""

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
    """An answer that is there, whole, within ANSWER_SECONDS."""

    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock))


@dataclass(frozen=True, slots=True)
class Client:
    """Asks one daemon, and makes of its refusals the errors that a command of that host would end with."""

    address: Address
    token: str

    def get(self, path: str, shape: type[T]) -> T:
        return self._ask("GET", path, None, {200: shape})

    def post(self, path: str, shapes: Mapping[int, type[T]], body: dict[str, Any] | None = None) -> T:
        """`shapes`: of what is answered with each status."""
        return self._ask("POST", path, orjson.dumps(body or {}), shapes)

    def _ask(self, method: str, path: str, body: bytes | None, shapes: Mapping[int, type[T]]) -> T:
        status, location, data = self._answer(method, path, body)
        if status not in shapes:
            raise self._refusal(status, location, data)
        try:
            return parsed(data, shapes[status])
        except ValueError as error:
            raise NoDaemon(f"{self.address} answers {status}, but not as ingestd does: {error}") from error

    def _answer(self, method: str, path: str, body: bytes | None) -> Raw:
        """An answer as it is. Raises for every reason why there is none."""
        try:
            return self._exchange(method, path, body)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> IngestdError:
        """Why there is no answer. The name of a host that can be none is a UnicodeError."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return ConfigError(f"{self.address} is not to be trusted: {error.verify_message}")
        if isinstance(error, TimeoutError):
            return DaemonUnavailable(f"{self.address} gave no answer in time; asking again does no harm")
        if isinstance(error, http.client.IncompleteRead):
            return DaemonUnavailable(f"{self.address} broke off in the middle of an answer")
        if isinstance(error, OSError | UnicodeError):
            return DaemonUnavailable(f"{self.address} is out of reach: {getattr(error, 'strerror', None) or error}")
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
                return response.status, response.getheader("Location"), data
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self.address.host, self.address.port
        if self.address.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=context)

    def _refusal(self, status: int, location: str | None, data: bytes) -> IngestdError:
        sentence = _sentence(status, data)
        if status in HINTS:
            why = (sentence or HTTPStatus(status).phrase).removesuffix(".")
            return ConfigError(f"{self.address} refuses: {why}; {HINTS[status]}")
        if status in OVERLOADED:
            return DaemonUnavailable(sentence or f"{self.address} is out of reach: what is before it answers {status}")
        if 300 <= status < 400:
            return ConfigError(f"{self.address} leads to {location}, which is not followed; check --url")
        if sentence is None:
            return NoDaemon(f"{self.address} answers {status}, and not as ingestd does; check --url")
        return {404: NotFound, 409: NotEligible}.get(status, DaemonRefused)(sentence)


class _Problem(msgspec.Struct):
    type: Literal["about:blank"]
    title: str
    status: int
    detail: str


def parsed(data: bytes, shape: type[T]) -> T:
    """Raises ValueError for what is no JSON, of another shape, or could not be printed as JSON again."""
    if len(data) > MAX_BYTES:
        raise ValueError("it has no end")
    try:
        value = orjson.loads(data)
        orjson.dumps(value)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return shaped(value, shape)


def shaped(value: Any, shape: type[T]) -> T:
    """Raises ValueError for what is of another shape."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def _sentence(status: int, data: bytes) -> str | None:
    """Why ingestd refuses; None if it is not ingestd that does."""
    try:
        problem = parsed(data, _Problem)
    except ValueError:
        return None
    return problem.detail if problem.status == status else None
