"""What can go wrong in the harness."""

from __future__ import annotations

from collections.abc import Sequence

from spindl.errors import SpindlError


class MlperfError(SpindlError):
    """The harness cannot go on: a library is missing, or a folder holds something else."""


class RuleError(MlperfError):
    """The run would break rules of the benchmark.

    Attributes:
        broken: one line for each broken rule: its name, the value, the rule and its source.
    """

    def __init__(self, broken: Sequence[str], remedy: str) -> None:
        self.broken = tuple(broken)
        count = "a rule" if len(broken) == 1 else f"{len(broken)} rules"
        super().__init__(f"the run would break {count}:\n  " + "\n  ".join(broken), "MLPerf v4.0", remedy)
