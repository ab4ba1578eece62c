"""Golden vectors of every op, in tests/graph/vectors: what kernels in C are tested against as well.

A file holds an op's cases: attributes, and format, exponent, shape and mantissas (row-major) of each input and of the
result. They pin the arithmetic; that it is the right one is what the other tests of this folder say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spindl.graph.graph import Format
from spindl.graph.operations import OP_TABLE_VERSION, OPERATIONS, Value
from tests.conftest import Golden
from tests.graph.cases import CASES, cases

FOLDER = Path(__file__).parent / "vectors"


def record(format: Format, value: Value) -> dict[str, Any]:
    mantissa = np.asarray(value.mantissa)
    return {
        "format": str(format),
        "exponent": value.exponent,
        "shape": mantissa.shape,
        "mantissa": [int(v) for v in mantissa.reshape(-1)],
    }


@pytest.mark.parametrize("op", sorted(CASES))
def test_vectors(op: str, golden: Golden) -> None:
    lines = []
    for case in cases(op):
        result = record(case.node().format, case.run())
        assert "int16" not in result["format"] or -32768 not in result["mantissa"], "-2^15 never occurs"
        inputs = [record(format, value) for format, value in case.inputs]
        lines.append(json.dumps({"attributes": case.attributes, "inputs": inputs, "result": result}))
    body = ",\n".join(lines)
    golden(FOLDER / f"{op}.json", f'{{"op": "{op}", "op_table_version": {OP_TABLE_VERSION}, "cases": [\n{body}\n]}}\n')


def test_every_op_has_vectors() -> None:
    assert sorted(CASES) == sorted(OPERATIONS)
    assert {path.stem for path in FOLDER.glob("*.json")} == set(OPERATIONS)
