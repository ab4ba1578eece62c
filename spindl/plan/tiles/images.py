"""Tasks on whole images or batches: losses, moves of elements, softmax, dropout, concat, norms."""

from __future__ import annotations

from math import prod
from typing import Any

from spindl.plan.draft import Draft
from spindl.plan.errors import PlanError, TooLarge
from spindl.plan.jobs import Job
from spindl.plan.layout import Loop, element_bytes, granule, permute_loops, reshape_loops, strides
from spindl.plan.task import At, Call, Move, Regions, Task, pieces, shares, store
from spindl.plan.tiles.flat import rounding_words

CYCLES = 60


def _images_per_step(draft: Draft, image_bytes: int, unit: int, name: str) -> int:
    most = (draft.limits.tile - 256) // 2 // max(1, image_bytes) // unit * unit
    if most < unit:
        raise TooLarge(
            "an image does not fit a core", name, "use smaller layers", 2 * unit * image_bytes + 256, draft.limits.tile
        )
    return most


def loss_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Gradient, loss and hits, by images."""
    nodes = {draft.node(i).op: i for i in job.nodes}
    kind = next(op.removesuffix(tail) for op in nodes for tail in ("_loss", "_gradient") if op.endswith(tail))
    z, target = draft.node(job.nodes[0]).inputs
    shape = draft.node(z).shape
    images, features = shape[0], prod(shape[1:])
    loss, correct = nodes.get(f"{kind}_loss"), nodes.get("correct", nodes.get("binary_correct"))
    gradient = job.rounding.requantise if job.rounding is not None else None
    results = {"loss": loss, "correct": correct, "dz": gradient}
    stored = {key: draft.keep(i) for key, i in results.items() if i is not None}
    words: dict[str, int | At] = {"z_exponent": draft.exponent(z), **rounding_words(draft, job)}
    for index in job.nodes:
        for name in ("smoothing", "multiplier"):
            if name in draft.node(index).attributes:
                words[name] = int(draft.node(index).attributes[name])
    words |= {"classes" if kind == "cross_entropy" else "features": features}
    if kind != "cross_entropy":
        words.setdefault("multiplier", 0)
    if kind == "squared_error":
        del results["correct"]
    targets = "labels" if kind == "cross_entropy" else "target"
    target_bytes = 4 if kind == "cross_entropy" else 4 * features
    unit = granule(2 * features)
    most = _images_per_step(draft, 4 * features + target_bytes + 24, unit, draft.node(z).name)
    tasks = []
    for start, stop in shares(images, draft.limits.cores, unit):
        regions, calls = Regions(), []
        for turn, (first, last) in enumerate(pieces(start, stop, most)):
            side, n = turn % 2, last - first
            load_z, at_z = regions.load(f"z{side}", draft.place(z).buffer, first * 2 * features, n * 2 * features)
            load_t, at_t = regions.load(f"t{side}", draft.place(target).buffer, first * target_bytes, n * target_bytes)
            call: dict[str, int | At] = {**words, "z": at_z, targets: at_t, "images": n}
            stores = []
            for key, i in results.items():
                if i is None:
                    call[key] = 0
                    continue
                row = 2 * features if key == "dz" else 8
                call[key] = at = regions.at(f"{key}{side}", n * row + 8)
                stores.append(store(stored[key].buffer, first * row, n * row, at, images * row))
            calls.append(Call(kind, job.nodes[-1], call, (load_z, load_t), tuple(stores)))
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=(stop - start) * features * CYCLES))
    return tasks


def batch_sum_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """The sum of one number of each image."""
    index = job.nodes[0]
    source = draft.node(index).inputs[0]
    stored, images = draft.keep(index), draft.node(source).shape[0]
    regions, calls = Regions(), list[Call]()
    at_y = regions.at("y", 8)
    cuts = pieces(0, images, 512)
    for turn, (first, last) in enumerate(cuts):
        load, at_x = regions.load(f"x{turn % 2}", draft.place(source).buffer, 8 * first, 8 * (last - first))
        words: dict[str, int | At] = {
            "x": at_x,
            "y": at_y,
            "x_bytes": 8,
            "y_bytes": 8,
            "rows": last - first,
            "count": 1,
        }
        words |= {"x_pitch": 8, "first": int(turn == 0)}
        stores = (store(stored.buffer, 0, 8, at_y, 8),) if turn == len(cuts) - 1 else ()
        calls.append(Call("sum_rows", index, words, (load,), stores))
    return [Task(number, tuple(calls), regions.sizes, cost=images * 20)]


def move_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """reshape, permute, slice where elements change their order: whole images at a time."""
    index = job.nodes[0]
    node = draft.node(index)
    source = node.inputs[0]
    before, after = draft.node(source).shape, node.shape
    size = element_bytes(node.format)
    offset = 0
    if node.op == "reshape":
        if node.attributes.get("whole", False):
            raise PlanError("a parameter in another order", node.name, "run this model on the simulator")
        loops = reshape_loops((1, *before[1:]), (1, *after[1:]))
        if loops is None:
            raise PlanError("a reshape that loops cannot say", node.name, "run this model on the simulator")
    elif node.op == "permute":
        order = tuple(node.attributes["order"])
        if order[0] != 0:
            raise PlanError("a permute that moves the batch", node.name, "keep the batch as the first axis")
        loops = permute_loops((1, *before[1:]), order)
    else:
        axis: Any = node.attributes["axis"]
        from_steps, to_steps = strides((1, *before[1:])), strides((1, *after[1:]))
        if axis == 0:
            raise PlanError("a slice of the batch", node.name, "slice another axis")
        loops = [Loop(n, a, b) for n, a, b in zip((1, *after[1:]), from_steps, to_steps, strict=True) if n > 1]
        offset = int(node.attributes["start"]) * from_steps[axis] * size
    if len(loops) > 3:
        raise PlanError(f"a move of {len(loops)} loops; three are possible", node.name, "use fewer axes")
    images, in_image, out_image = after[0], prod(before[1:]) * size, prod(after[1:]) * size
    unit = granule(out_image)
    most = _images_per_step(draft, in_image + out_image + 16, unit, node.name)
    stored = draft.keep(index)
    counts = [1] * (3 - len(loops)) + [loop.count for loop in loops]
    steps = [(0, 0)] * (3 - len(loops)) + [(loop.source * size, loop.target * size) for loop in loops]
    tasks = []
    for start, stop in shares(images, draft.limits.cores, unit):
        regions, calls = Regions(), []
        for turn, (first, last) in enumerate(pieces(start, stop, most)):
            side, n = turn % 2, last - first
            load, at_x = regions.load(f"x{side}", draft.place(source).buffer, first * in_image, n * in_image)
            at_y = regions.at(f"y{side}", n * out_image + 8)
            words: dict[str, int | At] = {"x": at_x.plus(offset), "y": at_y, "bytes": size, "count_0": n}
            words |= {"x_stride_0": in_image, "y_stride_0": out_image}
            for k in range(3):
                words |= {
                    f"count_{k + 1}": counts[k],
                    f"x_stride_{k + 1}": steps[k][0],
                    f"y_stride_{k + 1}": steps[k][1],
                }
            save = store(stored.buffer, first * out_image, n * out_image, at_y, images * out_image)
            calls.append(Call("move", index, words, (load,), (save,)))
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=(stop - start) * out_image // size * 12))
    return tasks


def softmax_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Softmax along an axis, and its gradient: [outer][length][inner] of each image."""
    assert job.rounding is not None
    node, target = draft.node(job.rounding.producer), job.rounding.requantise
    axis: Any = node.attributes["axis"]
    shape = node.shape
    axis %= len(shape)
    if axis == 0:
        raise PlanError("softmax along the batch", node.name, "choose another axis")
    order = (0, *range(2, len(shape)), 1) if len(shape) >= 3 else tuple(range(len(shape)))
    place = order.index(axis)
    outer, inner = prod(shape[k] for k in order[1:place]), prod(shape[k] for k in order[place + 1 :])
    gradient = node.op == "softmax_gradient"
    names = ("dy", "y") if gradient else ("x",)
    result = "dx" if gradient else "y"
    row = 2 * prod(shape[1:])
    unit = granule(row)
    most = _images_per_step(draft, row * (len(names) + 1) + 16, unit, node.name)
    stored = draft.keep(target)
    arguments: dict[str, int | At] = {"length": shape[axis], "inner": inner, **rounding_words(draft, job)}
    arguments |= {f"{name}_exponent": draft.exponent(i) for name, i in zip(names, node.inputs, strict=True)}
    tasks = []
    for start, stop in shares(shape[0], draft.limits.cores, unit):
        regions, calls = Regions(), []
        for turn, (first, last) in enumerate(pieces(start, stop, most)):
            side, n, loads, words = turn % 2, last - first, list[Move](), dict(arguments)
            for name, i in zip(names, node.inputs, strict=True):
                move, words[name] = regions.load(f"{name}{side}", draft.place(i).buffer, first * row, n * row)
                loads.append(move)
            words[result] = at = regions.at(f"out{side}", n * row + 8)
            words["outer"] = n * outer
            save = store(stored.buffer, first * row, n * row, at, shape[0] * row)
            calls.append(Call(node.op, target, words, tuple(loads), (save,)))
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=(stop - start) * row * CYCLES))
    return tasks


