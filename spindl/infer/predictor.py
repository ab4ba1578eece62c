"""Predictor: outputs of a trained model in SpiNNaker's arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spindl.data import Batch, Dataset, from_arrays
from spindl.errors import SpindlError
from spindl.graph.batch import batch_of, with_batch
from spindl.graph.operations import Value
from spindl.infer.evaluation import DRY_PASSES, EVALUATE, calibrate, measuring, predict_batches
from spindl.infer.examples import Examples, read_examples, step_inputs
from spindl.machine import parse_machine
from spindl.planning import PLANNED, placed, planned
from spindl.program import CheckpointFolder, Program, ProgramError, Progress, State, load_program
from spindl.program.plain import from_plain
from spindl.run import Session, open_session
from spindl.run.hosted import HostedSession
from spindl.train import Formats, evaluation_graph, initial_state

if TYPE_CHECKING:
    import torch

PROGRAM_FILE = "program.spindl"
CHECKPOINTS = "checkpoints"
MODULE_BATCH = 32


class PredictorError(SpindlError):
    """Images or a model that a Predictor cannot use."""


@dataclass(frozen=True)
class Speed:
    """How fast a machine predicted.

    Attributes:
        executor: emu or board.
        batch: images of a step.
        latency: seconds of a step on the machine, from the doorbell to its slowest core: emulated, or a board's own.
        images: of the call.
        seconds: wall-clock seconds of the call on this computer, inputs sent and outputs read; loading is left out
            where it was done before.
    """

    executor: str
    batch: int
    latency: float
    images: int
    seconds: float

    def lines(self) -> list[str]:
        """For people."""
        how = "emulated machine" if self.executor == "emu" else "machine"
        rate = self.batch / self.latency if self.latency else 0.0
        link = self.images / self.seconds if self.seconds else 0.0
        return [
            f"latency of a batch of {self.batch}: {1000 * self.latency:.1f} ms ({how}, its cores' clock)",
            f"throughput: {rate:,.0f} images/s ({how}, without its host link)",
            f"throughput with the host: {link:,.1f} images/s (wall clock of this computer, loading included)",
        ]


class Predictor:
    """Runs images through a model with frozen exponents and running statistics.

    Args:
        source: the folder of a run (its best checkpoint is used), one of its checkpoints, or a module in memory. A
            module has no exponents yet: they are measured on the first images it is given.
        input_shape: of one image; needed for a module only.
        normalisation: (mean, standard deviation) per channel, of a module that takes images; a run folder knows it.
        classes: names of the outputs; a run folder knows them.
        batch_size: images a pass; by default 32 for a module, that of its training for a run. On a machine it is made a
            multiple of the chips, so that all of them have images.
        formats: mantissa bits, for a module.
        executor, device, machine, threads: as for Trainer.

    Each call of `predict` opens the executor and closes it again; in a `with` block it stays open from the first call
    on, and a machine keeps its program and weights.

    Raises:
        ProgramError, StateError: the folder holds no run, or it is damaged.
        UnsupportedModel: the module cannot be run exactly.
    """

    def __init__(
        self,
        source: str | Path | torch.nn.Module,
        *,
        input_shape: Sequence[int] | None = None,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
        classes: Sequence[str] = (),
        batch_size: int | None = None,
        formats: Formats | None = None,
        executor: str = "sim",
        device: str = "cpu",
        machine: str | None = None,
        threads: int | None = None,
    ) -> None:
        where, self._machine = placed(executor, device, machine)
        self._where: dict[str, Any] = {"device": where, "threads": threads}
        self._executor, self._batch = executor, batch_size
        self._open: tuple[Session, Program] | None = None
        self._keeps = False
        self.speed: Speed | None = None
        """Of the last call of `predict`, on emu and board."""
        if isinstance(source, str | Path):
            self.program, self.state = read_run(Path(source).expanduser())
            self.input_shape = tuple(self.program.metadata["input_shape"])
            self.classes = tuple(self.program.metadata["classes"])
            stored = self.program.metadata["normalisation"]
            self.normalisation = None if stored is None else _pair(stored)
            self._calibrated = True
            return
        from spindl.model import capture

        if input_shape is None:
            raise PredictorError(
                "a module without the shape of one image", "input_shape", "give input_shape=(channels, height, width)"
            )
        self.input_shape, self.classes, self.normalisation = tuple(input_shape), tuple(classes), normalisation
        forward = capture(source, self.input_shape, training=False)
        graph = measuring(
            evaluation_graph(forward, None, formats or Formats(), batch_size or MODULE_BATCH, normalisation)
        )
        self.program = Program({EVALUATE: graph}, {})
        parameters = {key: tensor.detach().cpu().numpy() for key, tensor in source.state_dict().items()}
        self.state = State(initial_state(graph, parameters), Progress(seed=0))
        self._calibrated = False

    def predict(self, images: Any) -> NDArray[np.float64]:
        """Outputs, (count, *output shape): logits, or what the model ends with.

        Args:
            images: a `spindl.data` Dataset, uint8 (count, channels, height, width), or real features (count, ...), as
                the model was trained with.

        Raises:
            PredictorError: the other kind, or another shape. DataError: NaN, or a picture that cannot be read.
        """
        examples = self._examples(images)
        with self._session() as (session, program):
            if not self._calibrated:
                calibrate(session, EVALUATE, self._first_inputs(examples, program), DRY_PASSES)
                self.state = State(session.state(), self.state.progress)
                self._calibrated = True
            begun = monotonic()
            found = np.concatenate(list(predict_batches(session, program, EVALUATE, examples)))
            if isinstance(session, HostedSession):
                step, batch = session.measure().step_seconds, batch_of(program.graphs[EVALUATE])
                self.speed = Speed(self._executor, batch, step, len(examples), monotonic() - begun)
            return found

    def __enter__(self) -> Predictor:
        self._keeps = True
        return self

    def __exit__(self, *_: object) -> None:
        self._keeps = False
        self.close()

    def close(self) -> None:
        """Gives the executor back, if a `with` block keeps it."""
        opened, self._open = self._open, None
        if opened is not None:
            opened[0].close()

    @contextmanager
    def _session(self) -> Iterator[tuple[Session, Program]]:
        """The executor with the State, and its Program. One that failed is closed."""
        if self._open is None:
            self._open = self._opened()
        try:
            yield self._open
        except BaseException:
            self.close()
            raise
        if not self._keeps:
            self.close()

    def _opened(self) -> tuple[Session, Program]:
        graph = self.program.graphs[EVALUATE]
        batch = self._batch or batch_of(graph)
        if self._executor in PLANNED:
            chips = parse_machine(self._machine or "spin3").chips or 1
            batch = -(-batch // chips) * chips
        if batch != batch_of(graph):
            graph = with_batch(graph, batch)
        own = replace(self.program, graphs={EVALUATE: graph})
        program = planned(own, self._executor, self._machine)
        names = {str(n.attributes["name"]) for n in graph.nodes if n.op == "state"}
        state = State({name: v for name, v in self.state.values.items() if name in names}, self.state.progress)
        return open_session(self._executor, program, state, **self._where), program

    def classify(self, images: Any) -> NDArray[np.int64]:
        """Index of the largest output of each image, (count,)."""
        return np.asarray(self.predict(images).reshape(len(images), -1).argmax(axis=1), dtype=np.int64)

    def _examples(self, images: Any) -> Examples:
        if isinstance(images, Dataset):
            dataset = images
        else:
            array = images.detach().cpu().numpy() if hasattr(images, "detach") else np.asarray(images)
            labels = np.zeros(len(array), dtype=np.int64)
            if array.dtype == np.uint8 and self.normalisation is not None:
                dataset = from_arrays(
                    labels, images=array, classes=("unknown",), name="images", normalisation=self.normalisation
                )
            else:
                dataset = from_arrays(labels, features=array, classes=("unknown",), name="features")
        if (dataset.normalisation is None) != (self.normalisation is None):
            wanted = "features (real numbers)" if self.normalisation is None else "images (uint8)"
            raise PredictorError("the wrong kind of input", "images", f"this model takes {wanted}")
        return read_examples(dataset, None, self.input_shape, (), "given")

    def _first_inputs(self, examples: Examples, program: Program) -> dict[str, Value]:
        size = batch_of(program.graphs[EVALUATE])
        chosen = np.arange(size, dtype=np.int64) % len(examples)
        batch: Batch = examples.dataset.read(chosen, epoch=0)
        return step_inputs(examples, batch, start=0, seed=0, step=0)


def read_run(path: Path) -> tuple[Program, State]:
    """Program and State of a run (its best checkpoint), or of one checkpoint. Raises ProgramError, StateError."""
    if path.parent.name == CHECKPOINTS:
        run, checkpoint = path.parent.parent, path
    else:
        checkpoints = CheckpointFolder(path / CHECKPOINTS)
        best = checkpoints.best()
        if not (path / PROGRAM_FILE).exists() or best is None:
            raise ProgramError("this folder holds no run", str(path), "give the folder that spindl train named")
        run, checkpoint = path, best
    program = load_program(run / PROGRAM_FILE)
    state = CheckpointFolder(run / CHECKPOINTS).load(checkpoint)
    assert state is not None
    return program, state


def _pair(stored: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean, deviation = from_plain(stored)
    return tuple(mean), tuple(deviation)
