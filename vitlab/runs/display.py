"""What a person sees while a study runs: one progress bar with the time left, and a line for each finished run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from vitlab.runs.place import Outcome, Prepared
from vitlab.runs.run import Run

# FLOP/s that one process reaches on small models; only a first guess, until runs of the study have finished.
USUAL_RATE = {"cpu": 6e10, "cuda": 2e13}


class Display:
    """Progress over `runs`, weighted by what each costs in FLOPs; use it in a `with` statement."""

    def __init__(self, console: Console, runs: Sequence[Run], flops: Mapping[str, float]) -> None:
        self.console, self.flops = console, flops
        self.total = sum(flops[run.id] for run in runs) or 1.0
        self.done, self.partly, self.began = 0.0, dict[str, float](), time.monotonic()
        self.count, self.number = 0, len(runs)
        columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console, transient=True)

    def __enter__(self) -> Display:
        self.progress.start()
        self.bar = self.progress.add_task(f"0/{self.number} runs", total=1.0)
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def event(self, event: Mapping[str, Any]) -> None:
        """Take up what a worker reports."""
        if event["kind"] == "round":
            self.partly[event["run"]] = event["share"] * self.flops.get(event["run"], 0.0)
            self._draw()

    def ended(self, run: Run, outcome: Outcome) -> None:
        """Print a run's line and move the bar."""
        text = outcome_line(run, outcome)
        if outcome.status == "stopped":
            self.progress.console.print(f"          {text}", highlight=False, soft_wrap=True)
            return
        self.count += 1
        self.partly.pop(run.id, None)
        self.done += self.flops.get(run.id, 0.0)
        self.progress.console.print(f"[dim]{self.count:>4}/{self.number}[/] {text}", highlight=False, soft_wrap=True)
        self._draw()

    def _draw(self) -> None:
        share = min(1.0, (self.done + sum(self.partly.values())) / self.total)
        elapsed = time.monotonic() - self.began
        left = f", about {duration(elapsed * (1 - share) / share)} left" if share > 0.02 else ""
        self.progress.update(self.bar, completed=share, description=f"{self.count}/{self.number} runs{left}")


def duration(seconds: float) -> str:
    """A length of time for people: `45 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def outcome_line(run: Run, outcome: Outcome) -> str:
    """One line that says how a run ended, in rich's markup."""
    name = escape(str(run))
    if outcome.status == "failed":
        return f"[red]failed[/] {name}: {escape(outcome.reason.strip().splitlines()[-1])}"
    if outcome.status == "stopped":
        return f"[yellow]stopped[/] {name}, goes on when asked again"
    scores = {row["split"]: f"{100 * row['score']:.1f}%" for row in outcome.rows if "wall_s" in row}
    if not scores:
        return name
    seconds = outcome.rows[0]["wall_s"]
    return f"{name}: test {scores['test']} (validation {scores['validation']}), {seconds:.1f} s"


def estimate(
    left: Sequence[Run], done: Mapping[Run, Sequence[Mapping[str, Any]]], prepared: Prepared, jobs: int
) -> tuple[float, str]:
    """Seconds that the runs in `left` will take, and what that rests on: finished runs in `done`, else a usual rate.

    No number of `jobs` makes it shorter than the longest run with those that it waits for.
    """
    rates: dict[str, list[float]] = {}
    for run, rows in done.items():
        seconds = next((row["wall_s"] for row in rows if row["status"] == "finished" and row.get("wall_s")), 0)
        if seconds:
            rates.setdefault(run.model, []).append(prepared.flops[run.id] / seconds)
    usual = USUAL_RATE[prepared.device]
    mean = {model: sum(found) / len(found) for model, found in rates.items()}
    known = sum(mean.values()) / len(mean) if mean else usual
    spent = {run.id: prepared.flops[run.id] / mean.get(run.model, known) for run in left}
    longest = max((sum(spent.get(link.id, 0.0) for link in run.chain()) for run in left), default=0.0)
    basis = (
        f"from {sum(map(len, rates.values()))} finished runs" if rates else f"at a usual {usual:.0e} FLOP/s a process"
    )
    return max(sum(spent.values()) / jobs, longest), basis
