"""A `Run` is a value: the whole description of one training or one evaluation, and its identity.

The identity is a hash of the settings that differ from their defaults. Adding a setting therefore keeps old results, if
the new default means what was done before the setting existed, and a default may never change.
What says where or how fast a run executes (device, number of jobs, W&B) is no part of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from vitlab.errors import suggest
from vitlab.tasks.settings import TASKS, Classify, Recipe, Task, task_name
from vitlab.typed import misfit, shortened

PARTS = Mapping[str, Any]


@dataclass(frozen=True)
class Data:
    """Which images: a data set by name and content (`fingerprint`), its size in pixels and the train subset.

    `train_size` None means the whole train split; the subset's seed is not the weights' seed. `classes` keeps only
    those classes. `shuffle`: patches of that many pixels a side (1: single pixels) change places, by one permutation
    for all images of all splits, drawn from `shuffle_seed`; see `vitlab.data.shuffle`.
    `source` is where the images are (what `vitlab.data.load_data` reads) and no part of the identity.
    """

    name: str
    fingerprint: str = ""
    image_size: int | None = None
    train_size: int | None = None
    subset_seed: int = 0
    classes: tuple[int, ...] = ()
    shuffle: int | None = None
    shuffle_seed: int = 0
    source: str = field(default="", compare=False, metadata={"identity": False})


@dataclass(frozen=True)
class Run:
    """One training or evaluation. `init` is the Run (or the checkpoint, as `vitlab.models.load` reads it) to start
    from.

    `options` are arguments of the model, as pairs whose order is part of the identity. `snapshots` is the number of
    weights kept along the way.
    `init_fingerprint` is the content of a checkpoint that is a person's file (`vitlab.weights.fingerprint`).
    """

    model: str
    data: Data
    recipe: Recipe = field(default_factory=Recipe)
    task: Task = field(default_factory=Classify)
    seed: int = 0
    init: Run | str | None = None
    options: tuple[tuple[str, Any], ...] = ()
    snapshots: int = 0
    init_fingerprint: str = ""

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits that name the run."""
        text = json.dumps(settings(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def chain(self) -> Iterator[Run]:
        """Yield the runs that this one starts from, the first in time first, and then itself."""
        if isinstance(self.init, Run):
            yield from self.init.chain()
        yield self

    def __str__(self) -> str:
        size = "" if self.data.train_size is None else f" n={self.data.train_size}"
        return f"{task_name(self.task)} {self.model} {self.data.name}{size} seed={self.seed} [{self.id}]"


def settings(value: Any) -> Any:
    """Return the settings of `value` that differ from their defaults, as JSON values; a task carries its name."""
    if isinstance(value, Run | Recipe | Data) or type(value) in TASKS.values():
        kind: type = type(value)
        own = [f for f in dataclasses.fields(value) if _differs(value, f)]
        found = {f.name: settings(_any_number(getattr(value, f.name), _types(kind)[f.name])) for f in own}
        return {"kind": task_name(value), **found} if type(value) in TASKS.values() else found  # type: ignore[arg-type]
    return [settings(item) for item in value] if isinstance(value, tuple | list) else value


def _any_number(value: Any, hint: Any) -> Any:
    """90 as 90.0 where a setting takes any number: they are one value, and have one identity."""
    if float not in (hint, *get_args(hint)):
        return value
    if isinstance(value, tuple):
        return tuple(_any_number(item, float) for item in value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _differs(value: Any, setting: dataclasses.Field) -> bool:
    if not setting.metadata.get("identity", True):
        return False
    if setting.default_factory is not dataclasses.MISSING:
        return getattr(value, setting.name) != setting.default_factory()
    return getattr(value, setting.name) != setting.default


def from_settings(found: Mapping[str, Any]) -> Run:
    """The inverse of `settings`: rebuild a Run from the JSON values in the store.

    Raises:
        ValueError: for a task or a setting that this version does not know.
    """
    if wrong := misfit(found, PARTS):
        raise ValueError(f"Settings of a run: {wrong}.")
    parts = dict(found)
    task = dict(_mapping(parts.pop("task", {"kind": "classify"}), "task"))
    kind = task.pop("kind", None)
    if not isinstance(kind, str) or kind not in TASKS:
        raise ValueError(f"Unknown task {shortened(kind)}; allowed: {', '.join(TASKS)}.{suggest(str(kind), TASKS)}")
    options, init = parts.pop("options", ()), parts.pop("init", None)
    if wrong := misfit(options, tuple[tuple[str, Any], ...]):
        raise ValueError(f"Setting options of Run: {wrong}.")
    parts |= {
        "data": build(Data, _mapping(parts.get("data"), "data")),
        "recipe": build(Recipe, _mapping(parts.get("recipe", {}), "recipe")),
        "task": build(TASKS[kind], task),
        "init": from_settings(init) if isinstance(init, Mapping) else init,
        "options": tuple((name, _like(None, value)) for name, value in options),
    }
    return build(Run, parts)


def _mapping(found: object, name: str) -> Mapping[str, Any]:
    if wrong := misfit(found, PARTS):
        raise ValueError(f"Setting {name} of Run: {wrong}.")
    return cast(Mapping[str, Any], found)


def build(kind: type, found: Mapping[str, Any]) -> Any:
    """Make a frozen dataclass from JSON values: lists become tuples, dictionaries for dataclass fields become those.

    Raises:
        ValueError: for a setting that `kind` does not have, and for a value that is not of the setting's type.
    """
    if wrong := misfit(found, PARTS):
        raise ValueError(f"Settings of {kind.__name__}: {wrong}.")
    known = {f.name: f for f in dataclasses.fields(kind)}
    needed = [name for name, setting in known.items() if _default(setting) is dataclasses.MISSING]
    if missing := [name for name in needed if name not in found]:
        raise ValueError(f"Settings of {kind.__name__} lack {', '.join(missing)}.")
    for name in found:
        if name not in known:
            raise ValueError(f"Unknown setting {name!r} of {kind.__name__}.{suggest(name, known)}")
    default = {name: _default(known[name]) for name in found}
    values = {name: _like(default[name], _numbered(value, _types(kind)[name])) for name, value in found.items()}
    plain = {name: value for name, value in values.items() if not dataclasses.is_dataclass(value)}
    misfits = {name: words for name, value in plain.items() if (words := misfit(value, _types(kind)[name]))}
    for name, words in misfits.items():
        if get_origin(_types(kind)[name]) is not Literal or not isinstance(values[name], str | None):
            raise ValueError(f"Setting {name} of {kind.__name__}: {words}.")
    made = kind(**values)  # has the better words on a wrong word
    for name, words in misfits.items():
        raise ValueError(f"Setting {name} of {kind.__name__}: {words}.")
    return made


def _numbered(value: Any, annotation: Any) -> Any:
    """JSON has text alone as names of a table: those that are to be whole numbers, as these."""
    if isinstance(value, Mapping) and (get_args(annotation) or (str,))[0] is int:
        return {int(name) if re.fullmatch(r"\d{1,18}", str(name)) else name: item for name, item in value.items()}
    return value


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _default(setting: dataclasses.Field) -> Any:
    if setting.default_factory is not dataclasses.MISSING:
        return setting.default_factory()
    return setting.default


def _like(default: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(default) and isinstance(value, Mapping):
        return build(type(default), value)
    return tuple(value) if isinstance(value, list) else value
