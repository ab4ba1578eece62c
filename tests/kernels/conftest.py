"""The image that the tests of the runtime use: the one that is shipped, with all kernels."""

from __future__ import annotations

import pytest

from spindl.program.image import Image, load_image


@pytest.fixture(scope="session")
def image() -> Image:
    return load_image()
