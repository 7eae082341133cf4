"""Executing one training: Lightning's Trainer, a checkpoint after every round, and the row that comes out."""

from __future__ import annotations

import math
import time
from functools import cache, partial
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.profilers import Profiler
from safetensors.torch import load_file
from torch import nn

from vitlab.data.loading import ImageData
from vitlab.data.module import DataModule
from vitlab.data.splits import nested_subset
from vitlab.models import Count, Model, count
from vitlab.runs.build_model import build_model
from vitlab.runs.engine import ALONE, STRATEGIES, Team
from vitlab.runs.keep import Keeper, Kept, csv_bytes, npz_bytes, weights_bytes
from vitlab.runs.place import Listener, NonFiniteLoss, Stopped
from vitlab.runs.run import Run
from vitlab.runs.store import CHECKPOINTS, WEIGHTS, Store
from vitlab.runs.teams import check_team, checkpoint_for, strategy_of
from vitlab.tasks.bf16 import precision_on
from vitlab.tasks.classification import Classification, TrainingTask
from vitlab.tasks.masked_patch import MaskedPatchPrediction
from vitlab.tasks.settings import Classify, MaskedPatch
from vitlab.tasks.sharding import load_whole, whole_state

EVALUATION_BATCH = 500  # images


class Rounds(pl.Callback):
    """After each round: the curve, the best weights, a checkpoint to go on from, and a look at the clock."""

    def __init__(
        self, run: Run, store: Store, listener: Listener, keeper: Keeper, metadata: dict[str, Any], rounds: int
    ) -> None:
        self.run, self.store, self.listener, self.keeper, self.metadata = run, store, listener, keeper, metadata
        self.rounds, self.keep_at = rounds, {round((i + 1) * rounds / run.snapshots) for i in range(run.snapshots)}
        self.curve: list[dict[str, float]] = []
        self.best, self.best_step, self.seconds, self.wall = -math.inf, 0, 0.0, 0.0
        self.beside: dict[str, torch.Tensor] = {}  # the task's own weights at the best; the file has the model's alone

    def state_dict(self) -> dict[str, Any]:
        """What must survive a restart."""
        return {name: getattr(self, name) for name in ("curve", "best", "best_step", "beside", "seconds", "wall")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up again what `state_dict` gave."""
        self.__dict__.update(state)

    def take_best(self, module: TrainingTask) -> None:
        """Load the best weights: the model's from their file, and those that the task has beside it."""
        load_whole(cast(Model, module.model), load_file(self.store.weights(self.run)))
        module.load_state_dict(self.beside, strict=False)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start the round's clock and sums, which stay on the device so that no step waits for a number."""
        self.started = time.perf_counter()
        self.loss_sum = torch.zeros((), device=module.device)
        self.bad_step = torch.full((), -1, device=module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add up the loss, remember the first step at which it was not finite, and stop if asked."""
        loss = outputs["loss"].detach().float()
        self.loss_sum += loss
        bad = ~torch.isfinite(loss) & (self.bad_step < 0)
        self.bad_step = torch.where(bad, trainer.global_step, self.bad_step)
        if self.listener.stop():
            raise Stopped

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Training time ends here: evaluation is not part of images/s."""
        # The one point of a round that waits for the device, and for the other processes.
        step = int(trainer.strategy.reduce(self.bad_step, reduce_op="max"))
        if step >= 0:
            raise NonFiniteLoss(f"the loss was not finite at step {step}; a lower lr or a longer warm-up may help")
        self.round_seconds = time.perf_counter() - self.started
        self.seconds += self.round_seconds

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Record the round, keep what it gave and look whether the next one fits into the time that is left."""
        step, score = trainer.global_step, float(trainer.callback_metrics["score"])
        loss = float(trainer.strategy.reduce(self.loss_sum, reduce_op="mean")) / trainer.num_training_batches
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.curve.append({"step": step, "train_loss": loss, "validation": score, "lr": rate})
        better = score > self.best
        if better:
            self.best, self.best_step, self.beside = score, step, _beside(module)
        files = self._files(module, better)
        round_s = time.perf_counter() - self.started
        self.wall += round_s
        trainer.save_checkpoint(CHECKPOINTS[0])  # Every process takes part, and rank 0 gets it.
        if trainer.is_global_zero:
            content = trainer.strategy.checkpoint_io.content  # type: ignore[attr-defined]  # it is a `Kept`
            self.keeper.write(partial(self.store.put_round, self.run, files, content))
        about = {"seconds": self.round_seconds, "share": len(self.curve) / self.rounds}
        self.listener.report({"kind": "round", "run": self.run.id, **about, **self.curve[-1]})
        if time.time() + 1.2 * round_s > self.listener.deadline and len(self.curve) < self.rounds:
            raise Stopped

    def _files(self, module: pl.LightningModule, better: bool) -> dict[str, bytes]:
        """What a round keeps beside its checkpoint: weights that are the best so far, snapshots, pictures.

        Every process takes part, and rank 0 gets them.
        """
        step, files, keep = self.curve[-1]["step"], dict[str, bytes](), len(self.curve) in self.keep_at
        model = cast(Model, module.model)
        state = whole_state(model) if better or keep else {}
        if not module.trainer.is_global_zero:
            return files
        if better:
            files[WEIGHTS] = weights_bytes(model, state, self.metadata)
        if keep:
            files[f"step_{step:07d}.safetensors"] = weights_bytes(model, state, self.metadata)
            if isinstance(module, MaskedPatchPrediction):
                files[f"pictures_{step:07d}.npz"] = npz_bytes(module.pictures())
        return files


def train(
    run: Run,
    data: ImageData,
    store: Store,
    listener: Listener,
    device: str,
    micro: int | None = None,
    team: Team = ALONE,
    profiler: Profiler | None = None,
) -> list[dict[str, Any]]:
    """Train `run` to its end, from its last checkpoint if there is one; return a row of results for each split.

    With `micro` the memory holds no more than that many images at a time; their gradients add up to those of a batch.
    `profiler`: see `vitlab.runs.profiling`. Every process of a `team` calls this; rank 0 alone writes.

    Raises:
        Stopped: when `listener` says so; what was done up to the last round is kept.
        NonFiniteLoss: names the step.
        ValueError: for settings that do not fit together.
    """
    indices = run_indices(run, data)
    check_team(team, batch=run.recipe.batch_size, validation=len(data.validation), test=len(data.test))
    rounds, steps_per_round = run.recipe.rounds(len(indices))
    model = build_model(run, data, store)
    metadata = {"run": run.id, "mean": list(data.mean), "std": list(data.std), "classes": list(data.classes)}
    images = _images(run, data, indices, steps_per_round, micro)
    module = _module(run, model, data, rounds * steps_per_round)
    module.micro_batch, module.processes, module.rank = micro, team.size, team.rank
    with Keeper() as keeper:
        callback = Rounds(run, store, listener, keeper, metadata, rounds)
        trainer = _trainer(run, rounds, callback, device, team, profiler)
        checkpoint = checkpoint_for(store, run, team, trainer.strategy, module)
        trainer.fit(module, images, ckpt_path=checkpoint, weights_only=True)
    trainer.strategy.barrier()  # until rank 0 has written
    tests = {"last": _test(trainer, module, images)}
    callback.take_best(module)
    tests["best"] = _test(trainer, module, images) if callback.best_step < trainer.global_step else tests["last"]
    if team.rank == 0:
        store.put(run, {"curve.csv": csv_bytes(callback.curve)})
    return [row | _how(micro, team) for row in _rows(run, data, len(indices), callback, tests)]


def _beside(module: nn.Module) -> dict[str, torch.Tensor]:
    """A task's own weights, beside those of its model: [mask] and the head of masked patch prediction."""
    return {name: w.detach().cpu().clone() for name, w in module.named_parameters() if not name.startswith("model.")}


def _how(micro: int | None, team: Team) -> dict[str, Any]:
    """What rows say of a batch that was not taken as a whole, and of a model in shards."""
    how: dict[str, Any] = {"micro_batch": micro} if micro else {}
    how |= {"processes": team.size} if team.size > 1 else {}
    return how | ({"strategy": team.strategy} if team.strategy != STRATEGIES[0] else {})


def _images(run: Run, data: ImageData, indices: torch.Tensor, steps_per_round: int, micro: int | None) -> DataModule:
    return DataModule(
        data,
        indices=indices,
        batch_size=run.recipe.batch_size,
        steps_per_round=steps_per_round,
        seed=run.seed,
        augment=run.recipe.augment,
        # Masked patch prediction draws what it corrupts by batches, and so keeps them in evaluation.
        evaluation_batch_size=micro if micro and isinstance(run.task, Classify) else EVALUATION_BATCH,
    )


def cost_of(run: Run, image_size: int, classes: int) -> Count:
    """Parameters and forward FLOPs per image of the run's model, which has a classifier whatever the task: the head of
    masked patch prediction is left out. A plan has few models and many runs.
    """
    return _cost(run.model, image_size, classes, run.options)


@cache
def _cost(model: str, image_size: int, classes: int, options: tuple[tuple[str, Any], ...]) -> Count:
    return count(model, image_size=image_size, num_classes=classes, **dict(options))


def run_indices(run: Run, data: ImageData) -> torch.Tensor:
    """Which images of the train split the run sees: all, or a stratified subset of `train_size`, nested in larger
    ones.
    """
    if run.data.train_size is None:
        return torch.arange(len(data.train))
    return nested_subset(data.train.labels, run.data.train_size, run.data.subset_seed)


def _module(run: Run, model: nn.Module, data: ImageData, steps: int) -> TrainingTask:
    if isinstance(run.task, MaskedPatch):
        return MaskedPatchPrediction(model, run.task, run.recipe, data=data, steps=steps, seed=run.seed)
    assert isinstance(run.task, Classify)
    if run.recipe.compile:
        model.compile()
    return Classification(model, run.task, run.recipe, num_classes=len(data.classes), steps=steps, seed=run.seed)


def _trainer(run: Run, rounds: int, callback: Rounds, device: str, team: Team, profiler: Profiler | None) -> pl.Trainer:
    return pl.Trainer(
        accelerator=device,
        devices=1,
        num_nodes=team.size,
        strategy=strategy_of(team, run.task),
        use_distributed_sampler=False,
        max_epochs=rounds,
        gradient_clip_val=run.recipe.grad_clip or None,
        callbacks=[callback],
        profiler=profiler,
        plugins=[Kept(), precision_on(device, run.recipe.precision)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10**9,
    )


def _test(trainer: pl.Trainer, module: pl.LightningModule, images: DataModule) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.test(module, images, verbose=False)[0].items()}


def _rows(
    run: Run, data: ImageData, size: int, callback: Rounds, tests: dict[str, dict[str, float]]
) -> list[dict[str, Any]]:
    """What the training gave on each split, and what it cost; accuracies in [0, 1], times in seconds."""
    cost = cost_of(run, data.image_size, len(data.classes))
    steps, batch = callback.curve[-1]["step"], run.recipe.batch_size
    about = {
        "image_size": data.image_size,
        "train_images": size,
        "steps": steps,
        "epochs": round(steps * batch / size, 2),
        "best_step": callback.best_step,
        "best_epoch": round(callback.best_step * batch / size, 2),
        "late_gain": late_gain(callback.curve),
        "parameters": cost.parameters,
        "train_flops_per_image": 3 * cost.flops,
        "wall_s": round(callback.wall, 2),
        "images_per_s": round(steps * batch / callback.seconds, 1),
    }
    validation = {"score": callback.best, "last_score": callback.curve[-1]["validation"]}
    test = {**tests["best"], "last_score": tests["last"]["score"]}
    return [
        {"split": split, **found, "images": len(getattr(data, split)), **about}
        for split, found in (("validation", validation), ("test", test))
    ]


def late_gain(curve: list[dict[str, float]]) -> float | None:
    """Validation score gained over the last fifth of a training; None for one that was looked at too seldom to say.

    A training that was still gaining then was cut short.
    """
    before = [point["validation"] for point in curve if point["step"] <= 0.8 * curve[-1]["step"]]
    return max(point["validation"] for point in curve) - max(before) if before else None
