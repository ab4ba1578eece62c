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
OVERLAY_BYTES = (3852, 2400, 2844, 3092, 2080, 2436, 1872)
"""Bytes of each overlay of the image, by its number less 1; tests/kernels/test_overlays.py holds them equal."""
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
GAP, SHARED_GAP = 80, 88
"""Cycles from packet to packet of a stream that has its links alone: a little more than the 76 that a link takes. And
of one that shares a link, for each that does: links that are offered what they take block their routers now and then,
and with them all other streams. With two streams a link the routers of four chips dropped 850 packets each in a step of
the thesis's MLP at 80 for each, none at 88."""
SEND_BLOCK, SEND_WORD, PASS_ON_WORD = 1430, 87, 116
"""`send` to a chip nearby: the block, checksum and acknowledgement included, and each word at a gap of GAP; or as long
as both take on a core that receives at the same moment, as in a ring."""
CROWDED_RINGS, CROWDED_TREE = PASS_ON_WORD, 240
"""Cycles from packet to packet where rings and tree are at work at once over the same links: of all rings of a link
together, and of the tree. On 16 chips no router dropped a packet so in steps of the thesis's MLP, with the tree at 180
or the rings at their own 80 some hundred."""
LATER_WORD = 16
"""What a word takes beyond a longer gap on a core that receives at the same moment: it looks at the clock too late."""


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


def gap(streams: int, crowded: bool = False) -> int:
    """Cycles from packet to packet, at least, of each of some streams that share a link in one direction.

    Args:
        streams: of rings.
        crowded: the tree's go over the same links at the same time.
    """
    return CROWDED_RINGS * streams if crowded else GAP if streams == 1 else SHARED_GAP * streams


def word(gap: int, receiving: bool) -> int:
    """Cycles of a word of `send` with a gap; receiving: a block of the same size comes in meanwhile."""
    if gap <= GAP:
        return PASS_ON_WORD if receiving else SEND_WORD
    return gap + LATER_WORD


def stream(kernel: str, words: int, receiving: bool = False, gap: int = GAP) -> int:
    """Cycles of `send`, `listen` or `receive`, waiting for others aside.

    A phase of exchanges takes as long as its slowest core: in an exchange with one sender that is the sender, and its
    receivers wait beside it; in a ring all cores send while they receive.

    Args:
        kernel: its name.
        words: of the block; 0 for receive, which is not told.
        receiving: a block of the same size comes in meanwhile.
        gap: of `send`.
    """
    return {"send": SEND_BLOCK + word(gap, receiving) * words, "listen": LISTEN, "receive": RECEIVE}[kernel]
