"""What section 4.5 says of trained Vision Transformers, held against the rows of inspections.

A value is that of the trained weights minus that of the same weights before training, for each seed: untrained
attention is nearly uniform, so that "some heads are global" is true of random weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from vitlab.claims.claim import Claim, Verdict
from vitlab.report.families import in_order, matched_pairs

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.report.evidence import Evidence

LEAST_LAYERS = 4  # fewer say nothing about depth
FIGURE = "Figure 7, qualitative"
NEAR = Claim(
    "inside.near",
    "4.5, Figure 7",
    "training makes the position embeddings of neighbours more alike than others",
    unit="of cosine",
    scale=1.0,
    digits=2,
    paper=FIGURE,
    says={
        "holds": "{first} learns which patches are neighbours",
        "does not hold": "{first} does not learn which patches are neighbours",
        "undecided": "whether {first} learns which patches are neighbours is not decided",
    },
)
GRID = Claim(
    "inside.grid",
    "4.5, Figure 7",
    "training gives position embeddings a structure of rows and columns",
    unit="points of R²",
    paper=FIGURE,
    says={
        "holds": "the position embeddings of {first} learn rows and columns",
        "does not hold": "the position embeddings of {first} do not learn rows and columns",
        "undecided": "whether the position embeddings of {first} learn rows and columns is not decided",
    },
)
DEPTH = Claim(
    "inside.depth",
    "4.5, Figure 7",
    "training makes attention distance grow with depth",
    unit="% of the image a layer",
    paper=FIGURE,
    says={
        "holds": "deeper layers of {first} learn to look further",
        "does not hold": "deeper layers of {first} learn to look less far",
        "undecided": "whether deeper layers of {first} look further is not decided",
    },
)
BOTH = Claim(
    "inside.both",
    "4.5, Figure 7",
    "training makes the heads of the first layer differ more in how far they look",
    unit="% of uniform distance",
    paper=FIGURE,
    says={
        "holds": "the heads of the first layer of {first} learn to differ in how far they look",
        "does not hold": "the heads of the first layer of {first} become more alike",
        "undecided": "whether the first layer's heads of {first} learn to differ in how far they look is not decided",
    },
)
HYBRID = Claim(
    "inside.hybrid",
    "D.7, Figure 11",
    "hybrids have fewer local heads in the first layer",
    unit="points of the heads",
    paper="Figure 11, qualitative",
    says={
        "holds": "{second} has fewer local heads than {first}",
        "does not hold": "{second} has more local heads than {first}",
        "undecided": "whether {second} has fewer local heads than {first} is not decided",
    },
)
CLAIMS = (NEAR, GRID, DEPTH, BOTH, HYBRID)


class Asked(Protocol):
    """The settings that say which model is drawn."""

    @property
    def checkpoint(self) -> tuple[str, ...]: ...
    def model_names(self) -> list[str]: ...


def draw(rows: pd.DataFrame, settings: Asked) -> Evidence:
    """Distances, summaries over training, and the verdicts."""
    from vitlab.gallery.captions import captions
    from vitlab.report import inspected
    from vitlab.report.evidence import Evidence

    seen = inspections(rows)
    drawn = drawn_model(seen, settings)
    if not drawn:
        return Evidence(summary="No model with attention has been inspected yet.")
    figures = {"distance": inspected.distance_by_depth(seen)}
    if inspected.has_course(seen):
        figures["over_training"] = inspected.over_training(seen)
    tables = (inspected.summary_table(seen), inspected.shapes_table(seen, drawn))
    return Evidence(
        tuple(verdicts(rows, seen, drawn)),
        tuple(table for table in tables if len(table.frame)),
        figures,
        pictures=captions(seen, drawn),
    )


def inspections(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of inspections, without those of the trainings."""
    return rows[rows["part"].notna()] if "part" in rows.columns else rows[:0]


