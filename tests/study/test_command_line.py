"""What the command line takes beside a study's settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.data_scaling import DataScaling
from vitlab.study.command_line import parse, seconds


@pytest.mark.parametrize(
    ("text", "length"),
    [("90s", 90), ("9m", 540), ("2h", 7200), ("1h30m", 5400), ("9m 30s", 570), ("45", 45), ("1.5h", 5400)],
)
def test_a_length_of_time_is_read(text, length):
    assert seconds(text) == length


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_parts_add_up(hours, minutes, rest):
    assert seconds(f"{hours}h{minutes}m{rest}s") == 3600 * hours + 60 * minutes + rest


@pytest.mark.parametrize("text", ["", "0", "0m", "-5m", "soon", "5 days", "30s 9m", "1e9", "1h30", "9m 30"])
def test_what_is_no_length_of_time_is_said_with_what_to_write(text):
    with pytest.raises(ValueError, match="write it as 90s, 9m or 1h30m"):
        seconds(text)


def test_a_key_that_a_mapping_has_not_yet_is_an_option_too():
    quick = {"quick": DataScaling(steps_by_size={500: 3000}, learning_rates={"ViT": 0.1})}
    words = ["--steps_by_size.100", "7", "--steps_by_size.500=8", "--learning_rates.ResNet-Pico", "0.5"]
    settings, _ = parse(
        "data_scaling", "", quick, [*words, "--models", "ViT", "ResNet-Pico", "--rates_by_family.ViT", "1", "2"]
    )
    assert settings.steps_by_size == {500: 8, 100: 7}
    assert settings.learning_rates == {"ViT": 0.1, "ResNet-Pico": 0.5} and settings.rates_by_family == {
        "ViT": (1.0, 2.0)
    }


def test_a_key_may_follow_an_option_that_is_written_with_hyphens():
    words = ["--steps-by-size.77", "9", "--learning-rates.ResNet-Pico=0.5", "--models", "ViT", "ResNet-Pico"]
    settings, _ = parse("data_scaling", "", {"quick": DataScaling()}, words)
    assert settings.steps_by_size == {77: 9} and settings.learning_rates == {"ResNet-Pico": 0.5}


def test_a_path_may_begin_with_home_however_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "record.json").write_text('{"settings": {"data": "mine"}}')
    words = ["--runs=~/x", "--results", "~/y", "--config=~/record.json"]
    settings, how = parse("data_scaling", "", {"quick": DataScaling()}, words)
    assert (how.runs, how.results, settings.data) == (tmp_path / "x", tmp_path / "y", "mine")
    with pytest.raises(ValueError, match="--runs ~nobody_here/x is no path"):
        parse("data_scaling", "", {"quick": DataScaling()}, ["--runs=~nobody_here/x"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps_by_size.many", "7"], "'many' is no whole number"),
        (["--learning_rates.Vit", "7"], "Did you mean 'ViT'"),
        (["--redraw", "--dry_run"], "give one of them"),
        (["--config", "provenance.json", "--preset", "quick"], "give one of them"),
    ],
)
def test_words_that_cannot_be_are_one_message(words, message):
    with pytest.raises(ValueError, match=message):
        parse("data_scaling", "", {"quick": DataScaling()}, words)
