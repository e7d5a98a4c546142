"""A Debian in a container, with a systemd of its own: made once, kept in .cache, and booted on a copy in memory.

It has no network but its own loopback.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.missing import give_up
from support.wait import until

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / ".cache" / "systemd"
LOCKS = (PROJECT / "requirements" / "build.txt", PROJECT / "requirements" / "runtime.txt")
SUITE = "bookworm"
PYTHON = "/usr/bin/python3"
GUEST_PYTHON = (3, 11)
PACKAGES = ("systemd", "systemd-sysv", "mariadb-server", "python3", "python3-venv", "make", "prometheus")
# Services that Debian starts on installation, and that listen on every address.
QUIET = ("mariadb.socket", "prometheus.service")
BOOT_SECONDS = 60.0


def demand_nspawn() -> None:
    """Skips the test, or fails it in CI, if no container can be booted."""
    programs = ("debootstrap", "systemd-nspawn", "nsenter", "setpriv", "make")
    missing = [program for program in programs if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if os.geteuid() != 0:
        give_up("a container can only be booted as root")
    if missing:
        give_up(f"a container needs {', '.join(missing)}")


def demand_same_python() -> None:
    """Requires the same Python version on this machine and in the guest."""
    code = "import sys; print(*sys.version_info[:2])"
    found = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False).stdout.split()
    if tuple(int(part) for part in found) != GUEST_PYTHON:
        give_up(f"{PYTHON} here is not the guest's Python {'.'.join(map(str, GUEST_PYTHON))}, but {found}")


def base() -> Path:
    """The root folder of a bare Debian with PACKAGES, created on first use."""
    root = CACHE / f"{SUITE}-{len(PACKAGES)}"
    if not root.is_dir():
        making = root.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(making), mirror()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            give_up(f"debootstrap failed: {done.stdout[-2000:]}{done.stderr}")
        settle(making)
        making.rename(root)
    return root


def mirror() -> str:
    """The package source of this machine."""
    files = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.sources")]
    for file in filter(Path.is_file, files):
        found = re.search(rf"^(?:URIs:\s*|deb (?:\[.*\] )?)(\S+)(?:\nSuites:| )\s*{SUITE}\s", file.read_text(), re.M)
        if found:
            return found[1]
    raise AssertionError(f"no source of {SUITE} in {files}")


def settle(root: Path) -> None:
    for unit in QUIET:
        subprocess.run(["systemctl", "--quiet", f"--root={root}", "disable", unit], check=True)
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    (root / "etc/machine-id").write_text("")


@dataclass
class Guest:
    """A container. `root` is its file system on this machine; `upstream` is /srv/upstream inside."""

    root: Path
    upstream: Path
    binds: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    _nspawn: "subprocess.Popen[bytes] | None" = None
    _leader: str = ""

    def boot(self) -> None:
        command = ["setpriv", "--pdeathsig", "TERM", "systemd-nspawn", "--quiet", "--boot", "--register=no"]
        command += [
            "--keep-unit",
            "--private-network",
            "--console=pipe",
            "--hostname=guest",
            f"--directory={self.root}",
        ]
        command += [f"--bind={self.upstream}:/srv/upstream", *self.binds]
        with (self.root.parent / "console.log").open("wb") as log:
            self._nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._leader = until(self._find_leader, what="for the first process of the guest")
        until(self._is_up, seconds=BOOT_SECONDS, what=lambda: f"for the guest to boot: {self.console}")

    @property
    def console(self) -> str:
        return (self.root.parent / "console.log").read_text(errors="replace")

    def _find_leader(self) -> str:
        assert self._nspawn is not None
        pid = self._nspawn.pid
        if self._nspawn.poll() is not None:
            give_up(f"no container can be booted here: {self.console}")
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, self.console
        self._leader = self._find_leader()
        state = self.run("systemctl is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def run(self, script: str, *, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Runs a shell command inside, as root."""
        variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        settings = [f"{name}={value}" for name, value in {**variables, **self.environment}.items()]
        command = ["nsenter", "--target", self._leader, "--all", "env", "-i", *settings, "bash", "-c", script]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{script}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def out(self, script: str) -> str:
        return self.run(script).stdout.strip()

    def sql(self, statement: str) -> list[list[str]]:
        """The rows of a statement as text, run as the owner of the database."""
        answer = self.out(f"mariadb --batch --skip-column-names admin_panel -e {shlex.quote(statement)}")
        return [line.split("\t") for line in answer.splitlines()]

    def one(self, statement: str) -> str:
        ((value,),) = self.sql(statement)
        return value

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def shut_down(self) -> None:
        nspawn, self._nspawn = self._nspawn, None
        if nspawn is None:
            return
        nspawn.terminate()
        try:
            nspawn.wait(30)
        except subprocess.TimeoutExpired:
            nspawn.kill()
            nspawn.wait()


@contextmanager
def copy_in_memory(folder: Path) -> Iterator[Path]:
    """A writable copy of the base that keeps its changes in memory."""
    lower, memory = base(), folder / "memory"
    memory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", str(memory)], check=True)
    try:
        upper, work, root = (memory / name for name in ("upper", "work", "root"))
        for each in (upper, work, root):
            each.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", str(root)], check=True)
        try:
            yield root
        finally:
            subprocess.run(["umount", str(root)], check=True)
    finally:
        subprocess.run(["umount", str(memory)], check=True)


@contextmanager
def guest_on(root: Path, folder: Path, *binds: str) -> Iterator[Guest]:
    """A booted guest; shut down afterwards."""
    upstream = folder / "upstream"
    (upstream / "assets" / "sync").mkdir(parents=True)
    for path in (upstream, upstream / "assets", upstream / "assets" / "sync"):
        path.chmod(0o755)
    made = Guest(root, upstream, binds)
    made.write("/etc/fstab", "/srv/upstream /mnt/s3-sync none bind,ro,noauto 0 0\n")
    (root / "mnt/s3-sync").mkdir(exist_ok=True)
    try:
        made.boot()
        yield made
    finally:
        made.shut_down()


def install(root: Path) -> None:
    """Runs `make install` into the file system of the guest, from outside."""
    command = ["make", "--silent", "install", f"DESTDIR={root}", f"PYTHON={PYTHON}"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def wheels(folder: Path) -> None:
    """Downloads all wheels that pip needs to install the project without a network, for the Python of the guest."""
    version = [f"--python-version={'.'.join(map(str, GUEST_PYTHON))}", "--only-binary=:all:"]
    sources = [f"--requirement={path}" for path in LOCKS]
    command = [sys.executable, "-m", "pip", "download", "--quiet", f"--dest={folder}", *version, *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
