"""From rows of two arms to a verdict: the difference per seed in points and log-odds, with all preconditions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.curves import (
    SIZES,
    curves,
    gain_weights,
    gap_curves,
    gap_sampling,
    plateau,
    sampling_along,
    shared_points,
    slope_weights,
    slopes,
)
from vitlab.claims.interval import paired
from vitlab.claims.preconditions import cut_short, few_seeds, near_floor
from vitlab.claims.rule import judge
from vitlab.claims.statistics import LOG_ODDS, arm, gap, sampling_error, with_log_odds

if TYPE_CHECKING:
    import pandas as pd


def compare(
    claim: Claim,
    rows: pd.DataFrame,
    first: Any,
    second: Any,
    *,
    by: str = "model",
    at: Mapping[str, Any] | None = None,
    untrained: pd.DataFrame | None = None,
    doubts: Iterable[str] = (),
    about: Mapping[str, Any] | None = None,
    data: str = "",
) -> Verdict | None:
    """The verdict on score(`first`) - score(`second`), values of column `by`, at one point of the rows.

    `rows` are of one split. `at` says at which point, such as {"train_images": 500}; `untrained` are rows of the same
    probe on weights that were never trained, `doubts` further preconditions that fail. None where an arm has no rows.
    """
    try:
        arms = [arm(rows, name, by=by, at=at) for name in (first, second)]
    except ValueError:
        return None
    return judged(
        claim,
        gap(rows, first, second, at=at, by=by),
        arms,
        odds=gap(with_log_odds(rows), first, second, at=at, by=by, value=LOG_ODDS),
        sampling=sampling_error(*arms),
        odds_sampling=sampling_error(*arms, odds=True),
        by=by,
        untrained=untrained,
        doubts=doubts,
        about={**(at or {}), "first": first, "second": second, **(about or {})},
        data=data,
    )


def closing(claim: Claim, rows: pd.DataFrame, first: Any, second: Any, *, x: str, **more: Any) -> Verdict | None:
    """The verdict on the slope of the gap in log-odds, `first` - `second`, per doubling of `x`.

    At the points that both were planned at; None for fewer than two.
    """
    rows = rows[rows[x].isin(shared_points(rows, first, second, x=x))]
    if rows[x].nunique() < 2:
        return None
    values = slopes(gap_curves(with_log_odds(rows), first, second, x=x, value=LOG_ODDS))
    sampling = gap_sampling(rows, first, second, slope_weights, x=x, odds=True)
    return _along(claim, values, rows, first, second, x, sampling=sampling, **more)


def last_gain(claim: Claim, rows: pd.DataFrame, first: Any, second: Any, *, x: str, **more: Any) -> Verdict | None:
    """The verdict on what `first` gains in log-odds over the last quadrupling of `x` minus what `second` gains.

    At the points that both were planned at; None for fewer than two.
    """
    rows = rows[rows[x].isin(shared_points(rows, first, second, x=x))]
    if rows[x].nunique() < 2:
        return None
    values = plateau(with_log_odds(rows), first, second, x=x)
    sampling = gap_sampling(rows, first, second, gain_weights, x=x, odds=True)
    before = rows.loc[4 * rows[x] <= rows[x].max(), x]
    if before.empty:
        more["doubts"] = (*more.get("doubts", ()), f"{x.replace('_', ' ')} span less than a quadrupling")
    last = rows[rows[x] >= before.max()] if len(before) else rows
    return _along(claim, values, rows, first, second, x, points=last, sampling=sampling, **more)


def gains(claim: Claim, rows: pd.DataFrame, first: Any, second: Any, *, x: str, **more: Any) -> Verdict | None:
    """The verdict on the lead of `first` over `second` at the largest `x` minus that at the smallest."""
    few, many = rows[x].min(), rows[x].max()
    there = rows[rows[x].isin((few, many))].groupby("model")[x].nunique()
    if few == many or not all(there.get(name) == 2 for name in (first, second)):
        return None
    odds = with_log_odds(rows)
    values = paired(*(gap(rows, first, second, at={x: size}) for size in (many, few)))
    more["odds"] = paired(*(gap(odds, first, second, at={x: size}, value=LOG_ODDS) for size in (many, few)))
    ends = [rows[(rows["model"] == name) & (rows[x] == size)] for name in (first, second) for size in (few, many)]
    more |= {"sampling": sampling_error(*ends), "odds_sampling": sampling_error(*ends, odds=True)}
    return _along(claim, values, rows, first, second, x, points=rows[rows[x].isin((few, many))], **more)


def losses(
    claim: Claim, rows: pd.DataFrame, first: Any, second: Any = None, *, by: str, before: Any, after: Any, **more: Any
) -> Verdict | None:
    """The verdict on the accuracy that model `first` loses from `before` to `after`, values of column `by`, minus what
    `second` loses (None: nothing to subtract); in log-odds too where two are compared. None where an arm has no rows.
    """
    models = [name for name in (first, second) if name is not None]
    own = with_log_odds(rows[rows["model"].isin(models) & rows[by].isin((before, after))])
    arms = [points for _, points in own.groupby(["model", by])]
    if len(arms) < 2 * len(models):
        return None

    def lost(value: str) -> dict[int, float]:
        each = [gap(own[own["model"] == name], before, after, by=by, value=value) for name in models]
        return paired(*each) if len(each) > 1 else each[0]

    about = {"first": first, "second": second, "after": after}
    more |= {"odds": lost(LOG_ODDS), "odds_sampling": sampling_error(*arms, odds=True)} if len(models) > 1 else {}
    return judged(claim, lost("score"), arms, x=SIZES, sampling=sampling_error(*arms), about=about, **more)


def per_doubling(
    claim: Claim, rows: pd.DataFrame, first: Any, second: Any = None, *, x: str, by: str = "model", **more: Any
) -> Verdict | None:
    """The verdict on the accuracy that `first` gains per doubling of `x`, minus what `second` gains of its own points.

    `second` None is nothing to subtract. None where an arm has fewer than two points.
    """
    arms = [rows[rows[by] == name] for name in (first, second) if name is not None]
    if any(points[x].nunique() < 2 for points in arms):
        return None

    def gained(value: str) -> dict[int, float]:
        each = [slopes(curves(with_log_odds(points), x=x, value=value)) for points in arms]
        return paired(*each) if second is not None else each[0]

    errors = [
        math.hypot(*(sampling_along(points, slope_weights, x=x, odds=odds) for points in arms))
        for odds in (False, True)
    ]
    about = {"first": first, "second": second}
    return judged(
        claim,
        gained("score"),
        arms,
        by=by,
        x=x,
        odds=gained(LOG_ODDS),
        sampling=errors[0],
        odds_sampling=errors[1],
        about=about,
        **more,
    )


def _along(
    claim: Claim,
    values: Mapping[int, float],
    rows: pd.DataFrame,
    first: Any,
    second: Any,
    x: str,
    *,
    points: pd.DataFrame | None = None,
    doubts: Iterable[str] = (),
    untrained: pd.DataFrame | None = None,
    **more: Any,
) -> Verdict:
    """The verdict on a statistic of two curves, after the preconditions of every one of their `points` (all rows)."""
    shown = rows if points is None else points
    arms = [shown[shown["model"] == name] for name in (first, second)]
    failed = [words for rows_of in arms for words in _failing_points(rows_of, x, untrained)]
    few, many = (int(end) if end == int(end) else end for end in (rows[x].min(), rows[x].max()))
    more["about"] = {"first": first, "second": second, "few": few, "many": many}
    return _stated(claim, values, arms, [*doubts, *few_seeds(len(values)), *failed], **more)


def _failing_points(rows: pd.DataFrame, x: str, untrained: pd.DataFrame | None, *, by: str = "model") -> list[str]:
    """The preconditions that fail at any point of a curve: the first, and how many more."""
    if rows[x].nunique() < 2:
        return preconditions(rows, untrained, by=by)
    found: list[str] = []
    for at, there in rows.groupby(x):
        where = f" ({x.replace('_', ' ')}: {at:,g})"
        found += [words + where for words in preconditions(there, untrained, by=by)]
    return found if len(found) < 2 else [f"{found[0]}, and {len(found) - 1} more of its points"]


def judged(
    claim: Claim,
    values: Mapping[int, float],
    arms: Iterable[pd.DataFrame],
    *,
    by: str = "model",
    x: str = "",
    untrained: pd.DataFrame | None = None,
    doubts: Iterable[str] = (),
    **more: Any,
) -> Verdict:
    """`rule.judge` on any statistic of some arms (their rows), after the preconditions of each of them.

    Where an arm has several points along column `x`, they are those of every point: their mean hides one at chance.
    `more` goes to `judge`: log-odds, sampling errors. `data` is what the claim is about, by default the rows' own sets.
    """
    arms = list(arms)
    each = (_failing_points(rows, x, untrained, by=by) if x else preconditions(rows, untrained, by=by) for rows in arms)
    failed = [*doubts, *(words for found in each for words in found)]
    return _stated(claim, values, arms, failed, by=by, **more)


def preconditions(rows: pd.DataFrame, untrained: pd.DataFrame | None = None, *, by: str = "model") -> list[str]:
    """Why the rows of one arm, at one point, cannot be compared with others."""
    return [*near_floor(rows, untrained, by=by), *cut_short(rows, by=by), *_edges(rows, by)]


def _stated(
    claim: Claim,
    values: Mapping[int, float],
    arms: Sequence[pd.DataFrame],
    failed: Iterable[str],
    *,
    by: str = "model",
    data: str = "",
    **more: Any,
) -> Verdict:
    """`rule.judge`, with the data and the names that the rows have."""
    titles = dict.fromkeys(title for rows in arms for title in rows["title"])
    names = dict.fromkeys(str(name) for rows in arms for name in rows[by])
    return judge(
        claim,
        values,
        data=data or " and ".join(titles),
        subject=" against ".join(names),
        failed=tuple(dict.fromkeys(failed)),
        **more,
    )


def _edges(rows: pd.DataFrame, by: str) -> list[str]:
    """Arms whose rate, chosen among several, is the smallest or the largest of them (see `best_rate`)."""
    if "at_edge" not in rows.columns:
        return []
    edge = rows[rows["at_edge"].eq(True)].drop_duplicates([by, "recipe.lr"])
    return [
        f"the rate of {name}, {rate:g}, is at the edge of those tried"
        for name, rate in zip(edge[by], edge["recipe.lr"], strict=True)
    ]
