"""How fast this machine trains, measured once and kept in the run store; and the settings that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitlab.data.cards import cards
from vitlab.data.info import DataInfo, describe, lines
from vitlab.data.words import parted
from vitlab.files import write_all
from vitlab.machine import cores, hardware
from vitlab.report.provenance import read_provenance
from vitlab.runs.launch import Launcher
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Place, Prepared
from vitlab.runs.run import Run, build
from vitlab.study.chosen import told
from vitlab.study.command_line import Execution
from vitlab.study.engines import device_here, machinery
from vitlab.study.own_data import Machine, merged, options_given, suited
from vitlab.study.settings import data_of
from vitlab.tasks.settings import Precision
from vitlab.typed import misfit

if TYPE_CHECKING:
    from vitlab.study.study import Study

SECONDS = 0.5  # that each speed is measured for, at least
FILE = "speed.json"


class Speeds:
    """Images/s that a process trains, by model, pixels and precision.

    What was measured before on such hardware is read from `file`, so that the same command means the same runs.
    """

    def __init__(self, file: Path, launcher: Launcher, device: str, batch: int) -> None:
        self.file, self.launcher, self.device, self.batch = file, launcher, device, batch
        self.machine = f"{hardware()}, {launcher.engine.resources.cpus} threads, {device}, {batch} images"
        self.known: dict[str, dict[str, float]] = {}
        with suppress(OSError, ValueError):  # a damaged file is measured anew
            found = json.loads(file.read_text())
            self.known = {} if misfit(found, Mapping[str, Mapping[str, float]]) else found

    def __call__(self, model: str, side: int, precision: Precision) -> float:
        found, name = self.known.setdefault(self.machine, {}), f"{model} at {side} px in {precision}"
        if name not in found:
            about = (model, side, precision, self.batch, self.device, self.launcher.engine.resources.cpus)
            found[name] = round(self.launcher.ask(_measured, *about), 1)
        return found[name]

    def keep(self) -> None:
        """Write down what was measured."""
        write_all({self.file: json.dumps(self.known, indent=1).encode()})


def _measured(model: str, side: int, precision: Precision, batch: int, device: str, threads: int) -> float:
    from vitlab.benchmark.models import Case, speed  # in the worker, which has torch

    return speed(Case(model, side, precision, "training", batch, device, threads), SECONDS)


def _device(asked: str) -> tuple[str, tuple[str, ...]]:
    from vitlab.runs.execute import cards_of, pick_device

    device = pick_device(asked)
    return device, cards_of(device)


@dataclass(frozen=True)
class Understood:
    """Settings, the data set that they are about (None: the study's own), both in words, and about how many seconds
    all runs take, where that was found out.
    """

    settings: Any
    info: DataInfo | None = None
    said: tuple[str, ...] = ()
    seconds: float | None = None


def understood(study: Study, settings: Any, how: Execution, arguments: Sequence[str]) -> Understood:
    """The settings, and what is known of a data set that is not the study's own.

    Settings that the command line does not say come from the images, unless a preset or a record was asked for.
    Raises ValueError for data that cannot be had and for settings that cannot be.
    """
    given, first = options_given(arguments), next(iter(study.presets.values()))
    where = _images(settings)
    if where in ("", _images(first)):
        return Understood(settings)
    known = looked_at(settings, how)
    if "data" not in given or given & {"preset", "config"}:
        return known
    if study.photographs:
        return _chosen(study, known, how, given)
    made_for = f", which was made for {_images(first)}" if _images(first) else ""
    why = f"What the command line does not say is as in the preset {how.preset}{made_for}."
    return replace(known, said=(*known.said, why))


def looked_at(settings: Any, how: Execution) -> Understood:
    """What is known now of the images of `settings`, without those that could not be read when they were decoded."""
    where = _images(settings)
    info = describe(where, how.runs / "cache").only(data_of(settings.data)[0].classes)
    said = lines(info)
    if where in cards() and Path(where).is_dir():
        said.append(f"There is a folder {where} here too; write ./{where} for it.")
    return Understood(settings, info, tuple(said))


def _images(settings: Any) -> str:
    return parted(getattr(settings, "data", ""))[0]


def _chosen(study: Study, known: Understood, how: Execution, given: Set[str]) -> Understood:
    """With settings from the record of the evidence that is extended, else from the images and the machine."""
    settings, info, folder = known.settings, known.info, study.evidence_folder(known.settings, how)
    assert study.photographs and info
    if how.extend and (folder / "provenance.json").exists():
        before = build(type(settings), read_provenance(folder)["settings"])
        recorded = {f.name: getattr(before, f.name) for f in fields(before) if f.name != "data"}
        said = (*known.said, f"Settings as in {folder / 'provenance.json'}.")
        return replace(known, settings=merged(settings, recorded, given), said=said)
    device, jobs, threads = _at_work(how)
    with Launcher(LocalEngine(1, threads)) as launcher:
        batch = settings.recipe.batch_size if "batch_size" in given else study.photographs.recipe.batch_size
        speeds = Speeds(how.runs / FILE, launcher, device, batch)
        choose = partial(suited, given=given, taught=study.photographs, machine=Machine(speeds, jobs))
        found = choose(study.plan, settings, info)
        if how.skip_bad_images and not how.dry_run and not info.unread:
            known = _decoded(found.settings, how, launcher)
            found = choose(study.plan, settings, info := known.info or info)
        if not how.dry_run:
            speeds.keep()
        why = told(found, info, given, speeds)
    return replace(known, settings=found.settings, said=(*known.said, *why), seconds=found.seconds)


def _at_work(how: Execution) -> tuple[str, int, int]:
    """The device, the number of processes and the threads of each, for a plan of many runs."""
    with Launcher(LocalEngine(1)) as launcher:
        device, cards = launcher.ask(_device, device_here(how))
    by = machinery(how, Prepared(device, {}, cards), cores(), cores())
    return device, by.jobs or 1, by.resources.cpus


def _decoded(settings: Any, how: Execution, launcher: Launcher) -> Understood:
    """What is known of the images once they are decoded, as the study would soon: some may turn out unreadable."""
    data, _ = data_of(settings.data, image_size=settings.image_size)
    place = Place(how.runs, how.runs / "cache", device_here(how), skip_bad_images=True)
    launcher.prepare([Run(settings.model_names()[0], data)], place)
    return looked_at(settings, how)
