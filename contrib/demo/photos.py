"""Selects photographs for the demo, and prepares the folders that become bundles."""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ingestd.make.media import MIME

BACKGROUNDS = Path("/usr/share/backgrounds")
FEW = 3


@dataclass(frozen=True, slots=True)
class Album:
    """Photographs that are delivered together."""

    title: str
    photos: list[Path]


class NoPhotographs(Exception):
    """No photographs were found; the message says what to do."""


def find_albums(media: Path | None, limit: int) -> list[Album]:
    """One album for each folder with photographs below `media`, at most `limit` photographs in all.

    Raises NoPhotographs.
    """
    folder = media or BACKGROUNDS
    photos = sorted(_photos_below(folder))
    if not photos:
        raise NoPhotographs(_what_to_do(media))
    chosen = photos[:limit] if limit else photos
    by_folder: dict[Path, list[Path]] = {}
    for photo in chosen:
        by_folder.setdefault(photo.parent, []).append(photo)
    return [Album(_title(parent, folder), album) for parent, album in by_folder.items()]


def _photos_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        paths = (Path(parent, name) for name in names if Path(name).suffix.lower() in MIME)
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


def _title(parent: Path, folder: Path) -> str:
    relative = parent.relative_to(folder)
    return " · ".join(relative.parts) or parent.name or "Photographs"


def _what_to_do(media: Path | None) -> str:
    if media is not None:
        return f"there are no photographs below {media}; name a folder that has some, as in: make demo MEDIA=~/Pictures"
    return (
        f"there are no photographs below {BACKGROUNDS} on this machine; install some (Debian: mate-backgrounds),"
        " or use your own: make demo MEDIA=~/Pictures"
    )


def lay_out(album: Album, folder: Path) -> Path:
    """Fills a folder with the photographs of an album, by hard links if possible."""
    return _lay_out(((photo, photo.name) for photo in album.photos), folder)


def with_new_titles(album: Album, folder: Path) -> Path:
    """Like `lay_out`, but renames the first few photographs, which changes their titles."""
    names = {photo: f"New {photo.name}" for photo in album.photos[:FEW]}
    return _lay_out(((photo, names.get(photo, photo.name)) for photo in album.photos), folder)


def last_few(album: Album) -> Album:
    """The photographs to remove; never all of them."""
    return Album(album.title, album.photos[len(album.photos) - min(FEW, len(album.photos) // 2) :])


def _lay_out(files: Iterable[tuple[Path, str]], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for photo, name in files:
        _place(photo, folder / name)
    return folder


def _place(photo: Path, target: Path) -> None:
    try:
        os.link(photo, target)
    except FileExistsError:
        return  # two of one name; what is there may be a link to the original, and must not be written to
    except OSError:
        shutil.copy2(photo, target)
