"""Predictor: outputs of a trained model in SpiNNaker's arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spindl.data import Batch, Dataset, from_arrays
from spindl.errors import SpindlError
from spindl.graph.operations import Value
from spindl.infer.evaluation import DRY_PASSES, EVALUATE, calibrate, measuring, predict_batches
from spindl.infer.examples import Examples, read_examples, step_inputs
from spindl.planning import planned
from spindl.program import CheckpointFolder, Program, ProgramError, Progress, State, load_program
from spindl.program.plain import from_plain
from spindl.run import open_session
from spindl.train import Formats, evaluation_graph, initial_state

if TYPE_CHECKING:
    import torch

PROGRAM_FILE = "program.spindl"
CHECKPOINTS = "checkpoints"


class PredictorError(SpindlError):
    """Images or a model that a Predictor cannot use."""


class Predictor:
    """Runs images through a model with frozen exponents and running statistics.

    Args:
        source: the folder of a run (its best checkpoint is used), one of its checkpoints, or a module in memory. A
            module has no exponents yet: they are measured on the first images it is given.
        input_shape: of one image; needed for a module only.
        normalisation: (mean, standard deviation) per channel, of a module that takes images; a run folder knows it.
        classes: names of the outputs; a run folder knows them.
        batch_size: images a pass, for a module.
        formats: mantissa bits, for a module.
        executor, device, threads: as for Trainer.

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
        batch_size: int = 32,
        formats: Formats | None = None,
        executor: str = "sim",
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        self._where: dict[str, Any] = {"device": device, "threads": threads}
        self._executor = executor
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
        graph = measuring(evaluation_graph(forward, None, formats or Formats(), batch_size, normalisation))
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
        program = Program({EVALUATE: self.program.graphs[EVALUATE]}, self.program.metadata)
        program = planned(program, self._executor, str(self._where["device"]))
        names = {str(n.attributes["name"]) for n in program.graphs[EVALUATE].nodes if n.op == "state"}
        state = State({name: v for name, v in self.state.values.items() if name in names}, self.state.progress)
        with closing(open_session(self._executor, program, state, **self._where)) as session:
            if not self._calibrated:
                calibrate(session, EVALUATE, self._first_inputs(examples), DRY_PASSES)
                self.state = State(session.state(), self.state.progress)
                self._calibrated = True
            return np.concatenate(list(predict_batches(session, program, EVALUATE, examples)))

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

    def _first_inputs(self, examples: Examples) -> dict[str, Value]:
        graph = self.program.graphs[EVALUATE]
        size = next(n.shape[0] for n in graph.nodes if n.op == "input" and n.attributes["name"] == "images")
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
