"""`check` and `capture`: everything that is wrong with a model, or its forward Graph."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from spindl.graph import Graph, Node, check_layer_graph
from spindl.model.builder import UNSUPPORTED
from spindl.model.convert import convert, is_inside
from spindl.model.examine import examine_module, is_reparametrization, list_unsupported_modules, run_once
from spindl.model.export import SAMPLE_BATCH, export_forward
from spindl.model.finding import Finding, UnsupportedModel
from spindl.model.snapshot import untouched


def check(module: nn.Module, input_shape: Sequence[int], *, training: bool = True) -> tuple[Finding, ...]:
    """Find everything in a module that cannot be trained (or, with training=False, only run) exactly.

    `input_shape` is that of one image, without batch: (channels, height, width), (channels, length) or (features,).
    The module is left as it was. Errors come before notes (`Finding.warning`).
    """
    return _analyse(module, tuple(input_shape), training)[1]


def capture(module: nn.Module, input_shape: Sequence[int], *, training: bool = True) -> Graph:
    """The forward Graph of a module, for a batch of 1; `spindl.graph.with_batch` gives other batch sizes.

    `input_shape` is that of one image, without batch. With training=True the module is captured as it trains:
    submodules that were put in eval mode stay so (their batch norms become frozen) unless the module as a whole is in
    eval mode. With training=False all of it is captured in eval mode. The module, its weights and flags, and all random
    states stay as they were.

    Parameters become nodes named by their (first) key in the state_dict. Raises UnsupportedModel with all findings.
    """
    graph, findings = _analyse(module, tuple(input_shape), training)
    if graph is None:
        raise UnsupportedModel(findings)
    return graph


def _analyse(
    module: nn.Module, input_shape: tuple[int, ...], training: bool
) -> tuple[Graph | None, tuple[Finding, ...]]:
    findings = list(_input_findings(module, input_shape))
    if findings:
        return None, tuple(findings)
    examined = examine_module(module)
    findings += examined.findings
    if not examined.runnable:
        return None, _ordered(findings)
    tensors = [*module.parameters(), *module.buffers()]
    if any(tensor.is_floating_point() and tensor.dtype != torch.float32 for tensor in tensors):
        # Already reported; a float32 copy shows whether there is more.
        try:
            module = copy.deepcopy(module).float()
        except RuntimeError:
            return None, _ordered(findings)
    device = tensors[0].device if tensors else torch.device("cpu")
    with untouched(module):
        _make_traceable(module)
        sample = torch.randn((SAMPLE_BATCH, *input_shape), generator=torch.Generator().manual_seed(0)).to(device)
        if not training:
            module.eval()
        elif not module.training:
            module.train()
        graph, more = _look(module, sample, examined.covered)
        findings += more
        if training and not any(finding.operation == "forward" for finding in more):
            module.eval()
            eval_graph, more = _look(module, sample, examined.covered)
            findings += more
            if (
                graph is not None
                and eval_graph is not None
                and not graph.find(UNSUPPORTED)
                and not eval_graph.find(UNSUPPORTED)
            ):
                findings += _difference(graph, eval_graph)
        if graph is not None and not findings:
            findings += _notes(module, graph, training)
    ordered = _ordered(findings)
    if graph is None or any(not finding.warning for finding in ordered):
        return None, ordered
    check_layer_graph(graph)
    return graph, ordered


def _make_traceable(module: nn.Module) -> None:
    """Take out what has been reported already and would hide everything else from the export."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._NormBase) and part.momentum is None:
            part.momentum = 0.1
        for key, hook in list(part._forward_pre_hooks.items()):
            if is_reparametrization(hook):
                del part._forward_pre_hooks[key]
        for name, value in list(part.__dict__.items()):
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                part.__dict__[name] = value.detach()


