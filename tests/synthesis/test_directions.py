from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused
from torch import Tensor

from brainalign import synthesis
from brainalign.report.kit import FoundDirections, direction_gains
from brainalign.synthesis import DirectionStudy, Judges, random_directions, record_trajectories, semantic_directions
from brainalign.synthesis.directions import denoised_at, edited
from brainalign.synthesis.directions.directions import _pulled_back, _singular_vectors

STEPS, SHAPE = 5, (16, 2, 2)
REGIONS = ("red", "green")
OBJECTIVES = {name: lambda x, k=k: x[:, k].mean(dim=(1, 2)) for k, name in enumerate(REGIONS)}


@pytest.fixture(scope="module")
def pipe(plain_pipe: Callable[[int], object]) -> object:
    return plain_pipe(4)


@pytest.fixture(scope="module")
def recorded(pipe: object) -> synthesis.Trajectories:
    return synthesis.record_trajectories(pipe, range(24), batch_size=10, num_inference_steps=STEPS)


@pytest.fixture(autouse=True)
def no_hook_is_left(pipe: object) -> Iterator[None]:
    yield
    assert hooks(pipe) == 0


def hooks(pipe: object) -> int:
    block = pipe.unet.mid_block
    return len(pipe.unet._forward_pre_hooks) + len(block._forward_hooks) + len(block._forward_pre_hooks)


def brightness(images: Tensor) -> Tensor:
    return images.mean(dim=(1, 2, 3))


def planted(n: int, strength: float, seed: int = 0) -> tuple[synthesis.Trajectories, Tensor, Tensor]:
    """Return trajectories of noise in which one direction follows a score, and images as bright as that score."""
    draws = torch.Generator().manual_seed(seed)
    direction = torch.randn(STEPS, *SHAPE, generator=draws)
    direction /= direction.norm()
    score, bottleneck = torch.randn(n, generator=draws), torch.randn(STEPS, n, *SHAPE, generator=draws)
    bottleneck += strength * score[:, None, None, None] * direction[:, None]
    images = (0.5 + 0.1 * score)[:, None, None, None].expand(n, 3, 4, 4)
    empty = torch.zeros(STEPS, n, 3, 4, 4)
    found = synthesis.Trajectories(bottleneck, empty, tuple(range(STEPS)), (0.5,) * STEPS, images, tuple(range(n)))
    return found, direction, score


def cosine(found: synthesis.Directions, direction: Tensor) -> float:
    return float((found.vectors[0] * direction).sum() / found.vectors[0].norm() / direction.norm())


@pytest.mark.parametrize("method", ["supervised", "ridge", "pca"])
def test_a_planted_direction_is_found_and_shuffled_scores_find_none(pipe: object, method: str) -> None:
    given, direction, score = planted(400, strength=8.0)
    found = synthesis.semantic_directions(pipe, method, brightness, recorded=given)
    assert abs(cosine(found, direction)) > 0.95
    spread = (given.bottleneck * direction[:, None]).sum(dim=(0, 2, 3, 4)).std()  # of the projection on the planted one
    assert float(found.scale[0]) == pytest.approx(float(spread), rel=0.1)
    assert float(found.explained[0]) > (0.9 if method != "pca" else 0.1)
    if method != "pca":
        assert cosine(found, direction) > 0
        order = torch.randperm(len(score), generator=torch.Generator().manual_seed(1))
        # In noise alone, whose directions are all alike, what shuffled scores find lies across the planted one.
        noise, _, _ = planted(400, strength=0.0)
        null = synthesis.semantic_directions(pipe, method, lambda _: score[order], recorded=noise)
        assert abs(cosine(null, direction)) < 0.25


def test_principal_components_are_those_of_a_decomposition(pipe: object, recorded: synthesis.Trajectories) -> None:
    found = synthesis.semantic_directions(pipe, "pca", recorded=recorded, n_directions=4)
    rows = recorded.bottleneck.transpose(0, 1).flatten(1).double()
    _, singular, right = torch.linalg.svd(rows - rows.mean(dim=0), full_matrices=False)
    assert torch.allclose((found.vectors.flatten(1).double() @ right[:4].T).abs(), torch.eye(4).double(), atol=1e-3)
    assert torch.allclose(found.explained.double(), (singular**2 / (singular**2).sum())[:4], atol=1e-5)
    assert torch.allclose(found.scale.double(), singular[:4] / (len(rows) - 1) ** 0.5, rtol=1e-4)


