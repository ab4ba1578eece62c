"""The emulator's tests once more, on a build with the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native.test_sanitizer import sanitizer_libraries, tool

ROOT = Path(__file__).resolve().parents[2]

# Puts the sanitized module in the place of the installed one, then runs the tests.
DRIVER = """
import importlib.util, sys
import spindl
spec = importlib.util.spec_from_file_location("spindl._emulator", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.modules["spindl._emulator"] = spindl._emulator = module
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the sanitizers are loaded by LD_PRELOAD, which is Linux"
)
def test_no_sanitizer_reports_anything(tmp_path: Path) -> None:
    cmake, ninja, libraries = tool("cmake"), tool("ninja"), sanitizer_libraries()
    configure = [cmake, "-S", str(ROOT), "-B", str(tmp_path), "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}",
                 f"-DPython_EXECUTABLE={sys.executable}", "-DSPINDL_SANITIZE=ON"]  # fmt: skip
    for command in (configure, [cmake, "--build", str(tmp_path), "--target", "_emulator"]):
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stdout + built.stderr
    (module,) = tmp_path.rglob("_emulator*.so")
    environment = os.environ | {
        "LD_PRELOAD": libraries,
        "ASAN_OPTIONS": "detect_leaks=0",  # of the interpreter, not of ours
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    command = [sys.executable, "-c", DRIVER, str(module), "-x", "-m", "not slow", "-p", "no:cacheprovider",
               "tests/emulator"]  # fmt: skip
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-8000:]
    assert " passed" in run.stdout or "[100%]" in run.stdout
