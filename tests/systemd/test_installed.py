"""The installed service under a real systemd: sandboxed, stopped, killed, hanging, waiting, misconfigured."""

import time
from collections.abc import Iterator

import pytest

from support.guest import Guest, copy_in_memory, demand_nspawn, demand_same_python, guest_on, install
from support.site import MOUNT, Site
from support.wait import until
from support.world import photo

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(400)]

BIG = 20_000
SMALL_CHUNKS = "Environment=INGESTD_WORKER__CHUNK_ITEMS=20"
STOP_SECONDS = 30.0
# Far below `worker.stale_after` (900 s), after which any host would resume it. How long the start of a process takes
# depends on what else the machine does.
RESUME_SECONDS = 60.0
MAX_EXPOSURE = 1.2

# A daemon whose scanner hangs while /run/hang exists; installed only in the guest.
HANGING = """#!/usr/bin/python3
import os, sys, threading
from ingestd.cli import main
from ingestd.pipeline.scanner import Scanner

run_once = Scanner.run_once

def hang(scanner):
    if os.path.exists("/run/hang"):
        threading.Event().wait()
    return run_once(scanner)

Scanner.run_once = hang
sys.argv[0] = "ingestd"
main()
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """One guest for all tests, with the program installed from outside as into an image."""
    demand_nspawn()
    demand_same_python()
    folder = tmp_path_factory.mktemp("guest")
    with copy_in_memory(folder) as root:
        install(root)
        with guest_on(root, folder) as made:
            made.run("systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload")
            made.run("mariadb -e 'CREATE USER ingestd@localhost IDENTIFIED VIA unix_socket'")
            yield made


@pytest.fixture
def site(guest: Guest) -> Site:
    """An empty database and mount; the service is not started."""
    made = Site(guest)
    made.reset()
    return made


def test_the_unit_is_valid_and_sandboxed(guest: Guest) -> None:
    verified = guest.run("systemd-analyze verify ingestd.service")
    assert verified.stdout + verified.stderr == ""
    limit = int(MAX_EXPOSURE * 10)
    guest.run(f"systemd-analyze security --offline=yes --no-pager --threshold={limit} ingestd.service")


def test_the_service_starts_without_database_and_mount_and_continues_when_they_appear(site: Site) -> None:
    sync_id = site.put(photo("a", files=2))
    site.guest.run(f"systemctl mask --runtime --now mariadb && systemctl mask --runtime '{MOUNT}'")
    try:
        site.start()
        assert "waiting for the database: the database at /run/mysqld/mysqld.sock is out of reach" in site.status
        assert "waiting for the mount: nothing is mounted" in site.status
        assert site.show("ActiveState", "NRestarts") == ["active", "0"]
    finally:
        site.guest.run(f"systemctl unmask --runtime mariadb '{MOUNT}'")
    site.guest.run("systemctl start mariadb")
    site.wait_for_status("database up", "waiting for the mount")
    site.mount()
    site.wait_for_status("database up; mount up")
    site.wait_until_imported(sync_id)
    priorities = {entry["PRIORITY"] for entry in site.journal() if "event=waiting" in entry["MESSAGE"]}
    assert priorities == {"4"}, "warnings"
    # The mount can be unmounted: the service does not keep it busy.
    site.guest.run("umount /mnt/s3-sync")
    site.wait_for_status("waiting for the mount")
    site.mount()
    site.wait_for_status("mount up")


def test_start_mounts_and_returns_when_ready(site: Site) -> None:
    site.start()
    assert site.status == "running 0, queued 0; database up; mount up"
    metrics = site.guest.out("python3 -c " + repr(SCRAPE))
    assert "ingestd_database_up 1.0" in metrics
    assert "ingestd_mount_up 1.0" in metrics
    started = [entry for entry in site.journal() if "event=started" in entry["MESSAGE"]]
    assert [entry["PRIORITY"] for entry in started] == ["6"]
    site.guest.run("runuser -u ingestd -- ingestd doctor")


SCRAPE = 'import urllib.request as u; print(u.urlopen("http://127.0.0.1:9640/metrics").read().decode())'


def test_the_service_imports_but_cannot_write_files(site: Site) -> None:
    site.drop_in("Environment=INGESTD_MOUNT__VERIFY=sha256")
    site.start()
    sync_id = site.put(*(photo(str(number), files=3) for number in range(50)))
    site.wait_until_imported(sync_id)
    assert site.guest.one("SELECT COUNT(*) FROM asset_file") == "150"
    for place in ("/mnt/s3-sync/assets", "/etc", "/var/lib", "/"):
        done = site.guest.run(f"nsenter -t {site.pid} -m touch {place}/x", check=False)
        assert "Read-only file system" in done.stderr, "not even as root in its mount namespace"


def test_a_stopped_service_releases_its_job_and_finishes_it_after_restart(site: Site) -> None:
    site.drop_in(SMALL_CHUNKS)
    sync_id = site.put_big(BIG)
    site.start()
    site.wait_for_the_middle(BIG)
    begun = time.monotonic()
    site.guest.run("systemctl stop ingestd")
    assert time.monotonic() - begun < STOP_SECONDS
    assert site.show("ActiveState", "Result", "ExecMainStatus") == ["inactive", "success", "0"]
    assert site.guest.sql("SELECT state, claimed_by FROM import_job") == [["queued", "NULL"]]
    assert 0 < site.items_done() < BIG
    site.drop_in()
    site.start()
    site.wait_until_imported(sync_id)
    site.demand_each_item_once(BIG)
    assert site.guest.one("SELECT COUNT(*) FROM ingest_event WHERE event_type = 'job_reset'") == "0"


def claimed_by(site: Site, pid: int) -> bool:
    return site.guest.sql("SELECT claimed_by LIKE '%/pid:" + str(pid) + "/%' FROM import_job") == [["1"]]


def test_a_killed_service_resumes_its_job_at_once(site: Site) -> None:
    site.drop_in(SMALL_CHUNKS)
    sync_id = site.put_big(BIG)
    site.start()
    site.wait_for_the_middle(BIG)
    before = site.pid
    assert claimed_by(site, before)
    assert site.show("RestartUSec") == ["5s"]
    site.guest.run("systemctl kill --kill-whom=main --signal=KILL ingestd")
    after = until(lambda: {site.pid} - {0, before}, seconds=RESUME_SECONDS, what="for the restart").pop()
    until(lambda: claimed_by(site, after), seconds=RESUME_SECONDS, what="for its job")
    site.wait_until_imported(sync_id)
    site.demand_each_item_once(BIG)
    assert site.guest.one("SELECT reset_count FROM import_job") == "1"
    assert site.show("NRestarts") == ["1"]


def test_the_watchdog_restarts_a_hanging_service(site: Site) -> None:
    site.guest.write("/usr/local/bin/hanging", HANGING, 0o755)
    environment = "Environment=PYTHONPATH=/usr/lib/ingestd"
    site.drop_in("ExecStart=", "ExecStart=/usr/local/bin/hanging run", environment, "WatchdogSec=4", "RestartSec=1")
    site.start()
    first = site.put(photo("a"))
    site.wait_until_imported(first)
    assert site.show("NRestarts") == ["0"], "no restart while nothing hangs"
    site.guest.run("touch /run/hang")
    second = site.put(photo("b"))
    until(lambda: site.show("NRestarts") != ["0"], what=lambda: f"for the watchdog; {site.messages()[-5:]}")
    site.guest.run("rm /run/hang")
    assert site.says(r"Watchdog timeout \(limit 4s\)")
    assert site.says(r'File "/usr/local/bin/hanging", line \d+ in hang'), "where it hung"
    (unhealthy, *_) = [entry for entry in site.journal() if "event=unhealthy" in entry["MESSAGE"]]
    assert "scanner has been silent" in unhealthy["MESSAGE"]
    assert unhealthy["PRIORITY"] == "3"
    site.wait_until_imported(second)


def test_a_configuration_error_is_reported_once_without_restart(site: Site) -> None:
    site.drop_in("Environment=INGESTD_WORKER__THREADS=none", "RestartSec=100ms")
    assert site.guest.run("systemctl start ingestd", check=False).returncode != 0
    assert site.show("ActiveState", "SubState", "ExecMainStatus", "NRestarts") == ["failed", "failed", "78", "0"]
    assert site.says("worker.threads")


SECRET = "/etc/credstore/ingestd.database-password"
OVER_TCP = (
    "Environment=INGESTD_DATABASE__UNIX_SOCKET= INGESTD_DATABASE__HOST=127.0.0.1 INGESTD_DATABASE__USER=remote",
    "Environment=INGESTD_DATABASE__PASSWORD_FILE=database-password",
)


def test_a_password_is_passed_as_credential_and_required_only_if_configured(site: Site) -> None:
    site.drop_in(*OVER_TCP)
    assert site.guest.run("systemctl start ingestd", check=False).returncode != 0
    assert site.show("ExecMainStatus") == ["78"]
    assert site.says("cannot read the secret file /run/credentials/ingestd.service/database-password")
    site.guest.write(SECRET, "s3cret\n", 0o600)
    site.guest.run("mariadb -e \"CREATE USER IF NOT EXISTS remote@localhost IDENTIFIED BY 's3cret'\"")
    site.guest.run('mariadb -e "GRANT SELECT, INSERT, UPDATE ON admin_panel.* TO remote@localhost"')
    site.start()
    assert "database up" in site.status
    site.wait_until_imported(site.put(photo("a")))
    site.guest.run(f"systemctl stop ingestd && rm {SECRET}")


def test_a_credential_with_a_path_is_required(site: Site) -> None:
    """The LoadCredential= lines of the unit give no path to avoid this."""
    site.drop_in("LoadCredential=more:/etc/nowhere", "Restart=no")
    assert site.guest.run("systemctl start ingestd", check=False).returncode != 0
    assert site.show("ExecMainStatus") == ["243"]


def test_installed_files_are_in_place(guest: Guest) -> None:
    complete = "COMP_WORDS='ingestd doc' COMP_CWORD=1 _INGESTD_COMPLETE=bash_complete ingestd"
    assert guest.out(complete) == "plain,doctor"
    for shell in ("bash-completion/completions/ingestd", "zsh/vendor-completions/_ingestd"):
        assert "_INGESTD_COMPLETE" in (guest.root / "usr/share" / shell).read_text()
    assert "_INGESTD_COMPLETE" in (guest.root / "usr/share/fish/vendor_completions.d/ingestd.fish").read_text()
    assert (guest.root / "usr/share/ingestd/prometheus/ingestd.rules.yml").is_file()
    assert guest.out("stat -c '%U %a' /etc/credstore /etc/ingestd/ingestd.toml") == "root 700\nroot 644"
