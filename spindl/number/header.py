"""The C header of the arithmetic: what the kernels of the cores share with the Python that defines them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from spindl.number import sites
from spindl.number.pairs import MANTISSA_BITS
from spindl.number.tables import LARGEST_POWER_Q16, LN_2_Q16, LOG2_E_Q24, log_table, power_table

HEADER_VERSION: Final = 1
"""Raised whenever a name or a meaning in the header changes."""
COLUMNS: Final = 8


def number_constants() -> dict[str, int]:
    """The constants of this room by the names they have in C (without the prefix)."""
    return {
        "HEADER_VERSION": HEADER_VERSION,
        "SITE_HISTORY": sites.HISTORY,
        "SITE_EMPTY": sites.EMPTY,
        "SITE_FIRST_EXPONENT": sites.FIRST_EXPONENT,
        "SITE_ZERO_STEP": sites.ZERO_STEP,
        "SITE_LOWEST_EXPONENT": sites.LOWEST_EXPONENT,
        "SITE_HIGHEST_EXPONENT": sites.HIGHEST_EXPONENT,
        "PAIR_MANTISSA_BITS": MANTISSA_BITS,
        "LOG2_E_Q24": LOG2_E_Q24,
        "LN_2_Q16": LN_2_Q16,
        "LARGEST_POWER_Q16": LARGEST_POWER_Q16,
        "TABLE_ENTRIES": len(power_table()),
    }


def c_header(operations: Mapping[str, int], constants: Mapping[str, int]) -> str:
    """The text of `spindl_numbers.h`.

    Args:
        operations: op name -> its number.
        constants: further constants by name, upper case; those that do not fit 32 bits get the suffix LL.

    Returns:
        C99 text: constants as macros, the ops as an enum, the tables of 2^-f (Q30) and log2 (Q16) as static arrays.

    Raises:
        ValueError: two constants share a name.
    """
    own = number_constants()
    twice = own.keys() & constants.keys()
    if twice:
        raise ValueError(f"constants with two values: {sorted(twice)}")
    macros = [f"#define SPINDL_{name} {_literal(value)}" for name, value in {**own, **constants}.items()]
    numbers = [f"    SPINDL_OP_{name.upper()} = {number}," for name, number in operations.items()]
    return "\n".join(
        [
            "/* Generated from the op table (spindl.graph.table.kernel_header); docs/numbers.md explains the names. */",
            "#ifndef SPINDL_NUMBERS_H",
            "#define SPINDL_NUMBERS_H",
            "",
            "#include <stdint.h>",
            "",
            *macros,
            "",
            "enum spindl_op {",
            *numbers,
            "};",
            "",
            "/* round(2^30 * 2^(-i/256)) */",
            *_array("spindl_power_table", [int(v) for v in power_table()]),
            "",
            "/* round(2^16 * log2(1 + i/256)) */",
            *_array("spindl_log_table", [int(v) for v in log_table()]),
            "",
            "#endif",
            "",
        ]
    )


def _literal(value: int) -> str:
    text = str(value) if abs(value) < 1 << 31 else f"{value}LL"
    return f"({text})" if value < 0 else text


def _array(name: str, values: Sequence[int]) -> list[str]:
    rows = [", ".join(map(str, values[i : i + COLUMNS])) for i in range(0, len(values), COLUMNS)]
    return [f"static const int32_t {name}[{len(values)}] = {{", *(f"    {row}," for row in rows), "};"]
