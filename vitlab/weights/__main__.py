"""Weights of finished trainings as files to ship: `python -m vitlab.weights RUN_FOLDER... --to FOLDER`.

Each run gives two files: its best weights in half precision, and a card that says what made them, from its own rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from vitlab.data.cards import cards
from vitlab.files import write_all
from vitlab.models.checkpoint import read_header, read_metadata, read_weights, write_safetensors
from vitlab.runs.run import Run, from_settings
from vitlab.runs.store import WEIGHTS, Store
from vitlab.study.study import end_with
from vitlab.weights import ENDING, FOLDER, PREFIX


@dataclass(frozen=True)
class Ship:
    """Weights of finished trainings as files to ship, with their cards."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of finished runs, such as runs/0123456789ab."""
    to: Path = FOLDER
    """Where the files go."""


def ship(folder: Path, to: Path) -> Path:
    """Write the weights of the run in `folder` in half precision, with a card; returns the file of the weights.

    Raises ValueError for a run that is no finished training.
    """
    if not (folder / "run.json").is_file():
        raise ValueError(f"{folder} is no folder of a run; give one of a store, such as runs/0123456789ab.")
    run = from_settings(json.loads((folder / "run.json").read_text()))
    rows = {str(row.get("split")): row for row in Store(folder.parent).rows(run) if row["status"] == "finished"}
    if "test" not in rows or not (folder / WEIGHTS).is_file():
        raise ValueError(f"The run in {folder} is no finished training with a test split.")
    name = f"{re.sub(r'[^a-z0-9]+', '_', run.model.lower())}.{run.data.name}"
    header, weights = read_header(folder / WEIGHTS), read_weights(folder / WEIGHTS)
    half = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in weights.items()}
    text = card(name, run, rows, read_metadata(folder / WEIGHTS))
    write_safetensors(half, to / f"{name}{ENDING}", header)
    write_all({to / f"{name}.md": text.encode()})
    return to / f"{name}{ENDING}"


def card(name: str, run: Run, rows: Mapping[str, Mapping[str, Any]], about: Mapping[str, Any]) -> str:
    """The card of shipped weights, in Markdown."""
    test, recipe, data = rows["test"], run.recipe, cards().get(run.data.name)
    scores = ", ".join(f"{split} {100 * row['score']:.1f}%" for split, row in sorted(rows.items()))
    lines = [
        f"# {PREFIX}{name}",
        f"{run.model}, {test['parameters']:,} parameters, for images of {test['image_size']} px; half precision.",
        f"- Trained on {test['train_images']:,} images of {test['title']}, {test['classes']} classes. One training "
        f"(seed {run.seed}); the weights with the best validation accuracy.",
        f"- Top-1 accuracy, measured in full precision: {scores}. Chance is {100 / test['classes']:.1f}%.",
        f"- {recipe.steps:,} steps of {recipe.batch_size} images ({test['epochs']:g} epochs) with {recipe.optimizer}, "
        f"peak rate {recipe.lr:g}, weight decay {recipe.weight_decay:g}, {recipe.warmup_steps} steps of warm-up, "
        f"{recipe.schedule} schedule, {', '.join(recipe.augment) or 'no'} augmentation, {recipe.precision}.",
        f"- Pixels in [0, 1] are normalised with mean {about['mean']} and deviation {about['std']}.",
        f"- Data: {data.licence if data else 'see their own terms'}. Whoever uses the weights keeps to those terms.",
        f"- Run {run.id} at commit {test['commit'][:12]} on {test['date']}: {test['hardware']}, torch {test['torch']}, "
        f"{test['wall_s'] / 60:.0f} minutes.",
        f'Use: `vitlab.models.load("{PREFIX}{name}")`, `--init {PREFIX}{name}`, `--checkpoint {PREFIX}{name}`.',
    ]
    return "\n".join([lines[0], "", lines[1], "", *lines[2:-1], "", lines[-1], ""])


def main() -> None:
    """Run from the command line; exit code 2 for what is no run."""

    def work() -> int:
        asked = tyro.cli(Ship, prog="python -m vitlab.weights", description=__doc__, use_underscores=True)
        if not asked.runs:
            raise ValueError("Name the folders of finished runs, such as runs/0123456789ab.")
        for folder in asked.runs:
            print(f"Written: {ship(folder, asked.to)}")
        return 0

    end_with(work)


if __name__ == "__main__":
    main()
