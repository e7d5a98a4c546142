"""Chains of random bundles, each delivered after the import of the one before it, and the same once more in order."""

import json
import random
from dataclasses import dataclass, field
from typing import Any

from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.requests import PreflightStep, ScanStep
from ingestd.pipeline.scanner import Scanner
from ingestd.pipeline.sweeps import Sweeper
from support.scale import scaled
from support.world import World, cover, empty, md5, new_sync_id, photo

ITEMS, MEMBERS = scaled(20, 40), 9
NO_DECISION = "SELECT COUNT(*) FROM ingest_batch b JOIN import_job j ON j.batch_id = b.id WHERE b.sync_id = %s AND %s"
ENDED, OPEN = "j.ended IS NOT NULL", "j.ended IS NULL"
REQUEST = (
    "INSERT INTO ingest_request (kind, sync_id, state, requested_by, requested_at)"
    " VALUES (%s, %s, 'queued', 'tester', UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE id = id"
)
PREFLIGHT_SHARE = 0.3


@dataclass
class Script:
    """What was done to a world, in order, so that it can be done again: bundles delivered, work requested."""

    world: World
    acts: list[tuple[str, str | None]] = field(default_factory=list)

    def deliver(self, sync_id: str) -> None:
        self.acts.append(("deliver", sync_id))

    def request(self, kind: str, sync_id: str | None = None) -> None:
        """A request that is there already is shared, and nothing is done."""
        count = "SELECT COUNT(*) FROM ingest_request WHERE %s"
        before = self.world.one(count, 1)
        self.world.sql(REQUEST, kind, sync_id)
        if self.world.one(count, 1) > before:
            self.acts.append((kind, sync_id))

    @property
    def delivered(self) -> list[str]:
        return [sync_id for act, sync_id in self.acts if act == "deliver" and sync_id]

    def replay(self, context: Context) -> None:
        """Does everything again on an empty database, one after another, with one worker and without faults."""
        empty(self.world)
        sync, aside = self.world.root / "sync", self.world.root / "aside"
        sync.rename(aside)
        sync.mkdir()
        runners = {
            "scan": ScanStep(context, this_instance(), Scanner(context)).runner.run_next,
            "preflight": PreflightStep(context, this_instance()).run_once,
        }
        for act, sync_id in self.acts:
            if act == "deliver":
                for ending in ("json", "ready"):
                    (aside / f"{sync_id}.{ending}").rename(sync / f"{sync_id}.{ending}")
                self._import(context)
            else:
                self.world.sql(REQUEST, act, sync_id)
                runners[act]()

    def _import(self, context: Context) -> None:
        self.world.scan(context)
        sweeper = Sweeper(context)
        while sweeper.queue_new() + sweeper.promote() or self.world.run_next(context):
            pass


class Chain:
    """Bundles about the same assets, of which no other chain knows.

    What an item or container waits for never comes: when it would be tried again depends on the time.
    """

    def __init__(self, script: Script, name: str, dice: random.Random, length: int) -> None:
        self._script, self._name, self._random, self._length = script, name, dice, length
        self._day = 0
        self._prior: str | None = None

    def go_on(self) -> None:
        """Delivers the next bundle when the last one was imported, and what was requested about it is done."""
        if self._prior is None or (self._is_settled(self._prior) and self._day < self._length):
            self._day += 1
            self._prior = self._deliver(self._prior)
            self._script.deliver(self._prior)
            self._may_request = self._random.random() < PREFLIGHT_SHARE

    def _is_settled(self, sync_id: str) -> bool:
        world = self._script.world
        if not world.one(NO_DECISION + f" AND {ENDED}", sync_id, 1) or world.one(
            NO_DECISION + f" AND {OPEN}", sync_id, 1
        ):
            return False
        if self._may_request:
            self._may_request = False
            self._script.request("preflight", sync_id)
        return not world.one("SELECT COUNT(*) FROM ingest_request WHERE sync_id = %s AND finished_at IS NULL", sync_id)

    def _deliver(self, prior: str | None) -> str:
        action = "create" if prior is None else self._random.choice(["update", "update", "remove"])
        names = [f"{self._name}-{number}" for number in range(ITEMS)]
        chosen = sorted(self._random.sample(names, ITEMS if prior is None else ITEMS // 2))
        items = [self._photo(name, may_fail=place > MEMBERS and place % 4 > 0) for place, name in enumerate(chosen)]
        items += [cover(f"c-{name}-{self._day}", name) for name in chosen[::4]]
        items.append(cover("never", f"absent-{self._name}"))
        kind = self._random.choice(["gallery", "collection"])
        complete = self._random.random() < 0.5
        listed = {"type": kind, "hash": md5(self._name), "title": f"{self._name} {self._day}", "complete": complete}
        moment = f"2026-04-01T{self._day // 60:02d}:{self._day % 60:02d}:00Z"
        envelope: dict[str, Any] = {"action": action, "completed_at": moment, "prior_sync_id": prior}
        containers = [{**listed, "items": [md5(name) for name in chosen[:MEMBERS]]}]
        return self._script.world.put(*items, sync_id=new_sync_id(), containers=containers, **envelope)

    def _photo(self, name: str, *, may_fail: bool) -> dict[str, Any]:
        item = photo(name, title=f"{name} {self._random.randrange(3)}", files=self._random.randrange(3))
        self._script.world.file(f"{item['path']}/source/source.json", json.dumps({"name": name}).encode())
        if may_fail and self._random.random() < 0.1:
            item["files"] = [{"variant": "original", "path": "../outside.jpg", "bytes": 1}]
        return item
