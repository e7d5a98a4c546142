"""A real read-only FUSE mount by rclone, which may hang, die and come back."""

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ingestd.mount.mountinfo import mount_point
from support.missing import give_up
from support.wait import until


def missing_programs() -> list[str]:
    """What a FUSE mount needs and this machine does not have."""
    missing = [name for name in ("rclone", "fusermount3") if shutil.which(name) is None]
    return missing + (["/dev/fuse"] if not os.access("/dev/fuse", os.R_OK | os.W_OK) else [])


def clean_environment() -> dict[str, str]:
    """An environment without proxies, certificates and credentials, so that all traffic stays on 127.0.0.1."""
    return {"PATH": os.environ["PATH"], "HOME": os.devnull}


@dataclass
class FuseMount:
    """`rclone mount --read-only` of `source` on `folder`. unmount() may be called in any state, also twice."""

    source: str
    folder: Path
    options: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = None

    @property
    def is_mounted(self) -> bool:
        """Whether something is mounted, dead or alive."""
        return mount_point(self.folder).point == str(self.folder)

    def mount(self) -> None:
        self.folder.mkdir(exist_ok=True)
        log = self.folder.with_suffix(".log")
        command = ["rclone", "mount", self.source, str(self.folder), "--read-only", "--config", "", *self.options]
        command += ["--dir-cache-time", "1s", "--attr-timeout", "1s", "--poll-interval", "0"]
        command += ["--vfs-cache-mode", "off", "--no-modtime", "--retries", "1", "--low-level-retries", "1"]
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, env=clean_environment())
        until(self._is_up, what=f"for the mount; its log is {log}")

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            give_up(f"rclone cannot mount: {self.folder.with_suffix('.log').read_text(errors='replace')}")
        return self.is_mounted

    def kill(self) -> None:
        """Kills the mount process: the mount stays listed, and every access returns ENOTCONN."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def hang(self) -> None:
        """Freezes the mount process: accesses hang."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def unmount(self) -> None:
        """Ends the mount and its process, in any state."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
        try:
            until(self._is_gone, what=f"to unmount {self.folder}")
        finally:
            if process is not None:
                if self.is_mounted:
                    process.kill()
                process.wait()

    def _is_gone(self) -> bool:
        # A process may still use the mount for a moment: it is busy then, so try again.
        if self.is_mounted:
            subprocess.run(["fusermount3", "-u", str(self.folder)], capture_output=True, check=False)
        return not self.is_mounted
