"""Which code is always in ITCM, and which waits in SDRAM until a kernel needs it.

Kernels that do not fit beside each other share one window of ITCM; groups of them are overlays. A function or constant
lies where all who use it are: in the overlay if only kernels of one overlay reach it, otherwise among what is always
there. Who reaches what is read from the objects' relocations, so no code can call into an overlay that is not loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from spindl.program.toolchain import ImageError, read_elf

OVERLAYS: tuple[tuple[str, ...], ...] = (
    ("convolution_weight_gradient",),
    ("convolution_input_gradient",),
    (
        *("max_pool", "max_pool_gradient", "window_sum", "window_sum_gradient"),
        *("dropout", "move"),
    ),
    (
        *("cross_entropy", "squared_error", "binary_cross_entropy"),
        *("sigmoid", "sigmoid_gradient", "softmax", "softmax_gradient"),
    ),
    (
        *("inverse_deviation", "running_inverse_deviation", "batch_norm_scale", "batch_norm_offset", "running_offset"),
        *("gamma_gradient", "running_gamma_gradient", "batch_norm_slope", "batch_norm_gradient_offset"),
        *("running_mean", "running_variance", "pair_to_wide"),
    ),
    ("update", "halve", "lars_rate", "squared_norm", "largest_bits", "direction", "scale_direction"),
    ("send", "listen", "receive"),
)
"""Kernels of each overlay, from number 1 on; the others are always there. Kernels that alternate belong together."""
LARGEST_OVERLAYS = 8
Section = tuple[str, str]
"""An object file's name and a section of it."""


def overlay_of(kernel: str) -> int:
    """Number of a kernel's overlay, 0 for one that is always there."""
    return next((number for number, names in enumerate(OVERLAYS, 1) if kernel in names), 0)


def arrange(
    objects: Sequence[Path], kernels: Iterable[str], overlays: tuple[tuple[str, ...], ...]
) -> dict[Section, int]:
    """Section -> number of its overlay, 0 for what is always there. What nobody uses is left out.

    Args:
        objects: all but the table of kernels; one of them has a section `.vectors`, which reaches the runtime.
        kernels: names of those in the image.
        overlays: names of kernels by overlay.

    Raises:
        ImageError: a kernel is nowhere defined, or in two overlays.
    """
    home: dict[str, Section] = {}
    uses: dict[Section, set[Section | str]] = {}
    for path in objects:
        elf = read_elf(path)
        home |= {name: (path.name, section) for name, section in elf.homes.items()}
        for section, (near, far) in elf.references.items():
            uses[path.name, section] = {*((path.name, other) for other in near), *far}

    def reached(roots: Iterable[Section]) -> set[Section]:
        result, queue = set(roots), list(roots)
        while queue:
            for used in uses.get(queue.pop(), ()):
                section = home.get(used) if isinstance(used, str) else used
                if section is not None and section not in result:  # None: a helper of the compiler's, always there
                    result.add(section)
                    queue.append(section)
        return result

    number_of = {name: number for number, names in enumerate(overlays, 1) for name in names}
    if len(number_of) != sum(map(len, overlays)):
        raise ImageError("a kernel is in two overlays", "image", "change OVERLAYS")
    roots: list[list[Section]] = [[] for _ in range(len(overlays) + 1)]
    roots[0] += [section for section in uses if section[1] == ".vectors"]
    for name in kernels:
        if f"spindl_{name}" not in home:
            raise ImageError(f"kernel {name} is not defined", "image")
        roots[number_of.get(name, 0)].append(home[f"spindl_{name}"])
    resident, *parts = map(reached, roots)
    place = dict.fromkeys(resident, 0)
    for number, part in enumerate(parts, 1):
        for each in part - resident:
            place[each] = 0 if each in place else number
    return place


def linker_lines(place: dict[Section, int], overlays: int) -> tuple[str, str]:
    """For the linker script: the sections that are always there, and the statement of the overlays."""
    kept = {section: number for section, number in sorted(place.items()) if section[1].startswith((".text", ".rodata"))}
    mixed = sorted({file for (file, _), number in kept.items() if number})

    def listed(number: int) -> str:
        return " ".join(f"*{file}({name})" for (file, name), n in kept.items() if n == number and file in mixed)

    others = f"EXCLUDE_FILE({' '.join(f'*{file}' for file in mixed)}) " if mixed else ""
    resident = f"{listed(0)} *({others}.text* {others}.rodata*)"
    if not mixed:
        return resident, ""
    lines = "".join(f"        .overlay{number} {{ {listed(number)} }}\n" for number in range(1, overlays + 1))
    return resident, f"    OVERLAY : {{\n{lines}    }} > ITCM\n"
