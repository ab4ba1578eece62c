"""Facts about SpiNNaker chips, boards and machines, as frozen data with unit and source.

Planner and emulator read the same numbers from here, so agreement between them proves the schedule, not the silicon.
"""

from spindl.machine.facts import CHIP, Fact
from spindl.machine.file import Dead, MachineFile, MachineFileError, dead_parts, load_machine, save_machine
from spindl.machine.name import MachineName, model_topology, parse_machine
from spindl.machine.topology import (
    LINK_DIRECTIONS,
    LINK_NAMES,
    Place,
    Topology,
    TopologyError,
    mesh,
    parse_topology,
    spin3,
    spin5,
    torus,
    triads,
)

__all__ = [
    "CHIP",
    "LINK_DIRECTIONS",
    "LINK_NAMES",
    "Dead",
    "Fact",
    "MachineFile",
    "MachineFileError",
    "MachineName",
    "Place",
    "Topology",
    "TopologyError",
    "dead_parts",
    "load_machine",
    "mesh",
    "model_topology",
    "parse_machine",
    "parse_topology",
    "save_machine",
    "spin3",
    "spin5",
    "torus",
    "triads",
]
