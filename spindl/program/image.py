"""The one ARM image of all cores: built from kernels/, kept as one file, loaded everywhere.

python -m spindl.program.image [FILE]      builds it and prints where its bytes go
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from zlib import crc32

from spindl.program.kernels import KERNELS
from spindl.program.overlays import LARGEST_OVERLAYS, OVERLAYS, arrange, linker_lines
from spindl.program.toolchain import SOURCES, Elf, ImageError, compile_object, forget_headers, link, read_elf

ITCM_GATE, DATA_START, DATA_GATE = 28 * 1024, 0x40E000, 8 * 1024
VERSION_AT = 0x14
"""The unused vector holds the image's version."""
SHIPPED = Path(__file__).parent / "spindl.image"
"""Where an installed package has it."""
ROOT = Path(__file__).parents[2]
PLACES = "overlay_places"
"""The symbol where the image lists its overlays: offset in their block, bytes and CRC-32 of each."""


@dataclass(frozen=True)
class Image:
    """The program of the cores.

    Attributes:
        code: bytes from address 0 of ITCM on.
        data: bytes from DATA_START on.
        overlays: code that waits in SDRAM for its turn in ITCM; mostly empty.
        sha: SHA-256 (hex) of code, with a zero in the place of the version, data and overlays.
        symbols: name -> address, for debugging.
    """

    code: bytes
    data: bytes
    overlays: bytes
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
    """Writes an image as one file."""
    path.write_bytes(image_bytes(image))


def image_bytes(image: Image) -> bytes:
    """An image as a file has it: a line of JSON, then code, data and overlays."""
    parts = (image.code, image.data, image.overlays)
    head = {"sha": image.sha, "bytes": [len(part) for part in parts], "symbols": image.symbols}
    return json.dumps(head).encode() + b"\n" + b"".join(parts)


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
        return read_image(path.read_bytes(), str(path))
    except OSError as error:
        raise ImageError(f"not an image: {error}", str(path)) from error


def read_image(content: bytes, where: str) -> Image:
    """The image in the bytes of a file. Raises ImageError if they hold none, or others than its hash names."""
    try:
        head, _, rest = content.partition(b"\n")
        fields = json.loads(head)
        first, second, third = fields["bytes"]
        code, data = rest[:first], rest[first : first + second]
        image = Image(code, data, rest[first + second : first + second + third], fields["sha"], fields["symbols"])
    except (ValueError, KeyError) as error:
        raise ImageError(f"not an image: {error}", where) from error
    if _sha(code, data, image.overlays) != image.sha:
        raise ImageError("the bytes are not those that the hash names", where, "build it again")
    return image


def _sha(code: bytes, data: bytes, overlays: bytes) -> str:
    return sha256(code[:VERSION_AT] + bytes(4) + code[VERSION_AT + 4 :] + data + overlays).hexdigest()


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
    """The linked image as ELF; see `build_image`. With overlays only if it does not fit without them."""
    try:
        return _linked(kernels, cache, names, ())
    except ImageError as error:
        if "ITCM" not in error.what:
            raise
        return _linked(kernels, cache, names, OVERLAYS)


def _linked(kernels: Path, cache: Path, names: Collection[str] | None, overlays: tuple[tuple[str, ...], ...]) -> Elf:
    objects = _objects(kernels, cache)
    chosen = [name for name in KERNELS if names is None or name in names]
    unknown = sorted(set(names or ()) - set(KERNELS))
    if unknown:
        raise ImageError(f"there are no kernels {', '.join(unknown)}", "image")
    table = kernels / "rt" / "kernel_table.c"
    flat = [path for group in objects.values() for path in group]
    place = arrange(flat, chosen, overlays)
    homes = {name: (path.name, section) for path in flat for name, section in read_elf(path).homes.items()}
    selection = _selection(cache, {name: place[homes[f"spindl_{name}"]] for name in chosen})
    resident, shared = linker_lines(place, len(overlays))
    script = (kernels / "rt" / "image.ld").read_text().replace("@RESIDENT@", resident).replace("@OVERLAYS@", shared)
    flat.append(compile_object(table, (*_includes(kernels), selection), cache))
    elf = read_elf(link(flat, script, cache, "image"))
    start = elf.symbols["overlay_start"][0]
    for _, name, value, _ in elf.locals:
        if "Thunk" in name and start <= value < ITCM_GATE:
            raise ImageError(f"the linker's {name} lies in an overlay, where others may use it", "image")
    return elf