def dropout_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Dropout, forward and backward, by ranges of an image's elements."""
    assert job.rounding is not None
    node, target = draft.node(job.rounding.producer), job.rounding.requantise
    x, positions, seed, step = node.inputs
    a = node.attributes
    images, elements = node.shape[0], prod(node.shape[1:])
    row = 2 * elements
    unit = granule(row)
    most = _images_per_step(draft, 2 * row + 32, unit, node.name)
    stored = draft.keep(target)
    arguments: dict[str, int | At] = {"elements": elements, "first_element": 0, "place": int(a["site"])}
    arguments |= {"threshold": int(a["threshold"]), "multiplier": int(a["multiplier"]), "x_exponent": draft.exponent(x)}
    arguments |= rounding_words(draft, job)
    tasks = []
    for start, stop in shares(images, draft.limits.cores, unit):
        regions, calls = Regions(), []
        for turn, (first, last) in enumerate(pieces(start, stop, most)):
            side, n = turn % 2, last - first
            loads, words = [], dict(arguments)
            for name, i, begin, size in (
                ("x", x, first * row, n * row),
                ("positions", positions, 4 * first, 4 * n),
                ("seed", seed, 0, 4),
                ("step", step, 0, 4),
            ):
                move, words[name] = regions.load(f"{name}{side}", draft.place(i).buffer, begin, size)
                loads.append(move)
            words |= {"images": n, "y": words["x"]}
            at = words["x"]
            assert isinstance(at, At)
            save = store(stored.buffer, first * row, n * row, at, images * row)
            calls.append(Call("dropout", target, words, tuple(loads), (save,)))
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=(stop - start) * elements * CYCLES))
    return tasks


