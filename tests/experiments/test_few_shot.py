"""The few-shot study: its presets, its plan, what it makes of rows, and `quick` made smaller from end to end."""

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest

from experiments import data_scaling
from experiments.few_shot import LEAST, PRESETS, STUDY, both_measures, measured, plan, verdicts
from experiments.transfer import STUDY as TRANSFER
from tests.data.conftest import write_folder
from vitlab.models import create, save_checkpoint
from vitlab.runs.execute import prepare
from vitlab.runs.place import Place
from vitlab.runs.rows import flat, run_of
from vitlab.runs.run import Data, Run
from vitlab.runs.stored import drawable, read_rows
from vitlab.study.command_line import parse
from vitlab.study.study import main
from vitlab.study.upstream import MEAN, fine_tuned
from vitlab.tasks.settings import Classify, FewShot, LinearProbe, NearestNeighbours

LOCAL = ("tiny_imagenet", "tiny_imagenet_cpu", "weights_cpu")  # these need paths of local copies to be planned


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_parses_to_itself_and_can_be_planned(name):
    settings, how = parse("experiments.few_shot", "", PRESETS, ["--preset", name])
    assert settings == PRESETS[name] and how.preset == name
    if name in LOCAL:
        settings = replace(settings, data="digits", downstream=("digits", "eurosat"))
    seeds, models, sets = settings.seeds, len(settings.model_names()), len(settings.downstream)
    counts = Counter((type(run.task), run.init is None) for run in plan(settings))
    each = seeds * models * sets
    kinds = {(FewShot, False), (FewShot, True), (LinearProbe, False), (NearestNeighbours, False)}
    assert counts == dict.fromkeys(kinds, each) | {(Classify, False): each * len(settings.rates)}


def test_every_evaluation_of_a_model_and_seed_starts_from_one_pretraining():
    settings = replace(PRESETS["quick"], seeds=2)
    chains = {(run.model, run.seed): set() for run in plan(settings)}
    for run in plan(settings):
        if run.init is not None:
            chains[run.model, run.seed].add(run.init.id)
            assert run.init.data.classes == (0, 1, 2, 4, 6, 7, 9) and run.init.seed == run.seed
    assert all(len(ids) == 1 for ids in chains.values()) and len(set.union(*chains.values())) == 6


def test_the_paper_preset_is_the_papers():
    runs = plan(PRESETS["paper"])
    for run in runs:
        before = run.init.recipe if isinstance(run.init, Run) else None
        if isinstance(run.task, Classify):  # Table 4
            recipe = run.recipe
            assert (recipe.optimizer, recipe.schedule, recipe.weight_decay, recipe.grad_clip) == ("sgd", "cosine", 0, 1)
            assert recipe.batch_size == 512 and recipe.lr in (0.001, 0.003, 0.01, 0.03)
        if before:  # Table 3; section 3.1 and the authors: a tanh layer and the sigmoid loss in pre-training
            assert (before.optimizer, before.schedule, before.decay) == ("adamw", "linear", "kernels")
            assert run.init.task == Classify(loss="sigmoid")
            assert dict(run.init.options) == ({"head": "tanh"} if "ViT" in run.model else {})
    heads = {type(run.task): dict(run.options).get("head") for run in runs if run.model == "ViT-B/16"}
    assert heads[Classify] is None and heads[FewShot] == "tanh", "fine-tuning leaves the tanh layer behind"


@pytest.mark.parametrize("folder", ["weights", "lr=0.1"])
def test_a_checkpoint_is_the_model_that_its_file_describes(folder, tmp_path):
    model = create("ViT-Pico/2", image_size=8, num_classes=3, pooling="gap")
    (tmp_path / folder).mkdir()
    path = save_checkpoint(model, tmp_path / folder / "model.safetensors")
    settings = replace(PRESETS["quick"], checkpoint=str(path), models=("ViT-Pico/2",), seeds=1)
    (start,) = settings.starts()
    assert dict(start.options) == {"pooling": "gap"} and start.init == str(path)


