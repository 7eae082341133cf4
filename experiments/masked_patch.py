"""Self-supervision by masked patch prediction (sections 4.6 and B.1.2): does it beat training from scratch?

    python -m experiments.masked_patch                                  # digits, no network
    python -m experiments.masked_patch --preset cifar10_cpu --data images/cifar10 \
        --unlabelled images/cifar10 --upstream images/tiny_imagenet_32

For each share of the labels and each seed, one model is fine-tuned (a) from scratch, (b) after masked patch prediction
on all `unlabelled` images, (c) after supervised pre-training on another set; and at `long_shares` (a) again for as
many steps as (b) takes in all. Each arm tries the same `rates` and keeps the one with the best mean validation accuracy
at that number of labels. The paper claims a < b < c: 79.9% on ImageNet for ViT-B/16, 2 points above training from
scratch, 4 below supervised pre-training. On the digits (c) learns five of the classes, and the others are the task.

Record (results/masked_patch/cifar10, ViT-Micro/4, three seeds, 3.8 hours of training in all on cores of an Intel Xeon
with AMX): (b) beats (a) with 2,450 labels and with all, and (a) of as many steps too; (c) is ahead of (b) with 2,450,
and at all labels they are not told apart. A first version, smaller, with half the steps at an eighth of the rate, had
(b) below (a) of as many steps. The rate of (b)'s pre-training was chosen among four by its score on the validation
split; the others are those of `experiments.tuning`.

The ablations repeat (b) at `ablation_share` with one thing changed. "mae" is a control in the manner of masked
autoencoders (arXiv 2111.06377): pixels as the target and 75% of the patches masked, but without their decoder, so that
the encoder sees [mask].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vitlab.report.names import family

from experiments import masked_patch_evidence as evidence
from experiments.masked_patch_evidence import LONG, MASKED, SCRATCH, SUPERVISED, UNTRAINED
from experiments.upstream import some_classes
from vitlab.errors import suggest
from vitlab.runs.run import Data, Run
from vitlab.study import Evidence, Study, data_of, main, titled
from vitlab.tasks.settings import FewShot, MaskedPatch, Recipe

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from vitlab.runs.store import Store

ABLATIONS = ("ratio", "target", "mae", "steps", "rate")


@dataclass(frozen=True)
class MaskedPatches:
    """Settings of the study."""

    data: str = "digits@3,5,7,8,9"
    """The task: a card, a folder or a local copy; `name@3,5` keeps only those classes."""
    unlabelled: str = "digits"
    """Images of (b), whose labels are not used."""
    upstream: str = "digits@0,1,2,4,6"
    """Labelled images of (c)."""
    model: str = "ViT-Pico/2"
    """A ViT or a hybrid."""
    pooling: str = "gap"
    """gap or cls; masked patch prediction trains no output of the class token."""
    label_shares: tuple[float, ...] = (0.05, 0.1, 1.0)
    """Shares of the labels."""
    long_shares: tuple[float, ...] = (0.05,)
    """Shares at which (a) also gets as many steps as (b) in all."""
    seeds: int = 3
    """Repetitions of everything: pre-training, subsets, fine-tuning."""
    masked: MaskedPatch = MaskedPatch()
    """Corruption and target of (b)."""
    pretrain: Recipe = Recipe(steps=1200, lr=3e-3, warmup_steps=100, evaluations=5)
    """Recipe of masked patch prediction."""
    supervise: Recipe = Recipe(steps=400, lr=3e-3, warmup_steps=40, evaluations=5)
    """Recipe of supervised pre-training."""
    finetune: Recipe = Recipe(steps=200, lr=0.0, batch_size=32, warmup_steps=20, evaluations=10)
    """Recipe of (a) and of all fine-tunings; the rate is one of `rates`."""
    rates: tuple[float, ...] = (1e-3, 3e-3)
    """Peak rates that each arm tries at each number of labels."""
    ablations: tuple[str, ...] = ABLATIONS
    """What is changed in (b), one at a time: ratio target mae steps rate."""
    pretrain_rates: tuple[float, ...] = (1.5e-3, 6e-3)
    """Peak rates of pre-training that the ablation "rate" compares with the study's own."""
    ablation_share: float = 0.05
    """Share of the labels at which the ablations are compared."""
    ablation_seeds: int = 1
    """Repetitions of the ablations."""
    few_shot: FewShot = FewShot(shots=(5,), draws=10)
    """Few-shot linear accuracy of each representation."""


