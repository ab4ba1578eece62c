"""An instruction-level SpiNNaker machine on the loopback interface: runs the unmodified SC&MP monitor.

with spindl.emulator.emulate("spin3") as machine:
    print(machine.hosts)        # give one to SpiNNMan as the machine's name
"""

from spindl.emulator.errors import EmulatorError, ImageMissing, PortTaken
from spindl.emulator.gdb import GdbServer
from spindl.emulator.machine import Machine, emulate
from spindl.emulator.records import Faults, Report, Strictness
from spindl.emulator.symbols import Symbols
from spindl.emulator.views import ChipView, CoreView

__all__ = [
    "ChipView",
    "CoreView",
    "EmulatorError",
    "Faults",
    "GdbServer",
    "ImageMissing",
    "Machine",
    "PortTaken",
    "Report",
    "Strictness",
    "Symbols",
    "emulate",
]
