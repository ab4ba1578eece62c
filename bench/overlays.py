"""What overlays cost a training step of LeNet-5 on the emulator: python bench/overlays.py [CORES [BATCH]]

The planned step runs twice on the cores of one chip: on the image that is shipped, and on one that holds the step's own
kernels alone, all of them always there, where the whole ITCM is allowed. Both must leave the same bits.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from spindl.graph.operations import Value  # noqa: E402
from spindl.model import capture  # noqa: E402
from spindl.model.builtin import lenet5  # noqa: E402
from spindl.plan import emit, machine_of, plan_step  # noqa: E402
from spindl.plan.cost import predict, total_cycles  # noqa: E402
from spindl.program.core import TILES  # noqa: E402
from spindl.program.image import Image, build_image, load_image  # noqa: E402
from spindl.program.machine import relocated  # noqa: E402
from spindl.run import chip  # noqa: E402
from spindl.run.emu.direct import SDRAM, walk  # noqa: E402
from spindl.run.walker import HostMemory  # noqa: E402
from spindl.train import Formats, initial_state, read_loss, read_optimizer, training_graph  # noqa: E402


def flat_image(names: set[str]) -> Image:
    """These kernels without overlays, in up to 32 KB."""
    with tempfile.TemporaryDirectory() as folder:
        kernels = Path(folder) / "kernels"
        shutil.copytree(ROOT / "kernels", kernels)
        script = kernels / "rt" / "image.ld"
        script.write_text(script.read_text().replace("LENGTH = 28K", "LENGTH = 32K"))
        image = build_image(kernels, ROOT / "build" / "arm", names)
    assert not image.overlays, "they do not fit"
    return image


def main() -> None:
    """Prints cycles and switches of both."""
    cores, batch = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 16), (2, 8)))
    torch.manual_seed(0)
    model, random = lenet5(), np.random.default_rng(0)
    groups = read_optimizer(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4), model)
    loss = read_loss("cross_entropy")
    graph = training_graph(capture(model, (1, 28, 28)), loss, groups, Formats(), batch, ((0.3,), (0.3,)))
    state = initial_state(graph, {key: value.detach().numpy() for key, value in model.state_dict().items()})
    inputs = {
        "images": Value(random.integers(0, 256, (batch, 1, 28, 28))),
        "labels": Value(random.integers(0, 10, batch)),
        "rate/0": Value(np.array(26214), -21),
        "momentum/0": Value(np.array(29491), -15),
        "decay/0": Value(np.array(26844), -25),
    }
    plan = plan_step(graph, machine_of("spin3", 1, cores, TILES, 64 << 20))
    calls = [call for phase in plan.phases for each in phase.cores for placed in each for call in placed.task.calls]
    left = []
    for name, image in (("shipped", load_image()), ("flat", flat_image({c.kernel for c in calls if c.kernel}))):
        program = emit(plan, image.version)
        memory = HostMemory(program.bytes)
        chip.write_contents(program, memory)
        chip.write_states(program, memory, state)
        chip.write_inputs(program, memory, inputs)
        schedules = [relocated(schedule, SDRAM) for schedule in program.schedules["all"]]
        done = walk(image, schedules, {SDRAM: memory.read(0, program.bytes)})
        done.check()
        left.append(done.read(SDRAM, program.bytes))
        counters = [core.counters for core in done.cores[0, 0]]
        switches = [each["overlays_loaded"] for each in counters]
        print(f"{name:8} {max(c['cycles'] for c in counters):12,} cycles  {min(switches)} to {max(switches)} switches")
    assert left[0] == left[1], "the images leave other bits"
    print(f"predicted {total_cycles(predict(plan)):11,} cycles")


if __name__ == "__main__":
    main()
