"""Where an answer about one's own images would mislead: too few test images or seeds, a test split of another kind.

`before` looks at the images and the settings, `after` at the rows. Both give sentences for a person; what `after` says
is recorded with the evidence and stands before its answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vitlab.claims.preconditions import LEAST_SEEDS
from vitlab.study.beside import arms
from vitlab.study.own_data import TOKENS
from vitlab.study.settings import PATCHES

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.data.info import DataInfo

FEW_IMAGES = 100  # of a test split
POINTS = 0.05  # above the floor, or below validation, before it is worth a word
COMMON = 0.75  # of the test images, before an accuracy is about one class
MOST_TOKENS = 400  # of an image, before its patches are worth a word
VARIED = ("recipe.", "options.", "task.", "data.shuffle", "data.image_size")  # of a model, other than its seed
DEVIATIONS = 3  # of the sampling error, before two accuracies on different images differ


def before(info: DataInfo | None, settings: Any) -> list[str]:
    """What the images and the settings cannot answer, whatever comes out; of a study's own data only the settings."""
    found = _long_on_few(settings)
    if info is None:
        return found
    tests, seeds = info.sizes["test"], getattr(settings, "seeds", LEAST_SEEDS)
    if tests < FEW_IMAGES:
        points = 196 * math.sqrt(0.25 / tests)
        found.append(
            f"Warning: there are {tests} test images, so that an accuracy near 50% is uncertain by {points:.0f} points "
            "either way, whatever the model; more of them help."
        )
    found += _leaks(info)
    found += [words for words in (_one_class(info), _many_tokens(info, settings)) if words]
    if seeds < LEAST_SEEDS:
        found.append(f"Warning: {_seeds(seeds)}; no trend is claimed. --seeds 3 or more show one.")
    return found


def after(info: DataInfo | None, rows: pd.DataFrame) -> list[str]:
    """What the rows of trainings say against an answer, at their largest train size.

    Accuracies of the best model at its best settings near the floor (chance, or always saying the commonest class), and
    a test accuracy far below that on validation, which comes from where the training images do.
    """
    if info is None or "train_images" not in rows.columns:
        return []
    done = rows[(rows["status"] == "finished") & rows["split"].isin(["validation", "test"])]
    if "data.name" in done.columns:  # others are of what the models were pre-trained on, or are transferred to
        done = done[done["data.name"].str.split("@").str[0] == info.name]
    if done.empty:
        return []
    if {"init", "task.kind"} <= set(done.columns):  # one model may be trained, fine-tuned and frozen
        done = arms(done)
        done = done[done["task.kind"] != "floors"]
    largest = done[done["train_images"] == done["train_images"].max()]
    varied = [name for name in largest.columns if name.startswith(VARIED) and largest[name].nunique(dropna=False) > 1]
    scores = largest.groupby(["model", *varied, "split"], dropna=False)["score"].mean().unstack("split").reset_index()
    if not {"validation", "test"} <= set(scores.columns):
        return []
    best, validation, test = scores.loc[scores["validation"].idxmax(), ["model", "validation", "test"]]
    said = [_below_validation(info, best, validation, test) or _near_floor(info, best, test)]
    seeds = done["seed"].nunique()
    said += [f"Warning: {_seeds(seeds)}; no trend is claimed."] if seeds < LEAST_SEEDS else []
    return [words for words in said if words]


def left_out(rows: pd.DataFrame) -> list[str]:
    """Which models had runs that fail however often they are tried, as those whose loss is no number do: what is said
    is of the seeds that came through.
    """
    if not {"run", "model", "failure"} <= set(rows.columns):
        return []
    runs = rows.dropna(subset=["run", "model"]).assign(failed=rows["failure"].eq("certain"))
    counts = (
        runs.groupby(["model", "run"], sort=False)["failed"].any().groupby("model", sort=False).agg(["sum", "size"])
    )
    return [
        f"Warning: {failed} of {every} runs of {model} diverged or failed for good; what follows is of the others."
        for model, failed, every in counts.itertuples()
        if failed
    ]


