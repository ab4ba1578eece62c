"""The Python face of an emulated machine."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from spindl import _emulator
from spindl.emulator.boot import patched_image, scamp_image
from spindl.emulator.errors import EmulatorError, PortTaken
from spindl.machine import CHIP, Topology, parse_topology

CYCLES_PER_SECOND = int(CHIP.clock.value)

_SV = 0xF5007F00  # system variables in System RAM (sark.h)
_NETINIT_PHASE, _NETINIT_DONE = 0x2D, 255
_VCPU, _VCPU_SIZE, _VCPU_STATE = 0xE5007000, 128, 0x2E
_VIRTUAL_TO_PHYSICAL = 0xA8
_BOOT_LIMIT = 60.0  # simulated seconds; 48 chips need about 6
_CORES = 18
CPU_STATES = (
    "dead", "powered_down", "run_time_exception", "watchdog", "initialising", "ready", "c_main", "running",
    "sync0", "sync1", "paused", "finished", "12", "13", "14", "idle",
)  # fmt: skip
FAULT_NAMES = (
    "unaligned", "unmapped", "uninitialised", "code_write", "undefined_instruction", "unpredictable",
    "unimplemented_register", "tcm_overrun",
)  # fmt: skip
FAULT_LABELS = {
    "unaligned": "program error",
    "unmapped": "program error",
    "uninitialised": "undefined behaviour",
    "code_write": "undefined behaviour",
    "undefined_instruction": "program error",
    "unpredictable": "undefined behaviour",
    "unimplemented_register": "unimplemented",
    "tcm_overrun": "program error",
}


@dataclass(frozen=True)
class Faults:
    """Dead parts and error rates that a machine is made with.

    Attributes:
        chips: coordinates of dead chips.
        cores: (x, y, physical core) that fail their self-test.
        links: (x, y, link), dead in that direction only.
        packet_loss: probability that a packet is lost on a link, per packet and hop.
        packet_corruption: probability that one bit of a packet's key flips on a link.
        sdram_bit_error: probability that one bit flips, per DMA burst read.
        seed: of the random faults; equal seeds give equal faults.
    """

    chips: frozenset[tuple[int, int]] = frozenset()
    cores: frozenset[tuple[int, int, int]] = frozenset()
    links: frozenset[tuple[int, int, int]] = frozenset()
    packet_loss: float = 0.0
    packet_corruption: float = 0.0
    sdram_bit_error: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Report:
    """Something a program did that silicon would not tell it about.

    Attributes:
        kind: one of FAULT_NAMES.
        label: whose problem it is (FAULT_LABELS).
        core: physical core; pc and address: where and at what; cycle: when first; count: how often at this pc.
    """

    kind: str
    label: str
    core: int
    pc: int
    address: int
    cycle: int
    count: int


@dataclass(frozen=True)
class Executed:
    """One executed instruction of a watched core.

    Attributes:
        cycle: when it began; core: physical core; pc, word: where and what (16 bits if `thumb`).
        cpsr, registers: status and r0 to r14 after it.
    """

    cycle: int
    core: int
    pc: int
    word: int
    thumb: bool
    cpsr: int
    registers: tuple[int, ...]


PACKET_EVENTS = ("sent", "received", "routed", "forwarded", "dropped", "lost")


@dataclass(frozen=True)
class PacketEvent:
    """One thing that happened to a packet on a chip.

    Attributes:
        cycle: when; event: one of PACKET_EVENTS.
        place: core for sent and received, link for forwarded and lost, route bits for routed and dropped.
        key, payload, control: the packet.
    """

    cycle: int
    event: str
    place: int
    key: int
    payload: int
    control: int


@dataclass(frozen=True)
class Arrival:
    """A datagram or frame from outside: cycle, index of the chip, kind (0 frame, 1 boot datagram), and its bytes."""

    cycle: int
    chip: int
    kind: int
    data: bytes


def _costs() -> Any:
    costs = _emulator.Costs()
    clock = CHIP.clock.value
    costs.peripheral = int(CHIP.peripheral_latency.value)
    costs.system_register = int(CHIP.system_register_latency.value)
    costs.system_ram = int(CHIP.system_ram_latency.value)
    costs.sdram = int(CHIP.sdram_latency.value)
    costs.sdram_bytes_per_cycle = CHIP.sdram_bandwidth.value / clock
    costs.dma_bytes_per_cycle = CHIP.dma_bandwidth.value / clock
    costs.hop = round(CHIP.hop_latency.value * clock)
    costs.link_cycles_per_symbol = CHIP.symbol_time.value * clock
    costs.ethernet_frame = round(CHIP.ethernet_release.value * clock)
    return costs


def _config(topology: Topology, faults: Faults, hosts: list[str], threads: int, strict: bool) -> Any:
    config = _emulator.MachineConfig()
    config.costs = _costs()
    config.hardware_version = topology.version
    config.threads = threads
    config.strict = strict
    rates = _emulator.FaultConfig()
    rates.seed = faults.seed
    rates.packet_loss = faults.packet_loss
    rates.packet_corruption = faults.packet_corruption
    rates.sdram_bit_error = faults.sdram_bit_error
    config.faults = rates
    index = {(place.x, place.y): i for i, place in enumerate(topology.places)}
    for place in topology.places:
        chip = _emulator.ChipConfig()
        chip.x, chip.y = place.x, place.y
        chip.neighbour = [-1 if xy is None else index[xy] for xy in place.neighbours]
        chip.working_cores = place.working_cores
        chip.ethernet = place.ethernet
        chip.ip = [int(part) for part in hosts[place.board].split(".")]
        chip.board = place.board
        config.add_chip(chip)
    return config


@dataclass(frozen=True)
class CoreView:
    """One core of a running machine, by physical number."""

    machine: Machine = field(repr=False)
    chip: int = field(repr=False)
    x: int
    y: int
    physical: int

    @property
    def counters(self) -> dict[str, int]:
        """Since power-on: cycles, instructions, interlock_cycles, bus_wait_cycles, exceptions, interrupts."""
        state = self.machine.native.core_state(self.chip, self.physical)
        names = ("cycles", "instructions", "interlock_cycles", "bus_wait_cycles", "exceptions", "interrupts")
        return {name: state[name] for name in names}

    @property
    def registers(self) -> tuple[int, ...]:
        """r0 to r15 of the current mode; r15 is the address of the next instruction."""
        return tuple(self.machine.native.core_state(self.chip, self.physical)["registers"])

    @property
    def cpsr(self) -> int:
        """The current program status register."""
        return int(self.machine.native.core_state(self.chip, self.physical)["cpsr"])

    @property
    def waiting(self) -> bool:
        """True while the core sleeps in wait-for-interrupt."""
        return bool(self.machine.native.core_state(self.chip, self.physical)["waiting"])

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes as this core sees them. Raises EmulatorError where there is no memory."""
        return self.machine.read(self.chip, self.physical, address, size)

    def write(self, address: int, data: bytes) -> None:
        """Writes memory as this core sees it. Raises EmulatorError where there is no memory."""
        self.machine.write(self.chip, self.physical, address, data)

    def post_mortem(self, last: int = 20) -> str:
        """Registers, status and, if the core was watched, its last instructions, as text."""
        names = [*(f"r{i}" for i in range(13)), "sp", "lr", "pc"]
        registers = "  ".join(f"{name}={value:08x}" for name, value in zip(names, self.registers, strict=True))
        lines = [f"chip ({self.x}, {self.y}) core {self.physical}  cpsr={self.cpsr:08x}", registers]
        mine = [
            entry for entry in ChipView(self.machine, self.chip, self.x, self.y).history if entry.core == self.physical
        ]
        lines += [
            f"  {entry.cycle:>12}  {entry.pc:08x}  {entry.word:0{4 if entry.thumb else 8}x}" for entry in mine[-last:]
        ]
        return "\n".join(lines)

    def start(self, address: int = 0) -> None:
        """Releases the core from reset at `address` (bit 0: Thumb), for programs that run without SC&MP."""
        self.machine.native.start_core(self.chip, self.physical, address)


