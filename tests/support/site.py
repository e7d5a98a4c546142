"""The installed service in a guest: bundles, unit and journal."""

import json
import re
import shutil
from dataclasses import dataclass
from typing import Any

from support.guest import Guest
from support.wait import until
from support.world import manifest_of, md5, new_sync_id

DROP_INS = "/etc/systemd/system/ingestd.service.d"
EMPTY = "SET foreign_key_checks = 0; DROP DATABASE IF EXISTS admin_panel; CREATE DATABASE admin_panel"
MOUNT = "mnt-s3\\x2dsync.mount"


@dataclass
class Site:
    """One test's view of the service."""

    guest: Guest
    cursor: str = ""

    def reset(self) -> None:
        """Resets the guest: service stopped, nothing mounted, no bundles, empty schema, unmodified unit."""
        self.guest.run(f"systemctl stop ingestd; systemctl reset-failed; rm -rf {DROP_INS}; systemctl daemon-reload")
        self.guest.run("systemctl start mariadb; mountpoint -q /mnt/s3-sync && umount /mnt/s3-sync; true")
        self.guest.run(f"mariadb -e '{EMPTY}' && ingestd migrate")
        self.guest.run("mariadb admin_panel < /usr/share/ingestd/grants.sql")
        for path in (self.guest.upstream / "assets").iterdir():
            shutil.rmtree(path)
        (self.guest.upstream / "assets" / "sync").mkdir()
        self.cursor = self.guest.out("journalctl --quiet -n 1 --show-cursor -o cat | sed -n 's/^-- cursor: //p'")

    # bundles

    def put(self, *items: Any) -> str:
        """Delivers a bundle with the files that its items list."""
        sync_id = new_sync_id()
        for item in items:
            for file in item.get("files", ()):
                self._file(f"{item['path']}/{file['path']}", b"x" * file["bytes"])
        self._file(f"sync/{sync_id}.json", json.dumps(manifest_of(sync_id, list(items))).encode())
        self._file(f"sync/{sync_id}.ready", b"")
        return sync_id

    def put_big(self, count: int) -> str:
        return self.put(*({"type": "photo", "hash": md5(f"big{number}")} for number in range(count)))

    def _file(self, path: str, content: bytes) -> None:
        target = self.guest.upstream / "assets" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def mount(self) -> None:
        self.guest.run("mount /mnt/s3-sync")

    # the unit

    def drop_in(self, *lines: str) -> None:
        self.guest.write(f"{DROP_INS}/test.conf", "\n".join(("[Service]", *lines, "")))
        self.guest.run("systemctl daemon-reload")

    def start(self) -> None:
        self.guest.run("systemctl start ingestd")

    def show(self, *properties: str) -> list[str]:
        """The values of properties of the unit."""
        names = ",".join(properties)
        lines = self.guest.out(f"systemctl show ingestd --property={names}").splitlines()
        found = dict(line.split("=", 1) for line in lines)
        return [found[name] for name in properties]

    @property
    def status(self) -> str:
        return self.show("StatusText")[0]

    @property
    def pid(self) -> int:
        return int(self.show("MainPID")[0])

    def wait_for_status(self, *texts: str) -> None:
        until(lambda: all(text in self.status for text in texts), what=f"for {texts} in the status")

    def journal(self) -> list[dict[str, Any]]:
        """The journal entries of the service since this test began."""
        after = f"--after-cursor='{self.cursor}'" if self.cursor else ""
        return [
            json.loads(line) for line in self.guest.out(f"journalctl --quiet -u ingestd {after} -o json").splitlines()
        ]

    def messages(self) -> list[str]:
        return [str(entry["MESSAGE"]) for entry in self.journal()]

    def says(self, pattern: str) -> bool:
        return any(re.search(pattern, message) for message in self.messages())

    # the database

    def batch_status(self, sync_id: str) -> str:
        rows = self.guest.sql(f"SELECT status FROM ingest_batch WHERE sync_id = '{sync_id}'")
        return rows[0][0] if rows else "unknown"

    def wait_until_imported(self, sync_id: str) -> None:
        until(
            lambda: self.batch_status(sync_id) == "imported",
            seconds=60,
            what=lambda: f"for the import; {self.status}; {self.messages()[-10:]}",
        )

    def items_done(self) -> int:
        return int(self.guest.one("SELECT COALESCE(SUM(items_done), 0) FROM import_job"))

    def wait_for_the_middle(self, count: int) -> None:
        until(lambda: self.items_done() > 0, what=lambda: f"for the first items; {self.status}")
        assert self.items_done() < count / 2, "what happens now comes in the middle"

    def demand_each_item_once(self, count: int) -> None:
        """Checks that every item was created, has one event, and has an asset."""
        events = "SELECT COUNT(*), COUNT(DISTINCT JSON_VALUE(payload, '$.hash')) FROM ingest_event"
        assert self.guest.sql(f"{events} WHERE event_type LIKE 'item\\_%'") == [[str(count), str(count)]]
        assert self.guest.sql("SELECT decision, COUNT(*) FROM ingest_batch_item") == [["created", str(count)]]
        assert self.guest.one("SELECT COUNT(*) FROM asset") == str(count)
