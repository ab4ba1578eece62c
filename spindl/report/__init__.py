"""Reports: one self-contained page per run, and a Perfetto trace of a step. It reads; it never runs anything."""
