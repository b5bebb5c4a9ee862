import warnings

import numpy as np
import pytest
import rsatoolbox
from refusals import refused
from rsatoolbox.model import ModelFixed, ModelInterpolate, ModelSelect, ModelWeighted
from rsatoolbox.model.fitter import fit_interpolate, fit_regress_nn, fit_select
from rsatoolbox.util.inference_util import extract_variances

import brainalign.geometry as g
from brainalign.geometry.inference.flexible import _default_folds

TOOLBOX = {"spearman": "spearman", "pearson": "corr", "cosine": "cosine"}
TOOLBOX |= {"whitened-pearson": "corr_cov", "whitened-cosine": "cosine_cov"}
MODELS = {
    "weighted": (ModelWeighted, fit_regress_nn),
    "select": (ModelSelect, fit_select),
    "interpolate": (ModelInterpolate, fit_interpolate),
}
N_SUBJECTS, N_STIMULI = 6, 14


def world(seed: int = 0, n_rdms: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return RDMs of subjects that mix two of four candidates, and the candidates."""
    rng = np.random.default_rng(seed)
    # Small, because the active set of rsatoolbox stops at an absolute tolerance that rounding of larger ones exceeds.
    candidates = 1e-3 * g.rdm(rng.normal(size=(n_rdms, N_STIMULI, 5)), "euclidean")
    truth = 0.7 * candidates[1] + 0.3 * candidates[2]
    return truth + rng.normal(size=(N_SUBJECTS, len(truth))) * 5e-4, candidates


def unit(weights: np.ndarray) -> np.ndarray:
    return weights / np.linalg.norm(weights)


@pytest.mark.parametrize("method", list(TOOLBOX)[1:])
@pytest.mark.parametrize("fit", MODELS)
def test_fits_equal_those_of_rsatoolbox(fit: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exact_solutions(monkeypatch)
    kind, fitter = MODELS[fit]
    for seed in range(4):
        subjects, candidates = world(seed)
        candidates[0] = -candidates[3] + candidates[3].max()  # one that gets no weight
        theirs = fitter(kind("m", candidates), rsatoolbox.rdm.RDMs(subjects), method=TOOLBOX[method])
        if fit == "select":
            theirs = np.eye(4)[theirs]
        found = g.fit_weights(subjects, g.FlexibleModel(candidates, fit), method)
        np.testing.assert_allclose(unit(found), unit(theirs), atol=1e-6 if fit != "interpolate" else 1e-4)


def exact_solutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rsatoolbox solve with the covariance exactly: its conjugate gradients stop at a residual of 1e-5."""
    solve = rsatoolbox.model.fitter.scipy.sparse.linalg.spsolve
    monkeypatch.setattr(rsatoolbox.model.fitter.scipy.sparse.linalg, "cg", lambda v, x, **_: (solve(v.tocsc(), x), 0))


class NoShuffle:
    """A generator that deals in the given order."""

    def permutation(self, n: int) -> np.ndarray:
        return np.arange(n)


@pytest.mark.parametrize("method", ["pearson", "whitened-cosine", "spearman"])
def test_equals_rsatoolbox_on_the_same_draws_and_folds(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations, ceilings and variances of models cross-validated in every draw; one draw has too few stimuli."""
    subjects, candidates = world(3)
    n_boot, rng = 5, np.random.default_rng(1)
    draws = tuple(rng.integers(n, size=(n_boot, n)) for n in (N_SUBJECTS, N_STIMULI))
    draws[1][2] = np.arange(N_STIMULI) % 5
    queue = [row for pair in zip(*draws, strict=True) for row in pair]
    monkeypatch.setattr(rsatoolbox.inference.bootstrap.np.random, "randint", lambda *_, **__: queue.pop(0))
    monkeypatch.setattr(rsatoolbox.inference.crossvalsets.np.random, "shuffle", lambda x: None)
    exact_solutions(monkeypatch)
    fit = "select" if method == "spearman" else "weighted"
    kind, fitter = MODELS[fit]
    if method == "spearman":  # ours fits by Pearson's r where ranks are compared

        def fitter(model: ModelSelect, data: rsatoolbox.rdm.RDMs, method: str, **options: object) -> int:
            return fit_select(model, data, method="corr", **options)

    theirs_models = [kind("w", candidates), ModelFixed("f", candidates[1])]
    options = {"method": TOOLBOX[method], "fitter": [fitter, None], "k_pattern": 2, "k_rdm": 3, "N": n_boot}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = rsatoolbox.inference.eval_dual_bootstrap(theirs_models, rsatoolbox.rdm.RDMs(subjects), **options)
    models = [g.FlexibleModel(candidates, fit), candidates[1]]
    ours = g.flexible_bootstrap(subjects, models, method, rng=NoShuffle(), draws=draws, n_folds=(3, 2), n_cv_score=1)
    assert ours.n_undefined == 1
    for number, name in enumerate(("both", "subjects", "stimuli")):
        there = np.isfinite(ours.draws[name][:, 0])
        expected = theirs.evaluations[:, :, :, 0, number].mean(axis=2)
        np.testing.assert_allclose(ours.draws[name][there, :2], expected[there], atol=1e-8)
        expected = theirs.noise_ceiling[:, :, 0, number].T
        np.testing.assert_allclose(ours.draws[name][there, 2:], expected[there], atol=1e-10)


def test_variances_of_divisions_equal_rsatoolbox() -> None:
    """The same numbers in the same formula: two divisions, projected to infinitely many, then the dual bootstrap."""
    subjects, candidates = world(5)
    models = [g.FlexibleModel(candidates), candidates[1]]
    ours = g.flexible_bootstrap(subjects, models, "pearson", 60, np.random.default_rng(2))
    there = np.isfinite(ours.draws["both"][:, 0])
    each = np.stack([ours.divisions[name][:, there] for name in ("both", "subjects", "stimuli")])
    whole = np.stack([np.cov(e.mean(axis=0).T) for e in each])
    single = np.stack([np.mean([np.cov(x.T) for x in e], axis=0) for e in each])
    covariances = (2 * whole - single) / (each.shape[1] - 1)
    model, difference, ceiling = extract_variances(covariances, True, N_SUBJECTS, N_STIMULI)
    np.testing.assert_allclose(ours.se() ** 2, np.maximum(model, 0), atol=1e-10)
    np.testing.assert_allclose(ours.se(np.array([[1.0, -1, 0, 0]])) ** 2, np.maximum(difference, 0), atol=1e-10)
    np.testing.assert_allclose(ours.se(np.array([[1.0, 0, -1, 0]]))[0] ** 2, max(ceiling[0, 0], 0), atol=1e-10)
    assert 0 <= ours.n_undefined < 60
    assert g.compare_models(ours, ["weighted", "fixed"])["p"].between(0, 1).all()


def test_a_model_that_nobody_follows_scores_nothing() -> None:
    clean = world(7)[0]
    opposite = g.FlexibleModel(clean.mean(axis=0).max() - clean.mean(axis=0)[None])  # to which no weight is positive
    found = g.flexible_bootstrap(clean, [opposite], "pearson", 20, np.random.default_rng(0))
    assert found.scores[0] == np.nanmedian(found.draws["both"][:, 0]) == 0
    assert np.isnan(found.draws["both"][:, 0]).sum() == found.n_undefined
    none = g.score_combinations({"it": clean[:, None]}, {("net", "none"): opposite}, "pearson", 5, 2, over="stimuli")
    assert none[["weights", "over"]].to_numpy().tolist() == [["0.00", "stimuli"]]


def test_bad_input() -> None:
    (subjects, candidates), rng = world(), np.random.default_rng(0)
    models = [g.FlexibleModel(candidates)]
    refused("deals folds at random", g.flexible_bootstrap, subjects, models, "cosine")
    refused("3 stimuli each", g.flexible_bootstrap, subjects[:, :6], [candidates[0, :6]], "cosine", rng=rng)
    refused("2 folds or more", g.flexible_bootstrap, subjects, models, "cosine", rng=rng, n_folds=(1, 2))
    refused("method must be one of", g.flexible_bootstrap, subjects, models, "tau-a", rng=rng)
    refused("91 pairs", g.fit_weights, subjects, g.FlexibleModel(candidates[:, :6]), "cosine")
    of_subjects = {1: 1, 2: 2, 9: 2, 10: 3, 18: 3, 19: 4, 31: 4, 32: 5, 99: 5}  # each keeps several of what is drawn
    of_stimuli = {6: 2, 18: 2, 19: 3, 37: 3, 38: 4, 63: 4, 64: 5, 99: 5}
    assert {n: _default_folds(n, 6)[0] for n in of_subjects} == of_subjects
    assert {n: _default_folds(1, n)[1] for n in of_stimuli} == of_stimuli
