"""The C headers of the cores are those that the tables in Python make."""

from __future__ import annotations

from pathlib import Path

from spindl.program.headers import headers
from tests.conftest import Golden

FOLDER = Path(__file__).parents[2] / "kernels" / "include" / "generated"


def test_generated_headers_are_current(golden: Golden) -> None:
    """Another layout is another contract: raise its version, then `python -m spindl.program.headers`."""
    for name, text in headers().items():
        golden(FOLDER / name, text)
