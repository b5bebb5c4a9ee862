import copy
import itertools
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import diffusers
import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from refusals import refused
from synthesis.conftest import PLAIN, SCALED, SIZES
from torch import Tensor

from brainalign import synthesis
from brainalign.checks import BrainalignError
from brainalign.synthesis import BrainGuidedPipeline, PixelShuffleCodec, denoised_views, load_prior, record_trajectories
from brainalign.synthesis.directions import denoised_at
from brainalign.synthesis.guidance import Guide, Trace, prior, score_gradient, train_prior

SHORT: dict[str, Any] = {"num_images": 2, "num_inference_steps": 3}
F32, F16, B16 = torch.float32, torch.float16, torch.bfloat16
seeds = partial(synthesis.generators, range(2))


def redness(images: Tensor) -> Tensor:
    return 10 * (images[:, 0] - images[:, 1:].mean(1)).mean((1, 2))


def test_what_is_saved_is_what_is_loaded(pipe: BrainGuidedPipeline, tmp_path: Path) -> None:
    expected = pipe(redness, generator=seeds(), **SHORT)
    pipe.save_pretrained(tmp_path / "prior")
    index = json.loads((tmp_path / "prior" / "model_index.json").read_text())
    assert index["vae"] == ["brainalign.synthesis.guidance.codec", "PixelShuffleCodec"]
    loaded = BrainGuidedPipeline.from_pretrained(tmp_path / "prior")
    assert isinstance(loaded.vae, PixelShuffleCodec)
    assert loaded.scheduler.config.prediction_type == "v_prediction"
    found = loaded(redness, generator=seeds(), **SHORT)
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.scores, expected.scores)
    assert loaded.image_size == 16


def test_pickled_weights_are_read_where_trusted_and_half_precision_becomes_single(pipe, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path, safe_serialization=False)
    refused("trust_pickle", BrainGuidedPipeline.from_pretrained, tmp_path)
    loaded = BrainGuidedPipeline.from_pretrained(tmp_path, trust_pickle=True)
    assert torch.equal(loaded.unet.conv_in.weight, pipe.unet.conv_in.weight)
    pipe.to(torch.float16).save_pretrained(tmp_path / "half")
    loaded = BrainGuidedPipeline.from_pretrained(tmp_path / "half")
    assert ({weight.dtype for weight in loaded.unet.parameters()}, loaded.vae.dtype) == ({torch.float32}, torch.float32)
    assert loaded(redness, generator=seeds(), **SHORT).scores.isfinite().all()


@pytest.mark.parametrize("place", ["/nowhere/at/all", "./nowhere", "a/b/c"])
def test_a_folder_that_is_not_there(place: str, tmp_path: Path) -> None:
    refused("no folder", BrainGuidedPipeline.from_pretrained, place)
    refused("model_index", BrainGuidedPipeline.from_pretrained, tmp_path)


def test_stable_diffusion_is_loaded_without_its_checker_and_guided(stable_diffusion: Path, monkeypatch) -> None:
    needless = AssertionError("a folder is read without the network")
    monkeypatch.setattr("socket.socket.connect", Mock(side_effect=needless))
    pipe = BrainGuidedPipeline.from_pretrained(stable_diffusion)
    parts = {name for name, part in pipe.components.items() if part is not None}
    assert (parts, pipe.image_size) == ({"unet", "scheduler", "vae", "text_encoder", "tokenizer"}, 16)
    for options in ({}, {"prompt": "cat"}, {"prompt": ["cat", "b"], "classifier_free_scale": 3.0}):
        plain = pipe(generator=seeds(), **SHORT, **options).images
        guided = pipe(redness, generator=seeds(), guidance_scale=50, trust_radius=0.5, **SHORT, **options)
        assert (guided.scores > redness(plain)).all(), options
    assert not torch.equal(*[pipe(generator=seeds(), prompt=text, **SHORT).images for text in ("cat", "dog")])


