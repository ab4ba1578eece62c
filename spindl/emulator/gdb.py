"""GDB's remote protocol for one core: `target remote host:port` from any gdb that knows ARM.

A debugger holds its core only; the rest of the machine goes on. Protocol: GDB manual, appendix E.
"""

from __future__ import annotations

import socket
import threading
from types import TracebackType

from spindl.emulator.errors import EmulatorError, PortTaken
from spindl.emulator.views import CoreView

_CPSR = 16
_INTERRUPT = 0x03
_POLL = 0.02  # seconds between looks at a running core
_TARGET = (
    '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target><architecture>armv5te</architecture>'
    '<feature name="org.gnu.gdb.arm.core">'
    + "".join(f'<reg name="r{i}" bitsize="32"/>' for i in range(13))
    + '<reg name="sp" bitsize="32" type="data_ptr"/><reg name="lr" bitsize="32"/>'
    '<reg name="pc" bitsize="32" type="code_ptr"/><reg name="cpsr" bitsize="32" regnum="16"/></feature></target>'
)


def _word(value: int) -> str:
    return value.to_bytes(4, "little").hex()


class GdbServer:
    """Serves one core to one debugger at a time, on a thread of its own. Close it, or use it as a context manager.

    Attributes:
        port: TCP port on the machine's loopback address.
    """

    def __init__(self, core: CoreView, port: int = 0) -> None:
        self.core = core
        self._native = core.machine.native
        self._breakpoints: set[int] = set()
        self._stop = threading.Event()
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((core.machine.host, port))
        except OSError as error:
            self._listener.close()
            raise PortTaken(f"{core.machine.host}:{port}", str(error)) from error
        self._listener.listen(1)
        self._listener.settimeout(_POLL)
        self.port: int = self._listener.getsockname()[1]
        self._native.watch(core.chip, self._native.watched(core.chip) | 1 << core.physical, 4096)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Lets the core go and closes the port."""
        self._stop.set()
        self._thread.join()
        self._listener.close()

    def __enter__(self) -> GdbServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(_POLL)
                self._native.halt(self.core.chip, self.core.physical)
                self._session(connection)
            self._release()

    def _release(self) -> None:
        self._breakpoints.clear()
        self._native.set_breakpoints(self.core.chip, [])
        self._native.go(self.core.chip, self.core.physical)

    def _session(self, connection: socket.socket) -> None:
        buffer = b""
        running = False
        while not self._stop.is_set():
            try:
                received = connection.recv(4096)
                if not received:
                    return
                buffer += received
            except TimeoutError:
                pass
            if running and (self._halted() or _INTERRUPT in buffer):
                self._native.halt(self.core.chip, self.core.physical)
                buffer = buffer.replace(bytes([_INTERRUPT]), b"")
                running = False
                self._send(connection, "S05")
            while b"#" in buffer and len(buffer) >= buffer.index(b"#") + 3:
                end = buffer.index(b"#")
                start = buffer.rindex(b"$", 0, end) if b"$" in buffer[:end] else end
                command, buffer = buffer[start + 1 : end].decode("latin-1"), buffer[end + 3 :]
                connection.sendall(b"+")
                if command.startswith("c"):
                    running = True
                    self._native.go(self.core.chip, self.core.physical)
                elif command[:1] in ("D", "k"):
                    self._send(connection, "OK")
                    return
                else:
                    self._send(connection, self._answer(command))

    def _halted(self) -> bool:
        return bool(self._native.halted(self.core.chip) >> self.core.physical & 1)

    @staticmethod
    def _send(connection: socket.socket, text: str) -> None:
        connection.sendall(f"${text}#{sum(text.encode()) & 255:02x}".encode())

    def _set_register(self, number: int, text: str) -> None:
        self._native.set_register(
            self.core.chip, self.core.physical, number, int.from_bytes(bytes.fromhex(text), "little")
        )

    def _answer(self, command: str) -> str:
        """The reply to one command; the empty reply means that it is not supported."""
        name, rest = command[:1], command[1:]
        try:
            match name:
                case "?":
                    return "S05"
                case "g":
                    return "".join(map(_word, (*self.core.registers, self.core.cpsr)))
                case "G":
                    for number in range(_CPSR + 1):
                        self._set_register(number, rest[8 * number : 8 * number + 8])
                    return "OK"
                case "p":
                    values = (*self.core.registers, self.core.cpsr)
                    return _word(values[int(rest, 16)])
                case "P":
                    number_text, value = rest.split("=")
                    self._set_register(int(number_text, 16), value)
                    return "OK"
                case "m":
                    address, size = (int(part, 16) for part in rest.split(","))
                    return self.core.read(address, size).hex()
                case "M":
                    place, data = rest.split(":")
                    self.core.write(int(place.split(",")[0], 16), bytes.fromhex(data))
                    return "OK"
                case "s":
                    self._native.step_core(self.core.chip, self.core.physical)
                    return "S05"
                case "Z" | "z":
                    return self._breakpoint(name, rest)
                case "q":
                    return self._query(rest)
                case _:
                    return ""
        except (ValueError, IndexError, EmulatorError):
            return "E01"

    def _breakpoint(self, name: str, rest: str) -> str:
        kind, address, _ = rest.split(",", 2)
        if kind not in ("0", "1"):
            return ""
        (self._breakpoints.add if name == "Z" else self._breakpoints.discard)(int(address, 16))
        self._native.set_breakpoints(self.core.chip, [(self.core.physical, at) for at in sorted(self._breakpoints)])
        return "OK"

    def _query(self, rest: str) -> str:
        if rest.startswith("Supported"):
            return "PacketSize=1000;qXfer:features:read+"
        if rest.startswith("Xfer:features:read:target.xml:"):
            offset, length = (int(part, 16) for part in rest.rsplit(":", 1)[1].split(","))
            part = _TARGET[offset : offset + length]
            return ("l" if offset + length >= len(_TARGET) else "m") + part
        if rest.startswith("Attached"):
            return "1"
        return ""
