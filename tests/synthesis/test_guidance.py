import copy
from math import sqrt
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from refusals import refused
from torch import Tensor, nn

from brainalign.synthesis import BrainGuidedPipeline, RegionObjective, SavedEncoders, denoised_views
from brainalign.synthesis.guidance import previous_signal, signal_shares

WEIGHTS = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(9)) / 10


def seeds(n: int, first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + k) for k in range(n)]


def linear(images: Tensor) -> Tensor:
    return (images * WEIGHTS.to(images)).sum((1, 2, 3))


def clean_and_noise(output: Tensor, noisy: Tensor, alpha: float, predicted: str) -> tuple[Tensor, Tensor]:
    """By the definition u = √ā x0 + √(1 − ā) e, for each thing that a network may predict."""
    signal, noise = sqrt(alpha), sqrt(1 - alpha)
    if predicted == "epsilon":
        return (noisy - noise * output) / signal, output
    if predicted == "v_prediction":
        return signal * noisy - noise * output, signal * output + noise * noisy
    return output, (noisy - signal * output) / noise


def alpha_bar(scheduler: Any, index: int) -> float:
    return float(signal_shares(scheduler)[index])


def curved(images: Tensor) -> Tensor:
    return torch.tanh((images * WEIGHTS.to(images)).sum((1, 2, 3))) + images[:, 0].mean((1, 2)) ** 2


