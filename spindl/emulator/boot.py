"""The SC&MP boot image from the user's installed SpiNNMan, prepared as a host prepares it."""

from __future__ import annotations

import struct
from importlib.util import find_spec
from pathlib import Path

from spindl.emulator.errors import ImageMissing

_SYSTEM_VARIABLES = 384  # offset of the first 128 bytes of `sv` in the image (spinnaker_tools scamp-boot.c)
_LED_0 = {3: 0x00000502, 5: 0x00000001}  # SpiNNMan's boot_led_0_value by hardware version


def scamp_image() -> bytes:
    """The boot image of SC&MP 4.0.0 as SpiNNMan ships it.

    Raises:
        ImageMissing: SpiNNMan is not installed.
    """
    package = find_spec("spinnman")
    if package is None or package.origin is None:
        raise ImageMissing
    images = sorted(Path(package.origin).parent.glob("messages/spinnaker_boot/boot_data/*.boot"))
    if not images:
        raise ImageMissing
    return images[-1].read_bytes()


def patched_image(image: bytes, version: int, unix_time: int) -> bytes:
    """`image` with its system variables as SpiNNMan sends them (offsets: sark.struct).

    Hardware version, time, LEDs and the root flag are set; the system heap in SDRAM and the software watchdog are off.
    """
    patched = bytearray(image)
    settings = (
        (0x0A, "<B", version), (0x1C, "<I", unix_time), (0x30, "<I", _LED_0[version]), (0x40, "<B", 1),
        (0x43, "<B", 0), (0x4C, "<I", 0),
    )  # fmt: skip
    for offset, form, value in settings:
        struct.pack_into(form, patched, _SYSTEM_VARIABLES + offset, value)
    return bytes(patched)
