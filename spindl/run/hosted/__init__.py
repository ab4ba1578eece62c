"""What the executors `emu` and `board` share: a machine that SC&MP runs, driven through the unmodified SpiNNMan.

host      the machine as its host sees it; the only module, with transfers, that imports SpiNNMan
loading   what lies where in a chip's SDRAM
machine   a Program loaded, steps, post-mortems
session   the contract of executors
"""

from spindl.run.hosted.session import HostedSession
from spindl.run.hosted.usage import Usage

__all__ = ["HostedSession", "Usage"]
