"""The native tests once more, on a build with the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ["tests/native/test_contraction.py", "tests/native/test_elementwise.py"]

# Puts the sanitized module in the place of the installed one, then runs the tests.
DRIVER = """
import importlib.util, sys
import spindl
spec = importlib.util.spec_from_file_location("spindl._native", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.modules["spindl._native"] = spindl._native = module
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


def tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: it builds the sanitized module")
    return found


def sanitizer_libraries() -> str:
    """Paths of the sanitizers' libraries, for LD_PRELOAD: Python itself is not built with them."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler: it builds the sanitized module")
    paths = []
    for library in ("libasan.so", "libubsan.so"):
        path = subprocess.run(
            [compiler, f"-print-file-name={library}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        if not Path(path).is_absolute():
            pytest.skip(f"the compiler has no {library}")
        paths.append(path)
    return ":".join(paths)


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the sanitizers are loaded by LD_PRELOAD, which is Linux"
)
def test_no_sanitizer_reports_anything(tmp_path: Path) -> None:
    cmake, ninja, libraries = tool("cmake"), tool("ninja"), sanitizer_libraries()
    configure = [cmake, "-S", str(ROOT), "-B", str(tmp_path), "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}",
                 f"-DPython_EXECUTABLE={sys.executable}", "-DSPINDL_SANITIZE=ON"]  # fmt: skip
    for command in (configure, [cmake, "--build", str(tmp_path), "--target", "_native"]):
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stdout + built.stderr
    (module,) = tmp_path.rglob("_native*.so")
    environment = os.environ | {
        "LD_PRELOAD": libraries,
        "ASAN_OPTIONS": "detect_leaks=0",  # of the interpreter, not of ours
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    command = [sys.executable, "-c", DRIVER, str(module), "-x", "-p", "no:cacheprovider", *TESTS]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-8000:]
    assert " passed" in run.stdout
