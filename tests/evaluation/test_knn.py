import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from vitlab.evaluation import knn_accuracy


def split(images: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % 4
    centres = torch.randn(4, 6, generator=torch.Generator().manual_seed(5))
    return centres[labels] + torch.randn(images, 6, generator=generator), labels * 3 - 2


@pytest.mark.parametrize("k", [1, 3])
def test_it_equals_scikit_learns_cosine_neighbours(k, monkeypatch):
    (train, labels), (test, wanted) = split(200, 0), split(150, 1)
    # With 4 classes and 3 votes a three-way tie is settled by similarity, as weighting by similarity does.
    reference = KNeighborsClassifier(k, metric="cosine", weights=lambda distance: 1 + (2 - distance) / (4 * k))
    expected = reference.fit(train, labels).score(test, wanted)
    assert 0.4 < expected < 1
    assert knn_accuracy(train, labels, test, wanted, k=k) == pytest.approx(expected)
    monkeypatch.setattr("vitlab.evaluation.knn._SIMILARITIES_AT_ONCE", 1400)  # slices of 7 test images
    assert knn_accuracy(train, labels, test, wanted, k=k) == pytest.approx(expected)


def test_equal_votes_go_to_the_more_similar_class():
    train = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    test = torch.tensor([[2.0, 1.9], [1.9, 2.0]])
    assert knn_accuracy(train, torch.tensor([7, 3]), test, torch.tensor([7, 3]), k=2) == 1.0


def test_a_majority_beats_any_similarity():
    train = torch.tensor([[1.0, 0.0], [-1.0, 0.1], [-1.0, -0.1]])
    assert knn_accuracy(train, torch.tensor([0, 1, 1]), train[:1], torch.tensor([1]), k=3) == 1.0


def test_length_makes_no_difference():
    (train, labels), (test, wanted) = split(80, 0), split(60, 1)
    scaled = train * torch.linspace(0.1, 50, 80)[:, None]
    assert knn_accuracy(scaled, labels, test * 9, wanted, k=5) == knn_accuracy(train, labels, test, wanted, k=5)


def test_k_beyond_the_train_set_is_an_error():
    train, labels = split(10, 0)
    with pytest.raises(ValueError, match="k must be from 1 to 10"):
        knn_accuracy(train, labels, train, labels, k=11)
