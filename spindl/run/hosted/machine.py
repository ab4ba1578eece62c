"""Chips of a machine whose cores walk through the schedules of a Program: loading, steps, what they leave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from time import monotonic, sleep
from typing import TypeVar

from spindl.graph.operations import Value
from spindl.machine import CHIP, Topology
from spindl.machine.topology import XY
from spindl.program import Program
from spindl.program.core import COMMANDS, CORE, STEP_COUNTERS, core_counters
from spindl.program.image import Image, load_image, read_image
from spindl.program.load import TEXT_BYTES, CoreResult, core_result, user_register
from spindl.program.machine import ChipProgram
from spindl.run import chip
from spindl.run.hosted.errors import CoreLeft, MachineStopped
from spindl.run.hosted.host import Core, Host, MachineError
from spindl.run.hosted.loading import (
    CORE_TIME_OUT,
    STATES,
    Layout,
    LoadedChip,
    check_fits,
    filled,
    lay_out,
    requests_saved,
)
from spindl.run.hosted.memories import Asked, Fetched, Pieces
from spindl.run.hosted.transfers import Piece, Span
from spindl.run.hosted.ways import LinkTo, Place, Stalled, stalled
from spindl.run.interface import RunError

APPLICATION = 33
"""SC&MP's number of our program."""
START_SECONDS = 30.0
"""Wall-clock seconds that cores may take to start."""
STEP_SECONDS = 60.0
"""Seconds of the machine's own clock that a step may take, besides SLOWER times what is predicted."""
SLOWER = 10.0
STILL_SECONDS = 60.0
"""Wall-clock seconds that the machine's clock may stand still."""
_LOST = "is it still switched on and connected? go on from the last checkpoint (--resume)"
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.1
_FIELDS = {field.name: 4 * place for place, field in enumerate(CORE.fields)}
_ANSWER_BYTES = _FIELDS["error"] + 4 - _FIELDS["answer"]
Found = TypeVar("Found")


