"""State values: how float parameters become integers at the start, and floats again at the end."""

from __future__ import annotations

from collections.abc import Mapping
from math import frexp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.graph.graph import Graph
from spindl.graph.operations import Value
from spindl.graph.ops.batch_norm import pairs_from_floats, pairs_to_floats
from spindl.number.sites import LOWEST_EXPONENT, new_site
from spindl.train.rules import FIXED_EXPONENT
from spindl.train.settings import TrainingError

MASTER_HEADROOM = 1
"""Free bits above the largest initial weight."""


def _scaled(values: NDArray[Any], exponent: int) -> NDArray[np.int64]:
    """floor(values * 2^-exponent + 1/2): exact in float64, whose scaling by powers of two does not round."""
    return np.floor(np.ldexp(values.astype(np.float64), -exponent) + 0.5).astype(np.int64)


def master_weights(values: NDArray[Any]) -> Value:
    """Float weights as int32 with one exponent: e = bit_length(max |w|) + 1 - 31, at least -60."""
    largest = float(np.abs(values).max(initial=0.0))
    exponent = max((frexp(largest)[1] if largest else 0) + MASTER_HEADROOM - 31, LOWEST_EXPONENT)
    return Value(_scaled(values, exponent), exponent)


def fixed_point(values: NDArray[Any], key: str) -> Value:
    """Biases, gamma and beta as int32 with 27 fraction bits. Raises TrainingError at magnitudes of 16 and more."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest >= 15.99:
        raise TrainingError(
            f"a value of magnitude {largest:g}; biases and BatchNorm parameters are stored below 16",
            key,
            "rescale the layer",
        )
    return Value(_scaled(values, FIXED_EXPONENT), FIXED_EXPONENT)


def initial_state(graph: Graph, parameters: Mapping[str, NDArray[Any]]) -> dict[str, Value]:
    """The State values a training (or evaluation) graph starts from.

    Args:
        graph: whose `state` nodes are wanted.
        parameters: float parameters and running statistics by state_dict key.

    Raises:
        TrainingError: a parameter is missing, not finite or too large for its format.
    """
    result: dict[str, Value] = {}
    for node in graph.nodes:
        if node.op != "state":
            continue
        name, role = str(node.attributes["name"]), node.attributes["role"]
        key = name.partition("/")[2]
        if role == "site":
            exponent, history = new_site()
            result[name] = Value(np.array(history, dtype=np.int64), exponent)
        elif role == "velocity":
            result[name] = Value(np.zeros(node.shape, dtype=np.int64), 0)
        else:
            if key not in parameters:
                raise TrainingError("the model's state_dict has no such entry", key)
            values = np.asarray(parameters[key])
            if not np.isfinite(values).all():
                raise TrainingError(
                    f"{np.count_nonzero(~np.isfinite(values))} values are NaN or infinite", key, "repair the weights"
                )
            if role == "weights":
                result[name] = master_weights(values)
            elif role == "fixed":
                result[name] = fixed_point(values, key)
            else:
                result[name] = Value(pairs_from_floats(values))
    return result


def float_parameters(state: Mapping[str, Value]) -> dict[str, NDArray[np.float32]]:
    """Master weights and running statistics as float32, by state_dict key."""
    result: dict[str, NDArray[np.float32]] = {}
    for name, value in state.items():
        room, _, key = name.partition("/")
        if room == "weights":
            result[key] = np.ldexp(value.mantissa.astype(np.float64), value.exponent).astype(np.float32)
        elif room == "running":
            result[key] = pairs_to_floats(value.mantissa).astype(np.float32)
    return result
