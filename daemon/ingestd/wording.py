"""Counts in sentences. Pure."""


def noun(count: int, one: str, many: str | None = None) -> str:
    """The form of a noun that goes with a count: item for 1, items for 0 and 2."""
    return one if count == 1 else many or f"{one}s"


def counted(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: 1 item, 2 items."""
    return f"{count} {noun(count, one, many)}"
