"""What host and core tell each other in memory: the core's record in SDRAM, its regions, its errors.

Each core has one record in its chip's SDRAM; user register 0 of its vcpu block holds the record's address before the
core starts. The host writes the first part, rings by changing `command` and sending the signal USER_0; the core
answers in the second part. A core whose walk fails stops for good: run-time exception SWERR, its record says why.
"""

from __future__ import annotations

from dataclasses import dataclass

from spindl.program.records import Field, RecordType

CORE_VERSION = 2
"""Raised whenever a field changes its place or its meaning."""
MAGIC = int.from_bytes(b"SPDC", "little")
TILES = (0x400000, 0x40E000)
"""DTCM addresses that schedules may use; the runtime keeps the rest for itself."""
LARGEST_REGIONS = 16
"""Regions that a core has room for."""

COMMANDS = {"NONE": 0, "RUN": 1, "EXIT": 2}
"""Low byte of `command`; the bits above are a sequence number, so that the same command can be given again."""
REGION_FLAGS = {"WRITABLE": 1}

KEYS = {"ARRIVE": 0xFFFD0000, "RELEASE": 0xFFFD0100}
"""Routing keys of the barriers between chips, low byte free: the chip's number. ARRIVE goes to the leading core of chip
0, RELEASE to the leading core of every chip. The payload is the barrier's number. Streams keep away from these keys."""
KEY_MASK = 0xFFFFFF00

ERRORS = {
    "NONE": (0, "no error"),
    "ARGUMENT": (1, "kernel: an argument is outside its legal range"),
    "SCRATCH": (2, "kernel: the scratch region is too small"),
    "RANGE": (3, "kernel: a value that the training graph excludes"),
    "RECORD": (32, "no record of this version at the address in user register 0"),
    "IMAGE": (33, "made for another image; details: expected, found"),
    "COMMAND": (34, "unknown command; detail: the command"),
    "REGIONS": (35, "too many regions; detail: their number"),
    "SCHEDULE_PLACE": (40, "the schedule lies outside the core's regions; details: address, bytes"),
    "SCHEDULE_MAGIC": (41, "no schedule at the given address; detail: what is there"),
    "SCHEDULE_VERSION": (42, "a schedule of another version; detail: its version"),
    "SCHEDULE_CRC": (43, "the schedule is damaged; details: CRC of its bytes, CRC in its header"),
    "SCHEDULE_BLOCK": (44, "the block of a step is malformed; details: bytes expected, bytes of its content"),
    "SCHEDULE_TABLES": (45, "exponents or sites lie outside the tiles; details: address, bytes"),
    "SCHEDULE_CORES": (53, "another number of cores than meet on this chip; details: cores, bits of virtual cores"),
    "KERNEL": (46, "the image has no such kernel; detail: its number"),
    "KERNEL_WORDS": (47, "wrong number of argument words; details: expected, found"),
    "TRANSFER_SDRAM": (48, "a transfer leaves the core's regions; details: SDRAM address, bytes from first to last"),
    "TRANSFER_DTCM": (49, "a transfer leaves the tiles; details: DTCM address, bytes from first to last"),
    "TRANSFER_SHAPE": (50, "a transfer that the DMA engine cannot make; details: bytes, rows and direction"),
    "CONDITION": (51, "the condition's word lies outside the tiles; detail: its address"),
    "OVERLAYS": (54, "the overlays of the image are not in SDRAM; detail: where they should be"),
    "OVERLAY_CRC": (55, "an overlay of the image is damaged; details: its number, CRC of its bytes"),
    "STACK": (52, "a kernel used more stack than there is"),
    "DMA": (64, "the DMA engine reports an error; details: status, SDRAM address"),
    "DMA_TIME_OUT": (65, "waiting for DMA took too long; details: rows asked for, rows done"),
    "BARRIER_TIME_OUT": (66, "waiting at a barrier took too long; details: bits of missing virtual cores, of all"),
    "MACHINE_TIME_OUT": (67, "waiting for other chips took too long; details: bits of missing chips, the barrier"),
    "RECEIVE_TIME_OUT": (68, "waiting for a stream's block took too long; details: key of its head, places missing"),
    "ACKNOWLEDGE_TIME_OUT": (70, "receivers do not acknowledge a block; details: key of its head, bits of receivers"),
    "SEND_TIME_OUT": (69, "the network takes no packets; detail: key"),
    "UNDEFINED": (80, "undefined instruction; details: its address, status"),
    "PREFETCH": (81, "instruction fetch outside memory; details: address, status"),
    "DATA": (82, "data access outside memory or unaligned; details: address of the instruction, status"),
    "INTERRUPT": (83, "an interrupt that nobody asked for; detail: sources"),
}  # fmt: skip
"""Name -> (number, meaning with what the two details are)."""

