"""Accuracy of integer training next to float32 PyTorch, over several seeds.

    python bench/accuracy.py RECIPE [--seeds 0 1 2] [--data-root ../shared/data] [--runs FOLDER]

Each seed is one `spindl train ... --float32`: both arithmetics start from the same weights and see the same batches.
Runs that are finished already are only read, so that the command can be repeated until all seeds are done.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

RECIPES = {
    "digits": "digits --data digits",
    "lenet5": "lenet5 --data mnist --epochs 3 --batch-size 64 --lr 0.05 --weight-decay 1e-4",
    "resnet8": "resnet8 --data cifar10 --epochs 10 --batch-size 128 --lr 0.2 --warmup-epochs 0.5 --nesterov",
    "resnet20": "resnet20 --data cifar10 --epochs 10 --batch-size 128 --lr 0.2 --warmup-epochs 0.5 --nesterov",
}


def train(recipe: str, seed: int, folder: Path, data_root: Path, threads: int | None) -> None:
    """One run, unless it is there already."""
    if (folder / "float32.json").exists():
        return
    command = [sys.executable, "-m", "spindl", "train", *RECIPES[recipe].split()]
    command += ["--seed", str(seed), "--float32", "--run-dir", str(folder), "--data-root", str(data_root), "--resume"]
    command += ["--threads", str(threads)] if threads else []
    print(" ".join(command[1:]), flush=True)
    subprocess.run(command, check=True)


def result(folder: Path) -> tuple[float, float, float, float]:
    """(integer accuracy, float32 accuracy, integer loss, float32 loss) on the test data after the last epoch."""
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["kind"] == "epoch"][-1]
    twin = json.loads((folder / "float32.json").read_text())[-1]
    return last["test_accuracy"], twin["test_accuracy"], last["test_loss"], twin["test_loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data-root", type=Path, default=Path("../shared/data"))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--runs", type=Path, default=Path("runs/accuracy"))
    arguments = parser.parse_args()
    results = []
    for seed in arguments.seeds:
        folder = arguments.runs / f"{arguments.recipe}-{seed}"
        train(arguments.recipe, seed, folder, arguments.data_root, arguments.threads)
        results.append(result(folder))
    print(f"\n{arguments.recipe}: spindl train {RECIPES[arguments.recipe]}")
    print("| seed | integers | float32 | test loss integers | test loss float32 |\n|---|---|---|---|---|")
    for seed, (ours, theirs, our_loss, their_loss) in zip(arguments.seeds, results, strict=True):
        print(f"| {seed} | {ours:.2%} | {theirs:.2%} | {our_loss:.4f} | {their_loss:.4f} |")
    ours, theirs = ([row[i] for row in results] for i in (0, 1))
    difference = 100 * (statistics.mean(ours) - statistics.mean(theirs))
    spread = 100 * (max(theirs) - min(theirs))
    print(f"| mean | {statistics.mean(ours):.2%} | {statistics.mean(theirs):.2%} | | |")
    print(f"difference of the means {difference:+.2f} points; float32's spread {spread:.2f}")


if __name__ == "__main__":
    main()
