"""What a session moves over the link between host and machine, and how fast."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Usage:
    """What a session has asked of its machine and of the link to it.

    Attributes:
        steps: of any graph.
        loaded, load_seconds: bytes of programs, schedules and constants, and wall-clock seconds until the cores waited.
        written, write_seconds: bytes of inputs and states that went to the machine since, and their wall-clock seconds.
        read, read_seconds: the same for what came back.
        brought, bring_seconds: bytes of states that cores took from the first chip to others since, by streams, and
            seconds of the machine's time.
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
    step_seconds: float = 0.0

    def lines(self) -> list[str]:
        """For people: one line per direction of the link. Seconds are this computer's."""

        def rate(count: int, seconds: float) -> str:
            return f"{count / 1e6:.2f} MB in {seconds:.1f} s ({count / 1e6 / seconds if seconds else 0:.2f} MB/s)"

        lines = [
            f"host link: loaded {rate(self.loaded, self.load_seconds)} before the first step",
            f"host link: {self.steps} steps, sent {rate(self.written, self.write_seconds)},"
            f" read {rate(self.read, self.read_seconds)}",
        ]
        if self.brought:
            speed = self.brought / 1e6 / self.bring_seconds
            lines.append(
                f"streams: states to the other chips, {self.brought / 1e6:.2f} MB in {1000 * self.bring_seconds:.1f} ms"
                f" of the machine's time ({speed:.1f} MB/s)"
            )
        return lines
