"""Every native test runs on each instruction set that this processor has, and with one and two threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, settings

from spindl import _native

PATHS = _native.vector_paths()
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")  # every access is checked (test_sanitizer.py): slow
VARIANTS = [(path, threads) for path in PATHS for threads in ((2,) if SANITIZED else (1, 2))]

repeatable = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def examples(count: int) -> settings:
    """Settings for a number of drawn cases."""
    return settings(repeatable, max_examples=count // 10 if SANITIZED else count)


@contextmanager
def variant(path: str, threads: int) -> Iterator[None]:
    before = _native.vector_path(), _native.threads()
    _native.set_vector_path(path)
    _native.set_threads(threads)
    try:
        yield
    finally:
        _native.set_vector_path(before[0])
        _native.set_threads(before[1])
