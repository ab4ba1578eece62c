"""docs/numbers.md: its op table is the one of the code, and its example by hand is what the ops compute."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from spindl.graph.operations import Value
from spindl.graph.table import op_numbers, operation_table, with_table
from spindl.train.optimizers import scalar
from spindl.train.state import fixed_point, master_weights
from tests.graph.cases import COUNT, INT16, INT32, SCALAR, WIDE, evaluate, geometry, site, zeros

PAGE = Path(__file__).parents[2] / "docs" / "numbers.md"


def test_table_is_the_code(request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text(encoding="utf-8")
    if request.config.getoption("--update-golden"):
        PAGE.write_text(with_table(page), encoding="utf-8")
    assert with_table(page) == page, "run `python -m spindl.graph.table docs/numbers.md`"


def test_table_has_every_op_once() -> None:
    names = re.findall(r"^\| `(\w+)` \|", operation_table(), flags=re.MULTILINE)
    assert sorted(names) == sorted(op_numbers()) and len(names) == len(set(names))
    for line in operation_table().splitlines():
        if line.startswith("| `"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            assert len(cells) == 4 and all(cell.strip() for cell in cells), line


def test_page_without_markers() -> None:
    with pytest.raises(ValueError, match="the page must hold"):
        with_table("nothing")


def test_example_by_hand() -> None:
    """Every integer of the example, in the order of the page."""
    section = PAGE.read_text(encoding="utf-8").split("## An example by hand")[1].split("\n## ")[0]
    said = {int(v) for v in re.findall(r"(?<![\w.^])-?\d+(?!\w|\.\d)", section)}

    master = master_weights(np.array([0.3, 0.7]))
    assert (master.mantissa.tolist(), master.exponent) == ([322122547, 751619277], -30)
    w = evaluate("narrow", (INT32, Value(master.mantissa.reshape(1, 2, 1, 1), -30)), bits=14)
    assert (w.mantissa.reshape(-1).tolist(), w.exponent) == ([1229, 2867], -12)
    x = INT16, Value(np.array([6144, -4096]).reshape(1, 2, 1, 1), -13)
    product = evaluate("convolution", x, (INT16, w), **geometry())
    assert (int(product.mantissa.item()), product.exponent) == (-4192256, -25)
    bias = fixed_point(np.array([0.1]), "bias")
    assert (int(bias.mantissa.item()), bias.exponent) == (13421773, -27)
    total = evaluate("add_bias", (WIDE, product), (INT32, bias))
    assert (int(total.mantissa.item()), total.exponent) == (-836813, -25)
    y = evaluate("requantise", (WIDE, total), site(-17), bits=15)
    assert int(y.mantissa.item()) == -3269
    extent = evaluate("extent", (WIDE, total))
    assert int(extent.mantissa) == -5
    after = evaluate("next_site", site(-17), (COUNT, extent), bits=15, headroom=1, lowest=-60)
    assert after.exponent == -18

    dy = INT16, Value(np.array([5000]).reshape(1, 1, 1, 1), -20)
    dw = evaluate("convolution_weight_gradient", dy, x, **geometry(), weight_shape=(1, 2, 1, 1), group_size=1)
    assert (dw.mantissa.reshape(-1).tolist(), dw.exponent) == ([30720000, -20480000], -33)
    short = evaluate("requantise", (WIDE, dw), site(-23), bits=16)
    assert short.mantissa.reshape(-1).tolist() == [30000, -20000]
    gradient = evaluate("sum_groups", (INT16, short))
    flat = INT32, Value(gradient.mantissa.reshape(2), gradient.exponent)
    step = evaluate("direction", (INT32, master), (SCALAR, Value(np.array(0))), site(-36), flat)
    assert step.mantissa.tolist() == [245760000, -163840000]
    moved = evaluate("momentum", zeros((2,), 0, INT32), (WIDE, step), scalar_of(0.9))
    velocity = evaluate("saturate32", (WIDE, moved))
    rate = scalar_of(0.1)
    assert (int(rate[1].mantissa), rate[1].exponent) == (26214, -18)
    new = evaluate("descend", (INT32, master), (INT32, velocity), rate, fixed=False)
    assert (new.mantissa.tolist(), new.exponent) == ([321738553, 751875273], -30)

    computed = [322122547, 751619277, 1229, 2867, 6144, -4096, -4192256, 13421773, -836813, -3269, -5, -18, 30720000]
    computed += [-20480000, 30000, -20000, 245760000, -163840000, 26214, 321738553, 751875273]
    assert set(computed) <= said


def scalar_of(number: float):  # type: ignore[no-untyped-def]
    from fractions import Fraction

    return SCALAR, scalar(Fraction(str(number)))
