"""Data requirements (section 4.3, Figures 3 and 4): ViT or CNN, when there are this many images?

    python -m experiments.data_scaling                                      # 1,797 digits, no network
    python -m experiments.data_scaling --preset cifar10_cpu --data images/cifar10
    python -m experiments.data_scaling --data path/to/folder_of_class_folders

For each model, train-set size and seed: train on a class-stratified subset, choose the evaluation with the best
validation accuracy (the early stopping of Figure 4) and report test accuracy once. As in Figure 4 the recipe is the
same at every size but for its length: `steps_by_size` gives few images fewer steps, since all models over-fit them long
before many images are learnt. Subsets are nested, and a seed has a subset of its own. `--measure few_shot` is Figure 4
itself: the subsets are upstream, and what counts is few-shot linear accuracy on `downstream` sets.

`quick` takes 2.5 minutes on two cores of an AMD EPYC; `cifar10_cpu` 4.2 core-hours a seed, of which ViT-Micro takes
3.2; the peak rates are those of `experiments.tuning` (see `experiments/recipes.py`), those of the GPU presets are not
tuned. The primary claims are `data.few`, `data.catch_up`, `data.large_few` and `data.large_many`, on the smallest
matched pair of ViT and ResNet and on the smallest and the largest ViT; they were fixed before the first long run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from experiments import recipes
from vitlab.claims.claim import Claim
from vitlab.report.families import family, in_order, matched_pairs
from vitlab.runs.run import Data, Run
from vitlab.study.plan import RATE, SEED, grid
from vitlab.study.settings import Sized, data_of
from vitlab.study.study import Study, by_data, main

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.claims.claim import Verdict
    from vitlab.report.evidence import Evidence, Table

AT, LOG_ODDS = "train_images", "log_odds"
ODDS = {"unit": "log-odds", "scale": 1.0, "digits": 2}
FEW = Claim(
    "data.few",
    "4.3, Figure 3",
    "with few images the CNN is ahead",
    says={
        "holds": "with {train_images:,} images {first} is {amount} ahead of {second}",
        "does not hold": "with {train_images:,} images {second} is {amount} ahead of {first}",
        "undecided": "with {train_images:,} images {first} and {second} are not told apart",
    },
)
CATCH_UP = Claim(
    "data.catch_up",
    "4.3",
    "the ViT catches up as data grows (per doubling)",
    says={
        "holds": "{first} catches up with {second} from {few:,} to {many:,} images",
        "does not hold": "{first} falls further behind {second} from {few:,} to {many:,} images",
        "undecided": "whether {first} catches up with {second} from {few:,} to {many:,} images is not decided",
    },
    **ODDS,
)
OVERTAKE = replace(FEW, id="data.overtake", section="4.3", statement="with many images the ViT is ahead", primary=False)
LARGE_FEW = replace(
    FEW,
    id="data.large_few",
    statement="on few images the larger ViT is not ahead of the smaller",
    paper="ImageNet: B/16 77.91, L/16 76.53",
)
LARGE_MANY = Claim(
    "data.large_many",
    "4.3",
    "the larger ViT gains more from data",
    paper="L/16 - B/16: -1.38 (ImageNet), +2.97 (JFT)",
    says={
        "holds": "from {few:,} to {many:,} images the larger ViT gains {amount} more than the smaller",
        "does not hold": "from {few:,} to {many:,} images the larger ViT gains {amount} less than the smaller",
        "undecided": "whether the larger ViT gains more from {few:,} to {many:,} images is not decided",
    },
)
PLATEAU = Claim("data.plateau", "4.3, Figure 4", "ResNets plateau sooner", primary=False, **ODDS)
FEW_SHOT = replace(CATCH_UP, id="data.few_shot", section="Figure 4", statement="the same in few-shot accuracy")


@dataclass(frozen=True)
class DataScaling(Sized):
    """Settings of the study."""

    measure: Literal["test", "few_shot"] = "test"
    """test: accuracy on the data's own test split; few_shot: few-shot linear accuracy on --downstream."""
    downstream: tuple[str, ...] = ()
    """Data sets of --measure few_shot."""


