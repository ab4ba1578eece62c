"""The C header compiles without a warning and says the same as Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from spindl.graph.table import kernel_header, op_numbers
from spindl.number.header import HEADER_VERSION, c_header, number_constants
from spindl.number.tables import log_table, power_table

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def test_version_and_names() -> None:
    text = kernel_header()
    assert f"#define SPINDL_HEADER_VERSION {HEADER_VERSION}\n" in text
    assert sorted(op_numbers().values()) == list(range(len(op_numbers())))


def test_a_name_has_one_value() -> None:
    with pytest.raises(ValueError, match="SITE_HISTORY"):
        c_header({}, {"SITE_HISTORY": 17})


@pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")
@pytest.mark.parametrize("language", ["-std=c99", "-std=c11"])
def test_header_compiles_and_agrees(tmp_path: Path, language: str) -> None:
    names = number_constants()
    lines = [f'printf("%lld\\n", (long long)SPINDL_{name});' for name in names]
    lines += [f'printf("%d\\n", SPINDL_OP_{name.upper()});' for name in op_numbers()]
    lines += ['for (int i = 0; i < SPINDL_TABLE_ENTRIES; ++i) printf("%d\\n", (int)spindl_power_table[i]);']
    lines += ['for (int i = 0; i < SPINDL_TABLE_ENTRIES; ++i) printf("%d\\n", (int)spindl_log_table[i]);']
    (tmp_path / "spindl_numbers.h").write_text(kernel_header())
    source = tmp_path / "print.c"
    source.write_text(
        '#include "spindl_numbers.h"\n#include <stdio.h>\nint main(void) {\n' + "\n".join(lines) + "\nreturn 0;\n}\n"
    )
    program = tmp_path / "print"
    flags = [language, "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run([str(COMPILER), *flags, str(source), "-o", str(program)], check=True)
    printed = [int(v) for v in subprocess.run([str(program)], check=True, capture_output=True).stdout.split()]
    assert printed == [*names.values(), *op_numbers().values(), *power_table().tolist(), *log_table().tolist()]
