"""The list of faults that the tests of the order of arrival must notice names what the code has today."""

import shutil
from pathlib import Path

import pytest

from support.order_mutations import MUTATIONS

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", MUTATIONS)
def test_each_fault_can_be_made(tmp_path: Path, fault: str) -> None:
    mutation = MUTATIONS[fault]
    copy = tmp_path / mutation.file
    copy.parent.mkdir(parents=True)
    shutil.copy(PROJECT / mutation.file, copy)
    mutation.apply(tmp_path)
    assert copy.read_text() != (PROJECT / mutation.file).read_text()
