"""Self-supervision by masked patch prediction (sections 4.6 and B.1.2 of arXiv 2010.11929), on any ViT or hybrid.

The embeddings of a part of the patches are corrupted, positions are added after that (by the model's `encode`), and a
linear layer on the encoded corrupted patches predicts what they show. The authors never released theirs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from vitlab.data.augment import denormalise, normalise
from vitlab.data.batches import derived_seed
from vitlab.data.loading import ImageData
from vitlab.data.module import Batch
from vitlab.data.shuffle import arranged
from vitlab.models.vit import ViT
from vitlab.tasks.classification import TrainingTask
from vitlab.tasks.patch_targets import (
    Target,
    class_color,
    color_class,
    make_target,
    neighbour_colors,
    patches_of,
)
from vitlab.tasks.settings import MaskedPatch, Recipe

COUNTED_IMAGES = 4096  # train images in which the most frequent colour is looked for
PICTURES = 6
MASK_SHOWN = (0.8, 0.47, 0.65)  # a pink that few images have


@dataclass(frozen=True)
class Corruption:
    """Which patches of each image are corrupted, and how.

    `corrupted` (B, k): the patches; the first `masked` of a row become [mask], the next ones the embeddings of the
    patches `sources` (B, swapped) of the same image, and the rest stay as they are.
    """

    corrupted: Tensor
    sources: Tensor
    masked: int

    @property
    def swapped(self) -> int:
        """How many patches of an image get another patch's embedding."""
        return self.sources.shape[1]

    def apply(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """The corrupted embeddings (B, N, D), with `mask` (D,) as the [mask] embedding."""
        width = embeddings.shape[-1]
        masks = mask.to(embeddings).expand(len(embeddings), self.masked, width)
        taken = embeddings.gather(1, self.sources.unsqueeze(-1).expand(-1, -1, width))
        changed = self.corrupted[:, : self.masked + self.swapped].unsqueeze(-1).expand(-1, -1, width)
        return embeddings.scatter(1, changed, torch.cat([masks, taken], 1))

    def visible(self, patches: int) -> Tensor:
        """Which patches are not corrupted: (B, N) bool."""
        return torch.ones(len(self.corrupted), patches, dtype=torch.bool, device=self.corrupted.device).scatter(
            1, self.corrupted, False
        )

    def to(self, device: torch.device) -> Corruption:
        """The same on `device`."""
        return Corruption(self.corrupted.to(device), self.sources.to(device), self.masked)


def draw_corruption(task: MaskedPatch, images: int, patches: int, generator: torch.Generator) -> Corruption:
    """Corrupt exactly k = round(ratio N) patches of each image; round(mask k) are masked, round(swap k) swapped.

    The shares are exact counts and not probabilities, so that a rate means the same for every image, as far as rounding
    lets it (k = 8: 6, 1 and 1 unchanged). A swapped patch takes the embedding of any other patch of its own image.
    Drawn on the generator's device; to be independent of the device of the training, give one on the CPU.
    """
    count = round(task.ratio * patches)
    masked = round(task.mask * count)
    swapped = min(round(task.swap * count), count - masked)
    order = torch.rand(images, patches, generator=generator).argsort(1)
    corrupted = order[:, :count]
    away = torch.randint(1, max(2, patches), (images, swapped), generator=generator)
    return Corruption(corrupted, (corrupted[:, masked : masked + swapped] + away) % patches, masked)


class MaskedPatchPrediction(TrainingTask):
    """Train `model` to predict the corrupted patches; the loss is on these alone, unchanged ones included.

    `score` is accuracy over corrupted patches (of their 4 x 4 cells for "downsized", and R^2 for "pixels"), and
    `color_accuracy` the accuracy of the 3-bit mean colour, which can be compared between targets. Beside them stand
    two floors: `floor_frequent` always says the train images' most frequent colour (their mean, for pixels), and
    `floor_neighbours` the mean colour of the visible neighbours. Evaluation corrupts the same patches every time.
    In a hybrid a patch is the square of its token's stride; its CNN looks beyond that square, so that
    neighbours tell something about a corrupted patch, and its scores are not comparable with a pure ViT's.
    Raises ValueError for a model without patch embeddings, and a ratio that corrupts none of its patches.
    """

    def __init__(
        self, model: nn.Module, task: MaskedPatch, recipe: Recipe, *, data: ImageData, steps: int, seed: int
    ) -> None:
        super().__init__(recipe, steps=steps, seed=seed)
        if not isinstance(model, ViT):
            raise ValueError(
                f"Masked patch prediction needs patch embeddings, which {type(model).__name__} lacks; take a ViT or a "
                "hybrid, such as ViT-Nano/4."
            )
        self.model, self.task, self.data = model, task, data
        self.patches = model.grid[0] * model.grid[1]
        if round(task.ratio * self.patches) == 0:
            raise ValueError(
                f"ratio={task.ratio:g} corrupts none of {self.patches} patches; give a higher one, or a model with "
                "smaller patches."
            )
        self.side = int(model.token_stride)
        self.target: Target = make_target(task.target, self.side, torch.tensor(data.mean))
        generator = torch.Generator().manual_seed(seed)
        self.mask = nn.Parameter(torch.randn(model.width, generator=generator) * 0.02)
        self.predict = nn.Linear(model.width, self.target.outputs)
        nn.init.xavier_uniform_(self.predict.weight, generator=generator)
        nn.init.zeros_(self.predict.bias)
        self.encode: Callable[[Tensor], Tensor] = torch.compile(model.encode) if recipe.compile else model.encode
        self.sums: dict[str, Tensor] = {}

    def corruption(self, images: int, *stream: int | str) -> Corruption:
        """The corruption of a batch: a function of its stream of random numbers alone, alike on every device."""
        generator = torch.Generator().manual_seed(derived_seed(*stream))
        return draw_corruption(self.task, images, self.patches, generator).to(self.device)

    def outputs(self, images: Tensor, corruption: Corruption) -> Tensor:
        """Normalised images (B, 3, H, W) -> the head's outputs at the corrupted patches, (B k, outputs)."""
        encoded = self.encode(corruption.apply(self.model.embed(images), self.mask))  # (B, P+N, D)
        corrupted = (corruption.corrupted + self.model.prefix_tokens).unsqueeze(-1).expand(-1, -1, encoded.shape[-1])
        return self.predict(encoded.gather(1, corrupted)).flatten(0, 1)

    def cut(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) -> patches (B, N, 3, s, s) in [0, 1]: targets know no normalisation."""
        return patches_of(denormalise(images, self.data.mean, self.data.std).clamp(0, 1), self.model.grid, self.side)

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """Images, and the patches that are corrupted and shown in others' stead; each step draws its own."""
        corruption = self.corruption(len(batch.images), self.seed, "corruption", self.global_step)
        return batch.images, corruption.corrupted, corruption.sources

    def loss_of(self, *inputs: Tensor) -> Tensor:
        """Mean loss over the corrupted patches of images (B, 3, H, W)."""
        images, corrupted, sources = inputs
        corruption = Corruption(corrupted, sources, round(self.task.mask * corrupted.shape[1]))
        truth = _at(self.target.truth(self.cut(images)), corruption)
        return self.target.loss(self.outputs(images, corruption), truth)

    def on_validation_epoch_start(self) -> None:
        """Forget the sums of the last evaluation."""
        self.sums = defaultdict(lambda: torch.zeros(2, dtype=torch.double, device=self.device))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add one batch to the sums: each metric is a ratio of two."""
        drawn = self.corruption(len(batch.images), "evaluation", batch_idx)
        images, corrupted, sources = self.mine(batch.images, drawn.corrupted, drawn.sources)
        if not len(images):
            return
        corruption = Corruption(corrupted, sources, drawn.masked)
        patches, target = self.cut(images), self.target
        colors = patches.mean((-2, -1))  # (B, N, 3)
        outputs, truth = self.outputs(images, corruption), _at(target.truth(patches), corruption)
        guess, color = target.guess(outputs), _at(colors, corruption)
        near = _at(neighbour_colors(colors, corruption.visible(self.patches), self.model.grid), corruption)
        painted = target.paint(guess).mean((-2, -1))  # (B k, 3)
        count = torch.tensor(len(truth), dtype=torch.double, device=self.device)
        self.sums["score"] += target.good(guess, truth)
        self.sums["floor_frequent"] += target.good(target.of_color(self.frequent_color.expand_as(near)), truth)
        self.sums["floor_neighbours"] += target.good(target.of_color(near), truth)
        right = (color_class(painted) == color_class(color)).sum().double()
        self.sums["color_accuracy"] += torch.stack([right, count])
        self.sums["loss"] += torch.stack([target.loss(outputs, truth).double() * count, count])

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the split."""
        sums = torch.stack(list(self.sums.values()))
        if self.processes > 1:
            sums = self.trainer.strategy.reduce(sums, reduce_op="sum")  # type: ignore[assignment]  # a tensor as well
        for name, (part, whole) in zip(self.sums, sums, strict=True):
            self.log(name, (part / whole).float())

    on_test_epoch_start, test_step, on_test_epoch_end = (
        on_validation_epoch_start,
        validation_step,
        on_validation_epoch_end,
    )

    @cached_property
    def frequent_color(self) -> Tensor:
        """The most frequent 3-bit mean colour of train patches, or for pixels the mean colour: (3,)."""
        if self.task.target == "pixels":
            return torch.tensor(self.data.mean, device=self.device)
        train = self.data.train
        chosen = torch.linspace(0, len(train) - 1, min(COUNTED_IMAGES, len(train))).long()
        patches = patches_of(arranged(train.images(chosen), self.data).float() / 255, self.model.grid, self.side)
        return class_color(color_class(patches.mean((-2, -1))).flatten().mode().values).to(self.device)

    @torch.no_grad()
    def pictures(self) -> dict[str, np.ndarray]:
        """`image`, `corruption`, `prediction` and `truth` of a fixed set of validation images, (n, H, W, 3) uint8 each.

        [mask] is shown in pink and a swapped patch as the one whose embedding it got. In `prediction` and
        `truth` the corrupted patches are painted in what is predicted and in what was to be predicted.
        """
        split = self.data.validation
        chosen = torch.linspace(0, len(split) - 1, min(PICTURES, len(split))).long()
        seen = arranged(split.images(chosen), self.data).to(self.device)
        images = normalise(seen, self.data.mean, self.data.std)
        corruption, patches = self.corruption(len(images), "evaluation", 0), self.cut(images)
        was_training = self.training
        self.eval()
        guess = self.target.guess(self.outputs(images, corruption))
        self.train(was_training)
        tiles = patches.movedim(2, -1).flatten(2)  # (B, N, s s 3), to use the corruption as it acts on embeddings
        shown = corruption.apply(tiles, tiles.new_tensor(MASK_SHOWN).repeat(self.side**2))
        shown = shown.view(*patches.shape[:2], *patches.shape[3:], 3).movedim(-1, 2)
        truth = _at(self.target.truth(patches), corruption)
        panels = {
            "image": patches,
            "corruption": shown,
            "prediction": self._painted(patches, corruption, guess),
            "truth": self._painted(patches, corruption, truth),
        }
        height, width = images.shape[-2:]
        return {name: _assembled(panel, self.model.grid)[:, :height, :width] for name, panel in panels.items()}

    def _painted(self, patches: Tensor, corruption: Corruption, values: Tensor) -> Tensor:
        """The patches (B, N, 3, s, s), the corrupted ones painted in `values` (B k, C)."""
        side = patches.shape[-1]
        tiles = nn.functional.interpolate(self.target.paint(values), (side, side))  # (B k, 3, s, s)
        rows = torch.arange(len(patches), device=patches.device).unsqueeze(1)
        painted = patches.clone()
        painted[rows, corruption.corrupted] = tiles.unflatten(0, corruption.corrupted.shape)
        return painted


def _at(values: Tensor, corruption: Corruption) -> Tensor:
    """The values (B, N, C) of the corrupted patches: (B k, C), image by image."""
    corrupted = corruption.corrupted.unsqueeze(-1).expand(-1, -1, values.shape[-1])
    return values.gather(1, corrupted).flatten(0, 1)


def _assembled(patches: Tensor, grid: tuple[int, int]) -> np.ndarray:
    """Patches (B, N, 3, s, s) in [0, 1] put together again: (B, h s, w s, 3) uint8."""
    images = patches.unflatten(1, grid).permute(0, 1, 4, 2, 5, 3).flatten(3, 4).flatten(1, 2)
    return (images * 255).round().byte().cpu().numpy()
