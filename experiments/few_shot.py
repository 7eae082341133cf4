"""Few-shot linear accuracy of pre-trained representations (section 4.1), and whether it predicts fine-tuning.

    python -m experiments.few_shot                                    # seven digits upstream, three others downstream
    python -m experiments.few_shot --preset weights_cpu --downstream images/{cifar10,eurosat_64}
    python -m experiments.few_shot --checkpoint weights.npz --models ViT-B/16 --image_size 224 --downstream pets

Each model is pre-trained on --data and frozen. On each downstream set, regularised least squares are solved in closed
form on 1, 5, 10 and 25 images a class (of untrained weights too: the floor); a linear probe and nearest neighbours take
the images on which the same weights are fine-tuned (SGD, zero head, the rate chosen on validation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.phrases import UNSAID
from vitlab.runs.run import Run
from vitlab.study.settings import data_of
from vitlab.study.study import Study, main
from vitlab.study.upstream import MEAN, Upstream, fine_tuned, folder, origin, with_mean
from vitlab.tasks.settings import FewShot, LinearProbe, NearestNeighbours
from .recipes import UPSTREAM

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.report.evidence import Evidence

LEAST, TUNED, KEYS = 6, "fine-tuned", ["model", "seed", "data.name"]  # models that make a ranking
PROBES = {"linear_probe": "linear probe", "nearest_neighbours": "neighbours"}
SAYS = {
    "holds": "{shots}-shot accuracy ranks {models} models much as fine-tuning does (rank correlation {effect})",
    "does not hold": "{shots}-shot accuracy ranks {models} models against fine-tuning (rank correlation {effect})",
}
RHO: dict[str, Any] = {"unit": "rank correlation", "scale": 1.0, "digits": 2, "paper": UNSAID}
RANK = Claim("transfer.rank", "4.1", "few-shot accuracy ranks models as fine-tuning does", says=SAYS, **RHO)


@dataclass(frozen=True)
class FewShotStudy(Upstream):
    """Settings of the study."""

    few_shot: Annotated[FewShot, tyro.conf.arg(name="")] = FewShot()
    """How few-shot accuracy is measured."""
    proxy: int = 5
    """The number of shots that is compared with fine-tuning."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.proxy not in self.few_shot.shots:
            shots = ", ".join(map(str, self.few_shot.shots))
            raise ValueError(f"--proxy is {self.proxy}; give one of --shots: {shots}.")


FEW, DIGITS = FewShot(draws=10, l2=(1.0, 32.0, 1024.0)), ("digits@3,5,8", "digits@3,5,7,8,9", "digits")
PRESETS = {
    "quick": FewShotStudy(**UPSTREAM["quick"], downstream=DIGITS, few_shot=FEW),
    "tiny_imagenet": FewShotStudy(**UPSTREAM["tiny_imagenet"], few_shot=replace(FEW, shots=(1, 5, 10))),
    "tiny_imagenet_cpu": FewShotStudy(**UPSTREAM["tiny_imagenet_cpu"], few_shot=replace(FEW, shots=(1, 5, 10))),
    "weights_cpu": FewShotStudy(**UPSTREAM["weights_cpu"], few_shot=replace(FEW, shots=(1, 5, 10))),
    "paper": FewShotStudy(**UPSTREAM["paper"], few_shot=replace(FEW, l2=(1024.0,))),
}


def plan(settings: FewShotStudy) -> list[Run]:
    """For each seed and model: what its frozen weights are worth on every set, then their fine-tunings."""
    found: list[Run] = []
    for start in settings.starts():
        for source, data in settings.sets().items():
            images = settings.finetune_size or data_of(source)[1].only(data.classes).sizes["train"]
            some = settings.on_subset(start, data)
            nearest = NearestNeighbours(min(NearestNeighbours.k, images))  # a small set has no twenty of them
            few = replace(start, data=data, task=settings.few_shot)
            found += [few, replace(few, init=None, init_fingerprint="")]
            found += [replace(some, task=task) for task in (LinearProbe(), nearest)]
            found += settings.fine_tunings(start, data)
    return found


