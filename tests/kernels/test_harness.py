"""The harness finds what a kernel must not do; and a first kernel."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels.harness import cycles, places, run, scratch


@pytest.mark.parametrize("where", places("copy"))
@pytest.mark.parametrize("words", [0, 1, 5, 100])
def test_copy(where: str, words: int) -> None:
    x = np.arange(words, dtype=np.uint32) * 0x01020304 + 7
    result = run("copy", {"words": words}, {"x": x, "y": np.zeros_like(x)}, where=where)
    assert result.error == 0
    assert np.array_equal(result.buffers["y"], x)
    assert np.array_equal(result.buffers["x"], x)


@pytest.mark.parametrize("where", places("copy"))
def test_copy_wants_words(where: str) -> None:
    x = np.zeros(4, np.uint32)
    assert run("copy", {"words": 1}, {"x": x, "y": x}, where=where, shift={"x": 2}).error == 1


@pytest.mark.parametrize("where", places("copy"))
def test_red_zones_are_watched(where: str) -> None:
    x = np.zeros(5, np.uint32)
    with pytest.raises(AssertionError, match=r"wrote 4 bytes outside its buffers, first at y \+ 16"):
        run("copy", {"words": 5}, {"x": x, "y": x[:4]}, where=where)


@pytest.mark.parametrize("words", [0, 3, 8, 63, 1000])
def test_copy_costs_what_is_declared(words: int) -> None:
    x = np.zeros(words, np.uint32)
    measured = run("copy", {"words": words}, {"x": x, "y": x}, where=places("copy")[-1]).cycles
    assert measured == cycles("copy", {"words": words})
    assert scratch("copy", {"words": words}) == 0