def test_other_weights_in_the_same_file_are_another_start(tmp_path):
    path, starts = tmp_path / "w.safetensors", []
    settings = replace(PRESETS["quick"], checkpoint=str(path), models=("ViT-Pico/2",), seeds=1)
    contents = [
        save_checkpoint(create("ViT-Pico/2", image_size=8, num_classes=classes), path).read_bytes()
        for classes in (3, 4)
    ]
    for content in (*contents, contents[0]):
        path.write_bytes(content)
        starts += settings.starts()
    assert starts[0].id == starts[2].id != starts[1].id and starts[0].init == starts[1].init
    probed = replace(starts[1], data=Data("digits"))
    assert run_of({"run": probed.id, **flat(probed)}) == probed
    floors = [run for run in plan(settings) if run.init is None]
    assert floors and not any(run.init_fingerprint for run in floors), "untrained weights come from no file"
    shipped = replace(settings, checkpoint="vitlab/vit_pico_4.tiny_imagenet_32", models=("ViT-Pico/4",))
    assert shipped.starts()[0].init_fingerprint == "", "they are known by their name"
    assert {data.image_size for data in shipped.sets().values()} == {32}, "which they were trained on"
    with pytest.raises(ValueError, match="give --image_size"):
        replace(shipped, checkpoint="hf-hub:someone/vit").sets()


def test_a_checkpoint_takes_the_place_of_pretraining():
    name = "vit_base_patch16_224.augreg_in21k"
    settings = replace(PRESETS["quick"], checkpoint=name, models=("ViT-B/16",), seeds=1)
    assert {(run.model, run.init) for run in plan(settings)} == {("ViT-B/16", name), ("ViT-B/16", None)}
    assert STUDY.folder(settings) == name
    with pytest.raises(ValueError, match="--models"):
        replace(settings, models=("ViT-B/16", "ViT-B/32")).starts()


@pytest.mark.parametrize("study", [STUDY, TRANSFER], ids=["few_shot", "transfer"])
@pytest.mark.parametrize("name", ["none.npz", "lr=0.1/none.npz", "ViT-Pico/2=none.npz"])
def test_a_checkpoint_that_there_is_not_is_refused_before_anything_is_done(study, name, tmp_path, capsys):
    words = f"--checkpoint {name} --models ViT-Pico/2 --dry_run --runs {tmp_path / 'runs'}"
    with pytest.raises(SystemExit) as end:
        main(study, words.split())
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert f"--checkpoint {name}: there is no such file" in said and "--init" not in said


def tuned(**about):
    usual = {"task.kind": "classify", "init": "a", "model": "M", "data.name": "d", "image_size": 8, "seed": 0}
    return {**usual, "task.positions": "interpolate", "title": "d", "images": 100, "classes": 10, **about}


def both(lr, validation, test, **about):
    parts = {"validation": validation, "test": test}
    return [tuned(**about, split=split, score=score, **{"recipe.lr": lr}) for split, score in parts.items()]


def test_the_rate_is_chosen_on_validation_alone_over_all_seeds():
    rows = pd.DataFrame(
        [
            *both(0.1, 0.9, 0.1, seed=0),
            *both(0.1, 0.5, 0.2, seed=1),
            *both(0.01, 0.8, 0.3, seed=0),
            *both(0.01, 0.8, 0.4, seed=1),
            *both(0.1, 0.7, 0.9, model="N"),
            *both(0.01, 0.7, 0.5, model="N"),
            *both(0.01, 1.0, 1.0, model="upstream", init=None),
        ]
    )
    found = fine_tuned(rows)
    assert sorted(found[found["split"] == "test"]["score"]) == [0.3, 0.4, 0.5]
    assert found["at_edge"].all() and (found["tried"] == 2).all()


