"""Unmodified SpiNNMan as the tests use it: a transceiver to a machine, and the binaries of SpiNNFrontEndCommon."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from spindl.emulator import Machine

pytest.importorskip("spinnman", reason="SpiNNMan is the host of these tests")

from spinn_utilities.config_holder import clear_cfg_files, set_config
from spinnman.config_setup import add_spinnman_cfg
from spinnman.data.spinnman_data_writer import SpiNNManDataWriter
from spinnman.transceiver import create_transceiver_from_hostname

VERSION = {"spin3": "3", "spin5": "5", "1x1-triads": "5", "1x1-triads-mesh": "5"}


def transceiver_for(machine: Machine) -> Any:
    clear_cfg_files(True)
    add_spinnman_cfg()
    set_config("Machine", "version", VERSION[machine.topology.name])
    set_config("Machine", "machine_name", machine.host)
    writer = SpiNNManDataWriter.setup()
    writer.set_ipaddress(machine.host)
    transceiver = create_transceiver_from_hostname(machine.host)
    transceiver.discover_scamp_connections()
    writer.set_transceiver(transceiver)
    writer.set_machine(transceiver.get_machine_details())
    return transceiver


def binary(name: str) -> str:
    front_end = pytest.importorskip("spinn_front_end_common")
    return os.path.join(os.path.dirname(front_end.__file__), "common_model_binaries", name)


def wait_until(machine: Machine, what: str, condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Waits until `condition` holds, at most `seconds` of simulated time: a busy host only makes it take longer."""
    limit = machine.time + seconds
    while not condition():
        assert machine.time < limit, f"{what}: not within {seconds} s of simulated time"
        time.sleep(0.01)


def wait_for_states(machine: Machine, cores: Any, *states: str) -> None:
    """Waits until each of SpiNNMan's `cores` is in one of `states`, as SC&MP keeps them."""

    def reached() -> bool:
        return all(machine.chip(s.x, s.y).states[p] in states for s in cores.core_subsets for p in s.processor_ids)

    wait_until(machine, f"cores in state {' or '.join(states)}", reached)
