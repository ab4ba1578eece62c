"""Integers beside PyTorch's floating point: one step layer by layer (`step`), and whole runs (`float32`)."""

from spindl.comparison.step import CompareError, Comparison, Row, compare

__all__ = ["CompareError", "Comparison", "Row", "compare"]
