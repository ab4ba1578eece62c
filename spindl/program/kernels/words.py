"""Argument words that many kernels share."""

from __future__ import annotations

from spindl.program.records import Field

ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 2}
"""What a kernel does to a value after rounding it: nothing, max(y, 0), or min(max(y, 0), 6)."""


def addresses(**meanings: str) -> tuple[Field, ...]:
    """Words that are DTCM byte addresses."""
    return tuple(Field(name, "I", f"address: {meaning}") for name, meaning in meanings.items())


def numbers(**meanings: str) -> tuple[Field, ...]:
    """Unsigned words."""
    return tuple(Field(name, "I", meaning) for name, meaning in meanings.items())


def integers(**meanings: str) -> tuple[Field, ...]:
    """Signed words."""
    return tuple(Field(name, "i", meaning) for name, meaning in meanings.items())


def values(*names: str) -> tuple[Field, ...]:
    """Words `<name>_exponent`: numbers of values in the exponent table."""
    return tuple(Field(f"{name}_exponent", "I", f"value whose exponent is that of {name}") for name in names)


ROUNDING = numbers(
    site="site where the result is rounded",
    bits="mantissa bits of y including the sign, 8..16",
    activation="after rounding: 0 nothing, 1 ReLU, 2 ReLU6",
    ties="0 up, 1 to the even neighbour",
)
"""How a kernel with exact results ends: y = clamp(RSH(exact, e_site - e)); the site gets the extent and the count."""
