"""Chips and cores of a running machine, to look at and to write to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spindl.emulator.errors import EmulatorError
from spindl.emulator.records import FAULT_LABELS, FAULT_NAMES, PACKET_EVENTS, Executed, PacketEvent, Report

if TYPE_CHECKING:
    from spindl.emulator.machine import Machine

_SV = 0xF5007F00  # system variables in System RAM (sark.h)
_VCPU, _VCPU_SIZE, _VCPU_STATE = 0xE5007000, 128, 0x2E
_VIRTUAL_TO_PHYSICAL = 0xA8
_CORES = 18
_ROUTER_ENTRIES = 1024
_ROUTES, _KEYS, _MASKS = 0xF1004000, 0xF1008000, 0xF100C000  # tables of the router (datasheet section 10)
_REGISTERS = (*(f"r{i}" for i in range(13)), "sp", "lr", "pc")
_MODES = {0x10: "user", 0x11: "FIQ", 0x12: "IRQ", 0x13: "supervisor", 0x17: "abort", 0x1B: "undefined", 0x1F: "system"}
CPU_STATES = (
    "dead", "powered_down", "run_time_exception", "watchdog", "initialising", "ready", "c_main", "running",
    "sync0", "sync1", "paused", "finished", "12", "13", "14", "idle",
)  # fmt: skip


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

    @property
    def stopped(self) -> bool:
        """True if strictness has stopped the core; its next reset lets it go."""
        return bool(self.machine.native.core_state(self.chip, self.physical)["stopped"])

    @property
    def reports(self) -> list[Report]:
        """The chip's reports about this core, oldest first."""
        return [report for report in self.chip_view.reports if report.core == self.physical]

    @property
    def chip_view(self) -> ChipView:
        """The chip that the core is on."""
        return ChipView(self.machine, self.chip, self.x, self.y)

    def post_mortem(self, last: int = 20) -> str:
        """Why it stopped, registers, status and, if the core was watched, its last instructions, as text.

        Addresses of code are named if the machine was given the program's ELF file (`Machine.symbols`).
        """
        registers, cpsr, reports = self.registers, self.cpsr, self.reports
        lines = [f"chip ({self.x}, {self.y}) core {self.physical}"]
        if self.stopped and reports:
            report = reports[-1]
            registers, cpsr = (*report.registers, report.pc), report.cpsr
            lines.append(f"stopped: {report}")
        symbols = self.machine.symbols_of(self)
        pairs = [f"{name:>3}={value:08x}" for name, value in zip(_REGISTERS, registers, strict=True)]
        lines += ["  ".join(pairs[row : row + 4]) for row in range(0, 16, 4)]
        lines.append(f"cpsr={cpsr:08x} ({_MODES.get(cpsr & 31, 'no mode')}{', Thumb' if cpsr & 32 else ''})")
        if named := [f"{name} in {symbols.name(at)}" for name, at in (("pc", registers[15]), ("lr", registers[14]))
                     if symbols.name(at)]:  # fmt: skip
            lines.append("  ".join(named))
        mine = [entry for entry in self.chip_view.history if entry.core == self.physical]
        lines += [
            f"  {entry.cycle:>12}  {entry.pc:08x}  {entry.word:0{4 if entry.thumb else 8}x}  {symbols.name(entry.pc)}"
            for entry in mine[-last:]
        ]
        return "\n".join(line.rstrip() for line in lines)

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

    def read_register(self, address: int) -> int:
        """A register of router, system controller or Ethernet (0xe1000000 and up), without what reading does to it."""
        return int(self.machine.native.peek_register(self.index, address))

    def write_register(self, address: int, value: int) -> None:
        """Writes a register of router, system controller or Ethernet, as a core would. Not part of a recording."""
        self.machine.native.poke_registers(self.index, [(address, value)])

    def load_routes(self, entries: Sequence[tuple[int, int, int]]) -> None:
        """Fills the multicast table from its first entry on, for programs that run without SC&MP.

        Args:
            entries: at most 1024 of (key, mask, route), by falling priority; bits 0-5 of a route are links, 6-23
                physical cores.

        Raises:
            EmulatorError: too many entries.
        """
        if len(entries) > _ROUTER_ENTRIES:
            raise EmulatorError(
                f"{len(entries)} entries are too many: a router has {_ROUTER_ENTRIES}",
                where=f"chip ({self.x}, {self.y})",
            )
        writes = [
            (base + 4 * number, value)
            for number, (key, mask, route) in enumerate(entries)
            for base, value in ((_ROUTES, route), (_MASKS, mask), (_KEYS, key))
        ]
        self.write_registers(writes)

    def write_registers(self, writes: Sequence[tuple[int, int]]) -> None:
        """Writes registers of the system controller or router, (address, value) each, as a core would."""
        self.machine.native.poke_registers(self.index, list(writes))

    @property
    def counters(self) -> dict[str, Any]:
        """Counters of router, links, SDRAM and Ethernet since power-on.

        By link: `links` (packets, lost, corrupted), `links_disturbed` (multicast packets repeated, reordered).
        """
        return dict(self.machine.native.chip_state(self.index))

    @property
    def monitor(self) -> int:
        """The physical core that runs SC&MP."""
        return int(self.counters["monitor"])

    @property
    def monitor_failure(self) -> Report | None:
        """What SC&MP on this chip ran into first, if that ended it: it makes no such access while it works."""
        if not self.counters["booted"]:
            return None
        mine = self.physical(self.monitor).reports
        return next((report for report in mine if report.label == "program error"), None)

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
            Report(
                FAULT_NAMES[fault], FAULT_LABELS[FAULT_NAMES[fault]], core, pc, address, cycle, count, cpsr, tuple(r)
            )
            for fault, core, pc, address, cycle, count, cpsr, r in self.machine.native.reports(self.index)
        ]
