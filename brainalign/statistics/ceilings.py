"""Noise ceilings: how much of a target's variance repeats. Always on the variance (r²) scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, special

from brainalign.arrays import Rows, Values, flatten_rows, label_codes, real_values
from brainalign.checks import BrainalignError, check_finite, check_rows, numbers
from brainalign.statistics.resampling import fdr
from brainalign.statistics.scores import pearson, signed_r2


def spearman_brown(reliability: Values, factor: float) -> Values:
    """Return the reliability of averages over `factor` times as many repeats: k·ρ / (1 + (k − 1)·ρ).

    References
    ----------
    Spearman C (1910). Correlation calculated from faulty data. British Journal of Psychology 3:271-295.
    Brown W (1910). Some experimental results in the correlation of mental abilities. ibid. 3:296-322.
    """
    return np.asarray(factor * reliability / (1 + (factor - 1) * reliability))


def split_half_reliability(repeats: Values, n_halvings: int = 200, seed: int = 0) -> Values:
    """Return the correlation (n_targets,) over stimuli between averages of two halves of the repeats.

    Averaged over random halvings; with an odd number of repeats each halving leaves one out. This is the reliability of
    an average over n_repeats // 2 repeats, and unclamped: without any signal it averages 0.

    Parameters
    ----------
    repeats : array (n_repeats, n_stimuli, n_targets)
        At least 2 repeats of 3 stimuli.
    n_halvings : int
    seed : int
    """
    repeats = np.asanyarray(repeats)
    if repeats.ndim != 3 or len(repeats) < 2 or repeats.shape[1] < 3:
        raise BrainalignError(
            f"a split-half ceiling needs 2 repeats of 3 stimuli, (n_repeats, n_stimuli, n_targets); got {repeats.shape}"
        )
    rng, half = np.random.default_rng(seed), len(repeats) // 2
    total = np.zeros(repeats.shape[2])
    for _ in range(n_halvings):
        order = rng.permutation(len(repeats))
        total += pearson(repeats[order[:half]].mean(axis=0), repeats[order[half : 2 * half]].mean(axis=0))
    return total / n_halvings


def noise_ceiling(repeats: Values, n_averaged: float = 1, n_halvings: int = 200, seed: int = 0) -> Values:
    """Return the share of variance (n_targets,) that repeats in responses averaged over `n_averaged` repeats.

    Split-half reliability, scaled to `n_averaged` repeats by Spearman-Brown. It is a variance: divide r² by it, or r
    by its square root. Unclamped, so that targets without signal average 0; negative reliabilities, which only
    noise gives, are scaled like positive ones, because the formula has a pole among them.

    Parameters
    ----------
    repeats : array (n_repeats, n_stimuli, n_targets)
    n_averaged : float
        Repeats behind each response that is scored: 1 when the test set has single trials, below 1 where a repeat is
        itself a mean of several.
    n_halvings, seed : int
    """
    reliability = split_half_reliability(repeats, n_halvings, seed)
    return np.sign(reliability) * spearman_brown(np.abs(reliability), n_averaged / (len(repeats) // 2))


class SubjectCeiling(NamedTuple):
    """How well other subjects predict each one: signed r² (n_subjects, n_targets), lower and upper bound."""

    lower: Values
    upper: Values


def leave_one_subject_out_ceiling(responses_per_subject: Values) -> SubjectCeiling:
    """Compute the share of each subject's variance explained by the mean of the others, and of all, itself included.

    A model of what subjects share can be expected between the two means over subjects: the lower one is noisy and too
    small, the upper one has seen the subject. Signed r² (r·|r|), unclamped; average over subjects, or bootstrap them.
    Responses (n_subjects, n_stimuli, n_targets) are averaged over repeats; targets correspond between subjects (ROI
    averages, parcels, sensors). It needs 2 subjects and 3 stimuli.

    References
    ----------
    Nili H et al. (2014). A toolbox for representational similarity analysis. doi:10.1371/journal.pcbi.1003553
    """
    values = numbers("responses_per_subject", responses_per_subject, np.float64)
    if values.ndim != 3 or len(values) < 2 or values.shape[1] < 3:
        raise BrainalignError(
            f"a leave-one-subject-out ceiling needs (>= 2 subjects, >= 3 stimuli, targets); got {values.shape}"
        )
    check_finite("responses_per_subject", values, "keep stimuli and targets that every subject has")
    # Subjects on one scale, so that a loud one does not make the mean.
    spread = values.std(axis=1, keepdims=True)
    scaled = (values - values.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    total = scaled.sum(axis=0)
    lower = np.stack([pearson(subject, total - subject) for subject in scaled])
    return SubjectCeiling(signed_r2(lower), signed_r2(np.stack([pearson(subject, total) for subject in scaled])))


# Signal and noise variance come from an analysis of variance, so a stimulus may occur once, twice or ten times. Every
# ceiling is a share of variance (r² scale), and unclamped: targets without signal average 0.

LEVEL = 0.05  # false discovery rate of the targets that are called reliable
BLOCK = 2**23  # values whose float64 copy is held at once


def _variances(
    values: Values, stimulus_ids: NDArray[Any], *some: Rows, runs: Rows | None = None
) -> list[NDArray[np.float64]]:
    """Return variances of signal, noise and runs (3, n_targets ...), from all rows and from `some`, read once.

    Of y = stimulus + run + noise by Henderson's third method. Within stimuli that were repeated, what runs do not
    explain is noise, over its degrees of freedom; what they explain beyond it is of runs, over the trace of that part
    of their design. With means of runs taken out, the total is (N − R)·noise + (N − Σ k_ir² / N_r)·signal, for k_ir
    trials of stimulus i among the N_r of run r.
    """
    check_rows("values", len(values), "stimulus_ids", len(stimulus_ids), "give one stimulus id per trial")
    values, ids = real_values("values", values), label_codes("stimulus_ids", stimulus_ids, sort=True)[0]
    flat, whole = flatten_rows(values), np.arange(len(values))
    runs = np.zeros_like(whole) if runs is None else runs
    sides = [(rows, *(np.unique(of[rows], return_inverse=True)[1] for of in (ids, runs))) for rows in (whole, *some)]
    for _, codes, _ in sides:
        if len(k := np.bincount(codes)) < 2 or k.max() < 2:
            raise BrainalignError(
                f"a noise ceiling needs 2 stimuli, one of them shown twice; got {len(codes)} trials of {len(k)} "
                "stimuli; without repeats compare subjects with leave_one_subject_out_ceiling"
            )
    designs = [_Design.of(codes, numbers) for _, codes, numbers in sides]
    found, at_once = [], max(1, BLOCK // len(ids))
    for start in range(0, flat.shape[1], at_once):
        block = flat[:, start : start + at_once]
        check_finite("values", block, "drop these trials or targets")
        parts = zip(sides, designs, strict=True)
        found.append([of.variances(np.array(block[rows], dtype=np.float64, order="C")) for (rows, *_), of in parts])
    return [np.concatenate(parts, axis=1).reshape(3, *values.shape[1:]) for parts in zip(*found, strict=True)]


@dataclass(frozen=True)
class _Design:
    """Which stimulus each trial showed, and in which run.

    Attributes
    ----------
    stimuli, runs : sparse array (n_stimuli, n_trials), (n_runs, n_trials)
        1 where a trial belongs; of stimuli, only where they were repeated.
    shown : sparse array (n_stimuli, n_runs)
        Trials of each repeated stimulus in each run.
    root : array (n_runs, rank)
        root · root' is the inverse of the products of runs within stimuli, of which `trace` is the trace.
    """

    stimuli: sparse.csr_array
    runs: sparse.csr_array
    shown: sparse.csr_array
    root: NDArray[np.float64]
    trace: float
    taken: float  # Σ k_ir² / N_r over all trials

    @classmethod
    def of(cls, codes: Rows, numbers: Rows) -> Self:
        n, k, ones = len(codes), np.bincount(codes), np.ones(len(codes))
        every, runs = (sparse.csr_array((ones, (of, np.arange(n))), (of.max() + 1, n)) for of in (codes, numbers))
        table, kept = every @ runs.T, k > 1
        shown = table[kept]
        within = np.diag(shown.sum(axis=0)) - (shown.T @ sparse.diags_array(1 / k[kept]) @ shown).toarray()
        values, vectors = np.linalg.eigh(within)
        some = values > 1e-9 * n
        taken = float((table.power(2).sum(axis=0) / table.sum(axis=0)).sum())
        return cls(every[kept], runs, shown, vectors[:, some] / np.sqrt(values[some]), float(np.trace(within)), taken)

    @property
    def between(self) -> int:
        """Degrees of freedom of repeated stimuli beside runs."""
        return self.shown.shape[0] + self.root.shape[1] - int((self.shown.sum(axis=0) > 0).sum())

    @property
    def within(self) -> int:
        """Degrees of freedom of noise."""
        return int(self.shown.sum()) - self.shown.shape[0] - self.root.shape[1]

    def variances(self, part: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return variances of signal, noise and runs of a block of targets (3, n_targets), which is overwritten."""
        n, n_runs, k = len(part), self.runs.shape[0], self.shown.sum(axis=1)
        part -= part[:1].copy()  # constants are exactly 0 then
        part -= part.mean(axis=0)
        sums, of_runs = self.stimuli @ part, self.runs @ part
        repeated = self.stimuli.sum(axis=0) > 0
        squares = total = np.einsum("nt,nt->t", part, part)
        of_repeated = of_runs
        if not repeated.all():
            once = part[~repeated]
            squares = total - np.einsum("nt,nt->t", once, once)
            of_repeated = of_runs - self.runs[:, ~repeated] @ once
        apart = np.square(self.root.T @ (of_repeated - self.shown.T @ (sums / k[:, None]))).sum(axis=0)
        noise = (squares - (1 / k) @ sums**2 - apart) / self.within
        shift = (apart - self.root.shape[1] * noise) / self.trace if self.root.size else np.zeros_like(noise)
        signal = total - (1 / self.runs.sum(axis=1)) @ of_runs**2 - (n - n_runs) * noise
        # What rounding leaves of repeats that are all equal is no noise, and no target varies by it.
        rounding = 1e-12 * total / n
        found = np.stack([signal / (n - self.taken), noise, shift])
        found[1] = np.maximum(found[1], 0)
        return np.asarray(np.where(np.abs(found) > rounding, found, 0))


