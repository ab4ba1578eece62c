"""The commands and their options; each hands over to one function of its own module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from spindl.cli.compare_systems import compare_systems
from spindl.cli.mlperf import mlperf
from spindl.cli.report import report
from spindl.cli.settings import SettingsError, merged, read_config
from spindl.errors import SpindlError

app = typer.Typer(
    name="spindl",
    help="Train and run PyTorch models in SpiNNaker's integer arithmetic.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Built-in name, or path/to/file.py:function.")]
Data = Annotated[str | None, typer.Option("--data", help="mnist, fashion-mnist, cifar10, digits, or a path.")]
Weights = Annotated[str | None, typer.Option("--weights", help="state_dict to start from (.safetensors, .pt).")]
Executor = Annotated[str, typer.Option("--on", "--executor", help="sim, emu, board, or interpreter: equal bits.")]
Device = Annotated[str, typer.Option("--device", help="cpu or cuda.")]
Machine = Annotated[str, typer.Option("--machine", help="spin3, spin5 or WxH.")]
Threads = Annotated[int | None, typer.Option("--threads", help="CPU threads; all by default.", min=1)]
ImageSize = Annotated[int | None, typer.Option("--image-size", help="Side of the pictures in pixels.", min=1)]
DataRoot = Annotated[str | None, typer.Option("--data-root", help="Where named data sets lie.")]


def main() -> None:
    """Entry point of the command."""
    app()


@contextmanager
def explained() -> Iterator[None]:
    """Print what a user can act on without a traceback, and exit with the status it deserves."""
    try:
        yield
    except SpindlError as error:
        if os.environ.get("SPINDL_DEBUG"):
            raise
        Console(stderr=True).print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2 if isinstance(error, SettingsError) else 1) from None
    except KeyboardInterrupt as stop:
        Console(stderr=True).print(str(stop) or "stopped", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(130) from None


@app.command()
def train(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="Built-in name, or path/to/file.py:function.")
    ] = None,
    data: Data = None,
    weights: Weights = None,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with the same names.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size")] = None,
    optimizer: Annotated[str | None, typer.Option("--optimizer", help="sgd or lars.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate.")] = None,
    momentum: Annotated[float | None, typer.Option("--momentum")] = None,
    nesterov: Annotated[bool | None, typer.Option("--nesterov/--no-nesterov")] = None,
    weight_decay: Annotated[float | None, typer.Option("--weight-decay", help="Not for biases and BatchNorm.")] = None,
    decay_all: Annotated[bool | None, typer.Option("--decay-all/--no-decay-all", help="For them too.")] = None,
    eta: Annotated[float | None, typer.Option("--eta", help="Trust coefficient of LARS.")] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="constant, cosine, step, linear, polynomial.")
    ] = None,
    warmup_epochs: Annotated[float | None, typer.Option("--warmup-epochs")] = None,
    milestone: Annotated[
        list[int] | None, typer.Option("--milestone", help="Epoch of a step; may be repeated.")
    ] = None,
    gamma: Annotated[float | None, typer.Option("--gamma", help="Factor of a step.")] = None,
    power: Annotated[float | None, typer.Option("--power", help="Of the polynomial schedule.")] = None,
    loss: Annotated[str | None, typer.Option("--loss", help="cross_entropy, mse, bce_with_logits, bce.")] = None,
    label_smoothing: Annotated[float | None, typer.Option("--label-smoothing")] = None,
    seed: Annotated[int | None, typer.Option("--seed")] = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu or cuda.")] = None,
    executor: Annotated[
        str | None,
        typer.Option("--on", "--executor", help="sim, emu (emulated), board, or interpreter (slow): equal bits."),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option("--machine", help="spin3:4 (4 of its chips), FILE, HOST, spalloc:...; on sim: to count for."),
    ] = None,
    threads: Threads = None,
    run_dir: Annotated[
        str | None, typer.Option("--run-dir", help="Folder of the run; by default a new one in runs/.")
    ] = None,
    resume: Annotated[bool | None, typer.Option("--resume", help="Go on from the newest checkpoint.")] = None,
    resume_from: Annotated[str | None, typer.Option("--resume-from", help="Go on from this checkpoint.")] = None,
    checkpoint_seconds: Annotated[float | None, typer.Option("--checkpoint-seconds")] = None,
    image_size: ImageSize = None,
    augment: Annotated[bool | None, typer.Option("--augment/--no-augment", help="Random changes of pictures.")] = None,
    data_root: DataRoot = None,
    activation_bits: Annotated[int | None, typer.Option("--activation-bits", help="8 to 16.")] = None,
    weight_bits: Annotated[int | None, typer.Option("--weight-bits", help="8 to 16.")] = None,
    gradient_bits: Annotated[int | None, typer.Option("--gradient-bits", help="8 to 16.")] = None,
    group_size: Annotated[int | None, typer.Option("--group-size", help="Images of a gradient group.")] = None,
    float32: Annotated[bool | None, typer.Option("--float32/--no-float32", help="Train the float32 twin too.")] = None,
    tensorboard: Annotated[bool | None, typer.Option("--tensorboard/--no-tensorboard")] = None,
    progress: Annotated[bool | None, typer.Option("--progress/--no-progress")] = None,
) -> None:
    """Train a model, with checkpoints, a log, and a test after every epoch."""
    given: dict[str, Any] = {name: value for name, value in locals().items() if name not in ("config", "milestone")}
    given["milestones"] = tuple(milestone) if milestone else None
    with explained():
        from spindl.cli.train import run, stored_settings

        values = {**stored_settings(given), **(read_config(config) if config else {})}
        run(merged(values, given))


@app.command()
def infer(
    source: Annotated[
        str, typer.Argument(metavar="RUN_OR_MODEL", help="Folder of a run, or a MODEL (with --weights).")
    ],
    data: Data = None,
    image: Annotated[list[Path] | None, typer.Option("--image", help="JPEG or PNG file; may be repeated.")] = None,
    split: Annotated[str, typer.Option("--split", help="Of the data: train or test.")] = "test",
    weights: Weights = None,
    rows: Annotated[int, typer.Option("--rows", help="How many images of the data to list.", min=0)] = 5,
    image_size: ImageSize = None,
    data_root: DataRoot = None,
    executor: Executor = "sim",
    device: Device = "cpu",
    machine: Annotated[
        str | None, typer.Option("--machine", help="For emu and board: spin3:4, FILE, HOST, spalloc:...")
    ] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Images of a pass.", min=1)] = None,
    threads: Threads = None,
) -> None:
    """Run images through a trained model and list the five most likely classes."""
    with explained():
        from spindl.cli.infer import Request, run

        if not data and not image:
            raise SettingsError("no images are given", "command line", "give --data NAME_OR_PATH or --image FILE")
        run(
            Request(
                source,
                data,
                tuple(image or ()),
                split,
                weights,
                rows,
                image_size,
                data_root,
                executor,
                device,
                machine,
                threads,
                batch_size,
            )
        )


@app.command()
def check(
    model: Model,
    data: Data = None,
    input_shape: Annotated[str | None, typer.Option("--input-shape", help="Of one image, such as 3,224,224.")] = None,
    weights: Weights = None,
    loss: Annotated[str, typer.Option("--loss", help="cross_entropy, mse, bce_with_logits, bce.")] = "cross_entropy",
    inference: Annotated[bool, typer.Option("--inference", help="Check for running only, not for training.")] = False,
    image_size: ImageSize = None,
    data_root: DataRoot = None,
) -> None:
    """List everything in a model that cannot be trained exactly; exit status 1 if there is anything."""
    with explained():
        from spindl.cli.check import run

        raise typer.Exit(run(model, data, input_shape, weights, loss, inference, image_size, data_root))


@app.command()
def plan(
    source: Annotated[str, typer.Argument(metavar="MODEL_OR_PROGRAM", help="A model, or a saved file.spindl.")],
    data: Data = None,
    input_shape: Annotated[str | None, typer.Option("--input-shape", help="Of one image, such as 3,224,224.")] = None,
    loss: Annotated[str, typer.Option("--loss", help="cross_entropy, mse, bce_with_logits, bce.")] = "cross_entropy",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 8,
    machine: Machine = "spin3",
    cores: Annotated[int, typer.Option("--cores", help="Compute cores of a chip.", min=1, max=17)] = 16,
    save: Annotated[Path | None, typer.Option("--save", help="Write graph, plan and image to a file.spindl.")] = None,
    show: Annotated[bool, typer.Option("--show", help="List every phase.")] = False,
    diff: Annotated[Path | None, typer.Option("--diff", help="Say how the plan of another file differs.")] = None,
    dead: Annotated[int | None, typer.Option("--dead", help="Dead chips, of machines of boards.", min=0)] = None,
) -> None:
    """Plan a training step for a machine: what each core does, memory, predicted time."""
    with explained():
        from spindl.cli.plan import Request, run

        run(Request(source, data, input_shape, loss, batch_size, machine, cores, save, show, diff, dead))


@app.command()
def compare(
    model: Model,
    data: Annotated[str, typer.Option("--data", help="mnist, fashion-mnist, cifar10, digits, or a path.")],
    weights: Weights = None,
    loss: Annotated[str, typer.Option("--loss", help="cross_entropy, mse, bce_with_logits, bce.")] = "cross_entropy",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 32,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    rows: Annotated[int, typer.Option("--rows", help="How many of the worst places to list; 0 for all.", min=0)] = 20,
    order: Annotated[str, typer.Option("--order", help="error or layer.")] = "error",
    double: Annotated[bool, typer.Option("--float64", help="Compare with float64 instead of float32.")] = False,
    activation_bits: Annotated[int, typer.Option("--activation-bits")] = 15,
    weight_bits: Annotated[int, typer.Option("--weight-bits")] = 14,
    gradient_bits: Annotated[int, typer.Option("--gradient-bits")] = 15,
    image_size: ImageSize = None,
    data_root: DataRoot = None,
    executor: Executor = "sim",
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Compare one training step with float32 PyTorch, layer by layer, forward and backward."""
    given = {name: value for name, value in locals().items() if name not in ("rows", "order", "double")}
    with explained():
        from spindl.cli.compare import run

        if order not in ("error", "layer"):
            raise SettingsError(f"order is '{order}'", "command line", "choose error or layer")
        run(merged({}, given), rows, order, double)


