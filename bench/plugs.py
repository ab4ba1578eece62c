"""Bulk data through one Ethernet plug of an emulated triad, and through all three at once: python -m bench.plugs

The same bytes go to one Ethernet chip, to three chips of one board, and to the Ethernet chips of three boards, and come
back. MB/s by the clock of this computer, on which SpiNNMan builds the requests, and by the machine's own, which does
not wait for its host.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from time import perf_counter

from spindl.emulator import emulate
from spindl.machine.topology import XY
from spindl.run.hosted.host import Host

BYTES, ADDRESS = 720_000, 0x61000000
CHIPS: dict[str, tuple[XY, ...]] = {
    "the Ethernet chip of one board": ((0, 0),),
    "three chips of one board": ((0, 0), (1, 0), (0, 1)),
    "the Ethernet chips of three boards": ((0, 0), (4, 8), (8, 4)),
}


def main() -> None:
    """See the module."""
    with emulate("1x1-triads", host="127.78.0.2", booted=True, connected=False, threads=2) as machine:
        machine.connect(speed=0)
        with closing(Host(machine.host, 5, clock=lambda: machine.time)) as host:
            for name, chips in CHIPS.items():
                size = BYTES // len(chips)
                data = bytes(range(240)) * (size // 240)

                def rates(move: Callable[[], object]) -> str:
                    begun, at = perf_counter(), machine.time
                    move()
                    seconds, own = perf_counter() - begun, machine.time - at
                    return f"{BYTES / 1e6 / seconds:.1f} MB/s here, {BYTES / 1e6 / own:.1f} MB/s of the machine's time"

                print(f"written to {name}: {rates(lambda: host.write((xy, ADDRESS, data) for xy in chips))}")  # noqa: B023
                found: list[bytes] = []
                print(f"read: {rates(lambda: found.extend(host.read([(xy, ADDRESS, size) for xy in chips])))}")  # noqa: B023
                assert found == [data] * len(chips)


if __name__ == "__main__":
    main()
