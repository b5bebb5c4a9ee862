import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import killed, refused
from torch import nn

from brainalign.encoding import Epoch
from brainalign.regression import Training, carve_validation, descend, train

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
X = torch.randn((120, 5), generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0]) + 0.1 * torch.randn(120, generator=torch.Generator().manual_seed(1))
ROWS = carve_validation(120, 0.2, None, seed=0)


def linear(dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(5, 1))


def fit(network: nn.Module, how: Training, score=None, **options) -> list[Epoch]:
    def loss(rows: torch.Tensor) -> torch.Tensor:
        return (network(X[rows]).squeeze(1) - Y[rows]).square().mean()

    return train(network, loss, score or (lambda rows: -float(loss(rows))), ROWS, how, seed=3, data=(X, Y), **options)


def test_finds_what_least_squares_finds() -> None:
    network, steps = linear(), itertools.count()
    how = Training(epochs=400, batch_size=200, learning_rate=0.1, weight_decay=0)
    history = fit(network, how, score=lambda rows: next(steps))  # the last epoch counts as the best
    exact = np.linalg.lstsq(np.column_stack([X[ROWS[0]], np.ones(len(ROWS[0]))]), Y[ROWS[0]].numpy(), rcond=None)[0]
    np.testing.assert_allclose(network[1].weight.detach().numpy()[0], exact[:5], atol=1e-3)
    assert history[-1].loss < 0.011 < history[0].loss
    assert not network.training


def test_a_killed_run_goes_on_to_the_same_network(tmp_path: Path) -> None:
    """Dropout, the order of rows and the schedule continue as if nothing had happened."""
    how, whole = Training(epochs=6, batch_size=16), linear(0.3)
    expected = fit(whole, how)
    killed(3, fit, linear(0.3), how, checkpoint=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    seen: list[int] = []
    resumed = linear(0.3)
    found = fit(resumed, how, checkpoint=tmp_path, progress=lambda epoch: seen.append(epoch.number))
    assert (seen, [epoch[:3] for epoch in found]) == ([4, 5, 6], [epoch[:3] for epoch in expected])
    torch.testing.assert_close([*resumed.parameters()], [*whole.parameters()], rtol=0, atol=0)
    assert not list(tmp_path.iterdir())  # nothing is left to resume


@pytest.mark.parametrize("other", ["options", "responses", "features"])
def test_a_checkpoint_of_another_training_is_not_taken(other: str, tmp_path: Path, monkeypatch) -> None:
    killed(1, fit, linear(), Training(epochs=3), checkpoint=tmp_path)
    seen: list[int] = []
    if other == "responses":
        monkeypatch.setitem(globals(), "Y", Y + 1)
    if other == "features":
        monkeypatch.setitem(globals(), "X", X.flip(0))
    how = Training(epochs=3, clip=1.0 if other == "options" else None)
    fit(linear(), how, checkpoint=tmp_path, progress=lambda epoch: seen.append(epoch.number))
    assert seen == [1, 2, 3]


def test_the_best_epoch_is_kept_and_patience_ends_training() -> None:
    network, scores = linear(), iter([0.1, 0.5, 0.4, float("nan"), 0.5, 0.9])
    kept: list[torch.Tensor] = []

    def score(rows: torch.Tensor) -> float:
        kept.append(network[1].weight.detach().clone())
        return next(scores)

    how = Training(epochs=6, schedule="constant", patience=3)
    history = train(network, lambda rows: network(X[rows]).square().mean(), score, ROWS, how, seed=0)
    assert len(history) == 5  # three without a better one: an equal one is no better
    assert torch.equal(network[1].weight, kept[1])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_mixed_precision_is_for_a_gpu(device: str) -> None:
    types, network = [], nn.Linear(5, 1, device=device)

    def losses():
        for _ in range(3):
            types.append(network(torch.ones(4, 5, device=device)).dtype)
            yield network(torch.ones(4, 5, device=device)).float().square().mean()

    found = descend(losses(), torch.optim.SGD(network.parameters(), lr=1e-3), mixed_precision=True)
    assert set(types) == {torch.bfloat16 if device == "cuda" else torch.float32}
    assert found[0] > found[-1]
    assert network.weight.dtype == torch.float32


def test_validation_rows_are_whole_groups() -> None:
    groups = np.arange(100) // 7
    fitted, held = carve_validation(100, 0.2, groups, seed=1)
    assert not set(groups[fitted]) & set(groups[held])
    assert (sorted([*fitted, *held]), len(np.unique(groups[held]))) == (list(range(100)), 3)
    np.testing.assert_array_equal(carve_validation(100, 0.2, groups, seed=1)[1], held)
    assert list(carve_validation(100, 0.2, groups, seed=2)[1]) != list(held)
    assert [len(part) for part in carve_validation(20, 0.1, None, seed=1)] == [17, 3]


def test_bad_input() -> None:
    refused("schedule must be one of", Training, schedule="cosine")
    refused("epochs is 0", Training, epochs=0)
    refused("patience is for schedule 'constant'", Training, patience=3)
    refused("1 group", carve_validation, 10, 0.2, np.zeros(10), 0)
    refused("lower learning_rate", fit, linear(), Training(epochs=2, learning_rate=1e30))
