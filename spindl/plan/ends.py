"""The first and the last phases of a step: exponents and sites from the State, and back into it."""

from __future__ import annotations

from spindl.plan.draft import OVERFLOW, WORDS, Draft, Rule, Stored, state_rule
from spindl.plan.layout import aligned
from spindl.plan.rings import closing_tasks
from spindl.plan.task import CORE, At, Call, Move, Regions, Task, pieces, shares
from spindl.plan.tiles.update import halving_tasks
from spindl.plan.trees import SITE_BYTES, Value, exchange_tasks
from spindl.program.kernels.reductions import EXPONENT_RULE, SITE_STATE

CHIP_SITES, ALL_SITES, ALL_OVERFLOWS = "sites of the chip", "sites of all chips", "overflow of all chips"
SITES, MERGED, STATES, RULES, LAST_RULES, STATE_WORDS, EXPONENTS, OVERFLOWS, ZEROS = (
    "parts of sites",
    "sites",
    "state/sites",
    "rules",
    "last rules",
    "state/words",
    "exponents",
    "parts of overflow",
    "zeros",
)
"""Names of buffers."""
EXPONENT_TABLE, SITE_TABLE = At(CORE + "exponents"), At(CORE + "sites")
_PIECE = 512  # rules, or sites, of a call


def _words(count: int, size: int) -> int:
    return -(-count * size // 4) * 4


def pack_rules(rules: list[Rule]) -> bytes:
    """Rules as the kernel `exponents` reads them."""
    return b"".join(
        EXPONENT_RULE.pack(
            {"target": r.target, "rule": r.rule, "a": r.a, "b": r.b, "constant": r.constant, "unused": 0}
        )
        for r in rules
    )


def core_regions(draft: Draft) -> dict[str, int]:
    """Regions that each core keeps for the whole step, and their bytes."""
    return {
        EXPONENT_TABLE.region: aligned(2 * len(draft.rules)),
        SITE_TABLE.region: aligned(SITE_BYTES * len(draft.sites)),
        WORDS.region: aligned(4 * (len(draft.words) + len(draft.overflow))),
        OVERFLOW.region: aligned(4 * max(1, len(draft.overflow))),
    }


def last_rules(draft: Draft) -> list[Rule]:
    """How the exponents of the State follow from a step."""
    states = {str(n.attributes["name"]): i for i, n in enumerate(draft.graph.nodes) if n.op == "state"}
    rules = []
    for name, index in sorted(draft.graph.updates.items()):
        state, node = states[name], draft.node(draft.homes[index])
        if state not in draft.words:
            continue
        if node.op == "descend":
            if not node.attributes["fixed"]:
                word = len(draft.words) + draft.overflow_word(node.inputs[0])
                rules.append(state_rule(draft.words[state], "raised", draft.exponent(node.inputs[0]), word))
        else:
            rules.append(state_rule(draft.words[state], "value", draft.exponent(draft.homes[index])))
    return rules


def begin_tasks(draft: Draft) -> list[Task]:
    """Every core: sites take their exponents, and the exponent table is filled."""
    sites, words, flags = len(draft.sites), len(draft.words), max(1, len(draft.overflow))
    draft.buffer(STATES, SITE_STATE.layout.size * max(1, sites), kept=True)
    draft.buffer(STATE_WORDS, 4 * max(1, words), kept=True)
    draft.buffer(ZEROS, 4 * flags, bytes(4 * flags))
    rules = pack_rules(draft.rules)
    draft.buffer(RULES, len(rules), rules)
    tasks = []
    for core in range(draft.limits.cores):
        regions, calls = Regions(), list[Call]()
        loads = [Move(STATE_WORDS, 0, WORDS, _words(words, 4)), Move(ZEROS, 0, OVERFLOW, 4 * flags)]
        loads = [move for move in loads if move.bytes]
        for turn, (first, last) in enumerate(pieces(0, len(draft.rules), _PIECE)):
            size = EXPONENT_RULE.layout.size
            move, at = regions.load(f"rules{turn % 2}", RULES, first * size, (last - first) * size)
            if turn == 0 and sites:
                load, states = regions.load("states", STATES, 0, sites * SITE_STATE.layout.size)
                calls.append(Call("begin_sites", 0, {"states": states, "count": sites}, (*loads, load)))
                loads = []
            words_: dict[str, int | At] = {
                "rules": at,
                "state": WORDS,
                "count": last - first,
                "state_count": words + len(draft.overflow),
            }
            calls.append(Call("exponents", 0, words_, (*loads, move)))
            loads = []
        tasks.append(Task(-1, tuple(calls), regions.sizes, core))
    return tasks


def collect_tasks(draft: Draft) -> list[Task]:
    """Every core leaves what it has seen at the sites, and which weights overflowed."""
    sites, flags, cores = len(draft.sites), len(draft.overflow), draft.limits.cores
    row, flag_row = _words(sites, SITE_BYTES), 4 * flags
    if sites:
        draft.buffer(SITES, row * cores)
    if flags:
        draft.buffer(OVERFLOWS, flag_row * cores)
    tasks = []
    for core in range(cores):
        stores = [Move(SITES, core * row, SITE_TABLE, row)] if sites else []
        stores += [Move(OVERFLOWS, core * flag_row, OVERFLOW, flag_row)] if flags else []
        tasks.append(Task(-1, (Call("", 0, stores=tuple(stores)),), {}, core))
    return tasks


def exchange_phases(draft: Draft) -> list[list[Task]]:
    """Several chips: the chip's sites merged, then with those of all chips, and which weights overflowed anywhere."""
    if draft.chips == 1:
        return []
    sites, flags = len(draft.sites), len(draft.overflow)
    merging: list[Task] = []
    values = []
    if sites:
        room = draft.buffer(CHIP_SITES, _words(sites, SITE_BYTES))
        merging = _merging_tasks(draft, SITES, draft.limits.cores, room, 0)
        all_sites = draft.buffer(ALL_SITES, _words(sites, SITE_BYTES))
        values.append(Value(Stored(room, 1, _words(sites, SITE_BYTES)), all_sites, SITE_BYTES, sites, True))
    if flags:
        parts = Stored(OVERFLOWS, draft.limits.cores, 4 * flags)
        values.append(Value(parts, draft.buffer(ALL_OVERFLOWS, 4 * flags), 4, flags))
    exchange = exchange_tasks(draft, -1, 0, values) if values else []
    if draft.blocks.get("tree") == 1:  # one block a step would have the number of the next step's
        nothing = Stored(draft.buffer("close/tree", 8, bytes(8)), 1, 8)
        exchange += exchange_tasks(draft, -1, 0, [Value(nothing, draft.buffer("closed/tree", 8), 8, 1)])
    return [phase for phase in (merging, [*exchange, *closing_tasks(draft)]) if phase]


def finish_tasks(draft: Draft, number: int) -> list[Task]:
    """Sites merged and moved on, weights that overflowed halved, the State's exponents written."""
    flags, cores, words = len(draft.overflow), draft.limits.cores, len(draft.words)
    draft.buffer(EXPONENTS, 2 * len(draft.rules))
    rules = last_rules(draft)
    data = pack_rules(rules)
    if rules:
        draft.buffer(LAST_RULES, len(data), data)
    tasks = []
    for core in range(cores):
        regions, calls = Regions(), list[Call]()
        if flags:
            rows, source = (cores, OVERFLOWS) if draft.chips == 1 else (1, ALL_OVERFLOWS)
            load, at = regions.load("flags", source, 0, 4 * flags * rows)
            total = WORDS.plus(4 * words)
            arguments: dict[str, int | At] = {"x": at, "y": total, "x_bytes": 4, "y_bytes": 4, "rows": rows}
            arguments |= {"count": flags, "x_pitch": 4 * flags, "first": 1}
            calls.append(Call("sum_rows", 0, arguments, (load,)))
        if core == 0:
            table = Move(EXPONENTS, 0, EXPONENT_TABLE, _words(len(draft.rules), 2))
            if rules:
                load, at = regions.load("rules", LAST_RULES, 0, len(data))
                save = Move(STATE_WORDS, 0, WORDS, 4 * words)
                arguments = {"rules": at, "state": WORDS, "count": len(rules), "state_count": words + flags}
                calls.append(Call("exponents", 0, arguments, (load,), (save, table)))
            else:
                calls.append(Call("", 0, stores=(table,)))
        if calls:
            tasks.append(Task(-1, tuple(calls), regions.sizes, core))
    tasks += _site_tasks(draft)
    for halving in draft.halvings:
        tasks += halving_tasks(draft, number, halving)
    return tasks


def _site_tasks(draft: Draft) -> list[Task]:
    if not draft.sites:
        return []
    draft.buffer(MERGED, SITE_BYTES * len(draft.sites))
    if draft.chips > 1:
        return _merging_tasks(draft, ALL_SITES, 1, MERGED, 0, last=True)
    return _merging_tasks(draft, SITES, draft.limits.cores, MERGED, 0, last=True)


def _merging_tasks(
    draft: Draft, source: str, cores: int, target: str, offset: int, *, last: bool = False
) -> list[Task]:
    """Rows of sites (of cores, or of chips) merged; `last`: the State's sites follow."""
    sites = len(draft.sites)
    row, size = _words(sites, SITE_BYTES), SITE_STATE.layout.size
    tasks = []
    most = max(1, (draft.limits.tile // 2 - 512) // (SITE_BYTES * (cores + 1) + size))
    for start, stop in shares(sites, max(min(draft.limits.cores, 4), -(-sites // most))):
        regions, n = Regions(), stop - start
        load, at_x = regions.load_rows("parts", source, start * SITE_BYTES, n * SITE_BYTES, cores, row)
        at_y, at_x = at_x, at_x.plus(n * SITE_BYTES)  # the others join the first core's
        words: dict[str, int | At] = {"x": at_x, "y": at_y, "rows": cores - 1, "count": n, "x_pitch": n * SITE_BYTES}
        calls = [
            Call("merge_sites", 0, words, (load,), (Move(target, offset + start * SITE_BYTES, at_y, n * SITE_BYTES),))
        ]
        updated = max(0, min(stop, draft.moving_sites) - start) if last else 0
        if updated:
            load, at = regions.load("states", STATES, start * size, updated * size)
            words = {"states": at, "sites": at_y, "count": updated}
            calls.append(Call("next_sites", 0, words, (load,), (Move(STATES, start * size, at, updated * size),)))
        tasks.append(Task(-1, tuple(calls), regions.sizes, cost=n * 300))
    return tasks
