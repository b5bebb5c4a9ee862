import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDPMScheduler
from refusals import refused
from scipy.stats import t
from torch import Tensor

from brainalign.config import SynthesizeSettings
from brainalign.pipelines.synthesize.synthesize import archive_of, sampling_of
from brainalign.synthesis import BrainGuidedPipeline, Judges, Sampling, SynthesisStudy, best_of, evolve, synthesis_gains
from brainalign.synthesis.guidance.baselines import _best
from brainalign.synthesis.guidance.study import _match

WANTED = torch.randn(12, 8, 8, generator=torch.Generator().manual_seed(3))


class Shows(BrainGuidedPipeline):
    """A sampler whose image is its noise, so that the best noise is known: counts what it samples."""

    n_sampled = 0

    def __call__(self, objective: object = None, *, num_images: int, latents: Tensor, **options: object) -> object:  # type: ignore[override]
        assert objective is None
        self.n_sampled += num_images
        return type("Output", (), {"images": latents})()


@pytest.fixture
def shows(pipe: BrainGuidedPipeline) -> Shows:
    return Shows(pipe.unet, pipe.scheduler, pipe.vae)


def likeness(images: Tensor) -> Tensor:
    return torch.cosine_similarity(images.flatten(1), WANTED.flatten()[None])


def channel(k: int) -> Callable[[Tensor], Tensor]:
    return lambda images: images[:, k].mean((1, 2)) - images[:, 2].mean((1, 2))


def test_generations_by_hand(shows: Shows) -> None:
    """The fitter half has children; what is new in them falls from a half to a twentieth, and the last are fewer. So
    evolution and the best of as many cost the same."""
    draws = torch.Generator().manual_seed(7)
    noise = torch.randn((4, 12, 8, 8), generator=draws)
    for share, n_children in ((0.5, 4), (0.5 / 10**0.5, 4), (0.05, 4), (0.05, 3)):
        parents = likeness(noise).argsort(descending=True)[:2][torch.randint(2, (n_children,), generator=draws)]
        fresh = torch.randn((n_children, 12, 8, 8), generator=draws)
        everyone = torch.cat([noise, (1 - share) ** 0.5 * noise[parents] + share**0.5 * fresh])
        noise = everyone[likeness(everyone).argsort(descending=True)[:4]]
    found = evolve(shows, likeness, 4, 19, seed=7)
    torch.testing.assert_close(found.images, noise)
    assert found.n_evaluations == shows.n_sampled == 19
    assert evolve(shows, likeness, 4, 4).n_evaluations == 4
    noisy, options = BrainGuidedPipeline(shows.unet, DDPMScheduler(), shows.vae), {"num_inference_steps": 2}
    made = [of(noisy, channel(0), 2, 5, 11, n, **options).images for of in (best_of, evolve) for n in (2, 5)]
    torch.testing.assert_close(made[::2], made[1::2], atol=1e-3, rtol=0)  # whatever the batches, and again


