"""The model that a run starts with: what its options, its weights and its task say of it, and which goes first."""

from __future__ import annotations

import torch

from vitlab.data.loading import ImageData
from vitlab.models import ResNet, ViT, create, load
from vitlab.models.load import adopt
from vitlab.runs.run import Run
from vitlab.runs.store import Store
from vitlab.weights import fingerprint


def build_model(run: Run, data: ImageData, store: Store) -> ViT | ResNet:
    """The run's model with the weights that it starts from: drawn from the run's seed, or those of `init`.

    A tanh layer of pre-training is left behind (section 3.1), unless the run's own options ask for one. Raises
    ValueError for a checkpoint that is another one than when the run was planned.
    """
    torch.manual_seed(run.seed)
    size = run.data.image_size or data.image_size
    model = create(run.model, image_size=size, num_classes=len(data.classes), **dict(run.options))
    if run.init is None:
        return model
    source = store.weights(run.init) if isinstance(run.init, Run) else run.init
    if run.init_fingerprint not in ("", fingerprint(source)):
        raise ValueError(f"{source} was changed since this run was planned; start again from what it is now.")
    drawn = {name: value.clone() for name, value in model.state_dict().items() if _of_positions(name)}
    load(model, source, head="zero" if dict(run.options).get("head") == "tanh" else "drop")
    adopt(model, dict(run.options), keep={})  # What the run asks for goes before what the weights were trained with.
    positions = getattr(run.task, "positions", "interpolate")
    if positions == "fresh" and not drawn:
        raise ValueError(f"positions='fresh': {run.model} has none that are drawn; leave them at interpolate.")
    if positions != "interpolate":
        kept = {name: value if positions == "fresh" else torch.zeros_like(value) for name, value in drawn.items()}
        model.load_state_dict(kept, strict=False)
        for fixed in model.positions.buffers() if isinstance(model, ViT) and positions == "zero" else ():
            fixed.zero_()
    return model


def _of_positions(name: str) -> bool:
    return name.startswith("positions.") or name.endswith(".relative.offsets")
