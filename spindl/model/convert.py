"""From torch.export's operations to the layer ops of a forward Graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from spindl.graph import Graph, Node
from spindl.model.builder import (
    Activation,
    Buffer,
    Builder,
    Constant,
    Parameter,
    Rejected,
    Stale,
    Unknown,
    Untraceable,
    Value,
)
from spindl.model.export import SAMPLE_BATCH, Exported, source_line
from spindl.model.finding import Finding
from spindl.model.remedies import DATA_DEPENDENT, MODULES, NO_MEANING, remedy_for
from spindl.model.rules import RULES, is_step_counter

_PREFIX = "module."
_BLOCKS = {"wrap_with_set_grad_enabled": "set_grad_enabled", "wrap_with_autocast": "autocast"}
_GRADIENT_CUTS = {"detach", "detach_", "set_grad_enabled"}


@dataclass(frozen=True)
class Converted:
    """A forward graph, sound only if there are no findings.

    Attributes:
        graph: layer ops for a batch of 1.
        findings: what could not be converted, in the order of the forward.
        used: names of the parameters the output depends on.
    """

    graph: Graph
    findings: tuple[Finding, ...]
    used: frozenset[str]


def convert(exported: Exported, module: nn.Module, covered: frozenset[str] = frozenset()) -> Converted:
    """Turn an exported forward of `module` into a Graph, going on past everything that cannot be converted.

    `covered` are paths of modules that have been reported already: operations inside them give no second finding.
    """
    program = exported.program
    nodes = list(program.graph.nodes)
    builder = Builder()
    findings: dict[tuple[str, str, str], Finding] = {}

    def report(layer: str, source: str, operation: str, reason: str, remedy: str) -> None:
        if not is_inside(layer, covered):
            findings.setdefault((layer, source, operation), Finding(layer, source, operation, reason, remedy))

    _place_inputs(builder, program, module)
    batch = _batch_size(nodes, program)
    roots = _storage_roots(nodes)
    live = _live(nodes, roots, keep_asserts=exported.forced)
    output: Value = Unknown()
    for node in nodes:
        if node.op == "output":
            results = node.args[0]
            output = builder.value(results[0]) if len(results) == 1 else Unknown()
        if node.op != "call_function" or node not in live or _is_size(node):
            continue
        layers = _layers(node)
        path = layers[-1][0] if layers else ""
        builder.path, builder.leaf = path, _is_leaf(module, path)
        builder.source = _source(node, program)
        operation = _operation(node)
        opaque = next(((p, kind) for p, kind in layers if kind in MODULES), None)
        try:
            value = _convert_node(builder, node, batch, program)
        except Untraceable:
            value = _stand_in(builder, node, batch)
        except Rejected as rejected:
            value = _stand_in(builder, node, batch)
            if opaque is not None:
                report(opaque[0], builder.source, f"nn.{opaque[1]}", NO_MEANING, MODULES[opaque[1]])
            else:
                report(path, builder.source, rejected.operation or operation, str(rejected), rejected.remedy)
        builder.values[node] = value
        if _writes(node):
            _overwrite(builder, nodes, roots, node, value)
    index = output.index if isinstance(output, Activation) else len(builder.nodes) - 1
    if not isinstance(output, Activation) and not findings and not covered:
        report("", "", "output", "it is not the result of a layer", "return the logits that the last layer makes")
    graph = Graph(tuple(builder.nodes), {"output": index})
    return Converted(graph, tuple(findings.values()), frozenset(builder.parameters))


def is_inside(layer: str, modules: frozenset[str]) -> bool:
    """Whether a path is that of one of some modules, or of a part of one."""
    return any(layer == path or layer.startswith(f"{path}.") for path in modules)


def _place_inputs(builder: Builder, program: torch.export.ExportedProgram, module: nn.Module) -> None:
    signature = program.graph_signature
    first_name = {id(tensor): name for name, tensor in module.named_parameters()}
    for node in program.graph.nodes:
        if node.op != "placeholder":
            continue
        if node.name in signature.inputs_to_parameters:
            parameter = module.get_parameter(signature.inputs_to_parameters[node.name].removeprefix(_PREFIX))
            name = first_name[id(parameter)]
            builder.values[node] = Parameter(name, tuple(parameter.shape), parameter.requires_grad)
        elif node.name in signature.inputs_to_buffers:
            builder.values[node] = Buffer(signature.inputs_to_buffers[node.name].removeprefix(_PREFIX))
        elif node.name in signature.inputs_to_lifted_tensor_constants:
            builder.values[node] = Constant()
        elif node.name in signature.user_inputs:
            shape = (1, *(int(size) for size in node.meta["val"].shape[1:]))
            builder.nodes.append(Node("input", (), {"name": "image"}, shape, name="image"))
            builder.values[node] = Activation(len(builder.nodes) - 1)


def _convert_node(builder: Builder, node: fx.Node, batch: Any, program: torch.export.ExportedProgram) -> Value:
    operation = _operation(node)
    if operation == "getitem":
        return _item(builder.value(node.args[0]), node.args[1])
    if operation in ("lift_fresh_copy", "detach", "detach_") and isinstance(builder.value(node.args[0]), Constant):
        return Constant()
    if operation in _GRADIENT_CUTS and _cuts(node):
        raise Rejected("it cuts the gradient, so the layers before it would not learn from here", remedy_for(operation))
    name = str(node.target)
    writes = _writes(node)
    target = builder.value(node.args[0]) if writes else None
    if writes and not isinstance(target, (Activation, Unknown, Stale)):
        return _buffer_write(target)
    rule = RULES.get(name) or (RULES.get(_plain_name(name)) if writes else None)
    if rule is None:
        raise Rejected(_reason(operation), remedy_for(operation))
    result = node.meta.get("val")
    main = result[0] if isinstance(result, (tuple, list)) else result
    arguments = _arguments(node)
    # Operands first: what is wrong with them says more than the shape of the result.
    if isinstance(builder.value(node.args[0]), (Parameter, Buffer, Constant)):
        builder.activation(node.args[0])
    for operand in node.all_input_nodes:
        if isinstance(builder.value(operand), Unknown) and not _is_size(operand):
            raise Untraceable
    builder.image_shape = _image_shape(main, batch)
    return rule(builder, arguments)


def _image_shape(result: Any, batch: Any) -> tuple[int, ...]:
    """Shape of one image of a result. Raises Rejected unless the result is float32 with the batch as its first axis."""
    if not isinstance(result, torch.Tensor):
        raise Rejected("its result is not a tensor", remedy_for(""))
    if result.dtype != torch.float32:
        raise Rejected(
            f"its result is {result.dtype}; activations are float32", "leave dtypes alone; spindl decides formats"
        )
    if not result.shape or not _same_size(result.shape[0], batch):
        raise Rejected(
            f"the first axis of its result, {_shape_text(result, batch)}, is not the batch",
            "keep the batch as the first axis, for example x.flatten(1) or x.view(x.shape[0], -1)",
        )
    try:
        shape = tuple(_plain_size(size) for size in result.shape[1:])
    except TypeError:
        raise Rejected(
            f"its result, {_shape_text(result, batch)}, mixes the batch with other axes, or depends on values",
            "keep the batch as the first axis, for example x.flatten(1) or x.view(x.shape[0], -1)",
        ) from None
    if 0 in shape:
        raise Rejected(f"its result of {list(shape)} (one image) has no elements", "use widths and sizes of at least 1")
    return shape


def _stand_in(builder: Builder, node: fx.Node, batch: Any) -> Value:
    """What the rest of the forward sees of a result that could not be converted."""

    def one(result: Any) -> Value:
        try:
            return builder.emit_unsupported(_image_shape(result, batch))
        except Rejected:
            return Unknown()

    result = node.meta.get("val")
    return tuple(one(part) for part in result) if isinstance(result, (tuple, list)) else one(result)


def _item(value: Value, index: Any) -> Value:
    return value[index] if isinstance(value, tuple) else Unknown()


def _buffer_write(target: Value | None) -> Value:
    if target is not None and is_step_counter(target):
        return target
    name = target.name if isinstance(target, (Buffer, Parameter)) else "a constant"
    raise Rejected(
        "the forward changes it; only batch norm's running statistics may change in a forward",
        "compute it outside the model, or leave it out",
        f"write to '{name}'",
    )


def _overwrite(
    builder: Builder, nodes: list[fx.Node], roots: Mapping[fx.Node, fx.Node], node: fx.Node, value: Value
) -> None:
    """After an in-place operation every name of the memory means the new value; views in another shape are stale."""
    target = node.args[0]
    old = builder.value(target)
    if not isinstance(target, fx.Node) or isinstance(old, (Buffer, Parameter, Constant)):
        return
    for other in nodes:
        if other is not node and other in builder.values and roots.get(other) is roots.get(target):
            builder.values[other] = value if builder.values[other] == old else Stale()


def _arguments(node: fx.Node) -> dict[str, Any]:
    """Operands by the names in the operation's schema, with defaults."""
    bound: dict[str, Any] = {}
    for place, argument in enumerate(node.target._schema.arguments):  # type: ignore[union-attr]
        if place < len(node.args):
            bound[argument.name] = node.args[place]
        elif argument.name in node.kwargs:
            bound[argument.name] = node.kwargs[argument.name]
        else:
            bound[argument.name] = argument.default_value if argument.has_default_value() else None
    return bound