@app.command()
def emulate(
    machine: Annotated[
        str, typer.Option("--machine", help="spin3, spin5, WxH (torus), WxH-mesh, N-triads, WxH-triads-mesh, FILE.")
    ] = "spin3",
    host: Annotated[str, typer.Option("--host", help="Loopback address of the first board.")] = "127.0.0.2",
    booted: Annotated[bool, typer.Option("--booted", help="Boot SC&MP at once; else a host boots it.")] = False,
    speed: Annotated[float, typer.Option("--speed", help="Of real time; 0 is as fast as possible.", min=0)] = 1.0,
    threads: Annotated[int, typer.Option("--threads", help="Host threads; results do not depend on it.", min=1)] = 1,
    strict: Annotated[
        str, typer.Option("--strict", help="off, warn or stop: what happens when a program does wrong.")
    ] = "off",
    dead_chip: Annotated[list[str] | None, typer.Option("--dead-chip", help="x,y; may be repeated.")] = None,
    dead_core: Annotated[list[str] | None, typer.Option("--dead-core", help="x,y,physical core; repeatable.")] = None,
    dead_link: Annotated[list[str] | None, typer.Option("--dead-link", help="x,y,link, one way; repeatable.")] = None,
    packet_loss: Annotated[float, typer.Option("--packet-loss", help="Per packet and link.", min=0, max=1)] = 0.0,
    packet_corruption: Annotated[
        float, typer.Option("--packet-corruption", help="Per packet and link.", min=0, max=1)
    ] = 0.0,
    sdram_bit_error: Annotated[float, typer.Option("--sdram-bit-error", help="Per DMA burst.", min=0, max=1)] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Of the random faults.", min=0)] = 0,
    symbols: Annotated[Path | None, typer.Option("--symbols", help="ELF file that names addresses.")] = None,
    record: Annotated[Path | None, typer.Option("--record", help="Write all that arrives to this file.")] = None,
    replay: Annotated[Path | None, typer.Option("--replay", help="Repeat a recorded session, and end.")] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", help="End after so much wall time.", min=0)] = None,
) -> None:
    """Run an instruction-level SpiNNaker machine that SpiNNMan and the SpiNNTools can use."""
    with explained():
        from spindl.cli.emulate import Request, parse_place, run
        from spindl.cli.emulate import replay as repeat
        from spindl.emulator import Faults

        if replay is not None:
            raise typer.Exit(repeat(replay, threads))
        if strict not in ("off", "warn", "stop"):
            raise SettingsError(f"strict is '{strict}'", "command line", "choose off, warn or stop")
        faults = Faults(
            frozenset((x, y) for x, y in (parse_place(text, 2, "--dead-chip") for text in dead_chip or ())),
            frozenset((x, y, c) for x, y, c in (parse_place(text, 3, "--dead-core") for text in dead_core or ())),
            frozenset((x, y, n) for x, y, n in (parse_place(text, 3, "--dead-link") for text in dead_link or ())),
            packet_loss,
            packet_corruption,
            sdram_bit_error,
            seed,
        )
        level: Any = strict
        request = Request(machine, host, booted, speed, threads, level, faults, record, symbols, seconds)
        raise typer.Exit(run(request))


@app.command()
def machine(
    name: Annotated[
        str,
        typer.Argument(metavar="MACHINE", help="spin3, N-triads, ..., a file, HOST, spin5@HOST, or spalloc:SERVER."),
    ],
    show: Annotated[bool, typer.Option("--show", help="List every chip.")] = False,
    save: Annotated[Path | None, typer.Option("--save", help="Write the machine to a file, to plan for it.")] = None,
    probe: Annotated[bool, typer.Option("--probe/--no-probe", help="Use every part of a live machine once.")] = True,
    stop: Annotated[bool, typer.Option("--stop", help="Stop all that runs on a live machine first.")] = False,
) -> None:
    """Say what a machine is: chips, cores and links that work. A live one is read through SpiNNMan and probed."""
    with explained():
        from spindl.cli.machine import Request, run

        run(Request(name, save, show, probe, stop))


@app.command()
def doctor() -> None:
    """Say what is installed, how fast a path the processor has, and whether data and folders are there."""
    from spindl.cli.doctor import run

    raise typer.Exit(run())


app.command()(mlperf)
app.command()(compare_systems)
app.command()(report)