def test_models_are_left_as_they_were(pipe: BrainGuidedPipeline) -> None:
    pipe.unet.train()
    before = {name: weight.clone() for name, weight in pipe.unet.state_dict().items()}
    wanted = [weight.requires_grad for weight in pipe.unet.parameters()]
    pipe(redness, **SHORT)

    def failing(error: type[BaseException] | None) -> Any:
        calls = itertools.count(1)

        def objective(images: Tensor) -> Tensor:
            if next(calls) < 3:
                return redness(images)
            if error:
                raise error
            return redness(images) / 0

        return objective

    for raised, error in ((None, BrainalignError), (ZeroDivisionError, ZeroDivisionError), (KeyboardInterrupt,) * 2):
        with pytest.raises(error):
            pipe(failing(raised), **SHORT)
    assert pipe.unet.training
    assert all(torch.equal(weight, before[name]) for name, weight in pipe.unet.state_dict().items())
    assert [weight.requires_grad for weight in pipe.unet.parameters()] == wanted
    assert all(weight.grad is None for weight in pipe.unet.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in pipe.unet.modules())
    assert torch.is_grad_enabled()


def test_errors_of_the_scheduler(pipe: BrainGuidedPipeline, latent_pipe: BrainGuidedPipeline) -> None:
    ours = pipe.scheduler
    for other in (diffusers.FlowMatchEulerDiscreteScheduler(), diffusers.LCMScheduler()):
        pipe.scheduler = other
        refused(r"DDIMScheduler.*EulerDiscreteScheduler", pipe, redness, **SHORT)
    pipe.scheduler = diffusers.EulerDiscreteScheduler.from_config(ours.config, timestep_spacing="trailing")
    refused("leading", pipe, redness, **SHORT)
    for kind in (diffusers.HeunDiscreteScheduler, diffusers.EulerAncestralDiscreteScheduler):
        pipe.scheduler = kind(prediction_type="sample")
        refused("cannot step with predictions of the sample", pipe, redness, **SHORT)
    pipe.scheduler = diffusers.DPMSolverMultistepScheduler(beta_schedule="squaredcos_cap_v2", use_karras_sigmas=True)
    assert pipe(num_images=1, num_inference_steps=20).images.isfinite().all()  # its first steps have one time
    refused("recurrence", pipe, redness, recurrence=2, **SHORT)
    latent_pipe.scheduler = diffusers.DDIMScheduler(clip_sample=True)
    refused("clip_sample=False", latent_pipe, **SHORT)


def test_errors_of_the_objective_come_before_sampling(pipe: BrainGuidedPipeline) -> None:
    calls: list[int] = []
    pipe.unet.register_forward_hook(lambda *_: calls.append(0))
    mixing, grey = torch.nn.Linear(3 * 8 * 8, 1), torch.nn.Conv2d(1, 1, 3)
    for objective, message in (
        (lambda x: redness(x) * float("nan"), "NaN"), (lambda x: redness(x) / 0, "infinite"),
        (lambda x: redness(x.detach()), "not differentiable"), (lambda x: redness(x).mean(), "one score per image"),
        (lambda x: redness(x)[:, None], "one score per image"), (lambda x: redness(x).tolist(), "one score per image"),
        (lambda x: mixing(x.flatten(1))[:, 0], r"\(2, 3, 16, 16\)"),
        (lambda x: grey(x).mean((1, 2, 3)), r"\(2, 3, 16, 16\)"),
    ):  # fmt: skip
        refused(message, pipe, objective, start=0.5, **SHORT)
    assert not calls


def test_errors_of_gradients(pipe: BrainGuidedPipeline) -> None:
    with torch.inference_mode():
        pipe(**SHORT)
        refused("inference_mode", pipe, redness, **SHORT)
    with torch.no_grad():
        assert pipe(redness, **SHORT).scores.isfinite().all()


@pytest.mark.parametrize(("options", "message"), [
    ({"num_images": 0}, "num_images"), ({"recurrence": 0}, "recurrence"), ({"n_smooth": 0}, "n_smooth"),
    ({"start": 0.8, "stop": 0.2}, "start and stop"), ({"trust_radius": 0.0}, "trust_radius"),
    ({"generator": [torch.Generator()] * 3}, "generator each"),
    ({"latents": torch.zeros(2, 3, 8, 8)}, r"\(2, 12, 8, 8\)"), ({"prompt": "a cat"}, "reads no prompt"),
    ({"classifier_free_scale": 2.0}, "reads no prompt"), ({"output_type": "jpg"}, "output_type"),
])  # fmt: skip
def test_errors_of_arguments(pipe: BrainGuidedPipeline, options: dict[str, Any], message: str) -> None:
    refused(message, pipe, redness, **SHORT | options)


