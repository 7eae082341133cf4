"""A model in shards: each process keeps a part of every weight, its gradient and its moments (FSDP, arXiv 2304.11277).

The layers are put together one by one while they compute. torch's `fully_shard` does all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from vitlab.models.hybrid import ResidualUnit
from vitlab.models.layers import Block
from vitlab.models.resnet import BasicBlock, BottleneckBlock

LAYERS = (Block, BottleneckBlock, BasicBlock, ResidualUnit)


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The residual layers of a model, which hold nearly all of its weights."""
    return [module for module in model.modules() if isinstance(module, LAYERS)]


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Spread the weights of `model`, layer by layer, over the processes of a mesh of one dimension, in place."""
    if not isinstance(model, FSDPModule):
        for part in (*layers_of(model), model):
            fully_shard(part, mesh=mesh)


def whole_state(model: nn.Module) -> dict[str, Tensor]:
    """The weights by their names. Of a sharded model every process has to ask, and the first one gets them."""
    if not isinstance(model, FSDPModule):
        return model.state_dict()
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    model.reshard()  # An evaluation leaves what is outside the layers put together.
    found: Any = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    return found


def load_whole(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights by their names; into a sharded model every process has to, and those of the first one count."""
    if isinstance(model, FSDPModule):
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

        model.reshard()
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        set_model_state_dict(model, dict(state), options=options)
    else:
        model.load_state_dict(state)
