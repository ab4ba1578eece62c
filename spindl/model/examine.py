"""What can be found wrong with a module by looking at it, and by running it once."""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import BackwardCFunction
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.nn.utils import parametrize

from spindl.model.export import error_line, source_line
from spindl.model.finding import Finding
from spindl.model.remedies import MODULES, NO_MEANING
from spindl.model.rules import EPSILON_RANGE

_WRAPPERS = {
    "DataParallel": "give its .module",
    "DistributedDataParallel": "give its .module; spindl spreads the batch itself",
    "OptimizedModule": "give the module as it was before torch.compile",
    "FullyShardedDataParallel": "build the module without it; spindl spreads the batch itself",
}


@dataclass(frozen=True)
class Examined:
    """Findings; `covered`: modules whose operations need no second report; `runnable`: whether a run makes sense."""

    findings: tuple[Finding, ...]
    covered: frozenset[str] = frozenset()
    runnable: bool = True


def examine_module(module: nn.Module) -> Examined:
    """Look at types, weights, hooks and settings of a module and everything in it, without running it."""
    kind = type(module).__name__
    if kind in _WRAPPERS:
        return Examined((Finding("", "", kind, "it wraps the model", _WRAPPERS[kind]),), runnable=False)
    if isinstance(module, torch.jit.ScriptModule):
        remedy = "give the Python module, before torch.jit.script or torch.jit.trace"
        return Examined((Finding("", "", "torch.jit", "its Python code is gone", remedy),), runnable=False)
    findings: list[Finding] = []
    covered: set[str] = set()
    for path, part in module.named_modules():
        hooked = list(_hook_findings(path, part))
        settings = [*_setting_findings(path, part), *_parametrization_findings(path, part)]
        findings += hooked + settings
        if settings:
            covered.add(path)
    tensors = list(_tensor_findings(module))
    findings += tensors
    runnable = not any(finding.operation in ("lazy parameter", "device") for finding in tensors)
    return Examined(tuple(findings), frozenset(covered), runnable)


def list_unsupported_modules(module: nn.Module) -> tuple[Finding, ...]:
    """Findings by the types of the submodules alone: for a module whose forward could not be traced."""
    return tuple(
        Finding(path, "", f"nn.{type(part).__name__}", NO_MEANING, MODULES[type(part).__name__])
        for path, part in module.named_modules()
        if type(part).__module__.startswith("torch.nn.") and type(part).__name__ in MODULES
    )


def run_once(module: nn.Module, sample: torch.Tensor) -> tuple[Finding, ...]:
    """Run the module once on random images and report what only shows then.

    That is: an exception; custom autograd functions; tensor hooks; forward hooks that change something; changes of
    buffers; use of Python's or NumPy's random numbers; an output that is not one float32 tensor with one row an image.
    The caller puts the module back as it was.
    """
    findings: list[Finding] = []
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    python_state, numpy_state = random.getstate(), repr(np.random.get_state())
    # A copy, so that an in-place operation on the input is not one on a leaf.
    image = sample.clone().requires_grad_(True).clone()
    try:
        with _watching(module, findings), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with torch.enable_grad(), torch.autograd.set_detect_anomaly(True, check_nan=False):
                output = module(image)
    except Exception as error:
        shape = list(sample.shape[1:])
        lines = str(error).strip().splitlines()
        reason = f"it raises {type(error).__name__} for images of {shape}: {(lines or ['no message'])[0]}"
        findings.append(
            Finding(
                "", error_line(error), "forward", reason, "make it run in PyTorch; input_shape is one image, no batch"
            )
        )
        return tuple(findings)
    findings += _output_findings(output, len(sample))
    findings += _gradient_findings(output)
    findings += _buffer_findings(module, before)
    if random.getstate() != python_state or repr(np.random.get_state()) != numpy_state:
        findings.append(
            Finding(
                "",
                "",
                "random numbers",
                "the forward draws from random or numpy.random, so no two steps are alike",
                "use nn.Dropout, or draw when loading the data",
            )
        )
    return tuple(findings)


def is_reparametrization(hook: object) -> bool:
    """Whether a forward hook is one of PyTorch's that make a weight: the old weight_norm, spectral_norm, pruning."""
    return type(hook).__module__.startswith("torch.nn.utils")


def _hook_findings(path: str, part: nn.Module) -> Iterator[Finding]:
    if part._backward_hooks or part._backward_pre_hooks:
        yield Finding(
            path,
            "",
            "backward hook",
            "it would change or read gradients that spindl computes itself",
            "remove it; clip gradients through the trainer's settings",
        )
    for name, parameter in part.named_parameters(recurse=False):
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            yield Finding(
                path,
                "",
                f"hook on '{name}'",
                "spindl computes the gradients itself and would not call it",
                "remove it; clip gradients through the trainer's settings",
            )


def _parametrization_findings(path: str, part: nn.Module) -> Iterator[Finding]:
    for hook in part._forward_pre_hooks.values():
        if is_reparametrization(hook):
            yield Finding(
                path,
                "",
                type(hook).__name__,
                "the weight is computed from other parameters in every forward",
                "make the weight plain: remove_weight_norm, remove_spectral_norm or prune.remove",
            )
    if parametrize.is_parametrized(part):
        names = ", ".join(f"'{name}'" for name in part.parametrizations)  # type: ignore[union-attr]
        yield Finding(
            path,
            "",
            "parametrization",
            f"{names} is computed from other parameters in every forward",
            "make it plain with torch.nn.utils.parametrize.remove_parametrizations",
        )


def _setting_findings(path: str, part: nn.Module) -> Iterator[Finding]:
    if any(isinstance(tensor, UninitializedParameter) for tensor in part.parameters(recurse=False)):
        return
    kind = type(part).__name__
    if isinstance(part, _BatchNorm):
        low, high = EPSILON_RANGE
        if not part.track_running_stats or part.running_mean is None:
            yield Finding(
                path,
                "",
                f"nn.{kind}",
                "it keeps no running statistics, so inference would depend on the batch",
                "leave track_running_stats=True",
            )
        if part.momentum is None:
            yield Finding(
                path,
                "",
                f"nn.{kind}",
                "momentum=None averages over all steps, with a factor that changes every step",
                "give a momentum, PyTorch's default is 0.1",
            )
        elif not 0 < part.momentum <= 1:
            reason = f"momentum is {part.momentum:g}, outside 0 (exclusive) to 1"
            yield Finding(path, "", f"nn.{kind}", reason, "use PyTorch's default of 0.1")
        if not low <= part.eps <= high:
            reason = f"eps is {part.eps:g}, outside {low:g} to {high:g}"
            yield Finding(path, "", f"nn.{kind}", reason, "use PyTorch's default of 1e-5")
    mode = getattr(part, "padding_mode", "zeros")
    if isinstance(part, (nn.Conv1d, nn.Conv2d)) and mode != "zeros":
        yield Finding(path, "", f"nn.{kind}", f"padding_mode is '{mode}'", "use padding_mode='zeros'")
    for size in ("in_features", "out_features", "in_channels", "out_channels", "num_features"):
        if getattr(part, size, 1) == 0:
            yield Finding(path, "", f"nn.{kind}", f"{size} is 0", "leave the layer out, or give it a feature")


def _tensor_findings(module: nn.Module) -> Iterator[Finding]:
    real = [(name, b) for name, b in module.named_buffers() if b.is_floating_point() or b.is_complex()]
    named = [*module.named_parameters(), *real]
    devices: set[str] = set()
    for name, tensor in named:
        layer, _, short = name.rpartition(".")
        if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
            yield Finding(layer, "", "lazy parameter", f"'{short}' has no shape yet", "run the module once in PyTorch")
            continue
        devices.add(tensor.device.type)
        if tensor.dtype != torch.float32:
            yield Finding(layer, "", f"{tensor.dtype}", f"'{short}' is not float32", "call module.float()")
        if tensor.device.type == "meta":
            continue
        if not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            yield Finding(
                layer,
                "",
                "NaN or infinity",
                f"'{short}' holds {bad} of them",
                "initialise or load the weights again",
            )
        elif short == "running_var" and bool((tensor < 0).any()):
            reason = f"'{short}' goes down to {float(tensor.min()):g}"
            yield Finding(layer, "", "negative variance", reason, "call reset_running_stats()")
    if len(devices) > 1 or not devices <= {"cpu", "cuda"}:
        yield Finding("", "", "device", f"its tensors lie on {', '.join(sorted(devices))}", "put it on 'cpu' or 'cuda'")


def _output_findings(output: Any, images: int) -> Iterator[Finding]:
    if not isinstance(output, torch.Tensor):
        count = f" of {len(output)}" if isinstance(output, (tuple, list, dict)) else ""
        yield Finding(
            "",
            "",
            "several outputs",
            f"the forward returns a {type(output).__name__}{count}, not one tensor",
            "return only the logits (auxiliary heads are not trained)",
        )
        return
    if output.dtype != torch.float32:
        yield Finding("", "", "output", f"the output is {output.dtype}, not float32", "return the logits, not classes")
    if output.ndim == 0 or output.shape[0] != images:
        yield Finding(
            "",
            "",
            "output",
            f"for {images} images the output has shape {list(output.shape)}",
            "return one row of logits an image; give the loss to the trainer",
        )


def _gradient_findings(output: Any) -> Iterator[Finding]:
    """Custom autograd functions, found as nodes of the recorded graph, with the line that called them."""
    first = output if isinstance(output, torch.Tensor) else None
    waiting: list[Any] = [first.grad_fn] if first is not None else []
    seen: set[Any] = set()
    reported: set[tuple[str, str]] = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [previous for previous, _ in node.next_functions]
        name = type(node).__name__.removesuffix("Backward")
        # PyTorch's own Functions for a module's backward hooks and for custom operators: these are reported as such.
        if not isinstance(node, BackwardCFunction) or name.startswith(("BackwardHookFunction", "GeneratedBackwardFor")):
            continue
        source = source_line("".join(node.metadata.get("traceback_", ())))
        if (name, source) not in reported:
            reported.add((name, source))
            remedy = "write the forward with plain layers; if only the forward matters, call it without the Function"
            if name == "CheckpointFunction":
                remedy = "leave checkpointing out, spindl plans its memory itself; or give use_reentrant=False"
            reason = "its backward would be ignored: gradients come from the forward"
            yield Finding("", source, f"autograd.Function {name}", reason, remedy)


def _buffer_findings(module: nn.Module, before: dict[str, torch.Tensor]) -> Iterator[Finding]:
    allowed = {
        f"{path}.{name}" if path else name
        for path, part in module.named_modules(remove_duplicate=False)
        if isinstance(part, _BatchNorm)
        for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    for name, buffer in module.named_buffers():
        old = before.get(name)
        if name not in allowed and (old is None or old.shape != buffer.shape or not torch.equal(old, buffer)):
            yield Finding(
                name.rpartition(".")[0],
                "",
                f"write to '{name}'",
                "the forward changes it; only batch norm's running statistics may change in a forward",
                "compute it outside the model, or leave it out",
            )


@contextmanager
def _watching(module: nn.Module, findings: list[Finding]) -> Iterator[None]:
    """Report forward hooks that return something, and hooks put on tensors, while the block runs."""

    def watched(path: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            result = hook(*args, **kwargs)
            if result is not None:
                finding = Finding(
                    path,
                    "",
                    "forward hook",
                    "it changes what the layer is given or returns",
                    "write the change into the forward; hooks that only watch are fine",
                )
                if finding not in findings:
                    findings.append(finding)
            return result

        return run

    saved = []
    for path, part in module.named_modules():
        for table in (part._forward_hooks, part._forward_pre_hooks):
            saved.append((table, dict(table)))
            for key, hook in list(table.items()):
                table[key] = watched(path, hook)
    original: Any = torch.Tensor.register_hook

    def register_hook(tensor: torch.Tensor, hook: Any) -> Any:
        caller = sys._getframe(1)
        source = f"{os.path.basename(caller.f_code.co_filename)}:{caller.f_lineno}"
        findings.append(
            Finding(
                "",
                source,
                "Tensor.register_hook",
                "spindl computes the gradients itself and would not call the hook",
                "remove it; clip gradients through the trainer's settings",
            )
        )
        return original(tensor, hook)

    torch.Tensor.register_hook = register_hook  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.register_hook = original  # type: ignore[method-assign]
        for table, hooks in saved:
            table.clear()
            table.update(hooks)
