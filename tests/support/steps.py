"""Bundles that are small enough for one transaction are imported step by step, as large ones are."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ingestd.pipeline import plan_steps, staging
from ingestd.pipeline.importer import at_once


@contextmanager
def in_steps(*, also_small: bool = True, as_large: bool = True) -> Iterator[None]:
    """Whether small bundles, too, are imported step by step, and not in one transaction.

    `as_large`: they are planned step by step as well, and the items of new ones have no rows before they are decided.
    """
    with pytest.MonkeyPatch.context() as patch:
        if also_small:
            patch.setattr(at_once, "MAX_CONTAINERS", -1)
        if also_small and as_large:
            patch.setattr(plan_steps, "MAX_AT_ONCE", 0)
            patch.setattr(staging, "ENTRIES_PER_STEP", 2)
        yield
