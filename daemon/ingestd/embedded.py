"""A private MariaDB: a server of our own on a unix socket in a folder of its own, without network.

It serves `run --embedded`, the demo, the tests and the benchmarks. It never touches a server that is already there.
"""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from ingestd.config import DatabaseSettings
from ingestd.errors import ConfigError, DatabaseUnavailable, IngestdError
from ingestd.store.connection import connect, translated_errors
from ingestd.store.sql import SQL_FOLDER

OWNER_PASSWORD = "owner-password"
START_SECONDS = 60.0
STOP_SECONDS = 60.0
MAX_SOCKET_PATH = 107
SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/libexec"))
INSTALL_HINT = "install MariaDB's server programs (Debian: apt-get install mariadb-server-core) or run `make setup`"


class EmbeddedMariaDB:
    """One private server in `folder`: its data, its log and its socket.

    start() and stop() may each be called twice, and abort() while another thread is in start(). `launcher` is a command
    that executes the server in its place. `name` is the database;
    its account `ingestd` is limited to what sql/grants.sql allows, its account `root` owns the server and belongs to
    the user who runs it. Other users cannot enter the folder, and would not own the server if they could.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "admin_panel",
        options: tuple[str, ...] = (),
        launcher: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder.resolve()
        self.name = name
        self.stop_seconds = STOP_SECONDS
        self._options, self._launcher = options, launcher
        self._process: subprocess.Popen[bytes] | None = None
        self._launching, self._is_aborted = threading.Lock(), False
        self._lock: Any = None
        self._runtime: Path | None = None

    @property
    def socket(self) -> str:
        """Where it listens: in its folder, unless that path is too long for a socket; known while it runs."""
        if self._runtime is None:
            raise IngestdError("the embedded MariaDB is not running")
        return str(self._runtime / "mariadb.sock")

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def settings(self) -> DatabaseSettings:
        """How the daemon's own, limited account reaches this server."""
        return DatabaseSettings(unix_socket=self.socket, user="ingestd", name=self.name)

    def owner_settings(self) -> DatabaseSettings:
        """How the owner reaches it: for migrations and for looking at things."""
        password_file = str(self.folder / OWNER_PASSWORD)
        return DatabaseSettings(unix_socket=self.socket, user="root", password_file=password_file, name=self.name)

    def start(self) -> None:
        if self._process is not None:
            return
        self._take_folder()
        self._runtime = self._choose_runtime()
        if not (self.folder / "data" / "mysql").is_dir():
            self._install()
        self._launch()
        self._prepare()

    def stop(self) -> None:
        """Ends the server, cleanly if `stop_seconds` suffice; everything committed is on disk in any case."""
        with self._launching:
            process, self._process = self._process, None
        if process is not None:
            _end(process, self.stop_seconds)
        if self._runtime is not None and self._runtime != self.folder:
            shutil.rmtree(self._runtime, ignore_errors=True)
        self._runtime = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def abort(self) -> None:
        """Stops it for good, also while another thread starts it: that thread fails soon."""
        with self._launching:
            self._is_aborted = True
        self.stop()

    def _take_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._check_owner()
            self._lock = (self.folder / "lock").open("w")
        except OSError as error:
            raise ConfigError(f"cannot keep a database in {self.folder}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise ConfigError(f"the embedded database in {self.folder} is in use by another ingestd") from None

    def _check_owner(self) -> None:
        """Refuses a folder that other users can enter: the server's data, log and socket are in it."""
        status = self.folder.stat()
        if status.st_uid != os.geteuid():
            raise ConfigError(f"the folder {self.folder} belongs to another user; name a folder of your own")
        if mode := status.st_mode & 0o077:
            raise ConfigError(f"other users can enter the folder {self.folder} ({mode:03o}): run `chmod 700` on it")

    def _choose_runtime(self) -> Path:
        if len(os.fsencode(self.folder)) + len("/mariadb.sock") <= MAX_SOCKET_PATH:
            (self.folder / "mariadb.sock").unlink(missing_ok=True)
            return self.folder
        return Path(tempfile.mkdtemp(prefix="ingestd-"))

    def _install(self) -> None:
        """Makes the data of a new server; what an interrupted attempt leaves is not taken for data."""
        data, unfinished = self.folder / "data", self.folder / "data.new"
        for folder in (data, unfinished):
            shutil.rmtree(folder, ignore_errors=True)
        command = [_program("mariadb-install-db"), "--no-defaults", f"--datadir={unfinished}", "--skip-test-db"]
        command += ["--auth-root-authentication-method=socket", "--auth-root-socket-user=root", *_as_user()]
        log = self.folder / "install.log"
        if self._spawn(command, log).wait():
            raise DatabaseUnavailable(f"mariadb-install-db failed in {unfinished}: {log.read_text(errors='replace')}")
        unfinished.rename(data)

    def _spawn(self, command: list[str], output: Path) -> subprocess.Popen[bytes]:
        """Starts a process that stop() ends with all its children; in a group, out of reach of a terminal's Ctrl-C."""
        with self._launching, output.open("wb") as file:
            if self._is_aborted:
                raise DatabaseUnavailable("the embedded MariaDB is not started, because the daemon is stopping")
            environment = self._environment()
            self._process = subprocess.Popen(
                command, env=environment, stdin=DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
            return self._process

    def _launch(self) -> None:
        folder, runtime = self.folder, self._runtime
        files = folder / "files"
        files.mkdir(exist_ok=True, mode=0o700)
        command = [_program("mariadbd"), "--no-defaults", f"--datadir={folder / 'data'}", f"--socket={self.socket}"]
        command += ["--skip-networking", f"--pid-file={runtime}/pid", f"--log-error={folder / 'mariadb.log'}"]
        # Files elsewhere cannot be read or written through the server.
        command += [f"--secure-file-priv={files}", f"--init-file={self._accounts_file()}"]
        # Mode 2 lets several workers insert at once; the daemon never relies on ids without gaps.
        command += ["--innodb-autoinc-lock-mode=2", "--innodb-buffer-pool-size=256M", "--innodb-log-file-size=256M"]
        command += [*_as_user(), *self._options]
        process = self._spawn([*self._launcher, *command], Path(os.devnull))
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                log = self.folder / "mariadb.log"
                self.stop()
                raise DatabaseUnavailable(f"the embedded MariaDB did not start; its log is {log}")
            time.sleep(0.02)

    def _environment(self) -> dict[str, str]:
        """A folder of its own for temporary files: a server that starts deletes every #sql* there, whose it may be."""
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True, mode=0o700)
        return {**os.environ, "TMPDIR": str(temporary)}

    def _accounts_file(self) -> Path:
        """What the server runs before it accepts connections. The password of its owner changes with every start."""
        password, file = secrets.token_hex(16), self.folder / "accounts.sql"
        _write_secret(self.folder / OWNER_PASSWORD, password)
        _write_secret(file, "".join(f"{statement};\n" for statement in account_statements(password)))
        return file

    def _answers(self) -> bool:
        """Whether it takes connections: its socket is there a moment before anybody listens."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.socket) == 0

    def _prepare(self) -> None:
        owner = self.owner_settings()
        with translated_errors(owner):
            connection = connect(owner, owner.user, owner.password(), None)
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{self.name}` CHARACTER SET utf8mb4")
            connection.close()

    def grant(self) -> None:
        """Gives the daemon's account the rights of sql/grants.sql; the schema must exist."""
        owner = self.owner_settings()
        with translated_errors(owner):
            connection = connect(owner, owner.user, owner.password(), self.name)
            with connection.cursor() as cursor:
                for statement in grant_statements():
                    cursor.execute(statement)
            connection.close()


def account_statements(password: str) -> Iterator[str]:
    """The statements after which only root of the operating system, and who knows `password`, owns the server.

    unix_socket alone would need an account with the name of the user, which may be `ingestd`.
    """
    yield "DROP USER IF EXISTS ''@'localhost'"
    by_password = f"mysql_native_password USING PASSWORD('{password}')"
    yield f"ALTER USER 'root'@'localhost' IDENTIFIED VIA unix_socket OR {by_password}"
    # No password: reaching the socket requires access to the folder, and sql/grants.sql limits the account.
    yield "CREATE USER IF NOT EXISTS 'ingestd'@'localhost'"


def grant_statements() -> Iterator[str]:
    """The statements of sql/grants.sql, without comments."""
    text = (SQL_FOLDER / "grants.sql").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    yield from filter(None, (statement.strip() for statement in "\n".join(lines).split(";")))


@contextmanager
def running(server: EmbeddedMariaDB) -> Iterator[EmbeddedMariaDB]:
    """The server, started, and stopped afterwards whatever happens."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Ends a process and its children, cleanly if `seconds` suffice."""
    try:
        process.terminate()
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _program(name: str) -> str:
    found = shutil.which(name, path=SEARCH)
    if found is None:
        raise ConfigError(f"{name} was not found: {INSTALL_HINT}")
    return found


def _write_secret(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")


def _as_user() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []
