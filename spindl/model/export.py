"""From a module to torch.export's list of operations, with the batch size left open."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import re
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

import torch
from torch import nn
from torch._logging import structured
from torch.export import Dim, ExportedProgram, draft_export, export
from torch.fx.proxy import TracerBase

from spindl.model.finding import Finding
from spindl.model.remedies import OPERATIONS

SAMPLE_BATCH = 3
"""Images in the sample that the module is run with. Not 1: torch.export takes that for a fixed size, and batch norm
needs more than one value a channel."""

DRAFT_SECONDS = 10.0
"""Most seconds of an export with the branches that the sample takes. A loop whose length is a value may be long, and
every round makes the expressions longer that torch.export follows."""

_TORCH = os.path.dirname(torch.__file__) + os.sep
_OWN_FILE = __file__


class Whole(nn.Module):
    """Gives any module the one signature `forward(image)`; the module's own names gain the prefix "module."."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.training = module.training

    def forward(self, image: torch.Tensor) -> Any:
        """Whatever the module gives for a batch of images."""
        return self.module(image)


@dataclass(frozen=True)
class Exported:
    """The exported program, and whether a branch had to be fixed to get one (it is then good for findings only)."""

    program: ExportedProgram
    forced: bool = False


def export_forward(module: nn.Module, sample: torch.Tensor) -> tuple[Exported | None, tuple[Finding, ...]]:
    """Export the forward of `module` as it stands (train or eval) for any number of images.

    Where the forward depends on values or on the batch size, a finding says so, and the export is repeated with the
    branches that the sample takes, so that the operations behind them can be looked at too, if that takes no more than
    DRAFT_SECONDS.
    """
    try:
        with _quiet(), _without_forward_hooks(module):
            return Exported(export(Whole(module), (sample,), dynamic_shapes=({0: Dim("batch")},))), ()
    except Exception as error:
        failure = error
    if "fake tensor" in str(failure):
        # `tensor.data` is invisible to torch.export; as detach() it becomes an operation that can be reported.
        with contextlib.suppress(Exception), _quiet(), _without_forward_hooks(module), _data_as_detach():
            return Exported(export(Whole(module), (sample,), dynamic_shapes=({0: Dim("batch")},))), ()
    try:
        with _quiet(DRAFT_SECONDS), _own_temporary_folder(), _without_forward_hooks(module):
            program = draft_export(Whole(module), (sample,), dynamic_shapes=({0: Dim("batch")},))
        return Exported(program, forced=True), (_explain(failure, _report_line(program)),)
    except Exception:
        return None, (_explain(failure, ""),)


def source_line(frames: str | None) -> str:
    """ "file.py:123" of the innermost frame of a printed stack that is the user's code; empty if there is none."""
    found = re.findall(r'File "(.+?)", line (\d+)', frames or "")
    return _innermost([(name, int(line)) for name, line in found])


def error_line(error: BaseException) -> str:
    """ "file.py:123" of the innermost frame of an exception that is the user's code; empty if there is none."""
    return _innermost([(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)])


def _innermost(frames: list[tuple[str, int]]) -> str:
    after_wrapper = 0
    for place, (name, _) in enumerate(frames):
        if name == _OWN_FILE:
            after_wrapper = place + 1
    for name, line in reversed(frames[after_wrapper:]):
        if not name.startswith((_TORCH, "torch/", "<")):
            return f"{os.path.basename(name)}:{line}"
    return ""


def _explain(error: Exception, reported_line: str) -> Finding:
    source = error_line(error) or reported_line
    kind, text = type(error).__name__, str(error).strip()
    if "data-dependent" in text or "DataDependent" in kind:
        return Finding(
            "",
            source,
            "control flow on values",
            "the forward decides by the values of a tensor what to compute",
            OPERATIONS["item"],
        )
    if "Constraints violated" in text or "ConstraintViolation" in kind:
        return Finding(
            "",
            source,
            "fixed batch size",
            "the forward works, or works the same way, only for certain numbers of images",
            "use x.shape[0] (not len(x), not a number) or flatten(1), and do not branch on the batch size",
        )
    first = text.splitlines()[0].split(". ")[0] if text else "no message"
    return Finding(
        "",
        source,
        "torch.export",
        f"the forward cannot be traced: {kind}: {first}",
        "use plain torch operations on tensors; a fixed number of layers; no conversion of tensors to Python values",
    )


def _report_line(program: ExportedProgram) -> str:
    report = getattr(program, "_report", None)
    # PyTorch numbers file names once per process; the report itself knows only those that were new in this run.
    names = {number: name for name, number in getattr(structured, "INTERN_TABLE", {}).items()}
    for failure in getattr(report, "failures", ()):
        stack = failure.data.get("user_stack") or ()
        line = _innermost([(names.get(frame["filename"], "<unknown>"), frame["line"]) for frame in stack])
        if line:
            return line
    return ""


@contextlib.contextmanager
def _quiet(seconds: float = math.inf) -> Iterator[None]:
    """Tracing prints and warns a lot; what matters becomes findings. TimeoutError after so many seconds."""
    disabled, cached = logging.root.manager.disable, torch.is_autocast_cache_enabled()
    logging.disable(logging.CRITICAL)
    # A weight cached by torch.autocast looks to the tracer like a tensor from nowhere.
    torch.set_autocast_cache_enabled(False)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            torch.enable_grad(),
            _full_stacks(monotonic() + seconds),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        torch.set_autocast_cache_enabled(cached)


@contextlib.contextmanager
def _full_stacks(end: float) -> Iterator[None]:
    """PyTorch records only frames named `forward`; keep the user's other functions too.

    It does so for every operation, which is where TimeoutError is raised after an `end` on the monotonic clock.
    """
    plain: Any = TracerBase._filter_traceback_frames

    def keep(tracer: TracerBase, stack: traceback.StackSummary) -> traceback.StackSummary:
        if monotonic() > end:
            raise TimeoutError("the forward takes too long to trace")
        wrapper = max((place for place, frame in enumerate(stack) if frame.filename == _OWN_FILE), default=-1)
        return traceback.StackSummary.from_list([f for f in stack[wrapper + 1 :] if not f.filename.startswith(_TORCH)])

    TracerBase._filter_traceback_frames = keep  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        TracerBase._filter_traceback_frames = plain  # type: ignore[method-assign]


@contextlib.contextmanager
def _data_as_detach() -> Iterator[None]:
    plain: Any = torch._C.TensorBase.data
    torch.Tensor.data = property(torch.Tensor.detach, plain.__set__)  # type: ignore[assignment]
    try:
        yield
    finally:
        del torch.Tensor.data


@contextlib.contextmanager
def _own_temporary_folder() -> Iterator[None]:
    """draft_export leaves a log in the folder for temporary files; give it one that goes away."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before


@contextlib.contextmanager
def _without_forward_hooks(module: nn.Module) -> Iterator[None]:
    """Hooks that only watch must not be handed tracing tensors; those that change something are reported elsewhere."""
    tables = [table for m in module.modules() for table in (m._forward_hooks, m._forward_pre_hooks)]
    saved = [dict(table) for table in tables]
    for table in tables:
        table.clear()
    try:
        yield
    finally:
        for table, hooks in zip(tables, saved, strict=True):
            table.update(hooks)
