"""Decoding: every kind of JPEG and PNG becomes RGB, and what does not decode says which file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from data_makers import picture_bytes
from numpy.typing import NDArray
from PIL import Image, features

from spindl.data import CorruptImageError, NotAnImageError, decoder_version
from spindl.data.decode import decode_image


def pixels(data: bytes) -> NDArray[np.uint8]:
    image = decode_image(data, "picture")
    assert image.mode == "RGB"
    return np.asarray(image)


def saved(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def test_rgb_png_is_exact() -> None:
    source = noise(5, 7, 3)
    assert np.array_equal(pixels(saved(Image.fromarray(source))), source)


def test_grey_is_repeated() -> None:
    source = noise(5, 7)
    assert np.array_equal(pixels(saved(Image.fromarray(source))), np.repeat(source[..., None], 3, axis=2))


def test_grey_jpeg_is_repeated() -> None:
    source = np.full((16, 16), 77, dtype=np.uint8)
    assert np.array_equal(pixels(saved(Image.fromarray(source), "JPEG")), np.full((16, 16, 3), 77))


def test_one_bit() -> None:
    source = noise(5, 7) > 127
    assert np.array_equal(pixels(saved(Image.fromarray(source))), np.repeat(source[..., None] * np.uint8(255), 3, 2))


def test_sixteen_bit_grey_keeps_the_high_byte() -> None:
    source = np.array([[0, 255, 256, 32768], [65535, 65280, 511, 1]], dtype=np.uint16)
    expected = np.repeat((source >> 8).astype(np.uint8)[..., None], 3, axis=2)
    assert np.array_equal(pixels(saved(Image.fromarray(source))), expected)


def test_transparency_is_laid_over_black() -> None:
    source = noise(5, 7, 4)
    source[0, 0], source[0, 1] = (200, 100, 50, 0), (200, 100, 50, 255)
    result = pixels(saved(Image.fromarray(source)))
    assert result[0, 0].tolist() == [0, 0, 0]
    assert result[0, 1].tolist() == [200, 100, 50]
    exact = source[..., :3].astype(float) * source[..., 3:] / 255
    assert np.abs(result - exact).max() <= 1


def test_grey_with_transparency() -> None:
    source = noise(4, 4, 2)
    source[..., 1] = 255
    expected = np.repeat(source[..., :1], 3, axis=2)
    assert np.array_equal(pixels(saved(Image.frombytes("LA", (4, 4), source.tobytes()))), expected)


def test_palette() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([1, 0])
    assert pixels(saved(image)).tolist() == [[[40, 50, 60], [10, 20, 30]]]
    assert pixels(saved(image, transparency=1)).tolist() == [[[0, 0, 0], [10, 20, 30]]]


def test_rgb_png_with_a_transparent_colour() -> None:
    source = np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8)
    data = saved(Image.fromarray(source), transparency=(1, 2, 3))
    assert pixels(data).tolist() == [[[0, 0, 0], [4, 5, 6]]]


@pytest.mark.parametrize("ink", [(0, 0, 0, 0), (0, 0, 0, 255), (255, 0, 0, 0)])
def test_cmyk_jpeg(ink: tuple[int, int, int, int]) -> None:
    cyan, magenta, yellow, black = (value / 255 for value in ink)
    expected = [255 * (1 - part) * (1 - black) for part in (cyan, magenta, yellow)]
    result = pixels(saved(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95))
    assert np.abs(result - np.array(expected)).max() <= 2


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_truncation_at_any_place_is_an_error(form: str) -> None:
    data = picture_bytes(5, (24, 40), form=form)
    for length in [len(data) * part // 40 for part in range(1, 40)] + [len(data) - 20, len(data) - 2, len(data) - 1]:
        with pytest.raises((CorruptImageError, NotAnImageError)) as caught:
            decode_image(data[:length], "train/cat/7.jpg")
        assert "train/cat/7.jpg" in str(caught.value)
        if length >= 12:
            assert isinstance(caught.value, CorruptImageError)


def test_a_flipped_bit_in_a_png_is_an_error() -> None:
    data = bytearray(picture_bytes(5, (24, 40)))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(CorruptImageError):
        decode_image(bytes(data), "7.png")


@pytest.mark.parametrize("data", [b"", b"hello", b"GIF89a" + b"\0" * 40, b"BM" + b"\0" * 60])
def test_not_an_image(data: bytes) -> None:
    with pytest.raises(NotAnImageError) as caught:
        decode_image(data, "notes.jpg")
    assert caught.value.file == "notes.jpg"


def test_the_decoder_is_named() -> None:
    version = decoder_version()
    assert version.startswith(f"Pillow {Image.__version__}, libjpeg")
    assert (features.version("libjpeg_turbo") or features.version("jpg")) in version
