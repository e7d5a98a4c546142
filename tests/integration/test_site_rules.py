"""Rules of a site on the library's tables: what they refuse fails alone, and all else is imported."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.world import World, md5, photo

NAMES = [f"n{number}" for number in range(10)]


@contextmanager
def rule(world: World, add: str, drop: str) -> Iterator[None]:
    world.sql(add)
    try:
        yield
    finally:
        world.sql(drop)


def trigger(action: str, when: str = "NEW.title = 'n7'") -> tuple[str, str]:
    return (
        f"CREATE TRIGGER site_rule BEFORE INSERT ON asset FOR EACH ROW BEGIN IF {when} THEN {action}; END IF; END",
        "DROP TRIGGER site_rule",
    )


FAILING = {
    "subquery": "SET @found = (SELECT 1 UNION SELECT 2)",
    "several rows": "SELECT 1 UNION SELECT 2 INTO @found",
    "regular expression": "SET @found = NEW.title REGEXP '('",
}
"""Rules that fail: on one value, as for a look-up that finds two, or on every value, because they are wrong."""
RULES = {
    "signal": trigger("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not here'"),
    "signal with a number of the site": trigger(
        "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30001, MESSAGE_TEXT = 'not here'"
    ),
    "check": (
        "ALTER TABLE asset ADD CONSTRAINT site_rule CHECK (title <> 'n7')",
        "ALTER TABLE asset DROP CONSTRAINT site_rule",
    ),
    "length": trigger("SET NEW.title = REPEAT('x', 70000)"),
    "not null": trigger("SET NEW.hash = NULL"),
    **{name: trigger(action) for name, action in FAILING.items()},
}


@pytest.mark.parametrize("name", RULES)
def test_what_a_rule_of_the_site_refuses_fails_alone(world: World, name: str) -> None:
    sync_id = world.put(*map(photo, NAMES))
    with rule(world, *RULES[name]):
        assert world.import_all(world.context(), sync_id) == ["done"]
    decisions = world.decisions(sync_id)
    assert decisions.pop(md5("n7")) == "failed:database_refused"
    assert list(decisions.values()) == ["created"] * 9


def test_a_rule_that_fails_on_every_value_fails_no_item(world: World) -> None:
    context, sync_id = world.context(), world.put(*map(photo, NAMES))
    for action in FAILING.values():
        with rule(world, *trigger(action, when="TRUE")):
            assert world.import_all(context, sync_id) == ["failed"]
        assert not [decision for decision in world.decisions(sync_id).values() if decision.startswith("failed")]
        assert "a rule of the site fails" in world.one("SELECT last_error FROM ingest_batch")
    assert world.import_all(context, sync_id) == ["done"]
    assert set(world.decisions(sync_id).values()) == {"created"}


@pytest.mark.parametrize("taken", ["by another bundle", "by the same bundle"])
def test_a_value_that_is_taken_in_a_unique_key_of_the_site_fails_alone(world: World, taken: str) -> None:
    other = photo("other", title="n7")
    items = [photo(name) for name in NAMES]
    context = world.context()
    with rule(world, "ALTER TABLE asset ADD UNIQUE KEY site_rule (title)", "ALTER TABLE asset DROP KEY site_rule"):
        if taken == "by another bundle":
            assert world.import_all(context, world.put(other)) == ["done"]
            sync_id = world.put(*items, day=2)
        else:
            sync_id = world.put(other, *items)
        assert world.import_all(context, sync_id) == ["done"]
    decisions = world.decisions(sync_id)
    assert decisions.pop(md5("n7")) == "failed:database_refused"
    assert set(decisions.values()) == {"created"}


def test_a_foreign_key_of_the_site_fails_the_item_that_breaks_it(world: World) -> None:
    world.sql("CREATE TABLE types (asset_type VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin PRIMARY KEY)")
    world.sql("INSERT INTO types VALUES ('photo')")
    sync_id = world.put(photo("a"), {**photo("b"), "type": "video"}, photo("c"))
    add = "ALTER TABLE asset ADD CONSTRAINT site_rule FOREIGN KEY (asset_type) REFERENCES types (asset_type)"
    try:
        with rule(world, add, "ALTER TABLE asset DROP CONSTRAINT site_rule, DROP KEY site_rule"):
            assert world.import_all(world.context(), sync_id) == ["done"]
    finally:
        world.sql("DROP TABLE types")
    assert list(world.decisions(sync_id).values()) == ["created", "failed:database_refused", "created"]
