"""What a session moves over the link between host and machine, and how fast."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from spindl.machine.topology import XY


@dataclass
class Usage:
    """What a session has asked of its machine and of the links to it.

    Attributes:
        steps: of any graph.
        loaded, load_seconds: bytes of programs, schedules and constants, and wall-clock seconds until the cores waited.
        written, write_seconds: bytes of inputs and states that went to the machine since, and their wall-clock seconds.
        read, read_seconds: the same for what came back.
        brought, bring_seconds: bytes of states that cores took from the first chip to others since, by streams, and
            seconds of the machine's time.
        loaded_by, written_by, read_by: the bytes of each kind, by the Ethernet chip that they went through.
        step_seconds: of the last step, on the machine: its slowest core's cycles; 0 before `measure`.
    """

    steps: int = 0
    loaded: int = 0
    load_seconds: float = 0.0
    written: int = 0
    write_seconds: float = 0.0
    read: int = 0
    read_seconds: float = 0.0
    brought: int = 0
    bring_seconds: float = 0.0
    loaded_by: Counter[XY] = field(default_factory=Counter)
    written_by: Counter[XY] = field(default_factory=Counter)
    read_by: Counter[XY] = field(default_factory=Counter)
    step_seconds: float = 0.0

    def lines(self) -> list[str]:
        """For people: what was loaded, and moved since; of several boards by each. Seconds are this computer's."""

        def rate(count: int, seconds: float) -> str:
            return f"{count / 1e6:.2f} MB in {seconds:.1f} s ({count / 1e6 / seconds if seconds else 0:.2f} MB/s)"

        lines = [
            f"host link: loaded {rate(self.loaded, self.load_seconds)} before the first step",
            f"host link: {self.steps} steps, sent {rate(self.written, self.write_seconds)},"
            f" read {rate(self.read, self.read_seconds)}",
        ]
        plugs = sorted({*self.loaded_by, *self.written_by, *self.read_by})
        for xy in plugs if len(plugs) > 1 else ():
            kinds = ("loaded", self.load_seconds), ("written", self.write_seconds), ("read", self.read_seconds)
            moved = [f"{name} {rate(getattr(self, f'{name}_by')[xy], seconds)}" for name, seconds in kinds]
            lines.append(f"  through the Ethernet chip {xy}: {', '.join(moved)}")
        if self.brought:
            speed = self.brought / 1e6 / self.bring_seconds
            lines.append(
                f"streams: states to other chips, {self.brought / 1e6:.2f} MB in {1000 * self.bring_seconds:.1f} ms"
                f" of the machine's time ({speed:.1f} MB/s)"
            )
        return lines
