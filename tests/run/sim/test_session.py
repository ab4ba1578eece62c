"""Sessions of the simulator and of the interpreter: the same outputs and states, whatever is committed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from spindl.graph.graph import Graph
from spindl.graph.operations import Value
from spindl.program import Program, State
from spindl.program.state import Progress
from spindl.run import RunError, open_session
from spindl.run.interface import Commit
from spindl.run.sim import Simulator
from spindl.train import Formats, Loss, evaluation_graph
from tests.networks import byte_batch
from tests.run.sim.support import assert_equal
from tests.run.sim.test_steps import NORMALISATION, scalars, training
from tests.train.test_gradients import NETWORKS

COMMITS: tuple[Commit, ...] = ("sites", "none", "all", "all", "none", "sites", "all")


def program(name: str, batch: int) -> tuple[Program, State, tuple[int, ...]]:
    train, values, shape = training(name, "momentum", Formats(), batch)
    forward = NETWORKS[name]().graph()
    normalisation = tuple(n[: shape[0]] for n in NORMALISATION)
    evaluate = evaluation_graph(forward, Loss("cross_entropy"), Formats(), batch + 1, normalisation)  # type: ignore[arg-type]
    return Program({"train": train, "evaluate": evaluate}, {}), State(values, Progress(seed=0)), shape


@pytest.mark.parametrize("name", ["lenet", "resnet"])
def test_sessions_agree(name: str) -> None:
    batch = 4
    made, state, shape = program(name, batch)
    before = {key: value.mantissa.copy() for key, value in state.values.items()}
    found, expected = open_session("sim", made, state), open_session("interpreter", made, state)
    for step, commit in enumerate(COMMITS):
        inputs = byte_batch(shape, batch, seed=step) | scalars(step)
        inputs["images"] = Value(inputs["images"].mantissa.astype(np.uint8))
        assert_equal(found.step("train", inputs, commit), expected.step("train", inputs, commit))
        assert_equal(found.state(), expected.state())
        tested = byte_batch(shape, batch + 1, seed=99)
        assert_equal(found.step("evaluate", tested, "none"), expected.step("evaluate", tested, "none"))
    for key, value in state.values.items():
        assert np.array_equal(value.mantissa, before[key]), f"{key} of the given State was changed"
    found.close()
    found.close()


def test_results_survive_later_steps() -> None:
    made, state, shape = program("lenet", 3)
    session = open_session("sim", made, state)
    kept: list[tuple[Mapping[str, Value], dict[str, np.ndarray]]] = []  # type: ignore[type-arg]
    for step in range(3):
        for values in (session.step("train", byte_batch(shape, 3, seed=step) | scalars(step)), session.state()):
            kept.append((values, {name: value.mantissa.copy() for name, value in values.items()}))
    for values, copies in kept:
        assert all(np.array_equal(values[name].mantissa, copy) for name, copy in copies.items())


def test_a_step_that_raises_changes_nothing() -> None:
    made, state, shape = program("lenet", 3)
    session = open_session("sim", made, state)
    session.step("train", byte_batch(shape, 3) | scalars(0))
    before = session.state()
    with pytest.raises(Exception, match="was not given"):
        session.step("train", scalars(0))
    assert_equal(session.state(), before)


def test_a_device_that_is_not_there() -> None:
    made, state, _ = program("lenet", 3)
    with pytest.raises(RunError, match="cannot use the device 'cuda:99'"):
        open_session("sim", made, state, device="cuda:99")


def test_an_update_that_is_the_state_itself() -> None:
    graph, values, shape = training("lenet", "sgd", Formats(), 3)
    index = next(i for i, n in enumerate(graph.nodes) if n.attributes.get("name") == "weights/fc1.weight")
    frozen = Graph(graph.nodes, graph.outputs, {**graph.updates, "weights/fc1.weight": index})
    made, state = Program({"train": frozen}, {}), State(values, Progress(seed=0))
    found, expected = open_session("sim", made, state), open_session("interpreter", made, state)
    for step in range(3):
        inputs = byte_batch(shape, 3, seed=step) | scalars(step)
        assert_equal(found.step("train", inputs), expected.step("train", inputs))
        assert_equal(found.state(), expected.state())


def test_memory_is_used_again() -> None:
    """From the second step on no step takes memory that an earlier one did not leave."""
    graph, values, shape = training("resnet", "momentum", Formats(), 4)
    simulator = Simulator(graph)
    state = simulator.load(values)
    free = []
    for step in range(5):
        outputs, updates = simulator.run(state, byte_batch(shape, 4, seed=step) | scalars(step))
        simulator.recycle([*outputs.values(), *(state[name] for name in updates)])
        state |= updates
        free.append(simulator.memory.free_bytes())
    assert free[1:] == free[1:2] * 4
    if simulator.backend.name != "torch":
        assert free[1] > 0


def test_bench_runs() -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, str(root / "bench" / "step.py"), "lenet5@2", "--repeats", "1", "--threads", "1"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert "ratio" in result.stdout
    assert "contraction, forward" in result.stdout
