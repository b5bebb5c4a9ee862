"""Whole results of fixed seeds as they were: images, steps, directions, words, of small untrained models."""

import itertools
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
from brainalign.synthesis.directions import denoised_at, edited
from brainalign.synthesis.guidance import Denoiser, Guide, Trace, check_scheduler, clamped_images, natural

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


def responses(images: Tensor) -> np.ndarray:
    found = [liked(images), images[:, 2].mean((1, 2)) - images[:, 0].mean((1, 2))]
    return torch.stack(found, dim=1).detach().numpy()


def guided(models: Models) -> Any:
    pipe, found = models("pipe"), []
    common: dict[str, Any] = {"num_images": 2, "return_trace": True, "num_inference_steps": 4}
    for options in (
        {"trust_radius": 0.05, "guidance_scale": 200.0},
        {"recurrence": 2, "n_smooth": 2, "start": 0.25, "stop": 0.75, "guidance_scale": -3.0},
        {"grad_through_unet": False, "trust_radius": float("inf"), "output_type": "np", "guidance_scale": 0.5},
        {"start": 0.5, "latents": drawn(2, 12, 8, 8) - 0.5, "n_smooth": 3},
    ):
        out = pipe(liked, generator=seeds(2), **common | options)
        alone = pipe(liked, generator=seeds(1)[0], **common | options)
        found.append([out.images, out.scores, out.trace, alone.images])
    plain = pipe(num_images=2, generator=seeds(1)[0], num_inference_steps=3, output_type="pil")
    return found, [np.asarray(image) for image in plain.images], plain.scores, plain.trace, pipe.image_size


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


def denoisers(models: Models) -> Any:
    """Return what networks are told and say, of one text encoder and of two."""
    found: list[Any] = []
    one, two = models("latent_pipe"), BrainGuidedPipeline.from_pipe(models("large"))
    embeds = {"prompt_embeds": drawn(1, 8, 8), "negative_prompt_embeds": drawn(2, 8, 8, seed=4)}
    for pipe, several in ((one, [{}, embeds]), (two, [{}])):
        pipe.set_progress_bar_config(disable=True)
        several += [{"prompt": ["cat", "a"]}, {"prompt": "b", "negative_prompt": "dog"}]
        for options, scale in itertools.product(several, (0.0, 3.0)):
            if "negative_prompt" in options and scale < 1:
                continue
            asked = options | {"classifier_free_scale": scale}
            denoiser = pipe.denoiser(2, **asked)
            latents = denoiser.latents(drawn(2, 3, 16, 16))
            views = denoiser.pixels(latents), denoiser.images(latents), clamped_images(denoiser, latents)
            found.append([denoiser.embeds, denoiser.added, denoiser(latents, torch.tensor(300)), *views])
            found.append(pipe(liked, 2, generator=seeds(2), num_inference_steps=2, **asked).images)
    bare = Denoiser(models("plain_pipe")(8).unet, None)
    kept = bare.overflows, Denoiser(one.unet, one.vae).overflows, pipe.image_size
    return found, bare.latents(drawn(1, 3, 8, 8)), bare.images(drawn(1, 3, 8, 8) * 3 - 1), kept


def guide(models: Models) -> Any:
    """Return single steps after check_scores; gradients that overflow in half precision enter in other sizes."""
    pipe, found = models("pipe"), []
    for clip, size, radius in itertools.product((True, False), (1.0, 1e-6), (0.2, 50.0)):
        trace = Trace(True)
        how = Guide(lambda x, size=size: size * liked(x), 800.0, radius, range(9), 2, True, seeds(2), trace)
        config = dict(pipe.scheduler.config) | {"clip_sample": clip}
        u = 3 * drawn(2, 12, 8, 8) - 1
        found.append([how.output(pipe.denoiser(2), u, torch.tensor(400), torch.tensor(0.3), 2, config), trace.table()])
    for first, second in ((10, 1), (40_000, 40), (60_000, 600)):
        start = drawn(2, 3, 4, 4).requires_grad_()
        halves = (start.half() / 50_000 * first * second).float()
        found.append(guidance.steering._scaled_gradient(1e4 * liked(halves), halves, start))
    return found, Trace(False).table()