def _stem(path: Path) -> str:
    return path.name.rsplit("-", 1)[0]


def _includes(kernels: Path) -> tuple[Path, ...]:
    return (kernels / "include", kernels / "include" / "generated", kernels / "ref")


def _objects(kernels: Path, cache: Path) -> dict[str, list[Path]]:
    """Folder -> objects of its sources, without the table of kernels; references that have a tuned version get the
    suffix _ref."""
    forget_headers()

    def made(folder: str, defines: tuple[str, ...] = ()) -> list[Path]:
        sources = sorted(path for path in (kernels / folder).glob("*") if path.suffix in SOURCES)
        return [
            compile_object(path, _includes(kernels), cache, defines) for path in sources if path.stem != "kernel_table"
        ]

    tuned = made("arm")
    renamed = tuple(f"spindl_{name}=spindl_{name}_ref" for name in tuned_kernels(tuned))
    return {"rt": made("rt"), "arm": tuned, "ref": made("ref", renamed)}


def _selection(cache: Path, chosen: Mapping[str, int]) -> Path:
    """A folder with the header that tells the table of kernels which ones are in the image, and in which overlay."""
    text = "#define SPINDL_SELECTED(X) " + " ".join(f"X({name})" for name in chosen) + "\n"
    text += "".join(f"#define SPINDL_OVERLAY_{name} {overlay}\n" for name, overlay in chosen.items())
    folder = cache / f"selection-{sha256(text.encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    header = folder / "spindl_selection.h"
    if not header.exists() or header.read_text() != text:
        header.write_text(text)
    return folder


def _image(elf: Elf) -> Image:
    if set(elf.sections) - {".text", ".data"} - {f".overlay{i}" for i in range(1, LARGEST_OVERLAYS + 1)}:
        raise ImageError(f"sections {', '.join(sorted(elf.sections))}", "image")
    code, data = (elf.sections.get(name, (0, b""))[1] for name in (".text", ".data"))
    overlays, places = b"", b""
    for number in range(1, LARGEST_OVERLAYS + 1):
        part = elf.sections.get(f".overlay{number}", (0, b""))[1]
        part += bytes(-len(part) % 4)
        places += b"".join(word.to_bytes(4, "little") for word in (len(overlays), len(part), crc32(part)))
        overlays += part
    at = elf.symbols[PLACES][0]
    code = code[:at] + places + code[at + len(places) :]
    sha = _sha(code, data, overlays)
    stamped = code[:VERSION_AT] + int(sha[:8], 16).to_bytes(4, "little") + code[VERSION_AT + 4 :]
    return Image(stamped, data, overlays, sha, {name: value for name, (value, _) in sorted(elf.symbols.items())})


def sizes(kernels: Path, cache: Path, names: Collection[str] | None = None) -> dict[str, int]:
    """Bytes of code by source file, "helpers" for the compiler's own, overlays (the largest counts), data in DTCM."""
    elf = link_image(kernels, cache, names)
    home = {
        name: f"{folder}/{_stem(path)}"
        for folder, paths in _objects(kernels, cache).items()
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
    shared = {name: len(data) for name, (_, data) in sorted(elf.sections.items()) if name.startswith(".overlay")}
    resident = len(elf.sections[".text"][1])
    parts["without a name (vectors, constants)"] = resident + sum(shared.values()) - sum(parts.values())
    parts |= shared
    parts["code in all"] = resident + max(shared.values(), default=0)
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
