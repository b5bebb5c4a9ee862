from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from refusals import refused
from torch import Tensor

from brainalign.config import SynthesizeSettings
from brainalign.pipelines.synthesize.synthesize import archive_of, sampling_of
from brainalign.synthesis import BrainGuidedPipeline, Judges, Sampling, SynthesisStudy, best_of, evolve
from brainalign.synthesis.guidance.baselines import _best


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


WANTED = torch.randn(12, 8, 8, generator=torch.Generator().manual_seed(3))


def likeness(images: Tensor) -> Tensor:
    """Best, 1, where the noise is WANTED."""
    return torch.cosine_similarity(images.flatten(1), WANTED.flatten()[None])


def test_the_best_of_many_is_by_hand(pipe: BrainGuidedPipeline) -> None:
    def redness(images: Tensor) -> Tensor:
        return (images[:, 0] - images[:, 1]).mean((1, 2))

    noise = torch.randn((9, 12, 8, 8), generator=torch.Generator().manual_seed(5))
    images = pipe(num_images=9, latents=noise, num_inference_steps=3).images
    order = np.argsort(-redness(images).numpy())[:4]
    found = best_of(pipe, redness, 4, 9, seed=5, batch_size=4, num_inference_steps=3)
    np.testing.assert_allclose(found.scores, redness(images).numpy()[order], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.images, images[order], rtol=0, atol=1e-4)
    assert found.n_evaluations == 9


def test_evolution_beats_the_best_of_as_many(shows: Shows) -> None:
    for seed in range(3):
        shows.n_sampled = 0
        evolved = evolve(shows, likeness, 8, 400, seed=seed)
        assert evolved.n_evaluations == shows.n_sampled == 400
        best = best_of(shows, likeness, 8, 400, seed=seed)
        assert best.n_evaluations == shows.n_sampled - 400 == 400
        assert (evolved.scores > best.scores + 0.05).all()
        assert (np.diff(evolved.scores) <= 0).all()
        np.testing.assert_allclose(evolved.scores, likeness(evolved.images).numpy(), rtol=1e-5)
        # What evolves stays noise of unit variance, or the sampler would be shown what it never saw.
        assert float(evolved.images.std()) == pytest.approx(1, abs=0.1)
    again = evolve(shows, likeness, 8, 400, seed=2)
    np.testing.assert_array_equal(again.scores, evolved.scores)


def test_generations_by_hand(shows: Shows) -> None:
    """The fitter half has children; what is new in them falls from a half to a twentieth, and the last are fewer."""
    draws = torch.Generator().manual_seed(7)
    noise = torch.randn((4, 12, 8, 8), generator=draws)
    for share, n_children in ((0.5, 4), (0.5 / 10**0.5, 4), (0.05, 4), (0.05, 3)):
        fitter = likeness(noise).argsort(descending=True)[:2]
        parents = fitter[torch.randint(2, (n_children,), generator=draws)]
        fresh = torch.randn((n_children, 12, 8, 8), generator=draws)
        everyone = torch.cat([noise, (1 - share) ** 0.5 * noise[parents] + share**0.5 * fresh])
        noise = everyone[likeness(everyone).argsort(descending=True)[:4]]
    torch.testing.assert_close(evolve(shows, likeness, 4, 19, seed=7).images, noise)


@pytest.mark.parametrize("n_evaluations", [8, 11, 23])
def test_evolution_spends_what_it_may(shows: Shows, n_evaluations: int) -> None:
    """A last generation is smaller, so that evolution and the best of as many cost the same."""
    evolved = evolve(shows, likeness, 8, n_evaluations)
    assert evolved.n_evaluations == shows.n_sampled == n_evaluations
    assert len(evolved.images) == len(evolved.scores) == 8
    assert (evolved.scores >= best_of(shows, likeness, 8, 8).scores).all()


