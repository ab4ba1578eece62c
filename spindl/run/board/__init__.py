"""The executor "board": a SpiNNaker machine, through the unmodified SpiNNMan; spalloc lends one through its own client."""

from spindl.run.board.session import BoardSession, open_session, read_machine

__all__ = ["BoardSession", "open_session", "read_machine"]
