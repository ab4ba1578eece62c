"""A step as a Perfetto trace: what cores, DMA engines and links do, for Perfetto's viewer or its trace_processor.

    process = a chip                          (and one for the step as a whole: its phases)
    thread  = a core, a DMA engine, a link
    slice   = a kernel, a wait, a transfer; its category says which

One core clock cycle is written as its time in nanoseconds (5 ns at 200 MHz), rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spindl.program.files import write_atomically
from spindl.report.errors import ReportError
from spindl.report.model import CoreTimeline, StepReport, Work

CATEGORIES: Mapping[Work, str] = {
    "products": "kernel",
    "kernel": "kernel",
    "runtime": "runtime",
    "wait_dma": "wait",
    "wait_barrier": "wait",
    "stream": "stream",
}
MOST_SLICES = 500_000
"""Of cores and DMA engines, about 60 MB. A longer step shows its first cores only, and says how many it leaves out."""
_SEQUENCE = 1
_STEP = 1

_Slice = tuple[float, float, str, str, Mapping[str, str | int]]
"""Start and end in cycles, name, category, annotations."""


def write_trace(step: StepReport, path: Path, beside: StepReport | None = None) -> None:
    """Write a step's trace. Raises ReportError without the perfetto package, RunFolderError if it cannot be written."""
    write_atomically(path, trace_bytes(step, beside))


def trace_bytes(step: StepReport, beside: StepReport | None = None) -> bytes:
    """A step's trace as the bytes of a Trace message.

    Args:
        step: what happened, or is foreseen.
        beside: the same step from elsewhere, such as the prediction of a measured one; both begin at 0.

    Raises:
        ReportError: without the perfetto package.
    """
    if find_spec("perfetto") is None:
        raise ReportError("the package perfetto is not installed", "trace", "pip install 'spindl[report]'")
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as messages

    trace = messages.Trace()
    track, pid = _STEP, 1
    steps = [each for each in (step, beside) if each is not None]
    for each in steps:
        writer = _Writer(trace, messages, 1e9 / each.clock)
        track, pid = _append_step(writer, each, track, pid, MOST_SLICES // len(steps))
    return bytes(trace.SerializeToString())


def _append_step(writer: _Writer, step: StepReport, track: int, pid: int, room: int) -> tuple[int, int]:
    """A process for the step and one for each chip; returns the next numbers of a track and of a process."""
    writer.process(track, pid, f"step: {step.graph} on {step.machine} ({step.origin.label})")
    writer.thread(track + 1, pid, 1, "phases")
    writer.slices(track + 1, [(p.start, p.end, p.name, "phase", {}) for p in step.phases])
    track, pid = track + 2, pid + 1
    chips = sorted({line.chip for line in step.timelines} | {use.chip for use in step.links})
    for chip in chips:
        thread = 1
        lines = [line for line in step.timelines if line.chip == chip]
        shown = _fitting(lines, room)
        room -= sum(len(line.slices) + len(line.transfers) for line in shown)
        left = f", {len(lines) - len(shown)} more cores left out" if len(shown) < len(lines) else ""
        writer.process(track, pid, f"chip {chip[0]},{chip[1]} ({step.origin.label}{left})")
        track += 1
        for line in shown:
            writer.thread(track, pid, thread, f"core {line.core}")
            writer.slices(track, (_core_slice(s) for s in line.slices))
            track, thread = track + 1, thread + 1
            if line.transfers:
                writer.thread(track, pid, thread, f"core {line.core} DMA")
                writer.slices(track, (_transfer_slice(t) for t in line.transfers))
                track, thread = track + 1, thread + 1
        for use in (each for each in step.links if each.chip == chip):
            writer.thread(track, pid, thread, f"link {use.link}")
            writer.slices(track, ((t.start, t.end, t.name, "link", {"bytes": t.bytes}) for t in use.slices))
            track, thread = track + 1, thread + 1
        pid += 1
    return track, pid


def _fitting(lines: Sequence[CoreTimeline], room: int) -> list[CoreTimeline]:
    """The first cores whose slices fit."""
    shown = []
    for line in lines:
        room -= len(line.slices) + len(line.transfers)
        if room < 0:
            break
        shown.append(line)
    return shown


def _core_slice(piece: Any) -> _Slice:
    name = f"{piece.layer} {piece.stage}: {piece.name}" if piece.layer else piece.name
    notes = {"layer": piece.layer, "stage": piece.stage} if piece.layer else {}
    return piece.start, piece.end, name, CATEGORIES[piece.work], notes


def _transfer_slice(each: Any) -> _Slice:
    way = "to SDRAM" if each.to_sdram else "to DTCM"
    return each.start, each.end, f"{each.name} {way}", "dma", {"bytes": each.bytes}


class _Writer:
    """Appends packets to a trace."""

    def __init__(self, trace: Any, messages: Any, cycle: float) -> None:
        self._trace, self._messages, self._cycle = trace, messages, cycle

    def _packet(self) -> Any:
        packet = self._trace.packet.add()
        packet.trusted_packet_sequence_id = _SEQUENCE
        return packet

    def process(self, track: int, pid: int, name: str) -> None:
        descriptor = self._packet().track_descriptor
        descriptor.uuid = track
        descriptor.process.pid = pid
        descriptor.process.process_name = name

    def thread(self, track: int, pid: int, thread: int, name: str) -> None:
        descriptor = self._packet().track_descriptor
        descriptor.uuid = track
        descriptor.thread.pid = pid
        descriptor.thread.tid = pid * 1000 + thread
        descriptor.thread.thread_name = name

    def slices(self, track: int, slices: Iterable[_Slice] | Sequence[_Slice]) -> None:
        """Slices of a track, in order of time; none overlaps the one before."""
        event_type = self._messages.TrackEvent
        for start, end, name, category, notes in slices:
            first, last = round(start * self._cycle), round(end * self._cycle)
            begin = self._packet()
            begin.timestamp = first
            begin.track_event.type = event_type.TYPE_SLICE_BEGIN
            begin.track_event.track_uuid = track
            begin.track_event.name = name
            begin.track_event.categories.append(category)
            for key, value in notes.items():
                note = begin.track_event.debug_annotations.add()
                note.name = key
                if isinstance(value, int):
                    note.int_value = value
                else:
                    note.string_value = value
            finish = self._packet()
            finish.timestamp = last
            finish.track_event.type = event_type.TYPE_SLICE_END
            finish.track_event.track_uuid = track