def test_errors_of_prompts(latent_pipe: BrainGuidedPipeline) -> None:
    refused(r"n_tokens, 8\)", latent_pipe, prompt_embeds=torch.zeros(3, 8, 8), **SHORT)
    refused("not both", latent_pipe, prompt="a", prompt_embeds=torch.zeros(1, 8, 8), **SHORT)
    silent = BrainGuidedPipeline(latent_pipe.unet, latent_pipe.scheduler, latent_pipe.vae)
    refused("prompt_embeds", silent, **SHORT)
    embeds = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
    found, expected = (one(prompt_embeds=embeds, generator=seeds(), **SHORT).images for one in (silent, latent_pipe))
    assert torch.equal(found, expected)


def gradient(pipe: BrainGuidedPipeline, of: Any = redness, step: float = 1.0) -> Tensor:
    """Return what one step's guidance adds to the estimate, of the same noise in whatever precision."""
    pipe.scheduler.set_timesteps(4)
    u = torch.randn((2, pipe.unet.config.in_channels, 8, 8), generator=torch.Generator().manual_seed(3))
    t, share = pipe.scheduler.timesteps[1], pipe.scheduler.alphas_cumprod[pipe.scheduler.timesteps[1]]
    outputs = []
    for scale in (step, 0.0):
        guide = Guide(of, scale, float("inf"), range(4), 1, True, None, Trace(False))
        outputs.append(guide.output(pipe.denoiser(2), u, t, share, 1, pipe.scheduler.config))
    return outputs[0] - outputs[1]


@pytest.mark.parametrize("size", [1.0, 1e-7])
@pytest.mark.parametrize(("unet", "vae"), [(F16, F32), (F16, F16), (B16, F32), (B16, B16), (F32, F16)])
def test_half_precision_guides_as_single_does(latent_pipe, unet: Any, vae: Any, size: float) -> None:
    """Also where the objective's gradient is smaller than the smallest number of float16."""
    expected = gradient(latent_pipe)
    latent_pipe.unet.to(unet)
    latent_pipe.vae.to(vae)
    found = gradient(latent_pipe, lambda images: size * redness(images), 1 / size)
    alike = torch.nn.functional.cosine_similarity(found.flatten(1), expected.flatten(1))
    assert (found.dtype, float(alike.min()) > 0.97) == (torch.float32, True)
    assert float(found.norm() / expected.norm()) == pytest.approx(1, abs=0.1)


def test_a_gradient_that_overflows_for_one_image_enters_smaller() -> None:
    start, size = torch.full((2, 3, 4, 4), 0.05).requires_grad_(), torch.tensor([1.0, 4e4])[:, None, None, None]
    images = (start.half() * size.half() * 2).float()
    found = score_gradient(type("Half", (), {"overflows": True}), images.sum((1, 2, 3)), images, start)
    torch.testing.assert_close(found, (2 * size).expand_as(start))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_samples(latent_pipe: BrainGuidedPipeline, dtype: torch.dtype) -> None:
    options = SHORT | {"prompt": "cat", "classifier_free_scale": 3.0, "recurrence": 2}
    single = latent_pipe(generator=seeds(), **options).images
    latent_pipe.to(dtype)
    plain = latent_pipe(generator=seeds(), **options).images
    torch.testing.assert_close(plain, single, rtol=0, atol=0.06)
    guided = latent_pipe(redness, generator=seeds(), guidance_scale=50, trust_radius=0.5, **options)
    assert (guided.scores > redness(plain.float())).all()


