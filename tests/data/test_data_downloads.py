"""Downloads from a server on this computer: checked, atomic, and clear when they fail."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from data_makers import write_idx_folder

from spindl.data import ChecksumError, MissingFileError, downloads, open_dataset
from spindl.data.downloads import RemoteFile, fetch


class Server:
    """Serves `files`; a file named in `short` breaks off half way through."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.short: set[str] = set()
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.lstrip("/")
                outer.asked.append(name)
                if name not in outer.files:
                    self.send_error(404)
                    return
                data = outer.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if name in outer.short else data)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"

    def remote(self, name: str, data: bytes) -> RemoteFile:
        self.files[name] = data
        return RemoteFile(self.url + name, hashlib.sha256(data).hexdigest())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    remote = server.remote("data.gz", b"x" * 3_000_000)
    for _ in range(2):
        path = fetch(remote, tmp_path / "cache")
        assert path.read_bytes() == server.files["data.gz"]
    assert server.asked == ["data.gz"]
    assert list((tmp_path / "cache").iterdir()) == [path]


def test_other_bytes_than_published_are_not_kept(server: Server, tmp_path: Path) -> None:
    remote = server.remote("data.gz", b"right")
    server.files["data.gz"] = b"wrong"
    with pytest.raises(ChecksumError) as caught:
        fetch(remote, tmp_path)
    assert caught.value.expected == hashlib.sha256(b"right").hexdigest()
    assert caught.value.actual == hashlib.sha256(b"wrong").hexdigest()
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_off_is_not_kept(server: Server, tmp_path: Path) -> None:
    remote = server.remote("data.gz", bytes(3_000_000))
    server.short.add("data.gz")
    with pytest.raises((ChecksumError, MissingFileError)):
        fetch(remote, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_offline_says_what_to_put_where(tmp_path: Path) -> None:
    # Port 9 of this computer: nothing listens.
    remote = RemoteFile("http://127.0.0.1:9/train.gz", "ab" * 32)
    with pytest.raises(MissingFileError) as caught:
        fetch(remote, tmp_path / "mnist", ["/data/mnist"])
    message = str(caught.value)
    for part in ("train.gz", "http://127.0.0.1:9/train.gz", "ab" * 32, str(tmp_path / "mnist"), "/data/mnist"):
        assert part in message
    assert list((tmp_path / "mnist").iterdir()) == []


def test_not_found_on_the_server(server: Server, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="404"):
        fetch(RemoteFile(server.url + "gone.gz", "0" * 64), tmp_path)


def test_mnist_from_nothing_to_batches(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx_folder(tmp_path / "home")
    remotes = [server.remote(path.name, path.read_bytes()) for path in sorted((tmp_path / "home").iterdir())]
    monkeypatch.setitem(downloads.REMOTE_FILES, "mnist", tuple(remotes))
    cache = tmp_path / "cache"
    with pytest.raises(MissingFileError, match="switched off"):
        open_dataset("mnist", "train", cache_dir=cache, download=False)
    assert server.asked == []
    dataset = open_dataset("mnist", "train", cache_dir=cache)
    assert (len(dataset), dataset.source) == (20, str(cache / "mnist"))
    # Only what the split needs.
    assert sorted(server.asked) == ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]
    assert len(open_dataset("mnist", "test", cache_dir=cache)) == 10
    assert len(open_dataset("mnist", "test", cache_dir=cache, download=False)) == 10
    assert len(server.asked) == 4


def test_the_table_is_complete() -> None:
    names = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    names += [name.replace("train", "t10k") for name in names]
    assert [remote.name for remote in downloads.REMOTE_FILES["mnist"]] == names
    assert [remote.name for remote in downloads.REMOTE_FILES["fashion-mnist"]] == names
    assert [remote.name for remote in downloads.REMOTE_FILES["cifar10"]] == ["cifar-10-binary.tar.gz"]
    hashes = [remote.sha256 for remotes in downloads.REMOTE_FILES.values() for remote in remotes]
    assert len(set(hashes)) == 9
    assert all(len(text) == 64 and set(text) <= set("0123456789abcdef") for text in hashes)
