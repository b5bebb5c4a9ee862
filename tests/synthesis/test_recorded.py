"""Whole results of fixed seeds as they were: schedulers, natural images and captions, of small untrained models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from seeded.recorded import Record, tables
from torch import Tensor

from brainalign import synthesis
from brainalign.encoding import Ridge
from brainalign.synthesis import BrainGuidedPipeline, guidance
from brainalign.synthesis.guidance import check_scheduler, natural

RECORD = Record(Path(__file__).parent / "recorded.json")
RNG = np.random.default_rng
Models = Callable[[str], Any]


def seeds(n: int, first: int = 3) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + k) for k in range(n)]


def drawn(*shape: int, seed: int = 2) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def liked(images: Tensor) -> Tensor:
    """Score images by a linear map, bent, that is of their own size."""
    weights = drawn(3, *images.shape[2:], seed=9).to(images) - 0.4
    return torch.tanh((images * weights).sum((1, 2, 3)) / 9) + images[:, 0].mean((1, 2)) ** 2


def schedulers(models: Models) -> Any:
    """Return images and shares of signal of every scheduler with all that it may predict, on a PixelShuffleCodec."""
    unet, found = models("pipe").unet, []
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    for name, table in guidance.denoiser.SCHEDULERS.items():
        for predicted in guidance.PREDICTIONS:
            if predicted == "sample" and name in guidance.denoiser.WITHOUT_SAMPLE:
                continue
            clips = (
                {"clip_sample": predicted == "sample"} if table == "alphas_cumprod" and name != "PNDMScheduler" else {}
            )
            scheduler = getattr(diffusers, name)(**betas, prediction_type=predicted, **clips)
            pipe = BrainGuidedPipeline(unet, scheduler, models("pipe").vae)
            pipe.set_progress_bar_config(disable=True)
            again = 2 if name in guidance.denoiser.RECURRENT else 1
            check_scheduler(scheduler, again)
            out = pipe(liked, 1, generator=seeds(1), num_inference_steps=5, recurrence=again, guidance_scale=1.0)
            found.append([out.images, guidance.signal_shares(scheduler)])
            if again > 1:
                found.append([guidance.previous_signal(scheduler, int(t)) for t in scheduler.timesteps])
    return found


def natural_images(models: Models) -> Any:
    pipe, paths, folder = models("pipe"), [], models("tmp_path")
    for k in range(5):
        pixels = RNG(k).integers(0, 256, (12 + k, 20 - k, 3), dtype=np.uint8)
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
    views = [
        synthesis.denoised_views(pipe, images[:], 2, seed=3, batch_size=n, at_once=k) for n, k in ((3, 2), (5, None))
    ]
    other = BrainGuidedPipeline(pipe.unet, diffusers.DDIMScheduler(prediction_type="epsilon"), pipe.vae)
    views.append(synthesis.denoised_views(other, images[1:3]))
    sizes = [synthesis.resized(images[:2], n) for n in (16, 9, 21)]
    return seen, typical(asked), views, sizes, len(images), images[np.array([4, 1])], images.paths == paths


D = 5
BANK = RNG(11).normal(size=(31, D)) + 0.4
NAMED = {"colour": ["red", "blue", "green"], "shape": ["disc", "cross"]}
LABELS = {name: RNG(13).choice(words, 31) for name, words in NAMED.items()}


def caption_study(_: Models) -> Any:
    """Return studies of every captioner, beside shuffled_weights; attribute_evidence and silence_attributes in one."""
    rng, found = RNG(16), []
    kinds = np.stack([LABELS[name] == word for name, words in NAMED.items() for word in words], axis=1).astype(float)
    images = kinds + 0.3 * rng.normal(size=kinds.shape)
    answers = images @ rng.normal(size=(D, 6)) * (np.arange(6) < 4) + 0.4 * rng.normal(size=(31, 6))
    options = {"n_permutations": 19, "n_draws": 30, "n_nulls": 5, "confidence": 0.8, "seed": 2, "q": 0.8}
    said = (
        synthesis.VocabularyCaptioner([f"p{k}" for k in range(4)], rng.normal(size=(4, D))),
        synthesis.AttributeCaptioner(
            {"colour": (NAMED["colour"], np.eye(5)[:3]), "shape": (NAMED["shape"], np.eye(5)[3:])}
        ),
        synthesis.TextCaptioner(lambda rows: ["one" if row[0] > 0.3 else "two" for row in rows]),
    )
    for captioner, more in zip(said, ({}, {"validation_share": 0.4}, {"temperature": 9.0, "bank": BANK}), strict=True):
        made = synthesis.CaptionStudy(
            Ridge(alphas=[1.0, 10.0], device="cpu", dtype="float64"), captioner,
            {name: of[:21] for name, of in LABELS.items()}, [2.0, 9.0, 40.0], **options | more,
        )  # fmt: skip
        parts = (images[:21], answers[:21]), (images[21:], answers[21:])
        found.append(
            made(*parts, {"a": np.array([0, 2, 5]), "b": np.array([4, 1, 3]), "none": np.array([], dtype=int)})
        )
    return found


CASES: dict[str, Callable[[Models], Any]] = {one.__name__: one for one in (schedulers, natural_images, caption_study)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_results_of_fixed_seeds_are_as_they_were(name: str, request: pytest.FixtureRequest) -> None:
    found = CASES[name](request.getfixturevalue)
    assert all(table.index.is_unique for table in tables(found))
    RECORD.check(name, found)