def test_singular_vectors_are_those_of_the_explicit_jacobian(pipe: object, recorded: synthesis.Trajectories) -> None:
    step, image = 2, 3
    h = recorded.bottleneck[step, image]

    def clean(moved: Tensor) -> Tensor:
        return denoised_at(pipe, recorded, step, [image] * len(moved), moved)

    explicit = torch.autograd.functional.jacobian(lambda x: clean(x[None])[0].flatten(), h).flatten(1)
    _, singular, right = torch.linalg.svd(explicit)
    start = torch.randn(3, *h.shape, generator=torch.Generator().manual_seed(0))
    vectors, values = _singular_vectors(clean, h, start, 30)
    assert torch.allclose(values, singular[:3], rtol=1e-2)
    # The space of the three, whatever two nearly equal values do within it.
    assert float(torch.linalg.svdvals(vectors.flatten(1) @ right[:3].T).min()) > 0.99
    assert torch.allclose(vectors.flatten(1) @ vectors.flatten(1).T, torch.eye(3), atol=1e-4)
    found = synthesis.semantic_directions(pipe, "jacobian", recorded=recorded, n_directions=3, image=image)
    per_step = found.vectors.transpose(0, 1)[step].flatten(1)
    assert float(torch.linalg.svdvals((per_step / per_step.norm(dim=1, keepdim=True)) @ right[:3].T).min()) > 0.9


