import numpy as np
import pytest
import torch
from refusals import refused
from torch import nn
from torch.nn import functional as F

from brainalign.decoding import History, LogitScale, clip_loss, train


def test_clip_loss_is_the_mean_of_both_cross_entropies_without_trials_of_one_stimulus() -> None:
    a, b = torch.randn(2, 8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    unit = [x / np.sqrt((x**2).sum(1, keepdims=True)) for x in (a.numpy(), b.numpy())]
    logits, expected = 10 * unit[0] @ unit[1].T, 0.0
    for table in (logits, logits.T):
        expected += np.mean(np.log(np.exp(table).sum(1)) - np.diag(table)) / 2
    assert clip_loss(a, b, 10.0, torch.arange(8)).item() == pytest.approx(expected, abs=1e-12)
    a, b = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1))
    stimuli = torch.tensor([0, 0, 1, 2, 3, 4])
    logits, rows = 5 * F.normalize(a, dim=1) @ F.normalize(b, dim=1).T, []
    for table in (logits, logits.T):
        for i in range(6):
            kept = [j for j in range(6) if j == i or stimuli[j] != stimuli[i]]
            rows.append(torch.logsumexp(table[i, kept], 0) - table[i, i])
    assert clip_loss(a, b, 5.0, stimuli).item() == pytest.approx(torch.stack(rows).mean().item(), abs=1e-6)
    refused("one stimulus", clip_loss, a, b, 5.0, torch.zeros(6, dtype=torch.long))


def test_the_scale_is_capped_and_training_that_diverges_or_has_no_step_is_stopped() -> None:
    assert LogitScale(10.0)().item() == pytest.approx(10.0, rel=1e-6)
    scale = LogitScale(10.0, 50.0)
    scale.log.data.fill_(9.0)
    assert scale().item() == 50.0
    refused("maximum", LogitScale, 200.0)
    line, x, y = nn.Linear(3, 1), torch.randn(64, 3), torch.ones(64, 1)
    how = {"learning_rate": 0.1, "weight_decay": 0.0}
    refused("step 1;", train, [line], lambda _: F.mse_loss(line(x), y * torch.nan), 5, **how)
    refused("n_steps is 0", train, [line], lambda _: F.mse_loss(line(x), y), 0, **how)


def plateau(values: list[float], n_steps: int, patience: int = 20) -> tuple[nn.Linear, History, list[float]]:
    """Train with scripted validation values, every 10 steps; return the weights seen there too."""
    module, seen = nn.Linear(1, 1, bias=False), []  # its loss is its weight: every step has the length of the rate

    def validate() -> float:
        seen.append(module.weight.item())
        return values[min(len(seen), len(values)) - 1]

    options = {"learning_rate": 0.01, "weight_decay": 0.0, "schedule": "plateau", "every": 10, "patience": patience}
    return module, train([module], lambda step: module.weight.sum(), n_steps, validate=validate, **options), seen


def test_training_ends_where_validation_stands_still() -> None:
    """Best at step 30; each of three rates has 20 steps to be better, and starts again from the best weights."""
    module, history, seen = plateau([0.1, 0.2, 0.5, 0.3], 100)
    assert (history.converged, module.training) == (True, False)
    assert (history.chosen, len(history.losses), module.weight.item()) == (30, 90, pytest.approx(seen[2]))
    moved = [seen[k] - seen[2] for k in (5, 7)]  # 10 steps further, from the best, at a fifth and a 25th of the rate
    assert moved[0] == pytest.approx(5 * moved[1], rel=0.3)
    assert abs(seen[3] - seen[2]) > 3 * abs(moved[0])


def test_training_that_still_gains_has_not_converged() -> None:
    _, history, _ = plateau([0.1 * k for k in range(1, 30)], 200)
    assert (history.converged, len(history.losses), history.chosen) == (False, 200, 200)
    crawling = [0.5 + 1e-5 * k for k in range(300)]  # less than a thousandth is no gain
    assert plateau(crawling, 1000)[1].converged is True
    module, history, _ = plateau([0.1, 0.2, 0.05], 40, 1000)
    assert (history.converged, history.chosen) == (False, 20)
    how = {"learning_rate": 0.1, "weight_decay": 0, "schedule": "plateau"}
    refused("needs validation", train, [module], lambda step: module.weight.sum(), 5, **how)
