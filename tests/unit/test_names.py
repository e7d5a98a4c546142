"""Names of bundles to read: those of a listing are dropped when a later listing does not have them."""

from ingestd.pipeline.names import Names


def remaining(names: Names) -> set[str]:
    return set(names.take(100))


def test_names_that_only_a_listing_found_are_dropped_with_their_sentinels() -> None:
    names = Names()
    names.add_listed(["gone", "there"])
    names.keep_only({"there", "new"})
    assert remaining(names) == {"there"}


def test_names_that_the_watcher_or_a_request_found_are_kept() -> None:
    names = Names()
    names.add(["watched"], "watcher")
    names.add_listed(["watched", "gone"])
    names.keep_only(set())
    assert remaining(names) == {"watched"}


def test_names_that_were_put_back_are_dropped_too() -> None:
    names = Names()
    names.add_listed(["gone"])
    names.put_back(names.take(1)[0])
    names.keep_only(set())
    assert remaining(names) == set()


def test_a_name_that_was_read_counts_as_listed_again() -> None:
    names = Names()
    names.add(["a"], "watcher")
    names.forget(names.take(1)[0])
    names.add_listed(["a"])
    names.keep_only(set())
    assert remaining(names) == set()
