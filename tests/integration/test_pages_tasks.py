"""Import Tasks: active jobs in the order of their turn, and recently finished ones."""

from ingestd.model import ACTIVE_STATES
from support.html import Element
from support.web_client import Visitor
from support.world import World


def seed(world: World, *jobs: tuple[str, int]) -> list[str]:
    """A batch for each job (its state and priority), in this order; their sync_ids."""
    sync_ids = [f"{number:036}" for number in range(1, len(jobs) + 1)]
    for sync_id, (state, priority) in zip(sync_ids, jobs, strict=True):
        world.sql(
            "INSERT INTO ingest_batch (sync_id, status, discovered_at) VALUES (%s, 'queued', UTC_TIMESTAMP(6))", sync_id
        )
        world.sql(
            "INSERT INTO import_job (batch_id, state, priority, queued_at, items_total, finished_at)"
            " SELECT id, %s, %s, UTC_TIMESTAMP(6), 1000, IF(%s, UTC_TIMESTAMP(6), NULL) FROM ingest_batch"
            " WHERE sync_id = %s",
            state, priority, state not in ACTIVE_STATES, sync_id,
        )  # fmt: skip
    return sync_ids


def listed(page: Element, region: str) -> list[str]:
    """The batches of a region, from top to bottom."""
    return [row.one("a").text for row in page.live(region).all("tr") if row.all("a")]


def cells(page: Element) -> list[str]:
    """The cells of the only active job."""
    (row,) = page.live("active").rows()
    return row


def test_no_jobs(olivia: Visitor) -> None:
    page = olivia.see("/tasks")
    assert page.live("active").text == "No active jobs."
    assert page.live("finished").text == "No finished jobs yet."
    assert page.live("counts").text == "0 running, 0 queued, 0 waiting"
    assert page.live("unshown").text == ""


def test_active_jobs_are_listed_in_claim_order(world: World, olivia: Visitor) -> None:
    states = [("waiting", 1), ("queued", 200), ("running", 300), ("queued", 50), ("done", 1), ("queued", 50),
              ("running", 100), ("waiting", -7), ("failed", 1), ("cancelled", 9)]  # fmt: skip
    ids = seed(world, *states)
    page = olivia.see("/tasks")
    # As they will be claimed: the lowest number first, of those the oldest.
    assert listed(page, "active") == [ids[n] for n in (6, 2, 3, 5, 1, 7, 0)]
    assert listed(page, "finished") == [ids[n] for n in (9, 8, 4)]
    assert page.live("counts").text == "2 running, 3 queued, 2 waiting"
    assert page.link(ids[6]) == f"/batches/{ids[6]}"


def test_a_running_job_shows_its_rate(world: World, olivia: Visitor) -> None:
    seed(world, ("running", 5))
    world.sql(
        "UPDATE import_job SET claimed_by = 'host/pid:1/0', requested_by = 'olivia', items_done = 600,"
        " items_at_claim = 400, claimed_at = UTC_TIMESTAMP(6) - INTERVAL 1000 SECOND,"
        " heartbeat_at = UTC_TIMESTAMP(6) - INTERVAL 65 SECOND"
    )
    _, _, state, progress, rate, left, silence, worker, priority, by, _ = cells(olivia.see("/tasks"))
    assert (state, progress, rate) == ("▶ running", "60 % 600 of 1 000", "0.2")
    assert left in [f"33 minutes and {second} seconds" for second in range(20, 24)]
    assert silence in [f"1 minute and {second} seconds ago" for second in range(5, 8)]
    assert (worker, priority, by) == ("host/pid:1/0", "5", "olivia")
    world.sql("UPDATE import_job SET items_at_claim = 600, heartbeat_at = NULL")
    assert cells(olivia.see("/tasks"))[4:7] == ["–", "–", "–"]
    ago = "UTC_TIMESTAMP(6) - INTERVAL 9 SECOND"
    world.sql(f"UPDATE import_job SET items_at_claim = 0, items_done = 900, claimed_at = {ago}")
    assert 80 <= int(cells(olivia.see("/tasks"))[4]) <= 100


def test_a_queued_job_shows_no_rate(world: World, olivia: Visitor) -> None:
    seed(world, ("queued", 5))
    row = cells(olivia.see("/tasks"))
    assert row[2:10] == ["◷ queued", "0 % 0 of 1 000", "–", "–", "–", "–", "5", "–"]


def test_more_jobs_than_shown_are_counted(world: World, olivia: Visitor) -> None:
    def add_jobs(first: int, last: int) -> None:
        world.sql(
            "INSERT INTO ingest_batch (sync_id, status, discovered_at)"
            f" SELECT LPAD(seq, 36, '0'), 'queued', UTC_TIMESTAMP(6) FROM seq_{first}_to_{last}"
        )
        world.sql(
            "INSERT INTO import_job (batch_id, state, queued_at) SELECT id, IF(CONVERT(sync_id, INT) < 4, 'running',"
            " 'queued'), discovered_at FROM ingest_batch WHERE CONVERT(sync_id, INT) >= %s",
            first,
        )

    add_jobs(1, 100)
    page = olivia.see("/tasks")
    assert (len(listed(page, "active")), page.live("unshown").text) == (100, "")
    add_jobs(101, 1300)
    page = olivia.see("/tasks")
    assert listed(page, "active") == [f"{number:036}" for number in range(1, 101)]
    assert page.live("unshown").text == "1 200 more active jobs not shown."
    assert page.live("counts").text == "3 running, 1 297 queued, 0 waiting"
    add_jobs(1301, 10_100)
    page = olivia.see("/tasks")
    assert page.live("unshown").text == "At least 9 904 more active jobs not shown."
    assert page.live("counts").text == "3 running, more than 10 000 queued, 0 waiting"


def test_the_newest_finished_jobs_are_listed(world: World, olivia: Visitor) -> None:
    ids = seed(world, *[(("done", "failed", "cancelled")[n % 3], 1) for n in range(55)])
    world.sql("UPDATE import_job SET finished_at = '2026-04-01 12:00:00'")
    world.sql("UPDATE import_job SET last_error = 'the reason' WHERE state = 'failed'")
    page = olivia.see("/tasks")
    assert listed(page, "finished") == ids[:4:-1]
    rows = [row for row in page.rows() if row[2:3] == ["✕ failed"]]
    assert {(row[6], row[7]) for row in rows} == {("2026-04-01 12:00:00 UTC", "the reason")}
    (when, *_) = page.live("finished").all("time")
    assert when["datetime"] == "2026-04-01T12:00:00Z"
