"""Machines that spalloc lends, from a small server of the tests' own, through SpiNNMan's unmodified client."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spindl.emulator import Machine
from spindl.machine import parse_machine
from spindl.run.board import read_machine
from spindl.run.board.spalloc import give_back_all
from spindl.run.hosted.host import MachineError
from tests.plan.networks import case
from tests.run.hosted.lender import PASSWORD, USER, Lender, certificate
from tests.run.hosted.test_board import check_equal


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the server's certificate, is not installed")
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def lends(pem: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lender]]:
    """lends(boards, refuses=...) -> a server, whose certificate and user the client knows."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    monkeypatch.setenv("SPALLOC_USER", USER)
    monkeypatch.setenv("SPALLOC_PASSWORD", PASSWORD)
    made: list[Lender] = []

    def make(boards: dict[tuple[int, int], str], **options: Any) -> Lender:
        made.append(Lender(boards, pem, **options))
        return made[-1]

    yield make
    give_back_all()
    for lender in made:
        lender.close()


def test_servers_that_lend_nothing(lends: Callable[..., Lender], monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses, the password is wrong, nobody is there: what the server says, and which one it is."""
    lender = lends({}, refuses="no machine is free")
    name = parse_machine(f"spalloc:{lender.url}")
    with pytest.raises(MachineError, match=r"lends no machine.*no machine is free") as caught:
        read_machine(name)
    assert caught.value.where == lender.url
    assert lender.wanted is None
    monkeypatch.setenv("SPALLOC_PASSWORD", "difference")
    with pytest.raises(MachineError, match="Unable to login: bad credentials"):
        read_machine(name)
    lender.close()
    with pytest.raises(MachineError, match="spalloc server does not answer"):
        read_machine(name)


@pytest.mark.slow
def test_a_lent_machine_is_read_through_the_proxy(lends: Callable[..., Lender], served: Callable[..., Machine]) -> None:
    """One job serves all that a process does, is kept alive, and given back; one that the server ends makes room for
    another one."""
    machine = served("spin5")
    lender = lends({(0, 0): machine.host}, memory=machine.chip)
    name = parse_machine(f"spalloc:16:{lender.url}")
    found = read_machine(name, thorough=False).topology
    assert read_machine(name, thorough=False).topology == found
    assert (found.name, len(found.places)) == ("spin5", 48)
    assert lender.wanted is not None
    assert lender.wanted["num-boards"] == 1
    assert lender.proxy is not None
    assert set(lender.proxy.channels) == {(0, 0, 17893), (0, 0, 54321)}
    assert lender.alive == 1
    made = [request for request in lender.requests if request == ("POST", "/srv/spalloc/jobs")]
    assert len(made) == 1
    lender.become("DESTROYED")
    lender.wanted = None
    with pytest.raises(MachineError, match="DESTROYED"):  # the server has one job only, which is gone
        read_machine(name, thorough=False)
    assert lender.wanted is not None
    lender.become("READY")
    read_machine(name, thorough=False)
    give_back_all()
    assert lender.requests[-1] == ("DELETE", "/srv/spalloc/jobs/7")


@pytest.mark.slow
@pytest.mark.parametrize("proxy", [True, False])
def test_steps_on_a_lent_machine(proxy: bool, lends: Callable[..., Lender], served: Callable[..., Machine]) -> None:
    """Two chips of a SpiNN-5, probed, planned for, loaded, stepped: equal bits."""
    machine = served("spin5")
    lender = lends({(0, 0): machine.host}, memory=machine.chip if proxy else None)
    check_equal(case("thesis_convolution", steps=2), "board", f"spalloc:2:{lender.url}")
    assert len(lender.requests) > 10
