import numpy as np
import pandas as pd
import pytest
from refusals import refused
from scipy import stats
from scipy.signal import lfilter

import brainalign.statistics as st
from brainalign.simulation import linear_world


def trials(n_stimuli: int, planted: np.ndarray, repeats: np.ndarray | int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return shuffled single trials and their stimulus ids; `repeats` may differ between stimuli."""
    most = int(np.max(repeats))
    world = linear_world(n_stimuli, 20, most, planted, seed)
    kept = np.arange(most)[:, None] < np.broadcast_to(repeats, n_stimuli)
    ids = np.broadcast_to(np.arange(n_stimuli).astype(str), kept.shape)[kept]
    order = np.random.default_rng(seed).permutation(len(ids))
    return world.repeats[kept][order], ids[order]


@pytest.mark.parametrize("block", [4, 4096])
@pytest.mark.parametrize("repeats", [2, np.array([1, 1, 2, 3, 5, 1, 2, 4])])
def test_equal_to_loops(repeats: np.ndarray | int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainalign.statistics.ceilings.BLOCK", block)
    values, ids = trials(8, np.linspace(0, 0.9, 30), repeats, seed=1)
    expected = []
    for column in values.T:  # pooled noise variance, then the signal variance that explains the total one
        groups = [column[ids == name] for name in sorted(set(ids))]
        k = np.array([len(group) for group in groups])
        noise, n = sum(((group - group.mean()) ** 2).sum() for group in groups) / (k - 1).sum(), k.sum()
        signal = (((column - column.mean()) ** 2).sum() - (n - 1) * noise) / (n - (k**2).sum() / n)
        expected.append(signal / (abs(signal) + noise))
    np.testing.assert_allclose(st.signal_share(values, ids), expected, atol=1e-10)
    assert min(expected) < 0  # the unclamped branch is covered
    # A third axis, an offset and a scale change nothing.
    cube = 1000 + 7 * values.reshape(len(values), 5, 6)
    np.testing.assert_allclose(st.signal_share(cube, ids), np.reshape(expected, (5, 6)), atol=1e-8)


def test_identity_with_the_published_formulas() -> None:
    repeats = linear_world(1000, 20, 3, np.repeat([0.1, 0.5], 20), 3).repeats
    values, ids = repeats.reshape(3000, 40), np.tile(np.arange(1000).astype(str), 3)
    values = (values - values.mean(axis=0)) / values.std(axis=0, ddof=1)
    # encoders.md: s2n = mean within-image variance (ddof 1), s2s = 1 − s2n, ncsnr = √(s2s / s2n)
    within = np.mean([values[ids == name].var(axis=0, ddof=1) for name in np.unique(ids)], axis=0)
    np.testing.assert_allclose(st.ncsnr(values, ids), np.sqrt((1 - within) / within), rtol=2e-3)
    ratio, rho1 = st.ncsnr(values, ids), st.signal_share(values, ids)
    np.testing.assert_allclose(rho1, ratio**2 / (1 + ratio**2))  # single-trial correlation
    for n in (1, 3, 10):
        np.testing.assert_allclose(st.spearman_brown(rho1, n), st.noise_ceiling_from_ncsnr(ratio, n))
        np.testing.assert_allclose(st.noise_ceiling_from_share(rho1, n), st.noise_ceiling_from_ncsnr(ratio, n))
    n_repeats, expected = np.repeat([3, 2, 1], [5, 3, 2]), 0.49 / (0.49 + (5 / 3 + 3 / 2 + 2) / 10)
    np.testing.assert_allclose(st.noise_ceiling_from_ncsnr(0.7, n_repeats), expected)
    np.testing.assert_allclose(st.noise_ceiling_from_ncsnr(-0.7, n_repeats), -expected)
    np.testing.assert_allclose(st.spearman_brown(np.array([0.5, 0.25]), np.array([2, 1 / 5])), [2 / 3, 1 / 16])


def test_edges() -> None:
    ids = np.array(["a", "a", "b", "b"])
    values = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 3.0], [0.0, 3.0]])
    share = st.signal_share(values, ids)
    assert np.isnan(share[0])  # constant
    assert np.isnan(st.signal_share(np.full((21, 1), 36.6), np.repeat(np.arange(7), 3)))
    np.testing.assert_array_equal(values[:, 1], [1, 1, 3, 3])  # what is given stays as it is
    assert share[1] == 1  # repeats without noise
    assert st.noise_ceiling_from_ncsnr(st.ncsnr(values, ids), 3)[1] == 1
    refused("shown twice; got 4 trials of 4 stimuli", st.ncsnr, values, np.arange(4))
    refused("give one stimulus id per trial", st.ncsnr, values, ids[:3])
    for lost in (values * [1, np.nan], np.ma.masked_equal(values, values.max())):
        refused("NaN", st.ncsnr, lost, ids)
    refused("1 repeat or more", st.noise_ceiling_from_ncsnr, 0.5, [3, 0])


def subjects(n: int, share: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sqrt(share) * rng.normal(size=(800, 40)) + np.sqrt(1 - share) * rng.normal(size=(n, 800, 40))


def test_other_subjects_as_a_ceiling_and_zero_without_signal() -> None:
    n, share = 5, 0.4
    values = subjects(n, share, seed=9) * 10.0 ** np.arange(n)[:, None, None]
    found = st.leave_one_subject_out_ceiling(values)
    # A model that knows what subjects share explains `share` of each: between the bounds.
    others, whole = share + (1 - share) / (n - 1), share + (1 - share) / n  # variances of means
    assert found.lower.mean() == pytest.approx(share**2 / others, abs=0.01)
    assert found.upper.mean() == pytest.approx(whole, abs=0.01)
    assert abs(st.leave_one_subject_out_ceiling(subjects(4, 0.0, seed=11)).lower.mean()) < 0.002
    refused(">= 2 subjects", st.leave_one_subject_out_ceiling, values[:1])
    rng = np.random.default_rng(3)
    for n_repeats, n_stimuli, n_averaged in ((2, 12, 3), (12, 8, 1), (3, 50, 3)):
        found = st.noise_ceiling(rng.normal(size=(n_repeats, n_stimuli, 4000)), n_averaged, n_halvings=20)
        assert abs(found.mean()) < 4 * found.std() / np.sqrt(4000)
        assert np.abs(found).max() <= 1
    two = rng.normal(size=(2, 20, 5))
    np.testing.assert_allclose(st.split_half_reliability(two, n_halvings=3), st.pearson(*two))
    four = rng.normal(size=(5, 20, 50)) + rng.normal(size=(20, 50))  # of five repeats a halving takes four
    halves = st.split_half_reliability(four, 5)
    expected = np.sign(halves) * st.spearman_brown(np.abs(halves), 3 / 2)
    np.testing.assert_allclose(st.noise_ceiling(four, 3, 5), expected)
    assert expected.mean() == pytest.approx(3 / 4, abs=0.05)
    refused(r"got \(1, 20, 5\)", st.noise_ceiling, two[:1])


def test_targets_are_reliable_whose_repeats_are_alike() -> None:
    """Twelve stimuli shown twice among 200 shown once: the ceiling of half of all noise exceeds .2."""
    ids = np.r_[np.repeat(np.arange(12), 2), np.arange(12, 212)].astype(str)
    rng = np.random.default_rng(5)
    values, signal = rng.standard_t(5, size=(len(ids), 4000)), rng.normal(size=(212, 200))
    values[:, :200] += 4 * signal[ids.astype(int)]
    q, p = st.repeats_q(values, ids), stats.f_oneway(*(values[ids == str(k)] for k in range(12))).pvalue
    np.testing.assert_allclose(q, stats.false_discovery_control(p), rtol=1e-9)
    np.testing.assert_allclose(st.repeats_q(values[:24], ids[:24]), q, rtol=1e-9)  # stimuli shown once are no evidence
    table = pd.DataFrame({"ceiling": st.noise_ceiling_from_share(st.signal_share(values, ids), 2), "repeats_q": q})
    assert (table["ceiling"][200:] > 0.2).mean() > 0.3
    reliable = st.reliable_targets(table, 0.2)
    assert reliable[:200].mean() > 0.8
    assert reliable[200:].sum() < 0.1 * reliable.sum()
    assert not st.reliable_targets(table, 1.0).any()
    assert st.reliable_targets(table.assign(ceiling=np.nan), 0.2).all()
    one = table.assign(repeats_q=st.repeats_q(values[22:], ids[22:]))  # a single stimulus was repeated
    assert (st.reliable_targets(one, 0.2) == (table["ceiling"] > 0.2)).all()


@pytest.mark.parametrize("centred", [True, False])
def test_runs_that_show_all_stimuli_may_differ_or_be_centred(centred: bool, monkeypatch) -> None:
    """No difference of averages holds a shift of runs, so it is no noise; centring takes degrees of freedom."""
    ids, runs, rng = np.tile(np.arange(8), 12), np.repeat(np.arange(12), 8), np.random.default_rng(3)
    signal = rng.normal(size=(8, 1500)) * (np.arange(1500) < 500)
    values = rng.normal(size=(96, 1500)) + signal[ids]
    values += -values.reshape(12, 8, -1).mean(axis=1)[runs] if centred else rng.normal(size=(12, 1500))[runs]
    shares = st.share_and_q(values, ids, runs=[np.arange(96), runs])[0], 1 - 1 / (signal.var(axis=0, ddof=1) + 1)
    np.testing.assert_allclose(*(x.reshape(3, 500).mean(axis=1) for x in shares), atol=0.02)
    monkeypatch.setattr("brainalign.statistics.ceilings.fdr", np.asarray)  # p, one by one
    assert 0.03 < np.mean(st.repeats_q(values[:, 500:], ids, runs=[runs]) < 0.05) < 0.07


@pytest.mark.parametrize("nested", [False, True])
def test_shifts_of_runs_are_no_noise_of_all_and_no_signal_of_one(nested: bool, rng: np.random.Generator) -> None:
    """Of 20 images in each of 6 runs, or 60 thrice, each in one of 4, whose shift repeats share; beside others once."""
    ids, runs = np.r_[np.tile(np.arange(20), 6), 20:92], np.r_[np.r_[:6].repeat(20), np.r_[:6].repeat(12)]
    if nested:
        ids, runs = (every := np.r_[np.repeat(np.arange(60), 3), 60:100]), every // 15 % 4
    signal = rng.normal(size=(ids.max() + 1, 600)) * (np.arange(600) < 400)
    values = rng.normal(size=(len(ids), 600)) + signal[ids] + 2 * rng.normal(size=(runs.max() + 1, 600))[runs]
    share, q = st.share_and_q(values, ids, runs=[runs])
    np.testing.assert_allclose([share[:400].mean(), share[400:].mean()], [0.5, 0], atol=0.02)
    assert (q[:400] < 0.05).mean() > 0.95
    assert (q[400:] < 0.05).sum() < 0.05 * (q < 0.05).sum()


@pytest.mark.parametrize(("missing", "once"), [(0.05, 0), (0.3, 0), (0.5, 0), (0.3, 20)])
def test_shifts_of_runs_are_noise_as_far_as_averages_hold_them(missing, once, rng) -> None:
    """Of 40 images in 8 runs but some, `once` of them shown and scored once; averages of noise tell what is held."""
    ids, runs = np.argwhere(rng.random((40, 8)) > missing).T
    ids, runs = (of[(ids >= once) | (np.diff(ids, prepend=-1) > 0)] for of in (ids, runs))
    noise = rng.normal(size=(len(ids), 1500)) + 1.5 * rng.normal(size=(8, 1500))[runs]
    signal, n = rng.normal(size=(40, 1500)) * (np.arange(1500) < 500), np.bincount(ids)
    held = np.add.reduceat(noise, np.flatnonzero(np.diff(ids, prepend=-1))) / n[:, None]
    of = slice(once or 40)
    share, q = st.share_and_q(noise + signal[ids], ids, runs=[runs], scored=np.flatnonzero(ids < of.stop))
    expected = 1 / (1 + held[of].var(axis=0, ddof=1).mean() / (1 / n[of]).mean())
    np.testing.assert_allclose([share[:500].mean(), share[500:].mean()], [expected, 0], atol=0.015)
    if not once:  # else the mean of ratios is too low by .016
        within = st.share_and_q(noise + signal[ids], ids, runs=[runs], scored=np.arange(0))[0]
        np.testing.assert_allclose(within[:500].mean(), 0.5, atol=0.015)
    assert (q[500:] < 0.05).sum() < 0.05 * (q < 0.05).sum()


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_time_courses_count_as_their_independent_rows(rho: float, monkeypatch) -> None:
    """Bartlett's (1 − ρ²) / (1 + ρ²); counted as rows, noise alone is called alike too often."""
    noise = np.random.default_rng(1).normal(size=(2, 650, 500))
    parts = np.split(lfilter([1], [1, -rho], noise, axis=1)[:, 50:], [250], axis=1)
    share = st.independent_share(parts)
    assert share.mean() == pytest.approx((1 - rho**2) / (1 + rho**2), abs=0.05)
    values, ids = np.concatenate([*np.concatenate(parts, axis=1)]), np.tile(np.arange(600), 2)
    monkeypatch.setattr("brainalign.statistics.ceilings.fdr", np.asarray)  # p, one by one
    plain, counted = (np.mean(st.repeats_q(values, ids, worth) < 0.05) for worth in (1.0, share))
    assert 0.02 < counted < 0.09
    assert plain > 0.15 or rho < 0.8
