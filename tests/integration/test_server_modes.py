"""Servers with other defaults than ours: the schema and an import are the same on each."""

from pathlib import Path

import pytest

from ingestd.embedded import running
from support.private_db import prepare, unstarted_server
from support.scale import IS_SOAK
from support.world import World, cover, photo

MODES = {
    "oracle, compact": ("--sql-mode=ORACLE", "--innodb-default-row-format=compact"),
    "ansi, latin1": (
        "--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT", "--character-set-server=latin1",
        "--collation-server=latin1_swedish_ci",
    ),
    "redundant": ("--innodb-default-row-format=redundant", "--innodb-strict-mode=OFF", "--sql-mode="),
    "ucs2": ("--character-set-server=ucs2", "--collation-server=ucs2_general_ci"),
    "lower case": ("--lower-case-table-names=1", "--explicit-defaults-for-timestamp=OFF"),
    "serializable": ("--transaction-isolation=SERIALIZABLE", "--sql-mode=TRADITIONAL,ONLY_FULL_GROUP_BY,NO_ZERO_DATE"),
    "MyISAM": ("--default-storage-engine=MyISAM", "--autocommit=0"),
}  # fmt: skip
NORMAL = ("oracle, compact", "ansi, latin1")


@pytest.mark.soak
@pytest.mark.parametrize("mode", MODES if IS_SOAK else NORMAL)
def test_defaults_of_the_server_do_not_matter(tmp_path: Path, mode: str) -> None:
    with unstarted_server(*MODES[mode]) as server, running(server):
        prepare(server)
        (tmp_path / "sync").mkdir()
        world = World(server, tmp_path)
        context = world.context()
        names = ("plain", 'with "quotes"', "it's", "back\\slash", "größe 📷")
        items = [*(photo(str(number), title=name) for number, name in enumerate(names)), cover("c", "0")]
        gallery = {"type": "gallery", "hash": "0" * 32, "title": "Größe", "items": [items[0]["hash"]]}
        try:
            assert world.import_all(context, world.put(*items, containers=[gallery])) == ["done"]
            assert {title for (title,) in world.sql("SELECT title FROM asset WHERE %s", 1)} == set(names)
        finally:
            world.close()
