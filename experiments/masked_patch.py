"""Self-supervision by masked patch prediction (sections 4.6 and B.1.2): does it beat training from scratch?

    python -m experiments.masked_patch                                  # digits, no network
    python -m experiments.masked_patch --preset cifar10_cpu --data images/cifar10 \
        --unlabelled images/cifar10 --upstream images/tiny_imagenet_32

For each share of the labels and each seed, one model is fine-tuned (a) from scratch, (b) after masked patch prediction
on all --unlabelled images, (c) after supervised pre-training on another set, and (a) again for as many steps as (b)
takes in all. The ablations change one thing in (b), at the smallest share. Patches are pooled by their mean in all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.phrases import OURS, leads
from vitlab.data.sources import lasting, set_name
from vitlab.gallery.grids import predictions
from vitlab.report.families import family
from vitlab.runs.rows import by_start
from vitlab.runs.run import Data, Run
from vitlab.study.plan import RATE, best_rate, changed, grid
from vitlab.study.settings import Settings, data_of, shares_of
from vitlab.study.study import Study, main
from vitlab.tasks.settings import Classify, FewShot, MaskedPatch, Recipe
from . import recipes

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.report.evidence import Evidence

LABELS, ARM, PROBE = "train_images", "arm", FewShot(shots=(5,), draws=10)
SCRATCH, LONG = "training from scratch", "training from scratch for as many steps"
MASKED, SUPERVISED = "masked patch pre-training", "supervised pre-training"
MAIN = (SCRATCH, LONG, MASKED, SUPERVISED)
SAYS = leads("with {train_images:,} labels ")
PAPER = "ImageNet, ViT-B/16: 79.9, 2 above scratch and 4 below supervised"
CLAIMS = {
    Claim("ssl.scratch", "4.6", f"{MASKED} beats {SCRATCH}", says=SAYS, paper=PAPER): (MASKED, SCRATCH),
    Claim("ssl.equal_steps", "ours", f"{MASKED} beats {LONG}", says=SAYS, paper=OURS): (MASKED, LONG),
    Claim("ssl.supervised", "4.6", f"{SUPERVISED} beats {MASKED}", says=SAYS, paper=PAPER): (SUPERVISED, MASKED),
    Claim("ssl.target", "B.1.2", "the mean colour is no worse a target than pixels", bound=-0.01,
          paper="no number: pixels are slightly worse"): ("target mean_color", "target pixels"),
    Claim("ssl.downsized", "B.1.2", "down-sized patches are as good a target", "alike",
          paper="no number: they work as well"): ("target mean_color", "target downsized"),
    Claim("ssl.ratio", "B.1.2", "corrupting 50% is no worse than 15%", bound=-0.01,
          paper="no number: 15% is slightly worse"): ("ratio 0.5", "ratio 0.15"),
    Claim("ssl.short", "B.1.2", "a tenth gives nearly all", "alike", margin=0.02,
          paper="no number: little gain beyond 100k of 1M steps"): (MASKED, "steps / 10"),
}  # fmt: skip
SCORES = {"score": "score", "colour": "color_accuracy", "frequent": "floor_frequent", "near": "floor_neighbours"}
ABOUT = "Test images in %: accuracy; score in predicting patches (R² for pixels, from 0), their colour, two floors."


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
    ablations: tuple[recipes.Ablation, ...] = get_args(recipes.Ablation)
    """What is changed in (b), one at a time; "rate" tries other rates in (c) too."""
    rate_factors: tuple[float, ...] = (0.25, 4.0)
    """The other rates, as multiples of --pretrain.lr and of --supervised_rate."""
    ablation_seeds: int = 1
    """Repetitions of the ablations."""


PRESETS = {name: MaskedPatches(**preset) for name, preset in recipes.MASKED_PATCH.items()}


def starts(settings: MaskedPatches) -> dict[str, Run]:
    """By name what fine-tunings start from and trials of it, on no data yet; ValueError for a model without patches."""
    names, own = settings.model_names(), settings.pretrain
    if len(names) != 1 or family(names[0]) == "ResNet":
        raise ValueError(f"--models names {', '.join(names)}; give one ViT or hybrid, such as ViT-Nano/4.")
    masked = Run(names[0], Data(""), own, settings.masked, options=(("pooling", "gap"),), snapshots=4)
    other = replace(masked, recipe=replace(own, lr=settings.supervised_rate), task=Classify(), snapshots=0)
    found = {MASKED: masked, SUPERVISED: other}
    if "rate" in settings.ablations:
        tried = [(name, run, by) for name, run in found.items() for by in settings.rate_factors]
        found |= {f"{name}, rate x {by:g}": changed(run, {RATE: run.recipe.lr * by}) for name, run, by in tried}
    changes = recipes.masked_changes(own, settings.ablations)
    return found | {name: changed(masked, change) for name, change in changes.items()}


def plan(settings: MaskedPatches) -> list[Run]:
    """The comparison seed by seed, then the ablations of (b) and the trials of (c)'s rate."""
    recipe, before = settings.recipe, settings.pretrain
    if recipe.epochs or before.epochs:
        raise ValueError("This study counts in steps; leave --epochs and --pretrain.epochs at None.")
    longer = replace(recipe, steps=recipe.steps + before.steps * before.batch_size // recipe.batch_size)
    pixels = {"image_size": settings.image_size}
    task, sizes = shares_of("label_shares", settings.data, settings.label_shares, **pixels)
    images = {MaskedPatch: data_of(settings.unlabelled, **pixels)[0], Classify: data_of(settings.upstream, **pixels)[0]}
    if shared(task, images[Classify]):
        raise ValueError(
            f"--upstream {settings.upstream} has classes of --data {settings.data}: its labels would be those that "
            "fine-tuning has few of. Name another set, or other classes, as in name@0,1,2."
        )
    inits = {name: replace(run, data=images[type(run.task)]) for name, run in starts(settings).items()}
    model = replace(inits[MASKED], data=task, recipe=Recipe(), task=PROBE, snapshots=0)

    def after(init: str, seed: int, sizes: list[int | None]) -> list[Run]:
        run = replace(model, seed=seed, init=replace(inits[init], seed=seed) if init in inits else None)
        tuned = replace(run, data=replace(task, subset_seed=seed), task=Classify())
        both = [replace(tuned, recipe=one) for one in ((recipe, longer) if init == SCRATCH else (recipe,))]
        return [run, *grid(both, {"data.train_size": sizes, RATE: settings.rates})]

    few, masked = range(settings.ablation_seeds), [name for name in inits if not name.startswith(SUPERVISED)]
    trials = [inits[name] for name in inits if name not in (*masked, SUPERVISED)]
    found = [run for seed in range(settings.seeds) for init in MAIN if init != LONG for run in after(init, seed, sizes)]
    found += [run for seed in few for init in masked for run in after(init, seed, sizes[:1])]
    return found + grid(trials, {"seed": few})


def shared(one: Data, other: Data) -> bool:
    """Whether two sets have a class in common: those of one place, or of the same images, whatever they are called."""
    same_images = one.fingerprint == other.fingerprint != ""
    if not same_images and lasting(one.source) != lasting(other.source):
        return False
    return not (one.classes and other.classes) or not set(one.classes).isdisjoint(other.classes)


def draw(rows: pd.DataFrame, settings: MaskedPatches) -> Evidence:
    """Accuracy of each arm at each number of labels, what each way of pre-training gives, and the verdicts."""
    from vitlab.report.build import curves, pivot, scaling_table
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence, Table

    rows = by_start(rows, ARM, starts(settings))
    tuned = fine_tuned(rows, settings)
    own = tuned[tuned[ARM].isin(MAIN)].sort_values(ARM, key=lambda arm: arm.map(MAIN.index), kind="stable")
    if own.empty:
        return Evidence(summary="No fine-tuning has finished yet.")
    caption = f"Test accuracy in %, gaps in points; mean over seeds [95% interval]. {describe(own)}."
    pairs = [pair for pair in CLAIMS.values() if set(pair) <= set(own[ARM])]
    tables = [scaling_table("accuracy", own, LABELS, by=ARM, pairs=pairs, caption=caption)]
    if len(measures := measured(rows, tuned)):
        tables.append(Table("ways", pivot(measures, ARM, "measure"), ABOUT))
    title = f"Fine-tuning {own['model'].iloc[0]} on {own['title'].iloc[0]}"
    axes: dict[str, Any] = {"xlabel": "labelled images (log scale)", "ylabel": "test accuracy (%)", "log_x": True}
    figure = curves(own, x=LABELS, series=ARM, title=title, **axes)
    return Evidence(verdicts(rows, tuned, settings), tuple(tables), {"figure": figure})


def fine_tuned(rows: pd.DataFrame, settings: MaskedPatches) -> pd.DataFrame:
    """Test rows of the fine-tunings of every arm, at the rate that validation chose."""
    rows = rows[(rows["task.kind"] == "classify") & (rows["data.name"] == set_name(settings.data))]
    alone = rows["recipe.steps"].eq(settings.recipe.steps).map({True: SCRATCH, False: LONG})
    arm = rows[ARM].fillna(alone.where(rows["init"].isna()))
    rows = rows.assign(**{ARM: arm, LABELS: rows[LABELS].astype(int)}).dropna(subset=[ARM])
    return best_rate(rows, [ARM, LABELS]).query("split == 'test'")


def measured(rows: pd.DataFrame, tuned: pd.DataFrame) -> pd.DataFrame:
    """Test rows of each way of pre-training by `measure`: few-shot and fine-tuned accuracy, scores of prediction."""
    import pandas as pd

    test = rows[rows["split"] == "test"]
    few, predicted = (test[test["task.kind"] == kind] for kind in ("few_shot", "masked_patch"))
    parts = [few.fillna({ARM: "untrained"}).assign(measure="5-shot")]
    parts += [tuned[tuned["init"].notna()].assign(measure=lambda later: later[LABELS].map("{:,} labels".format))]
    scores = {name: column for name, column in SCORES.items() if column in predicted}
    parts += [predicted.assign(measure=name, score=predicted[scores[name]].clip(lower=0)) for name in scores]
    return pd.concat(parts, ignore_index=True).copy()


def verdicts(rows: pd.DataFrame, tuned: pd.DataFrame, settings: MaskedPatches) -> tuple[Verdict, ...]:
    """Every claim at every number of labels that both sides have; rates of pre-training must be the best of trials."""
    from vitlab.claims.compare import compare
    from vitlab.claims.preconditions import not_best

    trials = rows[(rows["split"] == "validation") & rows["init"].isna()].dropna(subset=[ARM])
    rates = {MASKED: settings.pretrain.lr, SUPERVISED: settings.supervised_rate}
    doubts = {arm: not_best(trials[trials[ARM].str.match(arm)], rate, who=arm) for arm, rate in rates.items()}
    found = [
        compare(claim, tuned, *pair, by=ARM, at={LABELS: labels}, doubts=chain(*(doubts.get(arm, ()) for arm in pair)))
        for labels in sorted(tuned[LABELS].unique())
        for claim, pair in CLAIMS.items()
    ]
    return tuple(replace(one, subject=f"{one.about[LABELS]:,} labels") for one in found if one)


STUDY = Study(
    name="masked_patch",
    section="4.6, B.1.2",
    question="Does masked patch prediction beat training from scratch, and does supervised pre-training beat it?",
    protocol=__doc__,
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=tuple(CLAIMS),
    pictures=lambda settings, store: predictions(plan(settings), store),
)

if __name__ == "__main__":
    main(STUDY)
