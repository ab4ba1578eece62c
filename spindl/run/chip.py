"""The host's side of a ChipProgram: states and inputs into a chip's memory, outputs and states out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from spindl.graph.operations import Value
from spindl.machine.topology import XY
from spindl.program import Program
from spindl.program.machine import ChipProgram, Place, RouterEntry, from_bytes, joined, to_bytes
from spindl.run.interface import RunError


def router_entries(program: Program) -> dict[XY, tuple[RouterEntry, ...]]:
    """What each router of the machine needs for all graphs of a program, by chip; chips without entries are left out.

    Raises:
        RunError: two graphs want one key to go different ways.
    """
    found: dict[XY, dict[tuple[int, int], RouterEntry]] = {}
    for parts in program.chips.values():
        for part in parts:
            for xy, entries in ((part.xy, part.entries), *part.passing.items()):
                for entry in entries:
                    known = found.setdefault(xy, {}).setdefault((entry.key, entry.mask), entry)
                    if known != entry:
                        raise RunError(f"two graphs route key {entry.key:#x} differently", f"chip {xy}", "plan again")
    return {xy: tuple(entries.values()) for xy, entries in found.items()}


def dealt_images(parts: Sequence[ChipProgram]) -> int:
    """Images that the chips of a graph share; 0: it is not dealt."""
    places = [place for part in parts for place in (*part.inputs.values(), *(p for _, p in part.staged_inputs))]
    return max((place.share[1] for place in places if place.share), default=0)


class Memory(Protocol):
    """A chip's SDRAM, addresses from the base of the program."""

    def read(self, address: int, size: int) -> bytes:
        """Some bytes."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """Changes some bytes."""
        ...


def write_contents(program: ChipProgram, memory: Memory) -> None:
    """What is written once: constants, rules, tables of windows."""
    for address, data in program.contents.items():
        memory.write(address, data)


def write_states(program: ChipProgram, memory: Memory, values: Mapping[str, Value]) -> None:
    """All states. Raises RunError if one is missing."""
    _check_given(program, values)
    for name, place in program.states.items():
        memory.write(place.address, to_bytes(values[name], place, program.site_kinds.get(name)))
        _write_exponent(program, memory, values[name], place)


def _check_given(program: ChipProgram, values: Mapping[str, Value]) -> None:
    missing = sorted(program.states.keys() - values.keys())
    if missing:
        raise RunError(f"states {', '.join(missing[:5])} were not given", "state")


def _write_exponent(program: ChipProgram, memory: Memory, value: Value, place: Place) -> None:
    if place.word is not None:
        memory.write(program.words + 4 * place.word, np.array(value.exponent, "<i4").tobytes())


def stage_states(program: ChipProgram, memory: Memory, values: Mapping[str, Value], first: bool) -> None:
    """What of a State enters through a chip, for the schedule "states", which brings it to all chips.

    Args:
        program, memory: of the chip.
        values: the whole State.
        first: it is the first of the chips, through which sites and exponents enter.

    Raises:
        RunError: a state is missing.
    """
    _check_given(program, values)
    for name, place in program.staged:
        memory.write(place.address, to_bytes(values[name], place))
    for name, place in program.states.items() if first else ():
        if place.site is not None:
            memory.write(place.address, to_bytes(values[name], place, program.site_kinds[name]))
        _write_exponent(program, memory, values[name], place)


def read_states(program: ChipProgram, memory: Memory) -> dict[str, Value]:
    """All states of a chip; shards lie in a row (`joined_states`)."""
    return _read_states(program, memory, program.states)


def read_parts(program: ChipProgram, memory: Memory, first: bool) -> dict[str, Value]:
    """What the host reads of one of several chips, so that it reads all of a State once (`joined_parts`).

    Shards come from their owners; what all chips hold comes as it has entered, an equal part from each board.
    """
    return _read_states(program, memory, _parts(program, first))


def joined_parts(parts: Sequence[Mapping[str, Value]], programs: Sequence[ChipProgram]) -> dict[str, Value]:
    """The State from what was read of all chips, the first of them first."""
    pieces: dict[str, list[tuple[Value, Place]]] = {}
    for number, (part, program) in enumerate(zip(parts, programs, strict=True)):
        for name, place in _parts(program, number == 0).items():
            pieces.setdefault(name, []).append((part[name], place))
    return {name: each[0][0] if each[0][1].shard is None else joined(each) for name, each in pieces.items()}


def _parts(program: ChipProgram, first: bool) -> dict[str, Place]:
    """Where on a chip lies what the host reads of it."""
    entered = {name: place for name, place in program.staged if program.states[name].shard is None}
    found = {}
    for name, place in program.states.items():
        if name in entered:
            found[name] = replace(entered[name], exponent=place.exponent, word=place.word)
        elif first or place.shard is not None:
            found[name] = place
    return found


def _read_states(program: ChipProgram, memory: Memory, places: Mapping[str, Place]) -> dict[str, Value]:
    result = {}
    for name, place in places.items():
        exponent = place.exponent or 0
        if place.word is not None:
            exponent = int(np.frombuffer(memory.read(program.words + 4 * place.word, 4), "<i4")[0])
        result[name] = from_bytes(memory.read(place.address, place.bytes), place, exponent)
    return result


def joined_states(parts: Sequence[Mapping[str, Value]], programs: Sequence[ChipProgram]) -> dict[str, Value]:
    """The State from those of all chips: shards put together, all else as the first chip has it."""
    result = dict(parts[0])
    for name, place in programs[0].states.items():
        if place.shard is not None:
            result[name] = joined([(part[name], p.states[name]) for part, p in zip(parts, programs, strict=True)])
    return result


def write_inputs(program: ChipProgram, memory: Memory, values: Mapping[str, Value]) -> None:
    """The inputs of a step, those included that enter through this chip for others.

    Raises RunError if one is missing.
    """
    for name, place in (*program.inputs.items(), *program.staged_inputs):
        if name not in values:
            raise RunError(f"input '{name}' was not given", "step")
        value = values[name]
        if place.share is not None:
            value = Value(np.asarray(value.mantissa)[slice(*place.share)], value.exponent)
        memory.write(place.address, to_bytes(value, place))


def joined_outputs(parts: Sequence[Mapping[str, Value]], program: ChipProgram) -> dict[str, Value]:
    """The outputs of a step from those of all chips: images side by side, all else as the first chip has it."""
    return {
        name: value
        if program.outputs[name].share is None
        else Value(np.concatenate([part[name].mantissa for part in parts]), value.exponent)
        for name, value in parts[0].items()
    }


def read_outputs(program: ChipProgram, memory: Memory) -> dict[str, Value]:
    """The outputs of a step, of this chip's images."""
    result = {}
    for name, place in program.outputs.items():
        exponent = place.exponent or 0
        if place.number is not None:
            exponent = int(np.frombuffer(memory.read(program.exponents + 2 * place.number, 2), "<i2")[0])
        result[name] = from_bytes(memory.read(place.address, place.bytes), place, exponent)
    return result
