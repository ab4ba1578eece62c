"""Plan -> ChipProgram: tables of numbers for the walker, and the map of what the host writes and reads."""

from __future__ import annotations

from collections.abc import Sequence

from spindl.graph.graph import Graph
from spindl.graph.operations import is_batched
from spindl.number.sites import LOWEST_EXPONENT
from spindl.plan import ends
from spindl.plan.deal import Placed
from spindl.plan.network import machine_entries
from spindl.plan.plan import Phase, Plan
from spindl.plan.task import At, Call, Move
from spindl.plan.trees import SITE_BYTES
from spindl.program.kernels import KERNELS
from spindl.program.kernels.reductions import SITE_STATE
from spindl.program.machine import ChipProgram, Place, SiteKind
from spindl.program.schedule import Schedule, Step, Tables, Transfer


def emit(plan: Plan, image: int) -> ChipProgram:
    """The program of a plan for an image (the first 32 bits of its SHA-256)."""
    tables = Tables(
        plan.machine.cores,
        plan.fixed[ends.EXPONENT_TABLE.region],
        plan.fixed[ends.SITE_TABLE.region],
        len(plan.rules),
        len(plan.sites),
    )
    cores = range(plan.machine.cores)
    steps = [_core_steps(plan, plan.phases, core) for core in cores]
    schedules = {
        "all": tuple(Schedule(tuple(each), image, tables) for each in steps),
        "sites": tuple(Schedule(tuple(_without_updates(plan, each)), image, tables) for each in steps),
    }
    if plan.deliveries:
        to_all = [_core_steps(plan, plan.deliveries, core) for core in cores]
        schedules["states"] = tuple(Schedule(tuple(each), image, tables) for each in to_all)
    contents = {
        plan.addresses[name]: buffer.content
        for name, buffer in plan.buffers.items()
        if buffer.content is not None and name in plan.addresses
    }
    inputs, states = _leaves(plan)
    entries = machine_entries(plan.machine)
    xy = plan.machine.used[plan.chip]
    passing = {other: each for other, each in entries.items() if other not in plan.machine.used}
    return ChipProgram(
        schedules,
        contents,
        inputs,
        states,
        _outputs(plan),
        site_kinds(plan.graph),
        plan.addresses[ends.STATE_WORDS],
        plan.addresses[ends.EXPONENTS],
        plan.bytes,
        xy,
        entries.get(xy, ()),
        passing if plan.chip == 0 else {},
        *_staged(plan),
    )


def _staged(plan: Plan) -> tuple[tuple[tuple[str, Place], ...], tuple[tuple[str, Place], ...]]:
    """Where on this chip the host leaves a State for the schedule "states", and other chips' inputs, by name.

    Sites, and the exponents of all states, enter through the first chip.
    """
    states, inputs = [], []
    for each in plan.staged:
        if each.entrance != plan.chip:
            continue
        node = plan.graph.nodes[each.node]
        name, address = str(node.attributes["name"]), plan.addresses[each.buffer] + each.offset
        if node.op == "state":
            states.append((name, Place(address, node.format, node.shape, 0, shard=each.part)))
        else:
            assert each.chip is not None
            share = _share(each.chip, node.shape)
            inputs.append((name, Place(address, node.format, node.shape, 0, share=share)))
    return tuple(states), tuple(inputs)


def _core_steps(plan: Plan, phases: Sequence[Phase], core: int) -> list[Step]:
    steps: list[Step] = []
    for number, phase in enumerate(phases):
        calls = [(placed, call) for placed in phase.cores[core] for call in placed.task.calls]
        if not calls:
            steps.append(Step(0, 0, barrier_before=number > 0))
            continue
        for place, (placed, call) in enumerate(calls):
            ordered = placed.ordered and call is placed.task.calls[0]
            steps.append(_step(plan, placed, call, number > 0 and place == 0, ordered))
    return steps


def _step(plan: Plan, placed: Placed, call: Call, barrier: bool, ordered: bool) -> Step:
    kernel = KERNELS[call.kernel] if call.kernel else None
    words: tuple[int, ...] = ()
    if kernel is not None:
        signed = {field.name for field in kernel.arguments if field.code == "i"}
        values = {name: _number(placed, value, name in signed) for name, value in call.arguments.items()}
        words = kernel.words(values)
    return Step(
        kernel.number if kernel is not None else 0,
        call.node,
        tuple(_transfer(plan, placed, move) for move in call.loads),
        tuple(_transfer(plan, placed, move) for move in call.stores),
        words,
        barrier_before=barrier,
        ordered=ordered,
        condition=None if call.condition is None else _address(placed, call.condition),
    )


