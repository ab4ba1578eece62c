"""A training run in a process of its own, to be killed: python -m tests.trainer.killable RUN_DIR [KILL_AT_WRITE].

KILL_AT_WRITE: number of the synced file at whose writing the process kills itself, half of the file written.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

import spindl
from spindl.data import Augmentation, open_dataset
from spindl.program import checkpoint
from tests.trainer.support import Net

EPOCHS = 2


def build(run_dir: str, *, progress: bool = False) -> spindl.Trainer:
    """A network with BatchNorm and dropout on augmented digits: all kinds of state and of random draws."""
    torch.manual_seed(0)
    module = Net()
    module.fc = torch.nn.Linear(64, 10)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    return spindl.Trainer(
        module,
        torch.nn.CrossEntropyLoss(label_smoothing=0.1),
        optimizer,
        scheduler=torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=44),
        schedule_interval="step",
        train=open_dataset("digits", augment=Augmentation(pad_crop=1, flip=True), seed=5),
        test=open_dataset("digits", "test"),
        batch_size=64,
        epochs=EPOCHS,
        seed=11,
        run_dir=run_dir,
        resume=True,
        checkpoint_steps=2,
        checkpoint_seconds=0.2,
        tensorboard=False,
        progress=progress,
        threads=1,
        executor="sim",
    )


def kill_at_write(number: int) -> None:
    """Replace the function that writes checkpoint files: at its n-th call it writes half and the process dies."""
    real, calls = checkpoint.write_synced, 0

    def write(path: Path, content: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            path.write_bytes(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        real(path, content)

    checkpoint.write_synced = write


if __name__ == "__main__":
    if len(sys.argv) > 2:
        kill_at_write(int(sys.argv[2]))
    build(sys.argv[1], progress=True).fit()
