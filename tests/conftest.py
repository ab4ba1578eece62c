"""Options of the whole suite: `--update-golden` writes golden files anew instead of comparing with them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, deadline=None, database=None, print_blob=True)
settings.load_profile("deterministic")

Golden = Callable[[Path, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files anew instead of comparing")


def pytest_configure(config: pytest.Config) -> None:
    """Plans are kept in a folder of this run's own."""
    folder = tempfile.TemporaryDirectory()
    config.add_cleanup(folder.cleanup)
    os.environ["SPINDL_CACHE"] = folder.name


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """check(path, text): the file holds exactly this text; with --update-golden it is written instead."""

    def check(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"{path} is missing: make it with `pytest --update-golden`"
        assert path.read_text(encoding="utf-8") == text, f"{path} differs; if that is meant: `pytest --update-golden`"

    return check
