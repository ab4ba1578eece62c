"""Plain records: faults that a machine is made with, and what looking inside a machine returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Strictness = Literal["off", "warn", "stop"]

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
        multicast_loss, multicast_repeat, multicast_reorder: probabilities that a multicast packet is lost on a link,
            passed on twice, or passed on behind the next 1 to 16 multicast packets of the link, whenever they come.
            SC&MP's own packets, which are of other types, are left alone.
    """

    chips: frozenset[tuple[int, int]] = frozenset()
    cores: frozenset[tuple[int, int, int]] = frozenset()
    links: frozenset[tuple[int, int, int]] = frozenset()
    packet_loss: float = 0.0
    packet_corruption: float = 0.0
    sdram_bit_error: float = 0.0
    seed: int = 0
    multicast_loss: float = 0.0
    multicast_repeat: float = 0.0
    multicast_reorder: float = 0.0


@dataclass(frozen=True)
class Report:
    """Something a program did that silicon would not tell it about.

    Attributes:
        kind: one of FAULT_NAMES.
        label: whose problem it is (FAULT_LABELS).
        core: physical core; pc and address: where and at what; cycle: when first; count: how often at this pc.
        cpsr, registers: status and r0 to r14 when it happened first.
    """

    kind: str
    label: str
    core: int
    pc: int
    address: int
    cycle: int
    count: int
    cpsr: int
    registers: tuple[int, ...]

    def __str__(self) -> str:
        times = f", {self.count} times" if self.count > 1 else ""
        kind = self.kind.replace("_", " ")
        return f"{self.label}: {kind} at {self.address:#010x}, core {self.core}, pc {self.pc:#010x}{times}"


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
