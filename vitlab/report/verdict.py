"""Statements of the paper held against our rows: yes or no only where the evidence decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from vitlab.report.intervals import Interval, p_mean
from vitlab.report.trend import format_p

Holds = Literal["yes", "no", "undecided"]
Claim = Literal["above", "below", "alike"]


@dataclass(frozen=True)
class Verdict:
    """Whether a statement holds, by which numbers (`evidence`), and where it is made (`source`: section or figure)."""

    statement: str
    holds: Holds
    evidence: str
    source: str

    def __post_init__(self) -> None:
        if self.holds not in get_args(Holds):
            raise ValueError(f"A verdict is one of {', '.join(get_args(Holds))}, not {self.holds!r}.")

    def sentence(self) -> str:
        """Statement, verdict and evidence in one plain sentence."""
        word = {"yes": "Holds", "no": "Does not hold", "undecided": "Undecided"}[self.holds]
        return f"{word}: {self.statement.rstrip('.')} ({self.evidence}; {self.source})."


def decide(
    interval: Interval, p: float, claim: Claim, *, null: float = 0.0, margin: float = 0.0, alpha: float = 0.05
) -> Holds:
    """`yes`, `no` or `undecided` about a claim on a mean over seeds.

    `above` and `below` need the interval off `null` and p < `alpha`, in the claimed direction for yes, in the other for
    no. `alike` asks for the interval inside `null` +- `margin` (an equivalence test) or wholly outside of it; p is not
    used there, since no difference found is not evidence of none. Raises ValueError for another claim or no margin.
    """
    if claim not in get_args(Claim):
        raise ValueError(f"A claim is one of {', '.join(get_args(Claim))}, not {claim!r}.")
    if claim == "alike":
        if margin <= 0:
            raise ValueError(
                f"The claim 'alike' needs a margin above 0, not {margin}: how far apart still counts as alike?"
            )
        if interval.low >= null - margin and interval.high <= null + margin:
            return "yes"
        return "no" if interval.low > null + margin or interval.high < null - margin else "undecided"
    if not (interval.excludes(null) and p < alpha):
        return "undecided"
    return "yes" if (interval.mean > null) == (claim == "above") else "no"


def judge(
    statement: str,
    values: Sequence[float],
    claim: Claim,
    *,
    source: str,
    interval: Interval,
    unit: str = "points",
    scale: float = 100.0,
    digits: int = 1,
    null: float = 0.0,
    margin: float = 0.0,
    alpha: float = 0.05,
) -> Verdict:
    """The verdict on a mean over seeds: `values` (one per seed) give p by a t-test, `interval` is their interval.

    The evidence reads `-12.3 [-14.0, -10.1] points, p = 0.004, n = 3`; `scale` turns the values into `unit`.
    """
    p = p_mean(values, null=null)
    holds = decide(interval, p, claim, null=null, margin=margin, alpha=alpha)
    numbers = interval.format(scale=scale, digits=digits, sign=null == 0)
    words = f", alike within {margin * scale:g} {unit}" if claim == "alike" else f", {format_p(p)}"
    return Verdict(statement, holds, f"{numbers} {unit}{words}, n = {interval.n}", source)


def to_markdown(verdicts: Sequence[Verdict]) -> str:
    """A Markdown table of the verdicts; ends in a newline."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|").replace("\n", " ")

    lines = ["| statement | holds here? | evidence | where the paper says it |", "| --- | --- | --- | --- |"]
    lines += [f"| {cell(v.statement)} | **{v.holds}** | {cell(v.evidence)} | {cell(v.source)} |" for v in verdicts]
    return "\n".join(lines) + "\n"
