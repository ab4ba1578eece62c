"""`spindl emulate`: what it prints, how it ends, recording and replay, and every error."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from spindl.cli.app import app
from spindl.emulator import Faults, boot, emulate
from spindl.emulator.recording import BadRecording, Recording, load_recording, save_recording

HOST = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 250}.10"


def spindl(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["emulate", *(str(argument) for argument in arguments)])


def test_it_tells_a_developer_what_to_write_into_the_configuration() -> None:
    done = spindl("--machine", "spin5", "--host", HOST, "--seconds", "0.1")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == (
        f"instruction-level emulator: spin5 at {HOST} (48 chips, 864 cores); waiting for a host to boot it"
    )
    assert "  [Machine]" in lines
    assert f"  machine_name = {HOST}" in lines
    assert "  version = 5" in lines
    assert "ended: " in lines[-1]
    assert "of real time" in lines[-1]


def ask_version(host: str) -> bytes:
    request = struct.pack("<2x8B2H3I", 0x87, 0xFF, 0, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((host, 17893))
        sock.send(request)
        return sock.recv(2048)


def kill_monitor(host: str) -> None:
    """SC&MP 4.0.0 does not survive a request to read where there is no memory."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, 17893))
        sock.send(struct.pack("<2x8B2H3I", 0x87, 0xFF, 0, 0xFF, 0, 0, 0, 0, 2, 2, 0x50000000, 4, 2))
    time.sleep(1.5)


def run_until_interrupted(
    folder: Path, *arguments: str, booted: bool = True, before_the_end: Callable[[str], None] = lambda host: None
) -> subprocess.CompletedProcess[str]:
    """Starts the command, asks the machine for its version if it is booted, then presses Ctrl-C."""
    boot = ["--booted"] if booted else []
    command = [sys.executable, "-m", "spindl", "emulate", "--host", HOST, *boot, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}) as process:  # fmt: skip
        assert process.stdout is not None
        first = ""
        while "Ctrl-C" not in first:
            line = process.stdout.readline()
            assert line, process.communicate()
            first += line
        if booted:
            assert b"SC&MP/SpiNNaker" in ask_version(HOST)
        before_the_end(HOST)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    return subprocess.CompletedProcess(command, process.returncode, first + out, errors)


def test_ctrl_c_ends_it_cleanly_and_a_recording_repeats_it(tmp_path: Path) -> None:
    pytest.importorskip("spinnman", reason="the SC&MP boot image comes with SpiNNMan")
    done = run_until_interrupted(tmp_path, "--record", "session.jsonl", "--dead-core", "1,1,3")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "71 cores" in done.stdout
    assert "host frames: 1 in, 1 out" in done.stdout.splitlines()[-2]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 17893))  # it has closed its ports
    recording = load_recording(tmp_path / "session.jsonl")
    assert len(recording.arrivals) == 1
    assert recording.faults.cores == {(1, 1, 3)}
    again = spindl("--replay", tmp_path / "session.jsonl", "--threads", "2")
    assert again.exit_code == 0, again.output
    assert "replayed 1 datagram" in again.output
    assert "the same state as then" in again.output

    text = (tmp_path / "session.jsonl").read_text().replace(str(recording.fingerprint), "1")
    (tmp_path / "other.jsonl").write_text(text)
    other = spindl("--replay", tmp_path / "other.jsonl")
    assert other.exit_code == 1
    assert "ANOTHER state" in other.output


def test_it_says_when_the_monitor_has_failed(tmp_path: Path) -> None:
    pytest.importorskip("spinnman", reason="the SC&MP boot image comes with SpiNNMan")
    done = run_until_interrupted(tmp_path, before_the_end=kill_monitor)
    assert done.returncode == 0, done.stderr
    assert "SC&MP on chip (0, 0) has failed: program error: " in done.stdout
    assert "must be switched off and on" in done.stdout


@pytest.mark.slow
def test_spinnman_boots_it_from_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("spinnman", reason="SpiNNMan is the host of this test")
    from tests.emulator.host import transceiver_for

    def boot_and_use(host: str) -> None:
        board: Any = SimpleNamespace(host=host, topology=SimpleNamespace(name="spin3"))
        transceiver = transceiver_for(board)
        transceiver.write_memory(1, 1, 0x61000000, b"spindl")
        assert bytes(transceiver.read_memory(1, 1, 0x61000000, 6)) == b"spindl"
        transceiver.close()

    monkeypatch.chdir(tmp_path)  # SpiNNMan writes its reports there
    done = run_until_interrupted(tmp_path, booted=False, before_the_end=boot_and_use)
    assert done.returncode == 0, done.stderr
    assert "waiting for a host to boot it" in done.stdout


