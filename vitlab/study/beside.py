"""What stands beside training from scratch at the same train sizes: pre-trained weights, and what any model must beat.

Everything is paired: a seed has the same subset of the images in every arm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitlab.report.families import family
from vitlab.runs.run import Run
from vitlab.runs.store import WEIGHTS
from vitlab.study.plan import RATE, best_rate, grid
from vitlab.study.settings import Sized, check_families, data_of
from vitlab.tasks.settings import Floors, LinearProbe, Recipe
from vitlab.weights import PACKED, find, fingerprint

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from vitlab.runs.store import Store

COMPARISONS = 5 * 10**8  # test by train images; beyond that the nearest neighbour takes longer than it is worth


@dataclass(frozen=True)
class Beside(Sized):
    """Settings of a study that holds training from scratch against pre-trained weights."""

    init: tuple[str, ...] = ()
    """Pre-trained weights, fine-tuned and frozen at every train size: names of ours (vitlab/...) or timm's, weight
    files, folders of runs; where weights do not say their model, MODEL=SOURCE, such as ViT-B/16=B_16.npz."""
    finetune: Recipe = Recipe(steps=100, optimizer="sgd", weight_decay=0.0, warmup_steps=0, evaluations=5)
    """Recipe of fine-tuning all images, except for its rate (Table 4); fewer images get fewer steps as in training."""
    rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    """Fine-tuning rates; at each train size the one with the best mean accuracy on the validation split counts."""
    rates_by_family: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Other fine-tuning rates for a family."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_families("rates_by_family", self.rates_by_family)

    @property
    def own_images(self) -> bool:
        """Whether the images are a person's own, of which no card of the suite knows anything."""
        return data_of(self.data)[1].card is None

    def floors(self, axes: Mapping[str, Iterable[Any]]) -> list[Run]:
        """What any model must beat on a person's own images, at each point of `axes`; nothing where there are too many
        of them to compare.
        """
        data, info = data_of(self.data, image_size=self.image_size)
        if not self.own_images or info.sizes["train"] * info.sizes["test"] > COMPARISONS:
            return []
        return grid(Run("pixels", data, task=Floors()), axes)

    def pretrained(self, axes: Mapping[str, Iterable[Any]]) -> list[Run]:
        """At each point of `axes`, the weights of --init frozen below a linear classifier, and fine-tuned.

        Images have the size that the weights were made for. Raises ValueError for weights that cannot be had.
        """
        found: list[Run] = []
        for start, size in map(start_of, self.init):
            based = replace(start, data=data_of(self.data, image_size=size)[0])
            found += grid(replace(based, task=LinearProbe()), axes)
            rates = self.rates_by_family.get(family(start.model), self.rates)
            tuned = grid(replace(based, recipe=self.finetune), {**axes, RATE: rates})
            found += [self.at_size(run) for run in tuned]
        return found

    def mistakes(self, plan: Sequence[Run], store: Store) -> Mapping[str, Figure]:
        """What the best training of a plan gets wrong, where the images are a person's own; otherwise nothing."""
        if not self.own_images:
            return {}
        from vitlab.gallery.mistakes import figures_of_best

        return figures_of_best(plan, store)


def start_of(source: str) -> tuple[Run, int]:
    """The weights of an --init, written SOURCE or MODEL=SOURCE, as `start_with` gives them."""
    from vitlab.models.zoo import names  # here, because it takes torch

    model, sign, where = source.partition("=")
    if not sign or find(source).exists() or not (model in names() or find(where).exists()):
        return start_with("", source)
    return start_with(model, where)


