"""Which images the batch of a step holds: a pure function of the seed and the step, so that any step can be resumed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from vitlab.data.loading import Split


class Batch(NamedTuple):
    """What a LightningModule gets: `images` (B, 3, H, W), `targets` (B,) int64 or (B, K) shares, `step` of training.

    Images are uint8 when they leave the data set, and float32, augmented and normalised, when they reach the model.
    `step` counts from 0 over the whole training and is -1 in evaluation.
    """

    images: Tensor
    targets: Tensor
    step: int


def derived_seed(*parts: int | str) -> int:
    """A 63-bit seed from a seed and what it is for; different parts give unrelated random numbers."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Share(NamedTuple):
    """One of `processes` that share each batch; parts differ by one image at most."""

    processes: int = 1
    rank: int = 0

    def of(self, images: Tensor) -> Tensor:
        """This process's part of what has the images of a batch along its first axis."""
        return images.tensor_split(self.processes)[self.rank]


WHOLE = Share()


class StepDataset(Dataset[Batch]):
    """Item s is the batch of step s: all its targets, and of the images those of a `share`, all by default.

    The images of the subset come in an endless stream of permutations, one an epoch, each from a generator of its own
    seeded by (seed, epoch); step s is the s-th piece of `batch_size` images. So every image is seen once an epoch, a
    batch may reach into the next epoch, and one that is larger than the subset holds an image more than once.
    """

    def __init__(self, split: Split, indices: Tensor, batch_size: int, seed: int, share: Share = WHOLE) -> None:
        self.split, self.indices, self.batch_size, self.seed, self.share = split, indices, batch_size, seed, share
        self._orders: dict[int, Tensor] = {}

    def __getitem__(self, step: int) -> Batch:
        chosen = self.indices[self.positions(step)]
        return Batch(self.split.images(self.share.of(chosen)), self.split.labels[chosen], step)

    def positions(self, step: int) -> Tensor:
        """Positions within the subset (batch_size,) of the images of step `step`."""
        count = len(self.indices)
        start, end = step * self.batch_size, (step + 1) * self.batch_size
        epochs = range(start // count, (end - 1) // count + 1)
        stream = torch.cat([self._order(epoch) for epoch in epochs])
        return stream[start - epochs[0] * count : end - epochs[0] * count]

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            generator = torch.Generator().manual_seed(derived_seed(self.seed, "epoch", epoch))
            self._orders = {key: order for key, order in self._orders.items() if key >= epoch - 1}
            self._orders[epoch] = torch.randperm(len(self.indices), generator=generator)
        return self._orders[epoch]


class EvaluationDataset(Dataset[Batch]):
    """Item i is the i-th batch of a split, in order and unchanged; of its images those of a `share`."""

    def __init__(self, split: Split, batch_size: int, share: Share = WHOLE) -> None:
        self.split, self.batch_size, self.share = split, batch_size, share

    def __len__(self) -> int:
        return -(-len(self.split) // self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        if index >= len(self):
            raise IndexError(index)
        chosen = torch.arange(index * self.batch_size, min((index + 1) * self.batch_size, len(self.split)))
        return Batch(self.split.images(self.share.of(chosen)), self.split.labels[chosen], -1)


class RoundSampler(Sampler[int]):
    """The steps of one round, which Lightning calls an epoch and announces by `set_epoch`."""

    def __init__(self, steps_per_round: int, round: int = 0) -> None:
        self.steps_per_round, self.round = steps_per_round, round

    def set_epoch(self, epoch: int) -> None:
        """Choose the round, from 0."""
        self.round = epoch

    def __iter__(self) -> Iterator[int]:
        yield from range(self.round * self.steps_per_round, (self.round + 1) * self.steps_per_round)

    def __len__(self) -> int:
        return self.steps_per_round
