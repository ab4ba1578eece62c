"""What a machine of boards does with a network: images/s, where the time goes, memory and energy of a chip. Modelled.

One chip's plan stands for all: every chip runs the same tasks on its own image. The slowest class of boards sets
the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from spindl.graph.graph import Graph
from spindl.machine import CHIP
from spindl.machine.energy import POWER
from spindl.plan.cost import PhaseCost, forecasts
from spindl.plan.machine import machine_of
from spindl.plan.scale.chip import ChipPlan, plan_chip
from spindl.plan.scale.machines import Boards
from spindl.plan.scale.network import (
    CHIPS_PER_BOARD,
    Links,
    board_ring,
    gather_seconds,
    links,
    reduce_seconds,
    tree_seconds,
)
from spindl.plan.scale.timeline import Block, Exchange, Line, follow
from spindl.program.kernels import KERNELS
from spindl.program.schedule import STEP, TRANSFER

SDRAM_OF_USERS = 123_469_792
"""Bytes of a chip's SDRAM that SpiNNTools hand out (SpiNNMachine 7.4.1)."""
COMPUTE_CORES, COMMUNICATION_CORES = 13, 3
MAC_KERNELS = ("convolution", "convolution_input_gradient", "convolution_weight_gradient")
UPDATE_CYCLES = 100
"""Of an owner's core for a parameter: sum, direction, momentum, step, narrowing (kernels `update`, `narrow`)."""
BUFFERS = 400 << 10
"""Bytes of two images of 150,528 bytes, labels, results and blocks of streams."""
PIECE = 1 << 16
"""Parameters that cross the network in one go; between pieces what is more urgent comes first."""
TOLERANCE = 0.10
"""Of the kernels' predicted cycles, against the emulator."""


@dataclass(frozen=True)
class Constants:
    """The weak numbers: bytes/s of SDRAM, seconds of a link's symbol and of a hop, factor on kernels' cycles."""

    sdram: float = CHIP.sdram_bandwidth.value
    symbol: float = CHIP.symbol_time.value
    hop: float = CHIP.hop_latency.value
    kernels: float = 1.0


MIDDLE = Constants()
SLOW = Constants(CHIP.sdram_bandwidth.low, CHIP.symbol_time.high, CHIP.hop_latency.high, 1 + TOLERANCE)
FAST = Constants(CHIP.sdram_bandwidth.high, CHIP.symbol_time.low, CHIP.hop_latency.low, 1 - TOLERANCE)


@dataclass(frozen=True)
class Chip:
    """One chip's plan and its costs at some constants.

    Attributes:
        planned: the plan.
        costs: of its phases, at each of the constants.
        macs: multiply-accumulates of an image.
        mac_cycles: of kernels, over all cores.
        table_bytes: of the schedules of all cores.
    """

    planned: ChipPlan
    costs: Mapping[Constants, tuple[PhaseCost, ...]]
    macs: int
    mac_cycles: int
    table_bytes: int


@dataclass(frozen=True)
class Prediction:
    """Modelled figures of one machine at one choice of constants; seconds, bytes, joules.

    Attributes:
        chips: that work, and images of a step.
        line: the time line.
        compute, statistics: of the step: phases of a chip; exchanges of statistics.
        images_per_second: of the whole machine.
        mac_share: of the compute cores' cycles of the step in MAC kernels, waits included.
        to_infinite: step time over that with an infinitely fast network.
        memory: bytes of a chip by what they are.
        joules: of an image by what draws them.
    """

    chips: int
    line: Line
    compute: float
    statistics: float
    images_per_second: float
    mac_share: float
    to_infinite: float
    memory: Mapping[str, int]
    joules: Mapping[str, float]


def chip_of(graph: Graph, constants: tuple[Constants, ...] = (MIDDLE, SLOW, FAST), cores: int = COMPUTE_CORES) -> Chip:
    """Plans one chip of many for a graph of one image. Raises PlanError, TooLarge."""
    planned = plan_chip(graph, machine_of("spin5", 1, cores, sdram=SDRAM_OF_USERS))
    foreseen = forecasts(planned.plan, [(c.sdram, c.kernels) for c in constants])
    costs = {c: each.phases for c, each in zip(constants, foreseen, strict=True)}
    cycles, tables = 0, 0
    nodes = _mac_nodes(planned)
    for phase in costs[constants[0]]:
        cycles += sum(value for node, value in phase.nodes.items() if node in nodes)
    for phase_ in planned.plan.phases:
        for placed in (each for core in phase_.cores for each in core):
            for call in placed.task.calls:
                words = len(KERNELS[call.kernel].arguments) if call.kernel else 0
                tables += STEP.layout.size + TRANSFER.layout.size * (len(call.loads) + len(call.stores)) + 4 * words
    return Chip(planned, costs, _macs(planned), cycles, tables)


def _mac_nodes(planned: ChipPlan) -> set[int]:
    jobs = (job for jobs in planned.phase_jobs for job in jobs if job.rounding is not None)
    found = set()
    for job in jobs:
        r = job.rounding
        assert r is not None
        if planned.plan.graph.nodes[r.producer].op in MAC_KERNELS:
            found.add(r.summed if r.summed is not None else r.requantise)
    return found


