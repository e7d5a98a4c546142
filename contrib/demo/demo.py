"""The demo: makes bundles from real photographs and imports them with the real daemon and a private MariaDB.

All data is in .demo, which each run recreates. Run it as `make demo`.
"""

import argparse
import fcntl
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from child import Child, DaemonFailed, environment, running
from pages import Pages, make_pages
from photos import Album, NoPhotographs, find_albums, last_few, lay_out, with_new_titles
from summary import Summary, table

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / ".demo"
ASSETS, MEDIA, DATABASE, LOG = FOLDER / "assets", FOLDER / "media", FOLDER / "db", FOLDER / "ingestd.log"
SETTINGS = {
    "INGESTD_MOUNT__ROOT": str(ASSETS),
    "INGESTD_MOUNT__REQUIRE_MOUNT": "false",
    "INGESTD_METRICS__LISTEN": "",
    "INGESTD_QUEUE__AUTO": '["create", "update", "remove"]',
}
MAX_PHOTOS = 500
IMPORT_SECONDS = 600.0


def main() -> int:
    options = parse_options()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        albums = find_albums(options.media, options.limit)
        make_room()
        pages = make_pages(FOLDER / "tokens")
        with running({**SETTINGS, **pages.settings()}, DATABASE, LOG) as child:
            return show(child, pages, albums, once=options.once)
    except (NoPhotographs, DaemonFailed) as problem:
        say(str(problem))
    except KeyboardInterrupt:
        say("interrupted; the daemon has stopped")
    except subprocess.CalledProcessError as failed:
        say(f"`ingestd bundle make` exited with {failed.returncode}")
    return 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, help="a folder with photographs of your own; it is only read")
    parser.add_argument(
        "--limit", type=int, default=MAX_PHOTOS, help="how many photographs at most; 0: all (%(default)s)"
    )
    parser.add_argument("--once", action="store_true", help="stop the daemon when all is imported")
    return parser.parse_args()


def make_room() -> None:
    """Creates an empty .demo with an empty mount. Raises DaemonFailed if another demo is using it."""
    if DATABASE.is_dir():
        with (DATABASE / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise DaemonFailed("a demo is running already; stop it with Ctrl-C where it was started") from None
    shutil.rmtree(FOLDER, ignore_errors=True)
    (ASSETS / "sync").mkdir(parents=True)


def show(child: Child, pages: Pages, albums: list[Album], *, once: bool) -> int:
    """Delivers bundles to the running daemon and prints the result; returns the daemon's exit status."""
    started = time.monotonic()
    say(f"the daemon starts with an empty library; its log is {relative(LOG)}")
    socket = child.socket()
    say(f"open {pages.url} and sign in with the token {pages.token}")
    summary = Summary(socket)
    sync_ids: list[str] = []
    for wave in (hand_over_new, hand_over_update, hand_over_removal):
        sync_ids += wave(albums, sync_ids)
        await_import(child, summary, len(sync_ids))
    say(f"everything was imported within {time.monotonic() - started:.1f} s of the daemon's start:")
    print("\n".join(table(summary.counts())), flush=True)
    summary.close()
    return end(child) if once else stay(child, pages, socket, sync_ids[0])


def hand_over_new(albums: list[Album], _before: list[str]) -> list[str]:
    """Delivers one bundle with a gallery for each album."""
    return [
        make_bundle("create", album, lay_out(album, MEDIA / str(number)), "--gallery", album.title)
        for number, album in enumerate(albums)
    ]


def hand_over_update(albums: list[Album], before: list[str]) -> list[str]:
    """Delivers the first album again, with some new titles."""
    folder = with_new_titles(albums[0], MEDIA / "update")
    return [make_bundle("update", albums[0], folder, "--prior", before[0])]


def hand_over_removal(albums: list[Album], before: list[str]) -> list[str]:
    """Delivers a removal of some photographs of the last album, but never of all."""
    few = last_few(albums[-1])
    if not few.photos:
        return []
    return [make_bundle("remove", few, lay_out(few, MEDIA / "remove"), "--prior", before[len(albums) - 1])]


def await_import(child: Child, summary: Summary, bundles: int) -> None:
    child.wait_for(lambda: summary.is_settled(bundles) or None, IMPORT_SECONDS, "done")


def make_bundle(action: str, album: Album, folder: Path, *more: str) -> str:
    command = [sys.executable, "-m", "ingestd", "bundle", "make", str(folder), "--out", str(ASSETS)]
    command += ["--action", action, *more]
    done = subprocess.run(command, env=environment(SETTINGS), stdout=subprocess.PIPE, text=True, check=True)
    sync_id = done.stdout.split()[0]
    say(f"delivered {sync_id}: {action} {len(album.photos):>3} of {album.title}")
    return sync_id


def end(child: Child) -> int:
    status = child.stop()
    say(f"the daemon was stopped and exited with {status}")
    return status


def stay(child: Child, pages: Pages, socket: str, sync_id: str) -> int:
    """Keeps the daemon running until Ctrl-C."""
    say(f"the daemon keeps running until Ctrl-C; its pages are at {pages.url}, token {pages.token}")
    say("in another terminal, in this folder, try:\n")
    settings = {**SETTINGS, "INGESTD_DATABASE__UNIX_SOCKET": socket}
    for name in ("INGESTD_DATABASE__UNIX_SOCKET", "INGESTD_MOUNT__ROOT", "INGESTD_MOUNT__REQUIRE_MOUNT"):
        print(f"  export {name}={settings[name]}")
    for command in commands(sync_id):
        print(f"  .venv/bin/ingestd {command}")
    print(flush=True)
    try:
        status = child.wait()
    except KeyboardInterrupt:
        status = child.stop()
    say(f"the daemon exited with {status}")
    return status


def commands(sync_id: str) -> list[str]:
    return [
        "status",
        "batches",
        f"status {sync_id} --items",
        f"queue {sync_id} --reimport",
        f'bundle make ~/Pictures --out {relative(ASSETS)} --gallery "My pictures"',
        "doctor",
    ]


def relative(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def say(text: str) -> None:
    print(f"demo: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
