"""Facts about SpiNNaker chips, boards and machines, as frozen data with unit and source.

Planner and emulator read the same numbers from here, so agreement between them proves the schedule, not the silicon.
"""

from spindl.machine.facts import CHIP, Fact
from spindl.machine.topology import (
    LINK_DIRECTIONS,
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
    "Fact",
    "Place",
    "Topology",
    "TopologyError",
    "mesh",
    "parse_topology",
    "spin3",
    "spin5",
    "torus",
    "triads",
]