def made_rows(models: str, seeds: int = 3, agree: float = 1.0) -> pd.DataFrame:
    """Few-shot draws, trained and untrained, and fine-tunings on two sets; the ranks agree, or (-1) are opposed."""
    found = []
    for place, model in enumerate(models):
        for seed in range(seeds):
            for name in ("x", "y"):
                about = {"model": model, "seed": seed, "data.name": name, "title": name, "run": f"{model}{seed}{name}"}
                score = 0.5 + 0.05 * place
                for draw in (0, 1):
                    few = tuned(**about, split="test", shots=5, draw=draw, **{"task.kind": "few_shot"})
                    found += [
                        few | {"score": score + 0.02 * draw},
                        few | {"init": None, "score": 0.12, "run": "u" + few["run"]},
                    ]
                for lr, worse in ((0.01, 0.1), (0.1, 0.0), (1.0, 0.1)):
                    later = 0.6 + 0.04 * agree * place - worse
                    found += both(lr, later, later, **about | {"run": f"t{lr}{about['run']}"})
    return pd.DataFrame(found)


def test_draws_of_a_seed_count_once_and_untrained_weights_have_a_name_of_their_own():
    scored = measured(made_rows("ab"))
    few = scored[scored["measure"] == "5-shot"]
    assert few.groupby("weights")["score"].mean().round(6).to_dict() == {
        "a": 0.51,
        "b": 0.56,
        "a, untrained": 0.12,
        "b, untrained": 0.12,
    }
    assert len(few) == 4 * 3 * 2
    pairs = both_measures(scored, 5)
    assert len(pairs) == 2 * 3 * 2 and set(pairs[pairs["model"] == "b"]["few_shot"].round(6)) == {0.56}


def test_the_sentence_and_the_table_leave_out_the_seeds_that_lack_a_set():
    rows = made_rows("ab")
    few = rows["task.kind"] == "few_shot"
    rows.loc[few & (rows["seed"] == 2) & (rows["model"] == "a"), "score"] = 0.9
    stopped = rows[~((rows["seed"] == 2) & (rows["data.name"] == "y"))]
    found = STUDY.draw(drawable(stopped.assign(status="finished")), PRESETS["quick"])
    assert found.tables[0].frame.loc[(MEAN, "a"), "5-shot"].mean == pytest.approx(0.51)
    assert found.summary == "5-shot accuracy, mean of the sets: a 51.0, b 56.0 %."


@pytest.mark.parametrize("agree", (1.0, -1.0))
def test_ranks_of_models_are_compared_within_a_seed(agree):
    (found,) = verdicts(measured(made_rows("abcdef", agree=agree)), 5)
    assert found.values == pytest.approx(dict.fromkeys(range(3), agree)) and found.interval.n == 3 and not found.failed
    assert found.subject == "6 models"


def test_a_few_models_make_no_ranking():
    (found,) = verdicts(measured(made_rows("abc")), 5)
    assert found.outcome == "cannot be tested here" and found.failed == (f"it takes {LEAST} models, not 3",)


def run_study(study, tmp_path, *words):
    places = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results"), "--wandb", "off", "--jobs", "2"]
    with pytest.raises(SystemExit) as ended:
        main(study, [*words, *places])
    return ended.value.code


SMALLER = "--models ViT ResNet --steps 30 --finetune.steps 8 --finetune.evaluations 1 --seeds 2 --rates 0.01".split()


