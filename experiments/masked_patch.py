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

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.phrases import leads
from vitlab.data.sources import set_name
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
    from matplotlib.figure import Figure

    from vitlab.report.evidence import Evidence
    from vitlab.runs.store import Store

LABELS, WAY, OWN = "train_images", "pre-training", "own"
Ablation = Literal["ratio", "target", "mae", "steps", "rate"]
PROBE = FewShot(shots=(5,), draws=10)
SCORES = {"score": "score", "colour": "color_accuracy", "frequent": "floor_frequent", "near": "floor_neighbours"}
ABOUT = "Test images in %: accuracy; score in predicting patches (R² for pixels, from 0), their colour, two floors."
SCRATCH, LONG = "training from scratch", "training from scratch for as many steps"
MASKED, SUPERVISED = "masked patch pre-training", "supervised pre-training"
LED = "with {train_images:,} labels "
SAYS = {**leads(LED), "cannot be tested here": LED + "it cannot be tested whether {statement}"}
PAPER = "79.9 on ImageNet (ViT-B/16), 2 above (a), 4 below (c)"
ARMS = {
    Claim("ssl.scratch", "4.6", f"{MASKED} beats {SCRATCH}", says=SAYS, paper=PAPER): (MASKED, SCRATCH),
    Claim("ssl.equal_steps", "ours", f"{MASKED} beats {LONG}", says=SAYS): (MASKED, LONG),
    Claim("ssl.supervised", "4.6", f"{SUPERVISED} beats {MASKED}", says=SAYS, paper=PAPER): (SUPERVISED, MASKED),
}
COLOUR, PIXELS, SMALL = "target mean_color", "target pixels", "target downsized"
WAYS = {  # of pre-training, by the names of `ways`
    Claim("ssl.target", "B.1.2", "the mean colour is no worse a target than pixels", bound=-0.01): (COLOUR, PIXELS),
    Claim("ssl.downsized", "B.1.2", "down-sized patches are as good a target", "alike"): (COLOUR, SMALL),
    Claim("ssl.ratio", "B.1.2", "corrupting 50% is no worse than 15%", bound=-0.01): ("ratio 0.5", "ratio 0.15"),
    Claim("ssl.short", "B.1.2", "a tenth gives nearly all", "alike", margin=0.02): (OWN, "steps / 10"),
}


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
    from vitlab.report.build import curves, pivot, scaling_table
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence, Table

    rows = by_start(rows, WAY, ways(settings))
    tuned = fine_tuned(rows, settings)
    own = tuned[tuned[WAY].fillna(OWN) == OWN]
    if own.empty:
        return Evidence(summary="No fine-tuning has finished yet.")
    caption = f"Test accuracy in %, gaps in points; mean over seeds [95% interval]. {describe(own)}."
    pairs = [pair for pair in ARMS.values() if set(pair) <= set(own["arm"])]
    tables = [scaling_table("accuracy", own, LABELS, by="arm", pairs=pairs, caption=caption)]
    if len(measures := measured(rows, tuned)):
        tables.append(Table("ways", pivot(measures, WAY, "measure"), ABOUT))
    title, ylabel = f"Fine-tuning {own['model'].iloc[0]} on {own['title'].iloc[0]}", "test accuracy (%)"
    figure = curves(own, x=LABELS, series="arm", title=title, xlabel="labelled images", ylabel=ylabel, log_x=True)
    return Evidence(verdicts(rows, tuned, settings), tuple(tables), {"figure": figure})


def fine_tuned(rows: pd.DataFrame, settings: MaskedPatches) -> pd.DataFrame:
    """Test rows of the fine-tunings at the rate that validation chose, with their arm."""
    rows = rows[(rows["task.kind"] == "classify") & (rows["data.name"] == set_name(settings.data))]
    rows = rows[rows["init"].isna() | rows["init.task.kind"].notna()]
    arms = rows["init.task.kind"].map({"masked_patch": MASKED, "classify": SUPERVISED}).fillna(SCRATCH)
    arms = arms.mask((arms == SCRATCH) & (rows["recipe.steps"] != settings.recipe.steps), LONG)
    rows = rows.assign(arm=arms, **{LABELS: rows[LABELS].astype(int)})
    found = best_rate(rows, ["arm", WAY, LABELS]).query("split == 'test'")
    return found.sort_values("arm", key=lambda arm: arm.map([SCRATCH, LONG, MASKED, SUPERVISED].index), kind="stable")


def measured(rows: pd.DataFrame, tuned: pd.DataFrame) -> pd.DataFrame:
    """Test rows of each way of pre-training by `measure`: few-shot and fine-tuned accuracy, scores of prediction."""
    import pandas as pd

    test = rows[rows["split"] == "test"]
    few, predicted = (test[test["task.kind"] == kind] for kind in ("few_shot", "masked_patch"))
    way = few[WAY].fillna(few["init"].isna().map({True: "untrained", False: SUPERVISED}))
    later = tuned.assign(measure=tuned[LABELS].map("{:,} labels".format)).dropna(subset=[WAY])
    scores = {name: predicted[column].clip(lower=0) for name, column in SCORES.items() if column in predicted}
    parts = [predicted.assign(measure=name, score=score) for name, score in scores.items()]
    return pd.concat([few.assign(measure="5-shot", **{WAY: way}), later, *parts], ignore_index=True).copy()


def verdicts(rows: pd.DataFrame, tuned: pd.DataFrame, settings: MaskedPatches) -> tuple[Verdict, ...]:
    """Every claim at every number of labels that both sides have; rates of pre-training must be the best of trials."""
    from vitlab.claims.compare import compare
    from vitlab.claims.preconditions import not_best

    trials, own = rows[rows["split"] == "validation"], tuned[tuned[WAY].fillna(OWN) == OWN]
    masked = trials[(trials["task.kind"] == "masked_patch") & trials[WAY].str.match("own|rate")]
    other = trials[trials["init"].isna() & (trials["data.name"] == set_name(settings.upstream))]
    doubts: dict[str, list[str]] = {MASKED: not_best(masked, settings.pretrain.lr, who=MASKED), SCRATCH: [], LONG: []}
    doubts[SUPERVISED] = not_best(other, settings.supervised_rate, who=SUPERVISED)
    found = []
    for labels in sorted(tuned[LABELS].unique()):
        for claim, pair in ARMS.items():
            why = doubts[pair[0]] + doubts[pair[1]]
            found.append(compare(claim, own, *pair, by="arm", at={LABELS: labels}, doubts=why))
        found += [compare(claim, tuned, *pair, by=WAY, at={LABELS: labels}) for claim, pair in WAYS.items()]
    return tuple(replace(one, subject=f"{one.about[LABELS]:,} labels") for one in found if one)


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
    claims=(*ARMS, *WAYS),
    pictures=pictures,
)

if __name__ == "__main__":
    main(STUDY)
