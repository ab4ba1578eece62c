"""Looking at a module leaves no trace in it, nor in the program around it."""

from __future__ import annotations

import logging
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spindl.model import capture, check
from spindl.model.snapshot import untouched


class Busy(nn.Module):
    """Changes whatever a forward can change."""

    def __init__(self, branch: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout())
        self.frozen = nn.BatchNorm2d(4).eval()
        self.register_buffer("seen", torch.zeros(1))
        self.calls, self.log, self.table, self.branch = 0, ["start"], {"a": 1}, branch
        self.last: Any = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.log.append("call")
        self.table[str(self.calls)] = self.calls
        self.seen += 1
        x = self.body(x)
        if self.branch and x.sum() > 0:
            x = F.gelu(x)
        self.last = x
        random.random()
        np.random.rand()
        print("forward was here")
        return self.frozen(x)


@pytest.mark.parametrize("branch", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_check_leaves_no_trace(branch: bool, training: bool, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(5)
    module = Busy(branch)
    hook = module.body[0].register_forward_hook(lambda m, i, o: None)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    versions = {name: value._version for name, value in module.state_dict(keep_vars=True).items()}
    flags = {name: part.training for name, part in module.named_modules()}
    identities = {name: id(value) for name, value in module.named_parameters()}
    states = random.getstate(), repr(np.random.get_state()), torch.get_rng_state()
    temporary, disabled, patched = (
        set(Path(tempfile.gettempdir()).rglob("*torch_trace*")),
        logging.root.manager.disable,
        torch.Tensor.register_hook,
    )
    assert check(module, (2, 6, 6), training=training)

    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert {name: id(value) for name, value in module.named_parameters()} == identities
    assert {
        name: value._version for name, value in module.state_dict(keep_vars=True).items() if name in identities
    } == {name: versions[name] for name in identities}
    assert {name: part.training for name, part in module.named_modules()} == flags
    assert (module.calls, module.log, module.table, module.last) == (0, ["start"], {"a": 1}, None)
    assert all(parameter.grad is None for parameter in module.parameters())
    assert len(module.body[0]._forward_hooks) == 1
    hook.remove()
    assert (random.getstate(), repr(np.random.get_state())) == states[:2]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert set(Path(tempfile.gettempdir()).rglob("*torch_trace*")) == temporary
    assert logging.root.manager.disable == disabled
    assert torch.Tensor.register_hook is patched
    assert "data" not in vars(torch.Tensor)
    assert torch.is_grad_enabled()


def test_capture_within_no_grad_sees_the_same() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    expected = capture(module, (4,))
    with torch.no_grad():
        assert capture(module, (4,)) == expected
        assert not torch.is_grad_enabled()


def test_untouched_puts_back_what_a_failing_block_changed() -> None:
    module = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="stop"), untouched(module):
        module(torch.randn(5, 3))
        module.eval()
        module.extra = 1
        module.weight.data.fill_(float("nan"))
        raise ValueError("stop")
    assert module.training
    assert not hasattr(module, "extra")
    assert torch.equal(module.running_mean, torch.zeros(3))
    assert torch.equal(module.weight, torch.ones(3))
    assert int(module.num_batches_tracked) == 0
