"""Counters of a step: the same names, units and meanings on every executor.

An executor reports those it can count and leaves out the others; it never reports a zero for what it did not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from spindl.run.interface import RunError

COUNTERS_VERSION = 1
"""Raised whenever a name changes its meaning."""

Scope = Literal["step", "core", "chip", "link"]
Source = Literal["measured", "modelled"]


@dataclass(frozen=True)
class Counter:
    """What is counted, in what unit, and for each what."""

    unit: str
    scope: Scope
    meaning: str


COUNTERS: dict[str, Counter] = {
    "images": Counter("images", "step", "images of the batch"),
    "loss": Counter("nats", "step", "loss summed over the batch"),
    "seconds": Counter("s", "step", "time of the step: measured on the host, emulated or on the machine"),
    "joules": Counter("J", "step", "energy of the step"),
    "multiply_accumulates": Counter("1", "step", "products of contractions"),
    "saturated": Counter("elements", "step", "elements clamped by a rounding"),
    "cycles": Counter("cycles", "core", "core clock cycles, sleeping ones included"),
    "instructions": Counter("1", "core", "instructions executed"),
    "cycles_kernel": Counter("cycles", "core", "inside kernels, interrupts of transfers included"),
    "cycles_waiting_dma": Counter("cycles", "core", "asleep until a transfer ended"),
    "cycles_waiting_barrier": Counter("cycles", "core", "asleep at a barrier"),
    "cycles_waiting_stream": Counter("cycles", "core", "asleep until a block had arrived"),
    "tiles_redone": Counter("1", "core", "tiles whose int32 sums overflowed and were computed again exactly"),
    "sdram_bytes_read": Counter("B", "chip", "bytes read from SDRAM by DMA"),
    "sdram_bytes_written": Counter("B", "chip", "bytes written to SDRAM by DMA"),
    "packets_sent": Counter("packets", "core", "multicast packets sent, repeats included"),
    "packets_received": Counter("packets", "core", "multicast packets received, repeats included"),
    "packets_repeated": Counter("packets", "core", "packets sent again because a place was missing"),
    "packets_dropped": Counter("packets", "chip", "packets that the router dropped"),
    "link_busy_cycles": Counter("cycles", "link", "router cycles in which the link carried a packet"),
    "host_bytes": Counter("B", "step", "bytes exchanged with the host"),
}


@dataclass(frozen=True)
class Count:
    """A counter's value and how it came about."""

    value: float
    source: Source
    executor: str


def modelled(predicted: Mapping[str, float], executor: str) -> dict[str, Count]:
    """What a planner foresaw, for an executor that counts nothing itself."""
    return {name: Count(value, "modelled", executor) for name, value in predicted.items()}


def check_counts(counts: Mapping[str, Count]) -> None:
    """Raise RunError for a name that is not in the table."""
    unknown = sorted(counts.keys() - COUNTERS.keys())
    if unknown:
        raise RunError(f"unknown counters: {', '.join(unknown)}", "record", f"use {', '.join(COUNTERS)}")
