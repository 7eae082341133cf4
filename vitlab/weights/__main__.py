"""Weights of finished trainings as files to ship: `python -m vitlab.weights RUN_FOLDER... --to FOLDER`.

Each run gives two files: its best weights in half precision, and a card that says what made them, from its own rows.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch import Tensor

from vitlab.data.cards import matching_card
from vitlab.files import write_all
from vitlab.models.checkpoint import read_header, read_metadata, read_weights, write_safetensors
from vitlab.runs.run import Run, from_settings
from vitlab.runs.store import WEIGHTS, Store
from vitlab.study.study import end_with
from vitlab.tasks.settings import MaskedPatch, task_name
from vitlab.weights import ENDINGS, FOLDER, PACKED, PREFIX

HALF = 11  # significant bits of a number in half precision


@dataclass(frozen=True)
class Ship:
    """Weights of finished trainings as files to ship, with their cards."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of finished runs, such as runs/0123456789ab."""
    to: Path = FOLDER
    """Where the files go."""
    bits: int = HALF
    """Significant bits that are kept of each number, of the 11 of a half; 8 are those of bf16. Fewer make no smaller
    file, but one that compresses further, as in a git repository."""
    compressed: bool = False
    """Write .safetensors.xz, which is smaller and which vitlab alone reads."""


@dataclass(frozen=True)
class Trained:
    """A finished training: its folder, its run, and its rows by split."""

    folder: Path
    run: Run
    rows: Mapping[str, Mapping[str, Any]]

    @property
    def name(self) -> str:
        """What its weights are called: `vit_pico_4.digits`."""
        return f"{re.sub(r'[^a-z0-9]+', '_', self.run.model.lower())}.{self.run.data.name}"

    def files(self, to: Path) -> list[Path]:
        """Where its weights go in a folder: as they are, or compressed."""
        return [to / f"{self.name}{ending}" for ending in ENDINGS]


def trained(folder: Path) -> Trained:
    """The finished training in `folder`; ValueError for anything else."""
    if not (folder / "run.json").is_file():
        raise ValueError(f"{folder} is no folder of a run; give one of a store, such as runs/0123456789ab.")
    run = from_settings(json.loads((folder / "run.json").read_text()))
    if isinstance(run.task, MaskedPatch):
        raise ValueError(
            f"The run in {folder} predicts masked patches, and a card says how well classes are told apart: give a "
            "training of a classifier, such as one that starts from it."
        )
    rows = {str(row.get("split")): row for row in Store(folder.parent).rows(run) if row["status"] == "finished"}
    if "test" not in rows or not (folder / WEIGHTS).is_file():
        raise ValueError(f"The run in {folder} is no finished training with a test split.")
    return Trained(folder, run, rows)


def check_apart(found: Iterable[Trained], to: Path) -> None:
    """Raise ValueError where weights of one run would be written over another's, in `to` or of those `found`."""
    known: dict[str, str] = {}
    for one in found:
        files = [file for file in one.files(to) if file.exists()]
        there = read_metadata(files[0]).get("run", "unknown") if files else one.run.id
        other = known.setdefault(one.name, there)
        if other != one.run.id:
            raise ValueError(
                f"Run {one.run.id} and run {other} both make {one.files(to)[0]}: give one of them, or each a folder "
                "of its own with --to; a file that is there already has to be removed first."
            )


def rounded(weights: Tensor, bits: int) -> Tensor:
    """`weights` in half precision, each rounded to its first `bits` significant bits; whole numbers as they are."""
    if not weights.is_floating_point():
        return weights
    mantissa, exponent = torch.frexp(weights.double())
    return torch.ldexp(torch.round(mantissa * 2**bits) / 2**bits, exponent).half()


