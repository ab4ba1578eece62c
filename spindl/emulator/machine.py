"""The Python face of an emulated machine."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from spindl import _emulator
from spindl.emulator.boot import patched_image, scamp_image
from spindl.emulator.errors import EmulatorError, PortTaken
from spindl.emulator.records import Arrival, Faults, Strictness
from spindl.emulator.symbols import Symbols, read_symbols
from spindl.emulator.views import ChipView, CoreView
from spindl.emulator.wiring import board_hosts, native_config, native_rates
from spindl.machine import CHIP, Topology, parse_topology

CYCLES_PER_SECOND = int(CHIP.clock.value)

_NETINIT_PHASE, _NETINIT_DONE = 0xF5007F2D, 255  # in the system variables (sark.h)
_BOOT_LIMIT = 60.0  # simulated seconds; 48 chips need about 6


class Machine:
    """An emulated machine. Make one with `emulate`; use it as a context manager, or call `close`.

    Attributes:
        topology: its chips and links.
        hosts: loopback address of each board's Ethernet chip, by board.
        native: the C++ machine; private to this package.
    """

    def __init__(self, topology: Topology, hosts: list[str], faults: Faults, threads: int, strict: Strictness) -> None:
        self.topology = topology
        self.hosts = hosts
        try:
            self.native = _emulator.Machine(native_config(topology, faults, hosts, threads, strict))
        except MemoryError as error:
            chips = len(topology.places)
            raise EmulatorError(
                f"the host has no memory for {chips:,} chips: each takes 0.14 MB, what programs touch, and 136 MB of"
                " addresses",
                where=f"machine {topology.name!r}",
                remedy="emulate a smaller machine, or raise the limits (ulimit -v, vm.max_map_count)",
            ) from error
        self._symbols: dict[tuple[int, int] | None, Symbols] = {}
        self._index = {(place.x, place.y): i for i, place in enumerate(topology.places)}

    @property
    def host(self) -> str:
        """Address of the board with chip (0, 0): what a host program is given as the machine's name."""
        return self.hosts[0]

    @property
    def time(self) -> float:
        """Simulated seconds since the machine was made."""
        return float(self.native.now) / CYCLES_PER_SECOND

    @property
    def cycle(self) -> int:
        """Simulated time in core cycles since the machine was made."""
        return int(self.native.now)

    @staticmethod
    def seconds(cycles: int) -> float:
        """Core cycles as seconds."""
        return cycles / CYCLES_PER_SECOND

    @property
    def totals(self) -> dict[str, int]:
        """Of all chips: packets, dropped, frames_in, frames_out, reports; now: cores awake and stopped."""
        return dict(self.native.totals())

    def chip(self, x: int, y: int) -> ChipView:
        """The chip at (x, y). Raises EmulatorError if there is none."""
        if (x, y) not in self._index:
            raise EmulatorError(f"there is no chip at ({x}, {y})", where=self.topology.name)
        return ChipView(self, self._index[x, y], x, y)

    def __iter__(self) -> Iterator[ChipView]:
        return (ChipView(self, i, place.x, place.y) for i, place in enumerate(self.topology.places))

    def symbols(self, elf: str | Path, core: CoreView | None = None) -> None:
        """From now on, post-mortems name addresses by the symbols of `elf`: of one core, or of all that have none.

        Raises:
            EmulatorError: pyelftools is not installed, or `elf` is no ELF file.
        """
        self._symbols[None if core is None else (core.chip, core.physical)] = read_symbols(elf)

    def symbols_of(self, core: CoreView) -> Symbols:
        """The symbols given for this core, or for all; empty if none were given."""
        common = self._symbols.get(None, Symbols())
        return self._symbols.get((core.chip, core.physical), common)

    @property
    def stopped(self) -> list[CoreView]:
        """Cores that strictness has stopped."""
        found = [chip.physical(core) for chip in self for core in sorted({report.core for report in chip.reports})]
        return [core for core in found if core.stopped]

    def connect(self, speed: float = 1.0) -> None:
        """Opens the UDP ports and keeps simulated time at `speed` times wall time (0: as fast as possible).

        Raises:
            PortTaken: another program has one of the ports.
        """
        try:
            self.native.connect(speed)
        except OSError as error:
            raise PortTaken(str(error).split(": ", maxsplit=1)[0], "already in use or not permitted") from error
        except RuntimeError as error:
            endpoint, _, reason = str(error).partition(": ")
            raise PortTaken(endpoint, reason) from error

    def disconnect(self) -> None:
        """Closes the UDP ports; simulated time stands still until `run` or `connect`."""
        self.native.disconnect()

    def run(self, seconds: float) -> None:
        """Advances simulated time by `seconds`, as fast as it can."""
        self.native.run(round(seconds * CYCLES_PER_SECOND))

    def pause(self) -> None:
        """Stops the clock of a connected machine."""
        self.native.pause(True)

    def resume(self) -> None:
        """Lets the clock of a connected machine go on."""
        self.native.pause(False)

    def boot(self, image: bytes | None = None) -> None:
        """Boots SC&MP without a host, in simulated time only, and returns when all reachable chips are up.

        Raises:
            ImageMissing: no `image` was given and SpiNNMan is not installed.
            EmulatorError: the machine did not come up.
        """
        prepared = patched_image(image if image is not None else scamp_image(), self.topology.version, unix_time=0)
        self.native.boot(self._index[0, 0], prepared)
        limit = self.time + _BOOT_LIMIT
        while self.time < limit:
            self.run(0.05)
            phases = [chip.read(_NETINIT_PHASE, 1)[0] for chip in self if chip.counters["booted"]]
            if phases and min(phases) == _NETINIT_DONE:
                return
        raise EmulatorError(f"SC&MP did not finish its start in {_BOOT_LIMIT} simulated seconds", label="emulator bug")

    def snapshot(self) -> bytes:
        """The whole machine as bytes, for `restore`. Open sockets and recordings are not part of it."""
        return bytes(self.native.snapshot())

    def restore(self, snapshot: bytes) -> None:
        """Puts the machine back to where `snapshot` was taken, on a machine of the same shape.

        Raises:
            EmulatorError: the snapshot is damaged, or of another machine or build.
        """
        try:
            self.native.restore(snapshot)
        except ValueError as error:
            raise EmulatorError(str(error), remedy="boot the machine again") from error

    def set_rates(self, faults: Faults) -> None:
        """From now on the error rates and the seed of `faults`, also after a `restore`; dead parts stay as they are.

        A recording does not contain this: it replays with the rates that the machine was made with.
        """
        self.native.set_faults(native_rates(faults))

    def start_recording(self) -> None:
        """From now on remembers every datagram and the simulated time it arrived at."""
        self.native.set_recording(True)

    def recording(self) -> list[Arrival]:
        """What has arrived since `start_recording`, oldest first."""
        return [Arrival(*item) for item in self.native.recorded()]

    def replay(self, arrivals: list[Arrival], seconds: float) -> None:
        """Runs to simulated time `seconds` after the machine was made, feeding `arrivals` at their recorded times."""
        listed = [(a.cycle, a.chip, a.kind, a.data) for a in arrivals]
        self.native.replay(listed, round(seconds * CYCLES_PER_SECOND))

    def fingerprint(self) -> int:
        """A hash of registers, counters and System RAM of all chips; equal machines have equal fingerprints."""
        return int(self.native.fingerprint())

    def power_cycle(self) -> None:
        """Switches all chips off and on: memories empty, boot ROM waiting."""
        self.native.power_on()

    def read(self, chip: int, core: int, address: int, size: int) -> bytes:
        """Memory of chip number `chip` as physical core `core` sees it. Raises EmulatorError where there is none."""
        try:
            return bytes(self.native.read(chip, core, address, size))
        except IndexError as error:
            raise EmulatorError(
                f"no memory at {address:#010x}..{address + size:#010x}", where=f"chip {chip}"
            ) from error

    def write(self, chip: int, core: int, address: int, data: bytes) -> None:
        """Writes memory of chip number `chip` as physical core `core` sees it. Raises EmulatorError outside memory."""
        try:
            self.native.write(chip, core, address, data)
        except IndexError as error:
            raise EmulatorError(
                f"no memory at {address:#010x}..{address + len(data):#010x}", where=f"chip {chip}"
            ) from error

    def word(self, x: int, y: int, address: int) -> int:
        """A 32-bit word of SDRAM or System RAM of chip (x, y)."""
        return int(struct.unpack("<I", self.chip(x, y).read(address, 4))[0])

    def close(self) -> None:
        """Stops the machine and frees its ports. May be called twice."""
        self.native.disconnect()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(KeyboardInterrupt):
            self.close()


