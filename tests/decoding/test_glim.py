"""The encoder over time points: shapes, what it must not read, how it starts, and what it finds in simulated EEG."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from refusals import refused

from brainalign.decoding import (
    EegShape,
    GlimEncoder,
    LogitScale,
    TextDecoder,
    Trials,
    batches,
    clip_loss,
    retrieval_accuracy,
    train,
    word_t5,
)
from brainalign.decoding.text import AdaptiveBlock, Prompt, time_code
from brainalign.simulation import EegText, eeg_text

SHAPE = EegShape(n_channels=6, n_times=20, n_outputs=5, n_tasks=2, n_datasets=2, n_subjects=3)
small = partial(
    GlimEncoder, width=16, n_blocks=2, n_heads=4, query_width=24, n_queries=7, n_query_blocks=2, state_width=32
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def opened(encoder: GlimEncoder) -> GlimEncoder:
    """Return the encoder with its gates open, so that the prompt and the blocks matter."""
    for block in encoder.blocks:
        block.adapt.weight.data.normal_(0, 0.3, generator=seeded())
        block.adapt.bias.data.normal_(0, 0.3, generator=seeded(1))
    return encoder.eval()


def test_published_sizes_have_published_shapes() -> None:
    shape = EegShape(n_channels=104, n_times=1280, n_outputs=1024, n_tasks=3, n_datasets=2, n_subjects=30)
    encoder = GlimEncoder(shape).eval()
    mask = torch.arange(1280) < 900
    with torch.no_grad():
        tokens, vector = encoder(torch.randn(1, 104, 1280, generator=seeded()), mask[None], torch.ones(1, 3).long())
    assert tokens.shape == (1, 96, 1024)
    assert vector.shape == (1, 1024)
    assert len(encoder.blocks) == len(encoder.align) == 6
    assert encoder.blocks[0].attend.embed_dim == 128
    assert encoder.align[0].linear1.weight.shape == (1024, 256)
    assert encoder.prompt.unknown.tolist() == [0, 1, 1]


def test_the_time_code_is_sines_and_cosines_of_falling_rates() -> None:
    code = time_code(50, 8)
    np.testing.assert_allclose(code[:, 0], np.sin(np.arange(50)), atol=1e-5)
    np.testing.assert_allclose(code[:, 7], np.cos(np.arange(50) / 1000), atol=1e-5)


def test_what_is_masked_does_not_change_the_output_and_what_is_not_does() -> None:
    encoder = opened(small(SHAPE))
    signals = torch.randn(2, 6, 20, generator=seeded())
    mask = torch.arange(20) < torch.tensor([[12], [20]])
    prompt = torch.ones(2, 3, dtype=torch.long)
    changed = signals.clone()
    changed[0, :, 12:] = 100.0
    for a, b in zip(encoder(signals, mask, prompt), encoder(changed, mask, prompt), strict=True):
        torch.testing.assert_close(a, b)
    changed[0, :, 11] = 100.0
    assert not torch.allclose(encoder(signals, mask, prompt)[1][0], encoder(changed, mask, prompt)[1][0], atol=1e-3)
    full = torch.ones_like(mask)
    torch.testing.assert_close(encoder(signals, full, prompt)[0], encoder(signals, None, prompt)[0])


def test_queries_see_those_before_them_only() -> None:
    encoder = opened(small(SHAPE))
    signals, prompt = torch.randn(1, 6, 20, generator=seeded()), torch.ones(1, 3, dtype=torch.long)
    before = encoder(signals, None, prompt)[0].detach()
    encoder.queries.data[4] += torch.randn(24, generator=seeded(2))
    after = encoder(signals, None, prompt)[0].detach()
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert ((before[:, 4:] - after[:, 4:]).abs().amax(dim=2) > 1e-4).all()


def test_gates_start_at_zero_so_a_block_passes_on_what_it_is_given() -> None:
    block = AdaptiveBlock(16, 4, 0.1)
    x, prompt = torch.randn(3, 20, 16, generator=seeded()), torch.randn(3, 16, generator=seeded(1))
    assert torch.equal(block(x, prompt), x)
    block(x, prompt).square().sum().backward()
    gates = block.adapt.weight.grad
    assert gates is not None
    assert gates.view(6, 16, 16)[[2, 5]].abs().sum() > 0  # and they can open


def test_an_unknown_subject_is_a_subject_of_its_own() -> None:
    encoder = opened(small(SHAPE, unknown=(0.0, 0.0, 0.0)))
    signals = torch.randn(1, 6, 20, generator=seeded()).expand(4, -1, -1)
    prompt = torch.tensor([[1, 1, k] for k in range(4)])
    vectors = encoder(signals, None, prompt)[1]
    assert torch.isfinite(vectors).all()
    distances = torch.cdist(vectors, vectors) + torch.eye(4)
    assert distances.min() > 1e-3


@pytest.mark.parametrize("training", [True, False])
def test_a_field_that_is_always_hidden_is_never_used(training: bool) -> None:
    prompt = Prompt((2, 2, 3), 16, (0.0, 1.0, 1.0)).train(training)
    ids = torch.tensor([[1, 1, 1], [1, 2, 3], [1, 0, 0], [2, 1, 1]])
    given = prompt(ids)
    assert torch.equal(given[0], given[1])
    assert torch.equal(given[0], given[2])
    assert not torch.allclose(given[0], given[3])
    given.sum().backward()
    subjects = prompt.embeddings[2].weight.grad
    assert subjects is not None
    assert subjects[1:].abs().sum() == 0


def test_a_field_is_hidden_as_often_as_asked_in_training_and_never_afterwards() -> None:
    prompt = Prompt((1, 1, 1), 4, (0.0, 0.0, 0.3))
    ids = torch.ones(4000, 3, dtype=torch.long)
    shown = prompt.eval()(ids)
    assert torch.equal(shown, shown[:1].expand_as(shown))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hidden = (prompt.train()(ids) != shown).any(dim=1)
    assert hidden.float().mean().item() == pytest.approx(0.3, abs=0.03)


def test_sizes_that_do_not_fit_are_named() -> None:
    refused("6 channels do not fit into width 4", GlimEncoder, SHAPE, width=4)
    refused("5 heads do not divide width", small, SHAPE, n_heads=5)
    refused("probabilities to hide", small, SHAPE, unknown=(0.0, 1.0, 2.0))


def decoded(world: EegText, trained: GlimEncoder, split: str, signals: np.ndarray | None = None) -> dict[str, float]:
    """Return retrieval among the distinct sentences of a split."""
    rows = world.rows(split)
    given = torch.tensor((world.signals if signals is None else signals)[rows])
    with torch.no_grad():
        vectors = trained(given, None, prompts(world, rows))[1].numpy()
    shown = world.trials["stimulus_id"].to_numpy()[rows]
    found = retrieval_accuracy(vectors, world.targets[rows], shown, shown, n_permutations=100).table
    return dict(found.set_index("measure")["value"])


def prompts(world: EegText, rows: np.ndarray) -> torch.Tensor:
    subjects = world.trials["subject"].to_numpy(dtype=int)[rows]
    return torch.tensor(np.column_stack([np.ones_like(subjects), np.ones_like(subjects), subjects]))


def fitted(world: EegText, n_steps: int, seed: int) -> GlimEncoder:
    rows = world.rows("train")
    signals, targets = torch.tensor(world.signals), torch.tensor(world.targets, dtype=torch.float32)
    stimuli = torch.tensor(np.unique(world.trials["stimulus_id"], return_inverse=True)[1])
    subjects = world.trials["subject"].nunique()
    shape = EegShape(n_channels=24, n_times=64, n_outputs=targets.shape[1], n_subjects=subjects)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = {"width": 48, "n_blocks": 1, "n_heads": 4, "query_width": 64, "n_queries": 8, "n_query_blocks": 1}
        encoder = GlimEncoder(shape, **sizes, state_width=64, unknown=(0.0, 1.0, 0.1))
        scale = LogitScale(10.0, 50.0)
        drawn = batches(len(rows), 96, n_steps, np.random.default_rng(seed))

        def loss(step: int) -> torch.Tensor:
            some = rows[next(drawn)]
            vectors = encoder(signals[some], None, prompts(world, some))[1]
            return clip_loss(vectors, targets[some], scale(), stimuli[some])

        train([encoder, scale], loss, n_steps, learning_rate=4e-3, weight_decay=0.05)
    return encoder


def test_scaled_down_it_finds_held_out_sentences_in_phase_locked_eeg() -> None:
    """Chance is .017 and .085; ridge of each subject reaches .5 and .85."""
    world = eeg_text(np.random.default_rng(0).normal(size=(576, 24)), n_subjects=2, seed=1)
    encoder = fitted(world, 85, 1)
    found = decoded(world, encoder, "test")
    assert found["top-1"] > 0.15
    assert found["top-5"] > 0.45
    nothing = decoded(world, encoder, "test", world.before)
    assert nothing["top-1"] <= 0.07
    assert nothing["top-5"] <= 0.2


def test_it_is_an_encoder_of_the_text_decoder() -> None:
    world = eeg_text(np.random.default_rng(0).normal(size=(576, 8)), n_subjects=2, n_components=8, n_channels=6, seed=1)
    trials = Trials(world.signals, world.targets, world.trials).select(np.arange(0, 1152, 16))
    sizes = {"width": 16, "n_blocks": 1, "n_heads": 2, "query_width": 16, "n_queries": 3, "n_query_blocks": 1}
    language = word_t5(trials.meta["text"].tolist(), n_steps=1, width=16)
    decoder = TextDecoder("glim", 1, language=language, encoder_options={**sizes, "state_width": 16})
    decoder.fit(trials, texts=trials.meta["text"].tolist())
    vectors = decoder.embed(trials.signals, trials.meta.assign(subject="someone new"))
    assert vectors.shape == (72, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    # The published prompt hides the subject, so who it is changes no more than the scale of channels.
    assert np.corrcoef(vectors.ravel(), decoder.embed(trials.signals, trials.meta).ravel())[0, 1] > 0.9
    assert len(decoder.generate(trials.signals[:3], trials.meta[:3])) == 3
