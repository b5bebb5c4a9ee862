"""Comparisons of RDMs with RDMs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite, check_rows
from brainalign.condensed import check_not_infinite, check_pairs, condensed_rdms, n_stimuli_of, square_rdms
from brainalign.geometry.rdms import Kind, are_constant, as_kind_of, as_numpy, dense_codes, equal_masks, rank_rdms

TIE = 1e-10  # comparisons of the same numbers in another order of sums differ by less


@dataclass(frozen=True)
class Comparison:
    """What a comparison does to two RDMs before it takes their inner product.

    Attributes
    ----------
    ranks : bool
        Replace dissimilarities by their ranks (ties get their mean).
    centre : bool
        Subtract the mean over pairs.
    whiten : bool
        Weight pairs by the inverse covariance of estimated dissimilarities, which share stimuli.
    untied : bool
        Divide by the norm that ranks without ties would have: a model that ties pairs is not rewarded for it.
    concordance : bool
        Count concordant pairs of pairs instead of taking an inner product.
    """

    ranks: bool = False
    centre: bool = False
    whiten: bool = False
    untied: bool = False
    concordance: bool = False


COMPARISONS = {
    "spearman": Comparison(ranks=True, centre=True),
    "rho-a": Comparison(ranks=True, centre=True, untied=True),
    "tau-a": Comparison(ranks=True, concordance=True),
    "pearson": Comparison(centre=True),
    "cosine": Comparison(),
    "whitened-pearson": Comparison(centre=True, whiten=True),
    "whitened-cosine": Comparison(whiten=True),
}


def compare(rdms_a: Kind, rdms_b: Kind, method: str, sigma_k: Kind | None = None) -> Kind:
    """Compare every RDM of one stack with every RDM of another.

    Parameters
    ----------
    rdms_a : array (n_a, n_pairs) or (n_pairs,), numpy or torch
        Or square, (n_a, n_stimuli, n_stimuli) or (n_stimuli, n_stimuli), as wherever RDMs are taken: a symmetric matrix
        with a diagonal of 0 is one RDM. A NaN is a missing pair: a comparison uses the pairs that both RDMs have.
    rdms_b : array (n_b, n_pairs) or (n_pairs,)
    method : str
        A key of `COMPARISONS`. "rho-a" is the one for models that predict ties. Cosine keeps the zero of crossnobis
        distances; under no relation it is still positive, because distances are: judge it against permutations.
    sigma_k : array (n_stimuli, n_stimuli) or (n_stimuli,), optional
        Covariance of the noise of patterns, or variances alone, for the whitened comparisons; independent and equal by
        default.

    Returns
    -------
    array (n_a, n_b), float64, numpy or torch like `rdms_a`
        NaN where an RDM is constant or zero (except rho-a and tau-a, which are 0), or no 2 pairs are shared.

    Raises
    ------
    BrainalignError
        If the RDMs have different numbers of pairs, or hold an infinity; if `sigma_k` does not fit or is no covariance.

    References
    ----------
    Nili H et al. (2014). A toolbox for representational similarity analysis. PLoS Computational Biology 10:e1003553.
    doi:10.1371/journal.pcbi.1003553
    Diedrichsen J et al. (2021). Comparing representational geometries using whitened unbiased-distance-matrix
    similarity. Neurons, Behavior, Data analysis, and Theory 5. doi:10.51628/001c.27664
    Schuett HH, Kipnis AD, Diedrichsen J, Kriegeskorte N (2023). Statistical inference on representational geometries.
    eLife 12:e82566. doi:10.7554/eLife.82566
    """
    check_choice("method", method, COMPARISONS)
    a = condensed_rdms("rdms_a", as_numpy(rdms_a, "rdms_a"), "n_a", some_pairs=True)
    b = condensed_rdms("rdms_b", as_numpy(rdms_b, "rdms_b"), "n_b", some_pairs=True)
    check_pairs("an RDM of rdms_a", a, "one of rdms_b", b)
    check_not_infinite(a, b)
    kind = COMPARISONS[method]
    precision = _pattern_precision(a.shape[1], None if sigma_k is None else as_numpy(sigma_k)) if kind.whiten else None
    found = np.full((len(a), len(b)), np.nan)
    for rows_a, mask_a in equal_masks(np.isfinite(a)):
        for rows_b, mask_b in equal_masks(np.isfinite(b)):
            seen = mask_a & mask_b
            if seen.sum() >= 2:
                block = _compare_complete(a[rows_a][:, seen], b[rows_b][:, seen], kind, seen, precision)
                found[np.ix_(rows_a, rows_b)] = block
    return as_kind_of(found, rdms_a)


def pooled_rdm(rdms: Values, method: str) -> Values:
    """Return the mean of RDMs in the form the comparison sees: of ranks, of unit variance, or of unit mean square.

    Ranks among fewer pairs are stretched to those among the most: a rank says which share of pairs is below.
    """
    check_choice("method", method, COMPARISONS)
    kind, rdms = COMPARISONS[method], condensed_rdms("rdms", rdms, "n_rdms", some_pairs=True)
    if kind.ranks:
        n = np.isfinite(rdms).sum(axis=1, keepdims=True)
        forms = (rank_rdms(rdms) - 0.5) * (n.max(initial=0) / np.where(n > 0, n, np.nan)) + 0.5
    else:
        forms = rdms - defined_mean(rdms, axis=1)[:, None] if kind.centre else rdms
        scale = np.sqrt(defined_mean(np.square(forms), axis=1))[:, None]
        forms = forms / np.where(scale > 0, scale, np.nan)
    return defined_mean(forms, axis=0)


def defined_mean(values: Values, axis: int | tuple[int, ...]) -> Values:
    """Compute the mean over the finite values along axes; NaN where there is none."""
    seen = np.isfinite(values)
    n = seen.sum(axis=axis)
    return np.asarray(np.where(seen, values, 0).sum(axis=axis) / np.where(n > 0, n, np.nan))


def _compare_complete(
    a: Values, b: Values, kind: Comparison, seen: NDArray[np.bool_], precision: Values | None
) -> Values:
    """Compare RDMs without missing pairs; `seen` says which pairs of all they are."""
    if kind.concordance:
        return np.array([[_tau_a(x, y) for y in b] for x in a])
    flat_a, flat_b = (are_constant(rdms) if kind.centre else ~rdms.any(axis=1) for rdms in (a, b))
    if kind.ranks:
        a, b = rank_rdms(a), rank_rdms(b)
    if kind.centre:
        a, b = (rdms - rdms.mean(axis=1, keepdims=True) for rdms in (a, b))
    if kind.untied:
        n_pairs = a.shape[1]
        return np.asarray(12 * (a @ b.T) / (n_pairs**3 - n_pairs))
    white_a, white_b = (a, b) if precision is None else (whitened(rdms, seen, precision) for rdms in (a, b))
    # Centring leaves rounding where an RDM is constant: its direction means nothing.
    norm_a, norm_b = np.sqrt((white_a * a).sum(axis=1)), np.sqrt((white_b * b).sum(axis=1))
    norm_a[flat_a], norm_b[flat_b] = np.nan, np.nan
    return np.asarray((white_a @ b.T) / np.outer(norm_a, norm_b))


def _tau_a(x: Values, y: Values) -> float:
    """Return tau-b times what its denominator lost to ties."""
    from scipy.stats import kendalltau

    n_pairs = len(x) * (len(x) - 1) / 2
    codes = dense_codes(x), dense_codes(y)
    untied = [n_pairs - (count * (count - 1) / 2).sum() for count in map(np.bincount, codes)]
    if min(untied) == 0:
        return 0.0
    return float(kendalltau(*codes).statistic * np.sqrt(untied[0] * untied[1]) / n_pairs)


def _pattern_precision(n_pairs: int, sigma_k: Values | None) -> Values:
    """Return pinv(H Sk H), whose products T D T / 2 are V^-1 d without building V."""
    n = n_stimuli_of(n_pairs)
    if sigma_k is None:
        return np.asarray(np.eye(n) - 1 / n)
    check_rows("sigma_k", len(sigma_k), "the stimuli of the RDMs", n, "give the covariance of the same stimuli")
    covariance = np.diag(sigma_k) if sigma_k.ndim == 1 else sigma_k
    check_finite("sigma_k", covariance, "estimate it from complete patterns")
    least = np.linalg.eigvalsh(covariance)[0] / np.abs(covariance).max()
    if least <= 0 or np.abs(covariance - covariance.T).max() > 1e-9 * np.abs(covariance).max():
        raise BrainalignError(
            f"sigma_k is not symmetric and positive definite (smallest eigenvalue {least:.2g} of its largest entry); "
            "give the covariance of the noise of patterns, shrunk where there are few repeats"
        )
    inverse = np.linalg.inv(covariance)
    total = inverse.sum(axis=0)
    return np.asarray(inverse - np.outer(total, total) / total.sum())


def whitened(rdms: Values, seen: NDArray[np.bool_], precision: Values) -> Values:
    """Return V^-1 d of the present pairs, where V is the covariance of estimated dissimilarities of those pairs.

    Raises
    ------
    BrainalignError
        If the shrinkage is not above 0 and up to 1.
    """
    i, j = np.triu_indices(len(precision), 1)
    filled = np.zeros((len(rdms), len(seen)))
    filled[:, seen] = rdms
    w = (precision @ square_rdms(filled) @ precision)[:, i, j] / 2
    if seen.all():
        return np.asarray(w)
    # Leaving pairs out of V is a Schur complement of its inverse.
    p, q = (i[~seen], j[~seen])
    rows = (precision[p][:, i] * precision[q][:, j] + precision[p][:, j] * precision[q][:, i]) / 2
    return np.asarray((w - np.linalg.solve(rows[:, ~seen], w[:, ~seen].T).T @ rows)[:, seen])


def whitened_equally(rdms: Values) -> Values:
    """Return V^-1 d of complete RDMs whose stimuli were measured with equal noise."""
    n = n_stimuli_of(rdms.shape[1])
    return whitened(rdms, np.ones(rdms.shape[1], dtype=bool), np.eye(n) - 1 / n)


def unit_forms(rdms: Values, method: str) -> tuple[Values, Values]:
    """Return two forms of RDMs: products of the first of one with the second of another are their comparison.

    NaN for RDMs that have missing pairs or no direction.
    """
    kind, n_pairs = COMPARISONS[method], rdms.shape[1]
    whole = np.asarray(np.isfinite(rdms).all(axis=1))
    values: Values = np.where(whole[:, None], rdms, 0)
    constant = are_constant(values) if kind.centre else ~values.any(axis=1)
    if kind.ranks:
        values = rank_rdms(values)
    if kind.centre:
        values = values - values.mean(axis=1, keepdims=True)
    white = whitened_equally(values) if kind.whiten else values
    squared = (white * values).sum(axis=1)
    if kind.untied:
        squared = np.full(len(values), (n_pairs**3 - n_pairs) / 12)
    known = whole & (~constant | kind.untied) & (squared > 0)
    norm = np.sqrt(np.where(known, squared, np.nan))[:, None]
    return values / norm, white / norm
