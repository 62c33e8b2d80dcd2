"""Train a teacher of the residual family on images, on labels alone, where a benchmark has none to start from.

    python bench/scripts/train_teacher.py data/tiny100.npz --size 24x2 --epochs 15 --output data/tiny100_24x2.pt

It can be stopped with Ctrl-C and is taken up by the same command. The weights are for a teacher given as
`bench/scripts/residual_teacher.py:tiny100_24x2`, a function that is named after the file.
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from hpmkd_edge.distill.lesson import direct_lesson, training_views
from hpmkd_edge.distill.step_choice import plan_for
from hpmkd_edge.distill.workshop import Workshop
from hpmkd_edge.errors import EdgeError, unknown
from hpmkd_edge.interruption import listening
from hpmkd_edge.plan.configure import configure
from hpmkd_edge.plan.traits import traits_of
from hpmkd_edge.store.opening import open_store
from hpmkd_edge.students.convolution import RESIDUAL
from hpmkd_edge.students.inlet import fit_inlet, shape_of
from hpmkd_edge.tasks.source import open_task


def train(data: str, size: str, epochs: int, views: int, seed: int, output: Path) -> None:
    """Train a network of *size* and write its weights, and print how its input is made."""
    task = open_task(data)
    inlet = fit_inlet(task)
    shape = shape_of(inlet, task)
    ladder = {f"{rung.width}x{rung.depth}": rung for rung in RESIDUAL.ladder(shape)}
    if size not in ladder:
        raise unknown("size", size, ladder)
    settings = configure(traits_of(task, family="residual"), epochs=epochs, views=views, flip=True)
    settings = replace(settings, label_smoothing=0.05)
    lesson = direct_lesson(
        task,
        inlet,
        training_views(task.train, count=views, flip=True),
        device=torch.device("cpu"),
        sources=f"views {views} flip True mixup False",
    )
    store, folder = open_store(), Path("runs/teachers")
    folder.mkdir(parents=True, exist_ok=True)
    with listening() as interruption:
        workshop = Workshop(
            family=RESIDUAL,
            shape=shape,
            settings=settings,
            seed=seed,
            folder=folder,
            stop=lambda: interruption.asked,
            store=store,
            plan_of=partial(plan_for, shape, lesson, settings, store, seed),
        )
        trained = workshop.train(ladder[size], lesson, f"teacher {size}")
    torch.save(trained.module.state_dict(), output)
    print(f"{output}: {trained.accuracy:.2%} of the validation rows after {trained.best_epoch} of {epochs} epochs")
    print(f"its input: {inlet.facts()}")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="images, as `hpmkd-edge compress --data` takes them")
    parser.add_argument("--size", required=True, help="width and depth, e.g. 24x2")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--views", type=int, default=8, help="shifted and mirrored copies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="a file for the weights")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        train(given.data, given.size, given.epochs, given.views, given.seed, given.output)
    except EdgeError as error:
        sys.exit(f"train_teacher.py: {error}")


if __name__ == "__main__":
    main()
