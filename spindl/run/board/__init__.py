"""The executor "board": a SpiNNaker machine, through the unmodified SpiNNMan and its client of spalloc."""

from spindl.run.board.session import BoardSession, open_session, read_machine, stop_programs

__all__ = ["BoardSession", "open_session", "read_machine", "stop_programs"]