def _leaks(info: DataInfo) -> list[str]:
    """Where the test images are not new to who was trained."""
    copies, folders, tests = sum(info.leaks.copies.values()), info.leaks.folders, info.sizes["test"]
    found = []
    if copies:
        found.append(
            f"Warning: {copies:,} of the {tests:,} test images are among those of training too, byte for byte; "
            "accuracy on them says nothing of new images. Remove one of each two."
        )
    if folders:
        found.append(
            f"Warning: {folders:,} folders below the class folders have images both in training and in test. Where a "
            "folder is of one patient, place or day, test accuracy will be too good; put some of these folders into "
            "test/, above its own class folders, and the others into train/."
        )
    return found


def _one_class(info: DataInfo) -> str:
    """Where most test images are of one class."""
    common, always = info.majority or ("", 0.0)
    if always < COMMON:
        return ""
    counts = next(split.classes for split in info.splits if split.name == "test")
    rare, count = min(counts.items(), key=lambda one: one[1])
    return (
        f"Warning: {always:.0%} of the test images are of {common!r}, and {count:,} of {rare!r}: an accuracy is about "
        "the first above all, whatever the model makes of the other."
    )


def _many_tokens(info: DataInfo, settings: Any) -> str:
    """Where patches are small for the images, and so a study takes many times as long as it could."""
    side = getattr(settings, "image_size", None) or info.image_size
    names = settings.model_names() if hasattr(settings, "model_names") else []
    ends = [name.partition("/")[2] for name in names]
    patch = min((int(end) for end in ends if end.isdecimal()), default=side)  # of a wrong name the zoo speaks
    tokens = (side // patch) ** 2
    fewer = next((size for size in PATCHES if side % size == 0 and (side // size) ** 2 <= TOKENS), None)
    if getattr(settings, "checkpoint", None) or tokens <= MOST_TOKENS or not fewer:
        return ""
    return (
        f"Warning: patches of {patch} px make {tokens:,} tokens of an image of {side} px, which take long; --patch "
        f"{fewer} makes {(side // fewer) ** 2}, and with a smaller --image_size there are fewer too."
    )


def _long_on_few(settings: Any) -> list[str]:
    """Train sizes that `steps_by_size` lacks and that take more steps than it gives to more images."""
    steps, found = getattr(settings, "steps_by_size", {}), []
    for size in getattr(settings, "train_sizes", ()):
        less = [more for more, fewer in steps.items() if more > size and fewer < settings.recipe.steps]
        if size not in steps and less:
            more = min(less)
            found.append(
                f"Warning: {size:,} images are trained for {settings.recipe.steps:,} steps, and {more:,} for "
                f"{steps[more]:,}; --steps_by_size.{size} gives them fewer."
            )
    return found


def _seeds(count: int) -> str:
    return f"with {count} seed{'' if count == 1 else 's'} a difference cannot be told from luck"


def _near_floor(info: DataInfo, model: str, test: float) -> str:
    common, always = info.majority or ("", 0.0)
    floor = max(info.chance, always)
    if test >= floor + POINTS:
        return ""
    guess = f"always saying {common!r}" if always > info.chance else "guessing"
    return (
        f"Warning: the best model, {model}, is right for {test:.1%} of the test images and {guess} for {floor:.1%}: "
        "nothing was learned that a comparison could rest on."
    )


def _below_validation(info: DataInfo, model: str, validation: float, test: float) -> str:
    images = (info.sizes["validation"], info.sizes["test"])
    error = math.sqrt(
        sum(max(score * (1 - score), 0.01) / n for score, n in zip((validation, test), images, strict=True))
    )
    gap = validation - test
    if gap < max(POINTS, DEVIATIONS * error):
        return ""
    return (
        f"Warning: test accuracy is {100 * gap:.0f} points below validation ({test:.1%}, not {validation:.1%}, for "
        f"{model}): the test images are of another kind than those of training, so that more of these may not help."
    )
