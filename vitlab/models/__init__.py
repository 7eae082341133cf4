"""The paper's models as plain modules: `create` one by name, `load` weights into it, `inspect` what it computes."""

from vitlab.models.resnet import ResNet, ResNetConfig
from vitlab.models.vit import Inspection, ViT, ViTConfig
from vitlab.models.zoo import Count, Settings, count, create, names

__all__ = [
    "Count",
    "Inspection",
    "ResNet",
    "ResNetConfig",
    "Settings",
    "ViT",
    "ViTConfig",
    "count",
    "create",
    "names",
]
