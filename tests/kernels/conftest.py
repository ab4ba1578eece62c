"""An image for the tests of the runtime: its own kernels, so that it does not depend on the size of the others."""

from __future__ import annotations

import pytest

from spindl.program.image import ROOT, Image, build_image


@pytest.fixture(scope="session")
def image() -> Image:
    return build_image(ROOT / "kernels", ROOT / "build" / "arm", ["copy", "send", "listen", "receive"])
