"""Program files: stable bytes, versions, damage, differences."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from spindl.program import Program, ProgramError, RunFolderError, diff, load_program, save_program
from spindl.train import Formats, Loss, ParameterGroup, evaluation_graph, training_graph
from tests.networks import small_lenet

NORMALISATION = ((0.5,), (0.5,))


def make(batch: int = 2, activations: int = 15) -> Program:
    layers = small_lenet()
    group = ParameterGroup("sgd", tuple(layers.parameters))
    formats = Formats(activations=activations)
    common = (formats, batch, NORMALISATION)
    graphs = {
        "train": training_graph(layers.graph(), Loss("cross_entropy"), (group,), *common),
        "evaluate": evaluation_graph(layers.graph(), Loss("cross_entropy"), *common),
    }
    return Program(graphs, {"model": "lenet", "batch_size": batch})


def test_save_and_load_give_the_same_program(tmp_path: Path) -> None:
    program = make()
    save_program(program, tmp_path / "a.spindl")
    loaded = load_program(tmp_path / "a.spindl")
    assert loaded.digest() == program.digest()
    assert dict(loaded.metadata) == dict(program.metadata)
    assert loaded.graphs["train"].to_json() == program.graphs["train"].to_json()
    assert diff(program, loaded) == ()


def test_equal_programs_are_equal_bytes(tmp_path: Path) -> None:
    save_program(make(), tmp_path / "a.spindl")
    save_program(make(), tmp_path / "b.spindl")
    assert (tmp_path / "a.spindl").read_bytes() == (tmp_path / "b.spindl").read_bytes()


def test_digest_depends_on_meaning_only() -> None:
    program = make()
    renamed = {
        name: replace(g, nodes=tuple(replace(n, name="x", source="y.py:1") for n in g.nodes))
        for name, g in program.graphs.items()
    }
    assert Program(renamed, {"model": "other"}).digest() == program.digest()
    assert make(batch=3).digest() != program.digest()


def test_diff_names_metadata_and_first_node() -> None:
    lines = diff(make(), make(activations=12))
    assert any("train" in line and "bits" in line for line in lines)
    lines = diff(make(2), make(3))
    assert lines[0] == "batch_size: 2 and 3"
    assert any("shape" in line for line in lines)
    only = Program({"train": make().graphs["train"]}, make().metadata)
    assert "graph 'evaluate' is only in the second" in diff(only, make())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="no such program file"):
        load_program(tmp_path / "none.spindl")


@pytest.mark.parametrize("cut", [0, 10, 1000, -1])
def test_truncated_file(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.spindl"
    save_program(make(), path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ProgramError, match="damaged"):
        load_program(path)


def _rewrite(path: Path, name: str, change: object) -> None:
    with zipfile.ZipFile(path) as archive:
        texts = {entry: archive.read(entry).decode() for entry in archive.namelist()}
    texts[name] = change(texts[name])  # type: ignore[operator]
    with zipfile.ZipFile(path, "w") as archive:
        for entry, text in texts.items():
            archive.writestr(entry, text)


def test_changed_graph_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.spindl"
    save_program(make(), path)
    _rewrite(path, "graphs/train.json", lambda text: text.replace('"bits":15', '"bits":14', 1))
    with pytest.raises(ProgramError, match="digest"):
        load_program(path)


@pytest.mark.parametrize("key", ["format", "op_table"])
def test_other_version(tmp_path: Path, key: str) -> None:
    path = tmp_path / "a.spindl"
    save_program(make(), path)
    _rewrite(path, "program.json", lambda text: json.dumps({**json.loads(text), key: 999}))
    with pytest.raises(ProgramError, match="999") as caught:
        load_program(path)
    assert "train anew" in caught.value.remedy


def test_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="cannot write"):
        save_program(make(), tmp_path / "file" / "a.spindl")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
