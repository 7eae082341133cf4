"""Supervised training as a LightningModule: pre-training, fine-tuning and training from scratch."""

from __future__ import annotations

from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from vitlab.data.batches import Batch, Share, derived_seed
from vitlab.tasks.optim import optimizer, schedule
from vitlab.tasks.settings import Classify, Recipe
from vitlab.tasks.sharding import shard


class TrainingTask(pl.LightningModule):
    """What every training shares: the optimiser with its schedule, and random numbers that depend on the step alone.

    Every step draws from the stream of (run seed, step). A training that is killed and goes on therefore sees the very
    numbers that it would have seen, wherever it was killed.
    """

    def __init__(self, recipe: Recipe, *, steps: int, seed: int) -> None:
        super().__init__()
        self.recipe, self.steps, self.seed = recipe, steps, seed
        self.micro_batch: int | None = None  # images at a time, where the memory is too small for a batch
        self.processes, self.rank = 1, 0  # how many share each batch, and which of them this is

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the global streams (dropout, stochastic depth, corruption) for this step."""
        mine = [self.rank] if self.rank else []  # Processes draw other masks of dropout, each for its own images.
        seed = derived_seed(self.seed, "step", self.global_step, *mine)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed looks for every kind of device, each time
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(seed)
        self.optimizers(use_pl_optimizer=False).zero_grad()  # type: ignore[union-attr]  # there is one

    def optimizer_zero_grad(self, *_: Any) -> None:
        """Nothing: Lightning asks for this after `training_step`, when micro-batches have left their gradients."""

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """What the loss is a function of, each with the images along its first axis."""
        raise NotImplementedError

    def mine(self, *whole: Tensor) -> tuple[Tensor, ...]:
        """This process's part of what has the images of a batch along its first axis; parts differ by one at most."""
        return tuple(Share(self.processes, self.rank).of(x) for x in whole)

    def loss_of(self, *inputs: Tensor) -> Tensor:
        """Mean loss over the images of `inputs`."""
        raise NotImplementedError

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch. With micro-batches the gradients of all but the last one are added up in here.

        These are the gradients of the whole batch up to rounding, for models whose images know nothing of each other,
        which all of ours are; dropout and stochastic depth draw other masks. Several processes each take a part of the
        batch, weighted so that the mean over the processes is the mean over the images.
        """
        inputs, images = self.mine(*self.inputs(batch)), len(batch.images)
        size = self.micro_batch or images
        *first, last = zip(*(x.split(size) for x in inputs), strict=True)
        done = torch.zeros((), device=self.device)
        for part in first:
            loss = self.loss_of(*part) * (len(part[0]) * self.processes / images)
            with torch.autocast(self.device.type, enabled=False):
                loss.backward()
            torch.clear_autocast_cache()
            done += loss.detach()
        weight = len(last[0]) * self.processes / images
        loss = self.loss_of(*last)
        return loss if weight == 1 else loss * weight + done

    def configure_model(self) -> None:
        """Shard the model over the processes, where Lightning's strategy is for that."""
        if self.device_mesh is not None:
            shard(cast(nn.Module, self.model), self.device_mesh["data_parallel"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Number the optimiser's states as the parameters are, whatever their groups: a sharded training, which may go
        on from here, looks for them so, and others go by the order in the groups.
        """
        if self.device_mesh is not None:  # Lightning has done so.
            return
        number = {id(p): place for place, p in enumerate(self.parameters())}
        for made, state in zip(self.trainer.optimizers, checkpoint["optimizer_states"], strict=False):
            names = [name for group in state["param_groups"] for name in group["params"]]
            ours = [number[id(p)] for group in made.param_groups for p in group["params"]]
            new = dict(zip(names, ours, strict=True))
            state["state"] = {new[name]: kept for name, kept in state["state"].items()}
            for group in state["param_groups"]:
                group["params"] = [new[name] for name in group["params"]]

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the global norm. Lightning's own refuses fused optimisers under bf16, which scales no gradients."""
        if gradient_clip_val:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The recipe's optimiser, with its schedule advanced at every step."""
        chosen = optimizer(self, self.recipe)
        rates = torch.optim.lr_scheduler.LambdaLR(chosen, schedule(self.recipe, self.steps))
        return {"optimizer": chosen, "lr_scheduler": LRSchedulerConfigType(scheduler=rates, interval="step")}


class Classification(TrainingTask):
    """Classification with softmax or, as the authors do upstream, sigmoid cross-entropy.

    `score` is top-1 accuracy on the split that is evaluated, in [0, 1].
    """

    def __init__(
        self, model: nn.Module, task: Classify, recipe: Recipe, *, num_classes: int, steps: int, seed: int
    ) -> None:
        super().__init__(recipe, steps=steps, seed=seed)
        self.model, self.task, self.num_classes = model, task, num_classes
        self.accuracy = MulticlassAccuracy(num_classes, average="micro")

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss over a batch of logits (B, K) and targets (B,), or soft targets (B, K) from mixup and cutmix."""
        if self.task.loss == "softmax":
            return F.cross_entropy(logits, targets, label_smoothing=self.task.label_smoothing)
        soft = targets if targets.ndim == 2 else F.one_hot(targets, self.num_classes).float()
        soft = soft * (1 - self.task.label_smoothing) + self.task.label_smoothing / self.num_classes
        # The authors sum the binary cross-entropies over the classes and average over the images.
        return F.binary_cross_entropy_with_logits(logits, soft, reduction="none").sum(-1).mean()

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """Images and targets."""
        return batch.images, batch.targets

    def loss_of(self, *inputs: Tensor) -> Tensor:
        """Mean loss over images (B, 3, H, W) with targets (B,) or (B, K)."""
        images, targets = inputs
        return self.loss(self.model(images), targets)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count the right answers of one batch; `score` is logged at the end of the split."""
        images, targets = self.mine(batch.images, batch.targets)
        if len(images):
            self.accuracy(self.model(images), targets)
        self.log("score", self.accuracy, on_epoch=True)

    test_step = validation_step
