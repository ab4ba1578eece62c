"""Twenty steps of a small ResNet on fixed data: pinned bit for bit, and beside PyTorch in float64."""

from __future__ import annotations

import json
from fractions import Fraction
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from spindl.graph.interpreter import interpret
from spindl.graph.operations import Value
from spindl.model.evaluate import evaluate
from spindl.train import Formats, Loss, ParameterGroup, initial_state, training_graph
from spindl.train.optimizers import scalar
from tests.conftest import Golden
from tests.networks import small_resnet

BATCH, STEPS, DRY_PASSES = 16, 20, 4
MEAN, DEVIATION = (0.5,) * 3, (0.25,) * 3
RATE, MOMENTUM, DECAY = Fraction(1, 10), Fraction(9, 10), Fraction(1, 2000)
GOLDEN = Path(__file__).parent / "golden" / "small_resnet_20_steps.json"


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    """Three batches in turn: noise around one pattern per class, so that there is something to learn."""
    generator = np.random.default_rng(42)
    patterns = generator.integers(40, 216, (10, 3, 8, 8))
    made = []
    for _ in range(3):
        labels = generator.integers(0, 10, BATCH)
        made.append((np.clip(patterns[labels] + generator.integers(-40, 41, (BATCH, 3, 8, 8)), 0, 255), labels))
    return [made[step % 3] for step in range(STEPS)]


def digest(state: dict[str, Value], room: str) -> str:
    """SHA-256 over names, exponents and mantissas of one kind of state."""
    total = sha256()
    for name in sorted(state):
        if name.startswith(room):
            value = state[name]
            total.update(f"{name} {value.exponent} {value.mantissa.shape}".encode())
            total.update(np.ascontiguousarray(value.mantissa, dtype="<i8").tobytes())
    return total.hexdigest()


@cache
def run() -> list[dict[str, Any]]:
    network = small_resnet()
    keys = tuple(key for key in network.parameters if "running" not in key)
    graph = training_graph(
        network.graph(), Loss("cross_entropy"), [ParameterGroup("sgd", keys)], Formats(), BATCH, (MEAN, DEVIATION)
    )
    state = initial_state(graph, network.parameters)
    scalars = {"rate/0": scalar(RATE / BATCH), "decay/0": scalar(DECAY * BATCH), "momentum/0": scalar(MOMENTUM)}
    steps = []
    for number, (images, labels) in enumerate(batches()):
        inputs = {"images": Value(images), "labels": Value(labels), **scalars}
        for _ in range(DRY_PASSES if number == 0 else 0):
            updates = interpret(graph, state, inputs)[1]
            state |= {name: value for name, value in updates.items() if name.startswith("site/")}
        outputs, updates, _ = interpret(graph, state, inputs)
        state |= updates
        extents = sorted((name, int(value.mantissa)) for name, value in outputs.items() if name.startswith("extent/"))
        steps.append(
            {
                "loss": int(outputs["loss"].mantissa),
                "correct": int(outputs["correct"].mantissa),
                "saturated": sum(int(v.mantissa) for k, v in outputs.items() if k.startswith("saturation/")),
                "extents": sha256(json.dumps(extents).encode()).hexdigest()[:16],
                "logits": sha256(np.ascontiguousarray(outputs["logits"].mantissa, dtype="<i8").tobytes()).hexdigest()[
                    :16
                ],
                "weights": digest(state, "weights/"),
            }
        )
        if number in (0, STEPS - 1):
            steps[-1]["extent"] = dict(extents)
            steps[-1] |= {room: digest(state, f"{room}/") for room in ("velocity", "running", "site")}
    return steps


def test_every_bit_is_pinned(golden: Golden) -> None:
    golden(GOLDEN, "[\n" + ",\n".join(json.dumps(step) for step in run()) + "\n]\n")


def test_it_learns() -> None:
    losses = [step["loss"] / 2**16 / BATCH for step in run()]
    assert 2.0 < losses[0] < 3.5
    assert np.mean(losses[-3:]) < 0.6 * losses[0]
    assert sum(step["saturated"] for step in run()) == 0  # the dry passes have found every exponent


def test_it_follows_float64() -> None:
    network = small_resnet()
    parameters = {
        key: torch.tensor(value, dtype=torch.float64, requires_grad="running" not in key)
        for key, value in network.parameters.items()
    }
    trainable = [value for key, value in parameters.items() if "running" not in key]
    optimizer = torch.optim.SGD(trainable, lr=float(RATE), momentum=float(MOMENTUM), weight_decay=float(DECAY))
    losses = []
    for images, labels in batches():
        optimizer.zero_grad()
        x = (torch.tensor(images / 255.0) - MEAN[0]) / DEVIATION[0]
        loss = F.cross_entropy(evaluate(network.graph(), parameters, x, training=True)[-1], torch.tensor(labels))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    found = np.array([step["loss"] for step in run()]) / 2**16 / BATCH
    assert abs(found[0] - losses[0]) < 1e-3
    assert np.abs(found - losses).max() < 0.05  # two roundings of one chaotic path: near, not equal
