"""How machines are named, and what a machine file holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spindl.machine import (
    Dead,
    MachineFile,
    MachineFileError,
    TopologyError,
    dead_parts,
    load_machine,
    model_topology,
    parse_machine,
    save_machine,
)


@pytest.mark.parametrize(
    ("text", "source", "what", "chips", "hardware"),
    [
        ("spin3", "model", "spin3", None, ""),
        ("spin3:4", "model", "spin3", 4, ""),
        ("2x3-triads", "model", "2x3-triads", None, ""),
        ("6-triads:100", "model", "6-triads", 100, ""),
        ("million", "model", "million", None, ""),
        ("8x8-mesh", "model", "8x8-mesh", None, ""),
        ("board.json", "file", "board.json", None, ""),
        ("machines/board:2", "file", "machines/board", 2, ""),
        ("192.168.240.253", "host", "192.168.240.253", None, ""),
        ("spin5@board.lab:48", "host", "board.lab", 48, "spin5"),
        ("spalloc:https://lab.example/spalloc", "spalloc", "https://lab.example/spalloc", 1, ""),
        ("spalloc:96:https://lab.example:8080/", "spalloc", "https://lab.example:8080/", 96, ""),
    ],
)
def test_names(text: str, source: str, what: str, chips: int | None, hardware: str) -> None:
    name = parse_machine(text)
    assert (name.source, name.what, name.chips, name.hardware) == (source, what, chips, hardware)
    assert name.live == (source in ("host", "spalloc"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "a b", "spin7", "spin3:0", "spin3:x", "0-triads", "22x1-triads", "spin4@board", "@"),
        "spalloc:https://user:password@lab.example/",
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(TopologyError):
        parse_machine(text)


@pytest.mark.parametrize(("name", "boards"), [("triad", 3), ("frame", 24), ("6-triads", 18), ("7-triads", 21)])
def test_models_of_boards(name: str, boards: int) -> None:
    assert model_topology(name).boards == boards


def test_a_file_gives_back_the_machine(tmp_path: Path) -> None:
    dead = Dead(frozenset({(3, 4), (7, 7)}), frozenset({(0, 0, 17), (1, 1, 3)}), frozenset({(1, 1, 4), (2, 2, 0)}))
    topology = model_topology("spin5").without(dead.chips, dead.cores, dead.links)
    assert dead_parts(topology) == dead
    file = tmp_path / "board.json"
    save_machine(MachineFile(topology, "192.168.240.253"), file)
    assert load_machine(file) == MachineFile(topology, "192.168.240.253")
    assert [path.name for path in tmp_path.iterdir()] == ["board.json"]


def test_a_board_may_be_missing_but_not_its_plug_alone(tmp_path: Path) -> None:
    triad = model_topology("triad")
    board = frozenset((place.x, place.y) for place in triad.places if place.board == 2)
    less = triad.without(board)
    assert (less.boards, len(less.places)) == (2, 96)
    save_machine(MachineFile(less), tmp_path / "two.json")
    assert load_machine(tmp_path / "two.json").topology == less
    with pytest.raises(TopologyError, match="Ethernet plug"):
        triad.without(frozenset({(4, 8)}))


def change(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda document: document.__setitem__(key, value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change("version", 2), "of version 2; this spindl reads version 1"),
        (change("format", "something"), "no machine file"),
        (change("model", "spin6"), "damaged: this names no machine"),
        (change("dead", {"chips": [], "cores": []}), "damaged: KeyError: 'links'"),
        (change("dead", {"chips": [[1]], "cores": [], "links": []}), r"\[1\] is no part: 2 numbers are wanted"),
        (change("dead", {"chips": [], "cores": [[0, 0, 18]], "links": []}), r"no part \(0, 0, 18\) to be dead"),
        (change("dead", {"chips": [], "cores": [], "links": [[0, 0, 6]]}), r"no part \(0, 0, 6\) to be dead"),
        (change("address", 7), "the address is no text"),
    ],
)
def test_damaged_files(damage: Callable[[dict[str, Any]], object], message: str, tmp_path: Path) -> None:
    file = tmp_path / "board.json"
    save_machine(MachineFile(model_topology("spin3")), file)
    document = json.loads(file.read_text())
    damage(document)
    file.write_text(json.dumps(document))
    with pytest.raises(MachineFileError, match=message):
        load_machine(file)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "board.json"
    with pytest.raises(MachineFileError, match="no such machine file"):
        load_machine(file)
    file.write_bytes(b'{"format": "spindl mach')
    with pytest.raises(MachineFileError, match="cannot be read"):
        load_machine(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(MachineFileError, match="cannot be read"):
        load_machine(file)
    with pytest.raises(MachineFileError, match="cannot be written"):
        save_machine(MachineFile(model_topology("spin3")), tmp_path / "missing" / "board.json")
