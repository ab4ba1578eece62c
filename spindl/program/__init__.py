"""Program and State: what is run, and what it is run on; each a file with a version and a hash."""

from spindl.program.checkpoint import CheckpointFolder, load_state, save_state
from spindl.program.errors import ProgramError, RunFolderError, StateError
from spindl.program.program import FORMAT_VERSION, Program, diff, load_program, save_program, spindl_version
from spindl.program.state import Progress, State, Tally, check_state

__all__ = [
    "FORMAT_VERSION",
    "CheckpointFolder",
    "Program",
    "ProgramError",
    "Progress",
    "RunFolderError",
    "State",
    "StateError",
    "Tally",
    "check_state",
    "diff",
    "load_program",
    "load_state",
    "save_program",
    "save_state",
    "spindl_version",
]
