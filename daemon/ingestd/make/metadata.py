"""Metadata of images, as far as their headers are readable."""

import math
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF")
POINTERS = {ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop}
MAX_TAG = 1000


def image_metadata(path: Path) -> dict[str, Any]:
    """Format, size, mode and EXIF tags of an image, as far as they are readable. Only headers are decoded."""
    known: dict[str, Any] = {}
    # On damaged or hostile files, image parsers raise and warn of anything. Such a file is still an item.
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=FORMATS) as image:
            known.update(format=image.format, width=image.width, height=image.height, mode=image.mode)
            known.update(exif=_exif(image.getexif()))
    return known


def _exif(exif: Image.Exif) -> dict[str, Any]:
    tags = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    pairs = ((str(ExifTags.TAGS.get(tag, tag)), _plain(value)) for tag, value in tags.items() if tag not in POINTERS)
    return {name: value for name, value in pairs if value is not None}


def _plain(value: Any) -> str | int | float | None:
    """A tag's value if it is a text or a number that JSON can hold; rational numbers become floats."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()[:MAX_TAG]
    if isinstance(value, int):
        return value if abs(value) < 2**63 else None
    try:
        number = math.nan if isinstance(value, bytes | tuple) else float(value)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return number if math.isfinite(number) else None