def test_quick_made_smaller_gives_table_and_pictures(tmp_path, capsys):
    words = [*SMALLER, *"--shots 1 5 --draws 3 --max_draws 5 --l2 1024 --downstream digits@3,5,8 digits".split()]
    assert run_study(STUDY, tmp_path, *words) == 0
    folder = tmp_path / "results" / "few_shot" / "digits"
    assert {p.name for p in folder.iterdir()} == {
        *("rows.csv.gz", "evidence.json", "evidence.md", "index.html", "provenance.json"),
        *(f"{name}.png" for name in ("figure", "correlation")),
    }
    rows = read_rows(folder)
    kinds = rows.drop_duplicates("run")["task.kind"].value_counts().to_dict()
    assert kinds == {"few_shot": 16, "classify": 4 + 8, "linear_probe": 8, "nearest_neighbours": 8}
    assert (rows["status"] == "finished").all() and rows["score"].between(0, 1).all()
    assert not rows.columns.isin(("upstream", "arm", "label_share")).any(), "rows hold settings and results alone"
    text = (folder / "evidence.md").read_text()
    for words_there in ("ViT-Pico/2, untrained", "linear probe", "neighbours", "fine-tuned", "mean of the sets"):
        assert words_there in text
    assert "it takes 6 models, not 2" in capsys.readouterr().out
    assert run_study(STUDY, tmp_path, "--redraw") == 0
    assert (folder / "evidence.md").read_text() == text


def test_figure_4_on_the_digits(tmp_path):
    words = "--measure few_shot --downstream digits --models ViT ResNet --train_sizes 50 200 --steps 20 --seeds 2"
    assert run_study(data_scaling.STUDY, tmp_path, *words.split()) == 0
    folder = tmp_path / "results" / "data_scaling" / "digits_few_shot"
    few = read_rows(folder).query("`task.kind` == 'few_shot'")
    assert set(few["shots"]) == {5} and few["init"].isna().any(), "with the floor of untrained weights"
    text = (folder / "evidence.md").read_text()
    assert "5-shot accuracy" in text and "ViT-Pico/2 − ResNet-Pico" in text


def test_a_small_set_has_as_many_neighbours_as_images(tmp_path):
    own = str(write_folder(tmp_path / "own"))
    found = {
        size: {
            run.task.k
            for run in plan(replace(PRESETS["quick"], downstream=(own,), finetune_size=size, seeds=1))
            if isinstance(run.task, NearestNeighbours)
        }
        for size in (None, 10)
    }
    assert found == {None: {19}, 10: {10}}


@pytest.mark.parametrize("more", [("--dry_run",), ()])
def test_more_shots_than_a_class_has_images_are_refused_before_anything_is_trained(more, tmp_path, capsys):
    own = write_folder(tmp_path / "own", {"cat": 12, "dog": 20, "owl": 7})
    words = ["--downstream", own, "--finetune_size", 20, "--models", "ViT", "--wandb", "off", "--runs", tmp_path / "r"]
    words += ["--results", tmp_path / "results", *more]
    with pytest.raises(SystemExit) as end:
        main(STUDY, [str(word) for word in words])
    assert end.value.code == 2 and not list(tmp_path.glob("r/*/run.json"))
    said = capsys.readouterr().err
    assert "own has 8 of 'cat', 14 of 'dog', 5 of 'owl' to train on" in said and "fewer --shots" in said
    assert f"{own}@0,1" in said and "5 at most" in said
    with pytest.raises(SystemExit) as end:
        main(STUDY, [*map(str, words), "--shots", "1", "5", "--dry_run"])
    assert end.value.code == 0
    spread = replace(data_scaling.PRESETS["quick"], measure="few_shot", downstream=(str(own),))
    scarce = write_folder(tmp_path / "scarce", {"cat": 12, "dog": 20, "owl": 5}, seed=90)
    prepare(data_scaling.plan(spread), Place(tmp_path / "r", tmp_path / "cache", "cpu"), read=False)
    with pytest.raises(ValueError, match="3 of 'owl' to train on, and few-shot accuracy takes 5 images"):
        runs = data_scaling.plan(replace(spread, downstream=(str(scarce),)))
        prepare(runs, Place(tmp_path / "r", tmp_path / "cache", "cpu"), read=False)


def test_a_proxy_that_is_not_measured_is_refused():
    with pytest.raises(ValueError, match="--proxy is 2; give one of --shots: 1, 5, 10"):
        replace(PRESETS["tiny_imagenet"], proxy=2)