def searches(models: Models) -> Any:
    pipe, options = models("plain_pipe")(8), {"num_inference_steps": 2}
    return (
        synthesis.best_of(pipe, liked, 2, 7, seed=2, batch_size=3, **options),
        synthesis.evolve(pipe, liked, 3, 11, seed=2, batch_size=2, **options),
        synthesis.evolve(pipe, liked, 1, 2, seed=2, **options),
    )


def study(models: Models) -> Any:
    """Return short studies: few of all conditions, prompts for all images, and images that are kept in part."""
    found, ticks = [], itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guidance.study, "_clock", lambda device: float(next(ticks) ** 1.5))
        judges = synthesis.Judges(
            {"guide": responses, "true": lambda x: responses(x) ** 2}, {"dark": lambda x: 1 - liked(x)}
        )
        objectives = {"b": liked, "a": lambda x: x[:, 2].mean((1, 2)) - x[:, 0].mean((1, 2))}
        for name, nulls, scales, sampling in (
            ("pipe", (), (), {"recurrence": 1, "trust_radius": 0.1, "share_kept": 0.3}),
            ("latent_pipe", [liked], (2.0,), {"prompt": "a", "negative_prompt": "dog", "classifier_free_scale": 3.0}),
        ):
            how = synthesis.Sampling(
                **{"n_images": 3, "n_steps": 2, "batch_size": 2, "seed": 2, "recurrence": 2} | sampling
            )
            said: list[str] = []
            made = synthesis.SynthesisStudy(
                models(name), objectives, judges, drawn(5, 3, 16, 16), how, progress=said.append
            )
            result = made.run(nulls, 2, scales, evolution=bool(nulls))
            found.append([result.images, result.table, result.steps, result.cost, said, how.n_kept])
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


