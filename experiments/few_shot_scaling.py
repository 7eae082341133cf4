"""Figure 4 (section 4.3): few-shot linear accuracy downstream against the size of the upstream subset.

The evidence of `python -m experiments.data_scaling --measure few_shot`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitlab.study import Evidence

if TYPE_CHECKING:
    import pandas as pd

    from experiments.data_scaling import DataScaling

SHOTS = 5


def draw_few_shot(rows: pd.DataFrame, settings: DataScaling) -> Evidence:
    """Five-shot accuracy against upstream size with its gap, and the same on each downstream set."""
    from experiments.data_scaling import sentences
    from vitlab.report.curves import accuracy_against_size
    from vitlab.report.panels import curve_panels
    from vitlab.report.tables import describe, scaling_table, to_markdown

    few = rows[(rows["task"] == "few_shot") & (rows["shots"] == SHOTS)]
    means = downstream_means(few, rows)
    upstream, sets = ", ".join(sorted(set(few["upstream"]))), ", ".join(sorted(set(few["data"])))
    length = (
        f"{settings.recipe.steps:,} steps" if settings.recipe.epochs is None else f"{settings.recipe.epochs:g} epochs"
    )
    budget = (
        f"The same recipe at every size: {length} of {settings.recipe.batch_size} images; best validation accuracy."
    )
    figures = {
        "figure": accuracy_against_size(
            means,
            title=f"{SHOTS}-shot linear accuracy against the size of the upstream subset",
            subtitle=f"{budget}\nMean of {sets}; dots: seeds, band: 95% interval",
            xlabel=f"images of {upstream} (log scale)",
            ylabel=f"{SHOTS}-shot accuracy (%)",
        )
    }
    if few["data"].nunique() > 1:
        figures["sets"] = curve_panels(
            few,
            panel="data",
            x="upstream_size",
            y="test_accuracy",
            unit=("seed",),
            log_x=True,
            xlabel=f"images of {upstream} (log scale; dots: seeds, band: 95% interval over seeds)",
            ylabel=f"{SHOTS}-shot accuracy (%)",
            title=f"{SHOTS}-shot linear accuracy on each downstream set",
        )
    caption = (
        f"{SHOTS}-shot linear accuracy in %, mean of {sets}, against the number of images of {upstream}; mean over "
        f"seeds [95% interval]; gaps in points. {describe(few)}. {budget}"
    )
    answer = " ".join(sentences(means))
    return Evidence(answer, f"{to_markdown(scaling_table(means, caption=caption))}\n{answer}\n", figures)


def downstream_means(few: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each model, upstream size and seed: the mean over draws, then over downstream sets.

    Named as the rows of trainings are (`train_size`, `test_best`), with the cost of the upstream training beside them.
    """
    keys = ["model", "upstream_size", "seed", "init"]
    means = few.groupby([*keys, "data"])["test_accuracy"].mean().groupby(keys).mean().reset_index()
    cost = rows.drop_duplicates("run").set_index("run")[["parameters", "train_flops_per_image"]]
    names = {"upstream_size": "train_size", "test_accuracy": "test_best"}
    return means.join(cost, on="init").rename(columns=names).drop(columns="init").astype({"train_size": int})