CIFAR = DataScaling(data="cifar10", patch=4, recipe=recipes.CIFAR_GPU, learning_rates=recipes.UNTUNED)
TINY = replace(CIFAR, data="tiny_imagenet_32", measure="few_shot", downstream=recipes.DOWNSTREAM)
PRESETS = {
    "quick": DataScaling(
        train_sizes=(50, 100, 200, 400, 800, 1149),
        recipe=recipes.DIGITS_RECIPE,
        learning_rates=recipes.DIGITS.chosen,
    ),
    "cifar10": replace(
        CIFAR, sizes=("Micro", "Small"), train_sizes=(500, 1000, 2000, 5000, 10_000, 20_000, 49_000), seeds=5
    ),
    "cifar10_cpu": replace(
        CIFAR,
        models=("ViT-Pico/4", "ViT-Micro/4", "ResNet-Pico"),
        train_sizes=(500, 2000, 8000, 49_000),
        steps_by_size={500: 3000, 2000: 6000, 8000: 12_000, 49_000: 24_000},
        recipe=recipes.CIFAR_LONG,
        learning_rates=recipes.CIFAR10_SHORT.chosen,
    ),
    "tiny_imagenet": replace(TINY, sizes=("Micro", "Small"), train_sizes=(1000, 3000, 10_000, 30_000, 95_000)),
    "tiny_imagenet_cpu": replace(
        TINY,
        sizes=("Pico", "Nano"),
        train_sizes=(2000, 10_000, 95_000),
        steps_by_size={2000: 6000, 10_000: 10_000, 95_000: 24_000},
        recipe=recipes.CIFAR_LONG,
        learning_rates=recipes.TINY_SHORT.chosen,
    ),
}


def plan(settings: DataScaling) -> list[Run]:
    """Seed by seed, so that a study that was stopped early has all sizes of the first seeds."""
    axes = {SEED: range(settings.seeds), "data.train_size": settings.checked_sizes()}
    trainings = [settings.at_size(run) for run in grid(settings.templates(), axes)]
    if settings.measure == "test":
        return trainings
    if not settings.downstream:
        raise ValueError("--measure few_shot needs --downstream: the data sets on which few-shot accuracy counts.")
    size = settings.image_size or data_of(settings.data)[1].image_size
    targets = [data_of(source, image_size=size)[0] for source in settings.downstream]
    untrained = grid(settings.bare(), {"seed": range(settings.seeds)})
    return [_probe(start, target) for start in (*trainings, *untrained) for target in targets]


def _probe(start: Run, target: Data) -> Run:
    """Few-shot accuracy on a set, of a training's weights or of untrained ones."""
    init = start if start.data.name else None
    return Run(start.model, target, task=recipes.FIVE_SHOT, seed=start.seed, init=init, options=start.options)


def draw(rows: pd.DataFrame, settings: DataScaling) -> Evidence:
    """Accuracy against train size with its gaps, the data factor, and the verdicts on the claims."""
    from vitlab.claims.statistics import with_log_odds
    from vitlab.report.build import curves, curves_and_gaps, scaling_table
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence

    few_shot = settings.measure == "few_shot"
    scored, untrained = _scored(rows, few_shot)
    if scored.empty:
        return Evidence()
    where = scored["upstream"].iloc[0]
    what = f"5-shot accuracy, mean of {scored['title'].nunique()} sets," if few_shot else "test accuracy"
    caption = (
        f"{what[0].upper()}{what[1:]} in % against the number of images of {where}; mean over seeds [95% interval]; "
        f"gaps in points. {_lengths(scored)}; best validation accuracy. {describe(scored)}."
    )
    about = {"xlabel": f"images of {where} (log scale)", "ylabel": f"{'5-shot' if few_shot else 'test'} accuracy (%)"}
    tables, figures = [scaling_table("accuracy", scored, AT, caption=caption)], {}
    if scored[AT].nunique() > 1:
        title = f"{what[0].upper()}{what[1:]} against the number of images"
        figures["figure"] = curves_and_gaps(scored, x=AT, title=title, **about)
        tables += _factors(scored)
        if few_shot and scored["title"].nunique() > 1:
            title = "5-shot accuracy on each downstream set"
            figures["sets"] = curves(scored, x=AT, panel="title", title=title, log_x=True, **about)
    return Evidence(_verdicts(with_log_odds(scored), untrained, few_shot), tuple(tables), figures)


def _scored(rows: pd.DataFrame, few_shot: bool) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The rows that count, a column for the size and the name of what was trained on; and those of untrained weights."""
    test = rows[rows["split"] == "test"]
    if not few_shot:
        return test.assign(upstream=test["title"]), None
    probed = test[test["task.kind"] == "few_shot"]
    of_training = {
        name: probed[f"init.{name}"] for name in (AT, "steps", "best_step", RATE) if f"init.{name}" in probed
    }
    probed = probed.assign(**of_training, upstream=probed["init.title"])
    return probed[probed["init"].notna()], probed[probed["init"].isna()]


def _lengths(scored: pd.DataFrame) -> str:
    steps = scored.groupby(AT)["steps"].first()
    each = "; ".join(f"{size:,.0f} images: {n:,.0f} steps" for size, n in steps.items())
    return f"The same recipe at every size but for its length ({each})" if steps.nunique() > 1 else "The same recipe"


def _factors(scored: pd.DataFrame) -> list[Table]:
    """How many times more images the ViT needs for the ResNet's accuracy, where both curves reach it."""
    import pandas as pd

    from vitlab.claims.curves import data_factor
    from vitlab.report.evidence import Table

    found = {
        (f"{vit} for {cnn}", f"{100 * factor.accuracy:.0f}%"): factor.interval
        for vit, cnn in matched_pairs(scored["model"])
        for factor in data_factor(scored, vit, cnn)
    }
    if not found:
        return []
    frame = pd.Series(found, dtype=object).unstack().fillna("–")
    caption = "The data factor: how many times more images the ViT needs for the ResNet's accuracy [95% interval]."
    return [Table("data_factor", frame.rename_axis("images of"), caption, scale=1.0)]


