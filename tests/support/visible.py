"""What readers see of the library, asked in another way than the daemon does."""

from typing import Any

from support.world import World

Row = tuple[Any, ...]

SEEN = """
SELECT 'asset', id, id, '' FROM asset WHERE deleted_at IS NULL
UNION ALL SELECT 'file', f.asset_id, f.asset_id, variant FROM asset_file f JOIN asset a ON a.id = f.asset_id
  WHERE f.deleted_at IS NULL AND a.deleted_at IS NULL
UNION ALL SELECT 'cover', c.asset_id, c.asset_id, '' FROM asset_cover c JOIN asset a ON a.id = c.asset_id
  WHERE c.deleted_at IS NULL AND a.deleted_at IS NULL
UNION ALL SELECT 'gallery', m.asset_id, m.gallery_id, '' FROM asset_gallery_item m
  JOIN asset a ON a.id = m.asset_id JOIN asset_gallery g ON g.id = m.gallery_id
  WHERE m.deleted_at IS NULL AND a.deleted_at IS NULL AND g.deleted_at IS NULL
UNION ALL SELECT 'collection', m.asset_id, m.collection_id, '' FROM asset_collection_item m
  JOIN asset a ON a.id = m.asset_id JOIN asset_collection g ON g.id = m.collection_id
  WHERE m.deleted_at IS NULL AND a.deleted_at IS NULL AND g.deleted_at IS NULL
"""


def visible(world: World) -> set[Row]:
    """The visible rows, each as its kind, its asset, and what else identifies it."""
    return set(world.sql(SEEN))


def gone(before: set[Row], after: set[Row]) -> set[Row]:
    """The rows that went out of sight, without what went only with its asset."""
    assets = {row[1] for row in after if row[0] == "asset"}
    return {row for row in before - after if row[0] == "asset" or row[1] in assets}
