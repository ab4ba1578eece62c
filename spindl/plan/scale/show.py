"""The prediction for a machine as text."""

from __future__ import annotations

from spindl.machine import CHIP
from spindl.plan.scale.machines import Boards
from spindl.plan.scale.predict import FAST, MIDDLE, SDRAM_OF_USERS, SLOW, Chip, predict


def lines_of(chip: Chip, machine: Boards) -> list[str]:
    """What the machine does with the network, with the range of the weak constants. Raises PlanError."""
    middle, slow, fast = (predict(chip, machine, each) for each in (MIDDLE, SLOW, FAST))
    plan, line = chip.planned.plan, middle.line
    classes = sum(1 for dead in machine.classes if dead)
    lines = [
        "modelled: nothing of this was run on a machine; ranges: SDRAM 250 to 900 MB/s, links 22 to 14 ns a symbol,",
        "hops, kernels' cycles +-10 %, all at their worst and all at their best",
        f"machine     {machine.name}: {machine.boards:,} boards, {middle.chips:,} chips in use, an image each; "
        f"{classes} classes of boards with dead chips",
        f"chip        {plan.machine.cores} cores compute, 3 communicate; {len(plan.phases)} phases; "
        f"{chip.macs / 1e9:.2f} G products at {chip.mac_cycles / chip.macs:.2f} cycles in kernels",
        f"step        {line.step:.2f} s ({fast.line.step:.2f} to {slow.line.step:.2f})",
        f"images/s    {middle.images_per_second:,.2f} ({slow.images_per_second:,.2f} to {fast.images_per_second:,.2f})",
        f"MAC kernels {middle.mac_share:.1%} of the compute cores' cycles, waits included "
        f"({slow.mac_share:.1%} to {fast.mac_share:.1%})",
        f"network     step is {middle.to_infinite:.3f} x that of an infinitely fast network; "
        f"rings busy {line.network:.2f} s, waited for {line.waits:.2f} s; statistics {middle.statistics:.2f} s",
    ]
    lines.append("where a step goes (s)")
    mac = middle.mac_share * line.step
    kernels = sum(sum(cost.nodes.values()) for cost in chip.costs[MIDDLE]) / plan.machine.cores / CHIP.clock.value
    parts = {
        "MAC kernels": mac,
        "other kernels": kernels - mac,
        "steps, transfers, SDRAM, barriers, unequal cores": middle.compute - kernels,
        "statistics across chips": middle.statistics,
        "waits for new weights": line.waits,
    }
    lines += [f"  {seconds:7.3f}  {name}" for name, seconds in parts.items()]
    lines.append("memory of a chip (bytes)")
    lines += [f"  {size:13,}  {name}" for name, size in middle.memory.items()]
    total = sum(middle.memory.values())
    verdict = "fits" if total <= SDRAM_OF_USERS else f"{total - SDRAM_OF_USERS:,} too many"
    lines.append(f"  {total:13,}  in all, of {SDRAM_OF_USERS:,}: {verdict}")
    lines.append("energy of an image (J)")
    lines += [f"  {joules:7.2f}  {name}" for name, joules in middle.joules.items()]
    lines.append(f"  {sum(middle.joules.values()):7.2f}  in all")
    return lines


def layer_lines(chip: Chip) -> list[str]:
    """The most costly phases: seconds, what they compute, cycles of kernels."""
    plan, costs = chip.planned.plan, chip.costs[MIDDLE]
    rows = []
    for cost, jobs in zip(costs, chip.planned.phase_jobs, strict=True):
        names = []
        for job in jobs:
            node = plan.graph.nodes[job.rounding.producer if job.rounding is not None else job.nodes[0]]
            names.append(f"{node.name or 'graph'} {node.op.replace('_', ' ')}")
        seconds = cost.cycles / CHIP.clock.value
        rows.append((seconds, sum(cost.nodes.values()) / plan.machine.cores / CHIP.clock.value, ", ".join(names)))
    return [f"  {seconds:.4f}  {kernels:.4f}  {what}" for seconds, kernels, what in sorted(rows, reverse=True)[:12]]