def failed(done: Any, status: int, *parts: str) -> None:
    assert done.exit_code == status, done.output
    assert "Traceback" not in done.output
    for part in parts:
        assert part in done.output


def test_a_machine_that_cannot_exist() -> None:
    failed(spindl("--machine", "0x4"), 1, "a side has 1 to 256 chips", "use spin3, spin5")
    failed(spindl("--machine", "spin7"), 1, "names no machine")


def test_a_machine_too_large_for_the_host() -> None:
    resource = pytest.importorskip("resource")
    limit = 1 << 30
    command = [sys.executable, "-m", "spindl", "emulate", "--machine", "8x8", "--host", HOST, "--seconds", "0"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 1
    assert "no memory for 64 chips" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 54321))
        failed(spindl("--host", HOST), 1, f"cannot listen on {HOST}:54321", "--host")


def test_spinnman_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "find_spec", lambda name: None)
    failed(spindl("--host", HOST, "--booted"), 1, "SpiNNMan, which is not installed", 'pip install "spinnman')


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--dead-chip", "7"), "give 2 numbers, such as 0,1"),
        (("--dead-core", "1,2"), "give 3 numbers"),
        (("--strict", "loud"), "choose off, warn or stop"),
    ],
)
def test_bad_options(arguments: tuple[str, ...], part: str) -> None:
    failed(spindl(*arguments), 2, part)


def test_dead_parts_that_are_not_there() -> None:
    failed(spindl("--dead-chip", "9,9"), 1, "there is no part (9, 9)")
    failed(spindl("--dead-chip", "0,0"), 1, "holds the Ethernet plug")
    failed(spindl("--host", "10.0.0.1"), 1, "not a loopback address")


@pytest.mark.parametrize("strict", ["warn", "stop"])
def test_reports_are_printed_once(strict: str, capsys: pytest.CaptureFixture[str]) -> None:
    from spindl.cli.emulate import Reports
    from spindl.cli.output import output

    with emulate("1x1", host=HOST, connected=False, strict=strict) as machine:
        reports = Reports(output(), machine, strict=True)
        core = machine.chip(0, 0).physical(5)
        core.write(0, struct.pack("<3I", 0xE3A00205, 0xE5901000, 0xEAFFFFFE))  # mov r0, #0x50000000; ldr r1, [r0]
        core.start()
        machine.run(0.0001)
        reports.update()
        reports.update()
    printed = capsys.readouterr().out
    assert printed.count("program error: unmapped at 0x50000000, core 5, pc 0x00000004") == 1
    assert (" r0=50000000" in printed) == (strict == "stop"), "a stopped core comes with its registers"


RECORDING = Recording("2x1-mesh", Faults(links=frozenset({(0, 0, 0)}), seed=3), "127.0.0.9", False, (), 64, 5)


def test_recordings_are_read_as_they_were_written(tmp_path: Path) -> None:
    save_recording(tmp_path / "file", RECORDING)
    assert load_recording(tmp_path / "file") == RECORDING


def test_bad_recordings(tmp_path: Path) -> None:
    path = tmp_path / "file"
    failed(spindl("--replay", path), 1, "cannot read it")
    save_recording(path, RECORDING)
    lines = path.read_text().splitlines()
    header = json.loads(lines[0])
    for text in ("", "noise", lines[0], json.dumps(header | {"version": 99}) + "\n" + lines[1]):
        path.write_text(text)
        with pytest.raises(BadRecording):
            load_recording(path)
    failed(spindl("--replay", path), 1, "not a recording of version 1")


def test_it_runs_without_torch() -> None:
    code = "import spindl.cli.app, spindl.cli.emulate, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_terminal_shows_a_live_line() -> None:
    pty = pytest.importorskip("pty")
    main, end = pty.openpty()
    command = [sys.executable, "-m", "spindl", "emulate", "--host", HOST, "--seconds", "2"]
    with subprocess.Popen(command, stdout=end, stderr=end, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(end)
        text, begun = b"", time.monotonic()
        while time.monotonic() < begun + 20:
            try:
                text += os.read(main, 4096)
            except OSError:
                break
        assert process.wait(timeout=10) == 0
    os.close(main)
    assert text.count(b"of real time") >= 3
