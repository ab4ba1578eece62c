"""The executor "sim": exact integer tensors in torch and native kernels, bit-equal to the interpreter."""

from spindl.run.sim.session import SimulatorSession, open_session
from spindl.run.sim.simulator import Simulator

__all__ = ["Simulator", "SimulatorSession", "open_session"]