def ship(folder: Path, to: Path, bits: int = HALF, *, compressed: bool = False) -> Path:
    """Write the weights of the run in `folder` in half precision, with a card; returns the file of the weights.

    Raises ValueError for a run that is no finished training of a classifier, where another run's file is there, and
    for `bits` that a half does not have.
    """
    if not 1 <= bits <= HALF:
        raise ValueError(f"--bits is {bits}; a half has {HALF}, so give 1 to {HALF}.")
    found = trained(folder)
    check_apart([found], to)
    other, file = sorted(found.files(to), key=lambda path: (path.suffix == PACKED) == compressed)
    header, weights = read_header(folder / WEIGHTS), read_weights(folder / WEIGHTS)
    text = card(found, PREFIX + found.name if to.resolve() == FOLDER.resolve() else str(file), bits)
    write_safetensors({key: rounded(tensor, bits) for key, tensor in weights.items()}, file, header)
    write_all({to / f"{found.name}.md": text.encode()})
    other.unlink(missing_ok=True)
    return file


def card(found: Trained, source: str, bits: int) -> str:
    """The card of shipped weights, in Markdown; `source` is what `vitlab.models.load` finds them by."""
    kept = f", rounded to {bits} significant bits" if bits < HALF else ""
    run, rows, about = found.run, found.rows, read_metadata(found.folder / WEIGHTS)
    test, recipe, data = rows["test"], run.recipe, matching_card(run.data.name.partition("@")[0])
    scores = ", ".join(f"{split} {100 * row['score']:.1f}%" for split, row in sorted(rows.items()))
    steps = math.prod(recipe.rounds(test["train_images"]))
    warmup = min(recipe.warmup_steps, steps // 2)  # as `vitlab.tasks.optim` has it
    lines = [
        f"# {source}",
        f"{run.model}, {test['parameters']:,} parameters, for images of {test['image_size']} px; half precision{kept}.",
        f"- Trained on {test['train_images']:,} images of {test['title']}, {test['classes']} classes. One training "
        f"(seed {run.seed}); the weights with the best validation accuracy.",
        *([f"- Started from {started(run.init)}."] if run.init else []),
        f"- Top-1 accuracy before rounding, computed in {recipe.precision}: {scores}. "
        f"Chance is {100 / test['classes']:.1f}%.",
        f"- {steps:,} steps of {recipe.batch_size} images ({test['epochs']:g} epochs) with {recipe.optimizer}, "
        f"peak rate {recipe.lr:g}, weight decay {recipe.weight_decay:g}, {warmup} steps of warm-up, "
        f"{recipe.schedule} schedule, {', '.join(recipe.augment) or 'no'} augmentation, {recipe.precision}.",
        f"- Pixels in [0, 1] are normalised with mean {about['mean']} and deviation {about['std']}.",
        f"- Data: {data.licence if data else 'see their own terms'}. Whoever uses the weights keeps to those terms.",
        f"- Run {run.id} at commit {test['commit'][:12]} on {test['date']}: {test['hardware']}, torch {test['torch']}, "
        f"{test['wall_s'] / 60:.0f} minutes.",
        f'Use: `vitlab.models.load("{source}")`, `--init {source}`, `--checkpoint {source}`.',
    ]
    return "\n".join([lines[0], "", lines[1], "", *lines[2:-1], "", lines[-1], ""])


def started(init: Run | str) -> str:
    """What a training started from, in words."""
    if isinstance(init, str):
        return f"the weights of {init}"
    return f"the weights of run {init.id}, {init.model} after {task_name(init.task)} on {init.data.name}"


def main() -> None:
    """Run from the command line; exit code 2 for what is no run."""

    def work() -> int:
        asked = tyro.cli(Ship, prog="python -m vitlab.weights", description=__doc__, use_underscores=True)
        if not asked.runs:
            raise ValueError("Name the folders of finished runs, such as runs/0123456789ab.")
        check_apart(map(trained, asked.runs), asked.to)
        for folder in asked.runs:
            print(f"Written: {ship(folder, asked.to, asked.bits, compressed=asked.compressed)}")
        return 0

    end_with(work)


if __name__ == "__main__":
    main()
