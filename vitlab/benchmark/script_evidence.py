"""What rows of training scripts say: their speeds side by side, repetition by repetition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitlab.benchmark.evidence import BARE, EXPLICIT, OURS, PLAIN, REPEAT, busy

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.report.evidence import Chart, Table


def by_side(scripts: pd.DataFrame) -> pd.DataFrame:
    """Images/s: a row for each repetition, a column for each script in the order of the rows."""
    wide = scripts.pivot(index="repeat", columns="side", values="images_per_s")
    return wide[list(dict.fromkeys(scripts["side"]))]


def table(scripts: pd.DataFrame) -> Table:
    """Images/s of each script, ratios to the plain one and to vitlab, share of a large matrix product's rate."""
    import pandas as pd

    from vitlab.claims.interval import mean_interval
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Format, Table

    speeds = by_side(scripts)
    share = scripts["images_per_s"] * scripts["train_flops_per_image"] / scripts["matrix_flops"]
    cells = {"images/s": [mean_interval(speeds[side]) for side in speeds.columns]}
    if PLAIN in speeds.columns:
        cells["times the plain script"] = [mean_interval(speeds[side] / speeds[PLAIN]) for side in speeds.columns]
    if OURS in speeds.columns and speeds.shape[1] > 2:
        cells["vitlab over it"] = [mean_interval(speeds[OURS] / speeds[side]) for side in speeds.columns]
    cells["% of a matrix product"] = [mean_interval(share[scripts["side"] == side]) for side in speeds.columns]
    formats = {name: Format(2, 1.0) for name in cells} | {
        "images/s": Format(0, 1.0),
        "% of a matrix product": Format(0),
    }
    first = scripts.iloc[0]
    caption = (
        f"{first['model']}, {first['precision']}, {first['batch']:.0f} images of {first['image_size']:.0f} px a step; "
        f"mean of {len(speeds)} repetitions [95% interval]; ratios within a repetition{busy(scripts)}. "
        f"{describe(scripts)}."
    )
    frame = pd.DataFrame(cells, pd.Index(speeds.columns, name="script"), dtype=object)
    return Table("scripts", frame, caption, formats=formats)


def chart(scripts: pd.DataFrame) -> Chart:
    """A bar for each script."""
    from vitlab.report.build import bars

    return bars(
        scripts,
        category="side",
        y="images_per_s",
        title=f"Training speed of {scripts['model'].iloc[0]}, end to end",
        ylabel="training images/s",
        unit=REPEAT,
        accuracy=False,
        scale=1.0,
        digits=0,
    )


def summary(scripts: pd.DataFrame) -> str:
    """How much faster vitlab is than the plain script, the best one with explicit attention, and the bare loop."""
    from vitlab.claims.interval import mean_interval

    if not len(scripts) or OURS not in set(scripts["side"]):
        return ""
    speeds = by_side(scripts)
    fixed = [side for side in speeds.columns if side.endswith(EXPLICIT)]
    best = max(fixed, key=lambda side: speeds[side].mean(), default="")
    others = {PLAIN: "the plain script of tutorials", best: f"the best peer with explicit attention ({best})"}
    others |= {BARE: "the same loop without Lightning"}
    said = [
        f"{mean_interval(speeds[OURS] / speeds[side]).format(digits=2, scale=1.0)} times as fast as {what}"
        for side, what in others.items()
        if side in speeds.columns
    ]
    return f"vitlab trains {scripts['model'].iloc[0]} {', '.join(said)}." if said else ""
