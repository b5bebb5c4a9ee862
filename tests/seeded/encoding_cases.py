"""Of encoders, their scores and features."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from brainalign import encoding, features
from brainalign.encoding import in_context
from seeded.worlds import RNG, X, Y, case, ridge

GRID = (2, 3)
TOKENS = RNG(8).normal(size=(24, 6, 3)).astype(np.float32)
STIMULI, RUNS = np.arange(24) % 8, np.arange(24) // 8
SIDES = ([labels == k for k in np.unique(labels)] for labels in (RUNS, STIMULI // 2))
FOLDS, PAIRS = ([(np.flatnonzero(~side), np.flatnonzero(side)) for side in sides] for sides in SIDES)
GROUP = {"all": np.arange(6)}


def tokens(encoder: Any, **options: Any) -> Any:
    """Return what an encoder of tokens predicts."""
    fitted = encoder.set_params(epochs=1, device="cpu").fit(TOKENS, Y, grid=GRID, **options)
    return fitted.predict(TOKENS, **{k: v for k, v in options.items() if k == "semantics"})


DRAWN = {"n_permutations": 9, "n_draws": 9}
# Scores of 6 targets in 4 areas by 3 layers.
GROUPS = {"target_groups": {str(k): np.array([k]) for k in range(4)}, "n_permutations": 9, "n_boot": 9}
SHOWN = encoding.evaluate_held_out(ridge(), X, Y, np.arange(6), np.arange(6, 24), np.arange(24), **GROUPS)
PLACES = pd.DataFrame(RNG(0).normal(size=(6, 3)), columns=["x_mm", "y_mm", "z_mm"]).assign(hemi="L")
AREAS = dict.fromkeys("abc", SHOWN), PLACES, {str(k): np.array([k, k + 1]) for k in range(4)}


@cache
def pretrained(seed: int = 0) -> in_context.PretrainedLayer:
    sizes = {"n_steps": (0, 3, 0), "n_voxels": 4, "context_sizes": (4, 8)}
    quick = encoding.InContextEncoder(**sizes, fallback=False, device="cpu")
    axes, responses = encoding.Reduction(X.mean(axis=0), np.eye(6)[:4]), (Y - Y.mean(axis=0)) / Y.std(axis=0)
    return encoding.pretrain_layer(quick, axes, X, [(np.arange(24), responses)], seeds=(seed,))


def context_scores(seed: int) -> object:
    evaluate = partial(encoding.evaluate_held_out, n_permutations=0, n_boot=0, target_groups=GROUP)
    rows = np.array([f"s{k}" for k in range(24)]), np.arange(14), np.arange(14, 24)
    options = {"targets": np.arange(6), "groups": GROUP, "roi": None, "ceiling": np.ones(6), "confidence": 0.95}
    options |= {"evaluate": evaluate, "sizes": (5,), "n_repeats": 2, "seed": seed}
    return encoding.score_context(pretrained(), X, Y, *rows, **options)


def converged(seed: int, n_subjects: int = 1) -> pd.DataFrame:
    """Return scores of subjects of whom every layer and area is another."""

    def scores(k: int) -> encoding.SplitScores:
        rng = RNG(k)
        r, noise = rng.random((9, 8)), 0.01 * rng.normal(size=(19, 9, 8))
        arrays = {"choice_r": r, "choice_draws": r + noise, "choice_null": noise, "r": r, "draws": r + noise}
        arrays |= {"null": noise, "places": rng.normal(size=(8, 3)), "ceiling_r": np.ones(8)}
        return encoding.SplitScores(list("abcdefghi"), [f"area{j}" for j in range(8)], "fMRI", arrays, (9, 9))

    trained, random = ({str(k): scores(first + k) for k in range(n_subjects)} for first in (0, 90))
    options = {"origin": ["area0"], "n_permutations": 200, "n_boot": 20}
    return encoding.converge_subjects(trained, random, **options, seed=seed).scores


def story(seed: int) -> Any:
    """Return how well runs are predicted without a band."""
    bands, runs = {"a": X, "b": TOKENS[:, 0], "c": TOKENS[:, 1]}, RUNS.astype(str)
    return [fit.r2 for fit in encoding.fits_without(bands, Y, runs, (0, 1), n_candidates=6, seed=seed).values()]


LEFT_OUT = {"stimulus_ids": STIMULI, "runs": RUNS, "n_permutations": 3}
RESPONSES = encoding.ResponseOptimisedEncoder((2,), (3,), (1,), epochs=1, device="cpu")
UNSHUFFLED, READOUT = "method != 'shuffled_context'", encoding.FactorizedReadout(epochs=1)


def preferences(seed: int) -> Any:
    shown = pretrained(), pretrained().reduction(X), Y, X[:2], ["a", "b"]
    return encoding.text_preferences(*shown, groups=GROUP, seed=seed)["chance"]


ENCODING: dict[str, Callable[[int], Any]] = {
    "fits_without": story, "text_preferences": preferences,
    "GaussianReadout": lambda s: tokens(encoding.GaussianReadout(seed=s)),
    "InContextEncoder": lambda s: pretrained(s).encoders[0].parameter_hash(),
    "ResponseOptimisedEncoder": lambda s: RESPONSES.set_params(seed=s).fit(TOKENS, Y, grid=GRID).predict(TOKENS),
    "RoutingEncoder": lambda s: tokens(encoding.RoutingEncoder(validation=0.2, seed=s), roi=np.repeat(["a", "b"], 3)),
    "SeedEnsemble": lambda s: encoding.SeedEnsemble(READOUT, (s,)).fit(TOKENS, Y, grid=GRID).predict(TOKENS),
    "SemanticSpatialReadout": lambda s: tokens(encoding.SemanticSpatialReadout(seed=s), semantics=X[:, :2]),
    "converge_subjects, areas": lambda s: converged(s)["p_areas"],
    "converge_subjects, smooth areas": lambda s: converged(s)["p_independent_areas"],
    "converge_subjects, layers": lambda s: converged(s)["p_layers"],
    "converge_subjects, subjects": lambda s: converged(s, 6)[["low", "high"]],
    "pretrain_layer": lambda s: pretrained(s).arrays(),
    "score_context, context": lambda s: context_scores(s).context[0],
    "score_context, curve": lambda s: context_scores(s).curve.query(UNSHUFFLED)["r"],
}  # fmt: skip
ENCODING |= [
    case(encoding.evaluate, ridge(), X, Y, FOLDS, leave_out="run", **LEFT_OUT, part="runs", look="null"),
    case(encoding.evaluate, ridge(), X, Y, PAIRS, leave_out="stimulus", **LEFT_OUT, part="stimuli", look="null"),
    case(encoding.turned_in_time, RUNS.astype(str), 5, 2), case(encoding.split_scores, *AREAS, **DRAWN, look="arrays"),
    case(encoding.shuffled_regions, X[None], Y, np.ones(6), {"a": np.arange(6)}, 2),
]  # fmt: skip
NETWORKS = Path(__file__).with_name("networks.py")
GREY = torch.full((2, 3, 8, 8), 0.3)
SIZED = {"layers": ["0"], "image_size": 8}


def user(seed: int, function: str = "drawn", **options: Any) -> Any:
    extractor = features.UserExtractor(f"{NETWORKS}:{function}", seed=seed, pooling="flatten", **SIZED, **options)
    return extractor.features(GREY, ["0"])[0]


MODEL = SIZED | {"extractor": "user", "function": f"{NETWORKS}:drawn"}
EFFICIENT = {"weights": "random", "image_size": 32}
FEATURES: dict[str, Callable[[int], Any]] = {
    "EfficientNetExtractor": lambda s: features.EfficientNetExtractor(**EFFICIENT, seed=s).network.module(GREY),
    "NetworkExtractor": lambda s: user(s, "equal", reduce=3), "UserExtractor": user,
    "image_features": lambda s: features.image_features(MODEL, "0", "net", seed=s)(GREY),
    "SparseProjection": lambda s: features.SparseProjection(6, 3, s)(torch.as_tensor(X)),
}  # fmt: skip
