from functools import partial

import numpy as np
import pytest
import torch
from refusals import refused
from torch import nn
from torch.nn import functional as F

from brainalign.decoding import EEG_ENCODERS, Augmentation, EegShape, GlimEncoder, eeg_encoder
from brainalign.decoding.text import Prompt, time_code
from brainalign.decoding.training import History, LogitScale, SubjectLayers, clip_loss, train

SHAPE = EegShape(n_channels=5, n_times=40, n_outputs=7, n_subjects=3, sfreq=100.0)
GLIM_SHAPE = EegShape(n_channels=6, n_times=20, n_outputs=5, n_tasks=2, n_datasets=2, n_subjects=3)
SIZES = {"width": 16, "n_blocks": 2, "n_heads": 4, "query_width": 24, "n_queries": 7, "n_query_blocks": 2}
small = partial(GlimEncoder, **SIZES, state_width=32)
SIGNALS = torch.randn(4, 5, 40, generator=torch.Generator().manual_seed(0))
PROMPT = torch.tensor([[1, 1, k] for k in range(4)])
MODEL = """
from torch import nn

class Flat(nn.Module):
    def __init__(self, n_chans, n_times, n_outputs, sfreq, extra=0):
        super().__init__()
        assert sfreq == 100.0
        self.linear = nn.Linear(n_chans * n_times, n_outputs + extra)

    def forward(self, x):
        return self.linear(x.flatten(1))

def number(**sizes):
    return 3
"""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_all_weights_of_the_menu_learn_and_subject_matrices_begin_as_the_identity() -> None:
    for name in EEG_ENCODERS:
        encoder = eeg_encoder(name, SHAPE)
        tokens, vectors = encoder(SIGNALS, None, PROMPT)
        assert (tokens.shape[0], tokens.shape[2], vectors.shape) == (4, encoder.width, (4, 7))
        (vectors.square().sum() + tokens.square().sum()).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    refused("did you mean 'tiny'", eeg_encoder, "tyny", SHAPE)
    refused("shorter than the window 8", eeg_encoder, "envelope", EegShape(5, 6, 7))
    refused("6 channels do not fit into width 4", GlimEncoder, GLIM_SHAPE, width=4)
    refused("5 heads do not divide width", small, GLIM_SHAPE, n_heads=5)
    refused("probabilities to hide", small, GLIM_SHAPE, unknown=(0.0, 1.0, 2.0))
    layers, subjects = SubjectLayers(3, 5, 5), torch.tensor([-1, 0, 1, 2])
    torch.testing.assert_close(layers(SIGNALS, subjects), SIGNALS)
    layers.weight.data.copy_(torch.randn(3, 5, 5, generator=seeded(1)))
    mixed = layers(SIGNALS, subjects)
    torch.testing.assert_close(mixed[0], layers.weight.mean(dim=0) @ SIGNALS[0])
    torch.testing.assert_close(mixed[3], layers.weight[2] @ SIGNALS[3])
    layers(SIGNALS, torch.zeros(4, dtype=torch.long)).square().sum().backward()
    assert (layers.weight.grad.abs().sum(dim=(1, 2)) > 0).tolist() == [True, False, False]  # they learn apart


def test_a_model_of_ones_own_has_the_names_of_braindecode_or_is_missed(tmp_path, monkeypatch) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MODEL)
    encoder = eeg_encoder(f"{path}:Flat", SHAPE)
    tokens, vectors = encoder(SIGNALS, None, PROMPT)
    torch.testing.assert_close(vectors, encoder.network.linear(SIGNALS.flatten(1)))
    assert tokens.shape == (4, 1, 7)
    encoder = eeg_encoder(f"{path}:Flat", SHAPE, {"extra": 2})
    refused(r"has shape \(4, 9\) but vectors have \(4, 7\)", encoder, SIGNALS, None, PROMPT)
    refused("returned int", eeg_encoder, f"{path}:number", SHAPE)
    monkeypatch.setitem(__import__("sys").modules, "braindecode", None)
    refused("pip install braindecode", eeg_encoder, "braindecode:EEGNet", SHAPE)
    refused("cannot import 'no_such_module'", eeg_encoder, "no_such_module:EEGNet", SHAPE)
    refused("out of range", Augmentation, channel_dropout=1.0)