def _held(codes: Rows, numbers: Rows) -> float:
    """Return the variance of runs in averages over the trials of each stimulus, where that of noise is 1."""
    places = tuple(np.unique(of, return_inverse=True)[1] for of in (codes, numbers))
    shown = sparse.csr_array((np.ones(len(codes)), places))
    k = shown.sum(axis=1)
    shares = sparse.diags_array(1 / k) @ shown  # whose variance over stimuli, summed over runs, is 0 if all show all
    spread = (shares.power(2).sum() - np.square(shares.sum(axis=0)).sum() / len(k)) / max(len(k) - 1, 1)
    return float(spread / (1 / k).mean())


def _over(signal: Values, noise: Values) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(signal / noise)


def _share(snr: Values, noise_share: float) -> Values:
    """Return snr / (|snr| + noise_share): the usual ratio for snr >= 0, and mirrored, without a pole, below."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(snr), np.sign(snr), snr / (np.abs(snr) + noise_share))


def signal_share(values: Values, stimulus_ids: NDArray[Any]) -> Values:
    """Return the share of the variance of single trials that the stimulus explains: σ²s / (|σ²s| + σ²n).

    Noise variance σ²n is pooled within stimuli over Σ(k − 1) degrees of freedom; signal variance σ²s is what the total
    variance holds beyond it. Stimuli shown once enter the total only. Unclamped: where noise alone makes σ²s negative,
    so is the share, mirrored so that it stays above −1; without signal it averages 0 (.04: 12 stimuli twice). Store it.

    Parameters
    ----------
    values : array (n_trials, n_targets[, n_times])
        May lie on disk. Z-scored within session beforehand: differences between sessions would count as noise.
    stimulus_ids : array (n_trials,)

    Returns
    -------
    array (n_targets[, n_times]), float64; NaN for a constant target

    Raises
    ------
    BrainalignError
        If no stimulus was shown twice, there are fewer than 2 stimuli, or values are not finite.

    References
    ----------
    Searle SR, Casella G, McCulloch CE (1992). Variance components. Wiley.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([[1.0], [2.0], [5.0], [6.0], [9.0]])
    >>> signal_share(values, np.array(["a", "a", "b", "b", "c"])).round(2).tolist()
    [0.96]
    """
    return _share(_over(*_variances(values, stimulus_ids)[0][:2]), 1.0)


def ncsnr(values: Values, stimulus_ids: NDArray[Any]) -> Values:
    """Return the noise-ceiling signal-to-noise ratio sign(σ²s) · √(|σ²s| / σ²n), for any pattern of repeats.

    Values and shape are as for `signal_share`. Where it is positive it is the ncsnr of the Natural Scenes Dataset,
    which sets negative values, as noise gives, to 0 (`np.maximum(ncsnr, 0)`). Roots are too small on average where
    they are small: average `signal_share` over targets.

    References
    ----------
    Allen EJ et al. (2022). A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial intelligence.
    Nature Neuroscience 25:116-126. doi:10.1038/s41593-021-00962-x
    """
    snr = _over(*_variances(values, stimulus_ids)[0][:2])
    return np.asarray(np.sign(snr) * np.sqrt(np.abs(snr)))


def independent_share(parts: Sequence[Values]) -> Values:
    """Return the effective number of independent rows of time courses, as a share of their rows (n_targets,).

    Products of two independent courses with autocorrelation ρ vary as those of n / Σρ² rows (Bartlett 1946). That is
    (ΣP)² / ΣP² over the frequencies of their spectrum P. A mean of m periodograms scatters by 1/m of its square, which
    makes ΣP² 1 + 1/m times too large. Parts are runs (n_presentations, n_rows, n_targets), n_rows of each its own.
    """
    total, squares, rows = 0.0, 0.0, 0
    for part in parts:
        # (n_frequencies, n_targets), whose squares are fourth powers: of tesla beyond the range of float32
        power = (np.abs(np.fft.rfft(part, axis=1)[:, 1:]) ** 2).mean(axis=0, dtype=np.float64)
        total, rows = total + power.sum(axis=0), rows + len(power)
        squares = squares + (power**2).sum(axis=0) / (1 + 1 / len(part))
    return np.minimum(np.asarray(total**2 / squares) / rows, 1)


def repeats_q(
    values: Values, stimulus_ids: NDArray[Any], independent: ArrayLike = 1.0, runs: Sequence[Rows] = ()
) -> Values:
    """Test whether what repeats of a stimulus share is more than noise; return q values over targets.

    The F test of one-way analysis of variance, over the stimuli shown twice or more, F = 1 + k₀·σ²s/σ²n with k₀ =
    (n − Σk²/n) / (S − 1) for S stimuli in n trials; then Benjamini and Hochberg. Stimuli shown once could enter only
    by assuming that their noise is that of the others. Noise is taken to be as large for all stimuli: where its sd
    varies by a third of itself, .12 of what is called at .05 is false (40 stimuli, 1 to 5 trials each).

    Parameters
    ----------
    values, stimulus_ids
        As for `signal_share`.
    independent : float or array (n_targets,)
        Share of the stimuli that counts as independent: of the rows of time courses, `independent_share`.
    runs : sequence of arrays (n_trials,)
        Numbers of runs, or of sessions. What the first of them add to all trials of a run is told apart from stimuli
        and noise, unless that takes more than half of the degrees of freedom of either.

    Returns
    -------
    array (n_targets[, n_times]); NaN for a constant target, and everywhere if fewer than 2 stimuli were repeated
    """
    if (np.unique(stimulus_ids, return_counts=True)[1] > 1).sum() < 2:
        return np.full(values.shape[1:], np.nan)
    return share_and_q(values, stimulus_ids, independent, runs)[1]


def share_and_q(
    values: Values,
    stimulus_ids: NDArray[Any],
    independent: ArrayLike = 1.0,
    runs: Sequence[Rows] = (),
    scored: Rows | None = None,
) -> tuple[Values, Values]:
    """Return `signal_share` and `repeats_q` of values that are read once.

    What runs add counts as noise as far as averages over the repeats of stimuli hold it, of the trials `scored` or of
    all that were repeated: not where all runs show all stimuli, nor where no averages are scored but trials in runs.
    """
    _, codes, counts = np.unique(stimulus_ids, return_inverse=True, return_counts=True)
    k = counts[counts > 1]
    n, n_stimuli = int(k.sum()), len(k)
    if n_stimuli < 2:
        return signal_share(values, stimulus_ids), np.full(values.shape[1:], np.nan)
    many, of = counts[codes] > 1, np.zeros_like(codes)
    design = _Design.of(codes[many], of[many])
    for run in runs:
        tried = _Design.of(codes[many], np.unique(run[many], return_inverse=True)[1])
        if 2 * tried.within >= design.within and 2 * tried.between >= design.between:  # else runs are too many
            of, design = run, tried
            break
    whole, *rest = _variances(values, stimulus_ids, *([] if many.all() else [np.flatnonzero(many)]), runs=of)
    signal, noise, _ = rest[0] if rest else whole
    f = 1 + _over(signal, noise) * (n - design.taken) / design.between
    worth = np.asarray(independent)
    p = special.fdtrc(worth * design.between, worth * design.within, np.maximum(f, 0))
    signal, noise, shift = whole
    rows = np.flatnonzero(many) if scored is None else scored
    held = _held(codes[rows], of[rows]) if len(rows) else 0.0
    # Estimates of what runs add may be negative.
    return _share(_over(signal, np.maximum(noise + held * shift, noise / 2)), 1.0), fdr(p)


def reliable_targets(ceilings: pd.DataFrame, threshold: float) -> NDArray[np.bool_]:
    """Choose the targets that a mean over targets is taken of: ceiling above `threshold`, `repeats_q` below .05.

    Either alone fails: with few repeats the ceiling of a fifth of all targets without signal exceeds .2, and with many
    the slightest signal is certain. Without any ceiling all are taken, where no test was made (q NaN) the ceiling says.
    The table has a row per target: ceiling, repeats_q.
    """
    ceiling, q = ceilings["ceiling"].to_numpy(), ceilings["repeats_q"].to_numpy()
    if not np.isfinite(ceiling).any():
        return np.ones(len(ceiling), dtype=bool)
    return np.asarray((ceiling > threshold) & ~(q >= LEVEL))


def reliable_rule(threshold: float) -> str:
    """Say what `reliable_targets` asks for."""
    return f"ceiling above {threshold:g}, and repeats alike at q < {LEVEL:g}"


def _noise_left(n_repeats: ArrayLike) -> float:
    counts = np.atleast_1d(np.asarray(n_repeats, dtype=np.float64))
    if not counts.size or not (counts >= 1).all():
        raise BrainalignError(f"every scored stimulus has 1 repeat or more; got n_repeats with {counts.min(initial=0)}")
    return float((1 / counts).mean())


def noise_ceiling_from_ncsnr(ncsnr: ArrayLike, n_repeats: ArrayLike) -> Values:
    """Return the share of variance that a perfect model explains in averages over repeats.

    ncsnr² / (ncsnr² + mean(1/n)), n (n_test_stimuli,) trials behind each scored average: with A, B and C test stimuli
    of 3, 2 and 1 repeats, mean(1/n) is (A/3 + B/2 + C) / (A + B + C). Divide r² by it, or r by its square root.

    Negative values of `ncsnr` give negative ceilings. Often these are reported as 0 (`np.maximum(ceiling, 0)`). Without
    signal such a clamped estimate averages not 0 but .4 of its standard deviation (with 1,000 stimuli × 3 repeats .007
    for single trials, .02 for averages of three), so averages over targets are of ceilings as they are.
    """
    ratio = np.asarray(ncsnr, dtype=np.float64)
    return _share(ratio * np.abs(ratio), _noise_left(n_repeats))


def noise_ceiling_from_share(share: ArrayLike, n_repeats: ArrayLike) -> Values:
    """Return the ceiling of averages over repeats from the share of single trials (`signal_share`), in [−1, 1].

    For one number of repeats this is the formula of Spearman and Brown, n·ρ / (1 + (n − 1)·ρ), mirrored for ρ < 0;
    several are as for `noise_ceiling_from_ncsnr`.
    """
    rho = np.asarray(share, dtype=np.float64)
    size = np.abs(rho)
    return np.asarray(rho / (size + (1 - size) * _noise_left(n_repeats)))