def test_pullback_is_the_gradient_by_finite_differences(pipe: object, recorded: synthesis.Trajectories) -> None:
    found = synthesis.semantic_directions(pipe, "pullback", brightness, recorded=recorded)
    step, rows = 3, range(len(recorded.seeds))
    direction = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2))
    signal = torch.tensor(recorded.alphas[step])

    def score(size: float) -> float:
        x0 = denoised_at(pipe, recorded, step, rows, recorded.bottleneck[step] + size * direction)
        seen = (1 - signal).sqrt() * x0 + (1 - (1 - signal).sqrt()) * recorded.latents[step]
        return float((seen / 2 + 0.5).mean())  # the gradient passes through clamped pixels

    gradients = []
    for k, h in enumerate(recorded.bottleneck.clone()):
        x0 = denoised_at(pipe, recorded, k, rows, h.requires_grad_(True))
        share = (1 - torch.tensor(recorded.alphas[k])).sqrt()
        gradients.append(torch.autograd.grad((share * x0 / 2).mean(dim=(1, 2, 3)).sum(), h)[0].mean(dim=0))
    whole = torch.stack(gradients)
    assert float((whole[step] * direction).sum()) == pytest.approx((score(0.05) - score(-0.05)) / 0.1, rel=0.02)
    assert cosine(found, whole) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(_pulled_back(pipe, recorded, brightness, batch_size=10), whole, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("method", ["supervised", "ridge", "pca", "pullback", "jacobian"])
def test_half_precision_finds_the_same(plain_pipe: Callable[[int], object], recorded, method: str) -> None:
    half = plain_pipe(4).to(torch.float16)
    given = {"objective": lambda images: 1e-5 * brightness(images), "n_directions": 2}  # its gradients are too small
    seen = record_trajectories(half, range(24), num_inference_steps=STEPS)
    found = semantic_directions(half, method, recorded=seen, **given)
    assert abs(cosine(found, semantic_directions(plain_pipe(4), method, recorded=recorded, **given).vectors[0])) > 0.99
    assert (half.unet.dtype, found.vectors.dtype, found.scale.dtype) == (torch.float16, torch.float32, torch.float32)


def test_orthogonalised_directions_share_nothing_and_an_edit_of_nothing_changes_nothing(pipe, recorded) -> None:
    given = {"recorded": recorded}
    redness, greenness = (lambda x, k=k: x[:, k].mean(dim=(1, 2)) for k in range(2))
    red, green = (synthesis.semantic_directions(pipe, "supervised", of, **given) for of in (redness, greenness))
    own = synthesis.semantic_directions(pipe, "supervised", redness, orthogonal_to=[green], **given)
    assert abs(synthesis.cosines([red, green])[0, 1]) > 0.01
    assert abs(synthesis.cosines([own, green])[0, 1]) < 1e-5
    assert synthesis.cosines([own, red])[0, 1] > 0.1
    assert float(own.vectors.norm()) == pytest.approx(1, abs=1e-5)
    assert red.without([green], recorded).explained.isnan().all()  # that of `red` is not what is left of it
    both = replace(red, vectors=torch.cat([red.vectors, green.vectors]))  # of which one is enough
    refused("nothing is left of a direction", both.without, [green], recorded)
    given["orthogonal_to"] = green
    refused("nothing is left of a direction", synthesis.semantic_directions, pipe, "supervised", greenness, **given)
    found = synthesis.semantic_directions(pipe, "supervised", brightness, recorded=recorded)
    plain = pipe(None, num_images=3, generator=synthesis.generators([7, 8, 9]), num_inference_steps=STEPS).images
    assert torch.equal(found.edit(pipe, 0.0, [7, 8, 9]).images, plain)
    mixed = found.edit(pipe, [0.0, 2.0, -2.0], [7, 8, 9]).images
    assert torch.allclose(mixed[0], plain[0], atol=1e-5)
    assert not torch.allclose(mixed[1], plain[1], atol=1e-3)
    assert torch.allclose(mixed[2:], found.edit(pipe, -2.0, synthesis.generators([9])).images, atol=1e-5)


def shown(pipe: object, run: object) -> list[Tensor]:
    seen: list[Tensor] = []

    def keep(_: object, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        seen.append((args[0] if args else kwargs["hidden_states"]).detach().clone())

    handle = pipe.unet.up_blocks[0].register_forward_pre_hook(keep, with_kwargs=True)
    run()
    handle.remove()
    return seen


def test_an_edit_moves_the_middle_block_of_the_conditional_half_by_so_many_sd(pipe, recorded, latent_pipe) -> None:
    found = synthesis.semantic_directions(pipe, "supervised", brightness, recorded=recorded)
    plain = shown(pipe, lambda: found.edit(pipe, 0.0, [7, 8]))
    moved = shown(pipe, lambda: found.edit(pipe, 1.5, [7, 8]))
    assert len(moved) == STEPS
    assert torch.allclose(moved[0] - plain[0], 1.5 * found.scale[0] * found.vectors[0, 0], atol=1e-5)
    told = {"prompt": "cat", "classifier_free_scale": 3.0, "num_inference_steps": 3}
    found = synthesis.semantic_directions(latent_pipe, "pullback", brightness, n_seeds=20, **told)
    plain = shown(latent_pipe, lambda: found.edit(latent_pipe, 0.0, [30, 31]))
    moved = shown(latent_pipe, lambda: found.edit(latent_pipe, 2.0, [30, 31]))
    assert torch.equal(moved[0][:2], plain[0][:2])
    assert torch.allclose(moved[0][2:] - plain[0][2:], 2 * found.scale[0] * found.vectors[0, 0], atol=1e-5)
    assert hooks(latent_pipe) == 0


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_hooks_are_gone_whatever_happens(pipe: object, recorded, error: type[BaseException]) -> None:
    before, shift = [parameter.requires_grad for parameter in pipe.unet.parameters()], torch.ones(STEPS, 1, *SHAPE)
    with pytest.raises(error), edited(pipe, shift, recorded.timesteps, 1):
        raise error if hooks(pipe) == 2 else AssertionError
    assert (hooks(pipe), [parameter.requires_grad for parameter in pipe.unet.parameters()]) == (0, before)
    assert not pipe.unet.training


def test_bad_input_is_refused(pipe: object, recorded: synthesis.Trajectories) -> None:
    find = synthesis.semantic_directions
    refused("supervised directions need an objective", find, pipe, "supervised", recorded=recorded)
    refused("did you mean 'jacobian'", find, pipe, "jacobain", recorded=recorded)
    refused("20 seeds or more; got 5", find, pipe, "pca", n_seeds=5)
    constant, fixed = lambda x: torch.ones(len(x)), lambda x: brightness(x).detach()
    refused("a finite score per image, not all the same", find, pipe, "ridge", constant, recorded=recorded)
    refused("pullback needs a differentiable objective", find, pipe, "pullback", fixed, recorded=recorded)
    found = synthesis.semantic_directions(pipe, "pca", recorded=recorded, n_directions=1)
    refused("was found at 5 steps, none of them", found.edit, pipe, 1.0, [0], num_inference_steps=7)


def channels(images: Tensor) -> np.ndarray:
    return images[:, :2].mean(dim=(2, 3)).numpy()


def test_all_of_a_study_by_hand(plain_pipe: Callable[[int], object]) -> None:
    """Directions are found with seeds of their own and tried on others; those of chance are as long as the longest."""
    judges = Judges({"guide": channels, "check": lambda x: -channels(x)}, {"typical": lambda x: np.ones(len(x))})
    sizes = {"n_seeds": 24, "n_directions": 2, "n_images": 6, "n_controls": 3, "n_control_images": 4, "n_steps": 3}
    options = {"methods": ("supervised", "pca"), "alphas": (-2.0, 0.0, 2.0), "batch_size": 10, "seed": 3}
    studied = DirectionStudy(plain_pipe(8), OBJECTIVES, judges, **sizes, **options).run()
    pipe, objectives, table, first = plain_pipe(8), OBJECTIVES, studied.table, 3_000_009
    recorded = record_trajectories(pipe, range(first + 200_000, first + 200_024), num_inference_steps=3)
    own = {name: semantic_directions(pipe, "supervised", of, recorded=recorded) for name, of in objectives.items()}
    components = semantic_directions(pipe, "pca", n_directions=2, recorded=recorded)
    expected = {("supervised", name, 0, False): one for name, one in own.items()}
    expected |= {("supervised", a, 0, True): own[a].without([own[b]], recorded) for a, b in (REGIONS, REGIONS[::-1])}
    expected |= {("pca", "", k, False): components.select([k]) for k in range(2)}
    assert set(studied.directions) == set(expected)
    stored, seeds = studied.images.astype(int), [first + k for k in range(6)]
    mine = table[(table["control"] == "") & (table["scored"] == "green")]
    for key, direction in expected.items():
        torch.testing.assert_close(studied.directions[key].vectors, direction.vectors, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(studied.directions[key].scale, direction.scale, atol=1e-4, rtol=1e-3)
        rows = mine[(mine[["method", "region", "direction", "orthogonal"]] == list(key)).all(axis=1)]
        assert (rows["alpha"].tolist(), rows["seed"].tolist()) == ([-2.0] * 6 + [0.0] * 6 + [2.0] * 6, seeds * 3)
        for alpha, part in rows.groupby("alpha"):
            images = direction.edit(pipe, alpha, seeds).images.permute(0, 2, 3, 1).numpy() * 255
            assert np.abs(stored[part["image"].tolist()] - images).max() < 1.6, key
    longest = max(expected.values(), key=lambda one: float(one.scale[0]))
    chance, drawn = table[(table["control"] != "") & (table["scored"] == "green")], random_directions(longest, 3, 3)
    for k in range(3):
        scores = list(objectives.values())[k % 2](recorded.images)
        scores = scores[torch.from_numpy(np.random.default_rng([3, k]).permutation(24))]
        shuffled = semantic_directions(pipe, "supervised", lambda _, scores=scores: scores, recorded=recorded)
        for control, direction in (("random", drawn.select([k])), ("shuffled", replace(shuffled, scale=longest.scale))):
            rows = chance[(chance["control"] == control) & (chance["number"] == k)]
            assert (rows["alpha"].tolist(), rows["seed"].tolist()) == ([-2.0] * 4 + [2.0] * 4, seeds[:4] * 2)
            assert set(rows["image"]) == {-1}
            images = direction.edit(pipe, rows["alpha"].to_numpy(), rows["seed"].tolist()).images
            np.testing.assert_allclose([rows["guide"], -rows["check"]], [channels(images)[:, 1]] * 2, atol=2e-3)
    own |= {f"{name} alone": expected["supervised", name, 0, True] for name in REGIONS}
    given = [studied.cosines["cosine"][k : k + 2].tolist() for k in range(0, 8, 2)]
    np.testing.assert_allclose(given, synthesis.cosines([*own.values()])[:, :2], atol=1e-3)
    refused("must rise, with 0 among them", DirectionStudy(None, {"a": len}, Judges({}), alphas=(1.0, 2.0)).run)
    refused("need a region", DirectionStudy(None, {}, Judges({})).run)


def made_up(rise: float, check: float) -> FoundDirections:
    """Return a study of two regions in which the guide rises by `rise` per strength and the judges by `check`."""
    rng = np.random.default_rng(0)
    tried, rows = product(REGIONS, (False, True), enumerate((-2.0, 0.0, 2.0)), range(8), REGIONS), []
    for region, orthogonal, (place, alpha), image, scored in tried:
        drift = (scored == region) * alpha * np.array([rise, check, check]) + 0.1 * rng.normal(size=3)
        about = {"region": region, "orthogonal": orthogonal, "control": "", "number": -1, "alpha": alpha, "seed": image}
        about |= {"image": place * 8 + image, "scored": scored}
        rows.append(about | dict(zip(("guide", "check", "true"), drift, strict=True)))
    for control, k, alpha, image in product(("random", "shuffled"), range(19), (-2.0, 2.0), range(4)):
        said = dict.fromkeys(("guide", "check", "true"), 0.05 * rng.normal())
        about = said | {"region": "", "orthogonal": False, "image": -1, "control": control, "number": k}
        rows += [about | {"alpha": alpha, "seed": image, "scored": name} for name in REGIONS]
    table = pd.DataFrame(rows).assign(direction=0)
    table["method"] = np.where(table["control"] == "", "supervised", "")
    images = rng.integers(0, 255, size=(24, 8, 8, 3)).astype(np.uint8)
    pairs = [("supervised", o, a, b, float(a == b)) for o in (False, True) for a in REGIONS for b in REGIONS]
    cosines = pd.DataFrame(pairs, columns=["method", "orthogonal", "region_a", "region_b", "cosine"])
    return FoundDirections(images, table, cosines)


def test_a_direction_that_works_is_said_to_work() -> None:
    row = direction_gains(made_up(0.5, 0.4)).set_index(["region", "judge", "orthogonal"]).loc["red", "true", False]
    assert row["gain"] == pytest.approx(1.6, abs=0.15)
    assert row["monotone"]
    assert row["p"] == pytest.approx(0.05)
    assert 0 < row["chance"] < 0.3
    assert abs(row["other_gain"]) < 0.3
