"""What is drawn of a classifier's mistakes."""

import numpy as np

from vitlab.gallery.mistakes import confusion_figure, mistakes_figure, most_confused, words
from vitlab.report.style import render


def test_of_many_classes_those_with_most_mistakes_are_drawn() -> None:
    matrix = np.diag(np.full(40, 7))
    matrix[3, 30], matrix[12, 3] = 5, 4
    assert set(most_confused(matrix, 3)) == {3, 12, 30} and len(most_confused(matrix)) == 20
    names = [f"class {k}" for k in range(40)]
    drawn = render(confusion_figure(matrix, names, model="ViT-Pico/4"), "png")
    assert drawn[:4] == b"\x89PNG" and len(drawn) > 10_000


def test_the_worst_images_are_drawn_each_with_its_words() -> None:
    images = list(np.random.default_rng(0).integers(0, 255, (6, 8, 8, 3), dtype=np.uint8))
    told = words("cat", "a very long name of a dog", 0.976, "/photos/cat/IMG_0001.jpg")
    figure = mistakes_figure(images, [told] * 6, model="ResNet-Pico")
    shown = [axes for axes in figure.axes if axes.get_images()]
    assert len(shown) == 6 and shown[5].get_xlabel() == "cat\nsaid a very long… (98%)\nIMG_0001.jpg"


def test_names_of_wide_letters_are_cut_to_the_width_of_their_image() -> None:
    told = words("日本語の森林クラス名前", "森林の長い名前", 0.5, "1.jpg")
    assert told.splitlines()[:2] == ["日本語の森林クラ…", "said 森林の長い名… (50%)"]


def test_a_dollar_in_a_name_is_a_dollar() -> None:
    names = [r"$a$b $\foo$", "$0_to_$10"]
    render(confusion_figure(np.array([[3, 1], [2, 4]]), names, model="ViT"), "png")
    images = [np.zeros((8, 8, 3), dtype=np.uint8)]
    render(mistakes_figure(images, [words(*names, 0.5, "IMG$1_$2.jpg")], model="ViT"), "png", photographs=True)
