"""`spindl doctor`."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from spindl.cli.output import output, plain_table
from spindl.program import spindl_version

PACKAGES = ("numpy", "torch", "safetensors", "pillow", "scikit-learn", "tensorboard")
NEEDED = ("numpy", "torch", "safetensors", "pillow")


@dataclass(frozen=True)
class Item:
    """One line: what was looked at, what was found, and whether training works with it."""

    what: str
    found: str
    good: bool = True
    remedy: str = ""


def packages() -> list[Item]:
    """Versions of the libraries."""
    items = [Item("spindl", spindl_version()), Item("Python", f"{platform.python_version()} ({sys.executable})")]
    for name in PACKAGES:
        try:
            items.append(Item(name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            items.append(Item(name, "not installed", name not in NEEDED, f"pip install {name}"))
    return items


def processor() -> list[Item]:
    """The native kernels, their vector path, and CUDA."""
    items = []
    try:
        from spindl import _native

        path = str(_native.vector_path())
        note = "" if path != "portable" else " (slow: this processor has no AVX-512 VNNI)"
        items.append(Item("native kernels", f"{path}{note}, {_native.threads()} threads"))
    except ImportError as error:
        items.append(
            Item("native kernels", f"not built ({error})", False, "pip install . (needs g++), or use make train")
        )
    try:
        import torch

        name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
        items.append(Item("CUDA", name))
    except ImportError:
        pass
    items.append(Item("processors", str(os.cpu_count())))
    return items


def data() -> list[Item]:
    """Which named data sets lie on this computer."""
    from spindl.data import KNOWN, open_dataset
    from spindl.errors import SpindlError

    items = [Item("SPINDL_DATA", os.environ.get("SPINDL_DATA", "not set"))]
    for name in KNOWN:
        try:
            dataset = open_dataset(name, "test", download=False)
            items.append(Item(f"data {name}", f"{len(dataset)} test images in {dataset.source}"))
        except SpindlError as error:
            remedy = error.remedy if name != "digits" else "pip install scikit-learn"
            items.append(
                Item(f"data {name}", "not here (fetched when it is used, if there is a network)", True, remedy)
            )
    return items


def writing() -> list[Item]:
    """Whether runs and the cache can be written."""
    items = []
    for what, folder in (("this folder", Path.cwd()), ("cache", Path.home() / ".cache" / "spindl")):
        existing = next(p for p in (folder, *folder.parents) if p.exists())
        try:
            with tempfile.TemporaryFile(dir=existing):
                items.append(Item(f"write to {what}", f"{folder}: yes"))
        except OSError as error:
            items.append(
                Item(f"write to {what}", f"{folder}: {error.strerror}", False, "choose another folder with --run-dir")
            )
    return items


def plans() -> list[Item]:
    """What the cache of plans holds."""
    from spindl.program.cache import LIMIT, cache_folder, usage

    count, size = usage()
    held = f"{count} of {size / 1e6:.1f} MB, at most {LIMIT / 1e6:,.0f} MB"
    return [Item("plans kept", f"{held}, in {cache_folder()}")]


def run(parts: tuple[Callable[[], list[Item]], ...] = (packages, processor, data, writing, plans)) -> int:
    """Print everything; 1 if something that training needs is missing."""
    items = [item for part in parts for item in part()]
    table = plain_table("", ("what", "found"))
    for item in items:
        table.add_row(item.what, item.found if item.good else f"PROBLEM: {item.found}")
    console = output()
    console.print(table)
    for item in items:
        if item.remedy and not item.good:
            console.print(f"{item.what}: {item.remedy}", markup=False, highlight=False, soft_wrap=True)
    problems = sum(not item.good for item in items)
    console.print(f"{problems} problem{'s' if problems != 1 else ''}", markup=False, highlight=False)
    return 1 if problems else 0
