"""How fast, and in how much memory? Models by themselves (D.5, Figure 12), and whole training scripts end to end.

    python -m experiments.throughput                    # two sizes of each family, 3 minutes on two cores
    python -m experiments.throughput --preset peers     # vitlab against the plain script of tutorials, 4 minutes

D.5: training steps and inference on random images in memory, with the peak memory per image and the largest batch that
fits into --memory_gib; `vitlab/benchmark/models.py` says how they are measured. Scripts (`vitlab/benchmark/peers.py`):
images/s of optimiser steps after a warm-up; evaluation is left out on all sides. A repetition goes through all
measurements in turn, and ratios are taken within it. Nothing else should run: it is said when other processes do.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

from vitlab.benchmark import evidence
from vitlab.errors import suggest
from vitlab.study.command_line import Execution, seconds
from vitlab.study.study import Study, main
from vitlab.tasks.settings import Precision

if TYPE_CHECKING:
    from vitlab.benchmark.models import Case
    from vitlab.benchmark.peers import Script

SMALL = "ViT-Pico/4 ViT-Nano/4 HybridViT-Pico/4 HybridViT-Nano/4 ResNet-Pico ResNet-Nano".split()


@dataclass(frozen=True)
class Throughput:
    """Settings of the benchmark."""

    models: tuple[str, ...] = tuple(SMALL)
    """Models to measure by themselves."""
    image_sizes: tuple[int, ...] = (32, 48)
    """Pixels."""
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    """fp32, and bf16 (mixed)."""
    batch: int = 32
    """Images a step; memory per image is read off steps of these and of four times as many."""
    memory_gib: float = 4.0
    """The memory that the largest batch is given for."""
    least_seconds: float = 0.3
    """The time that each speed is measured for, at least."""
    scripts: tuple[str, ...] = ("vitlab", evidence.PLAIN)
    """Training scripts to measure end to end."""
    script_model: str = "ViT-Mini/4"
    """A plain ViT of the zoo; ViT-Mini/4 has width 192, depth 6, 3 heads."""
    script_batch: int = 128
    """Images a step of the scripts, which train in the last of --precisions."""
    script_steps: int = 50
    """Timed optimiser steps of each script in each repetition."""
    repeats: int = 3
    """Repetitions."""
    compile: bool = False
    """Compile vitlab's model with torch.compile in its script (the warm-up is then longer)."""

    def __post_init__(self) -> None:
        for name in ("batch", "script_batch", "script_steps", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is {getattr(self, name)}; give a whole number from 1 on.")
        for words, allowed in ((self.precisions, get_args(Precision)), (self.scripts, evidence.SCRIPTS)):
            for word in words:
                if word not in allowed:
                    raise ValueError(f"There is no {word!r}; allowed: {', '.join(allowed)}.{suggest(word, allowed)}")
        if not self.precisions or not (self.scripts or self.models):
            raise ValueError("There is nothing to measure; give --precisions, and --models or --scripts.")


PAPER = "ViT-B/32 ViT-B/16 ViT-L/32 ViT-L/16 R50x1 R50x2 R101x1 R152x2 R50+ViT-B/32".split()
PRESETS = {
    "quick": Throughput(batch=16, script_batch=64, script_steps=6),
    "peers": Throughput(models=(), precisions=("bf16",)),
    "paper": Throughput(  # Figure 12, where a core has 16 GiB
        tuple(PAPER), (64, 128, 224, 384, 512), batch=8, memory_gib=16, least_seconds=2, scripts=(), repeats=5
    ),
}


def cases(settings: Throughput, device: str, threads: int) -> list[Case]:
    """All models at all sizes, in both modes and every precision; raises ValueError for one that cannot be built."""
    from vitlab.benchmark.models import MODES, Case
    from vitlab.models import count

    for model, size in itertools.product(settings.models, settings.image_sizes):
        count(model, image_size=size, num_classes=10)
    axes = (settings.models, settings.image_sizes, settings.precisions, MODES)
    return [Case(*words, settings.batch, device, threads) for words in itertools.product(*axes)]


def scripts(settings: Throughput, device: str, threads: int) -> list[tuple[str, Script]]:
    """What each script trains; raises ValueError for a model that is no plain ViT."""
    from vitlab.benchmark.peers import SIDE, Script
    from vitlab.models import count

    count(settings.script_model, image_size=SIDE, num_classes=10)
    if settings.scripts and not settings.script_model.startswith("ViT-"):
        raise ValueError(f"--script_model is {settings.script_model}; the scripts train a ViT, such as ViT-Mini/4.")
    same = Script(
        settings.script_model, settings.precisions[-1], settings.script_batch, settings.script_steps, device, threads
    )
    return [(name, replace(same, compile=settings.compile)) for name in settings.scripts]


def measure(settings: Throughput, how: Execution) -> list[dict[str, Any]]:
    """A row for each case and each script in each repetition; on a dry run only what they would be."""
    from vitlab.benchmark.rounds import rounds
    from vitlab.report.provenance import cores
    from vitlab.runs.execute import pick_device

    device, threads = pick_device(how.device), cores()
    models, whole = cases(settings, device, threads), scripts(settings, device, threads)
    print(
        f"{settings.repeats} repetitions of {len(models)} measurements of {len(settings.models)} models and of "
        f"{len(whole)} training scripts, on {device} with {threads} threads."
    )
    if how.dry_run:
        return []
    deadline = time.time() + seconds(how.time_budget) if how.time_budget else math.inf
    memory = settings.memory_gib * 2**30
    return list(
        rounds(models, whole, settings.repeats, seconds=settings.least_seconds, memory=memory, deadline=deadline)
    )


def folder(settings: Throughput) -> str:
    """Where the evidence goes: the models' sizes, or the script's model and precision where there is nothing else."""
    if settings.models:
        return f"{settings.models[0]}_{settings.image_sizes[0]}_px".replace("/", "_")
    return f"{settings.script_model}_{settings.precisions[-1]}".replace("/", "_")


STUDY = Study(
    name="throughput",
    section="D.5, Figure 12",
    question="How fast are training and inference here, and how much memory do they take?",
    protocol=__doc__,
    presets=PRESETS,
    measure=measure,
    draw=lambda rows, settings: evidence.draw(rows),
    claims=(evidence.MEMORY,),
    folder=folder,
)

if __name__ == "__main__":
    main(STUDY)
