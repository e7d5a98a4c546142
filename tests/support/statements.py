"""How much the server of a world was asked."""

from support.world import World


def commits(world: World) -> int:
    """Transactions that were committed so far."""
    return _status(world, "COM_COMMIT")


def questions(world: World) -> int:
    """Statements so far, with those of the look itself and of its connection."""
    return _status(world, "QUESTIONS")


def _status(world: World, name: str) -> int:
    query = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = %s"
    return int(world.one(query, name))
