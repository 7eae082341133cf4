"""The paper's models as plain modules: `create` one by name, `load` weights into it, `inspect` what it computes."""

from vitlab.models.checkpoint import read_metadata, save_checkpoint
from vitlab.models.config import Settings, ViTConfig
from vitlab.models.load import load
from vitlab.models.resnet import ResNet, ResNetConfig
from vitlab.models.save import save
from vitlab.models.vit import Inspection, ViT
from vitlab.models.zoo import Count, Model, count, create, names

__all__ = [
    "Count",
    "Inspection",
    "Model",
    "ResNet",
    "ResNetConfig",
    "Settings",
    "ViT",
    "ViTConfig",
    "count",
    "create",
    "load",
    "names",
    "read_metadata",
    "save",
    "save_checkpoint",
]
