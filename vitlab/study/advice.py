"""What a person can act on: which model to take, what more images would bring, whether pre-trained weights are better.

advised(rows)       a paragraph in plain words, a table and a chart of what to expect, from rows of arms at train sizes

Rows are as `vitlab.study.beside.arms` gives them: `model` names the arm. An arm is chosen on the validation split; what
is said of it was measured on the test split.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from vitlab.claims.curves import SIZES, Factor, data_factor
from vitlab.claims.interval import MISSING, Interval, mean_interval
from vitlab.claims.learning_curve import Forecast, forecast
from vitlab.claims.preconditions import LEAST_SEEDS
from vitlab.claims.sentences import readable
from vitlab.claims.statistics import gap, sampling_error
from vitlab.gallery.captions import MISTAKES
from vitlab.report.averaging import points
from vitlab.report.evidence import Chart, Format, Panel, Picture, Point, Series, Table
from vitlab.report.families import in_order, matched_pairs

MORE = {2: "twice", 10: "ten times"}
FLOORS = "floors"
NOTHING = "cannot say"


@dataclass(frozen=True)
class Advice:
    """The words, and the table and the chart behind them."""

    summary: str = ""
    tables: tuple[Table, ...] = ()
    figures: dict[str, Chart] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)


@dataclass(frozen=True)
class _Known:
    """The rows, by what they are of; `largest` train size, `every` image that could be trained on; forecasts by arm."""

    trained: pd.DataFrame
    floors: pd.DataFrame
    largest: int
    every: int
    best: str
    forecasts: dict[str, Forecast]

    @property
    def test(self) -> pd.DataFrame:
        return self.trained[self.trained["split"] == "test"]

    def at(self, size: int) -> pd.DataFrame:
        return self.trained[self.trained[SIZES] == size]


def advised(rows: pd.DataFrame) -> Advice:
    """Advice from the rows of all arms; none where no model has been validated."""
    floors = rows[rows["task.kind"] == FLOORS]
    trained = rows[rows["task.kind"] != FLOORS].dropna(subset=[SIZES, "score"])
    if not (trained["split"] == "validation").any():
        return Advice()
    counted = floors["train_split"].dropna() if "train_split" in floors.columns else ()
    largest, every = shared_size(trained), int(max([trained[SIZES].max(), *counted]))
    at = (every, *(more * every for more in MORE))
    forecasts = {name: forecast(trained[trained["model"] == name], at) for name in in_order(trained["model"])}
    known = _Known(trained, floors, largest, every, chosen(trained[trained[SIZES] == largest]), forecasts)
    said = [_take(known), _floors(known), _expect(known), _factors(known), _pretrained(known)]
    return Advice(" ".join(filter(None, said)), (_table(known), *_doubts(known)), _figure(known), MISTAKES)


def shared_size(rows: pd.DataFrame) -> int:
    """The largest train size that every arm has been validated at, or the largest of all where they share none."""
    validated = rows[rows["split"] == "validation"]
    arms = validated.groupby(SIZES)["model"].nunique()
    return int(max(arms.index[arms == validated["model"].nunique()], default=arms.index.max()))


def chosen(rows: pd.DataFrame) -> str:
    """The arm with the best mean validation accuracy in `rows`, which are of one train size."""
    means = rows[rows["split"] == "validation"].groupby("model")["score"].mean()
    return next(name for name in in_order(means.index) if means[name] == means.max())


def _lead(known: _Known, first: str, second: str, size: int) -> Interval:
    """Test accuracy of `first` minus that of `second` with so many images, over the seeds that have both."""
    test = known.at(size)[known.at(size)["split"] == "test"]
    ours, theirs = (test[test["model"] == name] for name in (first, second))
    if ours.empty or theirs.empty:
        return MISSING
    return mean_interval(list(gap(test, first, second).values()), sampling=sampling_error(ours, theirs))


def _accuracy(rows: pd.DataFrame) -> Interval:
    """The accuracy of test rows of one arm at one size, as every table has it."""
    (point,) = points(rows, SIZES, "score")
    return point.interval


def _share(interval: Interval) -> str:
    """`98.9% [97.5, 100.0]`."""
    mean, _, rest = interval.format().partition(" ")
    return f"{mean}% {rest}".strip()


def _take(known: _Known) -> str:
    """Which model, with its accuracy, those that are not told apart from it, and those that are ahead of it."""
    best, last = known.best, known.at(known.largest)
    test = last[last["split"] == "test"]
    images = f"{known.largest:,}" + (f" of the {known.every:,}" if known.largest < known.every else "")
    if len(known.floors) and known.largest == known.every:  # without floors nobody has counted all of them
        images = f"all {images}"
    said = [f"With {images} training images take {best}: {_share(_accuracy(test[test['model'] == best]))} in test"]
    others, tied = [name for name in in_order(test["model"]) if name != best], _tied(known)
    if others and test["seed"].nunique() < 2:
        return f"{said[0]}, chosen on validation; one seed tells no models apart."
    apart = "it is" if len(tied) == 1 else "they are"
    said += [f"{_listed(tied)} may be as good: {apart} not told apart from it"] if tied else []
    ahead = [name for name, lead in _leads(known).items() if lead.high < 0]
    said += [f"{_listed(ahead)} {'is' if len(ahead) == 1 else 'are'} ahead of it in test"] if ahead else []
    return "; ".join([f"{said[0]}, chosen on validation", *said[1:]]) + "."


def _tied(known: _Known) -> list[str]:
    """The arms that are not told apart from the best one."""
    return [name for name, lead in _leads(known).items() if not lead.excludes(0)]


def _leads(known: _Known) -> dict[str, Interval]:
    """How far the best arm is ahead of each other one in test."""
    others = [name for name in in_order(known.at(known.largest)["model"]) if name != known.best]
    return {name: _lead(known, known.best, name, known.largest) for name in others}


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _floors(known: _Known) -> str:
    """What takes no model, and whether the best one is ahead of it."""
    last = known.floors[known.floors[SIZES] == known.largest]
    if last.empty:
        return ""
    means = last.groupby("model")["score"].mean()
    words = ", ".join(f"{name} {100 * means[name]:.1f}%" for name in means.sort_values(kind="stable").index)
    test = known.at(known.largest).query("split == 'test'")
    ours, theirs = test[test["model"] == known.best], last[last["model"] == means.idxmax()]
    lead = mean_interval(
        list(gap(pd.concat([ours, theirs]), known.best, means.idxmax()).values()), sampling=sampling_error(ours, theirs)
    )
    return f"Without a model: {words}.{_beside(means.idxmax(), lead)}"


def _beside(floor: str, lead: Interval) -> str:
    """Whether a model with this lead over a floor is ahead of it; nothing where one seed gives no interval."""
    if math.isnan(lead.low) or lead.low > 0:
        return ""
    if lead.high < 0:
        return f" The {floor} is ahead of the model, which has not learnt what pixels alone tell: train longer."
    return f" The {floor} may be as good as the model: they are not told apart."


def _expect(known: _Known) -> str:
    """What the learning curve of the best model says of more images, or else of one that may be as good."""
    best = known.forecasts[known.best]
    if not best.doubts:
        return _expected(known, known.best)
    more = len(best.doubts) - 1
    rest = f"; and {more} more reason{'s' * (more > 1)}" if more else ""
    said = f"What more images would bring {known.best} cannot be said: {best.doubts[0]}{rest}."
    others = [name for name in _tied(known) if not known.forecasts[name].doubts]
    return " ".join([said, *(_expected(known, name) for name in others[:1])])


def _expected(known: _Known, name: str) -> str:
    """The accuracies to expect of an arm, and how well its curve predicted what is known."""
    found = known.forecasts[name]
    now, *later = found.expected
    said = [f"with all {known.every:,} images {_share(now)}"] if known.largest < known.every else []
    said += [
        f"with {word} as many ({more * known.every:,}) {_share(value)}"
        for (more, word), value in zip(MORE.items(), later, strict=True)
    ]
    side = "above" if found.off > 0 else "below"
    return (
        f"Expect of {name} {_listed(said)}, as its learning curve goes on; the smaller sizes predicted the largest "
        f"{100 * abs(found.off):.1f} points {side} what came out."
    )


def _factors(known: _Known) -> str:
    """How many times more images the ViT needs, for each matched pair: at the best accuracy that both reach."""
    scratch = known.test[known.test["init"].isna()]
    return " ".join(_factor(scratch, vit, cnn) for vit, cnn in matched_pairs(scratch["model"]))


def _factor(rows: pd.DataFrame, vit: str, cnn: str) -> str:
    found: list[Factor] = data_factor(rows, vit, cnn, accuracies=[percent / 100 for percent in range(2, 100, 2)])
    if rows["seed"].nunique() < LEAST_SEEDS or (found and found[-1].interval.n < LEAST_SEEDS):
        return f"How many more images {vit} needs than {cnn} takes {LEAST_SEEDS} seeds to say."
    if not found:
        return f"How many more images {vit} needs than {cnn} cannot be said: they share no accuracy that each passes."
    last = found[-1]
    mean, low, high = map(_factor_of_images, (last.interval.mean, last.interval.low, last.interval.high))
    times = f"{mean} [{low}, {high}] times"
    if last.interval.excludes(1):
        return f"For {100 * last.accuracy:.0f}% {vit} needs {times} as many images as {cnn}."
    return (
        f"Whether {vit} needs more images than {cnn} is not decided ({times} as many for {100 * last.accuracy:.0f}%)."
    )


def _factor_of_images(times: float) -> str:
    """A factor for reading, on its own side of 1."""
    return f"{times:.2f}" if readable(times) == "1" else readable(times)


def _pretrained(known: _Known) -> str:
    """Whether the best pre-trained arm is ahead of the best one from scratch, with few images and with many."""
    started = known.trained["init"].notna()
    if not started.any() or started.all():
        return ""
    few, said = int(known.trained[SIZES].min()), []
    for size in dict.fromkeys((few, known.largest)):
        own = known.at(size)
        sides = own[own["init"].notna()], own[own["init"].isna()]
        if any((side["split"] != "validation").all() for side in sides):
            continue
        ours, theirs = map(chosen, sides)
        lead = _lead(known, ours, theirs, size)
        how = "better" if lead.low > 0 else "worse" if lead.high < 0 else "not told apart"
        said.append(f"{how} with {size:,} images ({ours} against {theirs}: {lead.format(sign=True)} points)")
    return f"Pre-trained weights, held against training from scratch, are {' and '.join(said)}." if said else ""


def _table(known: _Known) -> Table:
    """Of every arm: what was measured last, what to expect, the check and the curve."""
    test, rows = known.test, {}
    for name, found in known.forecasts.items():
        last = test[(test["model"] == name) & (test[SIZES] == known.largest)]
        curve = found.curve
        expected = found.expected or (NOTHING,) * (1 + len(MORE))
        rows[name] = {
            f"{known.largest:,} measured": _accuracy(last) if len(last) else MISSING,
            **({f"{known.every:,}": expected[0]} if known.every > known.largest else {}),
            **{f"{more * known.every:,}": value for more, value in zip(MORE, expected[1:], strict=True)},
            "check (points)": found.off,
            "c (%)": curve.c if curve else float("nan"),
            "b": curve.b if curve else float("nan"),
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model").astype(object)
    caption = (
        "Accuracy in % to expect with more images: error = c + a n^-b, fitted to the means over seeds [95% interval, "
        "jackknife over seeds]. Check: the accuracy that the smaller sizes predict for the largest, minus what was "
        "measured there."
    )
    formats = {"check (points)": Format(sign=True), "c (%)": Format(), "b": Format(digits=2, scale=1.0)}
    return Table("expected", frame, caption, formats=formats)


def _doubts(known: _Known) -> list[Table]:
    """Why nothing is expected of an arm, in words; no table where something is of each."""
    why = {name: "; ".join(found.doubts) for name, found in known.forecasts.items() if found.doubts}
    if not why:
        return []
    frame = pd.DataFrame({"why it cannot be said": why}).rename_axis("model")
    return [Table("unsaid", frame, "Why no accuracy with more images is expected of these.")]


def _figure(known: _Known) -> dict[str, Chart]:
    """Measured accuracy and, from the largest size on, what to expect; nothing where no curve can be trusted."""
    told = {name: found.expected for name, found in known.forecasts.items() if found.expected}
    if not told:
        return {}
    at = [known.every, *(more * known.every for more in MORE)]
    series = []
    for name, expected in told.items():
        seen = points(known.test[known.test["model"] == name], SIZES, "score")
        later = tuple(Point(n, value) for n, value in zip(at, expected, strict=True) if n > known.largest)
        series += [Series(name, seen), Series(f"{name}, expected", (replace(seen[-1], seeds=()), *later))]
    title, xlabel = "What to expect of more images", "training images (log scale)"
    about = {"xlabel": xlabel, "ylabel": "test accuracy (%)", "subtitle": "learning curves, with 95% intervals"}
    return {"expected": Chart(title, ((Panel(tuple(series)),),), log_x=True, **about)}  # type: ignore[arg-type]
