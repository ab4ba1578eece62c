"""The README's picture from a finished `make train`: learning curves and what the trained network sees.

pip install matplotlib
python bench/figures.py RUN [--out docs/digits.png]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import spindl
from spindl.data import open_dataset

ROWS, COLUMNS = 4, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/digits.png"))
    arguments = parser.parse_args()

    rows = [json.loads(line) for line in (arguments.run / "log.jsonl").read_text().splitlines()]
    epochs = [row for row in rows if row["kind"] == "epoch"]
    twin = json.loads((arguments.run / "float32.json").read_text())
    test = open_dataset("digits", "test")
    batch = test.read(np.arange(len(test)), epoch=0)
    answers = np.asarray(spindl.Predictor(arguments.run).predict(batch.images)).argmax(axis=1)
    wrong = np.flatnonzero(answers != batch.labels)
    shown = np.concatenate([wrong, np.flatnonzero(answers == batch.labels)])[: ROWS * COLUMNS]

    figure = plt.figure(figsize=(11, 3.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.35))
    axes = left.subplots()
    axes.plot(
        [e["epoch"] for e in epochs], [100 * e["test_accuracy"] for e in epochs], "o-", label="SpiNNaker integers"
    )
    axes.plot([e["epoch"] for e in twin], [100 * e["test_accuracy"] for e in twin], "s--", label="float32 PyTorch")
    axes.set(xlabel="epoch", ylabel="test accuracy, %", ylim=(70, 100.5))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    for place, (index, cell) in enumerate(zip(shown, right.subplots(ROWS, COLUMNS).flat, strict=True)):
        cell.imshow(batch.images[index, 0], cmap="gray_r")
        right_answer = answers[index] == batch.labels[index]
        cell.set_title(str(answers[index]), fontsize=9, color="black" if right_answer else "crimson", pad=2)
        cell.set_axis_off()
        del place
    right.suptitle(f"answers on unseen digits, its {len(wrong)} mistakes of {len(test)} first (red)", fontsize=10)
    figure.savefig(arguments.out, dpi=110)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
