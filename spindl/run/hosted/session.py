"""A Session on a machine that SC&MP runs: what the executors `emu` and `board` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from spindl.graph.batch import batch_of, filled_inputs, true_outputs
from spindl.graph.operations import Value
from spindl.machine import CHIP, Topology
from spindl.machine.topology import XY
from spindl.program import Program, State
from spindl.program.load import CoreResult
from spindl.run.chip import dealt_images
from spindl.run.counters import Count
from spindl.run.hosted.counted import summed_counters
from spindl.run.hosted.usage import Usage
from spindl.run.interface import Commit, RunError

if TYPE_CHECKING:
    from spindl.run.hosted.host import Host
    from spindl.run.hosted.machine import LoadedMachine


COUNTED_STEP, COUNT_EVERY = 2, 100
"""Which training steps write counters of every step of their schedules: the second, as in the first the cores check
their schedules, and each hundredth behind it. It takes a core 155 cycles a step."""


@dataclass(frozen=True)
class CountedStep:
    """A training step whose cores counted every step of their schedules.

    Attributes:
        graph: that was run.
        topology: of the machine.
        cores: of each chip that took part.
        counters: of each chip, each core, each step (spindl.program.core.STEP_COUNTERS).
    """

    graph: str
    topology: Topology
    cores: int
    counters: Mapping[XY, list[list[dict[str, int]]]]


class HostedSession:
    """See `interface.Session`; the machine starts with the first step. Subclasses say how.

    Attributes:
        executor: its name.
        counted: the last training step that was counted in full; None: there was none yet.
    """

    executor: ClassVar[str] = ""

    def __init__(self, program: Program, state: State) -> None:
        self._program = program
        self._values = dict(state.values)
        self._running: LoadedMachine | None = None
        self._fresh: list[str] = []  # graphs in whose memory the present states are
        self._stopped = False  # a step or a transfer failed: what the machine holds is not a State
        self._trained = 0  # steps whose updates all stayed
        self._counters: dict[str, Count] = {}
        self.counted: CountedStep | None = None
        self.usage = Usage()

    def connect(self) -> tuple[Host, Topology]:
        """The machine, running SC&MP, and its chips."""
        raise NotImplementedError

    def _ready(self, graph: str) -> LoadedMachine:
        from spindl.run.hosted.machine import APPLICATION, LoadedMachine

        if graph not in self._program.chips:
            raise RunError(f"graph '{graph}' has no plan", "program", "plan it for the machine first")
        if self._running is None:
            host, topology = self.connect()
            begun = monotonic()
            try:
                self._running = LoadedMachine(host, topology, self._program)
            except BaseException:
                with suppress(RunError):
                    host.stop(APPLICATION)
                host.close()
                raise
            self.usage.loaded, self.usage.load_seconds = host.bytes_written, monotonic() - begun
            self.usage.loaded_by = Counter(host.written)
        if graph not in self._fresh:
            self._values |= self._states()
            with self._moving():
                self._running.write_states(graph, self._values)
            self._fresh.append(graph)
        return self._running

    def _states(self) -> dict[str, Value]:
        """The states on the machine. Raises RunError after a step that failed."""
        if self._stopped:
            raise RunError("the machine stopped in a step", "machine", "go on from the last checkpoint")
        if self._running is None or not self._fresh:
            return {}
        with self._moving():
            return self._running.read_states(self._fresh[0])

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """Adds what moves over the host link to `usage`. If the machine fails meanwhile, what it holds is no State."""

        assert self._running is not None
        host, usage = self._running.host, self.usage
        written, fetched, begun = Counter(host.written), Counter(host.fetched), monotonic()
        try:
            yield
        except RunError:
            self._stopped = True
            raise
        finally:
            usage.brought, usage.bring_seconds = self._running.brought, self._running.bring_seconds
            seconds = monotonic() - begun
            if host.bytes_written > written.total():
                usage.written += host.bytes_written - written.total()
                usage.written_by += host.written - written
                usage.write_seconds += seconds
            else:
                usage.read += host.bytes_read - fetched.total()
                usage.read_by += host.fetched - fetched
                usage.read_seconds += seconds

    def step(self, graph: str, inputs: Mapping[str, Value], commit: Commit = "all") -> dict[str, Value]:
        """One step of a graph. One without updates, such as an evaluation, moves no states."""
        machine = self._ready(graph)
        already = machine.host.bytes_written + machine.host.bytes_read
        updates = self._program.graphs[graph].updates
        before = self._states() if commit == "none" and updates else None
        own, images = self._program.graphs[graph], dealt_images(self._program.chips[graph])
        filling = images > batch_of(own)
        with self._moving():
            machine.write_inputs(graph, filled_inputs(own, inputs, images) if filling else inputs)
        self._stopped = True
        whole = commit == "all" and bool(updates)
        count = whole and (self._trained + 1) % COUNT_EVERY == COUNTED_STEP % COUNT_EVERY
        dropped = sum(machine.dropped().values()) if count else 0
        machine.run(graph, "all" if commit == "all" else "sites", count)
        self._stopped = False
        self._trained += whole
        self.usage.steps += 1
        self._counters = summed_counters(machine.counters(), machine.topology, self.executor)
        products = self._program.plans[graph].predicted["multiply_accumulates"]
        self._counters["multiply_accumulates"] = Count(products, "modelled", self.executor)
        if count:
            lost = sum(machine.dropped().values()) - dropped
            self._counters["packets_dropped"] = Count(lost, "measured", self.executor)
            tables = machine.step_counters(graph, "all")
            self.counted = CountedStep(graph, machine.topology, len(next(iter(tables.values()))), tables)
        with self._moving():
            outputs = machine.read_outputs(graph)
        if filling:
            outputs = true_outputs(own, inputs, outputs)
        if before is not None:
            with self._moving():
                machine.write_states(graph, before)
        elif updates:
            self._fresh = [graph]
        moved = machine.host.bytes_written + machine.host.bytes_read - already
        self._counters["host_bytes"] = Count(moved, "measured", self.executor)
        return outputs

    def counters(self) -> dict[str, Count]:
        """Of the last step."""
        return dict(self._counters)

    def results(self) -> list[tuple[XY, int, CoreResult]]:
        """What each core left of the last step; empty before the first."""
        return [] if self._running is None else self._running.results()

    def measure(self) -> Usage:
        """`usage`, with the time of the last step on the machine, which is read from its cores."""
        cycles = [result.counters["cycles"] for _, _, result in self.results()]
        self.usage.step_seconds = max(cycles, default=0) / CHIP.clock.value
        return self.usage

    def state(self) -> dict[str, Value]:
        """The present values of all states."""
        return {**self._values, **self._states()}

    def close(self) -> None:
        """Stops the cores. Closing twice is allowed."""
        if self._running is None:
            return
        try:
            if not self._stopped:
                self._values |= self._states()
            with suppress(RunError) if self._stopped else nullcontext():  # why it stopped has been said
                self._running.stop()
        finally:
            running, self._running, self._fresh = self._running, None, []
            running.host.close()
