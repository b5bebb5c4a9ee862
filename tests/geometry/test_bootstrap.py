import warnings

import numpy as np
import pytest
import rsatoolbox
from refusals import refused
from rsatoolbox.model import ModelFixed, ModelInterpolate, ModelSelect, ModelWeighted
from rsatoolbox.model.fitter import fit_interpolate, fit_regress_nn, fit_select
from rsatoolbox.util.inference_util import extract_variances
from scipy.stats import rankdata
from shown import Record, cases, within

import brainalign.geometry as g
from brainalign.condensed import square_rdms
from brainalign.geometry.inference.flexible import _default_folds

N_SUBJECTS, N_STIMULI, N_BOOT = 7, 12, 12
PAIRS = np.triu_indices(N_STIMULI, 1)
TOOLBOX = {
    "spearman": "spearman", "rho-a": "rho-a", "tau-a": "tau-a", "pearson": "corr", "cosine": "cosine",
    "whitened-pearson": "corr_cov", "whitened-cosine": "cosine_cov",
}  # fmt: skip


def world(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy RDMs of subjects and three models, one of which ties most pairs."""
    rng = np.random.default_rng(seed)
    truth = g.rdm(rng.normal(size=(N_STIMULI, 6)), "euclidean")
    subjects = truth + rng.normal(size=(N_SUBJECTS, len(truth))) * 0.5
    differs = (PAIRS[0] % 3 != PAIRS[1] % 3) * 1.0
    return subjects, np.stack([truth + rng.normal(size=len(truth)) * 0.3, differs, rng.uniform(size=len(truth))])


def index_draws(rng: np.random.Generator, n_boot: int = N_BOOT) -> tuple[np.ndarray, np.ndarray]:
    return tuple(rng.integers(n, size=(n_boot, n)) for n in (N_SUBJECTS, N_STIMULI))


@pytest.mark.parametrize("method", TOOLBOX)
def test_equals_rsatoolbox_on_the_same_draws(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    subjects, models = world()
    draws = index_draws(np.random.default_rng(1))
    draws[0][0] = np.arange(N_SUBJECTS) % 2  # two subjects: leaving one out leaves one
    queue = [row for pair in zip(*draws, strict=True) for row in pair]  # it draws subjects, then stimuli
    monkeypatch.setattr(rsatoolbox.inference.bootstrap.np.random, "randint", lambda *_, **__: queue.pop(0))
    rdms = rsatoolbox.rdm.RDMs(subjects)
    fixed = [rsatoolbox.model.ModelFixed(str(k), model) for k, model in enumerate(models)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = rsatoolbox.inference.eval_dual_bootstrap(fixed, rdms, method=TOOLBOX[method], N=N_BOOT)
    ours = g.dual_bootstrap(subjects, models, method, draws=draws)
    for number, name in enumerate(("both", "subjects", "stimuli")):
        np.testing.assert_allclose(ours.draws[name][:, :3], theirs.evaluations[:, :, 0, 0, number], atol=1e-10)
        np.testing.assert_allclose(ours.draws[name][:, 3:], theirs.noise_ceiling[:, :, 0, number].T, atol=1e-10)
    model, difference, ceiling = extract_variances(theirs.variances, True, N_SUBJECTS, N_STIMULI)
    np.testing.assert_allclose(ours.se() ** 2, model, atol=1e-10)
    contrasts = np.array([[1, -1, 0, 0, 0], [1, 0, -1, 0, 0], [0, 1, -1, 0, 0]])
    np.testing.assert_allclose(ours.se(contrasts) ** 2, difference, atol=1e-10)
    np.testing.assert_allclose(ours.se(np.eye(3, 5) - np.array([0, 0, 0, 1, 0])) ** 2, ceiling[:, 0], atol=1e-10)
    assert ours.dof == theirs.dof


def slow(a: np.ndarray, b: np.ndarray, pairs: np.ndarray, method: str, variances: np.ndarray | None = None) -> float:
    """Compare two vectors of dissimilarities between the drawn stimuli, without a library's help."""
    if method == "tau-a":
        return (np.sign(a[:, None] - a) * np.sign(b[:, None] - b)).sum() / (len(a) * (len(a) - 1))
    x, y = (rankdata(v) for v in (a, b)) if method in {"spearman", "rho-a"} else (a, b)
    if "cosine" not in method:
        x, y = x - x.mean(), y - y.mean()
    n = len(x)
    if method == "rho-a":
        return x @ y / ((n**3 - n) / 12)
    wx, wy = x, y
    if "whitened" in method:  # by the covariance of dissimilarities of pairs of places, by its definition
        contrasts = np.eye(pairs.max() + 1)[pairs[0]] - np.eye(pairs.max() + 1)[pairs[1]]
        weights = 1 if variances is None else variances[: pairs.max() + 1]
        wx, wy = np.linalg.solve((contrasts * weights @ contrasts.T) ** 2, np.stack([x, y], axis=1)).T
    return x @ wy / np.sqrt((x @ wx) * (y @ wy))


def written_out(subjects: np.ndarray, models: np.ndarray, drawn: np.ndarray, method: str, variances=None) -> np.ndarray:
    """Compare every subject with every model over the pairs that both have of the drawn stimuli, copies written out."""
    i, j = drawn[PAIRS[0]], drawn[PAIRS[1]]
    copied = square_rdms(np.concatenate([subjects, models]))[:, i, j][:, i != j]
    places, own = np.stack(PAIRS)[:, i != j], None if variances is None else variances[drawn]
    scores = np.empty((len(subjects), len(models)))
    for subject, k in np.ndindex(scores.shape):
        a, b = copied[subject], copied[len(subjects) + k]
        seen = np.isfinite(a + b)
        scores[subject, k] = slow(a[seen], b[seen], places[:, seen], method, own)
    return scores


@pytest.mark.parametrize("method", TOOLBOX)
def test_weights_equal_copies_with_missing_pairs(method: str) -> None:
    subjects, models = world(2)
    subjects[1, :11] = np.nan  # the first stimulus of one subject
    models[2, [5, 40]] = np.nan
    drawn, stimuli = index_draws(np.random.default_rng(3))
    found = g.dual_bootstrap(subjects, models, method, draws=(drawn, stimuli))
    assert found.n_missing[1].tolist() == [11, 11, 12]  # pair 5 lacks in both
    for draw in range(0, N_BOOT, 3):
        scores = written_out(subjects, models, stimuli[draw], method)
        np.testing.assert_allclose(found.draws["both"][draw, :3], scores[drawn[draw]].mean(axis=0), atol=1e-10)
        np.testing.assert_allclose(found.draws["stimuli"][draw, :3], scores.mean(axis=0), atol=1e-10)


@pytest.mark.parametrize("method", ["whitened-cosine", "whitened-pearson"])
def test_variances_of_stimuli_by_brute_force(method: str) -> None:
    """Every drawn copy has the variance of its stimulus; equal variances change nothing, ceilings included."""
    subjects, models = world(6)
    drawn, stimuli = index_draws(np.random.default_rng(7), 6)
    stimuli, variances = np.sort(stimuli, axis=1), np.random.default_rng(8).uniform(0.2, 3, size=N_STIMULI)
    found = g.dual_bootstrap(subjects, models, method, draws=(drawn, stimuli), sigma_k=variances)
    for draw in range(6):
        scores = written_out(subjects, models, stimuli[draw], method, variances)
        np.testing.assert_allclose(found.draws["both"][draw, :3], scores[drawn[draw]].mean(axis=0), atol=1e-10)
        np.testing.assert_allclose(found.draws["stimuli"][draw, :3], scores.mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(found.scores, g.compare(subjects, models, method, variances).mean(axis=0))
    assert found.ceiling == pytest.approx(g.rdm_noise_ceiling(subjects, method, variances))
    equal = g.dual_bootstrap(subjects, models, method, draws=(drawn, stimuli), sigma_k=np.full(N_STIMULI, 2.0))
    for name, values in g.dual_bootstrap(subjects, models, method, draws=(drawn, stimuli)).draws.items():
        np.testing.assert_allclose(equal.draws[name], values, atol=1e-9)


@pytest.mark.parametrize("method", ["spearman", "pearson"])
def test_a_constant_subject_and_draws_without_a_pair(method: str) -> None:
    (subjects, models), draws = world(), index_draws(np.random.default_rng(1))
    draws[1][3] = 5  # the same stimulus every time
    with_one = np.insert(subjects, 2, 0.3, axis=0)
    expected, found = (g.dual_bootstrap(x, models, method, draws=draws, over="stimuli") for x in (subjects, with_one))
    assert np.isnan(expected.draws["stimuli"]).any(axis=1).tolist() == [k == 3 for k in range(N_BOOT)]
    np.testing.assert_allclose(found.draws["stimuli"], expected.draws["stimuli"], atol=1e-10)
    subjects[1, np.max(PAIRS, axis=0) > 5], draws[1][3] = np.nan, np.arange(N_STIMULI) % 6 + 6
    assert g.flexible_bootstrap(subjects, [models[0]], method, rng=np.random.default_rng(2), draws=draws).n_undefined


def test_bad_input() -> None:
    (subjects, models), rng, variances = world(), np.random.default_rng(0), np.ones(N_STIMULI)
    given = subjects, models, "cosine", 2
    refused("rng is None; pass rng=", g.dual_bootstrap, *given)
    refused("'cosine' does not use it", g.dual_bootstrap, *given, rng, sigma_k=variances)
    whitened, matrix = (subjects, models, "whitened-cosine", 2, rng), np.diag(variances)
    refused("but draws repeat stimuli; give variances", g.dual_bootstrap, *whitened, sigma_k=matrix)
    refused("there is 1", g.dual_bootstrap, subjects[:1], models, "cosine", rng=rng, over="subjects")
    refused("65 is not a number of pairs", g.dual_bootstrap, subjects[:, :65], models[:, :65], "cosine", rng=rng)
    refused("0 reference sets", g.score_references, {}, {("net", "a"): models[0]})


def rejections(n: int, over: str, seed: int) -> np.ndarray:
    """Return whether the test of each study called the equally good models, and the worse one, different. Each model
    sees the truth through accidents of its own, which are new with every set of stimuli: on average over stimuli the
    first two are equally good, on any one set one of them is better."""
    rng = np.random.default_rng(seed)
    contrasts, found = np.array([[1.0, -1, 0, 0, 0], [1, 0, -1, 0, 0]]), []
    for _ in range(n):
        truth, *own = (rng.normal(size=(24, 6)) for _ in range(4))
        noisy = g.rdm(truth @ rng.normal(size=(6, 30)) + rng.normal(size=(12, 24, 30)) * 3, "euclidean")
        seen = [np.hstack([truth, w * x]) for w, x in zip((0.8, 0.8, 2.0), own, strict=True)]
        models = np.stack([g.rdm(features, "euclidean") for features in seen])
        found.append(g.dual_bootstrap(noisy, models, "pearson", 200, rng, over=over).test(contrasts)[1] <= 0.05)
    return np.array(found)


@cases((60, 30), (500, 100))("sizes")
def test_calibration(sizes: tuple[int, int], record: Record) -> None:
    """Two equally good models, 24 random stimuli, 12 subjects: dual bootstrap against subjects alone"""
    n, n_alone = sizes
    equal, worse = rejections(n, "both", 7).mean(axis=0)
    alone = rejections(n_alone, "subjects", 8)[:, 0].mean()
    within(record, "dual bootstrap, false positives at .05", equal, f" (n = {n})", most=0.07 if n >= 500 else 0.12)
    within(record, "dual bootstrap, power against a worse model", worse, f" (n = {n})", least=0.8)
    within(record, "subjects alone, false positives at .05: too many", alone, f" (n = {n_alone})", least=0.2)


@cases(30, 500)("n")
def test_equally_good_models_have_no_best(n: int, record: Record) -> None:
    """Six equally good models: how often the max-statistic calls any difference, and how often it calls a best one"""
    rng = np.random.default_rng(9)
    equal = np.array([called(rng, np.full(6, 0.8)) for _ in range(n)]).mean(axis=0)
    better = np.array([called(rng, np.array([0.1, *[2.0] * 5])) for _ in range(max(n // 5, 15))]).mean(axis=0)
    most = 0.07 if n >= 500 else 0.17
    within(record, "any difference from the best called, max-statistic", equal[1], f" (n = {n})", most=most)
    within(record, "the same without correction: too many", equal[0], least=equal[1])
    within(record, "a best model called where there is none", equal[2], most=equal[1])
    within(record, "a best model called where there is one", better[2], least=0.8)


def called(rng: np.random.Generator, weights: np.ndarray) -> tuple[bool, bool, bool]:
    """Return whether any difference is called without correction, with it, and whether the best model is."""
    truth = rng.normal(size=(24, 6))
    subjects = g.rdm(truth @ rng.normal(size=(6, 30)) + rng.normal(size=(12, 24, 30)) * 3, "euclidean")
    own = rng.normal(size=(len(weights), 24, 6)) * weights[:, None, None]
    models = g.rdm(np.concatenate([np.broadcast_to(truth, own.shape), own], axis=2), "euclidean")
    table = g.compare_models(g.dual_bootstrap(subjects, models, "pearson", 200, rng), list("abcdef"))
    best = (table["p_max"] <= 0.05).all() and table["model"][0] == "a"
    return (table["p"] <= 0.05).any(), (table["p_max"] <= 0.05).any(), best


def test_the_honest_best_of_layers_and_of_all(rng: np.random.Generator) -> None:
    """A group and one subject whose truth is layer b of a network; a published model that is as good."""
    layers = {name: g.rdm(rng.normal(size=(30, 8)), "euclidean") for name in "abc"}
    noisy = layers["b"] + rng.normal(size=(8, 2, 435)) * 0.5
    candidates = {("net", name): values for name, values in layers.items()}
    candidates |= {("published", ""): layers["b"] + rng.normal(size=435) * 0.01}
    found = g.score_references({"group": noisy, "single": noisy[:1, :1]}, candidates, "spearman", 150, 3)
    best = found.best.set_index(["reference", "family"])
    assert best.loc[("group", "net"), ["layer", "decided"]].tolist() == ["b", True]
    assert not best.loc[("group", "all"), "decided"]
    assert best.loc[("single", "net"), "sentence"].endswith("this holds over stimuli, not over individuals.")
    two = {("pixels", "pixels"): layers["a"], ("net", "b"): layers["b"]}
    (sentence,) = g.score_references({"group": noisy}, two, "spearman", 50, 3).best["sentence"].unique()
    assert sentence.startswith("net b scores highest")
    assert sentence.endswith("and exceeds the other.")
    scores = found.scores.set_index(["reference", "model", "layer"]).loc["group"]
    assert scores["score"].idxmax()[0] in ("net", "published")
    assert scores.loc[("net", "b"), "p"] < 0.001 < scores.loc[("net", "a"), "p"]
    cosines = g.score_references({"group": noisy}, two, "cosine", 20, 3).scores
    assert cosines["gap_p"].notna().all()
    assert cosines["p"].isna().all(), "of a model that has nothing to do with them it would be below .001 as well"


@pytest.mark.parametrize("method", ["spearman", "rho-a", "pearson", "whitened-cosine"])
def test_errors_at_many_places_are_those_of_each(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where pairs are missing, a place is constant, and places are taken two at a time."""
    rdms, models = np.stack([world(seed)[0][0] for seed in range(5)]), world()[1]
    rdms[1, 4], rdms[3], models[2, 7] = np.nan, 1.0, np.nan
    monkeypatch.setattr("brainalign.geometry.inference.bootstrap.CHUNK_BYTES", 2 * 8 * rdms.shape[-1])
    for place, errors in zip(rdms, g.bootstrap_places(rdms, models, method, 50, np.random.default_rng(4)), strict=True):
        draws = g.dual_bootstrap(place[None], models, method, 50, np.random.default_rng(4), over="stimuli")
        np.testing.assert_allclose(errors, draws.se(), rtol=1e-9)


MODELS = {
    "weighted": (ModelWeighted, fit_regress_nn),
    "select": (ModelSelect, fit_select),
    "interpolate": (ModelInterpolate, fit_interpolate),
}
N_PEOPLE, N_SHOWN = 6, 14


def mixture(seed: int = 0, n_rdms: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return RDMs of subjects that mix two of four candidates, and the candidates."""
    rng = np.random.default_rng(seed)
    # Small, because the active set of rsatoolbox stops at an absolute tolerance that rounding of larger ones exceeds.
    candidates = 1e-3 * g.rdm(rng.normal(size=(n_rdms, N_SHOWN, 5)), "euclidean")
    truth = 0.7 * candidates[1] + 0.3 * candidates[2]
    return truth + rng.normal(size=(N_PEOPLE, len(truth))) * 5e-4, candidates


@pytest.mark.parametrize("method", list(TOOLBOX)[3:])
@pytest.mark.parametrize("fit", MODELS)
def test_fits_equal_those_of_rsatoolbox(fit: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exact_solutions(monkeypatch)
    kind, fitter = MODELS[fit]
    for seed in range(4):
        subjects, candidates = mixture(seed)
        candidates[0] = -candidates[3] + candidates[3].max()  # one that gets no weight
        theirs = fitter(kind("m", candidates), rsatoolbox.rdm.RDMs(subjects), method=TOOLBOX[method])
        if fit == "select":
            theirs = np.eye(4)[theirs]
        found = g.fit_weights(subjects, g.FlexibleModel(candidates, fit), method)
        found, theirs = (weights / np.linalg.norm(weights) for weights in (found, theirs))
        np.testing.assert_allclose(found, theirs, atol=1e-6 if fit != "interpolate" else 1e-4)


def exact_solutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rsatoolbox solve with the covariance exactly: its conjugate gradients stop at a residual of 1e-5."""
    solve = rsatoolbox.model.fitter.scipy.sparse.linalg.spsolve
    monkeypatch.setattr(rsatoolbox.model.fitter.scipy.sparse.linalg, "cg", lambda v, x, **_: (solve(v.tocsc(), x), 0))


IN_ORDER = type("InOrder", (np.random.Generator,), {"permutation": lambda _, n: np.arange(n)})(np.random.PCG64())


@pytest.mark.parametrize("method", ["pearson", "whitened-cosine", "spearman"])
def test_equals_rsatoolbox_on_the_same_draws_and_folds(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations, ceilings and variances of models cross-validated in every draw; one draw has too few stimuli."""
    subjects, candidates = mixture(3)
    n_boot, rng = 5, np.random.default_rng(1)
    draws = tuple(rng.integers(n, size=(n_boot, n)) for n in (N_PEOPLE, N_SHOWN))
    draws[1][2] = np.arange(N_SHOWN) % 5
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
    ours = g.flexible_bootstrap(subjects, models, method, rng=IN_ORDER, draws=draws, n_folds=(3, 2), n_cv_score=1)
    assert ours.n_undefined == 1
    for number, name in enumerate(("both", "subjects", "stimuli")):
        there = np.isfinite(ours.draws[name][:, 0])
        expected = theirs.evaluations[:, :, :, 0, number].mean(axis=2)
        np.testing.assert_allclose(ours.draws[name][there, :2], expected[there], atol=1e-8)
        expected = theirs.noise_ceiling[:, :, 0, number].T
        np.testing.assert_allclose(ours.draws[name][there, 2:], expected[there], atol=1e-10)


def test_variances_of_divisions_equal_rsatoolbox() -> None:
    """The same numbers in the same formula: two divisions, projected to infinitely many, then the dual bootstrap."""
    subjects, candidates = mixture(5)
    models = [g.FlexibleModel(candidates), candidates[1]]
    ours = g.flexible_bootstrap(subjects, models, "pearson", 60, np.random.default_rng(2))
    there = np.isfinite(ours.draws["both"][:, 0])
    each = np.stack([ours.divisions[name][:, there] for name in ("both", "subjects", "stimuli")])
    whole = np.stack([np.cov(e.mean(axis=0).T) for e in each])
    single = np.stack([np.mean([np.cov(x.T) for x in e], axis=0) for e in each])
    model, difference, ceiling = extract_variances((2 * whole - single) / (each.shape[1] - 1), True, N_PEOPLE, N_SHOWN)
    np.testing.assert_allclose(ours.se() ** 2, np.maximum(model, 0), atol=1e-10)
    np.testing.assert_allclose(ours.se(np.array([[1.0, -1, 0, 0]])) ** 2, np.maximum(difference, 0), atol=1e-10)
    np.testing.assert_allclose(ours.se(np.array([[1.0, 0, -1, 0]]))[0] ** 2, max(ceiling[0, 0], 0), atol=1e-10)
    assert 0 <= ours.n_undefined < 60
    assert g.compare_models(ours, ["weighted", "fixed"])["p"].between(0, 1).all()


def test_a_model_that_nobody_follows_scores_nothing_and_bad_input() -> None:
    clean = mixture(7)[0]
    opposite = g.FlexibleModel(clean.mean(axis=0).max() - clean.mean(axis=0)[None])  # to which no weight is positive
    found = g.flexible_bootstrap(clean, [opposite], "pearson", 20, np.random.default_rng(0))
    assert found.scores[0] == np.nanmedian(found.draws["both"][:, 0]) == 0
    assert np.isnan(found.draws["both"][:, 0]).sum() == found.n_undefined
    none = g.score_combinations({"it": clean[:, None]}, {("net", "none"): opposite}, "pearson", 5, 2, over="stimuli")
    assert none[["weights", "over"]].to_numpy().tolist() == [["0.00", "stimuli"]]
    (subjects, candidates), rng = mixture(), np.random.default_rng(0)
    models = [g.FlexibleModel(candidates)]
    refused("rng is None; pass rng=", g.flexible_bootstrap, subjects, models, "cosine")
    refused("3 stimuli each", g.flexible_bootstrap, subjects[:, :6], [candidates[0, :6]], "cosine", rng=rng)
    refused("2 folds or more", g.flexible_bootstrap, subjects, models, "cosine", rng=rng, n_folds=(1, 2))
    refused("method must be one of", g.flexible_bootstrap, subjects, models, "tau-a", rng=rng)
    endless = g.FlexibleModel(np.where(candidates == candidates.max(), np.inf, candidates))
    refused("1 dissimilarities are infinite", g.fit_weights, subjects, endless, "cosine")
    refused("but one of data has 91", g.fit_weights, subjects, g.FlexibleModel(candidates[:, :6]), "cosine")
    of_subjects = {1: 1, 2: 2, 9: 2, 10: 3, 18: 3, 19: 4, 31: 4, 32: 5, 99: 5}  # each keeps several of what is drawn
    of_stimuli = {6: 2, 18: 2, 19: 3, 37: 3, 38: 4, 63: 4, 64: 5, 99: 5}
    assert {n: _default_folds(n, 6)[0] for n in of_subjects} == of_subjects
    assert {n: _default_folds(1, n)[1] for n in of_stimuli} == of_stimuli