def kept_bytes(pipe: BrainGuidedPipeline) -> int:
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    known = {weight.untyped_storage().data_ptr() for part in (pipe.unet, pipe.vae) for weight in part.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        gradient(pipe)
    return sum(size for place, size in kept.items() if place not in known)


def test_saving_memory_keeps_less_and_gives_the_same_gradient(latent_pipe: BrainGuidedPipeline) -> None:
    expected, whole = gradient(latent_pipe), kept_bytes(latent_pipe)
    latent_pipe.unet.enable_gradient_checkpointing()
    network = kept_bytes(latent_pipe)
    latent_pipe.save_memory()
    assert kept_bytes(latent_pipe) < network < whole
    torch.testing.assert_close(gradient(latent_pipe), expected, rtol=0, atol=1e-5)


def test_a_scheduler_that_remembers_gives_way_where_steps_are_repeated(stable_diffusion: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sd15"
    shutil.copytree(stable_diffusion, folder)
    diffusers.PNDMScheduler(**SCALED, skip_prk_steps=True, steps_offset=1).save_pretrained(folder / "scheduler")
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "PNDMScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))
    once, thrice = (load_prior(str(folder), recurrence=times) for times in (1, 3))
    assert type(once.scheduler).__name__ == once.own_scheduler == "PNDMScheduler"
    assert (type(thrice.scheduler).__name__, thrice.own_scheduler) == ("DDIMScheduler", "PNDMScheduler")
    assert torch.equal(thrice.scheduler.alphas_cumprod, once.scheduler.alphas_cumprod)
    assert not thrice.scheduler.config.clip_sample
    chosen = load_prior(str(folder), scheduler="EulerDiscreteScheduler", dtype="float16")
    # Stable Diffusion's autoencoder says that it overflows in float16.
    assert (type(chosen.scheduler).__name__[:13], chosen.unet.dtype, chosen.vae.dtype) == ("EulerDiscrete", F16, F32)
    assert not load_prior(str(stable_diffusion), scheduler="PNDMScheduler").scheduler.config.skip_prk_steps
    refused("recurrence", load_prior, str(folder), recurrence=3, scheduler="PNDMScheduler")
    refused("scheduler", load_prior, str(folder), scheduler="LCMScheduler")


def test_a_negative_prompt_is_led_away_from(latent_pipe: BrainGuidedPipeline) -> None:
    options = SHORT | {"prompt": "cat", "classifier_free_scale": 3.0}
    plain = latent_pipe(generator=seeds(), **options).images
    away = latent_pipe(generator=seeds(), negative_prompt="dog", **options).images
    assert not torch.equal(plain, away)
    assert torch.equal(latent_pipe(generator=seeds(), negative_prompt="", **options).images, plain)
    parts = {name: part for name, part in latent_pipe.components.items() if part is not None}
    unchecked = dict.fromkeys(("safety_checker", "feature_extractor")) | {"requires_safety_checker": False}
    theirs = diffusers.StableDiffusionPipeline(**parts, **unchecked)
    expected = theirs(["cat"] * 2, negative_prompt=["dog"] * 2, guidance_scale=3.0, num_inference_steps=3,
                      generator=seeds(), output_type="pt").images  # fmt: skip
    torch.testing.assert_close(away, expected, rtol=0, atol=1e-5)
    refused("classifier_free_scale", latent_pipe, negative_prompt="dog", **SHORT)


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("away", [None, ["dog", "b"]])
def test_two_text_encoders_are_read_as_diffusers_reads_them(large, zeros: bool, away: list[str] | None) -> None:
    large.register_to_config(force_zeros_for_empty_prompt=zeros)
    ours = BrainGuidedPipeline.from_pipe(large)
    words = ["cat", "a"]
    denoiser = ours.denoiser(2, words, classifier_free_scale=3.0, negative_prompt=away)
    told, empty, pooled, pooled_empty = large.encode_prompt(words, negative_prompt=away)
    # They embed the empty text once for each image: in a batch of another size sums are rounded in another way.
    torch.testing.assert_close(denoiser.embeds, torch.cat([empty, told]), rtol=0, atol=1e-6)
    torch.testing.assert_close(denoiser.added["text_embeds"], torch.cat([pooled_empty, pooled]), rtol=0, atol=1e-6)
    assert denoiser.added["time_ids"].tolist() == [[16, 16, 0, 0, 16, 16]] * 4
    for scale in (3.0, 0.0):
        mine = ours(generator=seeds(), prompt=words, classifier_free_scale=scale,
                    negative_prompt=away if scale else None, **SHORT).images  # fmt: skip
        expected = large(words, negative_prompt=away if scale else None, guidance_scale=scale, num_inference_steps=3,
                         generator=seeds(), output_type="pt").images  # fmt: skip
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-5)


def test_stable_diffusion_xl_is_loaded_and_guided(large: diffusers.StableDiffusionXLPipeline, tmp_path: Path) -> None:
    large.save_pretrained(tmp_path)
    pipe = load_prior(str(tmp_path), recurrence=2, dtype="bfloat16")
    assert pipe.unet.dtype == pipe.text_encoder_2.dtype == torch.bfloat16
    pipe, images = load_prior(str(tmp_path), recurrence=2), []
    for options in ({}, {"prompt": "cat"}, {"prompt": "dog", "classifier_free_scale": 3.0, "negative_prompt": "a"}):
        plain = pipe(generator=seeds(), **SHORT, **options).images
        guided = pipe(redness, generator=seeds(), guidance_scale=50, trust_radius=0.5, **SHORT, **options)
        assert (guided.scores > redness(plain)).all(), options
        images.append(plain)
    assert not any(torch.equal(images[k], images[k - 1]) for k in range(3))
    pipe.save_pretrained(tmp_path / "again")
    again = BrainGuidedPipeline.from_pretrained(tmp_path / "again")
    assert torch.equal(again(generator=seeds(), prompt="cat", **SHORT).images, images[1])


def test_directions_are_told_what_stable_diffusion_xl_was(large: diffusers.StableDiffusionXLPipeline) -> None:
    pipe = BrainGuidedPipeline.from_pipe(large)
    recorded = record_trajectories(pipe, [0, 1], prompt="cat", classifier_free_scale=3.0, num_inference_steps=2)
    with torch.no_grad():
        estimate = denoised_at(pipe, recorded, 1, [0, 1], recorded.bottleneck[1])
        u, share = recorded.latents[1], recorded.alphas[1]
        noise = pipe.denoiser(2, "cat")(u, torch.tensor(recorded.timesteps[1]))
    torch.testing.assert_close(estimate, (u - (1 - share) ** 0.5 * noise) / share**0.5, rtol=0, atol=1e-4)


def test_errors_of_two_text_encoders(large: diffusers.StableDiffusionXLPipeline) -> None:
    pipe = BrainGuidedPipeline.from_pipe(large)
    refused("pooled", pipe, prompt_embeds=torch.zeros(1, 8, 20), **SHORT)
    refiner = copy.copy(pipe.unet.config)
    pipe.unet.register_to_config(addition_time_embed_dim=5)
    refused("refiner", pipe, prompt="cat", **SHORT)
    pipe.unet.register_to_config(**refiner | {"addition_embed_type": "image"})
    refused("'image' besides", pipe, prompt="cat", **SHORT)
    pipe.unet.register_to_config(**refiner)
    pipe.text_encoder_2 = None
    refused("text_encoder_2", pipe, prompt="cat", **SHORT)


@pytest.mark.parametrize("at_once", [1, 3])
def test_how_many_images_go_at_once_changes_no_view(latent_pipe: BrainGuidedPipeline, at_once: int) -> None:
    images = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = denoised_views(latent_pipe, images, 2, seed=4)
    torch.testing.assert_close(denoised_views(latent_pipe, images, 2, seed=4, at_once=at_once), expected)


UNET = SIZES | PLAIN
N_STEPS, N_BATCH = 102, 5


def test_training_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prior, "UNET", UNET)
    monkeypatch.setattr(prior, "BATCH", N_BATCH)
    images, heard = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8), []
    refused("uint8.*got float64 of shape", train_prior, images / 255)
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
    refused(r"images \(n, size, size, 3\) of bytes .* multiple of 4", train_prior, np.zeros(shape, dtype=np.uint8))
