"""The one ARM image of all cores: built from kernels/, kept as one file, loaded everywhere.

python -m spindl.program.image [FILE]      builds it and prints where its bytes go
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from spindl.program.kernels import KERNELS
from spindl.program.toolchain import SOURCES, Elf, ImageError, compile_object, forget_headers, link, read_elf

ITCM_GATE, DATA_START, DATA_GATE = 28 * 1024, 0x40E000, 8 * 1024
VERSION_AT = 0x14
"""The unused vector holds the image's version."""
SHIPPED = Path(__file__).parent / "spindl.image"
"""Where an installed package has it."""
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Image:
    """The program of the cores.

    Attributes:
        code: bytes from address 0 of ITCM on.
        data: bytes from DATA_START on.
        sha: SHA-256 (hex) of code, with a zero in the place of the version, and data.
        symbols: name -> address, for debugging.
    """

    code: bytes
    data: bytes
    sha: str
    symbols: dict[str, int]

    @property
    def version(self) -> int:
        """First 32 bits of the SHA-256, as schedules and records of cores name the image."""
        return int(self.sha[:8], 16)

    @property
    def aplx(self) -> bytes:
        """The file that SC&MP's loader takes: a table of 16-byte entries, then bytes, copied in steps of 32."""
        code, data = (part + bytes(-len(part) % 32) for part in (self.code, self.data))
        entry, code_at = 16, 64
        words = [2, 0, code_at, len(code)]  # relative copy: destination, offset from the entry, bytes
        words += [2, DATA_START, code_at + len(code) - entry, len(data)] if data else []
        words += [4, 0, 0, 0]  # execute at 0
        words += [0xFFFFFFFF] * (16 - len(words))
        return b"".join(word.to_bytes(4, "little") for word in words) + code + data


def save_image(image: Image, path: Path) -> None:
    """Writes an image as one file: a line of JSON, then code and data."""
    head = {"sha": image.sha, "code": len(image.code), "data": len(image.data), "symbols": image.symbols}
    path.write_bytes(json.dumps(head).encode() + b"\n" + image.code + image.data)


def load_image(path: Path | None = None) -> Image:
    """The image in a file; without one, the package's own, or, in a clone, the one built from kernels/.

    Raises:
        ImageError: there is none, or its bytes are not those that its hash names.
    """
    if path is None and not SHIPPED.exists():
        if not (ROOT / "kernels" / "rt").is_dir():
            raise ImageError(
                "this installation has no image", str(SHIPPED), "install from a wheel, or from a clone with ziglang"
            )
        return build_image(ROOT / "kernels", ROOT / "build" / "arm")
    path = path or SHIPPED
    try:
        head, _, rest = path.read_bytes().partition(b"\n")
        fields = json.loads(head)
        code, data = rest[: fields["code"]], rest[fields["code"] :]
        image = Image(code, data, fields["sha"], fields["symbols"])
    except (OSError, ValueError, KeyError) as error:
        raise ImageError(f"not an image: {error}", str(path)) from error
    if _sha(code, data) != image.sha:
        raise ImageError("the bytes are not those that the hash names", str(path), "build it again")
    return image


def _sha(code: bytes, data: bytes) -> str:
    return sha256(code[:VERSION_AT] + bytes(4) + code[VERSION_AT + 4 :] + data).hexdigest()


def tuned_kernels(objects: list[Path]) -> list[str]:
    """Names of the kernels that these objects define."""
    defined = {name for path in objects for name in read_elf(path).symbols}
    return sorted(name for name in KERNELS if f"spindl_{name}" in defined)


def build_image(kernels: Path, cache: Path, names: Collection[str] | None = None) -> Image:
    """Compiles and links the image, from the cache where nothing has changed.

    Args:
        kernels: the folder with include, ref, arm and rt.
        cache: where objects are kept.
        names: kernels to put in; None: all of them. Another selection is another image, with another version.

    Raises:
        ImageError: with what compiler or linker say; also if a size gate is passed.
    """
    return _image(link_image(kernels, cache, names))