def _address(placed: Placed, at: At) -> int:
    return placed.addresses[at.region] + at.offset


def _number(placed: Placed, value: int | At, signed: bool) -> int:
    number = _address(placed, value) if isinstance(value, At) else value
    return number if signed or number >= 0 else number & 0xFFFFFFFF


def _transfer(plan: Plan, placed: Placed, move: Move) -> Transfer:
    return Transfer(
        plan.addresses[move.buffer] + move.offset,
        _address(placed, move.at),
        move.bytes,
        move.rows,
        move.buffer_pitch,
        move.region_pitch,
    )


def _without_updates(plan: Plan, steps: list[Step]) -> list[Step]:
    """The same steps without the stores that change states other than sites."""
    spans = [
        (plan.addresses[name], plan.addresses[name] + buffer.size)
        for name, buffer in plan.buffers.items()
        if buffer.kept and name != ends.STATES and name in plan.addresses
    ]

    def stays(transfer: Transfer) -> bool:
        return not any(start <= transfer.sdram < end for start, end in spans)

    return [Step(**{**step.__dict__, "stores": tuple(t for t in step.stores if stays(t))}) for step in steps]


def site_kinds(graph: Graph) -> dict[str, SiteKind]:
    """What each site's record holds beside its exponent and history."""
    kinds = {}
    for node in graph.nodes:
        if node.op == "state" and node.format.kind == "site":
            kinds[str(node.attributes["name"])] = SiteKind(16, 0, LOWEST_EXPONENT)
    for node in graph.nodes:
        if node.op == "next_site":
            a = node.attributes
            name = str(graph.nodes[node.inputs[0]].attributes["name"])
            kinds[name] = SiteKind(int(a["bits"]), int(a["headroom"]), int(a["lowest"]))
    return kinds


def _leaves(plan: Plan) -> tuple[dict[str, Place], dict[str, Place]]:
    inputs, states = {}, {}
    for index, node in enumerate(plan.graph.nodes):
        name = str(node.attributes.get("name"))
        if node.op == "input":
            if any((each.node, each.chip) == (index, plan.chip) for each in plan.staged):
                continue  # another chip brings it
            share = _share(plan.chip, node.shape) if node.attributes.get("batched", False) else None
            inputs[name] = Place(plan.addresses[plan.places[index]], node.format, node.shape, 0, share=share)
        elif node.op == "state" and node.format.kind == "site":
            number = plan.sites[index]
            address = plan.addresses[ends.STATES] + number * SITE_STATE.layout.size
            states[name] = Place(address, node.format, node.shape, site=number)
        elif node.op == "state":
            word = plan.words.get(index)
            exponent = 0 if word is None else None
            address, shard = plan.addresses[plan.places[index]], plan.shards.get(index)
            states[name] = Place(address, node.format, node.shape, exponent, word=word, shard=shard)
    return inputs, states


def _share(chip: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """The images of the batch that are a chip's, from the shape of a value that has them."""
    return chip * shape[0], (chip + 1) * shape[0]


def _outputs(plan: Plan) -> dict[str, Place]:
    result, batched = {}, is_batched(plan.graph)
    for name, index in plan.graph.outputs.items():
        node = plan.graph.nodes[index]
        if node.op in ("extent", "saturation"):
            wide = node.inputs[0]
            users = [
                n for n in plan.graph.nodes if n.op == "next_site" and plan.graph.nodes[n.inputs[1]].inputs == (wide,)
            ]
            site = node.inputs[1] if node.op == "saturation" else users[0].inputs[0]
            number = plan.sites[site]
            offset, storage = (2, "<i2") if node.op == "extent" else (4, "<u4")
            address = plan.addresses[ends.MERGED] + SITE_BYTES * number + offset
            result[name] = Place(address, node.format, (), 0, site=number, storage=storage)
        else:
            address, number = plan.addresses[plan.places[plan.homes[index]]], plan.exponents[index]
            share = _share(plan.chip, node.shape) if batched[index] else None
            result[name] = Place(address, node.format, node.shape, number=number, share=share)
    return result
