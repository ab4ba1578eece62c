"""Trainer: training, records, weights back into the module, schedules, evaluation."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim import lr_scheduler

import spindl
from spindl.comparison.float32 import train_float32
from spindl.fit import module_arrays
from spindl.graph.products import total_products
from spindl.infer.evaluation import dry_passes
from spindl.machine import CHIP
from spindl.program import CheckpointFolder, load_program, load_state
from spindl.record import read_record, read_rows
from spindl.run import EXECUTORS, RunError, open_session
from spindl.train import read_loss
from tests.trainer.support import Net, assert_same_state, network, pictures, trainer


def test_training_learns_and_records(tmp_path: Path) -> None:
    module = network()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    t = trainer(module, epochs=4, run_dir=tmp_path / "run")
    record = t.fit()
    assert [epoch.epoch for epoch in record.epochs] == [1, 2, 3, 4]
    assert record.epochs[-1].loss < record.epochs[0].loss
    assert record.test_accuracy is not None
    assert record.test_accuracy > 0.5
    assert read_record(tmp_path / "run") == record

    rows = list(read_rows(tmp_path / "run" / "log.jsonl"))
    steps = [row for row in rows if row["kind"] == "step"]
    assert rows[0]["executor"] == "interpreter"
    assert [row["step"] for row in steps] == list(range(1, 17))  # 70 images, batches of 16: 4 steps an epoch
    assert steps[-1]["epoch"] == 4
    assert {"loss", "accuracy", "learning_rates", "images_per_second", "saturation"} <= steps[0].keys()
    assert np.mean([row["loss"] for row in steps[:4]]) == pytest.approx(record.epochs[0].loss)

    after = module.state_dict()
    assert not torch.equal(before["conv.weight"], after["conv.weight"])
    assert not torch.equal(before["bn.running_mean"], after["bn.running_mean"])
    assert int(after["bn.num_batches_tracked"]) == 16
    stored = load_file(tmp_path / "run" / "weights.safetensors")
    assert stored.keys() == after.keys()
    assert all(torch.equal(stored[key], after[key]) for key in after)
    program = load_program(tmp_path / "run" / "program.spindl")
    assert program.digest() == t.program.digest()
    assert program.metadata["classes"] == list("abcd")


def test_first_line_names_the_executor(capsys: pytest.CaptureFixture[str]) -> None:
    trainer(epochs=1, progress=True).fit()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("executor interpreter (cpu)")
    assert "test accuracy" in lines[1]
    assert "images/s" in lines[1]


def test_executors_give_the_same_bits(tmp_path: Path) -> None:
    runs = {}
    for executor in EXECUTORS.keys() - {"board"}:  # a machine has to be named: tests/run/hosted
        runs[executor] = trainer(executor=executor)
        runs[executor].fit()
    for run in runs.values():
        assert_same_state(run.state, runs["interpreter"].state)


@pytest.mark.parametrize("executor", ["sim", "interpreter"])
def test_a_machine_beside_the_simulator_is_modelled(executor: str, tmp_path: Path) -> None:
    """Every step has what the planner foresees; the bits and the program's digest stay."""
    plain, machine = trainer(epochs=1), trainer(epochs=1, executor=executor, machine="spin3:2", run_dir=tmp_path / "a")
    plain.fit()
    machine.fit()
    assert_same_state(plain.state, machine.state)
    rows = [row for row in read_rows(tmp_path / "a" / "log.jsonl") if row["kind"] == "step"]
    (counters,) = {tuple(sorted(row["counters"].items())) for row in rows}
    found = dict(counters)
    assert found["multiply_accumulates"] == total_products(machine.program.graphs["train"])
    assert found["cycles"] > 0
    assert found["seconds"] == found["cycles"] / CHIP.clock.value
    assert not load_program(tmp_path / "a" / "program.spindl").chips
    trainer(epochs=2, run_dir=tmp_path / "a", resume=True, machine="spin3").fit()  # another machine, other counters
    rows = [row for row in read_rows(tmp_path / "a" / "log.jsonl") if row["kind"] == "step"]
    assert rows[-1]["counters"]["packets_sent"] == 0 < rows[0]["counters"]["packets_sent"]


def test_a_step_of_a_session_can_be_dry() -> None:
    t = trainer()
    with_state = {name: open_session(name, t.program, t.state) for name in ("sim", "interpreter")}
    from spindl.data import batches

    inputs = t.inputs(next(batches(t._train.dataset, 16, 0, 0)), t.state.progress)
    for name, session in with_state.items():
        before = session.state()
        session.step("train", inputs, commit="none")
        same = session.state()
        assert all(np.array_equal(before[k].mantissa, same[k].mantissa) for k in before), name
        session.step("train", inputs, commit="sites")
        dry = session.state()
        changed = {k for k in before if not np.array_equal(before[k].mantissa, dry[k].mantissa)}
        assert changed, name
        assert all(key.startswith("site/") for key in changed), name
        session.step("train", inputs)
        assert not np.array_equal(session.state()["weights/conv.weight"].mantissa, dry["weights/conv.weight"].mantissa)
        session.close()
        session.close()


