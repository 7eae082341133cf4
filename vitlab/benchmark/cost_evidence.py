"""What rows of sweeps and of growing work say: what a run costs beside its training, and how cost grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitlab.benchmark.evidence import JOBS, MIB, REPEAT, busy

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.claims.interval import Interval
    from vitlab.report.evidence import Chart, Table

MEASURES = {"seconds": "time", "memory": "peak memory"}


def sweep_tables(sweeps: pd.DataFrame, overhead: pd.DataFrame) -> list[Table]:
    """Seconds and core-seconds of each way to do a sweep, and what a run of one step costs; none without rows."""
    import pandas as pd

    from vitlab.claims.interval import mean_interval
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Format, Table

    found = []
    if len(sweeps):
        wide = {name: _by_side(sweeps, name) for name in ("seconds", "core_s")}
        sides, runs = list(wide["seconds"].columns), int(sweeps["runs"].iloc[0])
        cells = {"seconds": [mean_interval(wide["seconds"][side]) for side in sides]}
        if JOBS in sides:
            ratios = {side: wide["seconds"][side] / wide["seconds"][JOBS] for side in sides}
            cells[f"times {JOBS}"] = [mean_interval(ratios[side]) for side in sides]
        cells["core-seconds a run"] = [mean_interval(wide["core_s"][side] / runs) for side in sides]
        frame = pd.DataFrame(cells, pd.Index(sides, name="way"), dtype=object)
        first = sweeps.iloc[0]
        caption = (
            f"{runs} trainings ({first['models']}) of {first['steps']:.0f} steps of {first['batch']:.0f} images, from "
            f"the start of the command to its table; ratios within a repetition{busy(sweeps)}. {describe(sweeps)}."
        )
        formats = {name: Format(2, 1.0) for name in cells} | {"seconds": Format(1, 1.0)}
        found.append(Table("sweep", frame, caption, formats=formats))
    if len(overhead):
        costs = {
            "seconds": [mean_interval(overhead["seconds"])],
            "core-seconds": [mean_interval(overhead["core_s"])],
        }
        frame = pd.DataFrame(costs, pd.Index(["a run of one step"], name="cost of"), dtype=object)
        caption = (
            "What one more run of one step adds to a sweep with --jobs auto: its data, model, step, validation, test, "
            f"checkpoint and rows{busy(overhead)}. {describe(overhead)}."
        )
        found.append(Table("overhead", frame, caption, scale=1.0, digits=2))
    return found


def _by_side(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    wide = rows.pivot(index="repeat", columns="side", values=value)
    return wide[list(dict.fromkeys(rows["side"]))]


def sweep_summary(sweeps: pd.DataFrame) -> str:
    """How many times longer the other ways take."""
    from vitlab.claims.interval import mean_interval

    if not len(sweeps) or JOBS not in set(sweeps["side"]):
        return ""
    wide = _by_side(sweeps, "seconds")
    said = [
        f"{mean_interval(wide[side] / wide[JOBS]).format(digits=2, scale=1.0)} times that with {side!r}"
        for side in wide.columns
        if side != JOBS
    ]
    ours = mean_interval(wide[JOBS]).format(digits=1, scale=1.0)
    return "; ".join([f"A sweep of {sweeps['runs'].iloc[0]:.0f} runs takes {ours} s with {JOBS!r}", *said]) + "."


def growth_tables(growth: pd.DataFrame) -> list[Table]:
    """Time and peak memory at every amount, and the powers with which they grow."""
    import pandas as pd

    from vitlab.report.build import pivot
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Format, Table

    units = {"seconds": ("seconds", Format(4, 1.0)), "memory": ("peak memory (MiB)", Format(1, 1 / MIB))}
    index = ["axis", "amount"]
    frames = [
        pivot(growth.assign(measure=title), index, "measure", name, unit=REPEAT, accuracy=False)
        for name, (title, _) in units.items()
    ]
    caption = (
        "Of a whole study for runs (of one step each) and train images, of an image in a training step for tokens and "
        f"parameters; mean of {growth['repeat'].nunique()} repetitions [95% interval]{busy(growth)}. "
        f"{describe(growth)}."
    )
    each = Table("growth", frames[0].join(frames[1:]), caption, formats=dict(units.values()))
    powers = {
        axis: {MEASURES[name]: power(rows, name) for name in MEASURES}
        for axis, rows in growth.groupby("axis", sort=False)
    }
    frame = pd.DataFrame(powers).T.rename_axis("grows with")
    said = "Slope of log cost over log amount: 1 is proportional, below 1 better."
    return [Table("powers", frame, said, scale=1.0, digits=2), each]


def power(rows: pd.DataFrame, value: str) -> Interval:
    """With which power of `amount` the `value` grows: least squares in logarithms, in each repetition."""
    import numpy as np

    from vitlab.claims.interval import mean_interval

    return mean_interval(
        [
            float(np.polyfit(np.log(one["amount"].astype(float)), np.log(one[value]), 1)[0])
            for _, one in rows.groupby("repeat")
            if one["amount"].nunique() > 1 and (one[value] > 0).all()
        ]
    )


def growth_chart(growth: pd.DataFrame) -> Chart:
    """Time and memory as multiples of those at the smallest amount, against the amount."""
    import pandas as pd

    from vitlab.report.build import curves

    parts = []
    for (_, _), rows in growth.groupby(["axis", "repeat"], sort=False):
        rows = rows.sort_values("amount", kind="stable")
        parts += [
            rows.assign(measure=title, times=rows[name] / rows[name].iloc[0])
            for name, title in MEASURES.items()
            if (rows[name] > 0).all()
        ]
    return curves(
        pd.concat(parts),
        x="amount",
        y="times",
        series="measure",
        panel="axis",
        unit=REPEAT,
        accuracy=False,
        title="How cost grows",
        xlabel="amount (log scale)",
        ylabel="times the cost of the smallest",
        log_x=True,
        scale=1.0,
    )


def growth_summary(growth: pd.DataFrame) -> str:
    """The powers of time, in one sentence."""
    if not len(growth):
        return ""
    said = [
        f"{axis} {power(rows, 'seconds').format(digits=2, scale=1.0)}"
        for axis, rows in growth.groupby("axis", sort=False)
    ]
    return f"Time grows with the power of: {', '.join(said)}."
