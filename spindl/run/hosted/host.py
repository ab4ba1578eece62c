"""A machine as its host sees it, through the unmodified SpiNNMan.

SpiNNMan keeps the machine that it talks to, and its settings, in variables of the process. A `Host` sets them to its
own machine before each of its calls, under a lock: several machines can be used side by side in one process.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from io import StringIO
from threading import RLock
from typing import Any

from spinn_machine import CoreSubsets, MulticastRoutingEntry, RoutingEntry
from spinn_machine.exceptions import SpinnMachineException
from spinn_utilities.config_holder import clear_cfg_files, set_config
from spinnman.config_setup import add_spinnman_cfg
from spinnman.data.spinnman_data_writer import SpiNNManDataWriter
from spinnman.exceptions import SpinnmanBootException, SpinnmanException, SpinnmanTimeoutException
from spinnman.messages.scp.enums import Signal
from spinnman.model.enums import CPUState
from spinnman.transceiver import create_transceiver_from_hostname

from spindl.machine.topology import XY
from spindl.program.load import CoreName
from spindl.run.hosted.patience import Clock, later, make_patient
from spindl.run.hosted.transfers import FEW_RETRIES, SHORT_TIME_OUT, Piece, SilentChips, Span, Transfers
from spindl.run.interface import RunError

Core = tuple[int, int, int]
"""Chip's x and y, virtual number of the core."""
SYSTEM_VARIABLES = 0xF5007F00
HARDWARE_VERSION, CLOCK_MS, PHYSICAL_NUMBERS = 0x0A, 0x10, 0xA8
"""Offsets of SC&MP's variables: hardware version (byte), milliseconds since its start (64 bits), virtual -> physical
core (20 bytes)."""
START_SECONDS = 1.0
"""Machine's seconds in which cores start a program."""
_LOCK = RLock()


@dataclass
class _Variables:
    """What SpiNNMan's variables are set to: their writer, whose machine they describe, its hardware version."""

    writer: Any = None
    host: Host | None = None
    version: int = 0


_VARIABLES = _Variables()


class MachineError(RunError):
    """A machine cannot be had, or does not answer any more."""


@cache
def _reports() -> tempfile.TemporaryDirectory[str]:
    """Where SpiNNMan writes its reports; it still does so when the process ends."""
    return tempfile.TemporaryDirectory()


