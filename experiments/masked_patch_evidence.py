"""What sections 4.6 and B.1.2 say of masked patch prediction, held against fine-tunings of every arm.

Rows come with a column "pre-training": the name of the way in which the weights that they start from were made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.phrases import OURS, leads
from vitlab.data.sources import set_name
from vitlab.study.plan import best_rate

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.report.evidence import Evidence
    from .masked_patch import MaskedPatches

LABELS, WAY, OWN = "train_images", "pre-training", "own"
SCORES = {"score": "score", "colour": "color_accuracy", "frequent": "floor_frequent", "near": "floor_neighbours"}
ABOUT = "Test images in %: accuracy; score in predicting patches (R² for pixels, from 0), their colour, two floors."
SCRATCH, LONG = "training from scratch", "training from scratch for as many steps"
MASKED, SUPERVISED = "masked patch pre-training", "supervised pre-training"
LED = "with {train_images:,} labels "
SAYS = {**leads(LED), "cannot be tested here": LED + "it cannot be tested whether {statement}"}
PAPER = "ImageNet, ViT-B/16: 79.9, 2 above scratch and 4 below supervised"
ARMS = {
    Claim("ssl.scratch", "4.6", f"{MASKED} beats {SCRATCH}", says=SAYS, paper=PAPER): (MASKED, SCRATCH),
    Claim("ssl.equal_steps", "ours", f"{MASKED} beats {LONG}", says=SAYS, paper=OURS): (MASKED, LONG),
    Claim("ssl.supervised", "4.6", f"{SUPERVISED} beats {MASKED}", says=SAYS, paper=PAPER): (SUPERVISED, MASKED),
}
COLOUR, PIXELS, SMALL = "target mean_color", "target pixels", "target downsized"
WAYS = {  # of pre-training, by the names of `masked_patch.ways`
    Claim(
        "ssl.target", "B.1.2", "the mean colour is no worse a target than pixels", bound=-0.01,
        paper="no number: pixels are slightly worse",
    ): (COLOUR, PIXELS),
    Claim(
        "ssl.downsized", "B.1.2", "down-sized patches are as good a target", "alike",
        paper="no number: they work as well",
    ): (COLOUR, SMALL),
    Claim(
        "ssl.ratio", "B.1.2", "corrupting 50% is no worse than 15%", bound=-0.01,
        paper="no number: 15% is slightly worse",
    ): ("ratio 0.5", "ratio 0.15"),
    Claim(
        "ssl.short", "B.1.2", "a tenth gives nearly all", "alike", margin=0.02,
        paper="no number: little gain beyond 100k of 1M steps",
    ): (OWN, "steps / 10"),
}  # fmt: skip
CLAIMS = (*ARMS, *WAYS)


def evidence(rows: pd.DataFrame, settings: MaskedPatches) -> Evidence:
    """Accuracy of each arm at each number of labels, what each way of pre-training gives, and the verdicts."""
    from vitlab.report.build import curves, pivot, scaling_table
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence, Table

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
