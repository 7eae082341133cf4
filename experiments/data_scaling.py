"""Data requirements (section 4.3, Figures 3 and 4): ViT or CNN, when there are this many images?

    python -m experiments.data_scaling                                      # 1,797 digits, no network
    python -m experiments.data_scaling --preset cifar10_cpu --data images/cifar10
    python -m experiments.data_scaling --data path/to/folder_of_class_folders
    python -m experiments.data_scaling --data path/to/folder --init vit_tiny_patch16_224.augreg_in21k runs/0123456789ab

For each model, train-set size and seed: train on a class-stratified subset, choose the evaluation with the best
validation accuracy (the early stopping of Figure 4) and report test accuracy once. As in Figure 4 the recipe is the
same at every size but for its length: `steps_by_size` gives few images fewer steps, since models over-fit them early.
Subsets are nested, and a seed has a subset of its own. `--measure few_shot` is Figure 4 itself: the subsets are
upstream, and what counts is few-shot linear accuracy on `downstream` sets. `--init` puts pre-trained weights beside the
models from scratch, fine-tuned and frozen below a linear classifier. The answer says which of all to take, and what
more images would bring by the learning curve error = c + a n^-b.

`quick` takes 2.5 minutes on two cores of an AMD EPYC; `cifar10_cpu` 5 core-hours a seed there, 3 of them ViT-Micro's;
`eurosat_cpu` an hour a seed, half of them ViT-Nano's.
The primary claims on test accuracy (few, catch_up, large_few, large_many) were fixed before the first long run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from vitlab.claims.claim import Claim
from vitlab.claims.phrases import catches_up, gains_more, leads
from vitlab.report.families import family, in_order, matched_pairs
from vitlab.runs.run import Run
from vitlab.study.beside import Beside, arms
from vitlab.study.plan import SEED, grid
from vitlab.study.settings import data_of
from vitlab.study.study import Study, by_data, main
from vitlab.study.upstream import probes_of
from . import peak_rates, recipes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pandas as pd

    from vitlab.claims.claim import Verdict
    from vitlab.report.evidence import Chart, Evidence, Table

AT = "train_images"
WITH, OVER = "with {train_images:,} images ", "from {few:,} to {many:,} images"
CROSSING = "Figure 4, qualitative: B/32 far below R50 with 9M images, above it from 90M on"
FEW = Claim(
    "data.few", "4.3, Figure 3", "with few images the CNN is ahead", says=leads(WITH),
    paper="Figure 3, qualitative: BiT ahead after ImageNet (ViT-B/16: 77.91)",
)  # fmt: skip
CATCH_UP = Claim(
    "data.catch_up", "4.3", "the ViT catches up as data grows (per doubling)",
    unit="log-odds", scale=1.0, digits=2, says=catches_up("in log-odds " + OVER), paper=CROSSING,
)  # fmt: skip
OVERTAKE = replace(
    FEW, id="data.overtake", section="4.3", statement="with many images the ViT is ahead", primary=False,
    paper=CROSSING,
)  # fmt: skip
LARGE_FEW = replace(
    FEW, id="data.large_few", statement="on few images the larger ViT is not ahead of the smaller",
    paper="ImageNet: L/16 76.53, B/16 77.91",
)  # fmt: skip
LARGE_MANY = Claim(
    "data.large_many", "4.3", "the larger ViT gains more from data", says=gains_more(OVER),
    paper="L/16 − B/16: −1.38 (ImageNet), +2.97 (JFT)",
)  # fmt: skip
PLATEAU = replace(
    CATCH_UP, id="data.plateau", section="4.3, Figure 4", statement="ResNets plateau sooner", primary=False,
    says=gains_more("over the last quadrupling of images"), paper="Figure 4, qualitative: ResNets plateau sooner",
)  # fmt: skip
FEW_SHOT = replace(
    CATCH_UP, id="data.few_shot", section="Figure 4", statement="the ViT catches up in few-shot accuracy too"
)


@dataclass(frozen=True)
class DataScaling(Beside):
    """Settings of the study."""

    measure: Literal["test", "few_shot"] = "test"
    """test: accuracy on the data's own test split; few_shot: few-shot linear accuracy on --downstream."""
    downstream: tuple[str, ...] = ()
    """Data sets of --measure few_shot."""


PRESETS = {name: DataScaling(**settings) for name, settings in recipes.DATA_SCALING.items()}


def plan(settings: DataScaling) -> list[Run]:
    """Seed by seed, so that a study that was stopped early has all sizes of the first seeds."""
    axes = {SEED: range(settings.seeds), "data.train_size": settings.checked_sizes()}
    trainings = [settings.at_size(run) for run in grid(settings.templates(), axes)]
    given, other = ("init", "test") if settings.measure == "few_shot" else ("downstream", "few_shot")
    if getattr(settings, given):
        raise ValueError(f"--{given} is for --measure {other}, and this is --measure {settings.measure}; leave it out.")
    if settings.measure == "test":
        return [*settings.floors(axes), *trainings, *settings.pretrained(axes)]
    if not settings.downstream:
        raise ValueError("--measure few_shot needs --downstream: the data sets on which few-shot accuracy counts.")
    size = settings.image_size or data_of(settings.data)[1].image_size
    targets = [data_of(source, image_size=size)[0] for source in settings.downstream]
    untrained = grid(settings.bare(), {"seed": range(settings.seeds)})
    return [
        Run(start.model, target, task=recipes.FIVE_SHOT, seed=start.seed, init=start if start.data.name else None)
        for start in (*trainings, *untrained)
        for target in targets
    ]