def _operation(node: fx.Node) -> str:
    """Name of an operation without overload; custom operators keep their namespace ("mine::op")."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        name = target._schema.name
        return name.removeprefix("aten::")
    if isinstance(target, torch._ops.HigherOrderOperator):
        name = str(target)
        return _BLOCKS.get(name, name)
    return str(getattr(target, "__name__", target))


def _reason(operation: str) -> str:
    if operation in DATA_DEPENDENT:
        return "its effect depends on the values of a tensor"
    if "::" in operation:
        return "it is a custom operator, whose meaning and gradient spindl cannot see"
    return NO_MEANING


def _cuts(node: fx.Node) -> bool:
    return _operation(node) != "set_grad_enabled" or not node.args[0]


def _plain_name(name: str) -> str:
    """ "aten.relu_.default" -> "aten.relu.default"."""
    namespace, operation, overload = name.split(".", 2)
    return f"{namespace}.{operation.removesuffix('_')}.{overload}"


def _writes(node: fx.Node) -> bool:
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload) or not node.args:
        return False
    arguments = node.target._schema.arguments
    alias = arguments[0].alias_info if arguments else None
    return alias is not None and bool(alias.is_write)


def _is_view(node: fx.Node) -> bool:
    """Whether the result may share memory with the first operand."""
    if node.op != "call_function" or not node.args or not isinstance(node.args[0], fx.Node):
        return False
    operation = _operation(node)
    if operation == "getitem":
        return True
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    if operation == "dropout":
        return bool(not node.args[2] or node.args[1] == 0)
    if operation == "contiguous" and not _writes(node):
        value = node.args[0].meta.get("val")
        return isinstance(value, torch.Tensor) and value.is_contiguous()
    schema = node.target._schema
    return schema.arguments[0].alias_info is not None and any(r.alias_info is not None for r in schema.returns)


def _storage_roots(nodes: list[fx.Node]) -> dict[fx.Node, fx.Node]:
    """For each node the node that made its memory."""
    roots: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        source = node.args[0] if node.args else None
        roots[node] = roots[source] if isinstance(source, fx.Node) and _is_view(node) else node
    return roots


def _live(nodes: list[fx.Node], roots: Mapping[fx.Node, fx.Node], keep_asserts: bool) -> set[fx.Node]:
    """Operations the output depends on, also by memory they write, and those that write to the model's state."""
    live: set[fx.Node] = set()
    read: set[fx.Node] = set()
    for node in reversed(nodes):
        writes = _writes(node)
        root = roots[node]
        needed = (
            node.op == "output"
            or node in live
            or (writes and (root in read or (root.op == "placeholder" and root.target != "image")))
            or (keep_asserts and _operation(node) in ("item", "_local_scalar_dense"))
        )
        if needed:
            live.add(node)
            live.update(node.all_input_nodes)
            read.update(roots[operand] for operand in node.all_input_nodes)
    return live