def test_the_interpreter_has_no_cuda() -> None:
    with pytest.raises(RunError, match="no device"):
        trainer(device="cuda")


def test_follows_float32() -> None:
    """Same weights, same batches: the loss of every epoch within 2 %."""
    module = network()
    module.dropout.p = 0.0
    twin = copy.deepcopy(module)
    t = trainer(module, epochs=5)
    record = t.fit()
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    reference = train_float32(
        twin, read_loss("cross_entropy"), optimizer, None, train=t._train, test=t._test, batch_size=16, epochs=5, seed=0
    )
    for mine, theirs in zip(record.epochs, reference, strict=True):
        assert mine.loss == pytest.approx(theirs.loss, rel=0.02)
    assert reference[-1].loss < 0.5 * reference[0].loss
    cosine = torch.cosine_similarity(module.conv.weight.flatten(), twin.conv.weight.flatten(), dim=0)
    assert float(cosine.detach()) > 0.999


def test_frozen_and_left_out_parameters_stay() -> None:
    module = network()
    module.conv.weight.requires_grad_(False)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    t = trainer(
        module,
        optimizer=lambda m: torch.optim.SGD([m.conv.weight, m.fc.weight], lr=0.05, weight_decay=1e-2),
    )
    t.fit()
    after = module.state_dict()
    assert torch.equal(before["conv.weight"], after["conv.weight"])  # frozen
    assert torch.equal(before["fc.bias"], after["fc.bias"])  # in no group
    assert not torch.equal(before["fc.weight"], after["fc.weight"])


def test_batch_norm_in_eval_mode_keeps_its_statistics() -> None:
    module = network()
    module.bn.eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    trainer(module).fit()
    after = module.state_dict()
    for key in ("bn.running_mean", "bn.running_var", "bn.num_batches_tracked"):
        assert torch.equal(after[key], before[key]), key
    assert not torch.equal(after["bn.weight"], before["bn.weight"])


def test_groups_have_their_own_rates() -> None:
    module = network()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    t = trainer(
        module,
        optimizer=lambda m: torch.optim.SGD(
            [{"params": [m.conv.weight], "lr": 0.0}, {"params": [m.fc.weight, m.fc.bias], "lr": 0.1}], momentum=0.9
        ),
    )
    t.fit()
    after = module.state_dict()
    assert torch.equal(before["conv.weight"], after["conv.weight"])
    assert not torch.equal(before["fc.bias"], after["fc.bias"])


def test_lars_trains() -> None:
    def lars(module: nn.Module) -> torch.optim.Optimizer:
        weights = [p for p in module.parameters() if p.dim() > 1]
        others = [p for p in module.parameters() if p.dim() == 1]
        return spindl.LARS([{"params": weights}, {"params": others, "adapt": False}], lr=5.0, weight_decay=1e-4)

    record = trainer(optimizer=lars, epochs=4).fit()
    assert record.epochs[-1].loss < 0.9 * record.epochs[0].loss


SCHEDULES: dict[str, tuple[Any, str]] = {
    "cosine": (lambda o: lr_scheduler.CosineAnnealingLR(o, 3), "epoch"),
    "milestones": (lambda o: lr_scheduler.MultiStepLR(o, [1, 2], 0.5), "epoch"),
    "one cycle": (lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=12), "step"),
    "lambda": (lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)), "step"),
    "sequence": (
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, 0.1, total_iters=3), lr_scheduler.CosineAnnealingLR(o, 9)], [3]
        ),
        "step",
    ),
    "plateau": (lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, threshold=1.0), "epoch"),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_followed_and_resumed(name: str, tmp_path: Path) -> None:
    build, interval = SCHEDULES[name]
    options = {"scheduler": build, "schedule_interval": interval}
    whole = trainer(epochs=3, run_dir=tmp_path / "whole", **options)
    whole.fit()
    rates = [row["learning_rates"][0] for row in read_rows(tmp_path / "whole" / "log.jsonl") if row["kind"] == "step"]
    parameter = nn.Parameter(torch.zeros(1))
    plain = torch.optim.SGD([parameter], lr=0.05, momentum=0.9)
    schedule = build(plain)
    expected = []
    tests = [epoch.test_loss for epoch in read_record(tmp_path / "whole").epochs]
    for epoch in range(3):
        for _ in range(4):
            expected.append(plain.param_groups[0]["lr"])
            plain.step()
            if interval == "step":
                schedule.step()
        if interval == "epoch":
            schedule.step(tests[epoch]) if name == "plateau" else schedule.step()
    assert rates == expected
    assert len(set(rates)) > 1

    trainer(epochs=1, run_dir=tmp_path / "parts", **options).fit()
    for epochs in (2, 3):
        last = trainer(epochs=epochs, run_dir=tmp_path / "parts", resume=True, **options)
        last.fit()
    assert_same_state(whole.state, last.state)


