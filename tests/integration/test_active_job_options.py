"""Options of a request for a batch with an active job: taken up, or refused; never dropped."""

import pytest

from ingestd.errors import NotEligible
from ingestd.model import Scope
from ingestd.pipeline import pausing
from ingestd.pipeline.claims import claim
from ingestd.pipeline.context import Context
from ingestd.pipeline.identity import this_instance
from ingestd.pipeline.queueing import Queued, QueueRequest, enqueue
from ingestd.pipeline.sweeps import Sweeper
from support.world import World, cover, photo


def ask(context: Context, sync_id: str, **options: object) -> Queued:
    return enqueue(context, QueueRequest(sync_id, "tester", **options))  # type: ignore[arg-type]


@pytest.fixture
def imported(world: World) -> tuple[Context, str]:
    """A batch with one created and one failed item."""
    context = world.context()
    sync_id = world.put(photo("a"), photo("b"))
    (world.root / photo("b")["path"] / "0.jpg").unlink()
    world.import_all(context, sync_id)
    return context, sync_id


@pytest.fixture
def mixed(world: World) -> tuple[Context, str]:
    """A batch with one created, one failed and one deferred item."""
    context = world.context()
    sync_id = world.put(photo("a"), photo("b"), cover("c", "parent"))
    (world.root / photo("b")["path"] / "0.jpg").unlink()
    world.import_all(context, sync_id)
    return context, sync_id


@pytest.mark.parametrize("paused", [False, True])
def test_a_reimport_of_a_queued_batch_is_taken_up(world: World, imported: tuple[Context, str], paused: bool) -> None:
    context, sync_id = imported
    if paused:
        pausing.pause(context, "tester", None)
    ask(context, sync_id)
    queued = ask(context, sync_id, scope=Scope.REIMPORT)
    assert (queued.is_new, queued.job.scope) == (False, Scope.REIMPORT)
    kind, payload = world.events(sync_id)[-1]
    assert (kind, payload["scope"], payload["requested_by"]) == ("job_rescoped", "reimport", "tester")
    pausing.resume(context, "tester")
    world.run_next(context)
    assert sorted(world.decisions(sync_id).values()) == ["failed:file_missing", "skipped:unchanged"]


def test_the_same_reimport_again_changes_nothing(world: World, imported: tuple[Context, str]) -> None:
    context, sync_id = imported
    ask(context, sync_id, scope=Scope.REIMPORT)
    before = world.events(sync_id)
    ask(context, sync_id, scope=Scope.REIMPORT)
    assert world.events(sync_id) == before


@pytest.mark.parametrize("narrow", [Scope.FAILED, Scope.DEFERRED])
@pytest.mark.parametrize("state", ["queued", "waiting"])
def test_a_plain_request_widens_a_job_for_some_items(
    world: World, mixed: tuple[Context, str], narrow: Scope, state: str
) -> None:
    context, sync_id = mixed
    ask(context, sync_id, scope=narrow)
    world.sql("UPDATE import_job SET state = %s WHERE scope = %s", state, narrow)
    queued = ask(context, sync_id)
    assert (queued.is_new, queued.job.scope) == (False, Scope.ALL)
    kind, payload = world.events(sync_id)[-1]
    assert (kind, payload["scope"], payload["requested_by"]) == ("job_rescoped", "all", "tester")
    stored = "SELECT scope, manifest_sha256 = (SELECT manifest_sha256 FROM ingest_batch WHERE id = batch_id)"
    assert world.sql(f"{stored} FROM import_job ORDER BY id DESC LIMIT 1") == [("all", 1)]


@pytest.mark.parametrize("whole", [Scope.ALL, Scope.REIMPORT])
@pytest.mark.parametrize("narrow", [Scope.FAILED, Scope.DEFERRED])
def test_a_job_for_all_items_refuses_a_request_for_only_some(
    world: World, mixed: tuple[Context, str], whole: Scope, narrow: Scope
) -> None:
    context, sync_id = mixed
    ask(context, sync_id, scope=whole)
    before = world.events(sync_id)
    with pytest.raises(NotEligible, match=f"these among them; to import only {narrow} items, cancel the job first"):
        ask(context, sync_id, scope=narrow)
    assert (world.events(sync_id), world.one("SELECT scope FROM import_job ORDER BY id DESC LIMIT 1")) == (
        before,
        whole,
    )


