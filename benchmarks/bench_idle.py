"""Lines 12 and 13: what an idle daemon takes, with an empty folder, and with very many bundles that it knows."""

from collections.abc import Iterator

from common import Bench
from costs import while_idle
from frame import Form, Value, measures, note
from known_bundles import know, manifest_of_many
from memory import family_pss_mib
from real_daemon import daemon

RESCAN = 60.0
QUIET = 45.0
"""seconds after which helpers that were needed at the start have ended"""


@measures("12a", "12b", "12c")
def with_an_empty_folder(world: Bench, form: Form) -> Iterator[Value]:
    for _ in range(form.rounds(3, 1)):
        world.clear()
        with daemon(world, http={}, metrics={}) as process:
            while_idle(world, process.pid, QUIET)
            cpu, queries = while_idle(world, process.pid, RESCAN)
            yield Value("12a", family_pss_mib(process.pid))
            yield Value("12b", cpu)
            yield Value("12c", queries)


@measures("13a", "13b", "13c")
def with_many_known(world: Bench, form: Form) -> Iterator[Value]:
    know(world, form.of(100_000, 10_000))
    know(world, 1, manifest_of_many(form.of(1_000_000, 100_000)))
    for _ in range(form.rounds(2, 1)):
        for watch, key in (("poll", "13a"), ("inotify", "13c")):
            with daemon(world, mount={"watch": watch}) as process:
                while_idle(world, process.pid, QUIET)
                cpu, queries = while_idle(world, process.pid, 2 * RESCAN)
                note(f"{watch}: {cpu:.2f} %, {queries:.2f} queries/s, {family_pss_mib(process.pid):.0f} MiB")
                yield Value(key, cpu)
                if watch == "poll":
                    yield Value("13b", queries)