@cache
def start_with(model: str, where: str, option: str = "init") -> tuple[Run, int]:
    """The weights of `where` as a Run without data, and the size in pixels of the images that they are for.

    Files are read, since only they know; a name of timm's asks for nothing from elsewhere. Raises ValueError, with the
    `option` that was given, for what is neither, and for a model that is not told.
    """
    from vitlab.gallery.subjects import guessed_name
    from vitlab.models import load
    from vitlab.models.zoo import settings_of
    from vitlab.runs.run import Data

    path = find(where)
    name = model or guessed_name(where)
    if not path.exists():
        size = _timm_size(where, option)
        return Run(_told(name, where, option), Data(""), init=where), size
    made = settings_of(load(name, where) if name else load(where))
    where = str(path / WEIGHTS) if (path / "run.json").exists() else where
    options = sorted((key, value) for key, value in made.overrides.items() if key != "head")
    start = Run(made.name, Data(""), init=where, options=tuple(options), init_fingerprint=fingerprint(where))
    return start, made.image_size[0]


def _timm_size(name: str, option: str) -> int:
    from timm.models import get_pretrained_cfg, is_model_pretrained

    config = get_pretrained_cfg(name) if is_model_pretrained(name) else None
    if config is None:
        raise ValueError(
            f"--{option} {name}: there is no such file, and timm knows no such weights. Give a weight file, the folder "
            "of a run such as runs/0123456789ab, or a name of timm's such as vit_tiny_patch16_224.augreg_in21k."
        )
    return int(config.input_size[-1])


def _told(name: str | None, source: str, option: str) -> str:
    if not name:
        raise ValueError(
            f"--{option} {source} does not say its model; write MODEL={source}, such as ViT-B/16={source}."
        )
    return name


def arms(rows: pd.DataFrame) -> pd.DataFrame:
    """Finished rows with the name of their arm in `model`: models from scratch, then pre-trained ones, then floors.

    Of fine-tunings those at the rate that validation chose for the weights and the train size.
    """
    import pandas as pd

    started, words = rows["init"].notna(), short_names(rows["init"].dropna().unique())
    scratch = rows[(rows["task.kind"] == "classify") & ~started]
    tuned = best_rate(rows[(rows["task.kind"] == "classify") & started], ["model", "init", "train_images"])
    frozen = rows[(rows["task.kind"] == "linear_probe") & started]
    floors = rows[rows["task.kind"] == "floors"]
    named = [
        scratch,
        tuned.assign(model=_words(tuned, words, "fine-tuned")),
        frozen.assign(model=_words(frozen, words, "frozen")),
        floors.assign(model=floors.get("part")),
    ]
    found = pd.concat([part for part in named if len(part)] or [scratch])
    return found.assign(**{"upstream": found["title"], "upstream.name": found["data.name"]})


def _words(rows: pd.DataFrame, words: Mapping[str, str], how: str) -> pd.Series:
    """`ViT-Ti/16 of vit_tiny_patch16_224, fine-tuned` for each row."""
    return rows["model"] + " of " + rows["init"].map(words).astype(str) + f", {how}"


def short_names(inits: Iterable[str]) -> dict[str, str]:
    """What to call each of several weights: its short name, after as many of its folders as tell it from the others."""
    names = {init: _ever_longer(init) for init in inits}
    taken = Counter(name for longer in names.values() for name in set(longer))
    return {init: next((name for name in longer if taken[name] == 1), init) for init, longer in names.items()}


def _ever_longer(init: str) -> list[str]:
    """`best`, `w/best`, `a/w/best` and `/a/w/best.pt`."""
    path, name = Path(init), short_name(init)
    inside = path.parent.parent if path.name == WEIGHTS else path.parent
    folders = [part for part in inside.parts if part != inside.anchor]
    return [*("/".join([*folders[len(folders) - n :], name]) for n in range(len(folders) + 1)), init]


def short_name(init: str) -> str:
    """What to call weights: their file without its ending, the folder of a run, or timm's name."""
    path = Path(init)
    if path.name == WEIGHTS:
        return path.parent.name
    path = path.with_suffix("") if path.suffix == PACKED else path
    return path.stem if path.suffix in (".npz", ".safetensors", ".ckpt", ".pt", ".pth", ".bin") else path.name