def test_a_plain_request_leaves_a_reimport(world: World, imported: tuple[Context, str]) -> None:
    context, sync_id = imported
    ask(context, sync_id, scope=Scope.REIMPORT)
    assert ask(context, sync_id).job.scope is Scope.REIMPORT


@pytest.mark.parametrize(("first", "second"), [(Scope.FAILED, Scope.DEFERRED), (Scope.DEFERRED, Scope.FAILED)])
def test_failed_and_deferred_items_in_turn_are_refused(
    world: World, mixed: tuple[Context, str], first: Scope, second: Scope
) -> None:
    context, sync_id = mixed
    ask(context, sync_id, scope=first)
    before = world.events(sync_id)
    with pytest.raises(NotEligible, match=f"is queued for only {first} items"):
        ask(context, sync_id, scope=second, priority=3)
    assert world.events(sync_id) == before
    assert world.sql("SELECT scope, priority FROM import_job ORDER BY id DESC LIMIT 1") == [(first, 100)]


def test_a_running_job_for_some_items_refuses_the_others(world: World, mixed: tuple[Context, str]) -> None:
    context, sync_id = mixed
    ask(context, sync_id, scope=Scope.FAILED)
    assert claim(context, "w", str(this_instance())) is not None
    with pytest.raises(NotEligible, match="can no longer take up all items"):
        ask(context, sync_id)


def test_a_scope_without_items_is_refused_and_changes_nothing(world: World, imported: tuple[Context, str]) -> None:
    context, sync_id = imported
    ask(context, sync_id)
    with pytest.raises(NotEligible, match="no deferred items"):
        ask(context, sync_id, scope=Scope.DEFERRED, priority=3)
    assert world.sql("SELECT scope, priority FROM import_job ORDER BY id DESC LIMIT 1") == [("all", 100)]


def test_a_priority_alone_leaves_the_scope(world: World, imported: tuple[Context, str]) -> None:
    context, sync_id = imported
    ask(context, sync_id, scope=Scope.FAILED)
    changed = ask(context, sync_id, priority=3).job
    assert (changed.scope, changed.priority) == (Scope.FAILED, 3)


def test_force_is_taken_up_by_a_queued_job(world: World) -> None:
    context = world.context()
    sync_id = world.put(photo("a"))
    world.scan(context)
    ask(context, sync_id)
    ask(context, sync_id, force=True)
    assert world.one("SELECT force_sha256 = manifest_sha256 FROM ingest_batch") == 1


def test_a_plain_request_turns_a_revival_into_a_full_job(world: World) -> None:
    context = world.context(queue={"revive_interval": 1})
    sync_id = world.put(photo("a"), cover("c", "parent"), day=1)
    world.import_all(context, sync_id, world.put(photo("parent"), day=2))
    assert Sweeper(context).revive() == 1
    assert ask(context, sync_id).job.scope is Scope.ALL


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"priority": 3}, "a new priority"),
        ({"force": True}, "force"),
        ({"scope": Scope.REIMPORT}, "a re-import"),
        ({"scope": Scope.FAILED}, "only failed items"),
        ({"scope": Scope.DEFERRED, "priority": 3}, "a new priority or only deferred items"),
    ],
)
def test_a_running_job_takes_up_nothing(
    world: World, imported: tuple[Context, str], options: dict[str, object], what: str
) -> None:
    context, sync_id = imported
    ask(context, sync_id)
    assert claim(context, "w", str(this_instance())) is not None
    before = world.events(sync_id), world.decisions(sync_id)
    with pytest.raises(NotEligible, match=f"is running and can no longer take up {what}; queue the batch again"):
        ask(context, sync_id, **options)
    assert (world.events(sync_id), world.decisions(sync_id)) == before


def test_what_a_running_job_does_already_is_not_refused(world: World, imported: tuple[Context, str]) -> None:
    context, sync_id = imported
    ask(context, sync_id, scope=Scope.FAILED, priority=3, force=True)
    assert claim(context, "w", str(this_instance())) is not None
    for options in ({}, {"priority": 3}, {"scope": Scope.FAILED}, {"force": True}):
        assert not ask(context, sync_id, **options).is_new
