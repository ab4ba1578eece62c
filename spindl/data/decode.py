"""JPEG and PNG to RGB pictures of 8 bits, by Pillow.

Everything becomes RGB: greyscale is repeated, CMYK is converted, transparent parts are laid over black, of 16-bit
values the high byte is kept. Orientation tags are ignored, as ImageNet's usual preprocessing does.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError, features

from spindl.data.errors import CorruptImageError, NotAnImageError

_FORMATS = ("JPEG", "PNG")
# The chunk that ends a PNG: no content, its name, its check sum.
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
# What Pillow raises for pictures that break off or are malformed.
_CORRUPT = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def decoder_version() -> str:
    """The decoder and the libraries below it: two runs see the same pixels only if this is the same."""
    turbo = features.version_feature("libjpeg_turbo")
    jpeg = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version_codec('jpg')}"
    return f"Pillow {PIL.__version__}, {jpeg}, zlib {features.version_codec('zlib')}"


def decode_image(data: bytes, where: str) -> Image.Image:
    """The RGB picture in the bytes of a JPEG or PNG file called `where`. Raises NotAnImageError, CorruptImageError."""
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        if data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
            raise CorruptImageError(where, "the header is damaged") from error
        raise NotAnImageError(where) from error
    except _CORRUPT as error:
        raise CorruptImageError(where, str(error)) from error
    if image.format == "PNG" and _PNG_END not in data:
        # Pillow takes a PNG that lacks only its last check sums.
        raise CorruptImageError(where, "the file is truncated, it has no end mark")
    try:
        image.load()
        return _to_rgb(image)
    except _CORRUPT as error:
        raise CorruptImageError(where, str(error)) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        # 16-bit greyscale; Pillow's own conversion clips at 255.
        high = np.asarray(image).astype(np.uint32) >> 8
        return Image.fromarray(high.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image).convert("RGB")
    return image.convert("RGB")
