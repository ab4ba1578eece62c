"""How a kernel of the cores is declared: its number, its name, its argument words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spindl.program.records import Field, RecordType


@dataclass(frozen=True)
class Kernel:
    """One function of the ARM image.

    Attributes:
        name: in C it is `spindl_<name>`.
        number: in schedule tables; never reused.
        arguments: its 32-bit words in order, struct code "I" or "i". By convention `x`, `y`, ... are DTCM byte
            addresses, `<operand>_exponent` numbers of values in the exponent table, `site` one in the table of sites.
        meaning: what it computes, with legal ranges, alignment, aliasing.
        on_host: False for those that need the runtime of a core; they have no cycles and scratch functions.
    """

    name: str
    number: int
    arguments: tuple[Field, ...]
    meaning: str
    on_host: bool = True

    @property
    def record(self) -> RecordType:
        """Its arguments as a record."""
        return RecordType(f"spindl_{self.name}_arguments", self.arguments)

    def words(self, values: Mapping[str, int]) -> tuple[int, ...]:
        """Argument words by name, unsigned. Raises ProgramError for missing, unknown or too large values."""
        packed = self.record.pack(values)
        return tuple(int.from_bytes(packed[i : i + 4], "little") for i in range(0, len(packed), 4))


def c_header(
    kernels: tuple[Kernel, ...], records: tuple[RecordType, ...] = (), constants: Mapping[str, int] | None = None
) -> str:
    """The text of `spindl_kernels.h`: numbers, argument structs, prototypes, records, constants."""
    lines = ["/* Generated from spindl.program.kernels. */", "#ifndef SPINDL_KERNELS_H", "#define SPINDL_KERNELS_H", ""]
    lines += ['#include "spindl_kernel.h"', "", "enum spindl_kernel_number {"]
    lines += [f"    SPINDL_KERNEL_{kernel.name.upper()} = {kernel.number}," for kernel in kernels]
    lines += ["};", "", "/* The same, for macros that get the name of a kernel. */"]
    lines += [f"#define SPINDL_NUMBER_{kernel.name} {kernel.number}" for kernel in kernels]
    lines += [""]
    lines += [f"#define SPINDL_{name} {value}" for name, value in (constants or {}).items()]
    for record in records:
        lines += ["", *record.c_typedef()]
    lines += [""]
    for kernel in kernels:
        arguments = f"const {kernel.record.name} *"
        lines += [f"/* {kernel.meaning} */", *kernel.record.c_typedef()]
        lines += [f"int spindl_{kernel.name}({arguments}arguments, spindl_context *context);"]
        if kernel.on_host:
            lines += [f"uint32_t spindl_{kernel.name}_cycles({arguments}arguments);"]
            lines += [f"uint32_t spindl_{kernel.name}_scratch({arguments}arguments);"]
        lines += [""]
    lines += ["/* X(name) for every kernel that is also built for the host. */", "#define SPINDL_EVERY_KERNEL(X) \\"]
    lines += [f"    X({kernel.name}) \\" for kernel in kernels if kernel.on_host]
    lines += ["", "/* X(name) for those that need a core's runtime. */", "#define SPINDL_EVERY_RUNTIME_KERNEL(X) \\"]
    lines += [f"    X({kernel.name}) \\" for kernel in kernels if not kernel.on_host]
    return "\n".join([*lines, "", "#endif", ""])