def loaded(models: Models) -> Any:
    """Return what is loaded of a prior in every way, and what learns how fast."""
    folder, found = models("tmp_path") / "prior", []
    models("pipe").save_pretrained(folder)
    for options in ({}, {"recurrence": 2, "save_memory": True}, {"scheduler": "DDPMScheduler", "dtype": "bfloat16"}):
        pipe = synthesis.load_prior(str(folder), **options)
        about = type(pipe.scheduler).__name__, pipe.own_scheduler, str(pipe.unet.dtype), pipe.image_size
        found.append([*about, pipe.unet.is_gradient_checkpointing, bool(pipe.scheduler.config.clip_sample)])
    images = synthesis.load_prior(str(folder))(num_images=2, generator=seeds(2), num_inference_steps=3).images
    return found, images, [[guidance.prior._rate(k, n) for k in range(0, n, n // 9)] for n in (300, 3000, 9)]


def found_directions(models: Models) -> Any:
    """Return sizes of directions, since signs are those of eigenvectors, and images where scores decide on them."""
    pipe = models("plain_pipe")(8)
    recorded = synthesis.record_trajectories(pipe, range(4, 26), batch_size=9, num_inference_steps=3)
    found: list[Any] = [recorded]
    for method, spatial in itertools.product(("pca", "supervised", "ridge", "pullback"), ("full", "mean")):
        given = {"n_directions": 2, "spatial": spatial, "recorded": recorded}
        one = synthesis.semantic_directions(pipe, method, liked, **given)  # type: ignore[arg-type]
        found.append([one.vectors.abs(), one.scale, one.explained, len(one), one.options, one.timesteps])
        if method in ("supervised", "ridge", "pullback"):
            found.append([one.vectors, one.edit(pipe, [1.5, 0.0, -2.0], [3, 4, 5]).images])
    one = synthesis.semantic_directions(pipe, "supervised", liked, n_seeds=21, seed=2, num_inference_steps=2)
    other = synthesis.semantic_directions(
        pipe, "ridge", lambda x: x[:, 1].mean((1, 2)), n_seeds=20, num_inference_steps=2
    )
    own = synthesis.semantic_directions(
        pipe, "ridge", liked, orthogonal_to=other, recorded=synthesis.record_trajectories(
            pipe, range(20), num_inference_steps=2)
    )  # fmt: skip
    both = torch.cat([one.vectors, other.vectors]), torch.tensor([2.0, 5.0]), torch.ones(2), one.timesteps
    chance = synthesis.random_directions(synthesis.Directions(*both), 3, seed=2)
    with torch.no_grad(), edited(pipe, chance.vectors[2][:, None], chance.timesteps, 2):
        moved = pipe(None, num_images=2, generator=seeds(2), num_inference_steps=2).images
    return found, own, synthesis.cosines([own, one, other]), chance, chance.select([2]), moved, chance.edit(
        pipe, 1.0, synthesis.generators([8]), direction=1, num_inference_steps=2).images  # fmt: skip


def jacobians(models: Models) -> Any:
    """Return directions that a few iterations come near."""
    pipe = models("plain_pipe")(8)
    recorded = synthesis.record_trajectories(pipe, range(4, 24), num_inference_steps=3)
    found = [
        synthesis.semantic_directions(pipe, "jacobian", n_directions=n, recorded=recorded, image=image)
        for n, image in ((2, 3), (3, 0))
    ]
    return [[one.vectors.abs(), one.scale, one.explained] for one in found]


def told_directions(models: Models) -> Any:
    """Return directions of networks that are told something: text, and pooled text and sizes besides."""
    found, told = [], {"prompt": "cat", "classifier_free_scale": 2.0, "num_inference_steps": 2}
    for pipe in (models("latent_pipe"), BrainGuidedPipeline.from_pipe(models("large"))):
        pipe.set_progress_bar_config(disable=True)
        recorded = synthesis.record_trajectories(pipe, [5, 3], batch_size=1, **told)
        with torch.no_grad():
            clean = [denoised_at(pipe, recorded, k, [1, 0, 1], recorded.bottleneck[k][[0, 1, 1]]) for k in range(2)]
        found.append([recorded.bottleneck, recorded.latents, recorded.alphas, recorded.images, recorded.inputs, clean])
    return found


def direction_study(models: Models) -> Any:
    judges = synthesis.Judges(
        {"guide": responses, "true": lambda x: 1 - responses(x)}, {"dark": lambda x: 1 - liked(x)}
    )
    objectives = {"b": liked, "a": lambda x: x[:, 2].mean((1, 2))}
    sizes = {"n_seeds": 20, "n_directions": 2, "n_images": 3, "n_controls": 2, "n_control_images": 2, "n_steps": 2}
    found: list[Any] = []
    for methods, some in ((("ridge", "pullback"), "ba"), (("pullback",), "b"), (("jacobian",), "a")):
        said: list[str] = []
        few = {name: objectives[name] for name in some}
        made = synthesis.DirectionStudy(
            models("plain_pipe")(8), few, judges, methods, spatial="mean", alphas=(-1.0, 0.0, 0.5, 2.0), batch_size=7,
            seed=2, progress=said.append, **sizes,
        ).run()  # fmt: skip
        images = made.images if "jacobian" not in methods else made.images[:3]  # the sign is a library's choice
        table = (
            made.table if "jacobian" not in methods else made.table[["method", "region", "direction", "alpha", "image"]]
        )
        found.append([images, table, made.cosines, said, list(map(list, made.directions))])
    return found


D = 5
BANK = RNG(11).normal(size=(31, D)) + 0.4
WEIGHTS = RNG(12).normal(size=(D, 6))
NAMED = {"colour": ["red", "blue", "green"], "shape": ["disc", "cross"]}
LABELS = {name: RNG(13).choice(words, 31) for name, words in NAMED.items()}


def words(_: Models) -> Any:
    """Return captions by phrases, attributes and functions, and their scores."""
    rng, phrases = RNG(14), RNG(18).normal(size=(4, D))
    origin = (BANK / np.linalg.norm(BANK, axis=1, keepdims=True)).mean(axis=0)
    said = [synthesis.VocabularyCaptioner(list("abcd"), phrases, at) for at in (None, origin)]
    values = {name: (words, rng.normal(size=(len(words), D))) for name, words in NAMED.items()}
    attributes = [synthesis.AttributeCaptioner(values, at) for at in (None, origin)]
    asked = np.concatenate([synthesis.project_to_bank(WEIGHTS, BANK, 4.0, True), np.zeros((1, D))])
    writes = lambda rows: [f"w{int(3 * abs(row[0])) % 2} word" for row in rows]  # noqa: E731
    embeds = lambda texts: np.array([[len(text) + k for k in range(D)] for text in texts])  # noqa: E731
    texts = [synthesis.TextCaptioner(writes, embed) for embed in (None, embeds)]
    captions = [synthesis.caption_targets(asked, each) for each in (*said, *attributes, *texts)]
    images, measured = rng.normal(size=(12, D)), rng.normal(size=(12, 7))
    measured[:, 2] = 1.0
    scored = [synthesis.caption_scores(each, images, measured, 9, 2) for each in captions]
    curve = synthesis.temperature_curve(WEIGHTS, BANK, said[0], images, measured[:, :6], (0.0, 2.0, 50.0, np.inf))
    regions = {"V1": np.array([0, 3, 4]), "none": np.array([], dtype=int)}
    return captions, scored, curve, synthesis.noun_shares(captions[4].texts.tolist(), regions, ["word", "W1", "w"])


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


def written(models: Models) -> Any:
    """Return what a language model writes of points before it has learned much, and what its mapping has learned."""
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers import models as kinds
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    vocabulary = {word: k for k, word in enumerate(["<end>", "a", "red", "blue", "disc", "cross"])}
    tokenizer = Tokenizer(kinds.WordLevel(vocabulary, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast, found = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>"), []
    points, texts = (
        RNG(17).normal(size=(9, D)),
        [f"a {c}{s}" for c in ("red", "blue", "red") for s in (" disc", " cross", "")],
    )
    for trains in (True, False):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            model = GPT2LMHeadModel(GPT2Config(vocab_size=6, n_positions=16, n_embd=8, n_layer=1, n_head=2))
        next(model.parameters()).requires_grad_(False)
        captioner = synthesis.train_prefix_captioner(
            points, texts, model, fast, n_prefix=2, n_steps=12, batch_size=4, learning_rate=0.02, seed=2,
            train_language_model=trains,
        )  # fmt: skip
        captioner.max_tokens = 4
        weights = [weight.requires_grad for weight in model.parameters()]
        found.append(
            [list(captioner.mapping.parameters()), model.lm_head.weight, captioner(np.tile(points, (8, 1))), weights]
        )
        folder = models("tmp_path") / str(trains)
        folder.mkdir()
        captioner.save(folder)
        loaded = synthesis.PrefixCaptioner.from_folder(folder, 3)
        found.append([loaded(points), loaded.max_tokens, len(loaded.mapping)])
    return found


CASES: dict[str, Callable[[Models], Any]] = {
    one.__name__: one
    for one in (
        guided, schedulers, denoisers, guide, searches, study, natural_images, loaded,
        found_directions, jacobians, told_directions, direction_study, words, caption_study, written,
    )
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_results_of_fixed_seeds_are_as_they_were(name: str, request: pytest.FixtureRequest) -> None:
    found = CASES[name](request.getfixturevalue)
    assert all(table.index.is_unique for table in tables(found))
    RECORD.check(name, found, tolerance=3e-2 if name == "jacobians" else 1e-4)
