"""A server that speaks the first words of MariaDB's protocol, and asks for authentication by a plugin of its choice."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

SALT = b"12345678" + b"abcdefghijkl"
CAPABILITIES = 0x00FF_F7FF & ~0x0800 & ~0x0020_0000
"""everything but TLS"""


@dataclass
class Rogue:
    port: int
    received: bytes = b""


def framed(body: bytes, sequence: int = 0) -> bytes:
    return struct.pack("<I", len(body))[:3] + bytes([sequence]) + body


def _greeting(plugin: str) -> bytes:
    lower, upper = CAPABILITIES & 0xFFFF, CAPABILITIES >> 16
    fixed = struct.pack("<HBHHB", lower, 45, 2, upper, len(SALT) + 1)
    return (
        b"\x0a10.11.0-MariaDB\0"
        + struct.pack("<I", 7)
        + SALT[:8]
        + b"\0"
        + fixed
        + bytes(10)
        + SALT[8:]
        + b"\0"
        + (plugin.encode() + b"\0")
    )


def _serve(listening: socket.socket, rogue: Rogue, proposed: str, asked: str) -> None:
    with suppress(OSError):
        while True:
            client, _ = listening.accept()
            with client, suppress(OSError):
                client.settimeout(5.0)
                client.sendall(framed(_greeting(proposed)))
                rogue.received += client.recv(4096)
                client.sendall(framed(b"\xfe" + asked.encode() + b"\0" + SALT + b"\0", 2))
                while data := client.recv(4096):
                    rogue.received += data


@contextmanager
def rogue_server(proposed: str, asked: str) -> Iterator[Rogue]:
    """A server on 127.0.0.1 that greets with one plugin, and then asks the client to switch to another."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        rogue = Rogue(listening.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(listening, rogue, proposed, asked))
        thread.start()
        try:
            yield rogue
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def greeting_server(greeting: bytes) -> Iterator[int]:
    """A server on 127.0.0.1 that sends these bytes to each client and closes; yields its port."""

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                with client, suppress(OSError):
                    client.sendall(greeting)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