def link_image(kernels: Path, cache: Path, names: Collection[str] | None = None) -> Elf:
    """The linked image as ELF; see `build_image`."""
    script = (kernels / "rt" / "image.ld").read_text()
    objects = [path for group in _objects(kernels, cache, names).values() for path in group]
    return read_elf(link(objects, script, cache, "image"))


def _objects(kernels: Path, cache: Path, names: Collection[str] | None) -> dict[str, list[Path]]:
    """Folder -> objects of its sources; references that have a tuned version get the suffix _ref."""
    forget_headers()
    includes = (kernels / "include", kernels / "include" / "generated", kernels / "ref")
    selection = _selection(cache, names)

    def made(folder: str, defines: tuple[str, ...] = ()) -> list[Path]:
        sources = sorted(path for path in (kernels / folder).glob("*") if path.suffix in SOURCES)
        return [
            compile_object(path, (*includes, *([selection] if path.stem == "kernel_table" else [])), cache, defines)
            for path in sources
        ]

    tuned = made("arm")
    renamed = tuple(f"spindl_{name}=spindl_{name}_ref" for name in tuned_kernels(tuned))
    return {"rt": made("rt"), "arm": tuned, "ref": made("ref", renamed)}


def _selection(cache: Path, names: Collection[str] | None) -> Path:
    """A folder with the header that tells the table of kernels which ones are in the image."""
    chosen = [name for name in KERNELS if names is None or name in names]
    unknown = sorted(set(names or ()) - set(KERNELS))
    if unknown:
        raise ImageError(f"there are no kernels {', '.join(unknown)}", "image")
    text = "#define SPINDL_SELECTED(X) " + " ".join(f"X({name})" for name in chosen) + "\n"
    folder = cache / f"selection-{sha256(text.encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    header = folder / "spindl_selection.h"
    if not header.exists() or header.read_text() != text:
        header.write_text(text)
    return folder


def _image(elf: Elf) -> Image:
    code = b"".join(data for address, data, _ in elf.segments if address < ITCM_GATE)
    data = b"".join(data for address, data, _ in elf.segments if address >= DATA_START and data)
    starts = sorted(address for address, stored, _ in elf.segments if stored)
    if starts not in ([0], [0, DATA_START]):
        raise ImageError(f"segments at {[hex(start) for start in starts]}", "image")
    sha = _sha(code, data)
    version = int(sha[:8], 16)
    stamped = code[:VERSION_AT] + version.to_bytes(4, "little") + code[VERSION_AT + 4 :]
    return Image(stamped, data, sha, {name: value for name, (value, _) in sorted(elf.symbols.items())})


def sizes(kernels: Path, cache: Path, names: Collection[str] | None = None) -> dict[str, int]:
    """Bytes of code and constants by source file, "helpers" for the compiler's own, and what lies in DTCM."""
    elf = link_image(kernels, cache, names)
    home = {
        name: f"{folder}/{path.name.rsplit('-', 1)[0]}"
        for folder, paths in _objects(kernels, cache, names).items()
        for path in paths
        for name in read_elf(path).symbols
    }
    stems = {name.split("/")[1]: name for name in home.values()}
    named = [(home.get(name, "helpers"), value, size) for name, (value, size) in elf.symbols.items()]
    named += [(stems.get(Path(file).stem, "helpers"), value, size) for file, _, value, size in elf.locals]
    parts: dict[str, int] = {}
    for part, value, size in named:
        if value < ITCM_GATE and size:
            parts[part] = parts.get(part, 0) + size
    parts = dict(sorted(parts.items()))
    code = sum(len(data) for address, data, _ in elf.segments if address < ITCM_GATE)
    parts["without a name (vectors, constants)"] = code - sum(parts.values())
    parts["code in all"] = code
    parts["data"] = elf.symbols["zero_end"][0] - DATA_START
    parts["stack"] = elf.symbols["main_stack"][0] - elf.symbols["zero_end"][0]
    return parts


def main() -> None:
    """Build the clone's image; print its sizes."""
    image = build_image(ROOT / "kernels", ROOT / "build" / "arm")
    for name, size in sizes(ROOT / "kernels", ROOT / "build" / "arm").items():
        print(f"{size:6d} {name}")
    print(f"version {image.version:#010x}")
    if len(sys.argv) > 1:
        save_image(image, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
