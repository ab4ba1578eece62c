"""`spindl check`."""

from __future__ import annotations

from spindl.cli.output import output
from spindl.cli.recipe import build_data
from spindl.cli.settings import SettingsError, merged
from spindl.errors import SpindlError
from spindl.infer.evaluation import evaluation_graphs
from spindl.model import capture, check, load_model, load_weights
from spindl.train import Formats, Loss, ParameterGroup, read_loss, training_graph


def parse_shape(text: str) -> tuple[int, ...]:
    """ "3,224,224" -> (3, 224, 224). Raises SettingsError."""
    try:
        shape = tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise SettingsError(f"input shape '{text}'", "command line", "give numbers such as 3,224,224")
    return shape


def run(
    model: str,
    data: str | None,
    input_shape: str | None,
    weights: str | None,
    loss: str,
    inference: bool,
    image_size: int | None,
    data_root: str | None,
) -> int:
    """Print all findings; the exit status."""
    console = output()
    shape = parse_shape(input_shape) if input_shape else None
    classes = None
    if data is not None:
        settings = merged({}, {"model": model, "data": data, "image_size": image_size, "data_root": data_root})
        dataset = build_data(settings, "train")
        shape, classes = dataset.image_shape, len(dataset.classes)
    if ":" in model:  # the user's function decides for itself
        module, own_shape = load_model(model)
        shape = shape or own_shape
    else:
        module, shape = load_model(model, classes=classes, input_shape=shape)
    if shape is None:
        raise SettingsError("the model does not say what it takes", "command line", "give --input-shape or --data")
    if weights:
        load_weights(module, weights)
    findings = check(module, shape, training=not inference)
    for finding in findings:
        console.print(str(finding), markup=False, highlight=False, soft_wrap=True)
    count = sum(not finding.warning for finding in findings)
    problem = _transform(module, shape, read_loss(loss), inference) if count == 0 else None
    if problem is not None:
        console.print(str(problem), markup=False, highlight=False, soft_wrap=True)
        count += 1
    if count:
        console.print(f"{count} thing{'s' if count > 1 else ''} to change in {model}", markup=False, highlight=False)
        return 1
    size = sum(p.numel() for p in module.parameters())
    verb = "run" if inference else "trained"
    console.print(
        f"{model}: everything can be {verb} exactly ({size:,} parameters, input {list(shape)})",
        markup=False,
        highlight=False,
    )
    return 0


def _transform(module: object, shape: tuple[int, ...], loss: Loss, inference: bool) -> SpindlError | None:
    """What the training transform has against a model that was captured."""
    try:
        forward = capture(module, shape, training=not inference)  # type: ignore[arg-type]
        normalisation = ((0.5,) * shape[0], (0.5,) * shape[0]) if len(shape) == 3 else None
        if inference:
            evaluation_graphs(forward, None, Formats(), 2, 2, normalisation)
        else:
            keys = tuple(str(n.attributes["name"]) for n in forward.nodes if n.op == "parameter")
            training_graph(forward, loss, (ParameterGroup("sgd", keys),), Formats(), 2, normalisation)
    except SpindlError as error:
        return error
    return None