def _macs(planned: ChipPlan) -> int:
    nodes, total = planned.plan.graph.nodes, 0
    for job in (job for jobs in planned.phase_jobs for job in jobs if job.rounding is not None):
        assert job.rounding is not None
        node = nodes[job.rounding.producer]
        if node.op in MAC_KERNELS:
            y = node.shape if node.op == "convolution" else nodes[node.inputs[0]].shape
            weights = node.attributes["weight_shape"] if node.op == MAC_KERNELS[2] else nodes[node.inputs[1]].shape
            total += prod(y[2:]) * prod(weights)
    return total


def predict(chip: Chip, machine: Boards, constants: Constants = MIDDLE) -> Prediction:
    """The prediction for a machine.

    Raises:
        PlanError: a board has no ring through its working chips.
    """
    for dead in machine.classes:
        board_ring(dead)
    net = links(COMMUNICATION_CORES, constants.symbol, constants.hop)
    on_board, boards, clock = machine.smallest, machine.boards, CHIP.clock.value
    seconds = [cost.cycles / clock for cost in chip.costs[constants]]
    exchanges = [
        Exchange(phase, needed, tree_seconds(words, on_board, boards, net)) for phase, needed, words in _exchanged(chip)
    ]
    blocks = _blocks(chip, on_board, boards, net, machine.chips)
    line = follow(seconds, blocks, exchanges)
    ideal = follow(seconds, [Block(b.ready, b.needed, 0.0, 0.0, b.update) for b in blocks])
    cores = chip.planned.plan.machine.cores
    share = chip.mac_cycles * constants.kernels / (cores * clock * line.step)
    return Prediction(
        machine.chips,
        line,
        sum(seconds),
        line.statistics,
        machine.chips / line.step,
        share,
        line.step / ideal.step,
        _memory(chip, machine),
        _joules(chip, machine, line, net),
    )


def _exchanged(chip: Chip) -> list[tuple[int, int, int]]:
    """Of sums that a phase waits for: the phase that makes them, the first one that needs them, their words."""
    nodes, phases = chip.planned.plan.graph.nodes, chip.planned.phase_jobs
    result = []
    for phase, jobs in enumerate(phases):
        made = {i for job in jobs for each in (*job.first, job) if each.kind == "sums" for i in each.nodes}
        readers = (k for k in range(phase + 1, len(phases)) if any(made & {*job.reads} for job in phases[k]))
        needed = next(readers, None)
        if needed is not None:
            result.append((phase, needed, sum(2 * nodes[i].shape[-1] for i in made)))
    return result


def _blocks(chip: Chip, on_board: int, boards: int, net: Links, chips: int) -> list[Block]:
    plan, result = chip.planned.plan, []
    first_use: dict[str, int] = {}
    for number, phase in enumerate(plan.phases):
        for placed in (each for core in phase.cores for each in core):
            for call in placed.task.calls:
                for move in call.loads:
                    first_use.setdefault(move.buffer, number)
    for index, (phase_, size) in chip.planned.gradients.items():
        words = size // 2
        update = words / chips * UPDATE_CYCLES / plan.machine.cores / CHIP.clock.value
        pieces, needed = -(-words // PIECE), first_use[plan.places[index]]
        reduce, gather = reduce_seconds(words, on_board, boards, net), gather_seconds(words, on_board, boards, net)
        result += [Block(phase_, needed, reduce / pieces, gather / pieces, update / pieces)] * pieces
    return result


def _memory(chip: Chip, machine: Boards) -> dict[str, int]:
    """The map of a chip of the board with the fewest."""
    plan = chip.planned.plan
    weights = sum(size for _, size in chip.planned.gradients.values())
    parameters = weights // 2
    return {
        "weights, then gradients (int16)": weights,
        "activations and their gradients": plan.bytes - weights,
        "shard: master weights and momentum": 8 * parameters // (machine.smallest * machine.boards),
        "sums on their way to other boards": 4 * parameters // machine.smallest if machine.boards > 1 else 0,
        "schedule tables of all cores": chip.table_bytes,
        "streams, images, results": BUFFERS,
    }


def _joules(chip: Chip, machine: Boards, line: Line, net: Links) -> dict[str, float]:
    """Of one image."""
    boards, cores = machine.boards, chip.planned.plan.machine.cores + net.cores
    words = 1.5 * sum(size // 2 for _, size in chip.planned.gradients.values())
    moved = sum(cost.read + cost.written for cost in chip.costs[MIDDLE])
    around = POWER.box.value * boards if boards < 24 else POWER.frame.value * boards / 24
    step = {
        "boards, idle": POWER.board5.value * boards * line.step,
        "cores": POWER.core.value * cores * machine.chips * line.step,
        "power supply, switch, fans": around * line.step,
        "packets": POWER.packet.value * words * machine.chips,
        "SDRAM": POWER.sdram.value * moved * machine.chips,
    }
    return {name: joules / machine.chips for name, joules in step.items()}


__all__ = ["CHIPS_PER_BOARD", "FAST", "MIDDLE", "SLOW", "Chip", "Constants", "Prediction", "chip_of", "predict"]
