"""Pure functions of weights, position embeddings and attention: what a trained ViT looks like inside."""

from vitlab.inspection.distance import attention_distances, uniform_distance
from vitlab.inspection.filters import FilterComponents, principal_filters
from vitlab.inspection.position_similarity import PositionStructure, position_similarity, position_structure
from vitlab.inspection.receptive_field import FieldSize, effective_receptive_field, field_size
from vitlab.inspection.rollout import attention_rollout, cls_attention, rollout_matrix
from vitlab.inspection.streaming import Summary, accumulate, safe_batch_size

__all__ = [
    "FieldSize",
    "FilterComponents",
    "PositionStructure",
    "Summary",
    "accumulate",
    "attention_distances",
    "attention_rollout",
    "cls_attention",
    "effective_receptive_field",
    "field_size",
    "position_similarity",
    "position_structure",
    "principal_filters",
    "rollout_matrix",
    "safe_batch_size",
    "uniform_distance",
]
