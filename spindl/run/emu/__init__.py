"""The executor "emu": the instruction-level emulator, which runs the unmodified SC&MP."""

from spindl.run.emu.session import EmulatedSession, open_session

__all__ = ["EmulatedSession", "open_session"]