def _verdicts(scored: pd.DataFrame, untrained: pd.DataFrame | None, few_shot: bool) -> tuple[Verdict, ...]:
    """The claims on every matched pair (the first is primary), and on the smallest and the largest ViT."""
    from vitlab.claims.compare import compare

    few, many = scored[AT].min(), scored[AT].max()
    found: list[Verdict | None] = []

    def at(size: int, claim: Claim, first: str, second: str) -> None:
        doubts = _rate_doubts(scored, first, second)
        found.append(compare(claim, scored, first, second, at={AT: size}, untrained=untrained, doubts=doubts))

    for place, (vit, cnn) in enumerate(matched_pairs(scored["model"])):
        primary = place == 0
        found += _along(scored, vit, cnn, untrained, few_shot, primary)
        if not few_shot:
            at(few, replace(FEW, primary=primary), cnn, vit)
            at(many, OVERTAKE, vit, cnn)
    vits = [name for name in in_order(scored["model"]) if family(name) == "ViT"]
    if len(vits) > 1 and not few_shot:
        at(few, LARGE_FEW, vits[0], vits[-1])
        found.append(_gains(scored, vits[-1], vits[0], few, many))
    return tuple(verdict for verdict in found if verdict)


def _rate_doubts(scored: pd.DataFrame, *models: str) -> list[str]:
    own = scored[scored["model"].isin(models)]
    trained_on = own["init.data.name"].fillna(own["data.name"]).iloc[0]
    return recipes.rate_doubts(trained_on, zip(own["model"], own[RATE], strict=True))


def _along(
    scored: pd.DataFrame, vit: str, cnn: str, untrained: pd.DataFrame | None, few_shot: bool, primary: bool
) -> list[Verdict]:
    """What the whole curves say: whether the gap closes with every doubling, and who gains more at the end."""
    from vitlab.claims.compare import judged
    from vitlab.claims.curves import gap_curves, plateau, slope_sampling, slopes

    if scored[AT].nunique() < 2:
        return []
    arms = [scored[scored["model"] == name] for name in (vit, cnn)]
    about = {"first": vit, "second": cnn, "few": scored[AT].min(), "many": scored[AT].max()}
    same: dict[str, Any] = {"untrained": untrained, "doubts": _rate_doubts(scored, vit, cnn), "about": about}
    closing = slopes(gap_curves(scored, vit, cnn, value=LOG_ODDS))
    claim = replace(FEW_SHOT if few_shot else CATCH_UP, primary=primary)
    found = [judged(claim, closing, arms, sampling=slope_sampling(scored, vit, cnn, odds=True), **same)]
    return found if few_shot else [*found, judged(PLATEAU, plateau(scored, vit, cnn), arms, **same)]


def _gains(scored: pd.DataFrame, large: str, small: str, few: int, many: int) -> Verdict:
    """Whether the lead of the larger ViT is larger with many images than with few."""
    from vitlab.claims.compare import judged
    from vitlab.claims.interval import paired
    from vitlab.claims.statistics import gap, sampling_error

    arms = [scored[(scored["model"] == name) & (scored[AT] == size)] for name in (large, small) for size in (few, many)]
    values = paired(*(gap(scored, large, small, at={AT: size}) for size in (many, few)))
    about = {"first": large, "second": small, "few": few, "many": many}
    doubts = _rate_doubts(scored, large, small)
    return judged(LARGE_MANY, values, arms, sampling=sampling_error(*arms), doubts=doubts, about=about)


STUDY = Study(
    name="data_scaling",
    section="4.3, Figures 3 and 4",
    question="ViT or CNN: how does accuracy grow with the number of training images?",
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=(FEW, CATCH_UP, OVERTAKE, LARGE_FEW, LARGE_MANY, PLATEAU, FEW_SHOT),
    folder=lambda settings: by_data(settings) + ("_few_shot" if settings.measure == "few_shot" else ""),
)

if __name__ == "__main__":
    main(STUDY)
