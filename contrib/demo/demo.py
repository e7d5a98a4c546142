"""The demo: real photographs become bundles, and the real daemon imports them into a private MariaDB.

Everything is kept in .demo, which each run makes anew. Run it as `make demo`.
"""

import argparse
import fcntl
import shutil
import subprocess
import sys
import time
from pathlib import Path

from child import Child, DaemonFailed, environment, running
from photos import Album, NoPhotographs, find_albums, last_few, lay_out, with_new_titles
from summary import Summary, table

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / ".demo"
ASSETS, MEDIA, DATABASE, LOG = FOLDER / "assets", FOLDER / "media", FOLDER / "db", FOLDER / "ingestd.log"
SETTINGS = {
    "INGESTD_MOUNT__ROOT": str(ASSETS),
    "INGESTD_MOUNT__REQUIRE_MOUNT": "false",
    "INGESTD_QUEUE__AUTO": '["create", "update", "remove"]',
}
MOST = 500
IMPORT_SECONDS = 600.0


def main() -> int:
    options = parse_options()
    try:
        albums = find_albums(options.media, options.most)
        make_room()
        with running(SETTINGS, DATABASE, LOG) as child:
            return show(child, albums, once=options.once)
    except (NoPhotographs, DaemonFailed) as problem:
        say(str(problem))
    except KeyboardInterrupt:
        say("interrupted; the daemon has stopped")
    except subprocess.CalledProcessError as failed:
        say(f"`ingestd bundle make` ended with {failed.returncode}")
    return 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, help="a folder with photographs of your own; it is only read")
    parser.add_argument("--most", type=int, default=MOST, help="how many photographs at most; 0: all (%(default)s)")
    parser.add_argument("--once", action="store_true", help="stop the daemon when all is imported")
    return parser.parse_args()


def make_room() -> None:
    """An empty .demo with an empty mount in it. Raises DaemonFailed while another demo is using it."""
    if DATABASE.is_dir():
        with (DATABASE / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise DaemonFailed("a demo is running already; stop it with Ctrl-C where it was started") from None
    shutil.rmtree(FOLDER, ignore_errors=True)
    (ASSETS / "sync").mkdir(parents=True)


def show(child: Child, albums: list[Album], *, once: bool) -> int:
    """Hands over the bundles while the daemon runs, and tells what became of them; its exit status."""
    started = time.monotonic()
    say(f"the daemon starts with an empty library; its log is {relative(LOG)}")
    sync_ids = hand_over(albums)
    socket = child.socket()
    summary = Summary(socket)
    child.wait_for(lambda: summary.is_settled(len(sync_ids)) or None, IMPORT_SECONDS, "done")
    say(f"everything is imported, {time.monotonic() - started:.1f} s after the start:")
    print("\n".join(table(summary.counts())), flush=True)
    summary.close()
    return end(child) if once else stay(child, socket, sync_ids[0])


def hand_over(albums: list[Album]) -> list[str]:
    """A bundle for each album, one that updates the first, one that removes a few of the last; their sync_ids."""
    made = []
    for number, album in enumerate(albums):
        folder = lay_out(album, MEDIA / str(number))
        made.append(make_bundle("create", album, folder, "--gallery", album.title))
    first, last = albums[0], albums[-1]
    made.append(make_bundle("update", first, with_new_titles(first, MEDIA / "update"), "--prior", made[0]))
    if few := last_few(last).photos:
        gone = Album(last.title, few)
        made.append(make_bundle("remove", gone, lay_out(gone, MEDIA / "remove"), "--prior", made[len(albums) - 1]))
    return made


def make_bundle(action: str, album: Album, folder: Path, *more: str) -> str:
    command = [sys.executable, "-m", "ingestd", "bundle", "make", str(folder), "--out", str(ASSETS)]
    command += ["--action", action, *more]
    done = subprocess.run(command, env=environment(SETTINGS), stdout=subprocess.PIPE, text=True, check=True)
    sync_id = done.stdout.split()[0]
    say(f"handed over {sync_id}: {action} {len(album.photos):>3} of {album.title}")
    return sync_id


def end(child: Child) -> int:
    status = child.stop()
    say(f"the daemon was asked to stop, and ended with {status}")
    return status


def stay(child: Child, socket: str, sync_id: str) -> int:
    """Leaves the daemon running until Ctrl-C, which reaches it too."""
    say("the daemon goes on until Ctrl-C; in another terminal, in this folder, try:\n")
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
    say(f"the daemon ended with {status}")
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
