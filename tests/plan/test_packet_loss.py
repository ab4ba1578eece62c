"""A planned step on four emulated chips whose network loses, repeats and reorders multicast packets.

Each run starts from the same snapshot and ends with the same bits, or with a named error; none hangs.
`python -m tests.plan.test_packet_loss` prints the table of docs/streams.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest

from bench.plan import graph_of, inputs_of
from spindl.emulator import Faults, emulate
from spindl.plan import emit, machine_of, plan_step
from spindl.program.core import TILES
from spindl.program.image import load_image
from spindl.program.load import Setting
from spindl.program.machine import ChipProgram
from spindl.run import chip
from spindl.run.emu.direct import CONTROL, SDRAM, Loaded, Result, load_programs, walk_again, walk_loaded
from tests.plan.networks import case
from tests.plan.test_emulated import Bytes

CHIPS, CORES, TIME_OUT = 4, 16, 300


@dataclass(frozen=True)
class Prepared:
    """Chips before their first step, as a snapshot, and what their SDRAM holds after each of the steps."""

    loaded: Loaded
    programs: tuple[ChipProgram, ...]
    snapshot: bytes
    after: tuple[tuple[bytes, ...], ...]
    packets: int


def contents(prepared: Loaded, programs: tuple[ChipProgram, ...]) -> tuple[bytes, ...]:
    """All of the chips' data: states, statistics, outputs, whatever a step writes."""
    return tuple(prepared.machine.chip(*program.xy).read(SDRAM, program.bytes) for program in programs)


def steps_of(loaded: Loaded, count: int) -> Result:
    """Walks the same step `count` times, each on what the one before left; ends early if a core stops."""
    done = walk_loaded(loaded, 5.0)
    for sequence in range(2, count + 1):
        if not all(core.finished for cores in done.cores.values() for core in cores):
            break
        done = walk_again(loaded, sequence, 5.0)
    return done


@cache
def prepared(name: str, steps: int) -> Prepared:
    if name == "lenet5":
        graph, state = graph_of(name, 8)
        inputs = inputs_of(graph, 8)
    else:
        c = case(name, steps=1)
        graph, state, inputs = c.graph, c.state, c.inputs[0]
    image = load_image()
    machine = machine_of("spin3", CHIPS, CORES, TILES, 64 << 20)
    programs = tuple(emit(plan_step(graph, machine, number), image.version) for number in range(CHIPS))
    memories = [Bytes(program.bytes) for program in programs]
    for program, memory in zip(programs, memories, strict=True):
        chip.write_contents(program, memory)
        chip.write_states(program, memory, state)
        chip.write_inputs(program, memory, inputs)
    setting = Setting(((SDRAM, CONTROL, True),), CHIPS, TIME_OUT, step_counters=False)
    bare = emulate("spin3", connected=False)
    loaded = load_programs(image, programs, [bytes(memory.data) for memory in memories], setting, bare)
    snapshot = bare.snapshot()
    after = []
    for count in range(1, steps + 1):
        bare.restore(snapshot)
        steps_of(loaded, count).check()
        after.append(contents(loaded, programs))
    packets = sum(int(bare.chip(*program.xy).counters["packets"]) for program in programs)
    return Prepared(loaded, programs, snapshot, tuple(after), packets)


@dataclass(frozen=True)
class Outcome:
    """Of one run: "same bits" or the name of the error; packets lost, repeated, reordered; sent again by the cores."""

    end: str
    lost: int
    disturbed: int
    repeated: int
    seconds: float


def outcome(p: Prepared, faults: Faults) -> Outcome:
    """One run. Raises AssertionError if it hangs or ends with other bits: neither may happen."""
    machine = p.loaded.machine
    machine.restore(p.snapshot)
    machine.set_rates(faults)
    done = steps_of(p.loaded, len(p.after))
    machine.set_rates(Faults())
    cores = [core for each in done.cores.values() for core in each]
    links = [each for program in p.programs for each in machine.chip(*program.xy).counters["links"]]
    moved = [each for program in p.programs for each in machine.chip(*program.xy).counters["links_disturbed"]]
    lost, disturbed = sum(link[1] for link in links), sum(map(sum, moved))
    again = sum(core.counters["packets_repeated"] for core in cores)
    errors = [core.error for core in cores if core.error is not None]
    if errors:
        return Outcome(errors[0].name, lost, disturbed, again, done.seconds)
    assert all(core.finished for core in cores), f"{faults}: cores hang"
    assert contents(p.loaded, p.programs) == p.after[-1], f"{faults}: other bits"
    return Outcome("same bits", lost, disturbed, again, done.seconds)


def rates(rate: float, seed: int, mixed: bool) -> Faults:
    """Losses alone, or losses, repeats and reorderings, each at the rate."""
    other = rate if mixed else 0.0
    return Faults(seed=seed, multicast_loss=rate, multicast_repeat=other, multicast_reorder=other)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_small_step_survives(mixed: bool) -> None:
    p = prepared("dense", 3)
    found = outcome(p, rates(0.01, 1, mixed))
    assert found.end == "same bits"
    assert found.lost > 0 and found.repeated > 0
    assert (found.disturbed > 0) == mixed


@pytest.mark.slow
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("rate", [1e-5, 1e-3])
def test_lenet_survives(rate: float, mixed: bool) -> None:
    p = prepared("lenet5", 1)
    ends = [outcome(p, rates(rate, seed, mixed)).end for seed in range(25)]
    assert sum(end == "same bits" for end in ends) >= 0.95 * len(ends), ends
    assert set(ends) <= {"same bits", "RECEIVE_TIME_OUT", "ACKNOWLEDGE_TIME_OUT", "MACHINE_TIME_OUT"}


def table(seeds: int, steps: int) -> None:
    """All runs of LeNet-5, a line for each rate and kind."""
    p = prepared("lenet5", steps)
    print(f"{p.packets:,} packets routed in {steps} steps without faults")
    for mixed in (False, True):
        for rate in (1e-5, 1e-3):
            found = [outcome(p, rates(rate, seed, mixed)) for seed in range(seeds)]
            same = sum(each.end == "same bits" for each in found)
            others = sorted({each.end for each in found} - {"same bits"})
            kinds = "lost, repeated, reordered" if mixed else "lost"
            print(
                f"| {kinds} | {rate:g} | {seeds} | {same} | {', '.join(others) or 'none'} | "
                f"{sum(each.lost for each in found)} | {sum(each.disturbed for each in found)} | "
                f"{sum(each.repeated for each in found)} |",
                flush=True,
            )


if __name__ == "__main__":
    table(25, 1)