def concat_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Parts side by side along an axis of an image, each rounded on its way."""
    assert job.rounding is not None
    node, target = draft.node(job.rounding.producer), job.rounding.requantise
    shape: tuple[int, ...] = node.shape
    axis: Any = int(node.attributes["axis"]) % len(shape)
    if axis == 0:
        raise PlanError("a concat along the batch", node.name, "choose another axis")
    order = (0, *range(2, len(shape)), 1) if len(shape) >= 3 else tuple(range(len(shape)))
    place = order.index(axis)
    outer, inner = prod(shape[k] for k in order[1:place]), prod(shape[k] for k in order[place + 1 :])
    images, row = shape[0], 2 * prod(shape[1:])
    unit = max(granule(row), *(granule(2 * prod(draft.node(i).shape[1:])) for i in node.inputs))
    most = _images_per_step(draft, 2 * row + 8 * len(node.inputs), unit, node.name)
    stored = draft.keep(target)
    rounding = rounding_words(draft, job)
    tasks = []
    for start, stop in shares(images, draft.limits.cores, unit):
        regions, calls = Regions(), []
        for turn, (first, last) in enumerate(pieces(start, stop, most)):
            side, n, at = turn % 2, last - first, regions.at(f"y{turn % 2}", (last - first) * row + 8)
            offset = 0
            for k, i in enumerate(node.inputs):
                part = 2 * prod(draft.node(i).shape[1:])
                width = draft.node(i).shape[axis] * inner
                load, at_x = regions.load(f"x{k}.{side}", draft.place(i).buffer, first * part, n * part)
                words: dict[str, int | At] = {"x": at_x, "y": at.plus(2 * offset), "x_bytes": 2, "rows": n * outer}
                words |= {"columns": width, "x_pitch": 2 * width, "y_pitch": 2 * shape[axis] * inner, **rounding}
                words |= {"x_exponent": draft.exponent(i), "wide_exponent": draft.exponent(job.rounding.producer)}
                offset += width
                end = k == len(node.inputs) - 1
                stores = (store(stored.buffer, first * row, n * row, at, images * row),) if end else ()
                calls.append(Call("requantise", target, words, (load,), stores))
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=(stop - start) * row * 15))
    return tasks