PRETRAIN_CPU = Recipe(
    steps=2079, batch_size=128, lr=8e-3, warmup_steps=200, evaluations=9, augment=("crop", "flip"), precision="bf16"
)
FINETUNE_CPU = Recipe(
    steps=800, batch_size=64, lr=0.0, warmup_steps=80, evaluations=10, augment=("crop", "flip"), precision="bf16"
)
CIFAR_CPU = MaskedPatches(
    data="cifar10",
    unlabelled="cifar10",
    upstream="tiny_imagenet_32",
    model="ViT-Micro/4",
    pretrain=PRETRAIN_CPU,
    supervise=replace(PRETRAIN_CPU, lr=1e-3),
    finetune=FINETUNE_CPU,
    label_shares=(0.05, 1.0),
    rates=(1e-3,),
    ablations=("rate",),
    pretrain_rates=(1e-3, 2e-3, 4e-3),
)
PRESETS = {
    "quick": MaskedPatches(),
    "cifar10": replace(
        CIFAR_CPU,
        model="ViT-Small/4",
        label_shares=(0.05, 0.1, 1.0),
        long_shares=(0.05, 1.0),
        seeds=5,
        pretrain=replace(PRETRAIN_CPU, steps=40_000, batch_size=512, lr=1e-3, warmup_steps=2000, compile=True),
        supervise=replace(PRETRAIN_CPU, steps=20_000, batch_size=512, lr=1e-3, warmup_steps=2000, compile=True),
        finetune=replace(FINETUNE_CPU, steps=5000, batch_size=128, warmup_steps=500, compile=True),
        rates=(5e-4, 1e-3),
        ablations=ABLATIONS,
        pretrain_rates=(5e-4, 2e-3),
        ablation_seeds=3,
    ),
    "cifar10_cpu": CIFAR_CPU,
}


def plan(settings: MaskedPatches) -> dict[Run, dict[str, Any]]:
    """All runs with their place in the study, seed by seed, the comparison before the ablations."""
    for name, rates in {"rates": settings.rates, "pretrain_rates": settings.pretrain_rates}.items():
        if any(rate <= 0 for rate in rates):
            raise ValueError(f"--{name} has {min(rates):g}; a peak rate is above 0, such as 0.001.")
    if family(settings.model) not in ("ViT", "HybridViT"):
        raise ValueError(f"{settings.model!r} has no patch embeddings; give --model a ViT or a hybrid, as ViT-Nano/4.")
    task, sizes = labelled(settings)
    found: dict[Run, dict[str, Any]] = {}
    for seed in range(settings.seeds):
        found |= _comparison(settings, task, sizes, seed)
    share = settings.ablation_share
    for seed in range(settings.ablation_seeds):
        for masked, recipe in variants(settings):
            start = pretraining(settings, seed, masked, recipe)
            found[start] = found[_few_shot(settings, task, start)] = _place(masked, recipe)
            found |= _fine_tunings(settings, task, sizes, share, start, seed, _place(masked, recipe))
    return found


def labelled(settings: MaskedPatches) -> tuple[Data, dict[float, int | None]]:
    """The task's data, and the number of labels at each share (None: all).

    Raises:
        ValueError: for a share above 1, or one that leaves classes without a label.
    """
    data, info = some_classes(settings.data)
    classes = len(data.classes) or info.num_classes
    total = info.sizes["train"] * classes / info.num_classes
    shares = (*settings.label_shares, *settings.long_shares, settings.ablation_share)
    for share in shares:
        if not classes / total <= share <= 1:
            raise ValueError(
                f"A share of {share:g} of the labels of {data.name} cannot be had; give --label_shares, --long_shares "
                f"and --ablation_share between {classes / total:.3g} (one image a class) and 1."
            )
    return data, {share: None if share == 1 else round(share * total) for share in shares}


def pretraining(settings: MaskedPatches, seed: int, masked: MaskedPatch, recipe: Recipe) -> Run:
    """Masked patch prediction on all unlabelled images; raises ValueError for a recipe counted in epochs."""
    if recipe.epochs or settings.finetune.epochs:
        raise ValueError("This study counts in steps; leave --pretrain.epochs and --finetune.epochs at None.")
    data, _ = some_classes(settings.unlabelled)
    return Run(settings.model, data, recipe, masked, seed, options=_options(settings), snapshots=4)