def _look(module: nn.Module, sample: torch.Tensor, covered: frozenset[str]) -> tuple[Graph | None, list[Finding]]:
    """Run, export and convert the module in its present mode; a graph only if the forward could be traced as it is."""
    with untouched(module):
        findings = [finding for finding in run_once(module, sample) if not is_inside(finding.layer, covered)]
    if any(finding.operation == "forward" for finding in findings):
        return None, findings + list(list_unsupported_modules(module))
    with untouched(module):
        exported, failures = export_forward(module, sample)
        if exported is None:
            return None, findings + list(failures) + list(list_unsupported_modules(module))
        converted = convert(exported, module, covered)
    located = {finding.source for finding in failures}
    found = [f for f in converted.findings if not f.source or f.source not in located]
    operations = {finding.operation for finding in found}
    several = any(finding.operation == "several outputs" for finding in findings)
    findings = [f for f in findings if not (f.operation.startswith("write to") and f.operation in operations)]
    if several:
        found = [finding for finding in found if finding.operation != "output"]
    return None if exported.forced else converted.graph, findings + list(failures) + found


def _input_findings(module: Any, input_shape: tuple[int, ...]) -> list[Finding]:
    if not isinstance(module, nn.Module):
        return [Finding("", "", type(module).__name__, "this is not a torch.nn.Module", "give an instance of a Module")]
    if not 1 <= len(input_shape) <= 3 or not all(isinstance(size, int) and size > 0 for size in input_shape):
        return [
            Finding(
                "",
                "",
                "input_shape",
                f"{input_shape} is not the shape of one image",
                "give (channels, height, width), (channels, length) or (features,), without the batch",
            )
        ]
    required = [
        parameter.name
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(required) > 1:
        reason = f"the forward wants {len(required)} arguments: {', '.join(required)}"
        return [
            Finding("", "", "several inputs", reason, "write a forward of one tensor, the images; join inputs first")
        ]
    return []


def _difference(train: Graph, evaluation: Graph) -> list[Finding]:
    """The first place where train and eval mode differ, apart from dropout and batch norm's statistics."""
    ours, theirs = _structure(train), _structure(evaluation)
    for place in range(max(len(ours), len(theirs))):
        ours_here = ours[place] if place < len(ours) else None
        theirs_here = theirs[place] if place < len(theirs) else None
        if ours_here is not None and theirs_here is not None and ours_here[0] == theirs_here[0]:
            continue
        a = ours_here[1] if ours_here is not None else None
        b = theirs_here[1] if theirs_here is not None else None
        node = a or b
        assert node is not None
        return [
            Finding(
                node.name,
                node.source,
                "forward that differs in eval mode",
                f"train mode computes {a.op if a else 'nothing'} where eval mode computes {b.op if b else 'nothing'}"
                + (" of other inputs or settings" if a and b and a.op == b.op else ""),
                "compute the same layers in both modes; only dropout and batch norm may differ",
            )
        ]
    return []


def _structure(graph: Graph) -> list[tuple[Any, Node | None]]:
    """What each node computes, free of dropout, of `frozen` and of the numbering; last the output."""
    place: dict[int, int] = {}
    structure: list[tuple[Any, Node | None]] = []
    for index, node in enumerate(graph.nodes):
        if node.op == "dropout":
            place[index] = place[node.inputs[0]]
            continue
        place[index] = len(structure)
        attributes = {key: value for key, value in node.attributes.items() if key != "frozen"}
        inputs = tuple(place[i] for i in node.inputs)
        structure.append(((node.op, inputs, sorted(attributes.items()), node.shape), node))
    output = graph.outputs["output"]
    structure.append((("output", place[output]), graph.nodes[output]))
    return structure


def _notes(module: nn.Module, graph: Graph, training: bool) -> list[Finding]:
    used = {node.attributes["name"] for node in graph.nodes if node.op == "parameter"}
    notes = []
    for name, _ in module.named_parameters():
        if name not in used:
            layer, _, short = name.rpartition(".")
            reason = f"'{short}' does not take part in the output and will not change"
            notes.append(Finding(layer, "", "unused parameter", reason, "nothing, if that is meant", warning=True))
    trainable = any(node.op == "parameter" and node.attributes["trainable"] for node in graph.nodes)
    if training and used and not trainable:
        notes.append(
            Finding(
                "",
                "",
                "nothing to train",
                "no parameter requires a gradient",
                "call requires_grad_(True)",
                warning=True,
            )
        )
    return notes


def _ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Errors before notes, each once (train and eval mode find the same things)."""
    unique: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        unique.setdefault((finding.layer, finding.source, finding.operation, finding.reason), finding)
    return tuple(sorted(unique.values(), key=lambda finding: finding.warning))
