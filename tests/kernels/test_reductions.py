"""Exact sums of parts, sites and exponents of a step."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from spindl.graph.ops.pointwise import common_exponent
from spindl.number.sites import EMPTY, HISTORY, next_site
from spindl.program.kernels.reductions import EXPONENT_RULE, EXPONENT_RULES, EXPONENT_TARGET_STATE, SITE_STATE
from tests.kernels.cases import Random, both, expect, int32s, mantissas, meaning, value, wides
from tests.kernels.harness import SITE, Site, run


@both("sum_rows")
def test_sum_rows(random: Random, where: str) -> None:
    """Gradient groups, partial sums of cores: all legal widths, rows apart, onto what is there or not."""
    rows, count = int(random.integers(1, 5)), int(random.integers(1, 12))
    x_bytes = int(random.choice([2, 4, 8]))
    y_bytes = int(random.choice([b for b in (4, 8) if b >= x_bytes]))
    make = {2: mantissas, 4: lambda r, s: int32s(r, s) // 8, 8: lambda r, s: wides(r, s, 58)}[x_bytes]
    x = make(random, (rows, count + 2))
    y = (int32s(random, count) // 8) if y_bytes == 4 else wides(random, count, 60)
    total = x[:, :count].astype(np.int64).sum(axis=0)
    arguments = {"x_bytes": x_bytes, "y_bytes": y_bytes, "rows": rows, "count": count, "x_pitch": x.strides[0]}
    shift = {"x": min(x_bytes, 4), "y": 4}
    expect(run("sum_rows", arguments | {"first": 1}, {"x": x, "y": y}, where=where, shift=shift), "y", total)
    expect(run("sum_rows", arguments | {"first": 0}, {"x": x, "y": y}, where=where, shift=shift), "y", y + total)


def _sites(random: Random, count: int) -> list[Site]:
    return [
        Site(int(random.integers(-60, 61)), int(random.choice([EMPTY, *random.integers(-90, 90, 4)])), int(v))
        for v in random.integers(0, 1000, count)
    ]


def _packed(sites: list[Site]) -> NDArray[np.uint8]:
    fields = [{"exponent": s.exponent, "extent": s.extent, "saturated": s.saturated} for s in sites]
    return np.frombuffer(b"".join(SITE.pack(each) for each in fields), np.uint8).copy()


def _states(random: Random, count: int) -> list[dict[str, int]]:
    states = []
    for _ in range(count):
        seen = int(random.integers(0, HISTORY + 1))
        history = [int(v) for v in random.integers(-80, 80, seen)] + [EMPTY] * (HISTORY - seen)
        bits, headroom, lowest = ((15, 1, -60), (16, 1, -20), (32, 8, -60))[int(random.integers(3))]
        state = {"exponent": int(random.integers(lowest, 61)), "bits": bits, "headroom": headroom, "lowest": lowest}
        states.append(state | {f"extent_{i}": extent for i, extent in enumerate(history)})
    return states


@both("begin_sites")
def test_begin_sites(random: Random, where: str) -> None:
    states, sites = _states(random, 3), _sites(random, 4)
    buffer = np.frombuffer(b"".join(SITE_STATE.pack(s) for s in states), np.uint8).copy()
    result = run("begin_sites", {"count": 3}, {"states": buffer}, [], sites, where)
    assert result.error == 0
    assert result.sites == (*(Site(s["exponent"]) for s in states), sites[3])


@both("merge_sites")
def test_merge_sites(random: Random, where: str) -> None:
    cores, count = int(random.integers(1, 4)), int(random.integers(1, 5))
    tables = [_sites(random, count) for _ in range(cores + 1)]
    merged = [
        Site(own.exponent, max(s.extent for s in column), sum(s.saturated for s in column))
        for own, *_ in zip(*tables, strict=True)
        for column in [[table[tables[0].index(own)] for table in tables]]
    ]
    buffers = {"x": np.concatenate([_packed(t) for t in tables[1:]]), "y": _packed(tables[0])}
    result = run("merge_sites", {"rows": cores, "count": count, "x_pitch": 8 * count}, buffers, where=where)
    expect(result, "y", _packed(merged))


@both("next_sites")
def test_next_sites(random: Random, where: str) -> None:
    states, sites = _states(random, 4), _sites(random, 4)
    after = []
    for state, site in zip(states, sites, strict=True):
        before = (state["exponent"], tuple(state[f"extent_{i}"] for i in range(HISTORY)))
        exponent, history = next_site(before, site.extent, state["bits"], state["headroom"], state["lowest"])
        after.append(state | {"exponent": exponent} | {f"extent_{i}": e for i, e in enumerate(history)})
    buffers = {"states": np.frombuffer(b"".join(SITE_STATE.pack(s) for s in states), np.uint8).copy()}
    buffers["sites"] = _packed(sites)
    expected = np.frombuffer(b"".join(SITE_STATE.pack(s) for s in after), np.uint8)
    expect(run("next_sites", {"count": 4}, buffers, where=where), "states", expected)


@both("exponents")
def test_exponents(random: Random, where: str) -> None:
    """All rules in any order; results go to the State, where the harness sees them."""
    exponents = [int(v) for v in random.integers(-60, 61, 5)]
    sites, state = _sites(random, 3), [int(v) for v in random.integers(-3, 4, 4)]
    values, words, rules = exponents.copy(), state.copy(), []
    for _ in range(int(random.integers(1, 12))):
        rule = str(random.choice(list(EXPONENT_RULES)))
        limits = {"site": (3, 1), "state": (4, 1), "raised": (5, 4)}.get(rule, (5, 5))
        a, b, constant = int(random.integers(limits[0])), int(random.integers(limits[1])), int(random.integers(-30, 31))
        target = int(random.integers(4))
        x, y = values[a] if a < 5 else 0, values[b] if b < 5 else 0
        result = {
            "constant": 0,
            "value": x,
            "site": sites[a].exponent if a < 3 else 0,
            "state": words[a] if a < 4 else 0,
            "sum": x + y,
            "difference": x - y,
            "minimum": min(x, y),
            "maximum": max(x, y),
            "align": common_exponent(x, y),
            "raised": x + (b < 4 and words[b] != 0),
        }[rule]
        words[target] = result + constant
        rules.append({"target": target, "rule": EXPONENT_RULES[rule] + EXPONENT_TARGET_STATE, "a": a, "b": b})
        rules[-1] |= {"constant": constant, "unused": 0}
    packed = np.frombuffer(b"".join(EXPONENT_RULE.pack(r) for r in rules), np.uint8).copy()
    buffers = {"rules": packed, "state": np.array(state, np.int32)}
    result = run("exponents", {"count": len(rules), "state_count": 4}, buffers, exponents, sites, where)
    expect(result, "state", np.array(words), tuple(sites))


def test_exponents_fill_the_table() -> None:
    """A later rule reads what an earlier one has written."""
    rules = [("constant", 0, 0, 0, -12), ("sum", 1, 0, 0, 5), ("maximum", 0, 0, 1, 0)]
    packed = b"".join(
        EXPONENT_RULE.pack({"target": t, "rule": EXPONENT_RULES[r], "a": a, "b": b, "constant": c, "unused": 0})
        for r, t, a, b, c in rules
    )
    to_state = {"target": 0, "rule": EXPONENT_RULES["value"] + EXPONENT_TARGET_STATE, "a": 0, "b": 0, "constant": 0}
    packed += EXPONENT_RULE.pack(to_state | {"unused": 0})
    buffers = {"rules": np.frombuffer(packed, np.uint8).copy(), "state": np.zeros(1, np.int32)}
    result = run("exponents", {"count": 4, "state_count": 1}, buffers, [0, 0])
    assert result.error == 0
    assert result.buffers["state"].tolist() == [-12]  # max(-12, -24 + 5)


@pytest.mark.parametrize("where", ["host", "ref-on-arm"])
@pytest.mark.parametrize(
    "rule",
    [
        {"rule": 10},
        {"rule": 1, "target": 2},
        {"rule": 1 + EXPONENT_TARGET_STATE, "target": 1},
        {"rule": 1, "a": 2},
        {"rule": 2, "a": 1},
        {"rule": 3, "a": 1},
        {"rule": 4, "b": 2},
        {"rule": 9, "b": 1},
    ],
)
def test_unknown_exponents_are_refused(rule: dict[str, int], where: str) -> None:
    full = {"target": 0, "rule": 0, "a": 0, "b": 0, "constant": 0, "unused": 0} | rule
    buffers = {"rules": np.frombuffer(EXPONENT_RULE.pack(full), np.uint8).copy(), "state": np.zeros(1, np.int32)}
    assert run("exponents", {"count": 1, "state_count": 1}, buffers, [3, 4], [Site(1)], where).error == 1


@both("squared_norm")
def test_squared_norm(random: Random, where: str) -> None:
    """Two tiles: first the largest magnitude of both, then the sum."""
    x_bytes = int(random.choice([2, 4, 8]))
    make = {2: mantissas, 4: int32s, 8: lambda r, s: wides(r, s, int(random.integers(1, 62)))}[x_bytes]
    x = make(random, 30)
    exponent = int(random.integers(-40, 20))
    exact = meaning("squared_norm", value(x, exponent))
    tiles = [x[:13].copy(), x[13:].copy()]
    largest = np.array([99], np.int32)
    for number, tile in enumerate(tiles):
        words = {"x_bytes": x_bytes, "first": int(number == 0), "count": tile.size}
        result = run("largest_bits", words, {"x": tile, "largest": largest}, where=where)
        assert result.error == 0
        largest = result.buffers["largest"].copy()
    assert 2 * (exponent + max(0, int(largest[0]) - 15)) == exact.exponent
    y = np.array([12345], np.int64)
    for number, tile in enumerate(tiles):
        words = {"x_bytes": x_bytes, "first": int(number == 0), "count": tile.size}
        y = run("squared_norm", words, {"x": tile, "largest": largest, "y": y}, where=where).buffers["y"].copy()
    assert int(y[0]) == int(exact.mantissa)
