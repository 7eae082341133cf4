"""What the studies of transfer share: pre-training on one set, and fine-tuning on others by Table 4.

A Run that starts from weights and has no data yet stands for these weights: what a study makes of them (a probe, a
fine-tuning) is the same Run with data and a task.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from vitlab.report.families import family
from vitlab.runs.run import Data, Run
from vitlab.study.beside import start_with
from vitlab.study.plan import RATE, SEED, best_rate, changed, grid
from vitlab.study.settings import Settings, check_sizes, data_of
from vitlab.study.study import by_data, by_weights
from vitlab.tasks.settings import Classify, Recipe
from vitlab.weights import fingerprint

if TYPE_CHECKING:
    import pandas as pd

MEAN = "mean of the sets"
HEAD = "options.head"


@dataclass(frozen=True)
class Upstream(Settings):
    """Settings of a study of transfer; --data, --learning_rates and the recipe are those of pre-training."""

    downstream: tuple[str, ...] = ()
    """Sets to transfer to, written as --data is."""
    upstream_size: int | None = None
    """Number of pre-training images; by default all."""
    pretrain: Classify = Classify()
    """Loss of pre-training; upstream the authors' is sigmoid."""
    head: Literal["linear", "tanh"] = "linear"
    """tanh: pre-training with a hidden layer before a ViT's classifier (section 3.1); fine-tuning leaves it behind."""
    finetune: Recipe = Recipe(optimizer="sgd", weight_decay=0.0, warmup_steps=0)
    """Recipe of fine-tuning, except for its rate. Its pixels are normalised by the new set, those of frozen weights as
    these were trained."""
    finetune_size: int | None = None
    """Number of fine-tuning images of each set; by default all."""
    rates: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03)
    """Fine-tuning rates; the one with the best mean accuracy on the validation split counts."""
    checkpoint: str = ""
    """Evaluate these weights instead (anything that vitlab.models.load reads); name their model with --models."""

    def bare(self) -> list[Run]:
        """A pre-training of each model with seed 0, on no data yet."""
        runs = [replace(run, task=self.pretrain) for run in super().bare()]
        deep = self.head == "tanh"
        return [changed(run, {HEAD: "tanh"}) if deep and family(run.model) != "ResNet" else run for run in runs]

    def starts(self) -> list[Run]:
        """The weights that are transferred: those of --checkpoint, or each model pre-trained with each seed.

        Raises:
            ValueError: for data or weights that cannot be had, and for a checkpoint of unknown model.
        """
        seeds = range(self.seeds)
        if not self.checkpoint:
            check_sizes("upstream_size", self.data, [self.upstream_size])
            pretrainings = grid(self.templates(), {SEED: seeds, "data.train_size": (self.upstream_size,)})
            return [Run(run.model, Data(""), seed=run.seed, init=run, options=run.options) for run in pretrainings]
        if len(names := self.model_names()) != 1:
            raise ValueError(
                f"--checkpoint needs the one name of its model, as in --models ViT-B/16; there are {len(names)} names: "
                f"{', '.join(names)}."
            )
        (run,) = self.bare()
        made = () if self.on_hub else start_with(run.model, self.checkpoint, "checkpoint")[0].options
        options = tuple(sorted((dict(made) | dict(run.options)).items()))
        content = fingerprint(self.checkpoint)
        start = Run(run.model, Data(""), init=self.checkpoint, options=options, init_fingerprint=content)
        return grid(start, {"seed": seeds})

    @property
    def on_hub(self) -> bool:
        """Whether the checkpoint is one of which nothing is known without a download."""
        return self.checkpoint.startswith(("hf-hub:", "hf_hub:"))

    def native_size(self) -> int:
        """Pixels of pre-training, unless --image_size says otherwise. Raises ValueError where only a download would."""
        if self.image_size:
            return self.image_size
        if not self.checkpoint:
            return data_of(self.data)[1].image_size
        if self.on_hub:
            raise ValueError(f"The image size of {self.checkpoint} is not known without a download; give --image_size.")
        return start_with(self.model_names()[0], self.checkpoint, "checkpoint")[1]

    def sets(self) -> dict[str, Data]:
        """The downstream sets, as they are asked for, at the resolution of pre-training.

        Raises:
            ValueError: for data and weights that cannot be had, and for more images of fine-tuning than a set has.
        """
        for source in self.downstream:
            check_sizes("finetune_size", source, [self.finetune_size])
        size = self.native_size()
        return {source: data_of(source, image_size=size)[0] for source in self.downstream}

    def on_subset(self, start: Run, data: Data) -> Run:
        """A start's weights on its seed's subset of `data`, as large as fine-tuning's."""
        return replace(start, data=replace(data, train_size=self.finetune_size, subset_seed=start.seed))

    def fine_tunings(self, start: Run, data: Data) -> list[Run]:
        """Fine-tuning of a start's weights on its seed's subset of `data`, once with each rate."""
        base = replace(self.on_subset(start, data), recipe=self.finetune, task=Classify())
        return grid(changed(base, {HEAD: None}), {RATE: self.rates})


def with_mean(rows: pd.DataFrame, **names: str) -> pd.DataFrame:
    """`rows`, and all of them once more as one set, if there are several; averages leave out seeds that lack a set."""
    import pandas as pd

    return pd.concat([rows, rows.assign(title=MEAN, **names)]) if rows["title"].nunique() > 1 else rows


def folder(settings: Upstream) -> str:
    """Where the evidence goes: the upstream set's name, or that of the weights."""
    return by_weights(settings.checkpoint) if settings.checkpoint else by_data(settings)


def fine_tuned(rows: pd.DataFrame) -> pd.DataFrame:
    """Of finished fine-tunings, those with the rate that validation chose for each model, set, size and positions."""
    tuned = rows[(rows["task.kind"] == "classify") & rows["init"].notna()]
    return best_rate(tuned, ["model", "data.name", "image_size", "task.positions"])


def probes_of(rows: pd.DataFrame, x: str) -> pd.DataFrame:
    """Few-shot rows of trainings and of untrained weights, with what was trained on (`upstream`, its `x`) and how."""
    probed = rows[rows["task.kind"] == "few_shot"]
    of_training = {name: probed[f"init.{name}"] for name in (x, "steps", "best_step", "late_gain", RATE)}
    of_training |= {"upstream": probed["init.title"], "upstream.name": probed["init.data.name"]}
    return probed.assign(**of_training, run=probed["init"].fillna(probed["run"]))


def origin(rows: pd.DataFrame) -> str:
    """Where the weights of some rows come from, in words."""
    titles = rows["init.title"].dropna().unique() if "init.title" in rows.columns else []
    sources = map(str, rows["init"].dropna().unique())
    return f"pre-trained on {', '.join(titles)}" if len(titles) else f"weights of {', '.join(sources)}"
