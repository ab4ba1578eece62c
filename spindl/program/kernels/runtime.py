"""Kernels that the runtime itself brings: words about in DTCM, streams between cores.

`send`, `listen` and `receive` exist on the cores only. A block goes from one core to up to 32 receivers: each of them
has called `listen` (`send` waits for that, two milliseconds at most; then words are asked for). A block is acknowledged
when all of it is there and its checksum is right: at once if its core is in `send`, `listen` or `receive`, so that all
cores of a ring may send at the same time. `receive` only waits for that; `send` returns when all have acknowledged.
"""

from spindl.program.kernels.kernel import Kernel
from spindl.program.records import Field

_STREAM = Field("stream", "I", "its number, even; the answers use stream + 1")
_BLOCK = Field("block", "I", "number of the block")

RUNTIME_KERNELS: tuple[Kernel, ...] = (
    Kernel(
        "copy",
        160,
        (
            Field("x", "I", "source, a multiple of 4"),
            Field("y", "I", "destination, a multiple of 4; must not begin inside the source behind its first word"),
            Field("words", "I", "number of 32-bit words"),
        ),
        "y = x, word by word.",
    ),
    Kernel(
        "send",
        240,
        (
            _STREAM,
            _BLOCK,
            Field("x", "I", "the words, a multiple of 4"),
            Field("words", "I", "their number, 1 to 1023"),
            Field("receivers", "I", "bits of the receivers that have to acknowledge"),
            Field("gap", "I", "cycles from packet to packet, at least"),
        ),
        "Sends a block and waits until every receiver has it; sends again what they ask for.",
        on_host=False,
    ),
    Kernel(
        "listen",
        241,
        (
            Field("slot", "I", "0 or 1: two blocks can be under way"),
            _STREAM,
            _BLOCK,
            Field("y", "I", "room for the block's head and its words, a multiple of 4"),
            Field("words", "I", "number of words, 1 to 1023"),
            Field("receiver", "I", "number of this receiver among those of the stream, 0 to 31"),
        ),
        "From now on the block's packets are taken: the word of place p goes to y + 4 p, the head to y. A slot may be "
        "listened to again after its `receive`.",
        on_host=False,
    ),
    Kernel(
        "receive",
        242,
        (Field("slot", "I", "as given to listen"),),
        "Waits until the block is complete, checked and acknowledged, asking for what is missing.",
        on_host=False,
    ),
)
