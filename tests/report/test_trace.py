"""The trace of a step, parsed again with Perfetto's own messages."""

from __future__ import annotations

from dataclasses import replace

import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as messages

from spindl.report import trace as module
from spindl.report.errors import ReportError
from spindl.report.model import Origin
from spindl.report.trace import trace_bytes
from tests.report.samples import board_step, small_step

BEGIN, END = messages.TrackEvent.TYPE_SLICE_BEGIN, messages.TrackEvent.TYPE_SLICE_END


def parsed(data: bytes) -> tuple[dict[int, str], dict[int, list[messages.TracePacket]]]:
    """Names of the tracks, and their events in the order of the file."""
    trace = messages.Trace()
    trace.ParseFromString(data)
    names: dict[int, str] = {}
    events: dict[int, list[messages.TracePacket]] = {}
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            d = packet.track_descriptor
            assert d.uuid not in names
            names[d.uuid] = d.thread.thread_name if d.HasField("thread") else d.process.process_name
        else:
            assert packet.track_event.track_uuid in names
            events.setdefault(packet.track_event.track_uuid, []).append(packet)
    return names, events


def test_every_slice_is_there_in_order() -> None:
    step = small_step()
    names, events = parsed(trace_bytes(step))
    by_name = {names[track]: rows for track, rows in events.items()}
    assert len(by_name["phases"]) == 2 * len(step.phases)
    for line in step.timelines:
        assert len(by_name[f"core {line.core}"]) == 2 * len(line.slices)
        assert len(by_name[f"core {line.core} DMA"]) == 2 * len(line.transfers)
    for rows in events.values():
        open_slices, now = 0, 0
        for row in rows:
            assert row.timestamp >= now
            now = row.timestamp
            open_slices += {BEGIN: 1, END: -1}[row.track_event.type]
            assert open_slices in (0, 1)  # slices of a track follow each other
        assert open_slices == 0
    assert max(rows[-1].timestamp for rows in events.values()) == round(step.cycles * 5)  # 5 ns a cycle


def test_a_measured_step_beside_the_modelled_one() -> None:
    modelled = small_step()
    measured = replace(modelled, origin=Origin("measured", "emu"))
    names, events = parsed(trace_bytes(measured, modelled))
    assert {"chip 0,0 (measured on the emulator)", "chip 0,0 (modelled)"} <= set(names.values())
    slices = sum(len(line.slices) + len(line.transfers) for line in modelled.timelines) + len(modelled.phases)
    assert sum(len(rows) for rows in events.values()) == 2 * 2 * slices


def test_slices_name_layer_and_kernel() -> None:
    step = small_step()
    names, events = parsed(trace_bytes(step))
    track = next(uuid for uuid, name in names.items() if name == "core 0")
    first = next(s for s in step.timelines[0].slices if s.work == "products")
    at = round(first.start * 5)
    event = next(
        row.track_event
        for row in events[track]
        if row.timestamp == at and row.track_event.type == BEGIN and "kernel" in row.track_event.categories
    )
    assert event.name == f"{first.layer} forward: convolution"
    assert {note.name: note.string_value for note in event.debug_annotations}["layer"] == first.layer


def test_links_have_tracks_and_origins_are_named() -> None:
    names, events = parsed(trace_bytes(board_step()))
    track = next(uuid for uuid, name in names.items() if name == "link 2")
    assert [row.track_event.name for row in events[track] if row.track_event.type == BEGIN] == ["gradients", "sums"]
    assert "step: train on spin5 (modelled)" in names.values()
    assert "chip 0,0 (modelled)" in names.values()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ReportError, match="perfetto is not installed"):
        trace_bytes(small_step())


def test_a_long_step_shows_its_first_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = small_step().timelines
    room = sum(len(line.slices) + len(line.transfers) for line in lines[:2])
    monkeypatch.setattr(module, "MOST_SLICES", room + 1)
    names, _ = parsed(trace_bytes(small_step()))
    assert "core 1" in names.values() and "core 2" not in names.values()
    assert "chip 0,0 (modelled, 2 more cores left out)" in names.values()