def test_evolution_and_the_best_of_n_have_as_many_samples(
    pipe: BrainGuidedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = []
    sample = SynthesisStudy._sample

    def as_long(*args: Any, **options: Any) -> tuple[Tensor, float]:
        return sample(*args, **options)[0], 1.0 if args[1] is None else 1.5

    def counted(*args: Any, **options: Any) -> object:
        allowed.append(options["n_evaluations"])
        return evolve(*args, **options)

    def redness(images: Tensor) -> Tensor:
        return (images[:, 0] - images[:, 1]).mean((1, 2))

    monkeypatch.setattr(SynthesisStudy, "_sample", as_long)
    monkeypatch.setattr("brainalign.synthesis.guidance.study.evolve", counted)
    judges = Judges({"guide": lambda images: redness(images)[:, None].numpy()})
    sampling = Sampling(n_images=4, n_steps=2, recurrence=1)
    found = SynthesisStudy(pipe, {"red": redness}, judges, torch.rand(4, 3, 16, 16), sampling).run()
    assert allowed == [found.cost["n_pool"]] == [6]


@pytest.mark.parametrize(("share", "n_kept"), [(1.0, 4), (0.5, 2)])
def test_searches_keep_the_share_that_is_kept_of_guided_images(
    pipe: BrainGuidedPipeline, share: float, n_kept: int
) -> None:
    def redness(images: Tensor) -> Tensor:
        return (images[:, 0] - images[:, 1]).mean((1, 2))

    judges = Judges({"guide": lambda images: redness(images[:]).detach()[:, None].numpy()})
    natural = torch.rand(9, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    sampling = Sampling(n_images=4, n_steps=2, recurrence=1, share_kept=share)
    found = SynthesisStudy(pipe, {"red": redness}, judges, natural, sampling).run()
    n = found.table["condition"].value_counts()
    assert n[["unguided", "guided", "matched"]].tolist() == [4] * 3
    assert n[["best of n", "evolved", "natural"]].tolist() == [n_kept] * 3
    top = np.sort(redness(natural).numpy())[::-1][:n_kept]
    np.testing.assert_allclose(found.table.query("condition == 'natural'")["guide"], top, rtol=1e-5)
    assert found.cost["n_pool"] >= 4
    archive = archive_of(found.images, found.table.assign(typical=0.0, check=0.0), sampling.n_kept)
    chosen = archive.table[archive.table["condition"] == "guided"]
    guided = found.table.query("condition == 'guided'").nlargest(n_kept, "guide")
    assert sorted(chosen["seed"]) == sorted(guided["seed"])
    assert set(archive.table["seed"]) == set(guided["seed"])
    assert len(archive.images) == 2 * n_kept


def test_the_share_that_is_kept_is_an_option_of_the_stage() -> None:
    assert sampling_of(SynthesizeSettings(n_images=20, share_kept=0.2), seed=3) == Sampling(
        n_images=20, share_kept=0.2, seed=3
    )
    assert sampling_of(SynthesizeSettings(n_images=20, share_kept=0.2), 3).n_kept == 4


def test_evolution_towards_nothing_finds_nothing(shows: Shows) -> None:
    rng = np.random.default_rng(0)

    def noise(images: Tensor) -> Tensor:
        return torch.from_numpy(rng.normal(size=len(images)).astype(np.float32))

    evolved = evolve(shows, noise, 8, 400)
    assert abs(float(likeness(evolved.images).mean())) < 0.1


def test_natural_images_of_the_highest_scores() -> None:
    images = torch.arange(6.0)[:, None, None, None].expand(6, 3, 2, 2)
    found = _best(images, np.array([0.1, 0.9, -1.0, 0.9, 0.3, 0.0]), 3)
    assert found.images[:, 0, 0, 0].tolist() == [1, 3, 4]
    assert found.scores.tolist() == [0.9, 0.9, 0.3]


def test_errors(shows: Shows) -> None:
    refused("ask for fewer", _best, torch.zeros(2, 3, 4, 4), np.zeros(2), 3)
    refused("ask for fewer", best_of, shows, likeness, 5, 4)
    refused("allow for more", evolve, shows, likeness, 5, 4)
