"""Running a module without leaving a trace in it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Put back on exit what running the module may change.

    That is: values of parameters and buffers, the attributes of every submodule (and the contents of those that are
    lists, dicts or sets), training flags, and the random state of torch (CPU and CUDA), random and numpy.
    """
    modules = list(module.modules())
    attributes = [dict(m.__dict__) for m in modules]
    contents = [
        {name: value.copy() for name, value in saved.items() if isinstance(value, (dict, list, set))}
        for saved in attributes
    ]
    tensors = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.device.type != "meta"]
    values = [tensor.detach().clone() for tensor in tensors]
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else range(0)  # type: ignore[no-untyped-call]
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        for m, saved, copies in zip(modules, attributes, contents, strict=True):
            for name, copy in copies.items():
                _refill(saved[name], copy)
            m.__dict__.clear()
            m.__dict__.update(saved)
        for tensor, value in zip(tensors, values, strict=True):
            # .data: a write that autograd must not count, a graph of the user may still hold these tensors.
            if not torch.equal(tensor, value):
                tensor.data.copy_(value)


def _refill(container: Any, contents: Any) -> None:
    container.clear()
    if isinstance(container, list):
        container.extend(contents)
    else:
        container.update(contents)