_WALK = (
    Field("cycles_low", "I", "core clock cycles of the last run, sleeping ones included"),
    Field("cycles_high", "I", "their high word"),
    Field("kernel_low", "I", "cycles inside kernels"),
    Field("kernel_high", "I", "their high word"),
    Field("dma_low", "I", "cycles asleep until a transfer ended"),
    Field("dma_high", "I", "their high word"),
    Field("barrier_low", "I", "cycles asleep at barriers"),
    Field("barrier_high", "I", "their high word"),
    Field("stream_low", "I", "cycles asleep until a block had arrived"),
    Field("stream_high", "I", "their high word"),
    Field("read_low", "I", "bytes read from SDRAM by DMA"),
    Field("read_high", "I", "their high word"),
    Field("written_low", "I", "bytes written to SDRAM by DMA"),
    Field("written_high", "I", "their high word"),
    Field("steps_done", "I", "steps of the last run that ended"),
    Field("tiles_redone", "I", "tiles whose int32 sums overflowed and were computed again exactly"),
    Field("overlays_loaded", "I", "times that code was brought from SDRAM"),
    Field("packets_sent", "I", "multicast packets sent"),
    Field("packets_received", "I", "multicast packets received"),
    Field("packets_repeated", "I", "packets of blocks that were sent again"),
)

CORE = RecordType(
    "spindl_core",
    (
        Field("magic", "I", "'SPDC'"),
        Field("version", "I", "CORE_VERSION"),
        Field("image", "I", "first 32 bits of the SHA-256 of the image that this is for"),
        Field("index", "I", "number of the core among those of its chip that meet at barriers; 0 leads"),
        Field("members", "I", "those that meet: bits of virtual cores"),
        Field("wake", "I", "the same as bits of physical cores"),
        Field("leader", "I", "physical number of the leading core"),
        Field("meeting", "I", "address of a word in System RAM or SDRAM that they share; anything at the start"),
        Field("chip", "I", "number of the chip among those that meet; 0 leads"),
        Field("chips", "I", "chips that meet at barriers with MACHINE, at most 64"),
        Field("regions", "I", "SDRAM address of the table of regions"),
        Field("region_count", "I", "entries of it, at most LARGEST_REGIONS"),
        Field("schedule", "I", "SDRAM address of the schedule table"),
        Field("schedule_bytes", "I", "its size"),
        Field("step_counters", "I", "SDRAM address of the table of step counters; 0: none"),
        Field("time_out", "I", "milliseconds that a wait may take"),
        Field("text", "I", "SDRAM address of the text buffer; 0: none"),
        Field("text_bytes", "I", "its size, its head of 16 bytes included"),
        Field("routes", "I", "SDRAM address of router entries to set; only without SC&MP"),
        Field("route_count", "I", "their number"),
        Field("overlays", "I", "SDRAM address of the image's overlays; 0: none"),
        Field("command", "I", "sequence number << 8 | command; the same number on all cores of a run"),
        Field("answer", "I", "the last command that has been carried out; from here on the core writes"),
        Field("error", "I", "number in ERRORS"),
        Field("step", "I", "number of the step in the schedule"),
        Field("kernel", "I", "its kernel"),
        Field("node", "I", "its node in the training graph"),
        Field("detail", "I", "see ERRORS"),
        Field("detail2", "I", "see ERRORS"),
        *_WALK,
    ),
)
REGION = RecordType(
    "spindl_region",
    (
        Field("start", "I", "first SDRAM address"),
        Field("end", "I", "first address behind it"),
        Field("flags", "I", "WRITABLE"),
    ),
)
ROUTE = RecordType(
    "spindl_route",
    (
        Field("key", "I", "key of the router entry"),
        Field("mask", "I", "bits of the key that count"),
        Field("route", "I", "bits 0-5 links, 6-23 physical cores"),
    ),
)
STEP_COUNTERS = RecordType(
    "spindl_step_counters",
    (
        Field("kernel", "I", "cycles inside the kernel"),
        Field("dma", "I", "cycles asleep until its loads had come"),
        Field("barrier", "I", "cycles asleep at its barriers"),
        Field("total", "I", "cycles from the end of the step before to the end of this one"),
    ),
)


