"""A proxy as spalloc has it, for tests: UDP datagrams of any number of channels over one web socket.

Web sockets: RFC 6455, as much as SpiNNMan's client needs: binary frames in one piece, pings, closing. Messages begin
with two words: what it is, and the number of the call or channel (`spinnman.spalloc.proxy_protocol`).
"""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
from collections.abc import Mapping
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Lock, Thread
from typing import BinaryIO

from spindl.machine.topology import XY

OPEN, CLOSE, MESSAGE, ERROR = 0, 1, 2, 5
BINARY, CLOSING, PING, PONG = 2, 8, 9, 10
_KEY = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Proxy:
    """A server of web sockets.

    Attributes:
        url: of it.
        channels: (x, y, UDP port) of each channel that was opened, in order.
    """

    def __init__(self, boards: Mapping[XY, str], cookie: str) -> None:
        """boards: addresses by their chips; cookie: without which nobody is let in."""
        self.channels: list[tuple[int, int, int]] = []
        proxy = self

        class Handler(StreamRequestHandler):
            """One web socket."""

            def handle(self) -> None:
                lines = [line.decode().strip() for line in iter(self.rfile.readline, b"\r\n")]
                headers = dict(line.lower().split(": ", 1)[0:1] + line.split(": ", 1)[1:] for line in lines[1:])
                if cookie not in headers.get("cookie", ""):
                    self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    return
                digest = hashlib.sha1((headers["sec-websocket-key"] + _KEY).encode()).digest()
                accept = base64.b64encode(digest).decode()
                answer = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
                answer += [f"Sec-WebSocket-Accept: {accept}", "", ""]
                self.wfile.write("\r\n".join(answer).encode())
                _Channels(proxy, boards, self.rfile, self.wfile).serve()

        self._server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"ws://127.0.0.1:{self._server.server_address[1]}/proxy"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


class _Channels:
    """The channels of one web socket."""

    def __init__(self, proxy: Proxy, boards: Mapping[XY, str], incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._proxy, self._boards, self._incoming, self._outgoing = proxy, boards, incoming, outgoing
        self._sockets: dict[int, socket.socket] = {}
        self._lock = Lock()

    def serve(self) -> None:
        """Until the client closes."""
        try:
            while (frame := self._frame()) is not None and frame[0] != CLOSING:
                kind, data = frame
                if kind == PING:
                    self._send(PONG, data)
                elif kind == BINARY:
                    self._message(data)
        finally:
            for each in self._sockets.values():
                each.close()

    def _frame(self) -> tuple[int, bytes] | None:
        head = self._incoming.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 0x7F
        if length >= 126:
            size = 2 if length == 126 else 8
            length = int.from_bytes(self._incoming.read(size), "big")
        mask = self._incoming.read(4)  # clients mask what they send
        data = self._incoming.read(length)
        return head[0] & 15, bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))

    def _send(self, kind: int, data: bytes) -> None:
        length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
        with self._lock:
            self._outgoing.write(bytes([0x80 | kind]) + length + data)

    def _message(self, data: bytes) -> None:
        what, number = struct.unpack_from("<II", data)
        if what == MESSAGE:
            self._sockets[number].send(data[8:])
        elif what == CLOSE:
            (channel,) = struct.unpack_from("<I", data, 8)
            self._sockets.pop(channel).close()
            self._send(BINARY, struct.pack("<III", CLOSE, number, channel))
        elif what == OPEN:
            x, y, port = struct.unpack_from("<III", data, 8)
            if (x, y) not in self._boards:
                self._send(BINARY, struct.pack("<II", ERROR, number) + b"no such board")
                return
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.connect((self._boards[x, y], port))
            channel = len(self._proxy.channels)
            self._proxy.channels.append((x, y, port))
            self._sockets[channel] = made
            self._send(BINARY, struct.pack("<III", OPEN, number, channel))
            Thread(target=self._listen, args=(channel, made), daemon=True).start()

    def _listen(self, channel: int, board: socket.socket) -> None:
        """Datagrams of a board to the client, until the channel is closed."""
        while channel in self._sockets:
            try:
                data = board.recv(2048)
            except OSError:
                return
            self._send(BINARY, struct.pack("<II", MESSAGE, channel) + data)
