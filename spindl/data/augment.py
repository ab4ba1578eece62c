"""Random and fixed changes of pictures, each draw a function of (seed, epoch, position of the picture).

Two stages. Geometry works on one picture at its own size (Pillow's bilinear filter); shift and flip work on a whole
batch in NumPy. No function of the platform's mathematical library is used but the square root, which IEEE 754 rounds
correctly, so the same pixels come out everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spindl.data.errors import AugmentationError, ImageSizeError
from spindl.data.order import below, random_words

# Slots of a picture's random stream. A try of the random resized crop takes four words.
_FLIP, _SHIFT_Y, _SHIFT_X, _CROP = 0, 1, 2, 3
_WORDS_PER_TRY = 4
_RATIO_BITS = 24

Box = tuple[int, int, int, int]
"""left, upper, right, lower in pixels, as Pillow has it."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What happens to a picture between decoding and the cores; the default is nothing.

    pad_crop: pad with that many zero pixels on each side, then cut the old size out at a random place.
    flip: mirror left and right, every second picture at random.
    random_resized_crop: cut a random part and resize it to a square of that side (0: no); `area` is the range of its
        share of the picture, `ratio` of width to height, `tries` how often a part that does not fit is drawn again
        before the central part is taken (the numbers of Szegedy et al. 2015, as ResNet training has them).
    resize: resize the shorter side to that many pixels (0: no).
    centre_crop: cut a square of that side out of the middle (0: no).
    """

    pad_crop: int = 0
    flip: bool = False
    random_resized_crop: int = 0
    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    tries: int = 10
    resize: int = 0
    centre_crop: int = 0

    def __post_init__(self) -> None:
        for field in ("pad_crop", "random_resized_crop", "resize", "centre_crop"):
            if getattr(self, field) < 0:
                raise AugmentationError(field, f"{getattr(self, field)} pixels; must be 0 (off) or more")
        if self.random_resized_crop and (self.resize or self.centre_crop):
            raise AugmentationError("random_resized_crop", "excludes resize and centre_crop")
        if 0 < self.resize < self.centre_crop:
            raise AugmentationError("centre_crop", f"{self.centre_crop} pixels of a side resized to {self.resize}")
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise AugmentationError("area", f"{self.area}; must be a range within (0, 1]")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise AugmentationError("ratio", f"{self.ratio}; must be a range of positive numbers")
        if self.tries < 1:
            raise AugmentationError("tries", f"{self.tries}; must be 1 or more")

    @property
    def changes_geometry(self) -> bool:
        """Whether pictures are handled one by one at their own size."""
        return bool(self.random_resized_crop or self.resize or self.centre_crop)

    @property
    def is_random(self) -> bool:
        """Whether a picture looks different in each epoch."""
        return bool(self.random_resized_crop or self.pad_crop or self.flip)

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width that a picture of that height and width has after the change."""
        side = self.random_resized_crop or self.centre_crop
        if side:
            return side, side
        return _resized(size, self.resize) if self.resize else size


def for_training(side: int) -> Augmentation:
    """ImageNet's training change: a random part resized to `side`, flipped at random."""
    return Augmentation(random_resized_crop=side, flip=True)


def for_evaluation(side: int) -> Augmentation:
    """ImageNet's evaluation change: the shorter side to 256/224 of `side`, then the central square."""
    return Augmentation(resize=(side * 256 + 112) // 224, centre_crop=side)


def crop_words(augmentation: Augmentation, seed: int, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The random words that `change_geometry` needs, shape (len(positions), words)."""
    slots = _WORDS_PER_TRY * augmentation.tries if augmentation.random_resized_crop else 0
    return random_words(seed, epoch, positions, slots, first=_CROP)


def change_geometry(
    image: Image.Image, augmentation: Augmentation, words: NDArray[np.uint64], where: str
) -> Image.Image:
    """One picture (RGB or greyscale) cut and resized; `words` is its row of `crop_words`. Raises ImageSizeError."""
    side = augmentation.random_resized_crop
    if side:
        part = image.crop(random_box(image.height, image.width, augmentation, [int(word) for word in words]))
        return part.resize((side, side), Image.Resampling.BILINEAR)
    if augmentation.resize:
        height, width = _resized((image.height, image.width), augmentation.resize)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    side = augmentation.centre_crop
    if side:
        if min(image.size) < side:
            raise ImageSizeError(
                where,
                (image.height, image.width),
                (side, side),
                "smaller than the crop of",
                "set Augmentation.resize so that small pictures are enlarged first",
            )
        left, upper = round((image.width - side) / 2), round((image.height - side) / 2)
        image = image.crop((left, upper, left + side, upper + side))
    return image


def random_box(height: int, width: int, augmentation: Augmentation, words: list[int]) -> Box:
    """The part that a random resized crop takes out of a picture, from 4 random words per try."""
    low_area, high_area = augmentation.area
    low_ratio, high_ratio = augmentation.ratio
    for attempt in range(augmentation.tries):
        area_word, ratio_word, y_word, x_word = words[_WORDS_PER_TRY * attempt : _WORDS_PER_TRY * (attempt + 1)]
        area = height * width * (low_area + (high_area - low_area) * _fraction(area_word))
        ratio = low_ratio * _power(high_ratio / low_ratio, ratio_word)
        part_width = round(math.sqrt(area * ratio))
        part_height = round(math.sqrt(area / ratio))
        if 0 < part_width <= width and 0 < part_height <= height:
            upper = ((y_word >> 32) * (height - part_height + 1)) >> 32
            left = ((x_word >> 32) * (width - part_width + 1)) >> 32
            return left, upper, left + part_width, upper + part_height
    part_height, part_width = height, width
    if width < low_ratio * height:
        part_height = round(width / low_ratio)
    elif width > high_ratio * height:
        part_width = round(height * high_ratio)
    upper, left = (height - part_height) // 2, (width - part_width) // 2
    return left, upper, left + part_width, upper + part_height


def shift_and_flip(
    images: NDArray[np.uint8], augmentation: Augmentation, seed: int, epoch: int, positions: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """A batch (count, channels, height, width) after pad_crop and flip; the input is not changed."""
    if not (augmentation.pad_crop or augmentation.flip):
        return images
    words = random_words(seed, epoch, positions, 3)
    flipped = (words[:, _FLIP] >> np.uint64(63)).astype(bool) if augmentation.flip else None
    pad = augmentation.pad_crop
    if pad:
        height, width = images.shape[2:]
        padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
        y = below(words[:, _SHIFT_Y], 2 * pad + 1)
        x = below(words[:, _SHIFT_X], 2 * pad + 1)
        images = windows[np.arange(len(images)), :, y, x]
    if flipped is not None:
        images = np.where(flipped[:, None, None, None], images[..., ::-1], images)
    return np.ascontiguousarray(images)


def _resized(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    """Height and width when the shorter side becomes `shorter`; the longer is rounded down."""
    height, width = size
    if width <= height:
        return max(shorter * height // width, shorter), shorter
    return shorter, max(shorter * width // height, shorter)


def _fraction(word: int) -> float:
    return (word >> 11) * 2.0**-53


def _power(base: float, word: int) -> float:
    """base ** u for u uniform in [0, 1) from the top bits of a random word, by products of repeated square roots."""
    result = 1.0
    for bit, root in enumerate(_roots(base)):
        if word >> (63 - bit) & 1:
            result *= root
    return result


@lru_cache(maxsize=8)
def _roots(base: float) -> tuple[float, ...]:
    roots = [math.sqrt(base)]
    while len(roots) < _RATIO_BITS:
        roots.append(math.sqrt(roots[-1]))
    return tuple(roots)
