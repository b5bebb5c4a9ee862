"""A region's response as the annotator finds directions that raise its true response; random ones of that norm do not.

The annotator is an encoder of noisy simulated voxels; neurons that look at the pixels judge. Seeds that directions are
found with are not among those they are tried on.
"""

import numpy as np
import pytest
from shown import Record
from worlds.guided import prior, tensor, truth
from worlds.scenes import selective_voxels, train_scene_network

from brainalign import synthesis
from brainalign.encoding import Ridge
from brainalign.simulation import clear_scenes, render

REGIONS = ("red", "large", "leftside", "cross")
ALPHAS = (-3.0, -1.5, 0.0, 1.5, 3.0)
TRIED = 100_000  # seeds of images start here
N_RANDOM_IMAGES = 8  # of a random direction


def annotators(regions: tuple[str, ...], n_scenes: int, n_steps: int, seed: int):
    scenes = clear_scenes(n_scenes, 70_000 + seed)
    images = render(scenes, 32)
    network = train_scene_network(scenes, tensor(images), n_steps=n_steps, seed=seed)
    voxels, of_voxel = selective_voxels(images, regions, seed=seed)
    features = network(tensor(images)).numpy()
    ridge = Ridge(np.logspace(-1, 5, 7), cv=5, device="cpu").fit(features, voxels)
    coef, intercept = np.asarray(ridge.coef_), np.asarray(ridge.intercept_)
    mine = {region: np.flatnonzero(of_voxel == region) for region in regions}
    found = {region: synthesis.RegionObjective(network, coef, intercept, rows) for region, rows in mine.items()}
    return {region: objective.standardised(features) for region, objective in found.items()}


def study(regions: tuple[str, ...], seed: int, n_scenes: int, n_steps: int, n_seeds: int, n_images: int, n_random: int):
    """Return true responses by region and alpha, those of random directions at both ends, cosines, and their spread."""
    pipe = prior()
    recorded = synthesis.record_trajectories(pipe, range(1000 * seed, 1000 * seed + n_seeds))
    scores, given = annotators(regions, n_scenes, n_steps, seed), {"recorded": recorded}
    found = {name: synthesis.semantic_directions(pipe, "supervised", scores[name], **given) for name in regions}
    respond = truth(regions, render(clear_scenes(1000, 90_000), 32))
    tried = list(range(TRIED + 1000 * seed, TRIED + 1000 * seed + n_images))
    plain = respond(next(iter(found.values())).edit(pipe, 0.0, tried).images)
    curves = np.stack([
        [plain if a == 0 else respond(found[name].edit(pipe, a, tried).images) for a in ALPHAS] for name in regions
    ])  # (n_regions, n_alphas, n_images, n_regions scored)  # fmt: skip
    longest = max(found.values(), key=lambda one: float(one.scale[0]))
    drawn, few = synthesis.random_directions(longest, n_random, seed=seed), tried[:N_RANDOM_IMAGES]
    ends = []
    for k in range(n_random):
        both = [ALPHAS[0]] * len(few) + [ALPHAS[-1]] * len(few)
        ends.append(respond(drawn.edit(pipe, both, few + few, direction=k).images).reshape(2, len(few), -1))
    return curves, np.stack(ends), synthesis.cosines(list(found.values())), plain


@pytest.mark.acceptance
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_brain_supervised_directions_raise_the_true_response(seed: int, record: Record) -> None:
    """Directions of a region's encoder raise its true response over -3 to 3 SD; directions of chance stay flat."""
    sizes = {"n_scenes": 2000, "n_steps": 300, "n_seeds": 256, "n_images": 24, "n_random": 19}
    curves, ends, alike, _ = study(REGIONS, seed, **sizes)
    slopes, monotone = (ends[:, 1] - ends[:, 0]).mean(axis=1), []
    for k, region in enumerate(REGIONS):
        own = curves[k, :, :, k]
        gain = own[-1] - own[0]  # paired by seed
        low = gain.mean() - 2 * gain.std(ddof=1) / len(gain) ** 0.5
        means = ", ".join(f"{value:.2f}" for value in own.mean(axis=1))
        record(f"direction of {region}, seed {seed}, true response over alpha", means, "rising from -3 to 3 SD")
        record(f"direction of {region}, seed {seed}, rise", round(float(gain.mean()), 2), "lower bound > 0")
        largest = float(np.abs(slopes[:, k]).max())
        record(f"largest of 19 random directions for {region}, seed {seed}", round(largest, 2), "< rise")
        record(f"mean of 19 random directions for {region}, seed {seed}", round(float(slopes[:, k].mean()), 3), "0")
        if (np.diff(own.mean(axis=-1)) > 0).all() and low > 0 and gain.mean() > largest:
            monotone.append(region)
        # Flat: over the random directions the mean change is that of chance, and far below the brain's.
        assert abs(slopes[:, k].mean()) < 0.2 * gain.mean(), region
    np.fill_diagonal(alike, 0)
    largest = round(float(np.abs(alike).max()), 2)
    record(f"largest cosine between two regions' directions, seed {seed}", largest, "shown")
    assert len(monotone) >= 2, monotone
    assert {"large", "leftside"} <= set(monotone)
