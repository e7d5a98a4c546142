"""Time and memory for any manifest, valid or hostile, are linear in its bytes, in the helper and in the daemon."""

import pytest

from support.measured import CORPUS, PARTS, Cost, measure
from support.scale import scaled

MIB = 2**20
SIZE = scaled(320 * 2**10, 8 * MIB)
SECONDS_PER_MIB, MEMORY_PER_BYTE = 1.0, 8
FIRST_MIB = 16 * MIB


def test_the_corpus_is_large_and_its_names_differ() -> None:
    assert len(CORPUS) >= 60
    assert len({shape.name for shape in CORPUS}) == len(CORPUS)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_every_shape_gets_its_verdict_at_a_linear_cost(part: int) -> None:
    costs = measure(part, SIZE)
    assert len(costs) == len(CORPUS[part::PARTS])
    wrong = [f"{cost.name}: {cost.verdict}, not {cost.expected}" for cost in costs if cost.verdict != cost.expected]
    assert not wrong + [problem for cost in costs for problem in excesses(cost)]


def excesses(cost: Cost) -> list[str]:
    """What a shape costs beyond the limits."""
    seconds = SECONDS_PER_MIB * max(1.0, cost.size / MIB)
    memory = FIRST_MIB + MEMORY_PER_BYTE * cost.size
    used = {
        "s in the helper": (cost.helper_seconds, seconds),
        "s in the daemon": (cost.daemon_seconds, seconds),
        "bytes in the helper": (cost.helper_memory, memory),
        "bytes in the daemon": (cost.daemon_memory, memory),
    }
    return [f"{cost.name}: {has:.1f} {what} of {limit:.1f}" for what, (has, limit) in used.items() if has > limit]
