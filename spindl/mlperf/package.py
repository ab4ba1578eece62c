"""The folder that a result is handed in as: logs, description of the system, description of the code.

<organisation>/systems/<system>.json
<organisation>/results/<system>/resnet/result_<0..4>.txt
<organisation>/benchmarks/resnet/implementations/<system>/README.md
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

from spindl.machine import CHIP
from spindl.mlperf.rules import Rules
from spindl.mlperf.settings import SIMULATED, MlperfSettings, checked_values
from spindl.program import spindl_version
from spindl.program.files import disk_errors, write_atomically

STATUS = "Research, Development, or Internal (RDI)"
"""The only status that is true of a machine nobody can buy or that was not there."""


def write_package(
    folder: Path, settings: MlperfSettings, rules: Rules, results: Sequence[Path], left_out: Sequence[str]
) -> Path:
    """Write the package of these logs and return the organisation's folder. Raises RunFolderError.

    left_out: rules that a rehearsal does not meet, one line each.
    """
    root = folder / settings.organisation
    with disk_errors(root):
        if root.exists():
            shutil.rmtree(root)
        logs = root / "results" / settings.system / rules.benchmark
        code = root / "benchmarks" / rules.benchmark / "implementations" / settings.system
        for part in (logs, code, root / "systems"):
            part.mkdir(parents=True)
        for number, path in enumerate(results):
            shutil.copyfile(path, logs / f"result_{number}.txt")
    description = json.dumps(system_description(settings, left_out), indent=2) + "\n"
    write_atomically(system_file(root, settings), description.encode())
    write_atomically(code / "README.md", readme(settings, rules, left_out).encode())
    return root


def system_file(root: Path, settings: MlperfSettings) -> Path:
    """Where the description of the system lies in a package."""
    return root / "systems" / f"{settings.system}.json"


def results_folder(root: Path, settings: MlperfSettings, rules: Rules) -> Path:
    """Where the logs lie in a package."""
    return root / "results" / settings.system / rules.benchmark


def what_ran(settings: MlperfSettings) -> str:
    """What was simulated, in one sentence."""
    if settings.null:
        return "Null system: nothing was trained; accuracies are random numbers."
    if settings.executor in SIMULATED:
        return (
            f"Simulated: the integer arithmetic of a SpiNNaker ({settings.machine}) was computed bit for bit on the "
            f"host ({settings.executor}, {settings.device}); no SpiNNaker took part, and all times are the host's."
        )
    return f"Run by the executor {settings.executor} on {settings.machine}."


def system_description(settings: MlperfSettings, left_out: Sequence[str]) -> dict[str, str]:
    """The fields that round v4.0 asks for, as texts; the host is this computer."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    disk = shutil.disk_usage(Path.cwd()).total / 1e9
    chip = f"{CHIP.cores.value:.0f} ARM968E-S cores"
    absent = settings.null or settings.executor in SIMULATED
    memories = (
        f"{CHIP.itcm.value / 1024:.0f} KB code and {CHIP.dtcm.value / 1024:.0f} KB data per core, "
        f"{CHIP.system_ram.value / 1024:.0f} KB per chip"
    )
    notes = [
        "follows the v4.0 closed-division rules; its int16 format would need approval",
        *(["rehearsal, not the benchmark: " + "; ".join(left_out)] if left_out else []),
    ]
    return {
        "submitter": settings.organisation,
        "division": "closed",
        "status": STATUS,
        "system_name": settings.system,
        "number_of_nodes": "1",
        "host_processors_per_node": "1",
        "host_processor_model_name": _processor(),
        "host_processor_core_count": str(os.cpu_count()),
        "host_processor_vcpu_count": str(os.cpu_count()),
        "host_processor_frequency": "",
        "host_processor_caches": "",
        "host_processor_interconnect": "",
        "host_memory_capacity": f"{memory:.0f} GB",
        "host_storage_type": "",
        "host_storage_capacity": f"{disk:.0f} GB",
        "host_networking": "",
        "host_networking_topology": "",
        "host_memory_configuration": "",
        "accelerators_per_node": "0" if absent else "1",
        "accelerator_model_name": f"SpiNNaker {settings.machine}, {chip} a chip" + (", simulated" if absent else ""),
        "accelerator_host_interconnect": "100 Mbit/s Ethernet, one a board",
        "accelerator_frequency": f"{CHIP.clock.value / 1e6:.0f} MHz",
        "accelerator_on-chip_memories": memories,
        "accelerator_memory_configuration": "mobile DDR SDRAM, one a chip",
        "accelerator_memory_capacity": f"{CHIP.sdram.value / 2**20:.0f} MB a chip",
        "accelerator_interconnect": "SpiNNaker multicast packets, six links a chip",
        "accelerator_interconnect_topology": "triangular torus",
        "cooling": "",
        "hw_notes": what_ran(settings),
        "framework": f"spindl {spindl_version()}",
        "other_software_stack": f"Python {platform.python_version()}, {_torch_version()}",
        "operating_system": platform.platform(),
        "sw_notes": "; ".join(notes),
    }


def readme(settings: MlperfSettings, rules: Rules, left_out: Sequence[str]) -> str:
    """Description of the code, and what of the rules is met and not."""
    lines = [
        f"# {settings.system}",
        "",
        what_ran(settings),
        "",
        f"This run follows the {rules.round} closed-division rules; its int16 format would need approval.",
        "",
        "## Arithmetic",
        "",
        "Tensors are int16 with one exponent each, products are summed exactly, each result is rounded once. Exponents",
        "follow the values with a delay. spindl's docs/numbers.md defines every operation to the last bit; the master",
        "weights have 32 bits.",
        "",
        "## Settings",
        "",
        *(f"- {name}: {value}" for name, value in checked_values(settings).items()),
        "",
        "## Not met, whatever the settings",
        "",
        *(f"- {entry.name}: {entry.text} ({entry.source})" for entry in rules.open_questions),
    ]
    if left_out:
        lines += ["", "## Not met by this rehearsal", "", *(f"- {line}" for line in left_out)]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _torch_version() -> str:
    from importlib.metadata import version

    return f"PyTorch {version('torch')}"
