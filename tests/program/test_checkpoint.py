"""Checkpoints: exact, atomic, and honest about damage."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindl.graph.operations import Value
from spindl.program import (
    CheckpointFolder,
    Program,
    Progress,
    RunFolderError,
    State,
    StateError,
    Tally,
    check_state,
    load_state,
    save_state,
)
from spindl.program import checkpoint as checkpoint_module
from spindl.program import files as files_module
from spindl.program.plain import NotPlain, from_plain, to_plain
from spindl.train import Formats, Loss, ParameterGroup, initial_state, training_graph
from tests.networks import small_resnet


def program(batch: int = 2) -> Program:
    layers = small_resnet()
    group = ParameterGroup("sgd", tuple(k for k in layers.parameters if "running" not in k))
    normalisation = ((0.5,) * 3, (0.5,) * 3)
    graph = training_graph(layers.graph(), Loss("cross_entropy"), (group,), Formats(), batch, normalisation)
    return Program({"train": graph}, {})


def make(step: int = 7) -> State:
    values = initial_state(program().graphs["train"], small_resnet().parameters)
    return State(
        values=values,
        progress=Progress(seed=3, step=step, epoch=1, position=64, images=320, previous_batch=32),
        tally=Tally(123456789, 30, 64, {"conv1.output": 5}),
        optimizer=({"lr": 0.1, "betas": (0.5, 0.25), "foreach": None},),
        scheduler={"last_epoch": 4, "milestones": Counter({3: 1, 5: 2}), "_last_lr": [0.1]},
        best=0.875,
        program=program().digest(),
    )


def assert_same(a: State, b: State) -> None:
    assert a.values.keys() == b.values.keys()
    for name, value in a.values.items():
        assert np.array_equal(value.mantissa, b.values[name].mantissa), name
        assert b.values[name].mantissa.dtype == np.int64
        assert value.exponent == b.values[name].exponent, name
    assert (a.progress, a.best, a.program) == (b.progress, b.best, b.program)
    assert (a.tally, a.optimizer, a.scheduler) == (b.tally, b.optimizer, b.scheduler)


def test_round_trip_is_exact(tmp_path: Path) -> None:
    state = make()
    save_state(state, tmp_path / "step-00000007")
    loaded = load_state(tmp_path / "step-00000007")
    assert_same(state, loaded)
    assert loaded.scheduler is not None
    assert type(loaded.scheduler["milestones"]) is Counter


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.sets(st.integers())
        | st.dictionaries(st.integers(), st.integers(1, 9)).map(Counter)
    ),
    max_leaves=12,
)


@given(plain_values)
def test_plain_values_survive_json(value: Any) -> None:
    back = from_plain(json.loads(json.dumps(to_plain(value))))
    assert back == value
    assert type(back) is type(value)


def test_functions_are_not_plain() -> None:
    with pytest.raises(NotPlain, match=r"a\.f"):
        to_plain({"a": {"f": len}})


def test_latest_best_and_keep(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    for step in range(5):
        folder.save(make(step), best=step == 1)
    assert folder.names() == ["step-00000001", "step-00000003", "step-00000004"]
    latest, best = folder.load(), folder.best()
    assert latest is not None
    assert latest.progress.step == 4
    assert best == folder.folder(1)


def test_same_step_again_replaces(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(make(3))
    state = make(3)
    folder.save(State(**{**vars(state), "best": 0.99}))
    loaded = folder.load()
    assert loaded is not None
    assert loaded.best == 0.99
    assert not list(tmp_path.glob(".*"))


def test_nothing_there(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "none")
    assert folder.load() is None
    assert folder.best() is None


def test_pointer_that_is_behind(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(make(1))
    save_state(make(2), folder.folder(2))  # and killed before the pointer was moved
    assert folder.latest() == folder.folder(2)


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


DAMAGE = {
    "a bit in the tensors": ("state.safetensors", lambda p: _flip(p, -5)),
    "a bit in the header": ("state.safetensors", lambda p: _flip(p, 3)),
    "truncated tensors": ("state.safetensors", lambda p: p.write_bytes(p.read_bytes()[:-1])),
    "empty tensors": ("state.safetensors", lambda p: p.write_bytes(b"")),
    "no tensors": ("state.safetensors", lambda p: p.unlink()),
    "truncated JSON": ("state.json", lambda p: p.write_bytes(p.read_bytes()[:100])),
    "other exponent": ("state.json", lambda p: p.write_text(p.read_text().replace('"epoch": 1', '"epoch": 2'))),
    "other JSON": ("state.json", lambda p: p.write_text('{"body": 3}')),
    "no JSON": ("state.json", lambda p: p.unlink()),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_names_the_file_and_the_last_good_checkpoint(tmp_path: Path, kind: str) -> None:
    name, damage = DAMAGE[kind]
    folder = CheckpointFolder(tmp_path)
    for step in (1, 2):
        folder.save(make(step))
    damage(folder.folder(2) / name)
    with pytest.raises(StateError, match="damaged") as caught:
        folder.load()
    assert caught.value.where == str(folder.folder(2) / name)
    assert caught.value.previous == str(folder.folder(1))
    assert str(folder.folder(1)) in caught.value.remedy
    assert_same(make(1), load_state(Path(caught.value.previous)))


def test_damage_without_another_checkpoint(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(make(1))
    _flip(folder.folder(1) / "state.safetensors", -1)
    with pytest.raises(StateError, match="no good checkpoint before"):
        folder.load()


def test_another_model_lists_first_differences() -> None:
    state = make()
    values = dict(state.values)
    values["weights/extra"] = Value(np.zeros(3, dtype=np.int64))
    del values["weights/fc.bias"]
    values["weights/stem.weight"] = Value(np.zeros((4, 1, 3, 3), dtype=np.int64))
    with pytest.raises(StateError, match="another model") as caught:
        check_state(State(values, state.progress), program(), "there")
    text = str(caught.value)
    assert "weights/extra" in text
    assert "weights/fc.bias" in text
    assert "[4, 1, 3, 3] in the checkpoint, the model has [4, 3, 3, 3]" in text


def test_many_differences_are_counted() -> None:
    with pytest.raises(StateError, match=r"and \d+ more"):
        check_state(State({}, Progress(0)), program())


def test_another_program_with_the_same_weights() -> None:
    with pytest.raises(StateError, match="another batch size"):
        check_state(make(), program(batch=3))
    check_state(make(), program())


class _Crash(Exception):
    """Stands for a power cut: nothing after it runs that the code does not do in `finally`."""


def _crashing(real: Any, when: int) -> Any:
    """The function, but from its `when`-th call on it crashes."""
    calls = 0

    def crash(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls >= when:
            raise _Crash
        return real(*args, **kwargs)

    return crash


def test_a_crash_at_any_moment_leaves_a_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file operation of a save is made to fail once, with all cleaning up suppressed as after a kill."""
    operations = [
        (files_module.os, "fsync"),
        (Path, "rename"),
        (Path, "replace"),
        (Path, "mkdir"),
        (checkpoint_module, "sync_folder"),
    ]
    moments = 0
    for target, name in operations:
        for when in range(1, 20):
            folder = CheckpointFolder(tmp_path / f"{name}-{when}", keep=2)
            folder.save(make(1))
            folder.save(make(2))
            with monkeypatch.context() as patch:
                patch.setattr(target, name, _crashing(getattr(target, name), when))
                patch.setattr(checkpoint_module.shutil, "rmtree", lambda *a, **k: None)
                patch.setattr(Path, "unlink", lambda *a, **k: None)
                try:
                    folder.save(make(2))  # the same step again: the hardest case
                    crashed = False
                except _Crash:
                    crashed = True
            folder.clean()
            loaded = folder.load()
            assert loaded is not None
            assert_same(make(2), loaded)
            assert not list(folder.path.glob(".*"))
            if not crashed:
                break
            moments += 1
    assert moments >= 8


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(make(1))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files_module.os, "fsync", full)
        with pytest.raises(RunFolderError, match="No space left"):
            folder.save(make(2))
    assert folder.names() == ["step-00000001"]
    assert not list(tmp_path.glob(".*"))
    loaded = folder.load()
    assert loaded is not None
    assert_same(make(1), loaded)
