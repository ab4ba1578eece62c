"""How a machine is named: a model, a file, a live machine's address, or one that spalloc lends.

    spin3, spin5, triad, N-triads, WxH-triads, cabinet, million, WxH, ...    a machine without faults
    board.json                                        one that `spindl machine --save` wrote down, with its dead parts
    192.168.240.253, host.name, spin5@host.name       a live one; the model in front boots it if it is not booted
    spalloc:SERVER, spalloc:96:SERVER                 one that spalloc lends, of at least so many chips

Behind any but spalloc's may stand the number of chips to use: spin3:4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from spindl.machine.topology import Topology, TopologyError, parse_topology, triads

Source = Literal["model", "file", "host", "spalloc"]

BOARDS = {"triad": (1, 1), "frame": (4, 2), "cabinet": (8, 5), "half": (20, 10), "million": (20, 20)}
"""Machines by the number of their triads of boards, across and up."""
_USUAL_SPALLOC_CHIPS = 1
_MODEL = re.compile(r"spin\d+|\d+x\d+(-triads)?(-mesh)?|\d+-triads|" + "|".join(BOARDS))
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_PASSWORD = re.compile(r"//[^/@]*:[^/@]*@")
_SPALLOC = re.compile(r"spalloc:(?:(\d+):)?(.+)")


@dataclass(frozen=True)
class MachineName:
    """A machine as the user names it.

    Attributes:
        text: all of it.
        source: what kind of name it is.
        what: the model, the file, the address, the server.
        chips: how many chips to use; of spalloc, to ask for at least; None: it was not said.
        hardware: model of a live machine, spin3 or spin5; "" if it was not said.
    """

    text: str
    source: Source
    what: str
    chips: int | None = None
    hardware: str = ""

    @property
    def live(self) -> bool:
        """True for a machine that has to be asked what it is."""
        return self.source in ("host", "spalloc")


def parse_machine(text: str) -> MachineName:
    """Reads a machine's name; looks at no file and no machine.

    Raises:
        TopologyError: it is none.
    """
    if match := _SPALLOC.fullmatch(text):
        if _PASSWORD.search(match[2]):
            what = "a password does not belong in a machine's name, which runs write down; set SPALLOC_PASSWORD"
            raise TopologyError(what, "machine")
        return MachineName(text, "spalloc", match[2], int(match[1] or _USUAL_SPALLOC_CHIPS))
    what, colon, number = text.rpartition(":")
    if not colon:
        what, number = text, ""
    elif not number.isdecimal() or int(number) < 1:
        raise TopologyError(f"'{number}' chips; a number belongs behind the colon, as in spin3:4", text)
    chips = int(number) if number else None
    if what.endswith(".json") or "/" in what:
        return MachineName(text, "file", what, chips)
    if _MODEL.fullmatch(what):
        model_topology(what)
        return MachineName(text, "model", what, chips)
    hardware, at, host = what.rpartition("@")
    if (at and hardware not in ("spin3", "spin5")) or not _HOST.fullmatch(host):
        raise TopologyError("this names no model, file or host", text)
    return MachineName(text, "host", host, chips, hardware)


def model_topology(name: str) -> Topology:
    """The machine of a model's name, without faults. Raises TopologyError for one that does not exist."""
    if name in BOARDS:
        return triads(*BOARDS[name])
    if match := re.fullmatch(r"(\d+)-triads", name):
        count = int(match[1])
        across = next((n for n in range(max(1, round(count**0.5)), 0, -1) if count and count % n == 0), 0)
        return triads(count // across if across else 0, across)
    return parse_topology(name)
