import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from refusals import refused
from torch import Tensor

from brainalign.synthesis import BrainGuidedPipeline, RegionObjective, SavedEncoders, denoised_views

N_FEATURES, N_TARGETS = 5, 7
IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
NATURAL = np.random.default_rng(1).normal(2, 3, (200, N_FEATURES))


@pytest.fixture
def encoder(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return rng.normal(size=(N_FEATURES, N_TARGETS)), rng.normal(size=N_TARGETS)


def features(images: Tensor) -> Tensor:
    return torch.stack([images.flatten(1).pow(k + 1).mean(1) for k in range(N_FEATURES)], dim=1)


def test_score_is_the_standardised_mean_of_predictions(encoder: tuple[NDArray[np.float64], ...]) -> None:
    coef, intercept = encoder
    predicted, answers = features(IMAGES).numpy() @ coef + intercept, NATURAL @ coef + intercept

    def standard(columns: list[int]) -> NDArray[np.float64]:
        region = answers[:, columns].mean(1)
        return (predicted[:, columns].mean(1) - region.mean()) / region.std()

    plain = RegionObjective(features, coef, intercept, [1, 4])
    np.testing.assert_allclose(plain(IMAGES).numpy(), predicted[:, [1, 4]].mean(1), rtol=1e-5)
    known = plain.standardised(NATURAL)
    np.testing.assert_allclose(known(IMAGES).numpy(), standard([1, 4]), rtol=1e-4)
    np.testing.assert_allclose(known.score(features(IMAGES).numpy()), known(IMAGES).numpy(), rtol=1e-5)
    # The one it was made from still answers in units of responses.
    np.testing.assert_allclose(plain(IMAGES).numpy(), predicted[:, [1, 4]].mean(1), rtol=1e-5)
    by_hand = RegionObjective(features, coef, intercept, [1, 4], mean=known.mean, sd=known.sd)
    np.testing.assert_allclose(by_hand(IMAGES).numpy(), standard([1, 4]), rtol=1e-4)


def test_a_contrast_is_a_difference_and_a_pattern_a_correlation(encoder: tuple[NDArray[np.float64], ...]) -> None:
    coef, intercept = encoder
    answers = NATURAL @ coef + intercept
    first, second = answers[:, [0, 2]].mean(1), answers[:, [5, 6]].mean(1)
    contrast = RegionObjective(features, coef, intercept, [0, 2], minus=[5, 6])
    np.testing.assert_allclose(contrast.score(NATURAL), first - second, rtol=1e-3, atol=1e-4)
    expected = (first - first.mean()) / first.std() - (second - second.mean()) / second.std()
    np.testing.assert_allclose(contrast.standardised(NATURAL).score(NATURAL), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(contrast.score(NATURAL), first - second, rtol=1e-3, atol=1e-4)
    wanted, rows = np.random.default_rng(2).normal(size=4), [0, 3, 4, 6]
    objective = RegionObjective(features, coef, intercept, rows, kind="pattern", pattern=wanted)
    predicted = features(IMAGES).numpy() @ coef[:, rows] + intercept[rows]
    expected = [np.corrcoef(row, wanted)[0, 1] for row in predicted]
    np.testing.assert_allclose(objective(IMAGES).numpy(), expected, rtol=1e-4)
    own = RegionObjective(features, coef, intercept, rows, kind="pattern", pattern=predicted[2])
    assert float(own(IMAGES)[2]) == pytest.approx(1, abs=1e-5)


def test_saved_encoders_are_taken_by_region_and_role() -> None:
    rng, values = np.random.default_rng(3), features(IMAGES).numpy()
    arrays = {f"{role}_coef": rng.normal(size=(N_FEATURES, N_TARGETS)) for role in ("guide", "check")}
    arrays |= {f"{role}_intercept": rng.normal(size=N_TARGETS) for role in ("guide", "check")}
    arrays |= {f"{role}_{of}": rng.uniform(0.5, 2, 3) for role in ("guide", "check") for of in ("mean", "sd")}
    arrays |= {"null_coef": rng.normal(size=(5, N_FEATURES, 3)), "null_intercept": rng.normal(size=(5, 3))}
    arrays |= {"null_mean": rng.normal(size=(5, 3)), "null_sd": rng.uniform(0.5, 2, (5, 3))}
    arrays["null_sd"][4, 1] = 0  # learned nothing
    regions = {"a": [0, 2], "b": [1], "c": [3, 4, 6]}
    saved = SavedEncoders(arrays, regions, {"c": ("c", None), "c - a": ("c", "a")})
    for role in ("guide", "check"):
        coef, intercept, mean, sd = (arrays[f"{role}_{of}"] for of in ("coef", "intercept", "mean", "sd"))
        answers = values @ coef + intercept
        a, c = ((answers[:, regions[name]].mean(axis=1) - mean[k]) / sd[k] for name, k in (("a", 0), ("c", 2)))
        assert list(saved.objectives(role, features)) == ["c", "c - a"]
        both = np.stack([c, c - a], axis=1)
        np.testing.assert_allclose(saved.judge(role, features)(IMAGES), both, rtol=1e-3, atol=1e-4)
    for number, null in enumerate(saved.nulls(features)):
        k = number % 3
        answers = values @ arrays["null_coef"][number][:, k] + arrays["null_intercept"][number, k]
        sd = max(arrays["null_sd"][number, k], 1e-6)
        np.testing.assert_allclose(null(IMAGES), (answers - arrays["null_mean"][number, k]) / sd, rtol=1e-3, atol=1e-4)


def test_the_gradient_reaches_the_images(encoder: tuple[NDArray[np.float64], ...]) -> None:
    coef, intercept = encoder
    images = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    RegionObjective(features, coef, intercept, [3]).forward(images).sum().backward()
    powers = np.arange(1, N_FEATURES + 1)
    expected = (coef[:, 3] * powers * images.detach().numpy()[..., None] ** (powers - 1)).sum(-1) / images.numel()
    np.testing.assert_allclose(images.grad.numpy(), expected, rtol=1e-4)


def test_errors(encoder: tuple[NDArray[np.float64], ...]) -> None:
    coef, intercept = encoder
    for arguments, message in (
        ((coef.T, intercept, [0]), "coef"),
        ((coef, intercept, [N_TARGETS]), "columns"),
        ((coef, intercept, []), "columns"),
        ((coef, intercept, [-1]), "columns"),
        ((coef * np.nan, intercept, [0]), "weights"),
        ((coef, intercept, [0], None, "pattern"), "pattern"),
        ((coef, intercept, [0], None, "pattern", [1.0, 2.0]), "pattern"),
        ((coef, intercept, [0, 1], [2], "pattern", [1.0, 2.0]), "pattern"),
        ((coef, intercept, [0], None, "sum"), "kind"),
    ):
        refused(message, RegionObjective, features, *arguments)
    refused("4 features", RegionObjective(features, coef[:4], intercept, [0]), torch.rand(2, 3, 8, 8))
    refused("same for all", RegionObjective(features, coef, intercept, [0]).standardised, np.ones((5, N_FEATURES)))


def test_views_of_a_perfect_denoiser_are_near_the_images(pipe: BrainGuidedPipeline) -> None:
    """With x0 known, w = √(1 − ā) x + (1 − √(1 − ā)) u: by the schedule, near x at either end."""
    images = torch.full((400, 3, 16, 16), 0.75)
    clean, alphas = pipe.denoiser(1).latents(images[:1]), pipe.scheduler.alphas_cumprod

    class Knows(torch.nn.Module):
        config, dtype, device = pipe.unet.config, torch.float32, torch.device("cpu")

        def forward(self, u: Tensor, t: Tensor) -> object:
            a = alphas[t][:, None, None, None]
            return type("Output", (), {"sample": (a.sqrt() * u - clean) / (1 - a).sqrt()})()

    pipe.unet = Knows()
    views = denoised_views(pipe, images, n_draws=1, seed=0)[0]
    # The mixture's mean over images is a mixture of x and √ā x, and its noise 1 − √(1 − ā) times √(1 − ā).
    a = alphas.double()
    share = (1 - a).sqrt()
    assert float(views.mean()) == pytest.approx(float((share + (1 - share) * a.sqrt()).mean()) * 0.25 + 0.5, abs=0.01)
    error = (views - views.mean((1, 2, 3), keepdim=True)).pow(2).mean((1, 2, 3)).sqrt()
    assert float(error.mean()) == pytest.approx(float(((1 - share) * share / 2).mean()), rel=0.1)
    refused("resize", denoised_views, pipe, torch.rand(2, 3, 32, 32))
    refused("255", denoised_views, pipe, torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    refused("255", denoised_views, pipe, 255 * torch.rand(2, 3, 16, 16))