@cache
def _quiet() -> None:
    for name in ("spinnman", "spinn_machine", "spinn_utilities"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _set_up(address: str, version: int) -> None:
    """SpiNNMan's variables and settings for a machine whose chips are not known yet."""
    _quiet()
    clear_cfg_files(True)
    add_spinnman_cfg()
    set_config("Reports", "default_report_file_path", _reports().name)
    set_config("Machine", "version", str(version))
    set_config("Machine", "machine_name", address)
    _VARIABLES.writer, _VARIABLES.host, _VARIABLES.version = SpiNNManDataWriter.setup(), None, version
    _VARIABLES.writer.set_ipaddress(address)
    _allow_busy_cores(_VARIABLES.writer.get_machine_version())


def _allow_busy_cores(version: Any) -> None:
    """SpiNNMan counts cores on which programs run as missing, and refuses a machine whose chips have few others.

    Who uses the machine is said by `live.check_free`, and `live.stop_all` stops it.
    """

    class Lenient(type(version)):  # type: ignore[misc]
        """A version of the hardware that expects no cores."""

        __slots__ = ()
        minimum_cores_expected = 0

    version.__class__ = Lenient


def _cause(error: BaseException) -> BaseException:
    """What SpiNNMan's wrapper of an error holds."""
    inner = getattr(error, "exception", None)
    return inner if isinstance(inner, BaseException) else error


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """SpiNNMan's errors as MachineError, its progress bars nowhere."""
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    except SpinnmanBootException as error:
        raise MachineError(
            "nothing answers there, and what is there cannot be booted", address, "is it switched on, the name right?"
        ) from error
    except (SpinnmanException, SpinnMachineException, OSError) as error:
        inner = _cause(error)
        if isinstance(inner, SilentChips):
            raise MachineError(str(inner), address, "read the machine again, or boot it") from error
        if isinstance(inner, SpinnmanTimeoutException):
            raise MachineError("SC&MP does not answer", address, "read the machine again, or boot it") from error
        first = str(inner).strip().partition("\n")[0] or type(inner).__name__
        raise MachineError(f"SpiNNMan: {first}", address) from error


class Host:
    """A connection with one machine, booted if it was not.

    Attributes:
        address: host name or address of its first board.
        version: of its hardware, 3 or 5.
        machine: its chips and links as SpiNNMan read them.
        numbers: per chip the physical number of each virtual core, 0xFF behind the last.
        written, fetched: bytes of `write` and `read`, by the Ethernet chip that they went through.
        transceiver: SpiNNMan's; use it inside `selected` only.
    """

    def __init__(
        self,
        address: str,
        version: int,
        boards: Mapping[XY, str] | None = None,
        clock: Clock | None = None,
        proxied: Callable[[], Any] | None = None,
    ) -> None:
        """Connects. Raises MachineError if nothing answers in about a minute, or runs another SC&MP.

        Args:
            address: see above.
            version: see above.
            boards: addresses of the Ethernet chips, where they are known; otherwise the machine is asked.
            clock: the machine's own time, if it may be slower than the host's (`patience`); None: it is not.
            proxied: makes a transceiver of SpiNNMan's that reaches all boards through a server; None: connect directly.
        """
        self.address, self.version, self._clock = address, version, clock
        self.written, self.fetched = Counter[XY](), Counter[XY]()
        with _LOCK, _explained(address):
            _set_up(address, version)
            self.transceiver = create_transceiver_from_hostname(address) if proxied is None else proxied()
            if proxied is None and boards:
                self.transceiver.add_scamp_connections(dict(boards))
            elif proxied is None:
                self.transceiver.discover_scamp_connections()
            if clock is not None:
                make_patient(self.transceiver.get_connections(), clock)
            self.machine = self.transceiver.get_machine_details()
            _VARIABLES.host = None
        spans = [((chip.x, chip.y), SYSTEM_VARIABLES + PHYSICAL_NUMBERS, 20) for chip in self.machine.chips]
        self.numbers = dict(zip((span[0] for span in spans), self.read(spans), strict=True))

    @contextmanager
    def selected(self) -> Iterator[Any]:
        """SpiNNMan's transceiver, while its variables describe this machine. Raises MachineError for its errors."""
        with _LOCK:
            if _VARIABLES.host is not self:
                if _VARIABLES.version != self.version:
                    _set_up(self.address, self.version)
                _VARIABLES.writer.clear_machine()
                _VARIABLES.writer.set_ipaddress(self.address)
                _VARIABLES.writer.set_machine(self.machine)
                _VARIABLES.host = self
            with _explained(self.address):
                yield self.transceiver

    # --- memory ------------------------------------------------------------------------------------------------------

    @property
    def bytes_written(self) -> int:
        """In all."""
        return self.written.total()

    @property
    def bytes_read(self) -> int:
        """In all."""
        return self.fetched.total()

    def write(self, pieces: Iterable[Piece]) -> None:
        """Changes memory of any chips, in any order."""
        with self.selected() as transceiver:
            self.written.update(Transfers(transceiver.get_scamp_connection_selector()).write(pieces))

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        """Memory of any chips."""
        with self.selected() as transceiver:
            found, counts = Transfers(transceiver.get_scamp_connection_selector()).read(spans)
        self.fetched.update(counts)
        return found

    def read_over_links(self, spans: Sequence[tuple[XY, int, int, int]]) -> list[bytes | None]:
        """See `Transfers.read_over_links`."""
        with self.selected() as transceiver:
            selector = transceiver.get_scamp_connection_selector()
            return Transfers(selector, n_retries=FEW_RETRIES, timeout=SHORT_TIME_OUT).read_over_links(spans)

    def silent(self, chips: Sequence[XY]) -> list[XY]:
        """Those of some chips that do not answer."""
        with self.selected() as transceiver:
            selector = transceiver.get_scamp_connection_selector()
            return Transfers(selector, n_retries=FEW_RETRIES, timeout=SHORT_TIME_OUT).silent(chips, SYSTEM_VARIABLES)

    def allocate(self, xy: XY, size: int, application: int, tag: int) -> int:
        """Address of a new block of SDRAM that goes when the application is stopped."""
        with self.selected() as transceiver:
            return int(transceiver.malloc_sdram(*xy, size, application, tag))

    def clock(self) -> float:
        """Seconds since SC&MP's start, in the machine's own time."""
        (data,) = self.read([((0, 0), SYSTEM_VARIABLES + CLOCK_MS, 8)])
        return int.from_bytes(data, "little") / 1000

    def core_names(self, xy: XY, working: int) -> list[CoreName]:
        """A chip's cores for programs: those that SC&MP has numbered and that work (bits of physical cores)."""
        numbers = self.numbers[xy]
        return [
            CoreName(p, numbers[p]) for p in range(1, len(numbers)) if numbers[p] != 0xFF and working >> numbers[p] & 1
        ]

    # --- programs ----------------------------------------------------------------------------------------------------

    def route(self, entries: Mapping[XY, Sequence[tuple[int, int, Sequence[int], Sequence[int]]]], app: int) -> None:
        """Sets router entries: per chip (key, mask, links, virtual cores; SC&MP makes physical ones of them)."""
        with self.selected() as transceiver:
            for xy, lines in entries.items():
                made = [
                    MulticastRoutingEntry(key, mask, RoutingEntry(processor_ids=list(cores), link_ids=list(links)))
                    for key, mask, links, cores in lines
                ]
                if made:
                    transceiver.load_multicast_routes(*xy, made, app)

    def load(self, cores: Sequence[Core], program: bytes, application: int) -> None:
        """Brings a program (APLX) to cores by flood fill; it waits for the signal START there."""
        with self.selected() as transceiver:
            padded = bytearray(program + bytes(-len(program) % 4))  # of bytes it cannot make the sum of words
            transceiver.execute_flood(_subsets(cores), padded, application, n_bytes=len(padded), wait=True)

    def wait_for(self, cores: Sequence[Core], application: int, state: str, seconds: float) -> dict[Core, Any]:
        """Waits until cores are in a state. Returns those that are not, with what SC&MP knows of them.

        `seconds` are the host's; of a machine with a clock of its own START_SECONDS have to pass as well.
        """
        passed = None if self._clock is None else later(self._clock, START_SECONDS)
        while True:
            with self.selected() as transceiver, suppress(SpinnmanTimeoutException):
                transceiver.wait_for_cores_to_be_in_state(
                    _subsets(cores), application, [CPUState[state]], timeout=seconds
                )
                return {}
            if passed is None or passed():
                break
        return {core: info for core, info in self.cores(cores).items() if info.state != CPUState[state]}

    def cores(self, cores: Sequence[Core]) -> dict[Core, Any]:
        """What SC&MP knows of cores: SpiNNMan's CPUInfo."""
        with self.selected() as transceiver:
            found = transceiver.get_cpu_infos(_subsets(cores))
            return {(x, y, p): found.get_cpu_info(x, y, p) for x, y, p in found}

    def signal(self, application: int, name: str) -> None:
        """Sends a signal to all cores of an application."""
        with self.selected() as transceiver:
            transceiver.send_signal(application, Signal[name])

    def stop(self, application: int) -> None:
        """Stops an application and frees its memory and router entries."""
        with self.selected() as transceiver:
            transceiver.stop_application(application)

    def dropped(self, chips: Iterable[XY]) -> dict[XY, int]:
        """Multicast packets that the routers of chips have dropped since they were started."""
        with self.selected() as transceiver:
            return {xy: int(transceiver.get_router_diagnostics(*xy).n_dropped_multicast_packets) for xy in chips}

    def texts(self, cores: Sequence[Core]) -> dict[Core, str]:
        """What cores have printed (IOBUF)."""
        with self.selected() as transceiver:
            return {(each.x, each.y, each.p): str(each.iobuf) for each in transceiver.get_iobuf(_subsets(cores))}

    def close(self) -> None:
        """Closes the connection."""
        with _LOCK:
            if _VARIABLES.host is self:
                _VARIABLES.host = None
            self.transceiver.close()


def hardware_version(address: str) -> int:
    """3 or 5, of a machine that is booted already. Raises MachineError if it does not answer."""
    with _LOCK:
        try:
            with _explained(address):
                _set_up(address, 5)
                transceiver = create_transceiver_from_hostname(address, ensure_board_is_ready=False)
                try:
                    (version,) = transceiver.read_memory(0, 0, SYSTEM_VARIABLES + HARDWARE_VERSION, 1)
                finally:
                    transceiver.close()
        except MachineError as error:
            raise MachineError(
                "nothing answers there",
                address,
                f"is it switched on, and the name right? one that is not booted yet needs its model: spin5@{address}",
            ) from error
    return 3 if version == 3 else 5


def allocated(server: str, chips: int) -> tuple[str, dict[XY, str], Any]:
    """A machine that spalloc lends: its first board, its boards, SpiNNMan's controller that gives it back.

    Raises:
        MachineError: the server lends none.
    """
    from spinnman.spalloc.spalloc_allocator import spalloc_allocate_job

    with _LOCK:
        _set_up(server, 5)
        set_config("Machine", "machine_name", "None")  # SpiNNMan takes either a machine or a server
        set_config("Machine", "spalloc_server", server)
        _VARIABLES.writer.set_n_required(None, chips)
        try:
            with _explained(server), _reached(server):
                address, boards, controller = spalloc_allocate_job()
        except (ValueError, KeyError, RuntimeError) as error:
            raise MachineError(f"spalloc lends no machine: {' '.join(str(error).split())}", server) from error
    return str(address), dict(boards), controller


@contextmanager
def _reached(server: str) -> Iterator[None]:
    """Errors of the connection with a spalloc server as MachineError."""
    try:
        yield
    except OSError as error:
        what = f"the spalloc server does not answer: {str(error).strip().partition(chr(10))[0]}"
        raise MachineError(what, server, "is the URL right, and can this computer reach it?") from error


def _subsets(cores: Sequence[Core]) -> Any:
    made = CoreSubsets()
    for core in cores:
        made.add_processor(*core)
    return made
