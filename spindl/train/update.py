"""The optimiser step as nodes: gradients and master weights in, new weights and momentum out."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from spindl.graph.operations import INT32, PAIR, SCALAR
from spindl.graph.ops.update import MOST_GRADIENTS
from spindl.number import pairs
from spindl.train.builder import Builder
from spindl.train.settings import ParameterGroup

VELOCITY_HEADROOM = 8
"""Free bits of the momentum buffer: a one-batch gradient spike must not saturate it (NUMERICS section 6, ResNet-14)."""


def append_update(
    b: Builder, group: ParameterGroup, number: int, key: str, master: int, gradients: Sequence[int], batch: int
) -> None:
    """Append the update of one parameter.

    Args:
        b: the builder; gains the updates "weights/<key>", "velocity/<key>" and those of the sites.
        group, number: hyper-parameters, and the number in the names of their scalars ("rate/0", "decay/0", ...).
        key: the parameter's state_dict key.
        master: node of the int32 master weights.
        gradients: one node per use of the parameter, each summed over the batch.
        batch: images B in the batch.
    """
    rate = b.input(f"rate/{number}", (), SCALAR, batched=False)
    decay = b.input(f"decay/{number}", (), SCALAR, batched=False)
    fixed = b.nodes[master].attributes["role"] == "fixed"
    velocity_name = f"{key}.velocity"
    site = b.site(velocity_name)
    # LARS's momentum holds weight steps, of another magnitude than gradients: those have a site of their own
    at = b.site(f"{key}.direction") if group.kind == "lars" else site
    gradients = [b.emit("pair_to_wide", g, at) if b.nodes[g].format == PAIR else g for g in gradients]
    none = b.constant((0,), 0, SCALAR)
    while len(gradients) > MOST_GRADIENTS:  # more would overflow: the first five become one, at the site's exponent
        gradients = [b.emit("direction", master, none, at, *gradients[:MOST_GRADIENTS]), *gradients[MOST_GRADIENTS:]]
    if group.kind == "lars":
        decayed, trust = _lars_direction(b, group, key, master, gradients, rate, decay, batch)
        step = b.emit("scale_direction", decayed, trust, site)
        rate = b.constant((1,), 0, SCALAR)
    else:
        step = b.emit("direction", master, decay, site, *gradients)
    total = step
    if group.momentum:
        velocity = b.state(f"velocity/{key}", b.shape(master), INT32, "velocity")
        factor = b.input(f"momentum/{number}", (), SCALAR, batched=False)
        total = b.emit("momentum", velocity, step, factor)
    change = b.emit("saturate32", total)
    b.watch(total, site, velocity_name, 32, VELOCITY_HEADROOM)
    if group.momentum:
        b.updates[f"velocity/{key}"] = change
        if group.nesterov:
            change = b.emit("saturate32", b.emit("momentum", change, step, factor))
    b.updates[f"weights/{key}"] = b.emit("descend", master, change, rate, fixed=fixed)


def _lars_direction(
    b: Builder,
    group: ParameterGroup,
    key: str,
    master: int,
    gradients: Sequence[int],
    rate: int,
    decay: int,
    batch: int,
) -> tuple[int, int]:
    """D = dW + B*wd * W and the rate for it: lr * eta * |W| / (|dW| + B*wd * |W|), or lr / B if not adapting."""
    name = f"{key}.direction"
    site = b.site(name)
    step = b.emit("direction", master, decay, site, *gradients)
    b.watch(step, site, name, 32, VELOCITY_HEADROOM)
    if not group.adapt:
        return step, rate
    none = b.constant((0,), 0, SCALAR)
    gradient_norm = b.emit("squared_norm", b.emit("direction", master, none, site, *gradients))
    trust = b.emit(
        "lars_rate",
        b.emit("squared_norm", master),
        gradient_norm,
        rate,
        decay,
        batch=batch,
        eta=pairs.from_fraction(Fraction(str(group.eta))),
        eps=pairs.from_fraction(Fraction(str(group.eps)) * batch),
    )
    return step, trust
