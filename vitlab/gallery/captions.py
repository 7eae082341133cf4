"""Words for an inspected model: what to see in each of its pictures, and what the paper says."""

from __future__ import annotations

import pandas as pd

from vitlab.gallery.grids import MOST_TILES
from vitlab.report.evidence import Picture

# In the order of the forward pass; `captions` fills in what depends on the model.
PICTURES = {
    "patches": Picture(
        "The image as tokens",
        "Above, the image at the model's input size; below, cut into {h} × {w} squares of {stride} × {stride} px, one "
        "for each token{beyond}. This cut is all that a ViT is told about the two dimensions of an image; the rest it "
        "has to learn (section 3.1).",
    ),
    "filters": Picture(
        "Filters of the patch embedding",
        "{filters}, summarised: each tile is a principal component of its filters, with the share of their variance, "
        "largest first. "
        "Grey is zero; sign and scale are arbitrary. Paper, Figure 7 left: the components look like a basis for "
        "the fine structure within a patch, such as gradients, stripes and colour contrasts. Tiles of noise mean "
        "that the filters are still near their random start.",
    ),
    "positions": Picture(
        "Position embeddings",
        "One map for each patch{some}, laid out as the patches are in the image: how alike (cosine) the position "
        "embedding of that patch is to those of all others. A patch is always 1 with itself, beyond the scale. "
        "Paper, Figure 7 centre: nearby patches are alike (a bright spot around the patch itself), and so "
        "are patches of one row or column (a cross).",
    ),
    "positions_over_training": Picture(
        "Position embeddings while it trains",
        "The same maps at several steps, on the scale of the last. Before training the embeddings are random "
        "numbers: no map knows where its patch is. What appears is what the model has learned about the plane "
        "from images alone.",
    ),
    "attention": Picture(
        "Attention matrices",
        "One matrix of {tokens} × {tokens} for each head: a row is a token that looks, a column a token that is "
        "looked at, in raster order{first}. Rows sum to one; each matrix has its own scale, up to its 99.5th "
        "percentile. A bright diagonal is a head that looks at its own token, diagonals beside it one that looks a "
        "step aside or a row away, vertical stripes are tokens that all others look at. Axial layers are two: rows, "
        "then columns.",
    ),
    "class_token": Picture(
        "What each head looks at",
        "Attention from {who} to the patches, over the image in grey: yellow where a head looks most, dark where "
        "least, on a scale of its own. Heads of one layer look at different things. The paper: in the last "
        "layers attention gathers on what is relevant for the class (section 4.5).",
    ),
    "distance": Picture(
        "How far heads look",
        "Each dot is a head: the distance from a patch to those that it attends to, in pixels, weighted by "
        "attention, mean over patches and images. Attention to and from the class token is left out and the rest "
        "renormalised. Dotted: a head that looks everywhere alike; below the other line, half of "
        "that, a head counts as local. Paper, Figures 7 right and 11: some heads are global from the first "
        "layer on, others local; the distance grows with depth; hybrids have fewer local heads, as their CNN has "
        "done that work. A ResNet has no heads: its effective receptive field (arXiv 1701.04128), measured in "
        "the same way, grows with depth by construction.",
    ),
    "rollout": Picture(
        "Attention rollout",
        "How much of each patch reaches the output through all layers: heads averaged, the identity added for "
        "the residual path, rows renormalised, layers multiplied (arXiv 2005.00928; paper, Figures 6 and 14). "
        "Light or yellow is where the output's information comes from; each image has its own scale. The paper: "
        "models attend to what is relevant for the class.",
    ),
    "classes": Picture(
        "What the model says",
        "Softmax of the logits: the model's best classes by name. Blue is its answer; the right class, where it is "
        "known, is under the image in brackets.",
    ),
    "over_training": Picture(
        "While it trains",
        "Summaries of the pictures above at several steps: mean and 95% interval over seeds, which are the dots. "
        "Untrained attention is nearly uniform, so every head begins global: what a ViT learns is where to look "
        "near.",
    ),
}
# Of the model that is best in a study.
MISTAKES = {
    "confusion": Picture(
        "Which classes are taken for which",
        "Test images by their class (rows) and by what the model says (columns), of the training with the best "
        "validation accuracy on most images (frozen weights aside), from its stored weights.",
    ),
    "mistakes": Picture(
        "The worst-classified test images",
        "Those to which the same model gives their own class the least probability. Wrong labels show here first.",
    ),
}


def captions(rows: pd.DataFrame, model: str) -> dict[str, Picture]:
    """What to see in each picture of `model`, and what the paper says; empty where the rows do not describe it."""
    known = rows[(rows["part"] == "model") & (rows["model"] == model)]
    if known.empty:
        return {}
    words = _words(known.iloc[0])
    return {name: Picture(one.title, one.caption.format(**words)) for name, one in PICTURES.items()}


def _words(about: pd.Series) -> dict[str, object]:
    """What the captions name of a model: its grid of h x w tokens, its class token, and whether a CNN comes first."""
    h, w, stride, prefix = (int(about[name]) for name in ("grid_rows", "grid_columns", "token_px", "prefix_tokens"))
    hybrid = str(about["hybrid"]) == "True"
    return {
        "h": h,
        "w": w,
        "stride": stride,
        "tokens": h * w + prefix,
        "first": ", the class token first" if prefix else "",
        "who": "the class token" if prefix else "an average token (this model has no class token)",
        "some": "" if max(h, w) <= MOST_TILES else f" (of {h} × {w}, evenly chosen)",
        "filters": "The first convolution of the CNN" if hybrid else "The linear map from pixels to tokens",
        "beyond": " (the CNN of a hybrid sees more than the square)" if hybrid else "",
    }
