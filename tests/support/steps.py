"""Bundles that are small enough for one transaction are imported step by step, as large ones are."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ingestd.pipeline.importer import at_once


@contextmanager
def in_steps(*, also_small: bool = True) -> Iterator[None]:
    """Whether small bundles, too, are imported step by step, and not in one transaction."""
    with pytest.MonkeyPatch.context() as patch:
        if also_small:
            patch.setattr(at_once, "MAX_CONTAINERS", -1)
        yield
