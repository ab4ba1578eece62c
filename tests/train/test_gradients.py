"""The training graph against PyTorch in float64: outputs, loss and every weight gradient."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spindl.graph.interpreter import interpret
from spindl.graph.operations import Value
from spindl.model.evaluate import evaluate
from spindl.train import Formats, Loss, ParameterGroup, initial_state, training_graph
from spindl.train.optimizers import scalar
from tests.networks import Layers, byte_batch, frozen_norms, padded, small_lenet, small_resnet, window

BATCH = 8
NORMALISATION = ((0.5,) * 3, (0.25,) * 3)


def mixed(seed: int = 0) -> Layers:
    """Depthwise, dilated, strided and concatenated convolutions, 1-D ones, every activation and pooling."""
    n = Layers((3, 10, 10), seed)
    a = n.add("sigmoid", n.convolution(0, 6, (3, 3), name="depthwise", groups=3, **padded(1)), name="sigmoid")
    b = n.add("tanh", n.convolution(0, 4, (3, 3), name="dilated", dilation=(2, 2), **padded(2)), name="tanh")
    x = n.add("concat", a, b, name="concat", axis=1)
    x = n.add("average_pool", x, name="mean", rows=((0, 3), (2, 7), (6, 10)), columns=((0, 5), (5, 10)), divisor=None)
    x = n.add("permute", n.add("reshape", x, name="flat", shape=(10, 6)), name="permute", order=(0, 2, 1))
    x = n.add("relu6", n.convolution(x, 5, (3,), name="conv1d", stride=(1,), padding=((1, 1),)), name="relu6")
    x = n.add("max_pool", x, name="pool", kernel=(3,), stride=(2,), padding=((1, 1),), dilation=(1,))
    x = n.add("softmax", n.linear(x, 7, name="rows"), name="softmax", axis=2)
    n.linear(n.add("reshape", x, name="flat2", shape=(35,)), 10, name="fc")
    return n


def overlapping(seed: int = 0) -> Layers:
    """Overlapping max pooling, a shared value with three users, a shared parameter."""
    n = Layers((3, 9, 9), seed)
    x = n.convolution(0, 4, (3, 3), name="first", stride=(2, 2))
    x = n.add("max_pool", x, name="pool", **window(3, 1, 1))
    y = n.convolution(x, 4, (3, 3), name="shared", **padded(1))
    z = n.add("convolution", y, *n.nodes[y].inputs[1:], name="again", **n.nodes[y].attributes)
    s = n.add("add", n.add("add", x, y, name="add1"), z, name="add2")
    n.linear(n.add("reshape", n.add("relu", s, name="relu"), name="flat", shape=(64,)), 10, name="fc")
    return n


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)))


NETWORKS = {
    "lenet": small_lenet,
    "resnet": small_resnet,
    "mixed": mixed,
    "overlapping": overlapping,
    "frozen": frozen_norms,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_follow_float64(name: str) -> None:
    network = NETWORKS[name]()
    forward = network.graph()
    shape = network.nodes[0].shape[1:]
    mean, deviation = NORMALISATION
    normalisation = (mean[: shape[0]], deviation[: shape[0]])
    keys = [key for key in network.parameters if "running" not in key]
    groups = (ParameterGroup("sgd", tuple(keys), momentum=False),)
    graph = training_graph(forward, Loss("cross_entropy", 0.1), groups, Formats(16, 16, 16), BATCH, normalisation)
    state = initial_state(graph, network.parameters)
    inputs = byte_batch(shape, BATCH)
    zero = {"rate/0": scalar(Fraction(0)), "decay/0": scalar(Fraction(0))}
    for _ in range(6):
        _, updates, _ = interpret(graph, state, {**inputs, **zero})
        state |= {key: value for key, value in updates.items() if key.startswith("site/")}

    # A step at rate 1 without decay moves each parameter by minus its summed gradient.
    one = {"rate/0": Value(np.array(1), 0), "decay/0": scalar(Fraction(0))}
    outputs, _, kept = interpret(graph, state, {**inputs, **one}, keep=graph.find("saturate32"))
    gradients = {graph.nodes[i].name: np.ldexp(v.mantissa.astype(float), v.exponent) for i, v in kept.items()}

    parameters = {
        k: torch.tensor(v, dtype=torch.float64, requires_grad="running" not in k) for k, v in network.parameters.items()
    }
    pixels = torch.tensor(inputs["images"].mantissa / 255.0)
    per_channel = (1, -1, 1, 1)
    x = (pixels - torch.tensor(normalisation[0]).reshape(per_channel)) / torch.tensor(normalisation[1]).reshape(
        per_channel
    )
    logits = evaluate(forward, parameters, x, training=True)[-1]
    labels = torch.tensor(inputs["labels"].mantissa)
    loss = F.cross_entropy(logits, labels, label_smoothing=0.1, reduction="sum")
    loss.backward()

    assert int(outputs["loss"].mantissa) / 2**16 == pytest.approx(float(loss.detach()), rel=2e-3)
    assert int(outputs["correct"].mantissa) == int((logits.argmax(1) == labels).sum())
    mantissas = outputs["logits"].mantissa * 2.0 ** outputs["logits"].exponent
    assert np.abs(mantissas - logits.detach().numpy()).max() < 2e-3 * np.abs(logits.detach().numpy()).max()
    assert set(gradients) == set(keys)
    # One rounded value that falls on the other side of a ReLU's or a maximum's edge turns the gradient of a small layer
    # by a few thousandths: single layers may be off by that, most are not, and the whole is not.
    everything = [
        np.concatenate([source[key].reshape(-1) for key in keys]) for source in (gradients, _expected(parameters, keys))
    ]
    assert cosine(*everything) > 0.9999
    similar = []
    for key, expected in _expected(parameters, keys).items():
        if np.abs(expected).max() > 1e-9:  # a bias before BatchNorm has no gradient
            similar.append(cosine(gradients[key], expected))
            assert similar[-1] > 0.99, key
            assert np.linalg.norm(gradients[key]) == pytest.approx(np.linalg.norm(expected), rel=0.03), key
    assert np.median(similar) > 0.9999


def _expected(parameters: dict[str, torch.Tensor], keys: list[str]) -> dict[str, np.ndarray]:
    return {key: parameters[key].grad.numpy() for key in keys}
