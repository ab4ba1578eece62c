"""Public data files: where they live, what they hash to, and how they get into the cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from spindl.data.errors import ChecksumError, MissingFileError

_BLOCK = 1 << 20
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A public file: its address and the SHA-256 of its bytes in hexadecimal."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """The name of the file, the last part of its address."""
        return self.url.rsplit("/", 1)[-1]


_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FASHION_MNIST = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"

# Hashes of the files as first published: MNIST and Fashion-MNIST are quoted by many projects with these values, the
# CIFAR-10 binary archive has the MD5 c32a1d4ab5d03f1284b67883e8d87530 on the page of its authors.
REMOTE_FILES: dict[str, tuple[RemoteFile, ...]] = {
    "mnist": (
        RemoteFile(
            _MNIST + "train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        RemoteFile(
            _MNIST + "train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        RemoteFile(
            _MNIST + "t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        RemoteFile(
            _MNIST + "t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    ),
    "fashion-mnist": (
        RemoteFile(
            _FASHION_MNIST + "train-images-idx3-ubyte.gz",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        RemoteFile(
            _FASHION_MNIST + "train-labels-idx1-ubyte.gz",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        RemoteFile(
            _FASHION_MNIST + "t10k-images-idx3-ubyte.gz",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        RemoteFile(
            _FASHION_MNIST + "t10k-labels-idx1-ubyte.gz",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    "cifar10": (
        RemoteFile(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
}


def fetch(remote: RemoteFile, folder: Path, searched: Sequence[str] = ()) -> Path:
    """The path of `remote` in `folder`, downloaded if it is not there yet.

    A file appears under its name only when it is complete and its hash is right. Raises MissingFileError when it
    cannot be reached or written, ChecksumError when its bytes are not the published ones.
    """
    target = folder / remote.name
    if target.is_file():
        return target
    digest = hashlib.sha256()
    size = 0
    temporary: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(remote.url, timeout=_TIMEOUT_SECONDS) as response,
            tempfile.NamedTemporaryFile(dir=folder, prefix=remote.name + ".", delete=False) as file,
        ):
            temporary = Path(file.name)
            while block := response.read(_BLOCK):
                digest.update(block)
                size += len(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != remote.sha256:
            raise ChecksumError(str(target), remote.url, remote.sha256, digest.hexdigest(), size)
        # Temporary files are private by default; the cache may be shared.
        temporary.chmod(0o644)
        temporary.replace(target)
    except (OSError, HTTPException) as error:
        raise MissingFileError(
            remote.name,
            [*searched, str(folder)],
            reason=f"download failed: {error}",
            url=remote.url,
            sha256=remote.sha256,
            folder=str(folder),
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return target
