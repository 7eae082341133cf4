"""The command line that all studies share: presets, overrides, a recorded configuration, and errors for people."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro

from vitlab.errors import suggest
from vitlab.runs.run import build


@dataclass(frozen=True)
class Execution:
    """Where and how fast a study runs, and what it shows; none of this changes a number."""

    preset: str = "quick"
    """Named settings to start from; every other option overrides them."""
    config: Path | None = None
    """Start from the settings that an earlier provenance.json recorded, instead of a preset."""
    name: str = ""
    """The folder of the evidence, such as one for a longer training; by default the data's name."""
    results: Path = Path("runs/results")
    """Where the evidence goes: rows, verdicts, tables, figures, provenance."""
    runs: Path = Path("runs")
    """The run store: weights, curves and checkpoints."""
    extend: bool = False
    """Rows of this plan's runs that --results holds count as done, of whichever study and wherever they were made: only
    missing runs are trained."""
    jobs: str = "auto"
    """Runs at a time; auto is one a core of this machine, with one thread each (on GPUs: one a GPU), or as many as the
    cluster has room for."""
    device: str = "auto"
    """auto, cpu or cuda; auto on a cluster is cuda where --gpus_per_run asks for some."""
    launcher: str = "local"
    """local: processes of this machine; ray: a Ray cluster; slurm: jobs by submitit. See docs/scaling_out.md."""
    ray_address: str = ""
    """The Ray cluster to join, such as 10.0.0.1:6379; by default this machine alone is one."""
    slurm: Mapping[str, str] = field(default_factory=dict)
    """Options of submitit, such as slurm_partition gpu timeout_min 240."""
    cpus_per_run: int = 0
    """CPUs, and threads, of a run; by default one on a cluster, and here what --jobs leaves. With --devices, of each
    process of a run."""
    gpus_per_run: float = 0.0
    """GPUs of a run on a cluster, as --cpus_per_run; runs may share one on Ray, by 0.25 for instance."""
    devices: int = 1
    """Processes, each with a device, that share the batches of one training; on each of --num_nodes machines."""
    num_nodes: int = 1
    """Machines of a cluster that share one training."""
    strategy: str = "ddp"
    """How those processes hold a model: ddp, each all of it, or fsdp, each a part of every layer. With --dry_run the
    memory that each needs is printed."""
    time_budget: str = ""
    """Stop cleanly within this time, as 90s, 9m or 1h30m, and say what is left."""
    wandb: str = "offline"
    """offline, online or off."""
    dry_run: bool = False
    """Print the plan (runs done and to do, FLOPs, estimated time) and do nothing."""
    profile: bool = False
    """Train one run of each model for its times alone: a table of where they go, and traces in the store's profile/."""
    redraw: bool = False
    """Remake table and figure from the stored rows."""
    export: bool = False
    """Write tables as LaTeX (booktabs, tabularx) and CSV and figures as PDF too, in export/ of the evidence."""
    accept_edited: bool = False
    """Take rows as they are that were edited since a study wrote them."""
    skip_bad_images: bool = False
    """Leave images out that cannot be read, and say how many, instead of naming them and stopping."""


def parse(name: str, description: str, presets: Mapping[str, Any], arguments: Sequence[str]) -> tuple[Any, Execution]:
    """Return the study's settings and the execution options; a mistyped option prints one message and exits with
    code 2.

    `presets` maps names to frozen dataclasses of one type; the first is the default.

    Raises:
        ValueError: for an unknown preset, a record that cannot be read, and values that are not allowed.
    """
    start = _with_keys(_recorded(arguments, presets) or _preset(arguments, presets), arguments)
    both = make_dataclass(
        "Command",
        [
            ("study", Annotated[type(start), tyro.conf.arg(name="")]),
            ("how", Annotated[Execution, tyro.conf.arg(name="")]),
        ],
        frozen=True,
    )
    default = both(start, Execution(preset=next(iter(presets))))
    about = f"{description}\n\nPresets: {', '.join(presets)}."
    command: Any = tyro.cli(
        both,
        prog=" ".join(program(name)),
        description=about,
        default=default,
        args=list(arguments),
        use_underscores=True,
    )
    if command.how.redraw and command.how.dry_run:
        raise ValueError("--redraw writes files, and --dry_run nothing; give one of them.")
    return command.study, at_home(command.how)


