"""What fixed point replaces: a dot product in float32, in C, on an emulated core: python bench/float32_dot.py

The loop that users of such a core would write, with the compiler's software floating point: zig's always, Debian's
arm-none-eabi-gcc with libgcc where it is installed. Beside it the int16 kernel in the same run. For comparison only; no
part of a program for the cores.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from spindl._emulator import BareCore  # noqa: E402
from spindl.program.toolchain import compile_object, link, read_elf  # noqa: E402
from tests.kernels.contraction_cases import run_case, seen_before  # noqa: E402
from tests.kernels.contraction_table import products, table_cases  # noqa: E402
from tests.kernels.harness import CACHE, DTCM, SCRIPT, START  # noqa: E402

COUNT = 1024
SOURCE = """
float dot(const float *signal, const float *weight, int count) {
    float potential = 0;
    for (int i = 0; i < count; i++) potential += signal[i] * weight[i];
    return potential;
}
"""
CALL = START.replace("bl {symbol}", "bl dot")


def zig(folder: Path) -> Path:
    source, start = folder / "dot.c", folder / "start.s"
    source.write_text(SOURCE)
    start.write_text(CALL)
    return link([compile_object(each, (), CACHE) for each in (start, source)], SCRIPT, CACHE, "float32-dot")


def gcc(folder: Path) -> Path:
    source, start, script, made = (folder / name for name in ("dot.c", "start.s", "dot.ld", "gcc.elf"))
    source.write_text(SOURCE)
    start.write_text(CALL)
    script.write_text(SCRIPT)
    options = ["-mcpu=arm968e-s", "-marm", "-O2", "-ffreestanding", "-nostartfiles", "-nostdlib", f"-Wl,-T,{script}"]
    command = ["arm-none-eabi-gcc", *options, str(start), str(source), "-lgcc", "-o", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made


def cycles(elf: Path, signal: np.ndarray, weight: np.ndarray) -> int:
    """Cycles of one call; its result is compared with NumPy's."""
    core = BareCore(0)
    for address, data, size in read_elf(elf).segments:
        core.write(address, data + bytes(size - len(data)))
    places = (DTCM + 0x1000, DTCM + 0x1000 + signal.nbytes)
    for address, values in zip(places, (signal, weight), strict=True):
        core.write(address, values.tobytes())
    for register, value in enumerate((*places, COUNT)):
        core.set_register(register, value)
    core.set_register(13, DTCM + 0xFF00)
    core.set_register(15, 32)
    core.run(10**8)
    assert core.waiting
    expected = np.float32(0)
    for product in signal * weight:
        expected += product
    assert core.register(0) == int(expected.view(np.uint32))
    return int(core.cycles)


def main() -> None:
    rng = np.random.default_rng(0)
    signal, weight = (rng.standard_normal(COUNT).astype(np.float32) for _ in range(2))
    relu = np.maximum(signal, 0)
    name = "NT 24x64x256 int16"
    direction, case, options = table_cases()[name]
    _, result = run_case(case, direction, "arm", site=seen_before(case, direction), **options)
    fixed = result.cycles / products(case)
    print(f"{'int16 kernel, ' + name:40}{fixed:8.2f} cycles/MAC")
    with tempfile.TemporaryDirectory() as folder:
        builds = {"float32, zig's compiler_rt": zig(Path(folder))}
        if shutil.which("arm-none-eabi-gcc"):
            builds["float32, gcc -O2 and libgcc"] = gcc(Path(folder))
        for label, elf in builds.items():
            each, half = (cycles(elf, values, weight) / COUNT for values in (signal, relu))
            print(f"{label:40}{each:8.1f} cycles/MAC, {each / fixed:.0f} times; half of the signal 0: {half:.1f}")


if __name__ == "__main__":
    main()
