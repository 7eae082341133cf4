"""Self-supervision by masked patch prediction (sections 4.6 and B.1.2): does it beat training from scratch?

    python -m experiments.masked_patch                                  # digits, no network
    python -m experiments.masked_patch --preset cifar10_cpu --data images/cifar10 \
        --unlabelled images/cifar10 --upstream images/tiny_imagenet_32

For each share of the labels and each seed, one model is fine-tuned (a) from scratch, (b) after masked patch prediction
on all --unlabelled images, (c) after supervised pre-training on another set, and (a) again for as many steps as (b)
takes in all. The ablations change one thing in (b), at the smallest share. Tokens are pooled by their mean, as masked
patch prediction trains no output of the class token.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from vitlab.gallery.grids import predictions
from vitlab.report.families import family
from vitlab.runs.rows import by_start
from vitlab.runs.run import Data, Run
from vitlab.study.plan import RATE, changed, grid
from vitlab.study.settings import Settings, data_of, shares_of
from vitlab.study.study import Study, main
from vitlab.tasks.settings import Classify, FewShot, MaskedPatch, Recipe
from . import recipes
from .masked_patch_evidence import CLAIMS, OWN, WAY, evidence

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from vitlab.report.evidence import Evidence
    from vitlab.runs.store import Store

Ablation = Literal["ratio", "target", "mae", "steps", "rate"]
PROBE = FewShot(shots=(5,), draws=10)


@dataclass(frozen=True)
class MaskedPatches(Settings):
    """Settings of the study; the recipe is that of (a) and of all fine-tunings, its rate one of --rates."""

    unlabelled: str = ""
    """Images of (b), whose labels are not used."""
    upstream: str = ""
    """Labelled images of (c)."""
    label_shares: tuple[float, ...] = (0.05, 0.1, 1.0)
    """Shares of the labels, the smallest first."""
    masked: MaskedPatch = MaskedPatch()
    """Corruption and target of (b)."""
    pretrain: Recipe = Recipe()
    """Recipe of pre-training."""
    supervised_rate: float = 1e-3
    """Peak rate of supervised pre-training, whose recipe is the same otherwise."""
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    """Peak rates that each arm tries at each number of labels."""
    ablations: tuple[Ablation, ...] = get_args(Ablation)
    """What is changed in (b), one at a time; "rate" tries other rates in (c) too."""
    rate_factors: tuple[float, ...] = (0.25, 4.0)
    """The other rates, as multiples of --pretrain.lr and of --supervised_rate."""
    ablation_seeds: int = 1
    """Repetitions of the ablations."""


PRESETS = {name: MaskedPatches(**preset) for name, preset in recipes.MASKED_PATCH.items()}


def ways(settings: MaskedPatches) -> dict[str, Run]:
    """(b)'s pre-training on no data yet, and what the ablations make of it; ValueError for a model without patches."""
    names, own = settings.model_names(), settings.pretrain
    if len(names) != 1 or family(names[0]) == "ResNet":
        raise ValueError(f"--models names {', '.join(names)}; give one ViT or hybrid, such as ViT-Nano/4.")
    base = Run(names[0], Data(""), own, settings.masked, options=(("pooling", "gap"),), snapshots=4)
    changes: dict[str, dict[str, Any]] = {OWN: {}, **recipes.MASKED_CHANGES}
    for n in (10, 4, 2):
        changes[f"steps / {n}"] = {"recipe.steps": own.steps // n, "recipe.warmup_steps": own.warmup_steps // n}
    changes |= {f"rate x {factor:g}": {RATE: own.lr * factor} for factor in settings.rate_factors}
    asked = (OWN, *settings.ablations)
    return {name: changed(base, change) for name, change in changes.items() if name.split()[0] in asked}


def plan(settings: MaskedPatches) -> list[Run]:
    """The comparison seed by seed, then the ablations of (b) and the trials of (c)'s rate."""
    recipe, before = settings.recipe, settings.pretrain
    if recipe.epochs or before.epochs:
        raise ValueError("This study counts in steps; leave --epochs and --pretrain.epochs at None.")
    longer = replace(recipe, steps=recipe.steps + before.steps * before.batch_size // recipe.batch_size)
    task, sizes = shares_of(settings.data, settings.label_shares)
    (unlabelled, _), (upstream, _) = data_of(settings.unlabelled), data_of(settings.upstream)
    masked = {name: replace(run, data=unlabelled) for name, run in ways(settings).items()}
    model = replace(masked[OWN], data=task, recipe=Recipe(), task=PROBE, snapshots=0)
    supervised = replace(model, data=upstream, recipe=replace(before, lr=settings.supervised_rate), task=Classify())

    def after(init: Run | None, seed: int, sizes: list[int | None]) -> list[Run]:
        run = replace(model, seed=seed, init=init and replace(init, seed=seed))
        tuned = replace(run, data=replace(task, subset_seed=seed), task=Classify())
        both = [replace(tuned, recipe=one) for one in ((recipe, longer) if init is None else (recipe,))]
        return [run, *grid(both, {"data.train_size": sizes, RATE: settings.rates})]

    arms, few = (None, masked[OWN], supervised), range(settings.ablation_seeds)
    found = [run for seed in range(settings.seeds) for init in arms for run in after(init, seed, sizes)]
    found += [run for seed in few for init in masked.values() for run in after(init, seed, sizes[:1])]
    rates = [settings.supervised_rate * factor for factor in settings.rate_factors if "rate" in settings.ablations]
    return found + grid(supervised, {"seed": few, RATE: rates})


def draw(rows: pd.DataFrame, settings: MaskedPatches) -> Evidence:
    """Accuracy of each arm at each number of labels, what each way of pre-training gives, and the verdicts."""
    return evidence(by_start(rows, WAY, ways(settings)), settings)


def pictures(settings: MaskedPatches, store: Store) -> dict[str, Figure]:
    """What the first seed's pre-training predicts as it goes on, with each target that was trained."""
    runs = [replace(run, data=data_of(settings.unlabelled)[0]) for run in reversed(ways(settings).values())]
    return predictions({run.task.target: store.path(run) for run in runs if isinstance(run.task, MaskedPatch)})


STUDY = Study(
    name="masked_patch",
    section="4.6, B.1.2",
    question="Does masked patch prediction beat training from scratch, and does supervised pre-training beat it?",
    protocol=__doc__,
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=CLAIMS,
    pictures=pictures,
)

if __name__ == "__main__":
    main(STUDY)