def drawn_model(seen: pd.DataFrame, settings: Asked) -> str:
    """The model whose weights are drawn: the first asked for that the rows have attention of; none is empty."""
    if seen.empty:
        return ""
    heads = seen[(seen["part"] == "attention") & (seen["stage"] == "selected")]
    first = heads[heads["init"].isin(settings.checkpoint[:1])]["model"].tolist()
    asked = [name for name in settings.model_names() if not settings.checkpoint]
    there = in_order(heads["model"])
    return next((name for name in (*first, *asked, *there) if name in there), "")


def verdicts(rows: pd.DataFrame, seen: pd.DataFrame, drawn: str) -> Iterator[Verdict]:
    """The claims on every model with attention, and on matched pairs of ViT and hybrid; primary on the `drawn` model.

    `rows` are all of the study, with those of the trainings; `seen` those of the inspections.
    """
    from vitlab.claims import inspected

    kinds = {
        NEAR: ("positions", inspected.nearness),
        GRID: ("positions", inspected.row_column),
        DEPTH: ("attention", inspected.depth_slope),
        BOTH: ("attention", inspected.head_spread),
    }
    models = in_order(inspected.final(seen, "attention")["model"])
    for model in models:
        own = seen[seen["model"] == model]
        layers = int(inspected.final(own, "attention")["layer"].nunique())
        shallow = [f"{model} has {layers} layers, fewer than {LEAST_LAYERS}"] if layers < LEAST_LAYERS else []
        for claim, (part, statistic) in kinds.items():
            values = inspected.gained(own, part, statistic)
            doubts = shallow if claim is DEPTH else []
            if values:
                yield _judged(replace(claim, primary=model == drawn), values, rows, seen, [model], doubts)
    for vit, hybrid in matched_pairs(models, "ViT", "HybridViT"):
        yield from _fewer_local_heads(rows, seen, vit, hybrid, primary=vit == drawn)


def _fewer_local_heads(
    rows: pd.DataFrame, seen: pd.DataFrame, vit: str, hybrid: str, *, primary: bool
) -> Iterator[Verdict]:
    """Local heads of a ViT's first layer minus those of the hybrid's; needs a ViT that has some, by training."""
    from vitlab.claims import inspected
    from vitlab.claims.interval import paired
    from vitlab.claims.preconditions import true_untrained

    def local_heads(heads: pd.DataFrame) -> float:
        return inspected.local_share(inspected.first_layer(heads))

    def shares(heads: pd.DataFrame) -> list[dict[int, float]]:
        return [inspected.by_seed(heads[heads["model"] == name], local_heads) for name in (vit, hybrid)]

    trained, before = (shares(of(seen, "attention")) for of in (inspected.final, inspected.untrained))
    doubts = [] if any(trained[0].values()) else [f"no head in the first layer of {vit} is local"]
    doubts += true_untrained(HYBRID, paired(*before))
    if values := paired(*trained):
        yield _judged(replace(HYBRID, primary=primary), values, rows, seen, [vit, hybrid], doubts)


def _judged(
    claim: Claim,
    values: Mapping[int, float],
    rows: pd.DataFrame,
    seen: pd.DataFrame,
    models: Sequence[str],
    doubts: Sequence[str],
) -> Verdict:
    """The verdict after the preconditions of the trainings, where the rows have them: above chance, not cut short."""
    from vitlab.claims.compare import judged
    from vitlab.claims.rule import judge

    about = dict(zip(("first", "second"), models, strict=False))
    known = rows[(rows["task.kind"] == "classify") & rows["model"].isin(models)]
    if "split" in known.columns and len(trained := known[known["split"] == "test"]):
        arms = [trained[trained["model"] == model] for model in models]
        return judged(claim, values, arms, doubts=doubts, about=about)
    titles = seen.loc[seen["model"].isin(models), "title"].dropna()
    where = ", ".join(dict.fromkeys(titles)) or "images"
    return judge(claim, values, data=where, subject=" against ".join(models), failed=doubts, about=about)
