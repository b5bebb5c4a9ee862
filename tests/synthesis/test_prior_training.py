import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from refusals import refused

from brainalign.synthesis.guidance import prior, train_prior

UNET = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
UNET |= {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
N_STEPS, N_BATCH = 102, 5


def test_training_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prior, "UNET", UNET)
    monkeypatch.setattr(prior, "BATCH", N_BATCH)
    images, heard = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8), []
    state = torch.get_rng_state()
    learned, scheduler, codec = train_prior(images, N_STEPS, seed=3, progress=lambda *said: heard.append(said))
    assert torch.equal(torch.get_rng_state(), state)
    assert not learned.training
    assert not any(weights.requires_grad for weights in learned.parameters())
    assert codec.config.block == 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        unet = UNet2DModel(sample_size=4, in_channels=12, out_channels=12, **UNET).train()
    start = [each.detach().clone() for each in unet.parameters()]
    draws, average, losses = torch.Generator().manual_seed(3), [], []
    optimizer = torch.optim.AdamW(unet.parameters(), lr=2e-3)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    for step in range(N_STEPS):
        batch = pixels[torch.randint(7, (N_BATCH,), generator=draws)].clone()
        flipped = torch.rand(N_BATCH, generator=draws) < 0.5
        batch[flipped] = batch[flipped][..., torch.arange(7, -1, -1)]
        latents = torch.nn.functional.pixel_unshuffle(batch, 2)
        noise = torch.randn(latents.shape, generator=draws)
        times = torch.randint(1000, (N_BATCH,), generator=draws)
        signal = scheduler.alphas_cumprod[times][:, None, None, None]
        said = unet(signal.sqrt() * latents + (1 - signal).sqrt() * noise, times).sample
        loss = (said - signal.sqrt() * noise + (1 - signal).sqrt() * latents).square().mean()
        share = (step + 1) / 10 if step < 10 else 0.05 + 0.95 * (1 + np.cos(np.pi * (step - 10) / 92)) / 2
        optimizer.param_groups[0]["lr"] = 2e-3 * share
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        weights = [each.detach().clone() for each in unet.parameters()]
        kept = min(0.998, (step + 1) / (step + 20)) if step else 0
        average = [old.lerp(new, 1 - kept) for old, new in zip(average or weights, weights, strict=True)]
        losses.append(loss.item())
    assert [step for step, _ in heard] == [0, 100]
    assert [loss for _, loss in heard] == pytest.approx([losses[0], losses[100]], rel=1e-2)
    # Adam lets a weight without any gradient drift with rounding: what is compared is the way of all together.
    pairs = (zip(average, others, strict=True) for others in (learned.parameters(), start))
    apart, way = (torch.cat([(one - other).flatten() for one, other in pair]).norm() for pair in pairs)
    assert apart < 0.01 * way


@pytest.mark.parametrize("shape", [(8, 8, 3), (2, 8, 8, 4), (2, 8, 12, 3), (2, 10, 10, 3)])
def test_priors_learn_from_square_colour_images(shape: tuple[int, ...]) -> None:
    refused(r"images \(n, size, size, 3\) whose size is a multiple of 4", train_prior, np.zeros(shape, dtype=np.uint8))