@dataclass(frozen=True)
class ChipView:
    """One chip of a running machine."""

    machine: Machine = field(repr=False)
    index: int = field(repr=False)
    x: int
    y: int

    def core(self, virtual: int) -> CoreView:
        """The core that SC&MP calls `virtual` (0 is the monitor). Needs a booted chip; before that use `physical`."""
        number = self.read(_SV + _VIRTUAL_TO_PHYSICAL + virtual, 1)[0]
        if virtual >= _CORES or number >= _CORES:
            raise EmulatorError(f"SC&MP has no core {virtual}", where=f"chip ({self.x}, {self.y})")
        return self.physical(number)

    def physical(self, number: int) -> CoreView:
        """The core with this physical number."""
        return CoreView(self.machine, self.index, self.x, self.y, number)

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes of SDRAM or System RAM. Raises EmulatorError where there is no memory."""
        return self.machine.read(self.index, 0, address, size)

    def write(self, address: int, data: bytes) -> None:
        """Writes SDRAM or System RAM. Raises EmulatorError where there is no memory."""
        self.machine.write(self.index, 0, address, data)

    @property
    def counters(self) -> dict[str, Any]:
        """Counters of router, links (packets, lost, corrupted), SDRAM and Ethernet since power-on."""
        return dict(self.machine.native.chip_state(self.index))

    @property
    def states(self) -> list[str]:
        """State of each virtual core as SC&MP keeps it."""
        blocks = self.read(_VCPU, _VCPU_SIZE * _CORES)
        return [CPU_STATES[blocks[i * _VCPU_SIZE + _VCPU_STATE] & 15] for i in range(_CORES)]

    def watch(self, *cores: int, limit: int = 4096) -> None:
        """Keeps the last `limit` instructions of these physical cores in `history`. Slow, not different."""
        self.machine.native.watch(self.index, sum(1 << core for core in cores), limit)

    @property
    def history(self) -> list[Executed]:
        """The last instructions of the watched cores, oldest first."""
        entries = self.machine.native.history(self.index)
        return [Executed(*entry) for entry in entries]

    def trace_packets(self, key: int = 0, mask: int = 0, limit: int = 100_000) -> None:
        """Remembers what happens on this chip to packets with key & `mask` == `key`, up to `limit` events."""
        self.machine.native.trace_packets(self.index, key, mask, limit)

    @property
    def packet_events(self) -> list[PacketEvent]:
        """What `trace_packets` has remembered, oldest first."""
        return [
            PacketEvent(cycle, PACKET_EVENTS[event], *rest)
            for cycle, event, *rest in self.machine.native.traced_packets(self.index)
        ]

    @property
    def reports(self) -> list[Report]:
        """What the chip's cores did that a program should not do, oldest first."""
        return [
            Report(FAULT_NAMES[fault], FAULT_LABELS[FAULT_NAMES[fault]], core, pc, address, cycle, count)
            for fault, core, pc, address, cycle, count in self.machine.native.reports(self.index)
        ]


