"""What one process may do with machines: one after the other, side by side, again and again."""

from __future__ import annotations

from contextlib import closing
from threading import Thread

import numpy as np
import pytest

from spindl import Predictor
from spindl.graph.interpreter import interpret
from spindl.planning import planned
from spindl.program import Program, Progress, State
from spindl.run import open_session
from tests.plan.networks import case
from tests.plan.test_equality import assert_same
from tests.trainer.support import network, pictures, trainer


def test_predict_after_fit_and_fit_after_predict() -> None:
    """On the emulated machine and on the simulator the same calls leave the same weights and give the same outputs."""
    found = []
    for executor in ("emu", "sim"):
        module = network()
        options = {"executor": executor, "train": pictures(16, 1), "test": pictures(16, 2), "epochs": 1}
        trainer(module, **options).fit()
        images = pictures(16, 3)
        first = Predictor(
            module, input_shape=(1, 8, 8), normalisation=images.normalisation, batch_size=16, executor=executor
        ).predict(images)
        again = trainer(module, **options)
        again.fit()
        found.append((first, again.state, again.evaluate(pictures(16, 4))))
    (emulated, state, tested), (simulated, wanted, expected) = found
    assert np.array_equal(emulated, simulated)
    assert_same(state.values, wanted.values)
    assert tested == expected


@pytest.mark.parametrize("devices", [("spin3", "spin3"), pytest.param(("spin3", "spin5"), marks=pytest.mark.slow)])
def test_two_machines_at_once(devices: tuple[str, str]) -> None:
    """Two emulated machines, also of different hardware, take turns step by step: neither notices the other."""
    c = case("thesis_convolution", steps=2)
    sessions, states = [], []
    for device in devices:
        program = planned(Program({"train": c.graph}, {}), "emu", device)
        sessions.append(open_session("emu", program, State(c.state, Progress(0)), device=device))
        states.append(dict(c.state))
    with closing(sessions[0]), closing(sessions[1]):
        for inputs in c.inputs:
            for session, state in zip(sessions, states, strict=True):
                outputs, updates, _ = interpret(c.graph, state, inputs)
                state.update(updates)
                assert_same(session.step("train", inputs), outputs)
        for session, state in zip(sessions, states, strict=True):
            assert_same(session.state(), state)


@pytest.mark.slow
def test_two_machines_in_two_threads() -> None:
    c = case("thesis_mlp", steps=2)
    program = planned(Program({"train": c.graph}, {}), "emu", "spin3")
    found: list[dict[str, object]] = [{}, {}]

    def run(number: int) -> None:
        with closing(open_session("emu", program, State(c.state, Progress(0)), device="spin3")) as session:
            for inputs in c.inputs:
                session.step("train", inputs)
            found[number].update(session.state())

    threads = [Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    state = dict(c.state)
    for inputs in c.inputs:
        state |= interpret(c.graph, state, inputs)[1]
    for each in found:
        assert_same(each, state)  # type: ignore[arg-type]


@pytest.mark.slow
def test_twenty_runs_in_one_process() -> None:
    c = case("thesis_mlp", steps=1)
    program = planned(Program({"train": c.graph}, {}), "emu", "spin3")
    outputs, updates, _ = interpret(c.graph, c.state, c.inputs[0])
    for _ in range(20):
        with closing(open_session("emu", program, State(c.state, Progress(0)), device="spin3")) as session:
            assert_same(session.step("train", c.inputs[0]), outputs)
            assert_same(session.state(), {**c.state, **updates})
