"""What a training keeps, as bytes, and writing it beside the training."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from safetensors.torch import save

from vitlab.models import Model
from vitlab.models.checkpoint import header_of


class Keeper:
    """Writes what a run keeps, beside the training: the next round does not wait for the disk. Use it in `with`.

    An error of a write is raised by the next one, or at the end.
    """

    def __init__(self) -> None:
        self._thread, self._last = ThreadPoolExecutor(1), Future[None]()
        self._last.set_result(None)

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        if kind is None:
            self._last.result()

    def write(self, write: Callable[[], None]) -> None:
        """Call `write` after what was asked for before."""
        self._last.result()
        self._last = self._thread.submit(write)


class Kept(TorchCheckpointIO):
    """Takes a checkpoint from Lightning as bytes, for the store to write."""

    content = b""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Keep it in memory; `path` is not needed."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        self.content = buffer.getvalue()


def weights_bytes(model: Model, state: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]) -> bytes:
    """A model's weights, its `state`, as a self-describing `.safetensors` file, which `vitlab.models.load` reads."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    return save(state, metadata=header_of(model, metadata))


def csv_bytes(curve: Sequence[Mapping[str, float]]) -> bytes:
    """A curve as a `.csv` with a header."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(curve[0]))
    writer.writeheader()
    writer.writerows(curve)
    return text.getvalue().encode()


def npz_bytes(arrays: Mapping[str, Any]) -> bytes:
    """Arrays as a compressed `.npz`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
