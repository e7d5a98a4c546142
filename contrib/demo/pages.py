"""The operator pages of the demo: a free address, and a token for this run."""

import json
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

USUAL_PORT = 8640


@dataclass(frozen=True)
class Pages:
    """Address and token of the pages."""

    port: int
    token: str
    tokens_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def settings(self) -> dict[str, str]:
        """The settings for the daemon."""
        hosts = [f"{name}:{self.port}" for name in ("127.0.0.1", "localhost")]
        return {
            "INGESTD_HTTP__LISTEN": f"127.0.0.1:{self.port}",
            "INGESTD_HTTP__ALLOWED_HOSTS": json.dumps(hosts),
            "INGESTD_HTTP__TOKENS_FILE": str(self.tokens_file),
        }


def make_pages(tokens_file: Path) -> Pages:
    """Creates the operator `demo`, with access from this machine."""
    made = Pages(_free_port(), secrets.token_urlsafe(18), tokens_file)
    tokens_file.touch(mode=0o600)
    tokens_file.write_text(f"demo:operator:{made.token}\n", encoding="utf-8")
    return made


def _free_port() -> int:
    """The default port, or any free one."""
    for port in (USUAL_PORT, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as listening:
                return int(listening.getsockname()[1])
        except OSError:
            continue
    raise AssertionError("the system gives out no port")
