"""Folders among the documents of an item are ignored, however many there are, within bounds and with signs of life."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.model import Reason
from support.items import Root, item_root

LIMIT = 20
FOLDERS = 100 * LIMIT


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with item_root(tmp_path / "root") as made:
        yield made


def test_many_folders_are_ignored_and_listing_them_shows_signs_of_life(root: Root) -> None:
    for number in range(FOLDERS):
        (root.data / f"{number:05d}").mkdir()
    (root.data / "a").write_text("{}")
    reading = root.read(count=LIMIT)
    assert (reading.problem, [document.kind for document in reading.documents]) == (None, ["source_data:a"])
    assert len(root.steps) >= FOLDERS // 100


def test_folders_without_number_fail_the_item(root: Root) -> None:
    for number in range(FOLDERS + 1):
        (root.data / f"{number:05d}").mkdir()
    reading = root.read(count=LIMIT)
    assert reading.reason is Reason.TOO_MANY_DOCUMENTS
    assert f"more than {FOLDERS} folders" in str(reading.problem)


@pytest.mark.parametrize("kind", ["link to a folder", "link in a circle"])
def test_links_are_not_folders(root: Root, kind: str) -> None:
    (root.data / "link").symlink_to(root.path if kind == "link to a folder" else root.data / "link")
    assert root.read(count=LIMIT).reason is Reason.PATH_OUTSIDE_ROOT


def test_folders_do_not_count_as_documents(root: Root) -> None:
    for number in range(LIMIT):
        (root.data / f"{number:05d}").write_text("1")
        (root.data / f"folder {number}").mkdir()
    assert len(root.read(count=LIMIT).documents) == LIMIT
    (root.data / "one more").write_text("1")
    assert root.read(count=LIMIT).reason is Reason.TOO_MANY_DOCUMENTS
