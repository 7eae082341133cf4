"""What the rows of `experiments.masked_patch` say: tables, figures, verdicts and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitlab.study import Evidence

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from vitlab.report.verdict import Verdict

    from vitlab.report.tables import Table

SCRATCH, LONG, MASKED, SUPERVISED = "(a) scratch", "(a) scratch, as many steps as b", "(b) masked", "(c) supervised"
UNTRAINED = "untrained"
ARMS = (SCRATCH, LONG, MASKED, SUPERVISED)
CLAIMS = (
    (MASKED, SCRATCH, "masked patch pre-training beats training from scratch"),
    (MASKED, LONG, "masked patch pre-training beats training from scratch for as many steps in all"),
    (SUPERVISED, MASKED, "supervised pre-training beats masked patch pre-training"),
)
VARIANT = ["target", "ratio", "masked_share", "pretrain_rate", "pretrain_steps"]
SCORES = ("validation_best", "test_best", "test_color_accuracy", "test_floor_frequent", "test_floor_neighbours")
ABOUT_SCORES = (
    "Pre-training in %: score is accuracy over corrupted patches (R² for pixels), on validation and on test images; of "
    "the latter, colour is the accuracy of their 3-bit mean colour; frequent and neighbours are floors, the scores of "
    "always saying the most frequent colour (the mean, for pixels) and of the visible neighbours' mean. Mean over "
    "seeds [95% interval]. Few-shot and fine-tuned are test accuracy in % on the task, {shots}; few-shot of untrained "
    "weights: {untrained}."
)


def evidence(done: pd.DataFrame, base: Mapping[str, Any], share: float, model: str) -> Evidence:
    """Everything from the finished rows; `base` holds the columns of the study's own (b), `share` is the ablations'."""
    from vitlab.report.verdict import to_markdown as verdict_table

    from vitlab.report.tables import describe, to_markdown

    done = done.reindex(columns=list(dict.fromkeys([*done.columns, *VARIANT])))  # (b) may not have begun
    tuned = best_rates(done[(done["task"] == "classify") & done["arm"].isin(ARMS)])
    compared = tuned[(tuned["arm"] != MASKED) | (tuned[VARIANT] == [base[name] for name in VARIANT]).all(axis=1)]
    if compared.empty:
        return Evidence("No fine-tuning has finished yet.", "", {})
    verdicts = judged(compared)
    caption = (
        "Test accuracy in %, mean over seeds [95% interval]; gaps in points. Each arm's rate was chosen at each number "
        f"of labels by mean validation accuracy. {describe(compared)}."
    )
    tables = [to_markdown(accuracy_table(compared, caption))]
    masked = done[done["arm"] == MASKED]
    if (masked["task"] == "masked_patch").any():
        tables.append(to_markdown(variant_table(masked, tuned, done[done["arm"] == UNTRAINED], share)))
    figures = {"figure": accuracy_figure(compared, model)}
    steps = tuned[_one_kind(tuned, base) & (tuned["label_share"] == share)]
    if steps["pretrain_steps"].nunique() > 1:
        figures["steps"] = steps_figure(steps, compared[compared["arm"] == SCRATCH], share)
    overall = [verdict.sentence() for verdict in verdicts["overall"]]
    answer = " ".join(overall) or "No two arms have finished a seed yet."
    every = [*verdicts["overall"], *verdicts["at each number of labels"]]
    return Evidence(answer, "\n".join(tables), figures, {"verdicts.md": verdict_table(every)})


def _one_kind(rows: pd.DataFrame, base: Mapping[str, Any]) -> pd.Series:
    """Rows of (b) that differ from the study's own in pre-training steps alone."""
    names = VARIANT[:-1]
    return (rows["arm"] == MASKED) & (rows[names] == [base[name] for name in names]).all(axis=1)