class Machine:
    """An emulated machine. Make one with `emulate`; use it as a context manager, or call `close`.

    Attributes:
        topology: its chips and links.
        hosts: loopback address of each board's Ethernet chip, by board.
        native: the C++ machine; private to this package.
    """

    def __init__(self, topology: Topology, hosts: list[str], faults: Faults, threads: int, strict: bool) -> None:
        self.topology = topology
        self.hosts = hosts
        self.native = _emulator.Machine(_config(topology, faults, hosts, threads, strict))
        self._index = {(place.x, place.y): i for i, place in enumerate(topology.places)}

    @property
    def host(self) -> str:
        """Address of the board with chip (0, 0): what a host program is given as the machine's name."""
        return self.hosts[0]

    @property
    def time(self) -> float:
        """Simulated seconds since the machine was made."""
        return float(self.native.now) / CYCLES_PER_SECOND

    def chip(self, x: int, y: int) -> ChipView:
        """The chip at (x, y). Raises EmulatorError if there is none."""
        if (x, y) not in self._index:
            raise EmulatorError(f"there is no chip at ({x}, {y})", where=self.topology.name)
        return ChipView(self, self._index[x, y], x, y)

    def __iter__(self) -> Iterator[ChipView]:
        return (ChipView(self, i, place.x, place.y) for i, place in enumerate(self.topology.places))

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
            phases = [chip.read(_SV + _NETINIT_PHASE, 1)[0] for chip in self if chip.counters["booted"]]
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


def _hosts(first: str, boards: int) -> list[str]:
    parts = [int(part) for part in first.split(".")] if first.replace(".", "").isdigit() else []
    if len(parts) != 4 or parts[0] != 127 or not all(0 <= part <= 255 for part in parts):
        raise EmulatorError(
            f"{first!r} is not a loopback address", remedy="use 127.0.0.2 or another address in 127.0.0.0/8"
        )
    if first == "127.0.0.1":
        raise EmulatorError("SpiNNMan takes 127.0.0.1 for its virtual machine", remedy="use 127.0.0.2 or higher")
    start = int.from_bytes(bytes(parts), "big")
    return [".".join(str(byte) for byte in (start + board).to_bytes(4, "big")) for board in range(boards)]


def emulate(
    machine: str | Topology = "spin3",
    *,
    host: str = "127.0.0.2",
    booted: bool = False,
    connected: bool = True,
    speed: float = 1.0,
    threads: int = 1,
    strict: bool = False,
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
        strict: also track uninitialised memory; slower.
        faults: dead parts and error rates.

    Raises:
        TopologyError: the machine cannot exist.
        PortTaken: another program listens there.
        ImageMissing: `booted` without SpiNNMan installed.
    """
    faults = faults or Faults()
    topology = parse_topology(machine) if isinstance(machine, str) else machine
    topology = topology.without(faults.chips, faults.cores, faults.links)
    made = Machine(topology, _hosts(host, topology.boards), faults, threads, strict)
    if booted:
        made.boot()
    if connected:
        made.connect(speed)
    return made
