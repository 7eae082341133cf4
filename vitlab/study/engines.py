"""From the command line to the engine that executes a study's runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vitlab.errors import suggest
from vitlab.runs.engine import STRATEGIES, Engine, Resources
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Prepared
from vitlab.study.command_line import Execution

LAUNCHERS = ("local", "ray", "slurm")
ONE_LAUNCHERS = {"ray_address": ("ray",), "slurm": ("slurm",), "gpus_per_run": ("ray", "slurm")}


@dataclass(frozen=True)
class Machinery:
    """What executes the runs: `jobs` at a time (0: as many as a cluster has room for) on a `device`, each with
    `resources`, by `engine()`.
    """

    jobs: int
    device: str
    resources: Resources
    engine: Callable[[], Engine]

    def __str__(self) -> str:
        return f"on {self.jobs} x {self.device}" if self.jobs else f"for one {self.device} worker of the cluster"


def check(how: Execution) -> None:
    """Raise ValueError for options that do not fit together, before anything is read or started."""
    if how.launcher not in LAUNCHERS:
        near = suggest(how.launcher, LAUNCHERS)
        raise ValueError(f"Unknown --launcher {how.launcher!r}; allowed: {', '.join(LAUNCHERS)}.{near}")
    for name, launchers in ONE_LAUNCHERS.items():
        if getattr(how, name) and how.launcher not in launchers:
            raise ValueError(f"--{name} is for --launcher {' or '.join(launchers)}, and this is {how.launcher}.")
    if how.jobs != "auto" and not (how.jobs.isdigit() and int(how.jobs) > 0):
        raise ValueError(f"--jobs is {how.jobs!r}; allowed: auto or a whole number from 1.")
    if how.cpus_per_run < 0 or how.gpus_per_run < 0:
        raise ValueError("--cpus_per_run and --gpus_per_run are numbers from 0 on.")
    if how.launcher == "slurm" and how.gpus_per_run % 1:
        raise ValueError(f"--gpus_per_run is {how.gpus_per_run:g}; SLURM gives whole ones, 0 or 1 or more.")
    for name in ("devices", "num_nodes"):
        if getattr(how, name) < 1:
            raise ValueError(f"--{name} is {getattr(how, name)}; give a whole number from 1 on.")
    if how.strategy not in STRATEGIES:
        near = suggest(how.strategy, STRATEGIES)
        raise ValueError(f"Unknown --strategy {how.strategy!r}; allowed: {', '.join(STRATEGIES)}.{near}")
    if how.strategy == "fsdp" and how.devices * how.num_nodes == 1:
        raise ValueError("--strategy fsdp spreads a model over several processes; ask for them with --devices.")
    if how.num_nodes > 1 and how.launcher == "local":
        raise ValueError("--num_nodes above 1 needs --launcher ray or slurm.")
    if how.launcher != "local" and how.device == "cuda" and not how.gpus_per_run:
        raise ValueError("--device cuda on a cluster needs --gpus_per_run, such as 1.")


def device_here(how: Execution) -> str:
    """What this machine computes with before the runs begin; a cluster's GPUs are not its own."""
    return how.device if how.launcher == "local" else "cpu"


def machinery(how: Execution, known: Prepared, runs: int, cores: int) -> Machinery:
    """What executes `runs` runs as `how` asks, here with `cores`; nothing is started before its `engine()` is called.

    Auto depends on the plan and not on what is done, as threads alter last bits. Raises ValueError for a training on
    more GPUs than there are here; a dry run may plan for a larger machine.
    """
    if how.launcher == "local":
        if known.device == "cuda" and how.devices > len(known.cards) and not how.dry_run:
            raise ValueError(
                f"--devices is {how.devices}, and the GPUs here are {len(known.cards)}: each process needs its own. "
                f"Give at most {len(known.cards)}, or --device cpu."
            )
        slots = len(known.cards) if known.device == "cuda" else cores
        jobs = max(1, min(slots // how.devices, runs)) if how.jobs == "auto" else int(how.jobs)
        resources = Resources(how.cpus_per_run or max(1, cores // (jobs * how.devices)), devices=how.devices)
        return Machinery(jobs, known.device, resources, lambda: LocalEngine(jobs, resources, known.cards))
    jobs = 0 if how.jobs == "auto" else int(how.jobs)
    resources = Resources(how.cpus_per_run or 1, how.gpus_per_run, how.devices, how.num_nodes)
    device = "cuda" if how.gpus_per_run and how.device != "cpu" else "cpu"
    if how.launcher == "ray":
        return Machinery(jobs, device, resources, lambda: _ray(how, resources, jobs))
    return Machinery(jobs, device, resources, lambda: _slurm(how, resources, jobs or runs))


def _ray(how: Execution, resources: Resources, jobs: int) -> Engine:
    try:
        from vitlab.runs.on_ray import RayEngine
    except ModuleNotFoundError as error:
        raise _missing("ray", error) from None
    return RayEngine(resources, address=how.ray_address, jobs=jobs)


def _slurm(how: Execution, resources: Resources, jobs: int) -> Engine:
    try:
        from vitlab.runs.on_slurm import SlurmEngine
    except ModuleNotFoundError as error:
        raise _missing("slurm", error) from None
    return SlurmEngine(resources, how.runs / "slurm", jobs=jobs, options=how.slurm)


def _missing(extra: str, error: ModuleNotFoundError) -> ValueError:
    return ValueError(f"--launcher {extra} needs {error.name}, which is not installed: pip install 'vitlab[{extra}]'.")
