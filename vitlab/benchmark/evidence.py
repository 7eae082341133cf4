"""What rows of measurements say: speed and memory of models, memory at equal speed, and scripts side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vitlab.claims.claim import Claim, Verdict
from vitlab.report.families import family, in_order

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.report.evidence import Chart, Evidence, Series, Table

OURS, BARE, PLAIN = "vitlab", "bare loop", "Lightning + DataLoader"
EXPLICIT = ", explicit attention"
OTHERS = (PLAIN, "timm", "transformers Trainer")
SCRIPTS = (OURS, BARE, *(name + attention for name in OTHERS for attention in ("", EXPLICIT)))
JOBS, ONE_PROCESS = "vitlab --jobs auto", "vitlab, one process"
TIMM_LOOP, TUTORIAL = "timm loop, one process", "tutorial script a run"
WAYS = (JOBS, ONE_PROCESS, TIMM_LOOP, TUTORIAL)
DATA = "random images"
MIB = 2**20
REPEAT = ("repeat",)
MEMORY = Claim(
    "d5.memory",
    "D.5, Figure 12",
    "ViTs need less memory than ResNets of equal speed",
    paper="Figure 12, qualitative",
    unit="doublings",
    scale=1.0,
    digits=2,
    says={
        name: "at {image_size} px in {precision} ResNets take {factor} times the memory of ViTs of equal speed"
        for name in ("holds", "does not hold")
    },
)


def draw(rows: pd.DataFrame) -> Evidence:
    """Models by themselves with verdicts and a figure; scripts side by side; a sweep; how cost grows."""
    from vitlab.benchmark import cost_evidence, script_evidence
    from vitlab.report.evidence import Evidence

    by_part = {name: rows[rows["part"] == name] for name in ("model", "script", "sweep", "overhead", "growth")}
    models, scripts, growth = by_part["model"], by_part["script"], by_part["growth"]
    trained = models[models["mode"] == "training"] if len(models) else models
    tables: list[Table] = []
    figures: dict[str, Chart] = {}
    if len(models):
        tables.append(model_table(models))
    if len(trained):
        figures["memory"] = memory_chart(trained)
    if len(scripts):
        tables.append(script_evidence.table(scripts))
        figures["scripts"] = script_evidence.chart(scripts)
    tables += cost_evidence.sweep_tables(by_part["sweep"], by_part["overhead"])
    if len(growth):
        tables += cost_evidence.growth_tables(growth)
        figures["growth"] = cost_evidence.growth_chart(growth)
    said = (
        script_evidence.summary(scripts),
        cost_evidence.sweep_summary(by_part["sweep"]),
        cost_evidence.growth_summary(growth),
    )
    return Evidence(tuple(verdicts(trained)), tuple(tables), figures, " ".join(filter(None, said)))


def verdicts(trained: pd.DataFrame) -> Iterator[Verdict]:
    """Memory of ResNets over that of ViTs at equal training speed, for each image size and precision.

    Per repetition: log2 of the ratio, mean over the seconds per image that both families pass through from one of their
    models to the next, which are joined by straight lines; nothing is extrapolated.
    """
    from vitlab.claims.curves import cost_ratio, front
    from vitlab.claims.interval import mean_interval
    from vitlab.claims.rule import judge

    for size, precision, rows in _settings(trained):
        arms = {name: rows[rows["model"].map(family) == name] for name in ("ResNet", "ViT")}
        if any(arm.empty for arm in arms.values()):
            continue
        lines = [front(_timed(arm), cost="memory_per_image", value="log_seconds") for arm in arms.values()]
        values = cost_ratio(*lines)
        apart = "" if values else f"at {size} px in {precision} no ViT and ResNet are equally fast: {_speeds(arms)}"
        about = {"image_size": size, "precision": precision}
        if values:
            about["factor"] = f"{2 ** mean_interval(list(values.values())).mean:.2g}"
        subject = f"{' and '.join(in_order(rows['model']))}, {size} px, {precision}"
        yield judge(MEMORY, values, data=DATA, subject=subject, failed=[apart] if apart else [], about=about)


def _settings(rows: pd.DataFrame) -> Iterator[tuple[int, str, pd.DataFrame]]:
    """Image size and precision with the rows of both."""
    if len(rows):
        for (size, precision), some in rows.groupby(["image_size", "precision"]):
            yield int(size), precision, some


def _timed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as curves over repetitions take them: a repetition is the seed, log2 of seconds an image the value."""
    import numpy as np

    return rows.assign(seed=rows["repeat"], log_seconds=-np.log2(rows["images_per_s"]))