def test_every_condition_of_a_study_by_hand(latent_pipe: BrainGuidedPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds, options and judges of all conditions; every stretch of work takes longer than the one before."""
    ticks, lines = itertools.count(), []
    monkeypatch.setattr("brainalign.synthesis.guidance.study._clock", lambda device: float(next(ticks) ** 2))
    objectives = {"red": channel(0), "green": channel(1)}

    def responses(factor: float) -> Callable[[Tensor], np.ndarray]:
        return lambda images: np.stack([factor * one(images).numpy() for one in objectives.values()], axis=1)

    by_region = {"guide": responses(1), "check": responses(2), "true": responses(-3)}
    judges = Judges(by_region, {"typical": lambda images: images[:, 2].mean((1, 2)).numpy()})
    natural = (torch.rand(9, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
    sampling = Sampling(n_images=3, share_kept=0.7, n_steps=2, recurrence=2, scale=30.0, batch_size=2, seed=2)
    nulls = [lambda images: -objectives["red"](images), lambda images: images.mean((1, 2, 3))]
    prompts = {"green": "ab", "red": "cd"}
    study = SynthesisStudy(latent_pipe, objectives, judges, natural, sampling, prompts, lines.append)
    found = study.run(nulls, n_null_images=2, scales=(5.0,))
    # Stretches of work: two unguided, two with recurrence, two for red, two for green.
    cost = {"unguided_seconds": 2, "guided_seconds": 92 / 6, "ratio": 92 / 12, "n_pool": 23}
    assert found.cost == pytest.approx(cost)
    said = "unguided; guided for red; guided for green; prompted for green: ab; prompted for red: cd; best of 23; "
    said += "evolved for red; evolved for green; null encoder 1 of 2; null encoder 2 of 2; "
    assert lines == (said + "scale 5 for red; scale 5 for green").split("; ")
    table, images = found.table, torch.from_numpy(found.images).permute(0, 3, 1, 2).float() / 255
    assert table.index.tolist() == list(range(len(table)))
    for k, region in enumerate(objectives):
        mine = table[table["scored"] == region].sort_values("image")
        assert mine["image"].tolist() == list(range(len(images)))
        for name, judge in judges.by_region.items():
            np.testing.assert_allclose(mine[name], judge(images)[:, k], atol=1e-5)
        np.testing.assert_allclose(mine["typical"], judges.by_image["typical"](images), atol=1e-5)
        grey = images.mean(dim=1).flatten(1).numpy()
        np.testing.assert_allclose(mine["luminance"], grey.mean(axis=1), atol=1e-5)
        np.testing.assert_allclose(mine["contrast"], grey.std(axis=1), atol=1e-5)

    def sampled(objective: Any, seeds: list[int], recurrence: int, scale: float, **options: Any) -> Tensor:
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        options |= {"num_inference_steps": 2, "recurrence": recurrence, "guidance_scale": scale, "trust_radius": 0.2}
        return latent_pipe(objective, num_images=len(seeds), generator=draws, **options).images

    seeds = [2_000_006, 2_000_007, 2_000_008]
    later = [seed + 10_000 for seed in seeds]
    pool = sampled(None, [2_000_006 + 100_000 + k for k in range(23)], 1, 0)
    expected = {("unguided", "", -1, 0): (seeds, sampled(None, seeds, 1, 0))}
    expected[("recurrent", "", -1, 0)] = seeds, sampled(None, seeds, 2, 0)
    for region, words in (("green", "ab"), ("red", "cd")):
        prompted = sampled(None, seeds, 1, 0, prompt=words, classifier_free_scale=7.5)
        expected["prompted", region, -1, 0] = (seeds, prompted)
    for number, null in enumerate(nulls):
        expected["null", "", number, 30] = (seeds[:2], sampled(null, seeds[:2], 2, 30))
    for region, objective in objectives.items():
        expected["guided", region, -1, 30] = (seeds, guided := sampled(objective, seeds, 2, 30))
        expected["matched", region, -1, 30] = (seeds, _match(guided, expected["unguided", "", -1, 0][1]))
        expected["sweep", region, -1, 5] = (later, sampled(objective, later, 2, 5))
        best = objective(pool).argsort(descending=True)[:2]
        expected["best of n", region, -1, 0] = ((best + 2_100_006).tolist(), pool[best])
        evolved = evolve(latent_pipe, objective, 3, 23, seed=2, num_inference_steps=2)
        expected["evolved", region, -1, 0] = ([-1, -1], evolved.images[:2])
        for condition, sign in (("natural", 1), ("natural true", -1)):
            top = (sign * objective(natural)).argsort(descending=True)[:2]
            expected[condition, region, -1, 0] = ([-1, -1], natural[top])
    grouped = table[table["scored"] == "red"].groupby(["condition", "region", "null", "scale"], sort=False)
    assert set(grouped.groups) == set(expected)
    for key, rows in grouped:
        assert rows["seed"].tolist() == expected[key][0], key
        assert (images[rows["image"].tolist()] - expected[key][1]).abs().max() < 1.6 / 255, key
    steps = found.steps.set_index(["region", "step"])
    assert steps.index.get_level_values("region").unique().tolist() == ["red", "green"]
    options = {"num_inference_steps": 2, "recurrence": 2, "guidance_scale": 30.0, "trust_radius": 0.2}
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    trace = latent_pipe(objectives["green"], num_images=3, generator=draws, return_trace=True, **options).trace
    numbers = ["timestep", "score", "grad_rms", "d_rms", "clipped"]
    by_hand = trace.astype({"clipped": float}).groupby("step")[numbers].mean()
    np.testing.assert_allclose(steps.loc["green"][numbers], by_hand, rtol=1e-3, atol=1e-6)


def test_what_a_study_needs(pipe: BrainGuidedPipeline, latent_pipe: BrainGuidedPipeline) -> None:
    judges, one = Judges({"guide": len}), {"red": len}
    for objectives, said in (({}, judges), (one, Judges({"check": len}))):
        refused("a study needs regions and a judge 'guide'", SynthesisStudy, pipe, objectives, said, torch.zeros(1))
    blue = latent_pipe, one, judges, torch.zeros(1)
    refused(r"prompts: no region 'blue'; it has red", SynthesisStudy, *blue, prompts={"blue": "a"})


@pytest.mark.parametrize(("share", "n_kept"), [(1.0, 4), (0.5, 2)])
def test_searches_keep_the_share_that_is_kept_of_guided_images(pipe, share: float, n_kept: int) -> None:
    judges = Judges({"guide": lambda images: channel(0)(images[:]).detach()[:, None].numpy()})
    natural = torch.rand(9, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    sampling = Sampling(n_images=4, n_steps=2, recurrence=1, share_kept=share)
    found = SynthesisStudy(pipe, {"red": channel(0)}, judges, natural, sampling).run()
    archive = archive_of(found.images, found.table.assign(typical=0.0, check=0.0), sampling.n_kept)
    guided = found.table.query("condition == 'guided'").nlargest(n_kept, "guide")
    assert sorted(archive.table[archive.table["condition"] == "guided"]["seed"]) == sorted(guided["seed"])
    assert (set(archive.table["seed"]), len(archive.images)) == (set(guided["seed"]), 2 * n_kept)


def test_shares_that_are_kept_and_natural_images_of_the_highest_scores(shows: Shows) -> None:
    found = sampling_of(SynthesizeSettings(n_images=20, share_kept=0.2), seed=3)
    assert (found, found.n_kept) == (Sampling(n_images=20, share_kept=0.2, seed=3), 4)
    images = torch.arange(6.0)[:, None, None, None].expand(6, 3, 2, 2)
    found = _best(images, np.array([0.1, 0.9, -1.0, 0.9, 0.3, 0.0]), 3)
    assert (found.images[:, 0, 0, 0].tolist(), found.scores.tolist()) == ([1, 3, 4], [0.9, 0.9, 0.3])
    refused("ask for fewer", _best, torch.zeros(2, 3, 4, 4), np.zeros(2), 3)
    refused("ask for fewer", best_of, shows, likeness, 5, 4)
    refused("allow for more", evolve, shows, likeness, 5, 4)


def study(gain: float, n: int = 24, n_nulls: int = 19, seed: int = 0) -> pd.DataFrame:
    """Return the table of one region: guided images respond by `gain` more than unguided ones of the same seed."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=n)
    parts: list[dict[str, object]] = [{"condition": "unguided", "region": "", "seed": range(n), "true": base}]
    parts.append({"condition": "guided", "region": "a", "seed": range(n), "true": base + gain})
    parts.append({"condition": "natural", "region": "a", "seed": -1, "true": rng.normal(3, 1, n)})
    for k, drift in enumerate(rng.normal(0, 0.1, n_nulls)):
        parts.append({"condition": "null", "region": "", "seed": range(8), "null": k, "true": base[:8] + drift})
    return pd.concat([pd.DataFrame({"null": -1} | part) for part in parts], ignore_index=True).assign(scored="a")


def test_definitions_by_hand() -> None:
    """Fewer natural images than guided ones: as many that the guide likes best are compared with them."""
    rng = np.random.default_rng(3)
    table = study(0.2, seed=2).assign(guide=lambda rows: rng.normal(size=len(rows)), check=np.nan)
    table = pd.concat([table.drop(index=table.index[table["condition"] == "natural"][9:])] * 2, ignore_index=True)
    half = len(table) // 2
    table.loc[half:, "scored"] = "b"  # what another region makes of the same images
    table.loc[half:, "true"] = np.nan
    found, rng = synthesis_gains(table, confidence=0.8, seed=4), np.random.default_rng([4, 0x6A1])
    mine = table[:half]
    own, expected = mine[mine["condition"] == "guided"], []
    for score in ("guide", "true"):
        ends, whole = [0.1, 0.9], own[score].mean()
        other = {name: mine[mine["condition"] == name] for name in ("unguided", "natural", "null")}
        gains = own[score].to_numpy() - other["unguided"][score].to_numpy()
        flipped = np.abs(rng.choice([-1.0, 1.0], size=(10_000, 24)) @ gains) / 24
        p = (1 + (flipped >= abs(gains.mean()) - 1e-12).sum()) / 10_001
        around = gains.mean() + np.array([-1, 1]) * t.ppf(0.9, 23) * gains.std(ddof=1) / np.sqrt(24)
        expected.append(("unguided", score, whole, gains.mean(), *around, p, 24))
        natural = other["natural"][score].to_numpy()
        best = own.nlargest(len(natural), "guide")
        kept, variances = best[score].to_numpy(), []
        orders = rng.permuted(np.tile(np.concatenate([kept, natural]), (10_000, 1)), axis=1)
        gain = kept.mean() - natural.mean()
        p = (1 + (np.abs(orders[:, :9].mean(axis=1) - orders[:, 9:].mean(axis=1)) >= abs(gain) - 1e-12).sum()) / 10_001
        for y, x, left in ((kept, best["guide"], 15 / 24), (natural, other["natural"]["guide"], 1)):
            at_worst = np.polyval(np.polyfit(x, y, 1), x.min())  # a score of the worst of the best
            variances.append((y.var(ddof=1) + left * (y.mean() - at_worst) ** 2) / 9)
        total = sum(variances)
        dof = total**2 / sum(one**2 / 8 for one in variances)
        around = gain + np.array([-1, 1]) * t.ppf(0.9, dof) * np.sqrt(total)
        p = max(p, 2 * t.sf(abs(gain) / np.sqrt(total), dof))
        expected.append(("natural", score, kept.mean(), gain, *around, p, 9))
        nulls = other["null"].groupby("null")[score].mean().to_numpy()
        value = own[score].to_numpy()[:8].mean()  # of the seeds that null encoders had
        beyond, p = np.quantile(value - nulls, ends), (1 + (nulls >= value).sum()) / 20
        expected.append(("null", score, whole, value - nulls.mean(), *beyond, p, 19))
    table = pd.DataFrame(expected, columns=["against", "score", "value", "gain", "low", "high", "p", "n"])
    table.insert(0, "region", "a")
    table.insert(1, "condition", "guided")
    pd.testing.assert_frame_equal(found, table)


def test_a_matched_image_has_the_luminance_and_contrast_of_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    images = 0.5 + 0.05 * torch.randn((3, 3, 16, 16), generator=generator)
    mean, contrast = torch.tensor([[0.4, 0.5, 0.6], [0.02, 0.04, 0.06]])[..., None, None, None]
    like = mean + contrast * torch.randn((3, 3, 16, 16), generator=generator)
    grey, goal = _match(images, like).mean(dim=1).flatten(1), like.mean(dim=1).flatten(1)
    torch.testing.assert_close(grey.mean(dim=1), goal.mean(dim=1), atol=1e-3, rtol=0)
    torch.testing.assert_close(grey.std(dim=1), goal.std(dim=1), atol=1e-3, rtol=0)
    apart = images.mean(dim=1).flatten(1)
    assert (grey.std(dim=1) - apart.std(dim=1)).abs().max() > 0.01
    assert torch.corrcoef(torch.stack([grey[0], apart[0]]))[0, 1] > 0.99  # nothing else changes