def test_published_sizes_have_published_shapes_and_times_are_sines_and_cosines() -> None:
    shape = EegShape(n_channels=104, n_times=1280, n_outputs=1024, n_tasks=3, n_datasets=2, n_subjects=30)
    encoder, mask = GlimEncoder(shape).eval(), torch.arange(1280) < 900
    with torch.no_grad():
        tokens, vector = encoder(torch.randn(1, 104, 1280, generator=seeded()), mask[None], torch.ones(1, 3).long())
    assert (tokens.shape, vector.shape) == ((1, 96, 1024), (1, 1024))
    assert len(encoder.blocks) == len(encoder.align) == 6
    assert (encoder.blocks[0].attend.embed_dim, encoder.align[0].linear1.weight.shape) == (128, (1024, 256))
    assert encoder.prompt.unknown.tolist() == [0, 1, 1]
    code = time_code(50, 8)
    np.testing.assert_allclose(code[:, 0], np.sin(np.arange(50)), atol=1e-5)
    np.testing.assert_allclose(code[:, 7], np.cos(np.arange(50) / 1000), atol=1e-5)


def test_what_is_masked_or_comes_later_does_not_change_the_output() -> None:
    encoder, signals = small(GLIM_SHAPE).eval(), torch.randn(2, 6, 20, generator=seeded())
    for block in encoder.blocks:
        block.adapt.weight.data.normal_(0, 0.3, generator=seeded())
        block.adapt.bias.data.normal_(0, 0.3, generator=seeded(1))
    mask, prompt = torch.arange(20) < torch.tensor([[12], [20]]), torch.ones(2, 3, dtype=torch.long)
    changed = signals.clone()
    changed[0, :, 12:] = 100.0
    torch.testing.assert_close(encoder(signals, mask, prompt), encoder(changed, mask, prompt))
    changed[0, :, 11] = 100.0
    assert not torch.allclose(encoder(signals, mask, prompt)[1][0], encoder(changed, mask, prompt)[1][0], atol=1e-3)
    torch.testing.assert_close(encoder(signals, torch.ones_like(mask), prompt)[0], encoder(signals, None, prompt)[0])
    before = encoder(signals, None, prompt)[0].detach()
    encoder.queries.data[4] += torch.randn(24, generator=seeded(2))
    after = encoder(signals, None, prompt)[0].detach()
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert ((before[:, 4:] - after[:, 4:]).abs().amax(dim=2) > 1e-4).all()


@pytest.mark.parametrize("training", [True, False])
def test_a_field_that_is_always_hidden_is_never_used(training: bool) -> None:
    prompt = Prompt((2, 2, 3), 16, (0.0, 1.0, 1.0)).train(training)
    given = prompt(torch.tensor([[1, 1, 1], [1, 2, 3], [1, 0, 0], [2, 1, 1]]))
    assert torch.equal(given[0], given[1])
    assert torch.equal(given[0], given[2])
    assert not torch.allclose(given[0], given[3])
    given.sum().backward()
    assert prompt.embeddings[2].weight.grad[1:].abs().sum() == 0


def test_clip_loss_is_the_mean_of_both_cross_entropies_without_trials_of_one_stimulus() -> None:
    a, b = torch.randn(2, 8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits = 10 * F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    expected = sum(F.cross_entropy(table, torch.arange(8)).item() for table in (logits, logits.T)) / 2
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
    assert plateau([0.5 + 1e-5 * k for k in range(300)], 1000)[1].converged is True  # under a thousandth is no gain
    module, history, _ = plateau([0.1, 0.2, 0.05], 40, 1000)
    assert (history.converged, history.chosen) == (False, 20)
    how = {"learning_rate": 0.1, "weight_decay": 0, "schedule": "plateau"}
    refused("needs validation", train, [module], lambda step: module.weight.sum(), 5, **how)
