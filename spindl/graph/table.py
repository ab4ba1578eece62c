"""The op table as text: for docs/numbers.md, and as numbers and constants for the kernels' C header.

`python -m spindl.graph.table docs/numbers.md` writes the table anew between the markers of the page.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from spindl.graph import ops  # noqa: F401  (fills the table)
from spindl.graph.operations import OP_TABLE_VERSION, OPERATIONS
from spindl.graph.ops import activation, batch_norm, contraction, loss, pooling, update
from spindl.number.header import c_header

BEGIN: Final = "<!-- op table: begin (python -m spindl.graph.table docs/numbers.md) -->"
END: Final = "<!-- op table: end -->"
COMBINE_TEXT: Final = {"batch": "side by side", "sum": "sum", "max": "maximum", "whole": "never split"}


def op_numbers() -> dict[str, int]:
    """Op name -> its number in the C header: the place in alphabetical order, fixed for one OP_TABLE_VERSION."""
    return {name: number for number, name in enumerate(sorted(OPERATIONS))}


def kernel_header() -> str:
    """The C header with all op numbers and the constants of the ops."""
    constants = {
        "OP_TABLE_VERSION": OP_TABLE_VERSION,
        "ALIGNMENT": contraction.ALIGNMENT,
        "BOUNDED_LOWEST_EXPONENT": activation.BOUNDED_LOWEST_EXPONENT,
        "BATCH_NORM_FRACTION_BITS": batch_norm.FRACTION_BITS,
        "BATCH_NORM_SCALE_LIMIT": batch_norm.SCALE_LIMIT,
        "BATCH_NORM_OFFSET_LIMIT": batch_norm.OFFSET_LIMIT,
        "BATCH_NORM_LOWEST_EXPONENT": batch_norm.LOWEST_DEVIATION_EXPONENT,
        "RECIPROCAL_BITS": pooling.RECIPROCAL_BITS,
        "LOSS_MULTIPLIER_BITS": loss.MULTIPLIER_BITS,
        "LOSS_TARGET_EXPONENT": loss.TARGET_EXPONENT,
        "TERM_LIMIT": update.TERM_LIMIT,
        "OVERFLOW_THRESHOLD": update.OVERFLOW_THRESHOLD,
        "NORM_BITS": update.NORM_BITS,
    }
    return c_header(op_numbers(), constants)


def operation_table() -> str:
    """The op table in Markdown, one section for each module of `spindl/graph/ops/`, ops in the order of the source."""
    sections: dict[str, list[str]] = {}
    for entry in OPERATIONS.values():
        module = entry.meaning.__module__.rpartition(".")[2]
        signature = " ".join((entry.meaning.__doc__ or "").split())
        cells = (f"`{entry.name}`", signature, entry.formula, COMBINE_TEXT[entry.combine])
        row = "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        sections.setdefault(module, []).append(row)
    lines = []
    for module in sorted(sections):
        lines += [f"#### {module}", "", "| op | inputs -> result | meaning | parts of a batch |"]
        lines += ["|---|---|---|---|", *sections[module], ""]
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with the present table between its markers. Raises ValueError if it does not have each marker once."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page must hold each of these lines once: {BEGIN} and {END}")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{operation_table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
