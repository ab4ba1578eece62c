"""A State to several emulated chips under SC&MP: by SpiNNMan to each chip, against the first chip and our streams.

    python -m bench.states lenet5 --machine spin5 --chips 16

Prints, of both ways, requests' bytes, the machine's time in all and, of streams, the cycles of the cores. The machine's
time of requests depends on how busy this computer is, as the emulated machine does not wait for the host: the least of
some turns is shown. Both ways must leave the same bits.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from unittest import mock

from bench.board import differences, network
from spindl.graph.operations import Value
from spindl.planning import planned
from spindl.program import Program, Progress, State
from spindl.run import open_session
from spindl.run.emu.session import EmulatedSession
from spindl.run.hosted import machine as hosted_machine

TURNS = 5


def main() -> None:
    """Runs one network."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network")
    parser.add_argument("--machine", default="spin3")
    parser.add_argument("--chips", type=int, default=4)
    options = parser.parse_args()
    graph, first = network(options.network, options.chips)
    device = f"{options.machine}:{options.chips}"
    program = planned(Program({"train": graph}, {}), "emu", device)
    with closing(open_session("emu", program, State(first, Progress(0)), device=device)) as session:
        assert isinstance(session, EmulatedSession)
        machine = session._ready("train")
        emulated = session.machine
        assert emulated is not None
        zeros = {name: Value(value.mantissa * 0, 0) for name, value in first.items()}
        for way, saved in (("each chip", -1), ("streams", 1)):
            with mock.patch.object(hosted_machine, "requests_saved", lambda *_, saved=saved: saved):
                times, bring = [], []
                for _ in range(TURNS):
                    machine.write_states("train", zeros)
                    before, sent, at = emulated.time, machine.host.bytes_written, machine.bring_seconds
                    machine.write_states("train", first)
                    times.append(emulated.time - before)
                    bring.append(machine.bring_seconds - at)
                    sent = machine.host.bytes_written - sent
                wrong = differences(machine.read_states("train"), first)
                assert not wrong, wrong
            cores = (
                f", of these {1000 * min(bring):.2f} ms ({200e6 * min(bring):,.0f} cycles) by the cores"
                if bring[0]
                else ""
            )
            print(
                f"{options.network} {device}, {way}: {sent:,} bytes sent, {1000 * min(times):.1f} ms{cores}", flush=True
            )


if __name__ == "__main__":
    main()
