"""Is the error of integer gradients noise, or does it have a direction? ResNet-8 on CIFAR-10 at fixed weights.

    python bench/bias.py [--data-root FOLDER] [--steps 500] [--batches 20] [--ties-up]

After some float32 steps the weights stay as they are, and the gradients of many batches are computed in integers and in
float64. Noise averages out over batches: then the squared mean error is 1/batches of the mean squared error. A share of
1 says that every batch has the same error, which no number of steps averages out. --ties-up rounds every tie up, as
spindl once did.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from fidelity import as_value, pixels, real
from torch import nn

from spindl.data import Dataset, batches, open_dataset
from spindl.graph.operations import Value
from spindl.model import capture, load_model
from spindl.model.evaluate import evaluate
from spindl.run.sim.simulator import Simulator
from spindl.train import Formats, Loss, ParameterGroup, builder, initial_state, training_graph

BATCH, DRY_PASSES, RATE, WARM_UP = 128, 6, 0.2, 196


def warmed_up(dataset: Dataset, steps: int) -> nn.Module:
    """ResNet-8 after some steps of the recipe of bench/accuracy.py, without its decay."""
    torch.manual_seed(1)
    module, _ = load_model("resnet8", classes=10, input_shape=dataset.image_shape)
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=0.9, nesterov=True)
    stream = chain.from_iterable(batches(dataset, BATCH, 1, epoch) for epoch in count())
    for number, part in enumerate(islice(stream, steps)):
        optimizer.param_groups[0]["lr"] = RATE * min(1, (number + 1) / WARM_UP)
        optimizer.zero_grad()
        x = pixels(part.images, dataset.normalisation, torch.float32)
        F.cross_entropy(module(x), torch.from_numpy(part.labels)).backward()
        optimizer.step()
        print(f"float32 step {number + 1}", end="\r", flush=True)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("../shared/data"))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--ties-up", action="store_true")
    arguments = parser.parse_args()
    if arguments.ties_up:
        builder.FEW_BITS_DISCARDED = frozenset()
    dataset = open_dataset("cifar10", "train", data_root=arguments.data_root)
    module = warmed_up(dataset, arguments.steps)
    forward = capture(module, dataset.image_shape)
    keys = tuple(name for name, _ in module.named_parameters())
    floats = {k: v.detach() for k, v in module.state_dict().items() if v.is_floating_point()}
    groups = (ParameterGroup("sgd", keys, momentum=False),)
    graph = training_graph(forward, Loss("cross_entropy"), groups, Formats(), BATCH, dataset.normalisation)
    gradients = {graph.nodes[i].name: i for i in graph.find("saturate32")}
    simulator = Simulator(replace(graph, outputs=gradients))
    state: Any = simulator.load(initial_state(graph, {k: v.numpy() for k, v in floats.items()}))
    errors: dict[str, list[np.ndarray]] = {key: [] for key in keys}
    exact: dict[str, list[np.ndarray]] = {key: [] for key in keys}
    stream = batches(dataset, BATCH, 7, 3)
    for number, part in enumerate(islice(stream, DRY_PASSES + arguments.batches)):
        images = {"images": Value(part.images.astype(np.int64)), "labels": Value(part.labels)}
        scalars = {"rate/0": Value(np.array(1), 0), "decay/0": Value(np.array(0), 0)}
        outputs, updates = simulator.run(state, images | scalars)
        state |= {name: value for name, value in updates.items() if name.startswith("site/")}
        if number < DRY_PASSES:
            continue
        doubles = {k: v.double().clone().requires_grad_(k in keys) for k, v in floats.items()}
        logits = evaluate(forward, doubles, pixels(part.images, dataset.normalisation, torch.float64), training=True)[
            -1
        ]
        F.cross_entropy(logits, torch.from_numpy(part.labels), reduction="sum").backward()
        for key in keys:
            exact[key].append(doubles[key].grad.reshape(-1).numpy())
            errors[key].append(real(as_value(outputs[key])).reshape(-1).numpy() - exact[key][-1])
    print(
        f"{'parameter':30} {'error / gradient':>17} {'mean error / mean gradient':>27} {'share of one direction':>23}"
    )
    for key in keys:
        e, g = np.array(errors[key]), np.array(exact[key])
        one = np.linalg.norm(e) / np.linalg.norm(g)
        mean = np.linalg.norm(e.mean(0)) / np.linalg.norm(g.mean(0))
        print(f"{key:30} {one:17.3f} {mean:27.3f} {(e.mean(0) ** 2).sum() / (e**2).sum(1).mean():23.2f}")


if __name__ == "__main__":
    main()
