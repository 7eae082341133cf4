"""Words for an inspected model: what to see in each of its pictures, and what the paper says."""

from __future__ import annotations

import pandas as pd

from vitlab.report.evidence import Picture, Table
from vitlab.report.pictures import MOST_TILES

TITLES = {
    "patches": "The image as tokens",
    "filters": "Filters of the patch embedding",
    "positions": "Position embeddings",
    "positions_over_training": "Position embeddings while it trains",
    "attention": "Attention matrices",
    "class_token": "What each head looks at",
    "distance": "How far heads look",
    "rollout": "Attention rollout",
    "classes": "What the model says",
    "over_training": "While it trains",
}


def shapes_table(rows: pd.DataFrame, model: str) -> Table:
    """The shape of the data at every step of `model`, image to logits."""
    chosen = rows[(rows["part"] == "shape") & (rows["model"] == model)].drop_duplicates("what", keep="first")
    frame = chosen[["what", "shape", "note"]].astype(str).set_axis(["step", "shape", "what happens"], axis="columns")
    caption = f"One image on its way through {model}; shapes without the batch dimension."
    return Table("shapes", frame.reset_index(drop=True), caption)


def captions(rows: pd.DataFrame, model: str) -> dict[str, Picture]:
    """What to see in each picture of `model`, and what the paper says, in the order of the forward pass.

    Empty where the rows do not describe the model.
    """
    known = rows[(rows["part"] == "model") & (rows["model"] == model)]
    words = {} if known.empty else _captions(known.iloc[0])
    return {name: Picture(TITLES[name], text) for name, text in words.items()}


def _captions(about: pd.Series) -> dict[str, str]:
    h, w, stride = (int(about[name]) for name in ("grid_rows", "grid_columns", "token_px"))
    prefix, hybrid, tokens = (
        bool(about["prefix_tokens"]),
        str(about["hybrid"]) == "True",
        h * w + int(about["prefix_tokens"]),
    )
    some = "" if max(h, w) <= MOST_TILES else f" (of {h} × {w}, evenly chosen)"
    who = "the class token" if prefix else "an average token (this model has no class token)"
    return {
        "patches": (
            f"Above, the image at the model's input size; below, cut into {h} × {w} squares of {stride} × {stride} "
            f"px, one for each token{' (the CNN of a hybrid sees more than the square)' if hybrid else ''}. This cut "
            "is all that a ViT is told about the two dimensions of an image; the rest it has to learn (section 3.1)."
        ),
        "filters": (
            f"{'The first convolution of the CNN' if hybrid else 'The linear map from pixels to tokens'}, summarised: "
            "each tile is a principal component of its filters, with the share of their variance, largest first. "
            "Grey is zero; sign and scale are arbitrary. Paper, Figure 7 left: the components look like a basis for "
            "the fine structure within a patch, such as gradients, stripes and colour contrasts. Tiles of noise mean "
            "that the filters are still near their random start."
        ),
        "positions": (
            f"One map for each patch{some}, laid out as the patches are in the image: how alike (cosine) the position "
            "embedding of that patch is to those of all others. A patch is always 1 with itself, beyond the scale. "
            "Paper, Figure 7 centre: nearby patches are alike (a bright spot around the patch's own place), and so "
            "are patches of one row or column (a cross)."
        ),
        "positions_over_training": (
            "The same maps at several steps, on the scale of the last. Before training the embeddings are random "
            "numbers: no map knows where its patch is. What appears is what the model has learned about the plane "
            "from images alone."
        ),
        "attention": (
            f"One matrix of {tokens} × {tokens} for each head: a row is a token that looks, a column a token that is "
            f"looked at, in raster order{', the class token first' if prefix else ''}. Rows sum to one; each matrix "
            "has its own scale, up to its 99.5th percentile. A bright diagonal is a head that looks at its own "
            "place, diagonals beside it one that looks a step aside or a row away, vertical stripes are tokens that "
            "all others look at. Axial layers are two: rows, then columns."
        ),
        "class_token": (
            f"Attention from {who} to the patches, over the image in grey: yellow where a head looks most, dark where "
            "least, on a scale of its own. Heads of one layer look at different things. The paper: in the last "
            "layers attention gathers on what is relevant for the class (section 4.5)."
        ),
        "distance": (
            "Each dot is a head: the distance from a patch to those that it attends to, in pixels, weighted by "
            "attention, mean over patches and images. Attention to and from the class token is left out and the rest "
            "renormalised. Dotted: a head that looks everywhere alike; below the other line, half of "
            "that, a head counts as local. Paper, Figures 7 right and 11: some heads are global from the first "
            "layer on, others local; the distance grows with depth; hybrids have fewer local heads, as their CNN has "
            "done that work. A ResNet has no heads: its effective receptive field (arXiv 1701.04128), measured in "
            "the same way, grows with depth by construction."
        ),
        "rollout": (
            "How much of each patch reaches the output through all layers: heads averaged, the identity added for "
            "the residual path, rows renormalised, layers multiplied (arXiv 2005.00928; paper, Figures 6 and 14). "
            "Light or yellow is where the output's information comes from; each image has its own scale. The paper: "
            "models attend to what is relevant for the class."
        ),
        "classes": (
            "Softmax of the logits: the model's best classes by name. Blue is its answer; the right class, where it is "
            "known, is under the image in brackets."
        ),
        "over_training": (
            "Summaries of the pictures above at several steps: mean and 95% interval over seeds, which are the dots. "
            "Untrained attention is nearly uniform, so every head begins global: what a ViT learns is where to look "
            "near."
        ),
    }