def draw(rows: pd.DataFrame, settings: DataScaling) -> Evidence:
    """Accuracy against train size with its gaps, the data factor, the verdicts on the claims, and what to do."""
    from vitlab.report.evidence import Evidence
    from vitlab.study.advice import Advice, advised

    few_shot = settings.measure == "few_shot"
    every = probes_of(rows, AT) if few_shot else arms(rows)
    test = every[every["split"] == "test"]
    trained = test["init"].notna() if few_shot else (test["task.kind"] == "classify") & test["init"].isna()
    if not trained.any():
        return Evidence()
    tables, figures = _shown(test[trained], test[trained] if few_shot else test, "5-shot" if few_shot else "test")
    told = Advice() if few_shot else advised(every)
    verdicts = _verdicts(test[trained], test[~trained] if few_shot else None, few_shot)
    return Evidence(verdicts, (*tables, *told.tables), figures | told.figures, told.summary, told.pictures)


def _shown(scored: pd.DataFrame, every: pd.DataFrame, kind: str) -> tuple[list[Table], dict[str, Chart]]:
    """Tables and figures of the models from scratch, in the first of them beside `every` other arm."""
    from vitlab.report.build import curves, curves_and_gaps, scaling_table
    from vitlab.report.captions import describe, lengths
    from vitlab.report.fronts import factor_table

    where, sets, pairs = scored["upstream"].iloc[0], scored["title"].nunique(), matched_pairs(scored["model"])
    caption = (
        f"{kind.capitalize()} accuracy{f', mean of {sets} sets,' * (kind != 'test')} in % against the number of images "
        f"of {where}; mean over seeds [95% interval]; gaps in points. {lengths(scored, AT)}; best validation accuracy. "
        f"{describe(scored)}."
    )
    tables = [scaling_table("accuracy", every, AT, pairs=pairs, caption=caption)]
    if scored[AT].nunique() < 2:
        return tables, {}
    about: dict[str, Any] = {"xlabel": f"images of {where} (log scale)", "ylabel": f"{kind} accuracy (%)"}
    title = f"{kind.capitalize()} accuracy against the number of images"
    figures = {"figure": curves_and_gaps(scored, x=AT, title=title, **about)}
    if every["init"].notna().any() and kind == "test":
        figures["arms"] = curves(every, x=AT, title="Beside pre-trained weights and floors", log_x=True, **about)
    caption = "How many times more images the ViT needs for the ResNet's accuracy [95% interval]."
    tables += factor_table("data_factor", scored, pairs, caption=caption)
    if kind != "test" and sets > 1:
        figures["sets"] = curves(scored, x=AT, panel="title", title="On each downstream set", log_x=True, **about)
    return tables, figures


def _verdicts(scored: pd.DataFrame, untrained: pd.DataFrame | None, few_shot: bool) -> tuple[Verdict, ...]:
    """The claims on every matched pair (the first is primary), and on a smaller and a larger ViT."""
    from vitlab.claims.compare import closing, compare, gains, last_gain

    few, many = scored[AT].min(), scored[AT].max()
    subset = few < many or scored["data.train_size"].notna().any()  # all images there are would be no few of them
    found: list[Verdict | None] = []

    def add(how: Callable[..., Verdict | None], claim: Claim, first: str, second: str, **point: Any) -> None:
        doubts = peak_rates.rate_doubts(scored[scored["model"].isin((first, second))], "upstream.name")
        point |= {"untrained": untrained, "doubts": doubts, "data": scored["upstream"].iloc[0]}
        found.append(how(claim, scored, first, second, **point))

    for i, (vit, cnn) in enumerate(matched_pairs(scored["model"])):
        if few_shot:
            add(closing, replace(FEW_SHOT, primary=i == 0), vit, cnn, x=AT)
            continue
        if subset:
            add(compare, replace(FEW, primary=i == 0), cnn, vit, at={AT: few})
        if few < many:
            add(compare, OVERTAKE, vit, cnn, at={AT: many})
        add(closing, replace(CATCH_UP, primary=i == 0), vit, cnn, x=AT)
        add(last_gain, PLATEAU, vit, cnn, x=AT)
    if not few_shot and (vits := _smaller_and_larger(scored["model"])):
        if subset:
            add(compare, LARGE_FEW, *vits, at={AT: few})
        add(gains, LARGE_MANY, *reversed(vits), x=AT)
    return tuple(verdict for verdict in found if verdict)


def _smaller_and_larger(models: Iterable[str]) -> list[str]:
    """The smallest and the largest ViT of those with one patch size, the one that most have; nothing without two.

    Of two patch sizes the finer one makes the dearer ViT, and none that is larger.
    """
    by_patch: dict[str, list[str]] = {}
    for name in in_order(models):
        if family(name) == "ViT":
            by_patch.setdefault(name.partition("/")[2], []).append(name)
    alike = max(by_patch.values(), key=len, default=[])
    return [alike[0], alike[-1]] if len(alike) > 1 else []


STUDY = Study(
    name="data_scaling",
    section="4.3, Figures 3 and 4",
    question="ViT or CNN: how does accuracy grow with the number of training images?",
    protocol=__doc__,
    presets=PRESETS,
    plan=plan,
    draw=draw,
    photographs=recipes.PHOTOGRAPHS,
    claims=(FEW, CATCH_UP, OVERTAKE, LARGE_FEW, LARGE_MANY, PLATEAU, FEW_SHOT),
    folder=lambda settings: by_data(settings) + ("_few_shot" if settings.measure == "few_shot" else ""),
    pictures=lambda settings, store: settings.mistakes(plan(settings), store),
)

if __name__ == "__main__":
    main(STUDY)
