"""What the runtime of a core costs beside its kernels, in core clock cycles, measured on the emulator.

tests/kernels/test_runtime_cycles.py compares these with the image; docs/kernels.md says what they contain.
"""

from __future__ import annotations

from spindl.machine import CHIP

STEP = 875
"""A step without transfers and kernel: fetching and checking its block, waiting for nothing."""
KERNEL = 75
"""Calling a kernel."""
QUEUE = 150
"""Queueing a step's loads, and again its stores."""
TRANSFER = 200
"""Checking and beginning one transfer."""
ROW = 54
"""One row of a transfer: the interrupt that gives the DMA engine the next. Beside the kernel, at its expense."""
STEP_COUNTERS = 155
"""Writing a step's counters to SDRAM, where they are asked for."""
CRC_WORD = 25
"""Checking a word of the schedule table, when a core meets the table for the first time."""
LEARNING = 2000
"""What a contraction takes longer where its site is new to the core in this step: blocks with the largest sums yet."""
CRC_TABLE = 20000
"""Making the table for a CRC."""
OVERLAY_BYTES = (3852, 2400, 2844, 3092, 2080, 2436, 1804)
"""Code of each overlay of the image, by its number less 1."""
ROW_LEAST = 40
"""From the beginning of a row to that of the next one, at least, however short it is."""
STEP_BEFORE = 100
"""The part of STEP that comes before a step's barrier and loads."""
STEP_OPEN = 400
"""The part that checks the block of the next step, before its loads begin."""
WAKE = 60
"""From the interrupt that ends a wait to what the core does next."""
START = 2500
"""Before the first block is fetched: regions, header."""
BARRIER, BARRIER_PER_CORE = 405, 15
"""From the arrival of the last core to the next step of all; cores of a chip that arrive together, fetch together."""
LISTEN, RECEIVE = 560, 150
"""`listen`, and `receive` for a block that is complete; otherwise it waits as long as the block's sender takes."""
SEND_BLOCK, SEND_WORD, PASS_ON_WORD = 1430, 76, 92
"""`send` to a chip nearby: the block, checksum and acknowledgement included, and each word: at the rate of a link; or
as long as both take on a core that receives at the same moment, as in a ring."""


def barrier(cores: int) -> int:
    """Cycles of a barrier of a chip's cores; 0 for one core."""
    return BARRIER + BARRIER_PER_CORE * cores if cores > 1 else 0


def check(table: int, cores: int) -> int:
    """Cycles of checking a schedule of some bytes, when a core meets it for the first time.

    All cores of a chip do it at once, some still with the image's overlays: the SDRAM may be slower than the sums.
    """
    loaded = (table + sum(OVERLAY_BYTES)) * cores * CHIP.clock.value / CHIP.sdram_bandwidth.value
    return CRC_TABLE + max(CRC_WORD * table // 4, round(loaded) if cores > 2 else 0)


def step(kernel: bool, loads: int, stores: int, rows: int) -> int:
    """Cycles of one step beside its kernel and beside waiting for SDRAM; rows: of all its transfers."""
    queues = (loads > 0) + (stores > 0)
    return STEP + KERNEL * kernel + QUEUE * queues + TRANSFER * (loads + stores) + ROW * rows


def gap(streams: int) -> int:
    """Cycles from packet to packet of each of some streams that share a link in one direction; 0 if one has it alone.

    A link that is offered more than it takes blocks the routers of a ring in a circle, and they drop packets: of a
    step of LeNet-5 on four chips with four rings 2,600 per chip without a gap, 2,200 at 152 (the link's own rate),
    160 at 190, and none at 210.
    """
    return 105 * streams if streams > 1 else 0


def stream(kernel: str, words: int, receiving: bool = False) -> int:
    """Cycles of `send`, `listen` or `receive`, waiting for others aside.

    A phase of exchanges takes as long as its slowest core: in an exchange with one sender that is the sender, and its
    receivers wait beside it; in a ring all cores send while they receive.

    Args:
        kernel: its name.
        words: of the block; 0 for receive, which is not told.
        receiving: a block of the same size comes in meanwhile.
    """
    word = PASS_ON_WORD if receiving else SEND_WORD
    return {"send": SEND_BLOCK + word * words, "listen": LISTEN, "receive": RECEIVE}[kernel]
