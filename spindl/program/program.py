"""Program: named graphs, what they were made from, and what a machine needs of them, in one file. It holds no weights.

The file is an uncompressed zip with fixed time stamps, so equal programs are equal byte for byte:

    program.json         {"format": 2, "digest": ..., "metadata": {...}, "graphs": [names], "plans": [names], ...}
    graphs/<name>.json   `Graph.to_json`
    plans/<name>         of a planned graph: schedules, constants, router entries and the host's map of each chip, and
                         the counters that the planner foresees (`spindl.program.stored`)
    image                of a planned program: the ARM image of all cores (`spindl.program.image`)
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import metadata as packages
from pathlib import Path
from types import MappingProxyType
from typing import Any

from spindl.graph import Graph, GraphError
from spindl.graph.operations import OP_TABLE_VERSION
from spindl.program.errors import ProgramError
from spindl.program.files import write_atomically
from spindl.program.machine import ChipProgram, PlannedGraph
from spindl.program.stored import from_stored, to_stored

FORMAT_VERSION = 2
_MANIFEST = "program.json"
_IMAGE = "image"
_NO_PLANS: Mapping[str, PlannedGraph] = MappingProxyType({})
_OLDEST_TIME = (1980, 1, 1, 0, 0, 0)


def spindl_version() -> str:
    """The installed version; "unknown" when spindl runs from a folder that was never installed."""
    try:
        return packages.version("spindl")
    except packages.PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True)
class Program:
    """What an executor runs.

    Attributes:
        graphs: integer graphs by name: "train", "evaluate" and the like. They share the names of their states.
        metadata: JSON values that say what the graphs were made from: model, loss, formats, batch, versions and so on.
        plans: what a machine needs of each graph, once it is planned. The digest does not count it: it follows from the
            graphs and the machine.
        image: of a planned program, the ARM image of all cores, as its file; empty: the one of this spindl.
    """

    graphs: Mapping[str, Graph]
    metadata: Mapping[str, Any]
    plans: Mapping[str, PlannedGraph] = field(default_factory=lambda: _NO_PLANS)
    image: bytes = b""

    @property
    def chips(self) -> dict[str, tuple[ChipProgram, ...]]:
        """What each chip needs of each graph that is planned for executors with chips."""
        return {name: plan.chips for name, plan in self.plans.items() if plan.chips}

    def digest(self) -> str:
        """SHA-256 of what the graphs mean (names of layers, source lines and metadata do not count)."""
        content = {name: graph.digest() for name, graph in self.graphs.items()}
        return sha256(canonical_json({"op_table": OP_TABLE_VERSION, "graphs": content}).encode()).hexdigest()


def canonical_json(document: Any) -> str:
    """JSON with sorted keys and no white space."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def save_program(program: Program, path: Path) -> None:
    """Write a program file; it appears complete or not at all. Raises RunFolderError."""
    manifest = {
        "format": FORMAT_VERSION,
        "op_table": OP_TABLE_VERSION,
        "digest": program.digest(),
        "metadata": dict(program.metadata),
        "graphs": sorted(program.graphs),
        "plans": sorted(program.plans),
        "image": sha256(program.image).hexdigest() if program.image else None,
    }
    parts = {_MANIFEST: canonical_json(manifest).encode()}
    parts |= {f"graphs/{name}.json": program.graphs[name].to_json().encode() for name in sorted(program.graphs)}
    parts |= {f"plans/{name}": to_stored(program.plans[name]) for name in sorted(program.plans)}
    if program.image:
        parts[_IMAGE] = program.image
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, part in parts.items():
            entry = zipfile.ZipInfo(name, _OLDEST_TIME)
            entry.create_system = 3  # else the byte differs between operating systems
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, part)
    write_atomically(path, buffer.getvalue())


def load_program(path: Path) -> Program:
    """The program in a file. Raises ProgramError if it is missing, damaged, or of another version of the op table."""
    where = str(path)
    damaged = "write it again (train anew, or copy it from a backup)"
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(archive.read(_MANIFEST))
            if manifest["format"] != FORMAT_VERSION or manifest["op_table"] != OP_TABLE_VERSION:
                raise ProgramError(
                    f"program of format {manifest['format']}, op table {manifest['op_table']}; "
                    f"this spindl reads format {FORMAT_VERSION}, op table {OP_TABLE_VERSION}",
                    where,
                    f"use the spindl that wrote it ({manifest['metadata'].get('spindl', 'unknown')}), or train anew",
                )
            graphs = {
                name: Graph.from_json(archive.read(f"graphs/{name}.json").decode()) for name in manifest["graphs"]
            }
            plans = {name: from_stored(archive.read(f"plans/{name}"), where) for name in manifest["plans"]}
            image = archive.read(_IMAGE) if manifest["image"] else b""
            program = Program(graphs, manifest["metadata"], plans, image)
            expected = manifest["digest"]
    except FileNotFoundError as error:
        raise ProgramError(
            "no such program file", where, "check the path; a run folder holds program.spindl"
        ) from error
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError, GraphError) as error:
        raise ProgramError(f"the program file is damaged ({type(error).__name__}: {error})", where, damaged) from error
    if program.digest() != expected:
        raise ProgramError("the program file is damaged (its digest does not fit its graphs)", where, damaged)
    if image and sha256(image).hexdigest() != manifest["image"]:
        raise ProgramError("the program file is damaged (its hash does not fit its image)", where, damaged)
    return program


def diff(a: Program, b: Program, limit: int = 10) -> tuple[str, ...]:
    """What differs between two programs, metadata first, at most `limit` lines; empty if they mean the same."""
    lines = [
        f"{key}: {a.metadata.get(key)!r} and {b.metadata.get(key)!r}"
        for key in sorted({*a.metadata, *b.metadata})
        if canonical_json(a.metadata.get(key)) != canonical_json(b.metadata.get(key))
    ]
    for name in sorted({*a.graphs, *b.graphs}):
        if name not in a.graphs or name not in b.graphs:
            lines.append(f"graph '{name}' is only in the {'first' if name in a.graphs else 'second'}")
            continue
        lines += _graph_differences(name, a.graphs[name], b.graphs[name])
    return tuple(lines[:limit])


def _graph_differences(name: str, a: Graph, b: Graph) -> list[str]:
    if a.digest() == b.digest():
        return []
    lines = []
    if len(a.nodes) != len(b.nodes):
        lines.append(f"graph '{name}': {len(a.nodes)} and {len(b.nodes)} nodes")
    for index, (x, y) in enumerate(zip(a.nodes, b.nodes, strict=False)):
        for what in ("op", "inputs", "attributes", "shape", "format"):
            left, right = getattr(x, what), getattr(y, what)
            if what == "attributes":
                left, right = dict(left), dict(right)
            if left != right:
                lines.append(f"graph '{name}', node %{index} ({x.op} {x.name}): {what} {left} and {right}")
                return lines
    for what in ("outputs", "updates"):
        if dict(getattr(a, what)) != dict(getattr(b, what)):
            lines.append(f"graph '{name}': {what} differ")
    return lines