def at_home(options: Any) -> Any:
    """`options` with the `~` of each path written out: in `--runs=~/x` no shell does it.

    Raises:
        ValueError: for the home of a user that there is not.
    """
    paths = {f.name: getattr(options, f.name) for f in fields(options) if isinstance(getattr(options, f.name), Path)}
    for name, path in paths.items():
        try:
            paths[name] = path.expanduser()
        except RuntimeError as error:
            raise ValueError(f"--{name} {path} is no path: {error}") from None
    return replace(options, **paths)


def program(name: str) -> list[str]:
    """How one calls the study `name`: `vitlab name` where this was called so, else as a module of the checkout."""
    return ["vitlab", name] if Path(sys.argv[0]).stem == "vitlab" else ["python", "-m", f"experiments.{name}"]


def fail(message: str) -> None:
    """End the program with one message on standard error and exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def seconds(text: str) -> float:
    """Read a length of time: `90s`, `9m`, `1h30m`, or plain seconds.

    Raises:
        ValueError: for anything else, such as `1h30`, whose 30 may be minutes or seconds.
    """
    number = r"(\d+(?:\.\d+)?)"
    words = text.replace(" ", "")
    words += "s" if re.fullmatch(number, words) else ""
    found = re.fullmatch(rf"(?:{number}h)?(?:{number}m)?(?:{number}s)?", words)
    length = (
        sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
    )
    if not length:
        raise ValueError(f"Cannot read {text!r} as a time; write it as 90s, 9m or 1h30m.")
    return length


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    for i, word in enumerate(arguments):
        if word == f"--{option}" and i + 1 < len(arguments):
            return arguments[i + 1]
        if word.startswith(f"--{option}="):
            return word.partition("=")[2]
    return None


def _preset(arguments: Sequence[str], presets: Mapping[str, Any]) -> Any:
    name = _value_of("preset", arguments) or next(iter(presets))
    if name not in presets:
        raise ValueError(f"Unknown preset {name!r}; allowed: {', '.join(presets)}.{suggest(name, presets)}")
    return presets[name]


def _recorded(arguments: Sequence[str], presets: Mapping[str, Any]) -> Any:
    path = _value_of("config", arguments)
    if path is None:
        return None
    if (preset := _value_of("preset", arguments)) is not None:
        raise ValueError(f"--config {path} and --preset {preset} both say where settings start; give one of them.")
    try:
        found = json.loads(Path(path).expanduser().read_text())["settings"]
    except (OSError, RuntimeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"Cannot read settings from {path!r} ({error}); give a study's provenance.json.") from None
    return build(type(next(iter(presets.values()))), found)


def _with_keys(start: Any, arguments: Sequence[str]) -> Any:
    """`start` with every KEY of `--mapping.KEY VALUE`, since tyro knows those alone that a mapping has already.

    What they stand for until tyro reads VALUE is nowhere seen.
    """
    for f in fields(start):
        before = getattr(start, f.name)
        if not isinstance(before, Mapping):
            continue
        option = f.name.replace("_", "[-_]")  # tyro takes either
        found = [re.match(rf"--{option}\.([^=]+)", word) for word in arguments]
        if not (keys := {match[1] for match in found if match} - {str(key) for key in before}):
            continue
        key_type, value_type = get_args(get_type_hints(type(start))[f.name])
        wrong = [key for key in keys if key_type is int and not key.isdigit()]
        if wrong:
            raise ValueError(f"--{f.name}.{wrong[0]}: {wrong[0]!r} is no whole number.")
        usual = (1.0,) if get_origin(value_type) is tuple else value_type(1)
        start = replace(start, **{f.name: {**before, **{key_type(key): usual for key in sorted(keys)}}})
    return start


def plain(value: Any) -> Any:
    """A settings dataclass as JSON values, all settings named, so that `--config` can build it again."""
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