def _speeds(arms: dict[str, pd.DataFrame]) -> str:
    ranges = {name: (arm["images_per_s"].min(), arm["images_per_s"].max()) for name, arm in arms.items()}
    return ", ".join(f"{name}s train {low:,.0f} to {high:,.0f} images/s" for name, (low, high) in ranges.items())


def model_table(models: pd.DataFrame) -> Table:
    """Speed, memory per image and largest batch of each model at each size and precision."""
    from vitlab.report.build import pivot
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Format, Table

    index = ["model", "image_size", "precision"]
    trained = models[models["mode"] == "training"]
    parts = [(models, "images_per_s", "{} images/s", Format(0, 1.0))]
    parts += [(models, "memory_per_image", "{}, MiB an image", Format(2, 1 / MIB))]
    parts += [(trained, "largest_batch", "largest batch", Format(0, 1.0))] if len(trained) else []
    frames: list[pd.DataFrame] = []
    formats: dict[str, Format] = {}
    for rows, value, title, how in parts:
        frame = pivot(rows, index, "mode", value, unit=REPEAT, accuracy=False).rename(columns=title.format)
        frames.append(frame)
        formats |= dict.fromkeys(map(str, frame.columns), how)
    joined = frames[0].join(frames[1:]).rename_axis(index=["model", "px", "precision"])
    n = models["repeat"].nunique()
    caption = (
        f"Mean of {n} repetitions [95% interval]. Memory: what one more image adds to the peak of a step; largest "
        f"batch: in training{busy(models)}. {describe(models)}."
    )
    return Table("models", _filled(joined), caption, formats=formats)


def _filled(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells that a join left empty as missing intervals."""
    from vitlab.claims.interval import MISSING, Interval

    return frame.map(lambda cell: cell if isinstance(cell, Interval) else MISSING)


def busy(rows: pd.DataFrame) -> str:
    """Words for a caption where other processes were at work."""
    most = rows["busy_cores"].max() if "busy_cores" in rows.columns else 0
    return f"; other processes kept up to {most:.1f} cores busy, so that speeds are too low" if most > 0.3 else ""


def memory_chart(trained: pd.DataFrame) -> Chart:
    """Memory per image against training speed: a line for each family, a panel for each image size and precision."""
    from vitlab.report.captions import seeds_line
    from vitlab.report.evidence import Chart, Panel

    panels = []
    for size, precision, rows in _settings(trained):
        families = dict.fromkeys(map(family, in_order(rows["model"])))
        lines = tuple(_line(name, rows[rows["model"].map(family) == name]) for name in families)
        panels.append(Panel(lines, f"{size} px, {precision}"))
    across = 2 if len(panels) in (2, 4) else 3
    return Chart(
        "Memory and speed in training",
        tuple(tuple(panels[at : at + across]) for at in range(0, len(panels), across)),
        "training images/s (log scale)",
        "peak memory of an image (MiB)",
        seeds_line(trained, REPEAT),
        log_x=True,
        scale=1 / MIB,
    )


def _line(name: str, rows: pd.DataFrame) -> Series:
    """The models of a family, from slow to fast."""
    from vitlab.claims.interval import mean_interval
    from vitlab.report.evidence import Point, Series

    points = []
    for _, model in rows.groupby("model"):
        seen = tuple((f"repetition {r}", float(m)) for r, m in model[["repeat", "memory_per_image"]].to_numpy())
        speed = float(f"{model['images_per_s'].mean():.2g}")
        points.append(Point(speed, mean_interval(model["memory_per_image"]), seen))
    return Series(name, tuple(sorted(points, key=lambda point: float(point.x))))
