"""A small spalloc server for tests: what SpiNNMan's client asks of one, over HTTPS, with a machine that is there.

It speaks the part of the protocol that `spinnman.spalloc` (7.4.1) uses: log-in by a form, sessions by a cookie and a
token, a job that is made, asked for its state, its boards and kept alive until it is deleted; and the proxy through
which clients outside the machine's network reach its boards: UDP datagrams over a web socket, memory over HTTPS.
"""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from spindl.machine.topology import XY
from tests.run.hosted.proxy import Proxy

COOKIE, HEADER, TOKEN = "JSESSIONID", "X-CSRF-TOKEN", "token-of-a-session"
USER, PASSWORD = "ada", "engine"


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, signed by itself, in one file."""
    key, made, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(made.read_text() + key.read_text())
    return both


class Lender:
    """A server that lends one machine.

    Attributes:
        url: of the service.
        requests: method and path of each request, in order.
        wanted: what the job was asked for; None: there was none yet.
        state: of the job, as spalloc names them.
        alive: how often the job was kept alive.
        proxy: through which the boards are reached; None: the server has none.
    """

    def __init__(
        self, boards: Mapping[XY, str], pem: Path, refuses: str = "", memory: Callable[[int, int], Any] | None = None
    ) -> None:
        """boards: addresses by the chips of their Ethernet plugs; refuses: why no job is made; memory: a chip's, with
        `read` and `write`, if the server is to have a proxy."""
        self.boards, self.refuses, self.memory = dict(boards), refuses, memory
        self.proxy = None if memory is None else Proxy(boards, f"{COOKIE}=in")
        self.requests: list[tuple[str, str]] = []
        self.wanted: dict[str, object] | None = None
        self.state, self.alive = "READY", 0
        self.changed = Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}/spalloc"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def become(self, state: str) -> None:
        """The job is in another state from now on."""
        with self.changed:
            self.state = state
            self.changed.notify_all()

    def chip(self, query: Mapping[str, str]) -> Any:
        """The chip that a request names; 255, 255 is SC&MP's name for the one that is asked."""
        assert self.memory is not None
        xy = int(query["x"]), int(query["y"])
        return self.memory(*((0, 0) if xy == (255, 255) else xy))

    def close(self) -> None:
        """Ends the server."""
        self.become("DESTROYED")
        if self.proxy is not None:
            self.proxy.close()
        self._server.shutdown()
        self._server.server_close()


def _handler(lender: Lender) -> type[BaseHTTPRequestHandler]:
    """The answers of a server."""

    class Handler(BaseHTTPRequestHandler):
        """One request."""

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

        def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def document(self, content: object) -> None:
            self.answer(200, json.dumps(content).encode(), Content_Type="application/json")

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def path_and_query(self) -> tuple[str, dict[str, str]]:
            parts = urlsplit(self.path)
            path = parts.path.removeprefix("/spalloc").rstrip("/")
            lender.requests.append((self.command, path))
            return path, {name: values[0] for name, values in parse_qs(parts.query).items()}

        def allowed(self, *, changes: bool) -> bool:
            """Only who has logged in; who changes something says the session's token, too."""
            known = f"{COOKIE}=in" in self.headers.get("Cookie", "")
            if known and (not changes or self.headers.get(HEADER) == TOKEN):
                return True
            self.answer(403, b"log in first")
            return False

        def do_GET(self) -> None:
            path, query = self.path_and_query()
            if path == "/system/login.html":
                page = b'<form><input type="hidden" name="_csrf" value="form" /></form>'
                self.answer(200, page, Set_Cookie=f"{COOKIE}=out; Path=/")
            elif not self.allowed(changes=False):
                pass
            elif path == "/srv/spalloc":
                version = {"major-version": 2, "minor-version": 0, "revision": 0}
                references = {"machines-ref": f"{lender.url}/srv/spalloc/machines"}
                references |= {"jobs-ref": f"{lender.url}/srv/spalloc/jobs"}
                self.document({"version": version, **references, "csrf-header": HEADER, "csrf-token": TOKEN})
            elif path == "/srv/spalloc/jobs/7":
                if query.get("wait", "").lower() == "true":
                    with lender.changed:
                        lender.changed.wait(0.5)
                proxy = {} if lender.proxy is None else {"proxy-ref": lender.proxy.url}
                self.document({"state": lender.state, **proxy})
            elif path == "/srv/spalloc/jobs/7/machine":
                self.document({"connections": [[list(xy), host] for xy, host in lender.boards.items()]})
            elif path == "/srv/spalloc/jobs/7/memory" and lender.memory is not None:
                self.answer(200, lender.chip(query).read(int(query["address"]), int(query["size"])))
            else:
                self.answer(404)

        def do_POST(self) -> None:
            path, query = self.path_and_query()
            data = self.body()
            if path == "/system/perform_login":
                form = parse_qs(data.decode())
                if form.get("username") == [USER] and form.get("password") == [PASSWORD] and form["_csrf"] == ["form"]:
                    self.answer(302, Set_Cookie=f"{COOKIE}=in; Path=/", Location=lender.url)
                else:
                    self.answer(401, b'{"message": "bad credentials"}', Content_Type="application/json")
            elif not self.allowed(changes=True):
                pass
            elif path == "/srv/spalloc/jobs" and lender.refuses:
                self.answer(400, lender.refuses.encode())
            elif path == "/srv/spalloc/jobs":
                lender.wanted = json.loads(data)
                self.answer(201, Location=f"{lender.url}/srv/spalloc/jobs/7")
            elif path == "/srv/spalloc/jobs/7/memory" and lender.memory is not None:
                lender.chip(query).write(int(query["address"]), data)
                self.answer(200)
            else:
                self.answer(404)

        def do_PUT(self) -> None:
            path, _ = self.path_and_query()
            self.body()
            if self.allowed(changes=True):
                lender.alive += path.endswith("/keepalive")
                self.answer(200)

        def do_DELETE(self) -> None:
            path, _ = self.path_and_query()
            if self.allowed(changes=True):
                if path == "/srv/spalloc/jobs/7":
                    lender.become("DESTROYED")
                self.answer(204)

    return Handler
