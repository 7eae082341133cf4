"""Options of a command line that change none of a plan's runs, so that what comes out answers another question.

`--lr` does nothing where every family has its rate in `--learning_rates`, `--steps` where a study varies them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

from vitlab.runs.run import Run


def unused(plan: Callable[[Any], list[Run]], settings: Any, given: Collection[str]) -> list[str]:
    """A warning for each option of `given`, as `options_given` names them, that `plan(settings)` does not depend on.

    Nothing where the plan of `settings` itself cannot be had or is empty, since the study then measures by itself.
    """
    planned = _planned(plan, lambda: settings)
    if not planned:
        return []
    return [
        f"Warning: --{option} changes nothing here, since no run of this plan depends on it."
        for option, other in others(settings)
        if option.replace("-", "_") in given and _planned(plan, other) == planned
    ]


def not_redrawn(folder: Callable[[Any], Path], settings: Any, given: Collection[str]) -> list[str]:
    """A warning for each option of `given` that a redraw does not look at: all that do not lead to another `folder`."""
    return [
        f"Warning: --{option} changes nothing in a redraw, which takes the settings on record; leave out --redraw for "
        "others."
        for option, other in others(settings)
        if option.replace("-", "_") in given and _same_folder(folder, other, settings)
    ]


def _same_folder(folder: Callable[[Any], Path], other: Callable[[], Any], settings: Any) -> bool:
    try:
        return folder(other()) == folder(settings)
    except ValueError:  # what is refused leads nowhere
        return False


def _planned(plan: Callable[[Any], list[Run]], settings: Callable[[], Any]) -> list[Run] | None:
    try:
        return [_looked_at(run) for run in plan(settings())]
    except ValueError:  # what is refused is looked at
        return None


def _looked_at(run: Run) -> Run:
    """`run` without steps that nobody takes, since its recipe counts in epochs."""
    recipe = replace(run.recipe, steps=1) if run.recipe.epochs else run.recipe
    return replace(run, recipe=recipe, init=_looked_at(run.init) if isinstance(run.init, Run) else run.init)


def others(settings: Any, inside: str = "") -> Iterator[tuple[str, Callable[[], Any]]]:
    """By its option each setting that can be another, and how the settings are made that have another value there."""
    hints = get_type_hints(type(settings), include_extras=True)
    for f in fields(settings):
        value, option = getattr(settings, f.name), inside + f.name
        if is_dataclass(value):
            unnamed = any(getattr(note, "name", None) == "" for note in getattr(hints[f.name], "__metadata__", ()))
            for name, other in others(value, "" if unnamed else f"{option}."):
                yield name, partial(_with, settings, f.name, other)
        elif isinstance(value, Mapping):
            yield option, partial(replace, settings, **{f.name: {}})
            for key in value:
                less = {known: value[known] for known in value if known != key}
                yield f"{option}.{key}", partial(replace, settings, **{f.name: less})
        elif (another := _another(value, f)) != value:
            yield option, partial(replace, settings, **{f.name: another})


def _with(settings: Any, name: str, part: Callable[[], Any]) -> Any:
    return replace(settings, **{name: part()})


def _another(value: Any, field: Field[Any]) -> Any:
    """A value that is not `value`: a number twice as large, else the default; `value` where there is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 2 * value or 1
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return value if default is MISSING else default
