"""Plan: the hand-over type between planner and program: what each core of a chip does, and where everything lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from spindl.graph.graph import Graph
from spindl.plan.deal import Placed
from spindl.plan.deliver import Staged
from spindl.plan.draft import Buffer, Rule
from spindl.plan.machine import Machine
from spindl.plan.memory import Life

PLAN_VERSION = 3
_WHOLE: Mapping[int, tuple[int, int]] = MappingProxyType({})


@dataclass(frozen=True)
class Phase:
    """What lies between two barriers: its tasks by core, the nodes that they compute."""

    name: str
    cores: tuple[tuple[Placed, ...], ...]


@dataclass(frozen=True)
class Plan:
    """One step on one chip.

    Attributes:
        graph: the training (or evaluation) graph.
        machine: what it is made for.
        chip: number of the chip.
        phases: in order, with a barrier between them.
        buffers, addresses, lives: SDRAM: size and content, offset, phases of use, of every buffer by name.
        bytes: of SDRAM in all.
        fixed: DTCM addresses of the regions that each core keeps.
        homes: the node under whose name each node's value lies.
        places: buffer of each value that lies in memory, by node.
        exponents: number of each value in the exponent table that the host may ask for, by node.
        sites: number of each site, by its state node.
        words: number of each state's word of exponent, by its node.
        rules: how the exponent table is filled.
        deliveries: the phase that brings a State from each board's entrance to all chips; none for one chip, or where
            entrances have no room for the others' shards.
        staged: where on the entrances the host leaves a State for it, and other chips' pictures for a step.
        shards: states of which this chip has some elements only: (first, behind the last), by node.
    """

    graph: Graph
    machine: Machine
    chip: int
    phases: tuple[Phase, ...]
    buffers: Mapping[str, Buffer]
    addresses: Mapping[str, int]
    lives: Mapping[str, Life]
    bytes: int
    fixed: Mapping[str, int]
    homes: Mapping[int, int]
    places: Mapping[int, str]
    exponents: Mapping[int, int]
    sites: Mapping[int, int]
    words: Mapping[int, int]
    rules: tuple[Rule, ...]
    shards: Mapping[int, tuple[int, int]] = field(default_factory=lambda: _WHOLE)
    deliveries: tuple[Phase, ...] = ()
    staged: tuple[Staged, ...] = ()


__all__ = ["PLAN_VERSION", "Machine", "Phase", "Plan"]