def variants(settings: MaskedPatches) -> list[tuple[MaskedPatch, Recipe]]:
    """The ablations: settings of the task with a recipe of pre-training, the study's own left out.

    Raises:
        ValueError: for an ablation that there is not.
    """
    base, own = settings.masked, settings.pretrain
    changes = {
        "ratio": [(replace(base, ratio=ratio), own) for ratio in (0.15, 0.5, 0.75)],
        "target": [(replace(base, target=target), own) for target in ("mean_color", "downsized", "pixels")],
        "mae": [(MaskedPatch(ratio=0.75, mask=1.0, swap=0.0, target="pixels"), own)],
        "steps": [(base, replace(own, steps=own.steps // part)) for part in (4, 2)],
        "rate": [(base, replace(own, lr=rate)) for rate in settings.pretrain_rates],
    }
    for name in settings.ablations:
        if name not in changes:
            raise ValueError(f"Unknown ablation {name!r}; allowed: {', '.join(changes)}.{suggest(name, changes)}")
    asked = [variant for name in settings.ablations for variant in changes[name]]
    return [variant for variant in dict.fromkeys(asked) if variant != (base, own)]


Sizes = Mapping[float, int | None]


def _comparison(settings: MaskedPatches, task: Data, sizes: Sizes, seed: int) -> dict[Run, dict[str, Any]]:
    masked = pretraining(settings, seed, settings.masked, settings.pretrain)
    other, _ = some_classes(settings.upstream)
    supervised = Run(settings.model, other, settings.supervise, seed=seed, options=_options(settings))
    place_of_b = _place(settings.masked, settings.pretrain)
    found: dict[Run, dict[str, Any]] = {masked: place_of_b, supervised: {"arm": "upstream"}}
    starts = ((None, {"arm": SCRATCH}), (masked, place_of_b), (supervised, {"arm": SUPERVISED}))
    for start, place in starts:
        for share in settings.label_shares:
            found |= _fine_tunings(settings, task, sizes, share, start, seed, place)
        probed = _few_shot(settings, task, start) if start else replace(_few_shot(settings, task, masked), init=None)
        found[probed] = place if start else {"arm": UNTRAINED}
    recipe, before = settings.finetune, settings.pretrain
    steps = recipe.steps + before.steps * before.batch_size // recipe.batch_size
    long = replace(settings, finetune=replace(recipe, steps=steps))
    for share in settings.long_shares:
        found |= _fine_tunings(long, task, sizes, share, None, seed, {"arm": LONG})
    return found


def _place(task: MaskedPatch, recipe: Recipe) -> dict[str, Any]:
    """The columns of the rows of (b): which task, at which peak rate, how long."""
    return {
        "arm": MASKED,
        "target": task.target,
        "ratio": task.ratio,
        "masked_share": task.mask,
        "pretrain_rate": recipe.lr,
        "pretrain_steps": recipe.steps,
    }


def _fine_tunings(
    settings: MaskedPatches,
    task: Data,
    sizes: Sizes,
    share: float,
    start: Run | None,
    seed: int,
    place: Mapping[str, Any],
) -> dict[Run, dict[str, Any]]:
    """From `start` on a share of the labels, once with each rate."""
    data = replace(task, train_size=sizes[share], subset_seed=seed)
    recipes = [replace(settings.finetune, lr=rate) for rate in settings.rates]
    runs = [Run(settings.model, data, one, seed=seed, init=start, options=_options(settings)) for one in recipes]
    return {run: {**place, "label_share": share} for run in runs}


def _few_shot(settings: MaskedPatches, task: Data, start: Run) -> Run:
    return Run(settings.model, task, task=settings.few_shot, seed=start.seed, init=start, options=_options(settings))


def _options(settings: MaskedPatches) -> tuple[tuple[str, Any], ...]:
    return (("pooling", settings.pooling),)


def draw(rows: pd.DataFrame, settings: MaskedPatches) -> Evidence:
    """Accuracy of each arm at each number of labels, the ablations, and what the seeds allow to say of a < b < c."""
    done = titled(rows[rows["status"] == "finished"], settings.data.partition("@")[0])
    base = _place(settings.masked, settings.pretrain)
    return evidence.evidence(done, base, settings.ablation_share, settings.model)


def pictures(settings: MaskedPatches, store: Store) -> dict[str, Figure]:
    """What the first seed's pre-training predicts as it goes on, with each target that was trained."""
    ways = [(settings.masked, settings.pretrain), *variants(settings)]
    runs = {way[0].target: pretraining(settings, 0, *way) for way in reversed(ways)}
    found = {target: sorted(store.path(run).glob("pictures_*.npz")) for target, run in runs.items()}
    return {f"pictures_{target}": evidence.picture_grid(target, files) for target, files in found.items() if files}


STUDY = Study(
    name="masked_patch",
    question="Does masked patch prediction beat training from scratch, and does supervised pre-training beat it?",
    presets=PRESETS,
    plan=plan,
    draw=draw,
    folder=lambda settings: data_of(settings.data.partition("@")[0])[0].name,
    pictures=pictures,
)

if __name__ == "__main__":
    main(STUDY)
