from functools import partial

import numpy as np
import pytest
import torch
from refusals import refused

from brainalign.decoding import EegShape, GlimEncoder
from brainalign.decoding.text import Prompt, time_code

SHAPE = EegShape(n_channels=6, n_times=20, n_outputs=5, n_tasks=2, n_datasets=2, n_subjects=3)
SIZES = {"width": 16, "n_blocks": 2, "n_heads": 4, "query_width": 24, "n_queries": 7, "n_query_blocks": 2}
small = partial(GlimEncoder, **SIZES, state_width=32)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
    encoder, signals = small(SHAPE).eval(), torch.randn(2, 6, 20, generator=seeded())
    for block in encoder.blocks:
        block.adapt.weight.data.normal_(0, 0.3, generator=seeded())
        block.adapt.bias.data.normal_(0, 0.3, generator=seeded(1))
    mask, prompt = torch.arange(20) < torch.tensor([[12], [20]]), torch.ones(2, 3, dtype=torch.long)
    changed = signals.clone()
    changed[0, :, 12:] = 100.0
    for a, b in zip(encoder(signals, mask, prompt), encoder(changed, mask, prompt), strict=True):
        torch.testing.assert_close(a, b)
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


def test_sizes_that_do_not_fit_are_named() -> None:
    refused("6 channels do not fit into width 4", GlimEncoder, SHAPE, width=4)
    refused("5 heads do not divide width", small, SHAPE, n_heads=5)
    refused("probabilities to hide", small, SHAPE, unknown=(0.0, 1.0, 2.0))
