"""Who may import whom: the rooms of the project and the one direction between them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "spindl"

ALLOWED = {
    "number": set(),
    "plan": {"graph", "number", "machine", "program", "_kernels", "_planner"},
    "machine": set(),
    "data": set(),
    "graph": {"number"},
    "model": {"graph"},
    "train": {"graph", "number"},
    "program": {"graph", "number", "machine"},
    "run": {"program", "graph", "number", "machine", "data", "emulator", "_native", "_kernels"},
    "emulator": {"machine", "_emulator"},
    "record": {"program"},
    "infer": {"data", "graph", "machine", "model", "number", "program", "run", "train"},
    "comparison": {"data", "graph", "infer", "model", "program", "run", "train"},
    "fit": {"data", "graph", "infer", "model", "program", "record", "report", "run", "train"},
    "mlperf": {"data", "model", "train", "fit", "program", "machine", "record", "systems"},
    "systems": {"machine", "program"},
    "report": {"plan", "program", "graph", "machine", "record"},
}
"""Room -> rooms it may import. `spindl.errors` is everybody's. Rooms not listed (cli) may use all."""

TORCH_FREE = {"plan", "number", "machine", "data", "graph", "program", "emulator", "systems", "report"}


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms(path: Path) -> set[str]:
    """Rooms of spindl that a file imports."""
    found = {name.split(".")[1] for name in imports(path) if name.startswith("spindl.")}
    return {name for name in found if (ROOT / name).is_dir() or name.startswith("_")}


@pytest.mark.parametrize("room", sorted(name for name in ALLOWED if (ROOT / name).is_dir()))
def test_room_imports_only_what_it_may(room: str) -> None:
    for path in sorted((ROOT / room).rglob("*.py")):
        foreign = rooms(path) - ALLOWED[room] - {room}
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


@pytest.mark.parametrize("room", sorted(name for name in TORCH_FREE if (ROOT / name).is_dir()))
def test_room_does_without_torch(room: str) -> None:
    for path in sorted((ROOT / room).rglob("*.py")):
        assert not any(name.split(".")[0] == "torch" for name in imports(path)), path


def test_executors_never_import_each_other() -> None:
    executors = ["sim", "emu", "board"]
    for executor in executors:
        files = [ROOT / "run" / f"{executor}.py", *sorted((ROOT / "run" / executor).rglob("*.py"))]
        for path in files:
            if path.exists():
                for other in set(executors) - {executor}:
                    assert not any(name.startswith(f"spindl.run.{other}") for name in imports(path)), path


def test_importing_spindl_imports_no_torch() -> None:
    code = "import sys, spindl; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
