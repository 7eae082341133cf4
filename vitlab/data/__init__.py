"""Data sets: cards, splits and nested subsets, cached decoding, augmentation, and the LightningDataModule.

The names below are imported when first used, so that describing data (for a dry run) does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitlab.data.batches import Batch as Batch
    from vitlab.data.cards import Card as Card
    from vitlab.data.cards import get_card as get_card
    from vitlab.data.info import DataInfo as DataInfo
    from vitlab.data.info import describe as describe
    from vitlab.data.loading import ImageData as ImageData
    from vitlab.data.loading import Split as Split
    from vitlab.data.loading import load_data as load_data
    from vitlab.data.module import DataModule as DataModule
    from vitlab.data.splits import check_train_size as check_train_size
    from vitlab.data.splits import nested_subset as nested_subset
    from vitlab.data.splits import stratified_split as stratified_split

_HOMES = {
    "Card": "cards",
    "get_card": "cards",
    "DataInfo": "info",
    "describe": "info",
    "ImageData": "loading",
    "Split": "loading",
    "load_data": "loading",
    "Batch": "batches",
    "DataModule": "module",
    "check_train_size": "splits",
    "nested_subset": "splits",
    "stratified_split": "splits",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
