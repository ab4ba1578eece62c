"""Cycles of the contraction kernels on the emulator: python bench/kernels.py [--record | --fit]

The table: cycles per multiply-accumulate of the tuned kernels, everything in the call included, beside what the cost
function declares. The limit of the instruction set is 1.0, that of a block of 4x2 sums 1.375.

--record writes tests/kernels/contraction_cycles.json, which a test compares with. --fit finds the constants of
kernels/cost/contraction.c: cycles of many small tiles against counts of what they do.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.kernels.contraction_cases import DIRECTIONS, Case, arguments_of, run_case, seen_before  # noqa: E402
from tests.kernels.contraction_table import ANY, RECORD, products, table_cases  # noqa: E402


def measure() -> dict[str, int]:
    """Cycles of the cases of the table, where no site learns anything new."""
    found = {}
    for name, (direction, case, options) in table_cases().items():
        _, result = run_case(case, direction, "arm", site=seen_before(case, direction), **options)
        assert result.tiles_redone == 0
        found[name] = result.cycles
    return found


def show(found: dict[str, int]) -> None:
    print(f"{'':48}{'cycles':>9}{'/MAC':>8}{'declared':>10}")
    for name, (direction, case, options) in table_cases().items():
        declared = arguments_of(case, direction, **options).cycles
        each = found[name] / products(case)
        print(f"{name:48}{found[name]:9}{each:8.3f}{(declared / found[name] - 1) * 100:+9.2f}%")


COUNTS = 31


class Counts(ctypes.Structure):
    _fields_ = [("known", ctypes.c_uint64), ("of", ctypes.c_uint64 * COUNTS)]


def fit() -> None:
    """Prints the constants."""
    folder = Path(tempfile.mkdtemp())
    kernels = ROOT / "kernels"
    flags = [f"-I{kernels / each}" for each in ("include", "include/generated", "ref", "cost")]
    library = folder / "cost.so"
    source = kernels / "cost" / "contraction.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", *flags, str(source), "-o", str(library)], check=True)
    cost = ctypes.CDLL(str(library))
    cost.spindl_contraction_counts.restype = Counts
    rng = np.random.default_rng(5)
    names = [line.split(",")[0].strip() for line in (kernels / "cost" / "contraction_cost.h").read_text().splitlines()]
    names = [name for name in names if name.startswith("COUNT_")]
    assert len(names) == COUNTS
    for side, direction in ((0, DIRECTIONS[1]), (1, DIRECTIONS[2]), (2, DIRECTIONS[0])):
        rows, cycles, known, cases = [], [], [], []
        for _ in range(900):
            case = random_case(rng)
            options: dict[str, Any] = {"sums": bool(rng.random() < 0.4)}
            if direction == DIRECTIONS[2] and not options["sums"] and case.images == 1:
                options["narrow"] = bool(rng.random() < 0.5)
            call = arguments_of(case, direction, **options)
            if sum(each.nbytes + 72 for each in call.buffers.values()) > 54_000:
                continue
            _, result = run_case(case, direction, "arm", site=seen_before(case, direction), **options)
            if result.tiles_redone:
                continue
            counts = cost.spindl_contraction_counts((ctypes.c_uint32 * len(call.words))(*call.words), side)
            rows.append([int(v) for v in counts.of])
            known.append(counts.known)
            cycles.append(result.cycles)
            cases.append((case, options))
        a, total, loops = np.array(rows, float), np.array(cycles, float), np.array(known, float)
        used = a.any(axis=0)
        tiny = a[:, [n == "COUNT_SINGLE_CALLS" for n in names]].any(axis=1)
        solved = np.zeros(COUNTS)
        solved[used] = nonnegative(a[:, used] / total[:, None], (total - loops) / total)
        error = abs((a @ np.round(solved) + loops) / total - 1)
        for kind, which in (("sums one by one", tiny), ("the others", ~tiny)):
            e = error[which] * 100
            print(f"{direction}, {kind}: error at most {e.max():.1f} %, mean {e.mean():.1f} %")
        worst = np.argmax(np.where(tiny, 0, error))
        print("  worst:", cases[worst], int(total[worst]), dict(zip(names, rows[worst], strict=True)), known[worst])
        print("    {" + ", ".join(f"[{n}] = {round(v)}" for n, v in zip(names, solved, strict=True) if v >= 0.5) + "},")


def nonnegative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Least squares without negative numbers, by projected coordinate steps."""
    x = np.zeros(a.shape[1])
    gram, right = a.T @ a, a.T @ b
    for _ in range(20000):
        for i in range(len(x)):
            x[i] = max(0.0, x[i] + (right[i] - gram[i] @ x) / gram[i, i])
    return x


def random_case(rng: np.random.Generator) -> Case:
    """A tile of any kind, small enough to be quick."""

    def pick(*values: int) -> int:
        return int(rng.choice(values))

    kernel = (pick(1, 1, 2, 3, 3, 5), pick(1, 1, 2, 3, 3, 5))
    padding = tuple((int(rng.integers(0, k)), int(rng.integers(0, k))) for k in kernel)
    shape = tuple(int(rng.integers(k, k + 9)) for k in kernel)
    groups = pick(1, 1, 1, 2, 6)
    if rng.random() < 0.25:  # depthwise
        groups, inputs, outputs = pick(8, 16, 32), 1, 1
    else:
        inputs, outputs = pick(1, 2, 3, 4, 8, 12, 16), pick(1, 2, 3, 4, 8, 12, 16)
    return replace(
        ANY,
        images=pick(1, 1, 2),
        groups=groups,
        inputs=inputs,
        outputs=outputs,
        shape=(shape[0], shape[1]),
        kernel=kernel,
        stride=(pick(1, 1, 2), pick(1, 1, 2)),
        padding=(padding[0], padding[1]),
        dilation=(1, pick(1, 1, 2) if shape[1] > 2 * kernel[1] else 1),
        bias=-27 if rng.random() < 0.3 else None,
        relu=bool(rng.random() < 0.3),
        seed=int(rng.integers(0, 1000)),
    )


if __name__ == "__main__":
    if "--fit" in sys.argv:
        fit()
    else:
        measured = measure()
        show(measured)
        if "--record" in sys.argv:
            RECORD.write_text(json.dumps(measured, indent=1) + "\n")
