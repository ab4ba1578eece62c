"""What several emulated chips under SC&MP are given: by SpiNNMan to each chip, against the first chip and our streams.

    python -m bench.states lenet5 --machine spin5 --chips 16 --images 8

First the State: bytes that the host sends, the machine's time until it is there, and, of streams, cycles of the cores.
Then the pictures of a step, `--images` of each chip: the machine's time to send them, and cycles of the whole step. The
machine's time of requests depends on how busy this computer is, as the emulated machine does not wait for its host: the
least of some turns is shown. Both ways must leave the same bits.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from tempfile import TemporaryDirectory
from unittest import mock

from bench.board import differences, network
from bench.plan import inputs_of
from spindl.graph.operations import Value
from spindl.plan import deliver
from spindl.planning import planned
from spindl.program import Program, Progress, State
from spindl.run import open_session
from spindl.run.emu.session import EmulatedSession
from spindl.run.hosted import machine as hosted_machine

TURNS = 5
WAYS = {"to each chip": (1 << 40, -1), "by streams": (deliver.LEAST_INPUT, 1)}
"""Least bytes of an input that go around, and requests that are said to be saved for a State."""


@contextmanager
def _session(name: str, device: str, batch: int, least: int) -> Iterator[EmulatedSession]:
    """A session whose plan is made for a least size of inputs that go around; no cached one is used."""
    graph, first = network(name, batch)
    with (
        TemporaryDirectory() as cache,
        mock.patch.dict(os.environ, {"SPINDL_CACHE": cache}),
        mock.patch.object(deliver, "LEAST_INPUT", least),
    ):
        program = planned(Program({"train": graph}, {}), "emu", device)
    with closing(open_session("emu", program, State(first, Progress(0)), device=device)) as session:
        assert isinstance(session, EmulatedSession)
        yield session


def measure(name: str, device: str, batch: int, way: str) -> dict[str, Value]:
    """Prints what one way takes. Returns the outputs of two steps."""
    graph, first = network(name, batch)
    inputs, (least, saved) = inputs_of(graph, batch), WAYS[way]
    zeros = {key: Value(value.mantissa * 0, 0) for key, value in first.items()}
    with (
        _session(name, device, batch, least) as session,
        mock.patch.object(hosted_machine, "requests_saved", lambda *_: saved),
    ):
        machine, emulated = session._ready("train"), session.machine
        assert emulated is not None
        times, cores, sent = [], [], 0
        for _ in range(TURNS):
            machine.write_states("train", zeros)
            begun, sent, at = emulated.time, machine.host.bytes_written, machine.bring_seconds
            machine.write_states("train", first)
            times.append(emulated.time - begun)
            cores.append(machine.bring_seconds - at)
            sent = machine.host.bytes_written - sent
        wrong = differences(machine.read_states("train"), first)
        assert not wrong, wrong
        line = f"{name} {device}, State {way}: {sent:,} bytes sent, {1000 * min(times):.1f} ms"
        print(line + (f", of it {200e6 * min(cores):,.0f} cycles of the cores" if any(cores) else ""), flush=True)
        times = []
        for _ in range(TURNS):
            begun, sent = emulated.time, machine.host.bytes_written
            machine.write_inputs("train", inputs)
            times.append(emulated.time - begun)
            sent = machine.host.bytes_written - sent
        session.step("train", inputs)
        outputs = session.step("train", inputs)
        cycles = session.counters()["cycles"].value
        line = f"{name} {device}, inputs of {batch} images {way}: {sent:,} bytes sent, {1000 * min(times):.1f} ms"
        print(f"{line}, then a step of {cycles:,.0f} cycles", flush=True)
        return outputs


def main() -> None:
    """Runs one network both ways."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network")
    parser.add_argument("--machine", default="spin3")
    parser.add_argument("--chips", type=int, default=4)
    parser.add_argument("--images", type=int, default=4, help="of each chip")
    options = parser.parse_args()
    batch, device = options.chips * options.images, f"{options.machine}:{options.chips}"
    first, second = (measure(options.network, device, batch, way) for way in WAYS)
    assert not differences(first, second)


if __name__ == "__main__":
    main()
