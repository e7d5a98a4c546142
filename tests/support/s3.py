"""A real S3 server in a separate process, and a real read-only FUSE mount of one of its buckets."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ingestd.config import Settings
from support.fuse import FuseMount, clean_environment, missing_programs
from support.missing import give_up
from support.wait import until
from support.world import World, md5

BUCKET = "assets"
LISTENING = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")


def demand_programs() -> None:
    """Skips the test if a real mount is impossible; fails it in CI."""
    missing = [f"Python package {name}" for name in ("moto", "flask", "boto3") if find_spec(name) is None]
    missing += missing_programs()
    if missing:
        give_up(f"a real S3 mount needs {', '.join(missing)}")


@dataclass
class S3Server:
    """moto's S3 server on a free port. start() and stop() may each be called twice."""

    folder: Path
    endpoint: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _client: Any = None

    def start(self) -> None:
        if self._process is not None:
            return
        log = self.folder / "s3.log"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, env=clean_environment())
        self.endpoint = until(lambda: self._announced(log), what=f"for the S3 server; its log is {log}")
        self._client = _client(self.endpoint)
        self._client.create_bucket(Bucket=BUCKET)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        if self._client is not None:
            self._client.close()
            self._client = None

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def keys(self) -> list[str]:
        """Every key of the bucket, in order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def empty(self) -> None:
        for key in self.keys():
            self._client.delete_object(Bucket=BUCKET, Key=key)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Freezes the server: it accepts connections but does not respond."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _announced(self, log: Path) -> str:
        assert self._process is not None
        text = log.read_text(errors="replace")
        assert self._process.poll() is None, f"the S3 server did not start: {text}"
        found = LISTENING.search(text)
        return found[1] if found else ""


def _client(endpoint: str) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(proxies={}, s3={"addressing_style": "path"}, retries={"max_attempts": 1})
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config,
    )


class S3Mount(FuseMount):
    """`rclone mount --read-only` of the whole bucket on `folder`."""

    def __init__(self, server: S3Server, folder: Path) -> None:
        options = ["--s3-provider", "Other", "--s3-endpoint", server.endpoint, "--s3-force-path-style"]
        options += ["--s3-access-key-id", "test", "--s3-secret-access-key", "test", "--s3-region", "us-east-1"]
        super().__init__(f":s3:{BUCKET}", folder, tuple(options))


@dataclass
class S3World(World):
    """A world whose bundles are uploaded to a bucket and read through the mount."""

    s3: S3Server = field(kw_only=True)
    mount: S3Mount = field(kw_only=True)

    def settings(self, **overrides: dict[str, Any]) -> Settings:
        return super().settings(**{**overrides, "mount": {"require_mount": True, **overrides.get("mount", {})}})

    def file(self, path: str, content: bytes) -> Path:
        self.s3.put(f"{self.root.name}/{path}", content)
        return self.root / path

    def photos(self, prefix: str, count: int) -> list[dict[str, Any]]:
        """Photo items with one file each; uploads their documents at once."""
        items = []
        for number in range(count):
            name = f"{prefix}{number}"
            path = f"photo/{md5(name)}"
            self.file(f"{path}/source/source.json", b'{"from": "%s"}' % name.encode())
            self.file(f"{path}/source/data/photo.analysis.json", b'{"about": "%s"}' % name.encode())
            files = [{"variant": "original", "path": "0.jpg", "bytes": 10}]
            items.append({"type": "photo", "hash": md5(name), "path": path, "title": name, "files": files})
        return items

    def hand_over(self, *items: dict[str, Any], **more: Any) -> str:
        """Like `put`, but uploads the sentinel only when the cache of the mount shows the items."""
        sync_id = self.put(*items, ready=False, **more)
        self.sentinel(sync_id, *items)
        return sync_id

    def sentinel(self, sync_id: str, *items: dict[str, Any]) -> None:
        until(lambda: all((self.root / item["path"]).is_dir() for item in items), what="for the mount's cache")
        self.file(f"sync/{sync_id}.ready", b"")
