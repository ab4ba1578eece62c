"""What `check` reports: one Finding for each thing in a model that cannot be trained exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spindl.errors import SpindlError


@dataclass(frozen=True)
class Finding:
    """One thing in a model that has no exact integer meaning, or (`warning`) that deserves a look.

    Attributes:
        layer: path of the module as in `named_modules()`; empty for the model itself.
        source: "file.py:123", the line of the user's code it stems from; empty if only library code is involved.
        operation: what was met, such as "gelu" or "nn.LSTM".
        reason: why it cannot be captured.
        remedy: what to write instead.
        warning: True for a note that does not stop `capture`.
    """

    layer: str
    source: str
    operation: str
    reason: str
    remedy: str
    warning: bool = False

    def __str__(self) -> str:
        place = " ".join(part for part in (self.layer or "model", f"({self.source})" if self.source else "") if part)
        label = "note: " if self.warning else ""
        return f"{label}{place}: {self.operation}: {self.reason}\n  -> {self.remedy}"


class UnsupportedModel(SpindlError):
    """A PyTorch model holds something that cannot be trained exactly.

    Attributes:
        findings: everything that was found, errors first, then notes.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(sorted(findings, key=lambda finding: finding.warning))
        errors = [finding for finding in self.findings if not finding.warning]
        listing = describe_findings(self.findings)
        count = f"{len(errors)} thing{'s' if len(errors) != 1 else ''}"
        super().__init__(f"{count} in this model cannot be trained exactly\n{listing}")


def describe_findings(findings: Sequence[Finding]) -> str:
    """A listing of findings, two lines each; says so if there are none."""
    return "\n".join(str(finding) for finding in findings) or "nothing unsupported was found"
