"""Settings for images that nobody has studied yet: from the images themselves and from the speed of this machine.

Where `--data` is given and neither a preset nor a record, a study takes from here what the command line does not say.
Lengths come from a coarse grid and the measured speeds are kept in the run store, so that a command means the same runs
when it is given again; the record of the evidence has all that was chosen, for `--config` and `--extend`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from vitlab.report.families import SIZES, family, in_order
from vitlab.report.families import size as size_of
from vitlab.runs.run import Run
from vitlab.study.beside import start_of
from vitlab.study.settings import FAMILIES, PATCHES
from vitlab.tasks.settings import TRAINING, Precision, Recipe
from vitlab.weights import shipped

if TYPE_CHECKING:
    from vitlab.data.info import DataInfo

MINUTES = 10  # that a study takes at most, from beginning to end
BUDGET = 0.75 * 60 * MINUTES  # seconds of it that are planned: two processes at once are slower than the one measured
START, PER_RUN = 30.0, 0.75  # seconds to begin, decode and draw; to set up a training
TOKENS = 100  # at most, by default
SIDES = (8, 16, 24, 28, 32, 48, 64)  # pixels to choose from
CHEAP = 32  # px that any machine trains on, and of the weights that come along; larger ones where there is time
Speed = Callable[[str, int, Precision], float]
LADDER = ("Pico", "Nano", "Micro")
LENGTHS = tuple(sorted(base * 2**n for base in (100, 150) for n in range(9)))  # steps, 100 to 38,400
ENOUGH = 800  # steps for which the rates of photographs were tuned; larger images or models must leave as many
LONG = 1600  # from here on the rates that were tuned for thousands of steps
LONGEST_FINETUNING = 600  # steps; trials with more were not made
EPOCHS = 100  # after so many, more steps bring little
MOST_SIZES, STRIDE, A_CLASS = 5, 4.0, 5  # train sizes; ratio of neighbours; images a class in the smallest


@dataclass(frozen=True)
class Photographs:
    """What trials on photographs chose: a recipe, and peak rates of families and sizes for its length and for a longer
    one; that of fine-tuning, and the rates that a family tries at each number of images.
    """

    recipe: Recipe
    rates: Mapping[str, float]
    long_rates: Mapping[str, float]
    finetune: Recipe
    finetune_rates: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Machine:
    """`speed(model, pixels, precision)`: images/s that one of `jobs` processes trains."""

    speed: Speed
    jobs: int


@dataclass(frozen=True)
class Suited:
    """The settings, and about how many seconds they take."""

    settings: Any
    seconds: float


def options_given(arguments: Sequence[str]) -> frozenset[str]:
    """The names of the options on a command line, without values: `--train-sizes 5` is `train_sizes`."""
    names = (word[2:].partition("=")[0].replace("-", "_") for word in arguments if word.startswith("--"))
    return frozenset(name.removeprefix("no_") for name in names)


def suited(
    plan: Callable[[Any], list[Run]],
    settings: Any,
    info: DataInfo,
    given: Collection[str],
    taught: Photographs,
    machine: Machine,
) -> Suited:
    """`settings` with all that is not `given` taken from the images and the machine.

    The largest images, then the largest models, for which there is time for enough steps; then as many steps as fit.
    Raises ValueError for what is given and cannot be.
    """
    base = merged(settings, {"models": ("ViT", "ResNet"), "recipe": taught.recipe}, given)
    beside = hasattr(base, "init") and "init" not in given and getattr(base, "measure", "test") == "test"
    beside = beside and native_side(info) >= CHEAP  # smaller ones would be enlarged
    if hasattr(base, "init"):
        base = merged(base, {"finetune": taught.finetune}, given)
    if beside and not any(name.startswith("rates") for name in given):
        base = merged(base, {"rates_by_family": taught.finetune_rates}, given)
    if hasattr(base, "train_sizes"):
        sizes = train_sizes(info.sizes["train"], info.num_classes)
        base = merged(base, {"train_sizes": sizes, "steps_by_size": {}}, given)
    best: Suited | None = None
    for change in candidates(base, info, given):
        tried = precise(merged(base, change, given), given, machine)
        tried = replace(tried, init=weights_for(tried.model_names())) if beside else tried
        found = longest(plan, tried, info, given, taught, machine)
        if best and (found.seconds > BUDGET or not _enough(found.settings, given)):
            break
        best = found
    assert best
    return best


def merged(settings: Any, chosen: Mapping[str, Any], given: Collection[str]) -> Any:
    """`settings` with what was `chosen` where the command line did not say otherwise, of a family or a size too."""
    new = {name: value for name, value in chosen.items() if name not in given and hasattr(settings, name)}
    for name, recipe in new.items():
        if isinstance(recipe, Recipe):
            prefix, asked = "" if name == "recipe" else f"{name}.", getattr(settings, name)
            own = {f.name: getattr(asked, f.name) for f in fields(Recipe) if prefix + f.name in given}
            new[name] = replace(recipe, **own)
    if "learning_rates" in new:
        kept = {name: rate for name, rate in settings.learning_rates.items() if f"learning_rates.{name}" in given}
        others = {name: rate for name, rate in new["learning_rates"].items() if family(name) not in kept}
        new["learning_rates"] = kept if "lr" in given else {**others, **kept}
    if "steps_by_size" in new:
        own = {size: steps for size, steps in settings.steps_by_size.items() if f"steps_by_size.{size}" in given}
        new["steps_by_size"] = {**new["steps_by_size"], **own}
    return replace(settings, **new)


def train_sizes(images: int, classes: int) -> tuple[int, ...]:
    """Up to five sizes, each at most four times the one before, from a few images a class to all."""
    least = min(images, max(classes, min(A_CLASS * classes, images // 2)))
    ratio = min(STRIDE, (images / least) ** (1 / (MOST_SIZES - 1)))
    sizes = (round(images / ratio**n) for n in reversed(range(MOST_SIZES)))
    return tuple(sorted({max(classes, size) for size in sizes}))


def candidates(settings: Any, info: DataInfo, given: Collection[str]) -> Iterator[dict[str, Any]]:
    """Image size, patch and model size, from the cheapest on."""
    sides = [settings.image_size] if "image_size" in given else sides_for(settings, info, given)
    cut = "patch" not in given and any(model in FAMILIES[:2] for model in settings.models)
    patches = {side: patch_for(side) if cut else settings.patch for side in sides}
    for side in sides:
        yield {"image_size": side, "patch": patches[side], "sizes": LADDER[:1]}
    if "sizes" not in given and any(model in FAMILIES for model in settings.models):
        for size in LADDER[1:]:
            yield {"image_size": sides[-1], "patch": patches[sides[-1]], "sizes": (size,)}


def weights_for(models: Collection[str]) -> tuple[str, ...]:
    """Of the weights that come with vitlab, of each family of `models` those of the largest model that is no larger
    than the largest of `models`.
    """
    order = {size: at for at, size in enumerate(SIZES)}
    most = max(order.get(size_of(model), len(SIZES)) for model in models)
    named = {start_of(source)[0].model: source for source in shipped()}
    fit = {family(name): named[name] for name in in_order(named) if order[size_of(name)] <= most}
    return tuple(fit[kind] for kind in fit if kind in set(map(family, models)))


def sides_for(settings: Any, info: DataInfo, given: Collection[str]) -> list[int]:
    """Pixels that the images have and patches tile: the largest cheap size, and those above."""
    patches = [int(found[1]) for model in settings.models if (found := re.search(r"/(\d+)$", model))]
    patches += [settings.patch] if "patch" in given else []
    native = max(native_side(info), SIDES[0])
    fit = [side for side in SIDES if side <= native and all(side % patch == 0 for patch in patches)]
    cheap = [side for side in fit if side <= CHEAP][-1:]
    return cheap + [side for side in fit if side > CHEAP] or [math.lcm(*patches)]


def native_side(info: DataInfo) -> int:
    """Pixels of the shorter side of most images."""
    return info.native.median if info.native else info.image_size


def patch_for(side: int) -> int:
    """The smallest patch that cuts images of `side` px into at most 100 tokens; ValueError where there is none."""
    for patch in PATCHES:
        if side % patch == 0 and (side // patch) ** 2 <= TOKENS:
            return patch
    fit = max(patch * n for patch in PATCHES for n in range(1, 11) if patch * n <= max(side, 1))
    raise ValueError(
        f"No patch ({', '.join(map(str, PATCHES))} px) cuts images of {side} px into at most {TOKENS} tokens; give "
        f"--image_size {fit}, or the --patch that you want."
    )


def precise(settings: Any, given: Collection[str], machine: Machine) -> Any:
    """`settings` in the precision that is the faster one here: not every CPU computes in bf16."""
    chosen = settings.recipe.precision
    if "precision" not in given:
        name, side = settings.bare()[0].model, settings.image_size
        chosen = max(dict.fromkeys((chosen, "fp32")), key=lambda word: machine.speed(name, side, word))
    kinds = [kind for kind in ("recipe", "finetune") if hasattr(settings, kind)]
    return merged(settings, {kind: replace(getattr(settings, kind), precision=chosen) for kind in kinds}, given)


def longest(
    plan: Callable[[Any], list[Run]],
    settings: Any,
    info: DataInfo,
    given: Collection[str],
    taught: Photographs,
    machine: Machine,
) -> Suited:
    """`settings` with as many steps as there is time for, else with the fewest, on fewer train sizes: four, which still
    tell a learning curve, or three.
    """
    lengths = lengths_for(settings, info)
    found: list[Suited] = []
    every = getattr(settings, "train_sizes", ())
    four, three = tuple(dict.fromkeys(every[:1] + every[-3:])), every[::-2][::-1]
    thinned = [(lengths[0], merged(settings, {"train_sizes": fewer}, given)) for fewer in (four, three)]
    for steps, sizes in [*((steps, settings) for steps in reversed(lengths)), *thinned]:
        tried = of_length(sizes, steps, info.sizes["train"], given, taught)
        found.append(Suited(tried, seconds(plan(tried), info, machine)))
        if found[-1].seconds <= BUDGET:
            break
    return found[-1]


def lengths_for(settings: Any, info: DataInfo) -> list[int]:
    """Steps to choose from, the fewest first: up to a hundred epochs, and what rates were tuned for."""
    ceiling = max(ENOUGH, EPOCHS * info.sizes["train"] / settings.recipe.batch_size)
    return [steps for steps in LENGTHS if steps <= ceiling]


def of_length(settings: Any, steps: int, images: int, given: Collection[str], taught: Photographs) -> Any:
    """`settings` with `steps` for all images, and with the root of the share as many for fewer, which over-fit early.

    Fine-tuning has as many, up to the longest of its trials. The warm-up and the rates are those for that length, or
    for the one that is given.
    """
    length = steps
    if {"steps", "epochs"} & set(given):
        largest = max((size or images for size in getattr(settings, "train_sizes", ())), default=images)
        recipe = settings.recipe
        length = recipe.steps if recipe.epochs is None else math.prod(recipe.rounds(largest))
        settings = merged(settings, {"recipe": replace(recipe, warmup_steps=length // 10)}, given)
    else:
        settings = merged(settings, {"recipe": _lasting(settings.recipe, steps)}, given)
        if sizes := getattr(settings, "train_sizes", ()):
            shares = {size: math.sqrt(size / max(sizes)) for size in sizes if size < max(sizes)}
            fewer = {size: max(LENGTHS[0], 50 * round(steps * share / 50)) for size, share in shares.items()}
            settings = merged(settings, {"steps_by_size": fewer}, given)
    if getattr(settings, "init", ()):
        finetune = _lasting(settings.finetune, min(length, LONGEST_FINETUNING))
        settings = merged(settings, {"finetune": finetune}, given)
    rates = taught.long_rates if length > LONG else taught.rates
    return merged(settings, {"learning_rates": {**taught.rates, **rates}}, given)


def _lasting(recipe: Recipe, steps: int) -> Recipe:
    return replace(recipe, steps=steps, warmup_steps=steps // 10)


def seconds(runs: Sequence[Run], info: DataInfo, machine: Machine) -> float:
    """About how long a plan takes, with looks at the validation and the test split; a look costs a third of a step."""
    total = 0.0
    for run in dict.fromkeys(link for planned in runs for link in planned.chain()):
        images = (info.sizes["train"] + info.sizes["test"]) / 3
        if isinstance(run.task, TRAINING):
            rounds, steps = run.recipe.rounds(run.data.train_size or info.sizes["train"])
            looks = rounds * info.sizes["validation"] + 2 * info.sizes["test"]
            images = rounds * steps * run.recipe.batch_size + looks / 3
        total += PER_RUN
        if family(run.model) in FAMILIES:  # what is no model of the zoo, such as a comparison of pixels, is quick
            side = run.data.image_size or info.image_size
            total += images / machine.speed(run.model, side, run.recipe.precision)
    return START + total / machine.jobs


def _enough(settings: Any, given: Collection[str]) -> bool:
    return settings.recipe.steps >= ENOUGH or bool({"steps", "epochs"} & set(given))
