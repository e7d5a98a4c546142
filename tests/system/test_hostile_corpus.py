"""Whatever is delivered, the real daemon stays small, and imports the healthy bundle beside it within seconds."""

import sys
from collections.abc import Iterator

import pytest

from ingestd.embedded import EmbeddedMariaDB
from support.beside import SETTLING, Beside, Cost
from support.document_shapes import REFUSED, SHAPES
from support.hostile_manifests import MIB, Shape
from support.measured import CORPUS
from support.process import daemons_of
from support.scale import IS_SOAK, scaled
from support.world import World, empty

SIZE, DOCUMENT_SIZE = scaled(200 * 2**10, 24 * MIB), scaled(64 * 2**10, 4 * MIB)
MAX_SECONDS, MAX_MEMORY, MANY_ITEMS = 5.0, 400 * MIB, 50_000
SAMPLE = ("long text in verification", "cut in escapes", "one long item", "white space at the end")
MANIFESTS = [shape for shape in CORPUS if IS_SOAK or shape.name in SAMPLE]
DOCUMENTS = list(SHAPES) if IS_SOAK else ["empty objects", "too deep, with escaped quotes"]


@pytest.fixture(scope="module")
def beside(server: EmbeddedMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    """One daemon for all shapes, with default settings, which queues what it finds."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "assets" / "sync").mkdir(parents=True)
    world = World(server, folder / "assets")
    empty(world)
    with daemons_of(world, folder) as daemons:
        process = daemons.start(queue={"auto": ["create", "update"]})
        process.wait_until_started()
        yield Beside(world, process)


def check(cost: Cost) -> None:
    sys.stdout.write(f"{cost}\n")
    assert cost.seconds < MAX_SECONDS, cost
    assert cost.daemon < MAX_MEMORY, cost


def content(shape: Shape) -> bytes:
    """A manifest of the size of this test, or a shorter one if importing so many items would take minutes."""
    made = shape.make(SIZE)
    return made if made.count(b'"hash"') < MANY_ITEMS else shape.make(SIZE // 8)


def expected(verdict: str) -> tuple[str, ...]:
    """The statuses that a verdict may lead to. A long valid manifest may have more items than are allowed."""
    return {"valid": ("imported", "partial", "failed", "invalid"), "absence": (SETTLING,)}.get(verdict, ("invalid",))


@pytest.mark.soak
@pytest.mark.parametrize("shape", MANIFESTS, ids=lambda shape: shape.name)
def test_a_healthy_bundle_is_imported_beside_a_hostile_manifest(beside: Beside, shape: Shape) -> None:
    cost = beside.manifest(shape.name, content(shape), settles=shape.verdict == "absence")
    check(cost)
    assert cost.status in expected(shape.verdict)


@pytest.mark.soak
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_healthy_bundle_is_imported_beside_a_hostile_document(beside: Beside, name: str) -> None:
    cost = beside.documents(name, SHAPES[name](DOCUMENT_SIZE))
    check(cost)
    assert cost.status == ("failed" if name in REFUSED else "imported")


LARGE = {
    "white space at the end": ("imported",),
    "white space between elements": ("failed", "imported"),
    "long text in verification": ("invalid",),
    "empty objects under an unknown key": ("invalid",),
    "31 brackets and a long text": ("invalid",),
    "empty objects": ("invalid",),
    "one long item": ("failed",),
    "cut in escapes": (SETTLING,),
}
"""by name: the statuses of a manifest just below the limit of 512 MiB"""


@pytest.mark.soak_only
@pytest.mark.soak
@pytest.mark.parametrize("name", LARGE)
def test_a_healthy_bundle_is_imported_beside_the_largest_manifests(beside: Beside, name: str) -> None:
    [shape] = [shape for shape in CORPUS if shape.name == name]
    cost = beside.manifest(name, shape.make(510 * MIB), settles=LARGE[name] == (SETTLING,))
    check(cost)
    assert cost.status in LARGE[name]


@pytest.mark.soak_only
@pytest.mark.soak
@pytest.mark.parametrize(("count", "status"), [(15, "imported"), (50, "failed")])
def test_a_healthy_bundle_is_imported_beside_items_of_many_sparse_documents(
    beside: Beside, count: int, status: str
) -> None:
    cost = beside.documents(f"{count} sparse documents", SHAPES["empty objects"](4 * MIB), count, items=2)
    check(cost)
    assert cost.status == status


@pytest.mark.soak_only
@pytest.mark.soak
@pytest.mark.parametrize("name", ["empty objects", "backslashes", "emoji in JSON"])
def test_large_items_of_several_bundles_at_once_do_not_add_up(beside: Beside, name: str) -> None:
    """The healthy bundle waits for its turn behind six jobs that four workers have, so only the memory is limited."""
    cost = beside.documents(f"6 bundles with large items of {name}", SHAPES[name](4 * MIB), count=7, items=2, bundles=6)
    sys.stdout.write(f"{cost}\n")
    assert cost.daemon < MAX_MEMORY, cost
    assert cost.status == "imported"
