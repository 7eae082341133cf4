"""The evidence of `experiments.few_shot`: accuracy against shots, and whether it predicts what fine-tuning gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.upstream import fine_tuned
from vitlab.study import Evidence

if TYPE_CHECKING:
    import pandas as pd
    from vitlab.report.intervals import Interval

    from vitlab.report.tables import Table

MEAN = "mean of the sets"


def draw(rows: pd.DataFrame, proxy: int) -> Evidence:
    """Accuracy against shots, what fine-tuning gives, and the rank correlation of the two at `proxy` shots."""
    from vitlab.report.panels import curve_panels, dot_panels

    from vitlab.report.tables import to_markdown

    shots, tuned = rows[rows["task"] == "few_shot"], fine_tuned(rows)
    pairs = both_measures(shots, tuned, proxy)
    figures = {
        "figure": curve_panels(
            with_mean(shots),
            panel="data",
            x="shots",
            y="test_accuracy",
            unit=("seed",),
            log_x=True,
            xlabel="images a class\ndots: seeds, band: 95% interval over seeds",
            ylabel="test accuracy (%)",
            title=f"Few-shot linear accuracy, {_upstream(shots)}",
            first=MEAN,
        )
    }
    if len(pairs):
        figures["correlation"] = dot_panels(
            pairs,
            panel="data",
            x="few_shot",
            y="fine_tuned",
            xlabel=f"{proxy}-shot linear accuracy (%)",
            ylabel="fine-tuned accuracy (%)",
            title=f"Does {proxy}-shot accuracy predict fine-tuning? A dot for each model and seed",
        )
    said = sentences(shots, pairs, proxy)
    tables = [to_markdown(accuracy_table(shots, tuned)), to_markdown(correlation_table(pairs, proxy))]
    return Evidence(" ".join(said), "\n".join(tables), figures)


def _upstream(rows: pd.DataFrame) -> str:
    names = rows["upstream"].dropna().unique()
    return f"pre-trained on {', '.join(names)}" if len(names) else f"weights of {', '.join(rows['init'].unique())}"


def with_mean(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, and all of them once more as a set called `MEAN` if there are several sets.

    Each set's draws are averaged first, so that a set with more draws has no more weight than another.
    """
    if rows["data"].nunique() < 2:
        return rows
    import pandas as pd

    means = rows.groupby(["model", "data", "shots", "seed"])["test_accuracy"].mean().reset_index()
    return pd.concat([rows, means.assign(data=MEAN)])


def both_measures(shots: pd.DataFrame, tuned: pd.DataFrame, proxy: int) -> pd.DataFrame:
    """A row for each model, seed and set with the mean few-shot and the fine-tuned accuracy, both in [0, 1]."""
    keys = ["data", "model", "seed"]
    few = shots[shots["shots"] == proxy].groupby(keys)["test_accuracy"].mean().rename("few_shot")
    return tuned.set_index(keys)["test_best"].rename("fine_tuned").to_frame().join(few, how="inner").reset_index()


def accuracy_table(shots: pd.DataFrame, tuned: pd.DataFrame) -> Table:
    """Accuracy in % of each model on each set, at each number of shots and after fine-tuning."""
    import pandas as pd

    from vitlab.report.tables import ACCURACY, describe, interval_table, pivot

    after = tuned.rename(columns={"test_best": "value"}).assign(column="fine-tuned")
    few = shots.rename(columns={"test_accuracy": "value"})
    few = few.assign(column=few["shots"].map("{:>3.0f}-shot".format))
    columns = ["data", "model", "column", "seed", "value"]
    cells = pivot(
        pd.concat([few[columns], after[columns]]), ["data", "model"], "column", "value", unit=("seed",), bounds=ACCURACY
    )
    rates = ", ".join(f"{model} {rate:g}" for model, rate in tuned.groupby("model")["lr"].median().items())
    caption = (
        f"Test accuracy in %: linear classifier on frozen features, {_upstream(shots)}; mean over seeds [95% "
        f"interval], draws of a seed averaged. {_l2(shots)} Fine-tuned: {_sizes(tuned)} images, "
        f"median rate {rates or 'none'}, chosen on validation. {describe(shots)}."
    )
    return interval_table(cells, caption=caption)


def _l2(shots: pd.DataFrame) -> str:
    values = ", ".join(f"{value:g}" for value in sorted(shots["l2"].unique()))
    fixed = set(shots["l2_choice"]) == {"fixed"}
    return (
        f"l2 = {values}, fixed." if fixed else f"l2 of {values}, chosen on held-out shots (one shot: the usual 1024)."
    )


def _sizes(tuned: pd.DataFrame) -> str:
    return " / ".join(f"{int(size):,}" for size in sorted(tuned["train_size"].unique())) or "no"


def correlations(pairs: pd.DataFrame) -> dict[str, Interval]:
    """Spearman's rank correlation of the two measures over models and seeds, for each set."""
    from vitlab.report.intervals import rank_correlation

    return {name: rank_correlation(of["few_shot"], of["fine_tuned"]) for name, of in pairs.groupby("data")}


def correlation_table(pairs: pd.DataFrame, proxy: int) -> Table:
    """The rank correlation on each set, with its interval."""
    from vitlab.report.tables import Table

    cells = [(name, str(found.n), found.format(digits=2, scale=1.0)) for name, found in correlations(pairs).items()]
    caption = (
        f"Spearman's rank correlation of {proxy}-shot and fine-tuned accuracy over models and seeds [95%, Fisher]."
    )
    return Table(("set", "weights", "rank correlation"), tuple(cells), caption)


def sentences(shots: pd.DataFrame, pairs: pd.DataFrame, proxy: int) -> list[str]:
    """The answer: which representation is best after a few shots, and whether that predicts fine-tuning."""
    from vitlab.report.names import in_order

    from vitlab.report.tables import ACCURACY, pivot

    at = with_mean(shots)
    at = at[(at["shots"] == proxy) & ((at["data"] == MEAN) | (shots["data"].nunique() == 1))]
    if at.empty:
        return []
    cells = pivot(at, ["model"], "shots", "test_accuracy", unit=("seed",), bounds=ACCURACY)[proxy]
    means = ", ".join(f"{name} {cells[name].format()}" for name in in_order(cells.index))
    said = [f"{proxy}-shot linear accuracy, mean of {shots['data'].nunique()} sets: {means} %."]
    return said + proxy_sentence(correlations(pairs), proxy)


def proxy_sentence(found: dict[str, Interval], proxy: int) -> list[str]:
    """Whether the rank correlation is positive on the sets, and on how many that is certain."""
    known = {name: cell for name, cell in found.items() if cell.mean == cell.mean}
    if not known:
        return []
    sure = sum(cell.low > 0 for cell in known.values())
    mean = sum(cell.mean for cell in known.values()) / len(known)
    each = ", ".join(f"{name} {cell.mean:.2f}" for name, cell in known.items())
    return [
        f"Rank correlation of {proxy}-shot with fine-tuned accuracy: {mean:.2f} on average ({each}); certainly "
        f"positive on {sure} of {len(known)} sets."
    ]