def best_rates(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the fine-tunings of each arm, variant and number of labels, those with the best mean validation accuracy.

    Ties go to the smaller rate. The test accuracy plays no part.
    """
    keys = ["arm", *VARIANT, "train_size"]
    means = rows.groupby([*keys, "lr"], dropna=False)["validation_best"].transform("mean")
    ranked = rows.assign(mean=means).sort_values(["mean", "lr"], ascending=[False, True], kind="stable")
    best = ranked.groupby(keys, dropna=False)["lr"].transform("first")
    return rows[rows["lr"] == best.reindex(rows.index)]


def judged(rows: pd.DataFrame) -> dict[str, list[Verdict]]:
    """Verdicts on the claims: "overall", where a seed's gap is its mean over numbers of labels, and at each number."""
    from vitlab.report.gaps import gap_values
    from vitlab.report.intervals import bootstrap_mean
    from vitlab.report.verdict import judge

    found: dict[str, list[Verdict]] = {"overall": [], "at each number of labels": []}

    def add(where: str, statement: str, values: Sequence[float]) -> None:
        interval = bootstrap_mean(values)
        found[where].append(judge(statement, values, "above", source="section 4.6", interval=interval))

    for first, second, statement in CLAIMS:
        if not {first, second} <= set(rows["arm"]):
            continue
        gaps = gap_values(rows, first, second, model="arm")
        complete = gaps.dropna()
        sizes = ", ".join(f"{size:,.0f}" for size in gaps.columns)
        if len(complete):
            add("overall", f"{statement}, with {sizes} labels", complete.mean(axis=1).to_list())
        for size in gaps.columns if len(gaps.columns) > 1 else ():
            add("at each number of labels", f"{statement}, with {size:,.0f} labels", gaps[size].dropna().to_list())
    return found


def accuracy_table(rows: pd.DataFrame, caption: str) -> Table:
    """Arms against numbers of labels, the rates that were chosen, and the gaps that the claims are about."""
    from vitlab.report.gaps import gap_intervals, gap_values
    from vitlab.report.intervals import MISSING

    from vitlab.report.tables import ACCURACY, Table, number, pivot

    cells = pivot(rows, ["arm"], "train_size", "test_best", bounds=ACCURACY)
    body = []
    for arm in (arm for arm in ARMS if arm in cells.index):
        rates = rows[rows["arm"] == arm].groupby("train_size")["lr"].first()
        chosen = " / ".join(f"{rates[size]:g}" for size in cells.columns if size in rates)
        body.append((arm, chosen, *(cell.format() for cell in cells.loc[arm])))
    for first, second, _ in CLAIMS:
        if {first, second} <= set(cells.index):
            gaps = gap_intervals(gap_values(rows, first, second, model="arm"))
            shown = (gaps.get(size, MISSING).format(sign=True) for size in cells.columns)
            body.append((f"{first} − {second}", "", *shown))
    return Table(("labelled images", "rates", *map(number, cells.columns)), tuple(body), caption)


def variant_table(masked: pd.DataFrame, tuned: pd.DataFrame, untrained: pd.DataFrame, share: float) -> Table:
    """A row for each way of pre-training: how well it predicts, beside its floors, and what that is worth later."""
    from vitlab.report.intervals import bootstrap_mean

    from vitlab.report.tables import ACCURACY, Table, number

    def cell(rows: pd.DataFrame, column: str, bounds: tuple[float, float] | None = None) -> str:
        return bootstrap_mean(rows.groupby("seed")[column].mean().to_list(), bounds=bounds).format()

    body = []
    for variant, rows in masked.groupby(VARIANT):
        predicted, probed = rows[rows["task"] == "masked_patch"], rows[rows["task"] == "few_shot"]
        later = tuned[(tuned[VARIANT] == list(variant)).all(axis=1) & (tuned["label_share"] == share)]
        scores = [cell(predicted, column) for column in SCORES]
        accuracies = cell(probed, "test_accuracy", ACCURACY), cell(later, "test_best", ACCURACY)
        body.append((*map(number, variant), *scores, *accuracies))
    titles = (
        "target",
        "corrupted",
        "[mask]",
        "rate",
        "steps",
        "validation score",
        "test score",
        "colour",
        "frequent",
        "neighbours",
    )
    shots = ", ".join(f"{shots:.0f} shots" for shots in sorted(masked["shots"].dropna().unique()))
    labels = ", ".join(
        f"{size:,.0f}" for size in sorted(tuned.loc[tuned["label_share"] == share, "train_size"].unique())
    )
    about = ABOUT_SCORES.format(
        shots=f"{shots} and {labels} labels", untrained=cell(untrained, "test_accuracy", ACCURACY)
    )
    return Table((*titles, "few-shot", "fine-tuned"), tuple(body), about)


def accuracy_figure(rows: pd.DataFrame, model: str) -> Figure:
    """Accuracy against the number of labels, a curve for each arm."""
    from vitlab.report.curves import lines

    return lines(
        rows,
        x="train_size",
        y="test_best",
        series="arm",
        names=[arm for arm in ARMS if arm in set(rows["arm"])],
        xlabel="labelled training images (log scale)",
        ylabel="test accuracy (%)",
        title=f"Fine-tuning {model} on {rows['data'].iloc[0]} after three beginnings",
        subtitle=f"mean of {rows['seed'].nunique()} seeds, 95% interval",
        log_x=True,
        width=8.0,
    )


def steps_figure(rows: pd.DataFrame, scratch: pd.DataFrame, share: float) -> Figure:
    """Accuracy after fine-tuning against the steps of pre-training: does the gain flatten?"""
    from vitlab.report.curves import lines

    floor = scratch.loc[scratch["label_share"] == share, "test_best"]
    return lines(
        rows,
        x="pretrain_steps",
        y="test_best",
        series="arm",
        xlabel="steps of masked patch prediction (log scale)",
        ylabel="test accuracy (%)",
        title="Longer pre-training: does the gain flatten?",
        subtitle=f"fine-tuned with {rows['train_size'].iloc[0]:,.0f} labels, mean with 95% interval over seeds",
        references={} if floor.empty else {f"{SCRATCH}, mean": float(floor.mean())},
        log_x=True,
        width=7.4,
    )


def picture_grid(target: str, files: Sequence[Path]) -> Figure:
    """Images, their corruption, predictions as pre-training goes on (a file each), and the truth."""
    import numpy as np

    from vitlab.report.pictures import image_grid

    kept = [np.load(file) for file in files]
    steps = [int(file.stem.partition("_")[2]) for file in files]
    panels = [kept[0]["image"], kept[0]["corruption"], *(one["prediction"] for one in kept), kept[0]["truth"]]
    return image_grid(
        [[panel[i] for panel in panels] for i in range(len(panels[0]))],
        columns=["image", "corrupted", *(f"step {step:,}" for step in steps), "truth"],
        title=f"Masked patch prediction as it goes on: {target}",
        subtitle="Validation images. Pink: [mask]; a swapped patch shows the one whose embedding it got. To the right "
        "the corrupted patches are painted as predicted, and in truth; all others are the image's own.",
    )