class LoadedMachine:
    """A machine with a Program loaded; its cores wait for a command."""

    def __init__(self, host: Host, topology: Topology, program: Program, image: Image | None = None) -> None:
        """Loads image, records, schedules, constants and routes, and starts the cores.

        Args:
            host: of the machine.
            topology: its working chips, cores and links.
            program: planned for it.
            image: of the cores; by default the program's, or else the one that belongs to this spindl.

        Raises:
            RunError: the Program has no plan, the machine too few chips or cores, or the cores do not start.
        """
        if not program.chips:
            raise RunError("the program has no plan", "program", "plan it for the machine first")
        self.host = host
        self.topology = topology
        self._image = image or (read_image(program.image, "program") if program.image else load_image())
        self._predicted = {name: plan.predicted["seconds"] for name, plan in program.plans.items()}
        count = max(len(parts) for parts in program.chips.values())
        if any(len(parts) != count for parts in program.chips.values()):
            raise RunError("the graphs of the program are planned for different numbers of chips", "program")
        places = [part.xy for part in next(iter(program.chips.values()))]
        if any([part.xy for part in parts] != places for parts in program.chips.values()):
            raise RunError("the graphs of the program are planned for different chips", "program")
        check_fits(program, places, topology)
        self.chips = self._load(places, program, topology)
        self._cores = [(*each.xy, name.virtual) for each in self.chips for name in each.names]
        self._graph: str | None = None  # of the present step
        self._routes = chip.router_entries(program)
        self._load_routes()
        self._dropped = host.dropped(each.xy for each in self.chips)
        self._start()
        self.brought, self.bring_seconds = 0, 0.0  # bytes of states that streams took to other chips, machine's seconds
        self._sequence = 1
        self._given: tuple[str, str] | None = None  # graph and commit whose schedules the records name
        self._counting: bool | None = True  # as the records were loaded

    def _load(self, places: list[XY], program: Program, topology: Topology) -> tuple[LoadedChip, ...]:
        working = {(place.x, place.y): place.working_cores for place in topology.places}
        layouts = [
            lay_out(
                self._image,
                xy,
                self.host.core_names(xy, working[xy]),
                number,
                {graph: parts[number] for graph, parts in program.chips.items()},
                len(places),
            )
            for number, xy in enumerate(places)
        ]
        board_of = {(place.x, place.y): place.board for place in topology.places}
        by_board: dict[int, list[Layout]] = {}
        for layout in layouts:
            by_board.setdefault(board_of[layout.xy], []).append(layout)
        chips: dict[XY, LoadedChip] = {}
        for turn in zip_longest(*by_board.values()):  # one chip of each board at a time, each through its own plug
            pieces: list[Piece] = []
            for layout in filter(None, turn):
                block = self.host.allocate(layout.xy, layout.size, APPLICATION, 1)
                chips[layout.xy], written = filled(layout, block)
                pieces += written
            self.host.write(pieces)
        return tuple(chips[xy] for xy in places)

    def _load_routes(self) -> None:
        """Router entries of all graphs, also those of chips that only pass packets on."""
        names = {each.xy: each.names for each in self.chips}
        routes = {
            xy: [
                (entry.key, entry.mask, entry.links, [names[xy][core].virtual for core in entry.cores])
                for entry in entries
            ]
            for xy, entries in self._routes.items()
        }
        if routes:
            self.host.route(routes, APPLICATION)

    def _start(self) -> None:
        self.host.write(
            (each.xy, user_register(name.virtual, 0), record.to_bytes(4, "little"))
            for each in self.chips
            for name, record in zip(each.names, each.load.records, strict=True)
        )
        self.host.load(self._cores, self._image.aplx, APPLICATION)
        for state, signal in (("READY", "START"), ("PAUSED", None)):
            late = self.host.wait_for(self._cores, APPLICATION, state, START_SECONDS)
            if late:
                raise self._stopped(f"{len(late)} of {len(self._cores)} cores have not started", late.keys())
            if signal:
                self.host.signal(APPLICATION, signal)

    # --- steps -------------------------------------------------------------------------------------------------------

    def run(self, graph: str, commit: str, count: bool = False) -> None:
        """One step: commands, doorbell, answers; count: the cores write step counters.

        Raises:
            MachineStopped: a core stops or does not answer in time, or a chip does not answer the host.
        """
        self._graph = graph
        with self._watched():
            self._count(count)
            self._run(graph, commit)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """If the machine does not answer meanwhile: MachineStopped, with what is found of it."""
        try:
            yield
        except MachineError as error:
            try:
                found = self._stopped(error.what)
            except MachineError:  # nothing answers any more
                raise MachineError(error.what, self.host.address, _LOST) from error
            raise found from error

    def _count(self, count: bool) -> None:
        if self._counting == count:
            return
        self._counting = None
        self.host.write(
            (each.xy, record + _FIELDS["step_counters"], (count * address).to_bytes(4, "little"))
            for each in self.chips
            for record, (address, _) in zip(each.load.records, each.load.step_counters, strict=True)
        )
        self._counting = count

    def dropped(self, chips: Collection[LoadedChip] | None = None) -> dict[XY, int]:
        """Multicast packets that the routers of chips have dropped since the program was loaded."""
        here = self.chips if chips is None else chips
        return {xy: n - self._dropped[xy] for xy, n in self.host.dropped([each.xy for each in here]).items()}

    def step_counters(self, graph: str, commit: str) -> dict[XY, list[list[dict[str, int]]]]:
        """Of each chip, each core, each step of its schedule, after a run that counted."""
        spans, size = [], STEP_COUNTERS.layout.size
        for each in self.chips:
            schedules = each.graphs[graph].program.schedules[commit]
            for (address, _), schedule in zip(each.load.step_counters, schedules, strict=True):
                spans.append((each.xy, address, size * len(schedule.steps)))
        found: dict[XY, list[list[dict[str, int]]]] = {each.xy: [] for each in self.chips}
        for (xy, _, length), data in zip(spans, self.host.read(spans), strict=True):
            found[xy].append([STEP_COUNTERS.unpack(data, at) for at in range(0, length, size)])
        return found

    def counters(self) -> list[dict[str, int]]:
        """Of each core, of the last step; see `spindl.program.core.core_counters`."""
        records = self.host.read([(each.xy, r, CORE.layout.size) for each in self.chips for r in each.load.records])
        return [core_counters(data) for data in records]

    def _run(self, graph: str, commit: str) -> None:
        self._sequence += 1
        command = self._sequence << 8 | COMMANDS["RUN"]
        data = command.to_bytes(4, "little")
        if self._given != (graph, commit):
            self._given = None
            self.host.write(
                (each.xy, record + _FIELDS["schedule"], address.to_bytes(4, "little") + size.to_bytes(4, "little"))
                for each in self.chips
                for record, (address, size) in zip(each.load.records, each.graphs[graph].schedules[commit], strict=True)
            )
            self._given = (graph, commit)
        self.host.write((each.xy, r + _FIELDS["command"], data) for each in self.chips for r in each.load.records)
        self.host.signal(APPLICATION, "USER_0")
        slow = SLOWER * self._predicted.get(graph, 0.0)
        self._wait(command, STEP_SECONDS + slow, CORE_TIME_OUT + slow)

    def _wait(self, command: int, seconds: float, rest: float) -> None:
        """Until all cores have answered. Time is the machine's own, which an emulated machine may count slowly.

        One core is asked at a time, of another chip with each question and of another number with each round, as each
        answer takes SC&MP's time and the links'. When one has answered, all are asked.

        Args:
            command: that they answer.
            seconds: that it may take.
            rest: that it may take from the first answer on: who has not answered then waits for nobody any more.
        """
        begun = moved = self.host.clock()
        end = begun + seconds
        moved_at, pause = monotonic(), _SHORTEST_PAUSE
        wanted = command.to_bytes(4, "little")
        by_chip = [[(each.xy, r + _FIELDS["answer"], _ANSWER_BYTES) for r in each.load.records] for each in self.chips]
        waiting = [span for of_a_number in zip(*by_chip, strict=True) for span in of_a_number]
        number, ended = 0, False
        while True:
            asked = waiting if ended else [waiting[number % len(waiting)]]
            answers = self.host.read(asked)
            if any(any(data[4:8]) for data in answers):
                sleep(_LONGEST_PAUSE)  # others are about to say why they stopped
                raise self._stopped("the machine stopped in a step")
            late = [span for span, data in zip(asked, answers, strict=True) if data[:4] != wanted]
            if ended and not late:
                return
            now = self.host.clock()
            if not ended and not late:
                ended, end = True, min(end, now + rest)
                continue
            waiting, number = late if ended else waiting, number + 1
            if now != moved:
                moved, moved_at = now, monotonic()
            if now > end:
                raise self._stopped(f"a step has not ended in {now - begun:.0f} s of the machine's clock")
            if monotonic() - moved_at > STILL_SECONDS:
                raise self._stopped(f"the machine's clock has stood still for {STILL_SECONDS:.0f} s")
            sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)

    # --- data --------------------------------------------------------------------------------------------------------

    def write_inputs(self, graph: str, values: Mapping[str, Value]) -> None:
        """The inputs of a step, to each chip its share."""
        self._write(graph, lambda program, memory: chip.write_inputs(program, memory, values))

    def write_states(self, graph: str, values: Mapping[str, Value]) -> None:
        """All states of a graph, on every chip.

        Of several chips those through which data enter get them once and bring them to the others, if that saves
        requests to SC&MP; otherwise the host writes to each chip.

        Raises:
            MachineStopped: the cores did not bring them there.
        """
        if requests_saved(self.chips, graph) <= 0:
            self._write(graph, lambda program, memory: chip.write_states(program, memory, values))
            return
        entering = tuple(each for each in self.chips if each.graphs[graph].program.staged)
        first = self.chips[0].graphs[graph].program
        before = self.host.bytes_written
        self._write(
            graph, lambda program, memory: chip.stage_states(program, memory, values, program is first), entering
        )
        entered = self.host.bytes_written - before
        self.run(graph, STATES)
        spans = [(each.xy, record, CORE.layout.size) for each in entering for record in each.load.records]
        cycles = max(core_counters(data)["cycles"] for data in self.host.read(spans))
        self.brought += sum(each.bytes_of_state(graph) for each in self.chips) - entered
        self.bring_seconds += cycles / CHIP.clock.value

    def _write(
        self, graph: str, put: Callable[[ChipProgram, chip.Memory], None], chips: tuple[LoadedChip, ...] | None = None
    ) -> None:
        pieces = []
        for each in self.chips if chips is None else chips:
            loaded = each.graphs[graph]
            memory = Pieces(each.xy, loaded.base)
            put(loaded.program, memory)
            pieces += memory.pieces
        with self._watched():
            self.host.write(pieces)

    def read_states(self, graph: str) -> dict[str, Value]:
        """The State: shards of all chips, of all else a part from each board, as all chips hold the same."""
        programs = [each.graphs[graph].program for each in self.chips]
        parts = self._read(graph, lambda p, memory: chip.read_parts(p, memory, first=p is programs[0]), self.chips)
        return chip.joined_parts(parts, programs)

    def read_outputs(self, graph: str) -> dict[str, Value]:
        """The outputs of the last step, of all chips' images."""
        found = self._read(graph, chip.read_outputs, self.chips)
        return chip.joined_outputs(found, self.chips[0].graphs[graph].program)

    def _read(
        self,
        graph: str,
        get: Callable[[ChipProgram, chip.Memory], Found],
        chips: tuple[LoadedChip, ...],
    ) -> list[Found]:
        """Reads what `get` asks for, of all chips in one go: first it is asked what that is."""
        spans: list[Span] = []
        for each in chips:
            loaded = each.graphs[graph]
            get(loaded.program, Asked(each.xy, loaded.base, spans))
        with self._watched():
            data = iter(self.host.read(spans))
        return [get(each.graphs[graph].program, Fetched(data)) for each in chips]

    # --- what is left ------------------------------------------------------------------------------------------------

    def results(self) -> list[tuple[XY, int, CoreResult]]:
        """What each core left of the last step: its chip, its virtual number, its counters and errors."""
        return [(xy, virtual, result) for xy, virtual, _, result in self._results(self.chips)]

    def _results(self, chips: tuple[LoadedChip, ...]) -> list[tuple[XY, int, int, CoreResult]]:
        spans = [(each.xy, r, CORE.layout.size) for each in chips for r in each.load.records]
        records = self.host.read(spans)
        texts = self.host.read(
            [(xy, CORE.unpack(data)["text"], TEXT_BYTES) for (xy, _, _), data in zip(spans, records, strict=True)]
        )
        left = iter(zip(records, texts, strict=True))
        found = []
        for each in chips:
            for name in each.names:
                data, text = next(left)
                found.append((each.xy, name.virtual, name.physical, core_result(data, text, b"")))
        return found

    def _stopped(self, reason: str, of: Collection[Core] = ()) -> MachineStopped:
        """The post-mortem: of some cores, or of all whose chips answer."""
        silent = self.host.silent([each.xy for each in self.chips])
        here = tuple(each for each in self.chips if each.xy not in silent)
        names: list[Core] = [(*each.xy, name.virtual) for each in here for name in each.names]
        states = {core: info.state.name for core, info in self.host.cores(names).items()}
        cores = [
            CoreLeft(xy, virtual, physical, states[*xy, virtual], result, result.text)
            for xy, virtual, physical, result in self._results(here)
            if not of or (*xy, virtual) in of
        ]
        links = self._links_to(silent)
        left = self.dropped(here), silent, self.host.address
        return MachineStopped(reason, cores, *left, *self._stalled(cores), links)

    def _links_to(self, silent: Collection[XY]) -> list[LinkTo]:
        """The links that lead to chips which do not answer, each tried from the chip at its other end.

        Over one that works comes the begin of the record of the silent chip's first core, which names its chip.
        """
        records = {each.xy: (each.load.records[0], dict(each.load.writes)) for each in self.chips if each.xy in silent}
        ways = [
            ((place.x, place.y), link, there)
            for place in self.topology.places
            for link, there in enumerate(place.neighbours)
            if there in records and (place.x, place.y) not in silent
        ]
        spans = [(xy, link, records[there][0], _FIELDS["regions"]) for xy, link, there in ways if there]
        return [
            LinkTo(xy, link, there, data == records[there][1][records[there][0]][: _FIELDS["regions"]])
            for (xy, link, there), data in zip(ways, self.host.read_over_links(spans), strict=True)
            if there
        ]

    def _stalled(self, cores: Sequence[CoreLeft]) -> tuple[list[Stalled], dict[Place, str]]:
        """Blocks of streams that cores have waited for too long, and the names of all cores."""
        names = {
            (each.xy, index): CoreLeft(each.xy, name.virtual, name.physical, "", None).name
            for each in self.chips
            for index, name in enumerate(each.names)
        }
        if self._graph is None:
            return [], names
        places = {(*each.xy, name.virtual): (each.xy, n) for each in self.chips for n, name in enumerate(each.names)}
        results = {places[*core.xy, core.virtual]: core.result for core in cores if core.result is not None}
        parts = [each.graphs[self._graph].program for each in self.chips]
        return stalled(results, parts, self._routes, self.topology), names

    def stop(self) -> None:
        """Stops the cores' program and frees its memory."""
        self.host.stop(APPLICATION)


__all__ = ["APPLICATION", "CORE_TIME_OUT", "LoadedMachine"]
