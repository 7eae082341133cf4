"""What was chosen for a person's own images and why, in words, with the options that say otherwise."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from vitlab.report.families import by_family, family, in_order
from vitlab.runs.display import duration
from vitlab.study.own_data import LADDER, MINUTES, Speed, Suited, lengths_for, sides_for
from vitlab.study.settings import FAMILIES

if TYPE_CHECKING:
    from vitlab.data.info import DataInfo


def told(found: Suited, info: DataInfo, given: Collection[str], speed: Speed) -> list[str]:
    """What was chosen and why, a line for each thing, with the option that says otherwise; and what was left out."""
    settings, recipe = found.settings, found.settings.recipe
    side, names = settings.image_size, in_order(settings.model_names())
    started = ", ".join(getattr(settings, "init", ()))
    tokens = (side // settings.patch) ** 2
    speeds = ", ".join(f"{name} {speed(name, side, recipe.precision):,.0f}" for name in names)
    native = f"images have {info.native.median:,} px" if info.native else "by its card"
    cheaper = ", the largest for which there is time" if side < sides_for(settings, info, given)[-1] else ""
    if info.native and not cheaper and side < info.native.median:
        cheaper = ", and larger sizes are for an option to ask for"
    sizes = getattr(settings, "train_sizes", ())
    fewer = min(getattr(settings, "steps_by_size", {}).values(), default=recipe.steps)
    rates = ", ".join(f"{title} {settings.recipe_of(name).lr:g}" for name, title in by_family(names).items())
    lines = {
        "image_size": f"{side} px: {native}{cheaper}",
        "patch": f"patches of {settings.patch} px: {tokens} tokens" if {*FAMILIES[:2]} & {*settings.models} else "",
        "models": f"{', '.join(names)}: a ViT and a CNN of one size",
        "train_sizes": f"{', '.join(f'{size:,}' for size in sizes)} images: from a few a class up to all"
        if sizes
        else "",
        "init": f"beside training from scratch, the pre-trained weights {started}: frozen, and fine-tuned in "
        f"{settings.finetune.steps:,} steps at {_finetuning_rates(settings, names)}"
        if started
        else "",
        "augment": f"{', '.join(recipe.augment) or 'none'}: as for photographs; flips harm where left and right matter",
        "learning_rates": f"peak rates {rates}: from trials on photographs, none were made on yours",
        "precision": f"{recipe.precision}: the faster one here",
        "steps": f"{recipe.steps:,} steps of {recipe.batch_size} images"
        + (f", fewer with fewer images, down to {fewer:,}" if fewer < recipe.steps else "")
        + f": {speeds} images/s measured here, {duration(found.seconds)} in all",
    }
    said = {*given, "steps"} if "epochs" in given else given
    chosen = [f"  {line} (--{name})" for name, line in lines.items() if line and name not in said]
    return [
        "Chosen for these images and this machine; an option says otherwise:",
        *chosen,
        *_left_out(found, info, given),
    ]


def _finetuning_rates(settings: Any, names: list[str]) -> str:
    rates = {kind: settings.rates_by_family.get(kind, settings.rates) for kind in map(family, names)}
    return ", ".join(f"{kind} {' '.join(f'{rate:g}' for rate in tried)}" for kind, tried in rates.items())


def _left_out(found: Suited, info: DataInfo, given: Collection[str]) -> list[str]:
    """What would have been worth doing, and takes longer, where the command line leaves it open."""
    settings, side, size = found.settings, found.settings.image_size, found.settings.sizes[-1]
    ladder = any(model in FAMILIES for model in settings.models)
    larger = LADDER[LADDER.index(size) + 1] if ladder and size in LADDER[:-1] else ""
    largest = sides_for(settings, info, given)[-1]
    longer = 4 * settings.recipe.steps if settings.recipe.steps < lengths_for(settings, info)[-1] else 0
    left = {
        "models": "the hybrid (--models ViT HybridViT ResNet)",
        "sizes": f"larger models (--sizes {larger})" if larger else "",
        "image_size": f"larger images (--image_size {largest})" if side < largest else "",
        "steps": f"longer trainings (--steps {longer})" if longer and "epochs" not in given else "",
    }
    words = [word for name, word in left.items() if word and name not in given]
    over = (
        [f"  It takes longer than {MINUTES} minutes all the same; --seeds 1 is a first look."]
        if found.seconds > 60 * MINUTES
        else []
    )
    return [*over, *([f"  Left out, as each asks for more time: {'; '.join(words)}."] if words else [])]
