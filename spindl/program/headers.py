"""Writes the C headers that the program of the cores shares with Python.

python -m spindl.program.headers kernels/include/generated
"""

from __future__ import annotations

import sys
from pathlib import Path

from spindl.graph.table import kernel_header
from spindl.program import core, kernels, schedule
from spindl.program.kernels import tables
from spindl.program.kernels.reductions import EXPONENT_RULE, EXPONENT_RULES, EXPONENT_TARGET_STATE, SITE_STATE


def headers() -> dict[str, str]:
    """File name -> text of every generated header."""
    return {
        "spindl_numbers.h": kernel_header(),
        "spindl_core.h": core.c_header(),
        "spindl_tables.h": tables.c_header(),
        "spindl_schedule.h": schedule.c_header(),
        "spindl_kernels.h": kernels.c_header(
            tuple(kernels.KERNELS.values()),
            (SITE_STATE, EXPONENT_RULE),
            {f"EXPONENT_{name.upper()}": rule for name, rule in EXPONENT_RULES.items()}
            | {"EXPONENT_TARGET_STATE": EXPONENT_TARGET_STATE},
        ),
    }


def main(folder: Path) -> None:
    """Write the headers whose text changed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in headers().items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