def _is_size(node: fx.Node) -> bool:
    """Whether a node computes with sizes, not with tensors."""
    if node.op != "call_function" or _operation(node) in ("item", "_local_scalar_dense"):
        return False
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return False
    value = node.meta.get("val")
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target._schema.name.startswith("aten::sym_") or _operation(node).startswith("_assert")
    return not isinstance(value, torch.Tensor) and _operation(node) != "getitem"


def _batch_size(nodes: list[fx.Node], program: torch.export.ExportedProgram) -> Any:
    name = program.graph_signature.user_inputs[0]
    image = next(node for node in nodes if node.name == name)
    return image.meta["val"].shape[0]


def _same_size(size: Any, batch: Any) -> bool:
    if isinstance(size, torch.SymInt) and isinstance(batch, torch.SymInt):
        return bool(size.node.expr == batch.node.expr)
    # A program with forced branches may have fixed the batch.
    return isinstance(size, int) and size == SAMPLE_BATCH


def _plain_size(size: Any) -> int:
    if isinstance(size, torch.SymInt):
        raise TypeError
    return int(size)


def _shape_text(result: torch.Tensor, batch: Any) -> str:
    sizes = []
    for size in result.shape:
        text = str(size)
        sizes.append(text.replace(str(batch), "batch") if isinstance(batch, torch.SymInt) else text)
    return f"[{', '.join(sizes)}]"


def _layers(node: fx.Node) -> list[tuple[str, str]]:
    """Path and class name of the modules a node was made in, outermost first; the class only if it is PyTorch's own."""
    layers = []
    for key, (path, kind) in (node.meta.get("nn_module_stack") or {}).items():
        if key.startswith("_empty"):
            continue
        full = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
        name = full.rsplit(".", 1)[-1] if full.startswith("torch.nn.") else ""
        if path.startswith("module"):
            layers.append((path.removeprefix("module").removeprefix("."), name))
    return layers


def _is_leaf(module: nn.Module, path: str) -> bool:
    try:
        return not any(True for _ in module.get_submodule(path).children())
    except AttributeError:
        return False


def _source(node: fx.Node, program: torch.export.ExportedProgram) -> str:
    trace = node.meta.get("stack_trace")
    if not trace:
        # A block such as `with torch.no_grad()` has no line of its own; its first operation has.
        for operand in node.all_input_nodes:
            body = getattr(program.graph_module, str(operand.target), None) if operand.op == "get_attr" else None
            if isinstance(body, fx.GraphModule):
                trace = next((n.meta["stack_trace"] for n in body.graph.nodes if n.meta.get("stack_trace")), None)
    return source_line(trace)
