"""The evidence of `experiments.data_scaling`: accuracy against the number of images, and what the seeds say of it.

Figure 3's question is answered on the data's own test split, Figure 4 itself by few-shot linear accuracy downstream of
the subsets (`--measure few_shot`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitlab.study import Evidence

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.report.intervals import Interval
    from vitlab.tasks.settings import Recipe

SHOTS = 5


def draw_test(rows: pd.DataFrame, recipe: Recipe) -> Evidence:
    """Test accuracy against train size, and the gap of each matched pair; one size makes no curve."""
    from vitlab.report.scaling import accuracy_against_size
    from vitlab.report.tables import scaling_table, to_markdown

    length = budget(recipe)
    table = f"{to_markdown(scaling_table(rows))}\n{length}\n"
    answer = " ".join(sentences(rows))
    if rows["train_size"].nunique() == 1:
        return Evidence(answer, table)
    figure = accuracy_against_size(rows, subtitle=f"{length}\ndots: seeds, band: 95% interval")
    return Evidence(answer, table, {"figure": figure})


def budget(recipe: Recipe) -> str:
    """What every run of the study had in common."""
    augment = ", ".join(recipe.augment) or "no augmentation"
    return f"The same recipe at every size: {recipe.budget()}, {augment}; best validation accuracy."


def sentences(rows: pd.DataFrame) -> list[str]:
    """The answer: who leads where, whether the gap shrinks, and where the curves would cross, for each matched pair."""
    from vitlab.report.gaps import gap_intervals, gap_values
    from vitlab.report.names import matched_pairs
    from vitlab.report.trend import crossing, gap_slope

    found = []
    for vit, cnn in matched_pairs(rows["model"]):
        gaps = gap_values(rows, vit, cnn)
        cells, sizes = gap_intervals(gaps), [int(size) for size in gaps.columns]
        ends = [
            f"{leader(cells[size], vit, cnn)} at {size:,} images ({cells[size].n} seed{'s' * (cells[size].n > 1)})"
            for size in dict.fromkeys((sizes[0], sizes[-1]))
        ]
        found.append(f"{', '.join(ends)}.")
        if len(sizes) > 1:
            found += [gap_slope(sizes, gaps.to_numpy()).sentence(), crossing(sizes, gaps.to_numpy()).sentence()]
    return found


def leader(gap: Interval, vit: str, cnn: str) -> str:
    """Who is ahead by how much, or that it is undecided; `gap` is vit - cnn as a fraction."""
    if not gap.excludes(0.0):
        return f"{vit} and {cnn} are not told apart ({gap.format(sign=True)} points)"
    ahead, behind = (vit, cnn) if gap.mean > 0 else (cnn, vit)
    low, high = sorted((abs(gap.low), abs(gap.high)))
    return f"{ahead} leads {behind} by {100 * abs(gap.mean):.1f} [{100 * low:.1f}, {100 * high:.1f}] points"


def draw_few_shot(rows: pd.DataFrame, recipe: Recipe) -> Evidence:
    """Five-shot accuracy against upstream size with its gap, and the same on each downstream set, as `draw_test`."""
    from vitlab.report.panels import curve_panels
    from vitlab.report.scaling import accuracy_against_size
    from vitlab.report.tables import describe, scaling_table, to_markdown

    few = rows[(rows["task"] == "few_shot") & (rows["shots"] == SHOTS)]
    means, length = downstream_means(few, rows), budget(recipe)
    upstream, sets = ", ".join(sorted(set(few["upstream"]))), ", ".join(sorted(set(few["data"])))
    caption = (
        f"{SHOTS}-shot linear accuracy in %, mean of {sets}, against the number of images of {upstream}; mean over "
        f"seeds [95% interval]; gaps in points. {describe(few)}. {length}"
    )
    answer, table = " ".join(sentences(means)), to_markdown(scaling_table(means, caption=caption))
    if means["train_size"].nunique() == 1:
        return Evidence(answer, table)
    figures = {
        "figure": accuracy_against_size(
            means,
            title=f"{SHOTS}-shot linear accuracy against the size of the upstream subset",
            subtitle=f"{length}\nMean of {few['data'].nunique()} downstream sets; dots: seeds, band: 95% interval",
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
    return Evidence(answer, table, figures)


def downstream_means(few: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each model, upstream size and seed: the mean over draws, then over downstream sets.

    Named as the rows of trainings are (`train_size`, `test_best`), with the cost of the upstream training beside them.
    """
    keys = ["model", "upstream_size", "seed", "init"]
    means = few.groupby([*keys, "data"])["test_accuracy"].mean().groupby(keys).mean().reset_index()
    cost = rows.drop_duplicates("run").set_index("run")[["parameters", "train_flops_per_image"]]
    names = {"upstream_size": "train_size", "test_accuracy": "test_best"}
    return means.join(cost, on="init").rename(columns=names).drop(columns="init").astype({"train_size": int})
