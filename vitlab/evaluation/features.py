"""Features of a frozen model: extracting them, and keeping them on disk for every evaluator to share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vitlab.files import put_aside, sweep, whole, write_all

_TENSOR = "features"


def extract(model: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """Return `model.features` of all images in `batches`, in order, as one float32 tensor (N, F) on the CPU.

    `batches` yields normalised images (B, C, H, W); they go to the device of the model's weights. The model runs in
    evaluation mode without gradients and comes back in the modes that it had, so that a row depends on its image
    alone (up to rounding), not on the batch around it. Raises ValueError when there are no images.
    """
    modes = {module: module.training for module in model.modules()}
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    features: Callable[[Tensor], Tensor] = model.features  # type: ignore[assignment]  # nn.Module names no methods
    model.eval()
    try:
        with torch.no_grad():
            rows = [features(images.to(device)).float().cpu() for images in batches if len(images)]
    finally:
        for module, training in modes.items():
            module.training = training
    if not rows:
        raise ValueError("No images to extract features from: the batches were empty.")
    return torch.cat(rows)


def weights_fingerprint(state: Mapping[str, Tensor]) -> str:
    """Return 16 hexadecimal digits that change with any name, shape, type or bit of the tensors in `state`.

    The order of the entries, the device and the memory layout make no difference.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class FeatureKey:
    """All that features depend on.

    model: name of the architecture (weights of one shape can serve several: the number of heads, the pooling).
    weights: `weights_fingerprint`. data: fingerprint of the data set. split: which of its images, in which order.
    image_size: (height, width) in pixels. preparation: how pixels became inputs, for instance the mean and deviation.
    """

    model: str
    weights: str
    data: str
    split: str
    image_size: tuple[int, int]
    preparation: str = ""

    @property
    def name(self) -> str:
        """32 hexadecimal digits that identify the key."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


class FeatureCache:
    """Features in a folder, one safetensors file per `FeatureKey`, written atomically: processes may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def path(self, key: FeatureKey) -> Path:
        """Return where the features of `key` are or would be."""
        return self.folder / f"{key.name}.safetensors"

    def load(self, key: FeatureKey) -> Tensor | None:
        """Return the features (N, F), or None when they are absent or damaged; what is damaged is put aside."""
        path = self.path(key)
        try:
            if whole(path):
                with safe_open(path, framework="pt") as file:
                    return file.get_tensor(_TENSOR)
        except (FileNotFoundError, SafetensorError):
            pass
        if path.exists():
            put_aside(path, "the features are extracted again")
        return None

    def save(self, key: FeatureKey, features: Tensor) -> None:
        """Write `features` (N, F) and a checksum; the key is kept in the file as readable metadata."""
        content = save({_TENSOR: features.contiguous()}, metadata={"key": json.dumps(asdict(key))})
        write_all({self.path(key): content}, checked=True)
        sweep(self.folder)

    def extract(
        self,
        model: nn.Module,
        batches: Iterable[Tensor],
        *,
        name: str,
        data: str,
        split: str,
        image_size: tuple[int, int],
        preparation: str = "",
    ) -> Tensor:
        """Return `extract(model, batches)`, from the folder when the same weights saw the same images before.

        The key (see `FeatureKey`; `name` is its `model`) holds the fingerprint of the model's present weights, so that
        changed weights are noticed. `batches` is not touched when the features are known: a generator costs nothing.
        """
        key = FeatureKey(name, weights_fingerprint(model.state_dict()), data, split, image_size, preparation)
        known = self.load(key)
        if known is not None:
            return known
        features = extract(model, batches)
        self.save(key, features)
        return features