def steps_of(pipe: BrainGuidedPipeline, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[tuple[Tensor, ...]]:
    """Run the pipeline and return what the scheduler was given at each step: output, timestep, sample."""
    seen: list[tuple[Tensor, ...]] = []
    step = pipe.scheduler.step

    def recorded(output: Tensor, t: Tensor, z: Tensor, generator: Any = None) -> Any:
        seen.append((output.clone(), t, z.clone()))
        return step(output, t, z)

    monkeypatch.setattr(pipe.scheduler, "step", recorded)
    pipe(**options)
    return seen


@pytest.mark.parametrize("objective", [None, linear])
def test_without_guidance_it_is_ddim_bit_for_bit(pipe: BrainGuidedPipeline, objective: Any) -> None:
    images = pipe(objective, guidance_scale=0, num_images=3, num_inference_steps=6, generator=seeds(3)).images
    plain = BrainGuidedPipeline(pipe.unet, pipe.scheduler)  # DDIM's own shows the network's channels as they are
    theirs = diffusers.DDIMPipeline(pipe.unet, pipe.scheduler)
    expected = theirs(3, generator=seeds(3), num_inference_steps=6, output_type="pt").images
    assert torch.equal(plain(num_images=3, num_inference_steps=6, generator=seeds(3)).images, expected)
    assert torch.equal(images, nn.functional.pixel_shuffle(expected, 2))


@pytest.mark.parametrize("scale", [0.0, 5.0])
def test_without_guidance_it_is_stable_diffusion_bit_for_bit(latent_pipe: BrainGuidedPipeline, scale: float) -> None:
    parts = {name: part for name, part in latent_pipe.components.items() if part is not None}
    parts |= {"scheduler": copy.deepcopy(latent_pipe.scheduler), "safety_checker": None, "feature_extractor": None}
    theirs = diffusers.StableDiffusionPipeline(**parts, requires_safety_checker=False)
    common: dict[str, Any] = {"num_inference_steps": 4, "output_type": "pt"}
    embeds, negative = (torch.randn(2, 8, 8, generator=g) for g in seeds(2))
    for given in ({"prompt": ["a cat", "b"]}, {"prompt_embeds": embeds, "negative_prompt_embeds": negative}):
        expected = theirs(guidance_scale=scale, generator=seeds(2), **given, **common).images
        ours = latent_pipe(num_images=2, classifier_free_scale=scale, generator=seeds(2), **given, **common).images
        assert torch.equal(ours, expected)


@pytest.mark.parametrize("predicted", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("through", [True, False])
def test_the_gradient_is_that_of_differences(pipe, monkeypatch, through: bool, predicted: str) -> None:
    """Luo et al. (2023): e' = e − √(1 − ā) scale g, in units of the noise."""
    pipe.to(torch.float64)
    options: dict[str, Any] = {"num_inference_steps": 5, "trust_radius": float("inf"), "grad_through_unet": through}
    pipe.scheduler.register_to_config(clip_sample=False, prediction_type=predicted)
    start = 0.03 * torch.randn(1, 12, 8, 8, generator=seeds(1)[0], dtype=torch.float64)
    # Faint, so that no pixel is clamped, which gradients pass and differences do not; else the objective is linear.
    options["latents"], objective = start, curved if predicted == "v_prediction" else linear
    found = steps_of(pipe, monkeypatch, objective=objective, guidance_scale=1e-3, generator=seeds(1), **options)
    output, t, z = found[2]
    alpha = alpha_bar(pipe.scheduler, 2)

    def score(u: Tensor) -> float:
        with torch.no_grad():
            clean, _ = clean_and_noise(pipe.denoiser(1)(u if through else z, t), u, alpha, predicted)
            share = sqrt(1 - alpha)
            pixels = nn.functional.pixel_shuffle(share * clean + (1 - share) * u, 2)
            assert objective is linear or float(pixels.abs().max()) < 1
            return float(objective(pixels / 2 + 0.5))

    plain, steered = (clean_and_noise(o, z, alpha, predicted)[1] for o in (pipe.denoiser(1)(z, t), output))
    found = (plain - steered) / sqrt(1 - alpha) / 1e-3
    assert float(found.abs().max()) > 1e-3
    for place in [(0, 0, 0, 0), (0, 5, 3, 4), (0, 11, 7, 7)]:
        shift = torch.zeros_like(z)
        shift[place] = 1e-5
        assert float(found[place]) == pytest.approx((score(z + shift) - score(z - shift)) / 2e-5, rel=1e-5, abs=1e-8)


def test_guidance_raises_the_objective_and_scores_are_those_of_the_images(pipe: BrainGuidedPipeline) -> None:
    plain = pipe(num_images=8, generator=seeds(8), num_inference_steps=10)
    assert plain.scores is None
    for options in ({}, {"recurrence": 2}, {"n_smooth": 3}, {"grad_through_unet": False}):
        guided = pipe(linear, num_images=8, generator=seeds(8), num_inference_steps=10, **options)
        torch.testing.assert_close(guided.scores, linear(guided.images))
        assert (guided.scores > linear(plain.images)).all(), options
        lowered = pipe(linear, 8, guidance_scale=-10, generator=seeds(8), num_inference_steps=10, **options)
        assert (lowered.scores < linear(plain.images)).all(), options


@pytest.mark.parametrize("options", [{}, {"recurrence": 2, "n_smooth": 2}])
def test_an_image_does_not_depend_on_its_batch(pipe: BrainGuidedPipeline, options: dict[str, int]) -> None:
    batch = pipe(curved, num_images=8, num_inference_steps=6, generator=seeds(8), **options).images
    for k in (0, 3, 7):
        alone = pipe(curved, num_inference_steps=6, generator=seeds(1, first=k), **options).images
        torch.testing.assert_close(alone, batch[k : k + 1], rtol=0, atol=1e-4)


def linear_schedule(kind: Any, **options: Any) -> Any:
    settings = {"beta_schedule": "scaled_linear", "prediction_type": "v_prediction", "timestep_spacing": "leading"}
    if kind in (diffusers.DDIMScheduler, diffusers.DDPMScheduler):
        options["clip_sample"] = False
    return kind(beta_start=0.00085, beta_end=0.012, **settings, **options)


@pytest.mark.parametrize("guided", [False, True])
def test_ddim_is_euler_on_one_grid(pipe: BrainGuidedPipeline, guided: bool) -> None:
    pipe.to(torch.float64)
    objective = curved if guided else None
    found, start = [], torch.randn(2, 12, 8, 8, generator=seeds(1)[0], dtype=torch.float64)
    for kind in (diffusers.DDIMScheduler, diffusers.EulerDiscreteScheduler):
        pipe.scheduler = linear_schedule(kind)
        if kind is diffusers.EulerDiscreteScheduler:  # starts at x + sigma noise: √(1 + sigma²) times DDIM's noise
            pipe.scheduler.set_timesteps(10)
            assert float(pipe.scheduler.init_noise_sigma) == pytest.approx(
                sqrt(1 + float(pipe.scheduler.sigmas[0]) ** 2)
            )
        found.append(pipe(objective, 2, latents=start, num_inference_steps=10).images)
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-4)


def test_noise_may_begin_without_any_signal(pipe: BrainGuidedPipeline) -> None:
    options = {"prediction_type": "v_prediction", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True}
    pipe.scheduler = diffusers.DDIMScheduler(clip_sample=False, **options)
    found, plain = (pipe(objective, generator=seeds(1), num_inference_steps=4) for objective in (linear, None))
    assert found.images.isfinite().all()
    assert linear(found.images) > linear(plain.images)


def test_start_stop_and_recurrence_choose_the_steps(pipe: BrainGuidedPipeline) -> None:
    options: dict[str, Any] = {"num_inference_steps": 10, "start": 0.2, "stop": 0.5, "recurrence": 3}
    guided = pipe(linear, generator=seeds(1), return_trace=True, **options)
    assert guided.trace["step"].tolist() == [2, 2, 2, 3, 3, 3, 4, 4, 4]
    times: list[int] = []
    pipe.unet.register_forward_pre_hook(lambda _, given: times.append(int(given[1])))
    pipe(linear, generator=seeds(1), **options)
    assert times == [900, 800, *[700] * 3, *[600] * 3, *[500] * 3, 400, 300, 200, 100, 0]
    times.clear()
    pipe(num_inference_steps=4, recurrence=2)
    assert times == [750, 750, 500, 500, 250, 250, 0]


@pytest.mark.parametrize("kind", [diffusers.DDIMScheduler, diffusers.DDPMScheduler])
def test_a_repeated_step_starts_from_its_own_noise_level(kind: Any) -> None:
    scheduler = linear_schedule(kind)
    scheduler.set_timesteps(10)
    assert float(previous_signal(scheduler, int(scheduler.timesteps[4]))) == pytest.approx(alpha_bar(scheduler, 5))


def test_recurrence_adds_just_that_noise(pipe: BrainGuidedPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, draws = steps_of(pipe, monkeypatch, num_inference_steps=4, recurrence=2, generator=seeds(1)), seeds(1)[0]
    first, fresh = (torch.randn(1, 12, 8, 8, generator=draws) for _ in range(2))
    torch.testing.assert_close(seen[0][2], first)
    kept = alpha_bar(pipe.scheduler, 0) / alpha_bar(pipe.scheduler, 1)
    stepped = diffusers.DDIMScheduler.from_config(pipe.scheduler.config)
    stepped.set_timesteps(4)
    reached = stepped.step(seen[0][0], seen[0][1], first).prev_sample
    torch.testing.assert_close(seen[1][2], sqrt(kept) * reached + sqrt(1 - kept) * fresh, rtol=1e-4, atol=1e-5)


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

    plain = RegionObjective(features, coef, intercept, np.isin(np.arange(coef.shape[1]), [1, 4]))
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
        ((coef.T, intercept, [0]), "coef"), ((coef, intercept, [N_TARGETS]), "columns"),
        ((coef, intercept, []), "columns"), ((coef, intercept, [-1]), "columns"),
        ((coef * np.nan, intercept, [0]), "weights"), ((coef, intercept, [0], None, "pattern"), "pattern"),
        ((coef, intercept, [0], None, "pattern", [1.0, 2.0]), "pattern"),
        ((coef, intercept, [0, 1], [2], "pattern", [1.0, 2.0]), "pattern"),
        ((coef, intercept, [0], None, "sum"), "kind"),
    ):  # fmt: skip
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
