"""The executor on the instruction-level emulator."""
