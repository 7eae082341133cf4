"""Pure functions of frozen features: few-shot least squares, linear probe, nearest neighbours, and a cache."""

from vitlab.evaluation.draws import draw_seed, draw_shots, draws_needed, interval_width
from vitlab.evaluation.features import FeatureCache, FeatureKey, extract, weights_fingerprint
from vitlab.evaluation.few_shot import (
    choose_l2_on_shots,
    few_shot_accuracy,
    few_shot_grid,
    fit_least_squares,
)
from vitlab.evaluation.knn import knn_accuracy
from vitlab.evaluation.linear_probe import LinearProbe, linear_probe

__all__ = [
    "FeatureCache",
    "FeatureKey",
    "LinearProbe",
    "choose_l2_on_shots",
    "draw_seed",
    "draw_shots",
    "draws_needed",
    "extract",
    "few_shot_accuracy",
    "few_shot_grid",
    "fit_least_squares",
    "interval_width",
    "knn_accuracy",
    "linear_probe",
    "weights_fingerprint",
]
