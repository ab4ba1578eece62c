"""Augmentation, against slow witnesses; and that nothing but (seed, epoch, position) decides."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spindl.data import Augmentation, AugmentationError, ImageSizeError, for_evaluation, for_training, from_arrays
from spindl.data.augment import change_geometry, crop_words, random_box, shift_and_flip
from spindl.data.order import random_words

NO_WORDS = np.zeros(0, dtype=np.uint64)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("pad", [0, 1, 4])
def test_shift_and_flip_pixel_by_pixel(pad: int, flip: bool) -> None:
    images, positions = noise(6, 3, 9, 7), np.array([5, 0, 99, 3, 3, 12])
    original = images.copy()
    result = shift_and_flip(images, Augmentation(pad_crop=pad, flip=flip), 11, 2, positions)
    words = random_words(11, 2, positions, 3).tolist()
    for row in range(6):
        flip_word, y_word, x_word = words[row]
        dy, dx = ((word >> 32) * (2 * pad + 1) >> 32 for word in (y_word, x_word))
        for y in range(9):
            for x in range(7):
                column = 6 - x if flip and flip_word >> 63 else x
                source_y, source_x = y + dy - pad, column + dx - pad
                inside = 0 <= source_y < 9 and 0 <= source_x < 7
                expected = original[row, :, source_y, source_x] if inside else [0, 0, 0]
                assert result[row, :, y, x].tolist() == list(expected)
    assert np.array_equal(images, original)


def test_every_shift_and_both_sides_occur() -> None:
    images = np.zeros((4000, 1, 3, 3), dtype=np.uint8)
    images[:, 0, 1, 0] = 255
    result = shift_and_flip(images, Augmentation(pad_crop=1, flip=True), 0, 0, np.arange(4000))
    # One bright pixel at (1, 0): shifts by -1..1 move it to rows 0..2 and to columns -1..1, mirrored to 1..3.
    counts = result[:, 0].astype(int).sum(axis=0) // 255
    assert counts.shape == (3, 3)
    expected = np.array([[1, 2, 1]] * 3) * 4000 / 18
    assert np.abs(counts - expected).max() < 6 * math.sqrt(4000 / 9)


def test_epochs_and_seeds_change_the_picture_and_company_does_not() -> None:
    dataset = from_arrays(
        np.zeros(50, dtype=int), images=noise(50, 3, 8, 8), augmentation=Augmentation(4, True), seed=3
    )
    alone = dataset.read([17], epoch=5).images[0]
    assert np.array_equal(dataset.read([3, 17, 17, 40], epoch=5).images[1], alone)
    assert np.array_equal(dataset.read([3, 17, 17, 40], epoch=5).images[2], alone)
    assert not np.array_equal(dataset.read(range(50), epoch=5).images, dataset.read(range(50), epoch=6).images)
    other = from_arrays(np.zeros(50, dtype=int), images=noise(50, 3, 8, 8), augmentation=Augmentation(4, True), seed=4)
    assert not np.array_equal(dataset.read(range(50), epoch=5).images, other.read(range(50), epoch=5).images)


@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.lists(st.integers(0, 2**64 - 1), min_size=40, max_size=40),
)
def test_a_random_box_lies_inside_and_keeps_its_promises(height: int, width: int, words: list[int]) -> None:
    left, upper, right, lower = random_box(height, width, Augmentation(random_resized_crop=32), words)
    assert 0 <= left < right <= width
    assert 0 <= upper < lower <= height
    if min(height, width) >= 50 and (right - left, lower - upper) not in ((width, height),):
        # Rounding each side by half a pixel.
        assert (right - left + 0.5) / (lower - upper - 0.5) > 3 / 4
        assert (right - left - 0.5) / (lower - upper + 0.5) < 4 / 3


def test_a_random_box_by_hand() -> None:
    augmentation = Augmentation(random_resized_crop=8, area=(0.25, 0.75), ratio=(0.5, 2.0))
    half = 1 << 63
    # Area: 0.25 + 0.5 * 0.5 of 40,000 pixels = 20,000. Ratio: 0.5 * 4 ** 0.5 = 1. Side: sqrt(20000) = 141.4.
    # Place: the middle of the 60 that are possible.
    assert random_box(200, 200, augmentation, [half, half, half, half]) == (30, 30, 171, 171)
    # A first try 283 wide does not fit, the second is taken: its place is the first possible.
    first = [2**64 - 1, 2**64 - 1, half, half]
    assert random_box(200, 200, augmentation, [*first, half, half, 0, 0]) == (0, 0, 141, 141)


@pytest.mark.parametrize(("height", "width", "box"), [(100, 200, (0, 0, 100, 100)), (200, 100, (0, 0, 100, 100))])
def test_a_part_as_high_or_as_wide_as_the_picture_fits(height: int, width: int, box: tuple[int, ...]) -> None:
    augmentation = Augmentation(random_resized_crop=8, area=(0.5, 0.5), ratio=(1.0, 1.0))
    assert random_box(height, width, augmentation, [0] * 40) == box


def test_crops_do_not_share_their_words_with_flips_and_shifts() -> None:
    positions = np.array([3, 1])
    words = crop_words(for_training(8), 1, 2, positions)
    assert np.array_equal(words, random_words(1, 2, positions, 43)[:, 3:])


def test_the_share_of_the_area_is_uniform_and_the_ratio_log_uniform() -> None:
    words = random_words(1, 0, np.arange(4000), 40).tolist()
    augmentation = Augmentation(random_resized_crop=8, area=(0.1, 0.5))
    boxes = [random_box(1000, 1000, augmentation, row) for row in words]
    area = np.array([(right - left) * (lower - upper) / 1e6 for left, upper, right, lower in boxes])
    ratio = np.array([math.log((right - left) / (lower - upper)) for left, upper, right, lower in boxes])
    limit = math.log(4 / 3)
    for values, low, high in ((area, 0.1, 0.5), (ratio, -limit, limit)):
        # Kolmogorov-Smirnov against the uniform distribution: 2.2 / sqrt(4000) has a probability below 1e-4.
        scaled = np.sort((values - low) / (high - low))
        assert np.abs(scaled - (np.arange(4000) + 0.5) / 4000).max() < 2.2 / math.sqrt(4000)


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [(100, 400, (133, 0, 266, 100)), (400, 100, (0, 133, 100, 266)), (100, 100, (0, 0, 100, 100))],
)
def test_what_never_fits_falls_back_to_the_centre(height: int, width: int, box: tuple[int, int, int, int]) -> None:
    # Widest ratio, whole area: too wide or too high for each of these.
    words = [2**64 - 1, 2**64 - 1, 0, 0] * 10 if width <= height else [2**64 - 1, 0, 0, 0] * 10
    assert random_box(height, width, Augmentation(random_resized_crop=32), words) == box


def test_training_crop_is_pillows_crop_and_resize() -> None:
    image = Image.fromarray(noise(60, 90, 3))
    augmentation = for_training(32)
    words = crop_words(augmentation, 7, 1, np.array([4, 9]))
    assert words.shape == (2, 40)
    box = random_box(60, 90, augmentation, [int(word) for word in words[1]])
    expected = image.crop(box).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(change_geometry(image, augmentation, words[1], ""), expected)


@pytest.mark.parametrize(
    ("size", "resized"),
    [((480, 640), (256, 341)), ((640, 480), (341, 256)), ((68, 100), (256, 376)), ((5, 5), (256, 256))],
)
def test_evaluation_resizes_the_shorter_side_and_cuts_the_middle(
    size: tuple[int, int], resized: tuple[int, int]
) -> None:
    assert for_evaluation(224) == Augmentation(resize=256, centre_crop=224)
    image = Image.fromarray(noise(*size, 3))
    expected = np.asarray(image.resize(resized[::-1], Image.Resampling.BILINEAR))
    upper, left = round((resized[0] - 224) / 2), round((resized[1] - 224) / 2)
    result = np.asarray(change_geometry(image, for_evaluation(224), NO_WORDS, ""))
    assert np.array_equal(result, expected[upper : upper + 224, left : left + 224])


def test_resizing_alone_gives_the_size_it_promises() -> None:
    dataset = from_arrays(np.array([0]), images=noise(1, 1, 10, 21), augmentation=Augmentation(resize=5))
    assert dataset.image_shape == (1, 5, 10)
    assert dataset.read([0], epoch=0).images.shape == (1, 1, 5, 10)


def test_arrays_are_cropped_as_pictures_are() -> None:
    pixels = noise(3, 3, 20, 30)
    augmentation = Augmentation(random_resized_crop=8, pad_crop=1, flip=True)
    dataset = from_arrays(np.zeros(3, dtype=int), images=pixels, augmentation=augmentation, seed=5)
    words = crop_words(augmentation, 5, 2, np.arange(3))
    parts = [
        np.asarray(change_geometry(Image.fromarray(pixels[i].transpose(1, 2, 0)), augmentation, words[i], ""))
        for i in range(3)
    ]
    expected = shift_and_flip(np.stack(parts).transpose(0, 3, 1, 2), augmentation, 5, 2, np.arange(3))
    assert np.array_equal(dataset.read(range(3), epoch=2).images, expected)


def test_a_record_in_memory_smaller_than_the_crop() -> None:
    dataset = from_arrays(np.array([0]), images=noise(1, 1, 8, 8), augmentation=Augmentation(centre_crop=9))
    with pytest.raises(ImageSizeError) as caught:
        dataset.read([0], epoch=0)
    assert (caught.value.size, caught.value.needed) == ((8, 8), (9, 9))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"pad_crop": -1}, "pad_crop"),
        ({"random_resized_crop": 32, "resize": 40}, "random_resized_crop"),
        ({"resize": 20, "centre_crop": 24}, "centre_crop"),
        ({"area": (0.0, 1.0)}, "area"),
        ({"area": (0.5, 1.1)}, "area"),
        ({"ratio": (2.0, 1.0)}, "ratio"),
        ({"tries": 0}, "tries"),
    ],
)
def test_settings_that_contradict(settings: dict[str, object], field: str) -> None:
    with pytest.raises(AugmentationError) as caught:
        Augmentation(**settings)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_features_and_odd_channels_cannot_be_augmented() -> None:
    with pytest.raises(AugmentationError):
        from_arrays(np.array([0]), features=np.zeros((1, 2)), augmentation=Augmentation(flip=True))
    with pytest.raises(AugmentationError):
        from_arrays(np.array([0]), images=noise(1, 2, 8, 8), augmentation=Augmentation(resize=4))
