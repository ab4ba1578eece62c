"""What is said of a machine that has stopped: who, why, and what its cores and routers left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from spindl.machine.topology import XY
from spindl.program.load import CoreResult
from spindl.run.hosted.ways import LinkTo, Place, Stalled, dead_links, suspects
from spindl.run.interface import RunError

SHOWN = 4
"""Cores of a kind that a message lists."""
_TEXT_LINES = 2
_NO_NAMES: Mapping[Place, str] = MappingProxyType({})
REMEDY = "go on from the last checkpoint (--resume), on the parts that work"


@dataclass(frozen=True)
class CoreLeft:
    """One core after a failed step.

    Attributes:
        xy, virtual, physical: which.
        state: as SC&MP has it; "" if it was not asked.
        result: its record; None if the chip does not answer.
        text: what it printed.
    """

    xy: XY
    virtual: int
    physical: int
    state: str
    result: CoreResult | None
    text: str = ""

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"chip {self.xy} core {self.virtual} (physical {self.physical})"


class MachineStopped(RunError):
    """Cores of a machine stopped, or do not answer, in a step.

    Attributes:
        cores: all of them, as they were found.
        dropped: multicast packets that each chip's router dropped since the start of the run.
        silent: chips that do not answer the host.
        stalled: blocks of streams that did not arrive.
        links: those that lead to silent chips.
    """

    def __init__(
        self,
        reason: str,
        cores: Sequence[CoreLeft],
        dropped: dict[XY, int],
        silent: Sequence[XY],
        where: str,
        stalled: Sequence[Stalled] = (),
        names: Mapping[Place, str] = _NO_NAMES,
        links: Sequence[LinkTo] = (),
    ) -> None:
        """names: of the cores at the ends of streams, as messages call them."""
        self.cores, self.dropped, self.silent, self.stalled = tuple(cores), dict(dropped), tuple(silent), tuple(stalled)
        self._names, self.links = names, tuple(links)
        super().__init__("\n".join([reason, *self.lines()]), where, REMEDY + self._leave_out())

    def _leave_out(self) -> str:
        links = [[*xy, link] for xy, link in dead_links(self.links) or suspects(self.stalled)]
        if not links:
            return ""
        named = f"links {', '.join(map(str, links))}" if len(links) > 1 else f"link {links[0]}"
        return (
            f"; if {named} keeps failing, write the machine down (spindl machine MACHINE --save FILE), add {named} to"
            " the file's dead links, and go on with --machine FILE --resume"
        )

    def lines(self) -> list[str]:
        """The post-mortem: chips without an answer, first errors, cores that did not come to an end, drops, texts."""
        lines = []
        for xy in self.silent:
            lines.append(f"  chip {xy} does not answer")
            lines += [f"    {each.text}" for each in self.links if each.silent == xy]
        failed = [core for core in self.cores if core.result is not None and core.result.error is not None]
        failed.sort(key=_rank)
        lines += [f"  {core.name}: {_error(core)}" for core in failed[:SHOWN]]
        if len(failed) > SHOWN:
            lines.append(f"  ... and {len(failed) - SHOWN} more cores")
        open_ends = [c for c in self.cores if c.result is not None and c.result.error is None and not c.result.finished]
        lines += [f"  {core.name}: has not finished, state {core.state or 'unknown'}" for core in open_ends[:SHOWN]]
        if len(open_ends) > SHOWN:
            lines.append(f"  ... and {len(open_ends) - SHOWN} more cores that have not finished")
        for each in self.stalled[:SHOWN]:
            lines += [f"  {line}" for line in each.text(self._names, self.dropped)]
        if len(self.stalled) > SHOWN:
            lines.append(f"  ... and {len(self.stalled) - SHOWN} more blocks that did not arrive")
        lines += [f"  router of chip {xy}: {count} packets dropped" for xy, count in self.dropped.items() if count]
        for core in failed[:1]:
            text = core.text.strip().splitlines()[-_TEXT_LINES:]
            lines += [f"  text of {core.name}: {line}" for line in text]
        return lines


def _rank(core: CoreLeft) -> int:
    """Causes before their consequences: cores that wait at a barrier wait for those that have stopped elsewhere."""
    assert core.result is not None
    assert core.result.error is not None
    name = core.result.error.name
    return 2 if name in ("BARRIER_TIME_OUT", "MACHINE_TIME_OUT") else 1 if name.endswith("TIME_OUT") else 0


def _error(core: CoreLeft) -> str:
    assert core.result is not None
    assert core.result.error is not None
    return str(core.result.error)