def test_schedule_that_cannot_be_stored() -> None:
    class Odd(lr_scheduler.LambdaLR):
        def state_dict(self) -> dict[str, Any]:
            return {"function": len}

    with pytest.raises(spindl.SpindlError, match="function"):
        trainer(scheduler=lambda o: Odd(o, lambda step: 1.0))


def test_evaluate_equals_the_test_of_fit() -> None:
    t = trainer()
    record = t.fit()
    result = t.evaluate(pictures(25, 2))
    assert (result.loss, result.accuracy, result.images) == (record.epochs[-1].test_loss, record.test_accuracy, 25)
    arrays = pictures(25, 2)
    pair = (np.asarray(arrays.records.array), torch.from_numpy(arrays.labels))  # type: ignore[union-attr]
    assert t.evaluate(pair) == result


def test_evaluation_does_not_depend_on_the_batch() -> None:
    t = trainer()
    t.fit()
    whole = t.evaluate(pictures(30, 5))
    for size in (7, 30, 64):
        t.batch_size = size
        assert t.evaluate(pictures(30, 5)) == whole


def test_evaluate_before_training() -> None:
    t = trainer()
    assert t.evaluate(pictures(25, 2)).images == 25


def test_training_does_not_depend_on_when_it_is_called() -> None:
    """Two halves in one object are one run."""
    whole, halves = trainer(epochs=2), trainer(epochs=1)
    whole.fit()
    halves.fit()
    halves.epochs = 2
    halves.fit()
    assert_same_state(whole.state, halves.state)


def test_arrays_and_squared_error() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 3)).astype(np.float32)
    y = (x @ np.array([[1.0], [-2.0], [0.5]])).astype(np.float32)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    t = spindl.Trainer(
        module,
        nn.MSELoss(),
        optimizer,
        train=(x, y),
        test=(torch.from_numpy(x), torch.from_numpy(y)),
        batch_size=16,
        epochs=15,
        progress=False,
        executor="interpreter",
    )
    record = t.fit()
    assert record.epochs[-1].test_accuracy is None
    assert record.epochs[-1].loss < 0.1 * record.epochs[0].loss
    with torch.no_grad():
        expected = float(((module(torch.from_numpy(x)) - torch.from_numpy(y)) ** 2).mean())
    assert record.epochs[-1].test_loss == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("loss", [nn.BCEWithLogitsLoss(), nn.BCELoss()])
def test_exclusive_or(loss: nn.Module) -> None:
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]] * 8)
    y = np.array([0, 1, 1, 0] * 8)
    torch.manual_seed(1)
    layers: list[nn.Module] = [nn.Linear(2, 12), nn.Tanh(), nn.Linear(12, 1)]
    module = nn.Sequential(*layers, *([nn.Sigmoid()] if isinstance(loss, nn.BCELoss) else []))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5, momentum=0.9)
    t = spindl.Trainer(
        module,
        loss,
        optimizer,
        train=(x, y),
        test=(x, y),
        batch_size=8,
        epochs=25,
        progress=False,
        executor="interpreter",
    )
    assert t.fit().test_accuracy == 1.0


def test_large_batch_is_calibrated_on_256_images() -> None:
    t = trainer(train=pictures(300, 1), batch_size=280, epochs=1)
    assert t.program.graphs["calibrate"].nodes[0].shape[0] == 256
    assert t.program.graphs["train"].nodes[0].shape[0] == 280
    assert t.fit().epochs[0].step == 1


def test_dry_passes_for_zero_gamma() -> None:
    module = network()
    t = trainer(module)
    assert dry_passes(t.forward, module_arrays(module)) == 4
    nn.init.zeros_(module.bn.weight)
    assert dry_passes(t.forward, module_arrays(module)) == 8


def test_checkpoints_every_steps_and_kept(tmp_path: Path) -> None:
    trainer(epochs=3, run_dir=tmp_path, checkpoint_steps=3, keep=2).fit()
    folder = CheckpointFolder(tmp_path / "checkpoints")
    best = folder.best()
    assert best is not None
    assert folder.names()[-2:] == ["step-00000009", "step-00000012"]
    assert set(folder.names()) == {"step-00000009", "step-00000012", best.name}
    assert load_state(folder.folder(9)).progress.position == 16


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer(epochs=1, run_dir=tmp_path, tensorboard=True).fit()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4]
    assert "test/accuracy" in events.Tags()["scalars"]


def test_settings_are_stored(tmp_path: Path) -> None:
    trainer(epochs=1, run_dir=tmp_path, settings={"model": "net"}).fit()
    assert json.loads((tmp_path / "run.json").read_text())["settings"] == {"model": "net"}


def test_module_is_left_alone_until_sync() -> None:
    module = network()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    t = trainer(module)
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    assert module.training
    t.sync()  # nothing was trained: only the rounding of the integers may differ
    for key, value in module.state_dict().items():
        assert torch.allclose(before[key].float(), value.float(), atol=1e-7), key
    assert isinstance(module, Net)
