"""What sites read of an asset."""

from support.world import World, md5


def live(world: World, name: str) -> bool:
    return bool(world.one("SELECT deleted_at IS NULL FROM asset WHERE hash = %s", md5(name)))


def title(world: World, name: str) -> str:
    return str(world.one("SELECT title FROM asset WHERE hash = %s", md5(name)))