@dataclass(frozen=True)
class CoreError:
    """Why a core stopped: name in ERRORS, meaning, step, kernel and node it was at, two details."""

    name: str
    meaning: str
    step: int
    kernel: int
    node: int
    details: tuple[int, int]

    def __str__(self) -> str:
        first, second = self.details
        place = f"step {self.step} (kernel {self.kernel}, node {self.node})"
        if self.name in ("RECEIVE_TIME_OUT", "ACKNOWLEDGE_TIME_OUT"):
            place += f", stream {first >> 14}, block {first >> 10 & 15} modulo 16"
        return f"{self.name} at {place}: {self.meaning}: {first:#x}, {second:#x}"


def core_error(record: bytes) -> CoreError | None:
    """The error in a core's record; None if there is none."""
    values = CORE.unpack(record)
    if values["error"] == 0:
        return None
    names = {number: (name, meaning) for name, (number, meaning) in ERRORS.items()}
    name, meaning = names.get(values["error"], (f"ERROR_{values['error']}", "unknown to this version"))
    place = (values["step"], values["kernel"], values["node"])
    return CoreError(name, meaning, *place, (values["detail"], values["detail2"]))


def core_counters(record: bytes) -> dict[str, int]:
    """Counters of the core's last run by the names of `spindl.run.counters`, and `kernel_cycles`, `steps`."""
    values = CORE.unpack(record)

    def wide(name: str) -> int:
        return values[f"{name}_high"] << 32 | values[f"{name}_low"]

    return {
        "cycles": wide("cycles"),
        "kernel_cycles": wide("kernel"),
        "cycles_waiting_dma": wide("dma"),
        "cycles_waiting_barrier": wide("barrier"),
        "cycles_waiting_stream": wide("stream"),
        "sdram_bytes_read": wide("read"),
        "sdram_bytes_written": wide("written"),
        "steps": values["steps_done"],
        "tiles_redone": values["tiles_redone"],
        "overlays_loaded": values["overlays_loaded"],
        "packets_sent": values["packets_sent"],
        "packets_repeated": values["packets_repeated"],
        "packets_received": values["packets_received"],
    }


def c_header() -> str:
    """The text of `spindl_core.h`: versions, commands, keys, errors and the records."""
    macros = {"CORE_VERSION": CORE_VERSION, "CORE_MAGIC": MAGIC, "TILES_START": TILES[0], "TILES_END": TILES[1]}
    macros |= {"LARGEST_REGIONS": LARGEST_REGIONS, "KEY_MASK": KEY_MASK}
    macros |= {f"COMMAND_{name}": value for name, value in COMMANDS.items()}
    macros |= {f"REGION_{name}": value for name, value in REGION_FLAGS.items()}
    macros |= {f"KEY_{name}": value for name, value in KEYS.items()}
    macros |= {f"STOP_{name}": number for name, (number, _) in ERRORS.items()}
    lines = ["/* Generated by spindl.program.core. */", "#ifndef SPINDL_CORE_H"]
    lines += ["#define SPINDL_CORE_H", "", "#include <stdint.h>", ""]
    lines += [f"#define SPINDL_{name} {value}u" for name, value in macros.items()]
    for record in (CORE, REGION, ROUTE, STEP_COUNTERS):
        lines += ["", *record.c_typedef()]
    return "\n".join([*lines, "", "#endif", ""])
