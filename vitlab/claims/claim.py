"""A claim of the paper as a value, and the verdict on it: typed, frozen, to JSON and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from vitlab.claims.interval import Interval

Test = Literal["above", "alike"]
Outcome = Literal["holds", "does not hold", "undecided", "cannot be tested here"]


@dataclass(frozen=True)
class Claim:
    """A statement of the paper and how it is tested: a number per seed, `above` a bound or `alike` within a margin.

    `bound` and `margin` are in the units of the values (0.01 is one point); times `scale` they are in `unit`, with
    `digits` after the point. `paper` holds the paper's own numbers. A claim that is not `primary` is shown beside the
    others and never gets an easier bar. `says` has a clause for an outcome, such as "with {small:,} images the ResNet
    is {size} points ahead"; its names are those of `sentences.clause`. Raises ValueError for another test or outcome,
    and for `alike` without a margin above 0.
    """

    id: str
    section: str
    statement: str
    test: Test = "above"
    bound: float = 0.0
    margin: float = 0.01
    unit: str = "points"
    scale: float = 100.0
    digits: int = 1
    paper: str = ""
    primary: bool = True
    says: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.test not in get_args(Test):
            raise ValueError(f"{self.id}: a claim's test is 'above' or 'alike', not {self.test!r}.")
        if self.test == "alike" and not self.margin > 0:
            raise ValueError(
                f"{self.id}: 'alike' needs a margin above 0, not {self.margin}: what still counts as alike?"
            )
        if unknown := set(self.says) - set(get_args(Outcome)):
            raise ValueError(f"{self.id}: `says` has {sorted(unknown)}; outcomes are {', '.join(get_args(Outcome))}.")

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)} | {"says": dict(self.says)}

    @classmethod
    def from_json(cls, data: Any) -> Claim:
        """The claim that `to_json` wrote. Raises ValueError naming the field that is missing, unknown or wrong."""
        found = _checked(data, cls)
        for name in ("bound", "margin", "scale"):
            if name in found:
                found[name] = _number(found[name], f"claim.{name}")
        return cls(**found)


@dataclass(frozen=True)
class Verdict:
    """What the seeds of one data set say about a claim.

    `values` is the statistic of each seed, `interval` its mean with the 95% interval, `p` the test of `rule.judge` and
    `adjusted_p` the same after Holm over the data set (NaN before `rule.decide`). `odds` is the interval of the same
    comparison in log-odds, `failed` the preconditions that do not hold, in words with numbers, `about` what the
    sentences name (train sizes, models). `seeds_needed` seeds would decide it; None: more than 100, or not known.
    """

    claim: Claim
    data: str
    subject: str
    values: Mapping[int, float] = field(hash=False)
    interval: Interval
    p: float
    outcome: Outcome = "undecided"
    adjusted_p: float = math.nan
    odds: Interval | None = None
    odds_p: float = math.nan
    seeds_needed: int | None = None
    failed: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.outcome not in get_args(Outcome):
            raise ValueError(f"An outcome is one of {', '.join(get_args(Outcome))}, not {self.outcome!r}.")

    @property
    def disagreement(self) -> str:
        """How points and log-odds disagree about a difference, in words; empty where they agree or only one is given.

        Log-odds know no margin and no bound but 0, so that they have a say in claims above 0 alone.
        """
        if self.odds is None or self.claim.test != "above" or self.claim.bound != 0:
            return ""
        told = {"points": self.interval.excludes(0.0), "log-odds": self.odds.excludes(0.0)}
        if not any(told.values()):
            return ""
        if self.interval.mean * self.odds.mean < 0:
            return "points and log-odds speak for opposite signs"
        only = [name for name, excluded in told.items() if excluded]
        return f"only {only[0]} tell the difference from 0" if len(only) == 1 else ""

    @property
    def would_decide(self) -> str:
        """How many seeds would decide an undecided verdict, in words; empty where more seeds are not the question."""
        if self.outcome != "undecided":
            return ""
        if self.interval.n < 2:
            return "at least 2 seeds"
        if math.isnan(self.adjusted_p) or (self.odds is not None and "opposite" in self.disagreement):
            return ""
        return f"{self.seeds_needed} seeds" if self.seeds_needed else "over 100 seeds"

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values; NaN is null, since JSON has none."""
        return {
            "claim": self.claim.to_json(),
            "data": self.data,
            "subject": self.subject,
            "values": {str(seed): value for seed, value in self.values.items()},
            "interval": _interval_json(self.interval),
            "p": _or_null(self.p),
            "outcome": self.outcome,
            "adjusted_p": _or_null(self.adjusted_p),
            "odds": None if self.odds is None else _interval_json(self.odds),
            "odds_p": _or_null(self.odds_p),
            "seeds_needed": self.seeds_needed,
            "failed": list(self.failed),
            "about": {key: _or_null(value) if isinstance(value, float) else value for key, value in self.about.items()},
        }

    @classmethod
    def from_json(cls, data: Any) -> Verdict:
        """The verdict that `to_json` wrote. Raises ValueError naming the field that is missing, unknown or wrong."""
        found = _checked(data, cls)
        found["claim"] = Claim.from_json(found["claim"])
        found["interval"] = _interval(found["interval"], "interval")
        if found.get("odds") is not None:
            found["odds"] = _interval(found["odds"], "odds")
        for name in ("p", "adjusted_p", "odds_p"):
            if name in found:
                found[name] = _number(found[name], name)
        found["values"] = _values(found["values"])
        found["failed"] = tuple(found.get("failed", ()))
        return cls(**found)


def _checked(data: Any, cls: type) -> dict[str, Any]:
    """The JSON object `data` if its keys are fields of `cls` and none without a default is missing."""
    name = cls.__name__.lower()
    if not isinstance(data, Mapping):
        raise ValueError(f"A {name} in JSON is an object, not {data!r}.")
    known = {entry.name: entry for entry in fields(cls)}
    needed = {key for key, e in known.items() if e.default is NO_DEFAULT and e.default_factory is NO_DEFAULT}
    if missing := sorted(needed - set(data)):
        raise ValueError(f"The {name} {data.get('id', '')} lacks {', '.join(missing)}.".replace("  ", " "))
    if unknown := sorted(set(data) - set(known)):
        raise ValueError(f"A {name} has no field {', '.join(unknown)}; it has {', '.join(known)}.")
    return dict(data)


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: Any, name: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is a number or null, not {value!r}.")
    return float(value)


def _interval_json(interval: Interval) -> dict[str, float | None]:
    ends = {name: _or_null(getattr(interval, name)) for name in ("mean", "low", "high")}
    return ends | {"n": interval.n}


def _interval(data: Any, name: str) -> Interval:
    if not isinstance(data, Mapping) or set(data) != {"mean", "low", "high", "n"}:
        raise ValueError(f"{name} is an object with mean, low, high and n, not {data!r}.")
    mean, low, high = (_number(data[end], f"{name}.{end}") for end in ("mean", "low", "high"))
    return Interval(mean, low, high, int(_number(data["n"], f"{name}.n")))


def _values(data: Any) -> dict[int, float]:
    if not isinstance(data, Mapping):
        raise ValueError(f"values is an object from seed to number, not {data!r}.")
    try:
        return {int(seed): _number(value, f"values[{seed}]") for seed, value in data.items()}
    except ValueError as error:
        raise ValueError(f"values is an object from seed to number: {error}") from error