def emulate(
    machine: str | Topology = "spin3",
    *,
    host: str = "127.0.0.2",
    booted: bool = False,
    connected: bool = True,
    speed: float = 1.0,
    threads: int = 1,
    strict: Strictness = "off",
    faults: Faults | None = None,
) -> Machine:
    """Switches on an emulated machine.

    Args:
        machine: "spin3", "spin5", "WxH" (torus), "WxH-mesh", "WxH-triads", or a Topology.
        host: loopback address of the first board; further boards take the following addresses.
        booted: boot SC&MP at once, without a host.
        connected: open the UDP ports and let simulated time follow wall time.
        speed: simulated seconds per wall second when connected; 0 is as fast as possible.
        threads: host threads that run the machine; results do not depend on it.
        strict: "warn" also tracks which memory was written and which code was executed, and reports what goes against
            it; "stop" stops a core at its first report; both are slower.
        faults: dead parts and error rates.

    Raises:
        TopologyError: the machine cannot exist.
        PortTaken: another program listens there.
        ImageMissing: `booted` without SpiNNMan installed.
    """
    faults = faults or Faults()
    topology = parse_topology(machine) if isinstance(machine, str) else machine
    topology = topology.without(faults.chips, faults.cores, faults.links)
    made = Machine(topology, board_hosts(host, topology.boards), faults, threads, strict)
    if booted:
        made.boot()
    if connected:
        made.connect(speed)
    return made
