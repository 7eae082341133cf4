"""Statistics of inspected models, one number per seed: what position embeddings and attention heads have learned.

A statistic takes the rows of one part ("attention": a row for each head and layer; "positions": one row) of one model
and seed. Section 4.5's claims are about these, trained minus untrained: `gained`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Statistic: TypeAlias = "Callable[[pd.DataFrame], float]"

LOCAL = 0.5  # a head that looks less than this share as far as uniform attention would is local


def final(rows: pd.DataFrame, part: str) -> pd.DataFrame:
    """Rows of one part ("attention", "positions", "receptive_field") of the weights that count."""
    return rows[(rows["part"] == part) & (rows["stage"] == "selected")]


def untrained(rows: pd.DataFrame, part: str) -> pd.DataFrame:
    """Rows of one part before the first step."""
    return rows[(rows["part"] == part) & (rows["stage"] == "snapshot") & (rows["step"] == 0)]


def by_seed(rows: pd.DataFrame, statistic: Statistic) -> dict[int, float]:
    """The statistic of the rows of each seed."""
    return {int(seed): statistic(group) for seed, group in rows.groupby("seed")}


def gained(rows: pd.DataFrame, part: str, statistic: Statistic) -> dict[int, float]:
    """The statistic of the trained weights minus that of the untrained, for each seed that has both."""
    end, start = (by_seed(chosen(rows, part), statistic) for chosen in (final, untrained))
    return {seed: end[seed] - start[seed] for seed in end if seed in start}


def first_layer(heads: pd.DataFrame) -> pd.DataFrame:
    """Heads of the lowest layer."""
    return heads[heads["layer"] == heads["layer"].min()]


def local_share(heads: pd.DataFrame) -> float:
    """Which share of these heads is local."""
    return float((heads["distance_px"] < LOCAL * heads["uniform_px"]).mean())


def depth_slope(heads: pd.DataFrame) -> float:
    """Least-squares slope of a layer's mean attention distance against its number, as a share of the image a layer."""
    layers = (heads["distance_px"] / heads["side_px"]).groupby(heads["layer"]).mean()
    return float(np.polyfit(layers.index, layers, 1)[0]) if len(layers) > 1 else float("nan")


def head_spread(heads: pd.DataFrame) -> float:
    """Between the most global and the most local head of the first layer, over the distance of uniform attention."""
    first = first_layer(heads)
    return float(np.ptp(first["distance_px"] / first["uniform_px"]))


def mean_distance(heads: pd.DataFrame) -> float:
    """Mean attention distance as a share of the image's shorter side."""
    return float((heads["distance_px"] / heads["side_px"]).mean())


def nearness(positions: pd.DataFrame) -> float:
    """By how much neighbouring position embeddings are more alike (cosine) than others."""
    return float((positions["near_cosine"] - positions["other_cosine"]).mean())


def row_column(positions: pd.DataFrame) -> float:
    """How much of the similarity of positions rows and columns explain (R2)."""
    return float(positions["row_column_r2"].mean())
