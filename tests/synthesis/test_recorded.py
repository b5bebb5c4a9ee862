"""Whole results of fixed seeds as they were: schedulers and natural images, of small untrained models."""

from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from seeded.recorded import Record
from synthesis.conftest import SCALED
from torch import Tensor

from brainalign import synthesis
from brainalign.synthesis import BrainGuidedPipeline, guidance
from brainalign.synthesis.guidance import check_scheduler, natural

Models = Callable[[str], Any]


def drawn(*shape: int, seed: int = 2) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def liked(images: Tensor) -> Tensor:
    """Score images by a linear map, bent, that is of their own size."""
    weights = drawn(3, *images.shape[2:], seed=9).to(images) - 0.4
    return torch.tanh((images * weights).sum((1, 2, 3)) / 9) + images[:, 0].mean((1, 2)) ** 2


def schedulers(models: Models) -> Any:
    """Return images and shares of signal of every scheduler with all that it may predict, on a PixelShuffleCodec."""
    unet, found = models("pipe").unet, []
    for name, table in guidance.denoiser.SCHEDULERS.items():
        for predicted in guidance.PREDICTIONS:
            if predicted == "sample" and name in guidance.denoiser.WITHOUT_SAMPLE:
                continue
            may_clip = table == "alphas_cumprod" and name != "PNDMScheduler"
            clips = {"clip_sample": predicted == "sample"} if may_clip else {}
            scheduler = getattr(diffusers, name)(**SCALED, prediction_type=predicted, **clips)
            pipe = BrainGuidedPipeline(unet, scheduler, models("pipe").vae)
            again = 2 if name in guidance.denoiser.RECURRENT else 1
            check_scheduler(scheduler, again)
            options = {"generator": synthesis.generators([3]), "num_inference_steps": 5, "guidance_scale": 1.0}
            found.append([pipe(liked, 1, recurrence=again, **options).images, guidance.signal_shares(scheduler)])
            if again > 1:
                found.append([guidance.previous_signal(scheduler, int(t)) for t in scheduler.timesteps])
    return found


def natural_images(models: Models) -> Any:
    pipe, paths, folder = models("pipe"), [], models("tmp_path")
    for k in range(5):
        pixels = np.random.default_rng(k).integers(0, 256, (12 + k, 20 - k, 3), dtype=np.uint8)
        paths.append(str(folder / f"{k}.png"))
        Image.fromarray(pixels).save(paths[-1])
    images = synthesis.NaturalImages(paths, 16)

    def network(x: Tensor) -> Tensor:
        return torch.stack([liked(x), x[:, 1].std((1, 2)), x[:, :, 3, 5].prod(dim=1), 0 * x[:, 0, 0, 0] + 2], dim=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(natural, "CHUNK", 3)
        seen = [synthesis.features_of_views(pipe, paths, network, n, 2, size) for n, size in ((0, 2), (2, 2), (2, 32))]
    typical = synthesis.Typicality(network, seen[1].reshape(-1, 4).astype(np.float64))
    asked = torch.cat([images[:2], drawn(3, 3, 16, 16), torch.zeros(1, 3, 16, 16)])
    sizes = {"batch_size": 3, "at_once": 2}, {"batch_size": 5, "at_once": None}
    views = [synthesis.denoised_views(pipe, images[:], 2, seed=3, **size) for size in sizes]
    other = BrainGuidedPipeline(pipe.unet, diffusers.DDIMScheduler(prediction_type="epsilon"), pipe.vae)
    views.append(synthesis.denoised_views(other, images[1:3]))
    sizes = [synthesis.resized(images[:2], n) for n in (16, 9, 21)]
    return seen, typical(asked), views, sizes, len(images), images[np.array([4, 1])], images.paths == paths


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", [schedulers, natural_images])
def test_results_of_fixed_seeds_are_as_they_were(case: Callable[[Models], Any], recorded: Record, request) -> None:
    recorded.check(case.__name__, case(request.getfixturevalue))
