"""Trainer: a PyTorch module, loss and optimiser in; trained weights, a Record and a folder of the run out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from spindl.data import Batch, BatchSizeError, batches, decoder_version
from spindl.fit.checks import check_settings, data_shape
from spindl.fit.loop import TRAIN, Event, Loop, Setup
from spindl.fit.schedules import hyper_parameters, restore, scheduler_state
from spindl.graph import Graph
from spindl.graph.operations import OP_TABLE_VERSION, Value
from spindl.infer.evaluation import (
    CALIBRATION_IMAGES,
    EVALUATE,
    Evaluation,
    calibrate,
    dry_passes,
    evaluate,
    evaluation_graphs,
    first_images,
)
from spindl.infer.examples import Examples, read_examples, step_inputs
from spindl.model import capture
from spindl.planning import placed, planned
from spindl.program import (
    CheckpointFolder,
    Program,
    Progress,
    RunFolderError,
    State,
    StateError,
    check_state,
    diff,
    load_program,
    save_program,
    spindl_version,
)
from spindl.program.checkpoint import stored_bytes
from spindl.program.files import disk_errors, write_atomically
from spindl.program.plain import to_plain
from spindl.record import (
    LOG,
    EpochRecord,
    Record,
    RecordWriter,
    epoch_records,
    read_rows,
    tensorboard_sink,
    truncate_log,
)
from spindl.record.progress import Display, choose_display
from spindl.record.run_folder import check_space, locked, noted_signals
from spindl.report.counted import save_counted
from spindl.report.folder import try_report
from spindl.run import RunError, Session, open_session
from spindl.run.hosted import HostedSession
from spindl.train import (
    Formats,
    ParameterGroup,
    TrainingError,
    float_parameters,
    initial_state,
    read_loss,
    read_optimizer,
    step_scalars,
    training_graph,
    with_frozen,
)

PROGRAM_FILE = "program.spindl"
SETTINGS_FILE = "run.json"
WEIGHTS_FILE = "weights.safetensors"
CHECKPOINTS = "checkpoints"
CALIBRATE = "calibrate"

EXECUTOR_NOTES = {
    "sim": "exact integers on this computer; rates are its own",
    "emu": "the instruction-level emulator that runs the unmodified SC&MP; rates are this computer's",
    "board": "a SpiNNaker machine through SpiNNMan; rates are the machine's and its host link's",
    "interpreter": "the definition, in NumPy on this computer; rates are its own",
}


class Trainer:
    """Trains a module in SpiNNaker's integer arithmetic.

    Args:
        module: any nn.Module that `spindl check` accepts. It is changed only by `sync`, which `fit` calls at its end.
        loss: torch.nn.CrossEntropyLoss, MSELoss, BCEWithLogitsLoss, BCELoss, their functions, or their names.
        optimizer: torch.optim.SGD or spindl.LARS over the module's parameters; parameters that are frozen
            (requires_grad=False) or in no group are not trained.
        scheduler: any torch.optim.lr_scheduler of that optimiser.
        train, test: a `spindl.data` Dataset, or (x, y): uint8 images (count, channels, height, width) or real features
            (count, ...); class indices (count,), or numbers of the output's shape for the other losses.
        batch_size: images a step.
        fill_last: whether the last images of an epoch that fill no batch are filled up with the first of the next
            epoch; else they are left out.
        epochs: passes over the training data.
        seed: of the order of the data and of dropout.
        run_dir: folder for log, checkpoints, weights; None writes nothing.
        device, threads: where and with how many threads the executor computes; None: all.
        executor: "sim", "interpreter", "emu" or "board"; their bits are equal.
        machine: for emu and board, such as "spin3:4" or "board.json" (docs/machines.md); the other executors report
            what the planner foresees of a step on it.
        formats: mantissa bits.
        schedule_interval: whether the scheduler counts epochs or steps.
        resume: go on from the newest checkpoint of run_dir (from the start if there is none), or from a given one.
        checkpoint_seconds, checkpoint_steps: how often to write a checkpoint, besides after every epoch (None: never).
        keep: checkpoints to keep, besides the best.
        progress: show rate, loss, accuracy and time left.
        tensorboard: write for TensorBoard too; None: if it is installed and run_dir is given.
        settings: JSON values to store in the run folder, such as the command line.
        test_epochs: which epochs, counted from 1, end with a test; None: all.
        stop: ends training early when it is true of an epoch's record.
        on_event: is told when epochs and tests start and stop.

    Raises:
        SpindlError: whatever does not fit is found here, before anything is written or computed.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        loss: Any,
        optimizer: torch.optim.Optimizer,
        *,
        scheduler: Any = None,
        train: Any,
        test: Any = None,
        batch_size: int,
        epochs: int,
        fill_last: bool = False,
        seed: int = 0,
        run_dir: str | Path | None = None,
        device: str = "cpu",
        machine: str | None = None,
        executor: str = "sim",
        formats: Formats | None = None,
        threads: int | None = None,
        schedule_interval: Literal["epoch", "step"] = "epoch",
        resume: bool | str | Path = False,
        checkpoint_seconds: float | None = 60.0,
        checkpoint_steps: int | None = None,
        keep: int = 3,
        progress: bool = True,
        tensorboard: bool | None = None,
        settings: Mapping[str, Any] | None = None,
        test_epochs: Callable[[int], bool] | None = None,
        stop: Callable[[EpochRecord], bool] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        check_settings(batch_size, epochs, seed, schedule_interval, keep, resume, run_dir)
        self.module, self.optimizer, self.scheduler = module, optimizer, scheduler
        self.loss, self.formats = read_loss(loss), formats or Formats()
        self.batch_size, self.epochs, self.seed = batch_size, epochs, seed
        self.run_dir = Path(run_dir).expanduser() if run_dir is not None else None
        self.executor, self.threads = executor, threads
        self.device, self.machine = placed(executor, device, machine)
        self._schedule_interval = schedule_interval
        self._resume, self._keep, self._fill_last = resume, keep, fill_last
        self._checkpoint_seconds, self._checkpoint_steps = checkpoint_seconds, checkpoint_steps
        self._show = progress
        self._settings = dict(settings or {})
        self._test_epochs, self._stop, self._on_event = test_epochs, stop, on_event
        if tensorboard is None:
            tensorboard = self.run_dir is not None and find_spec("tensorboard") is not None
        self._tensorboard = tensorboard

        input_shape = data_shape(train)
        groups = read_optimizer(optimizer, module)
        trained = {key for group in groups for key in group.parameters}
        keys = [name for name, _ in module.named_parameters()]
        self.forward = with_frozen(capture(module, input_shape), [key for key in keys if key not in trained])
        self._output_shape = self.forward.nodes[self.forward.outputs["output"]].shape[1:]
        self._train = read_examples(train, self.loss, input_shape, self._output_shape, "train")
        self._test = None if test is None else self._read_test(test)
        count = len(self._train)
        if batch_size > count:
            raise BatchSizeError(
                batch_size, count, 0, f"a batch of {batch_size} from {count} records", f"use a batch of {count} or less"
            )
        step_scalars(optimizer, batch_size)  # raises for rates that are not finite
        open_session(
            executor, Program({}, {}), State({}, Progress(seed=0)), device=self.device, threads=threads
        ).close()
        self.program = self._build_program(groups)
        self._initial_steps = _tracked_batches(module, self.program.graphs[TRAIN].updates)
        parameters = module_arrays(module)
        self._dry_passes = dry_passes(self.forward, parameters)
        self.state = State(
            values=initial_state(_all_states(self.program), parameters),
            progress=Progress(seed=seed),
            optimizer=hyper_parameters(optimizer),
            scheduler=scheduler_state(scheduler),
            program=self.program.digest(),
        )
        self._calibrated = False

    # --- what users call ---------------------------------------------------------------------------------------------

    def fit(self) -> Record:
        """Train until `epochs` are done or `stop` says so, then write the weights back into the module.

        Ctrl-C or SIGTERM: the step is finished, a checkpoint written, the weights written back, and Interrupted raised.

        Raises:
            RunFolderError: the run folder cannot be written, is in use, or holds another run.
            StateError: the checkpoint to resume from is damaged or belongs to another model.
            DataError: a picture cannot be read, when its batch is due.
            RunError: the executor cannot go on; what was done since the last checkpoint is lost.
        """
        display = choose_display(self._show)
        with ExitStack() as stack:
            stack.callback(display.close)
            display.note(f"executor {self.executor} ({self.device}): {EXECUTOR_NOTES.get(self.executor, '')}")
            sinks: list[Callable[[Mapping[str, Any]], None]] = []
            checkpoints, writer = None, None
            if self.run_dir is not None:
                stack.enter_context(locked(self.run_dir))
                checkpoints = CheckpointFolder(self.run_dir / CHECKPOINTS, self._keep)
            self._plan()  # raises before anything is written
            if self.run_dir is not None and checkpoints is not None:
                self._prepare_folder(self.run_dir, checkpoints, display)
                writer = stack.enter_context(closing(RecordWriter(self.run_dir / LOG)))
                sinks.append(writer.write)
                if self._tensorboard:
                    write, close = tensorboard_sink(self.run_dir / "tensorboard", self.state.progress.step)
                    stack.callback(close)
                    sinks.append(write)
            past = epoch_records(read_rows(self.run_dir / LOG)) if self.run_dir is not None else ()
            session = stack.enter_context(closing(self._open()))
            stopping = stack.enter_context(noted_signals())
            self._calibrate(session)
            header = {"kind": "resume" if self.state.progress.step else "run", "step": self.state.progress.step}
            header |= {
                "executor": self.executor,
                "device": self.device,
                "spindl": spindl_version(),
                "program": self.state.program,
            }
            for sink in sinks:
                sink({**header, "settings": self._settings})
            run = Loop(self._setup(), self.state, session, checkpoints, writer, sinks, display, stopping)
            if checkpoints is not None and checkpoints.latest() is None:
                run.save()
            try:
                epochs = run.train(list(past))
            except BaseException as error:
                if isinstance(error, RunError) or type(error) is KeyboardInterrupt:  # not `Interrupted`: in a step
                    kept = None if checkpoints is None else checkpoints.latest()
                    display.note(f"the executor stopped; the last checkpoint: {kept or 'none'}")
                    if kept is not None:
                        display.note(f"to go on from it: spindl train --resume --run-dir {self.run_dir}")
                with suppress(RunError):  # a machine that stopped in a step holds no State any more
                    self._take_back(run)
                raise
            self._take_back(run)
            if isinstance(session, HostedSession):
                for line in session.usage.lines():
                    display.note(line)
            if self.run_dir is not None:
                self._write_weights(self.run_dir)
                self._save_counted(self.run_dir, session)
                failed = try_report(self.run_dir)
                if failed:
                    display.note(failed)
        return Record(self.executor, self.run_dir, tuple(epochs))

    def _take_back(self, run: Loop) -> None:
        self.state = run.snapshot()
        self.sync()

    def evaluate(self, data: Any) -> Evaluation:
        """Loss and accuracy over a dataset (as in `test`) with the weights as they are."""
        examples = self._read_test(data)
        graphs = evaluation_graphs(
            self.forward, self.loss, self.formats, self.batch_size, len(examples), self._train.dataset.normalisation
        )
        if not self._calibrated:
            self._plan()
            with closing(self._open()) as session:
                self._calibrate(session)
                self.state = replace(self.state, values=session.state())
        wanted = {name for graph in graphs.values() for name in _state_names(graph)}
        state = replace(self.state, values={name: v for name, v in self.state.values.items() if name in wanted})
        program = planned(Program(graphs, self.program.metadata), self.executor, self.machine)
        with closing(open_session(self.executor, program, state, device=self.device, threads=self.threads)) as session:
            result = evaluate(session, examples, self.batch_size)
        assert result is not None
        return result

    def sync(self) -> None:
        """Write weights and running statistics into the module (rounded to float32; the State keeps the exact ones)."""
        trained = float_parameters(self.state.values)
        tracked = self._initial_steps
        with torch.no_grad():
            for key, tensor in self.module.state_dict(keep_vars=True).items():
                if key in trained:
                    tensor.copy_(torch.from_numpy(np.ascontiguousarray(trained[key])))
                elif key in tracked:
                    tensor.fill_(tracked[key] + self.state.progress.step)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _setup(self) -> Setup:
        return Setup(
            train=self._train,
            test=self._test,
            batch_size=self.batch_size,
            epochs=self.epochs,
            last="fill" if self._fill_last else "drop",
            seed=self.seed,
            optimizer=self.optimizer,
            scheduler=self.scheduler,
            schedule_interval=self._schedule_interval,
            checkpoint_seconds=self._checkpoint_seconds,
            checkpoint_steps=self._checkpoint_steps,
            test_epochs=self._test_epochs,
            stop=self._stop,
            on_event=self._on_event,
            inputs=self.inputs,
            program=self.state.program,
        )

    def _read_test(self, data: Any) -> Examples:
        examples = read_examples(data, self.loss, self._train.dataset.image_shape, self._output_shape, "test")
        if (examples.dataset.normalisation is None) != (self._train.dataset.normalisation is None):
            raise TrainingError(
                "the training data are images and the test data features, or the other way round",
                "test data",
                "give both alike",
            )
        return examples

    def _build_program(self, groups: tuple[ParameterGroup, ...]) -> Program:
        dataset, batch = self._train.dataset, self.batch_size
        common = (self.forward, self.loss, groups, self.formats)
        graphs = {TRAIN: training_graph(*common, batch, dataset.normalisation)}
        if batch > CALIBRATION_IMAGES:
            graphs[CALIBRATE] = training_graph(*common, CALIBRATION_IMAGES, dataset.normalisation)
        count = batch if self._test is None else len(self._test)
        graphs |= evaluation_graphs(self.forward, self.loss, self.formats, batch, count, dataset.normalisation)
        if EVALUATE not in graphs:  # prediction from the run folder uses it
            graphs |= evaluation_graphs(self.forward, self.loss, self.formats, batch, batch, dataset.normalisation)
        metadata = {
            "spindl": spindl_version(),
            "op_table": OP_TABLE_VERSION,
            "decoder": decoder_version(),
            "model": type(self.module).__name__,
            "input_shape": list(dataset.image_shape),
            "classes": list(dataset.classes),
            "normalisation": to_plain(dataset.normalisation),
            "loss": asdict(self.loss),
            "formats": asdict(self.formats),
            "optimizer": [asdict(group) for group in groups],
            "batch_size": batch,
        }
        if self._fill_last:
            metadata["fill_last"] = True
        return Program(graphs, json.loads(json.dumps(metadata)))

    def _open(self) -> Session:
        return open_session(self.executor, self.program, self.state, device=self.device, threads=self.threads)

    def _plan(self) -> None:
        """Plans the program for the machine as it is now; the plans in the folder of a run that goes on serve again."""
        path = None if self.run_dir is None else self.run_dir / PROGRAM_FILE
        if self._resume and path is not None and path.exists():
            saved = load_program(path)
            self.program = replace(self.program, plans=saved.plans, image=saved.image)
        self.program = planned(self.program, self.executor, self.machine)

    def _save_counted(self, folder: Path, session: Session) -> None:
        """What the machine's cores counted of a step, for the page."""
        if isinstance(session, HostedSession) and session.counted is not None:
            c = session.counted
            graph = self.program.graphs[c.graph]
            save_counted(folder, graph, c.topology, c.cores, c.counters, session.executor, c.graph)

    def _calibrate(self, session: Session) -> None:
        """First exponents, once per run: the result is part of the State."""
        if self._calibrated:
            return
        with closing(batches(self._train.dataset, self.batch_size, self.seed, 0)) as steps:
            batch: Batch = next(steps)
        size = min(self.batch_size, CALIBRATION_IMAGES)
        batch = first_images(batch, size)
        inputs = self.inputs(batch, Progress(seed=self.seed))
        calibrate(session, TRAIN if size == self.batch_size else CALIBRATE, inputs, self._dry_passes)
        self._calibrated = True

    def inputs(self, batch: Batch, progress: Progress) -> dict[str, Value]:
        """All inputs of a training step on a batch of the training data."""
        scalars = step_scalars(self.optimizer, len(batch), progress.previous_batch)
        return step_inputs(
            self._train, batch, start=progress.position, seed=progress.seed, step=progress.step, scalars=scalars
        )

    def _prepare_folder(self, run_dir: Path, checkpoints: CheckpointFolder, display: Display) -> None:
        """Take up the newest checkpoint, or start a new run; raises before anything there is changed."""
        checkpoints.clean()
        if self._resume is False and checkpoints.names():
            raise RunFolderError(
                "this folder holds a run already", str(run_dir), "resume it (--resume), or choose another --run-dir"
            )
        folder = None if isinstance(self._resume, bool) else Path(self._resume)
        if folder is not None and not folder.is_dir():
            raise StateError(
                "no such checkpoint", str(folder), f"there are: {', '.join(checkpoints.names()) or 'none'}"
            )
        state = checkpoints.load(folder)
        if state is not None:
            self._take_up(state, folder or checkpoints.latest() or run_dir, run_dir, display)
            if folder is not None:
                checkpoints.forget_after(folder)
        else:
            if self._resume:
                display.note("no checkpoint to resume from yet: starting anew")
            check_space(run_dir, stored_bytes(self.state.values))
            save_program(self.program, run_dir / PROGRAM_FILE)
            settings = {"executor": self.executor, "settings": self._settings}
            write_atomically(run_dir / SETTINGS_FILE, (json.dumps(settings, indent=1) + "\n").encode())
        with disk_errors(checkpoints.path):
            checkpoints.path.mkdir(exist_ok=True)
        truncate_log(run_dir / LOG, self.state.progress.step if state else -1, self.state.progress.epoch)

    def _take_up(self, state: State, folder: Path, run_dir: Path, display: Display) -> None:
        if state.program != self.program.digest():
            check_state(replace(state, program=""), self.program, str(folder))
            differences = diff(load_program(run_dir / PROGRAM_FILE), self.program, 5)
            raise StateError(
                "the checkpoint was written with other settings:",
                str(folder),
                "use the settings that the run was started with, or another --run-dir",
                differences=differences,
            )
        check_state(state, self.program, str(folder))
        if state.progress.seed != self.seed:
            raise StateError(
                f"the checkpoint was written with seed {state.progress.seed}, not {self.seed}",
                str(folder),
                "use the same seed",
            )
        saved = load_program(run_dir / PROGRAM_FILE)
        metadata = saved.metadata
        if metadata.get("fill_last", False) != self._fill_last:
            did = "left out" if self._fill_last else "filled up"
            raise StateError(
                f"the last batch of an epoch was {did} when the run was started",
                str(folder),
                f"use fill_last={not self._fill_last}, or another run folder",
            )
        decoder = metadata.get("decoder")
        if decoder != decoder_version():
            now = decoder_version()
            display.note(f"note: pictures were decoded by {decoder} before, now by {now}; they may differ in places")
        restore(self.optimizer, self.scheduler, state)
        self.state, self._calibrated = state, True
        if _keys(saved) != _keys(self.program):  # another machine than before
            save_program(self.program, run_dir / PROGRAM_FILE)
        display.note(f"resuming from {folder} (step {state.progress.step}, epoch {state.progress.epoch + 1})")

    def _write_weights(self, run_dir: Path) -> None:
        from safetensors.torch import save

        tensors = {key: t.detach().cpu().contiguous().clone() for key, t in self.module.state_dict().items()}
        write_atomically(run_dir / WEIGHTS_FILE, save(tensors))


def _keys(program: Program) -> dict[str, str]:
    return {name: plan.key for name, plan in program.plans.items()}


def module_arrays(module: torch.nn.Module) -> dict[str, NDArray[Any]]:
    """Parameters and buffers as arrays, by state_dict key."""
    return {key: tensor.detach().cpu().numpy() for key, tensor in module.state_dict().items()}


def _tracked_batches(module: torch.nn.Module, updates: Mapping[str, int]) -> dict[str, int]:
    """Counters at the start of the BatchNorm layers whose statistics follow the batches."""
    end = ".num_batches_tracked"
    counters = {k: int(t.item()) for k, t in module.state_dict().items() if k.endswith(end)}
    return {k: v for k, v in counters.items() if f"running/{k.removesuffix(end)}.running_mean" in updates}


def _state_names(graph: Graph) -> set[str]:
    return {str(node.attributes["name"]) for node in graph.nodes if node.op == "state"}


def _all_states(program: Program) -> Graph:
    """A graph of all state nodes of a program."""
    nodes = {node.attributes["name"]: node for g in program.graphs.values() for node in g.nodes if node.op == "state"}
    return Graph(tuple(nodes.values()), {})
