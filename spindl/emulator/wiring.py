"""From a Topology to the configuration of the native machine."""

from __future__ import annotations

from typing import Any

from spindl import _emulator
from spindl.emulator.errors import EmulatorError
from spindl.emulator.records import Faults, Strictness
from spindl.machine import CHIP, Topology


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


STRICTNESS: tuple[Strictness, ...] = ("off", "warn", "stop")  # as chip/config.hpp numbers them


def native_config(topology: Topology, faults: Faults, hosts: list[str], threads: int, strict: Strictness) -> Any:
    """The native MachineConfig of this machine; `hosts` by board. Raises EmulatorError for an unknown strictness."""
    if strict not in STRICTNESS:
        raise EmulatorError(f"strict is {strict!r}", remedy="use off, warn or stop")
    config = _emulator.MachineConfig()
    config.costs = _costs()
    config.hardware_version = topology.version
    config.threads = threads
    config.strict = STRICTNESS.index(strict)
    config.faults = native_rates(faults)
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


def native_rates(faults: Faults) -> Any:
    """The error rates and their seed as the native FaultConfig."""
    rates = _emulator.FaultConfig()
    for name in (
        *("seed", "packet_loss", "packet_corruption", "sdram_bit_error"),
        *("multicast_loss", "multicast_repeat", "multicast_reorder"),
    ):
        setattr(rates, name, getattr(faults, name))
    return rates


def board_hosts(first: str, boards: int) -> list[str]:
    """Loopback addresses of the boards, from `first` upwards. Raises EmulatorError if there are none."""
    parts = [int(part) for part in first.split(".")] if first.replace(".", "").isdigit() else []
    if len(parts) != 4 or parts[0] != 127 or not all(0 <= part <= 255 for part in parts):
        raise EmulatorError(
            f"{first!r} is not a loopback address", remedy="use 127.0.0.2 or another address in 127.0.0.0/8"
        )
    if first == "127.0.0.1":
        raise EmulatorError("SpiNNMan takes 127.0.0.1 for its virtual machine", remedy="use 127.0.0.2 or higher")
    start = int.from_bytes(bytes(parts), "big")
    return [".".join(str(byte) for byte in (start + board).to_bytes(4, "big")) for board in range(boards)]