def draw(rows: pd.DataFrame, settings: FewShotStudy) -> Evidence:
    """Accuracy by every measure, against shots, and the rank correlation of few-shot with fine-tuned accuracy."""
    from vitlab.report.build import curves, dots, pivot
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence, Table

    scored = measured(rows)
    if scored.empty:
        return Evidence(summary="No weights have been evaluated yet.")
    caption = (
        f"Test accuracy in %, {origin(scored)}; linear probe, neighbours and fine-tuning (validation's rate) on "
        f"{settings.finetune_size or 'all'} images of a set; mean over seeds [95% interval]. {describe(scored)}."
    )
    shown, figures = with_mean(scored), {}
    table = Table("accuracy", pivot(shown, ["title", "weights"], "measure"), caption)
    if len(few := shown[shown["shots"].notna() & shown["init"].notna()]):
        axes: dict[str, Any] = {"ylabel": "test accuracy (%)", "xlabel": "images a class (log scale)", "log_x": True}
        axes |= {"title": f"Few-shot accuracy, {origin(few)}", "first": MEAN}
        figures["figure"] = curves(few, x="shots", panel="title", **axes)
    if (pairs := both_measures(scored, settings.proxy))["model"].nunique() > 1:
        title, xlabel = "Does few-shot accuracy predict fine-tuning?", f"{settings.proxy}-shot accuracy (%)"
        axes = {"title": title, "xlabel": xlabel, "ylabel": "fine-tuned accuracy (%)"}
        figures["correlation"] = dots(pairs, x="few_shot", y="score", panel="title", **axes)
    judged = verdicts(scored, settings.proxy) if len(pairs) else ()
    return Evidence(judged, (table,), figures, summary(few, settings.proxy))


def summary(few: pd.DataFrame, proxy: int) -> str:
    """The accuracy of each model over the sets, as the table has it, from its few-shot rows and those of the mean."""
    from vitlab.report.averaging import averaged
    from vitlab.report.captions import means

    several = few["title"].nunique() > 1
    best = few[(few["shots"] == proxy) & (few["title"].eq(MEAN) | (not several))]
    whole = averaged(best, ["model"], "score") if len(best) else best  # without the seeds that lack a set
    return f"{proxy}-shot accuracy{f', {MEAN}' * several}: {means(whole)}." if len(whole) else ""


def measured(rows: pd.DataFrame) -> pd.DataFrame:
    """Test rows with the name of their `measure`, and that of the weights; draws of one number of shots averaged."""
    import pandas as pd

    test = rows[rows["split"] == "test"]
    few = test[test["task.kind"] == "few_shot"].sort_values("shots", kind="stable")
    few = few.assign(score=few.groupby(["run", "shots"])["score"].transform("mean")).drop_duplicates(["run", "shots"])
    parts = [few.assign(measure=few["shots"].map("{:g}-shot".format)).drop(columns="draw", errors="ignore")]
    parts += [test[test["task.kind"] == kind].assign(measure=name) for kind, name in PROBES.items()]
    parts += [fine_tuned(rows).query("split == 'test'").assign(measure=TUNED)]
    every = pd.concat([part for part in parts if len(part)] or parts)
    return every.assign(weights=every["model"].where(every["init"].notna(), every["model"] + ", untrained"))


def both_measures(scored: pd.DataFrame, proxy: int) -> pd.DataFrame:
    """The fine-tuned rows whose weights have a few-shot accuracy on the same set, with that in column `few_shot`."""
    few = scored[(scored["shots"] == proxy) & scored["init"].notna()].set_index(KEYS)["score"].rename("few_shot")
    return scored[scored["measure"] == TUNED].join(few, on=KEYS, how="inner")


def verdicts(scored: pd.DataFrame, proxy: int) -> tuple[Verdict, ...]:
    """Whether the two measures rank the models alike, within a seed and set."""
    from vitlab.claims.compare import judged
    from vitlab.claims.preconditions import near_floor
    from vitlab.claims.statistics import within_seed_rank

    few, tuned = scored[scored["shots"] == proxy], scored[scored["measure"] == TUNED]
    trained, untrained = few[few["init"].notna()], few[few["init"].isna()]
    n = len(set(trained["model"]) & set(tuned["model"]))
    doubts = [f"it takes {LEAST} models, not {n}"] * (n < LEAST) + near_floor(trained, untrained)
    values = within_seed_rank(trained, tuned, least=LEAST)
    upstream = " ".join(trained["init.title"].dropna().unique()) if "init.title" in trained else ""
    about: dict[str, Any] = {"about": {"shots": proxy, "models": n}, "data": upstream}
    return (replace(judged(RANK, values, [tuned], doubts=doubts, **about), subject=f"{n} models"),)


STUDY = Study(
    name="few_shot",
    section="4.1",
    question="How good are representations after a few images a class, and does that predict fine-tuning?",
    protocol=__doc__,
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=(RANK,),
    folder=folder,
    shown=frozenset({"proxy"}),
)

if __name__ == "__main__":
    main(STUDY)
