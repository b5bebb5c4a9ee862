"""How well model geometries fit around every centre, with the stimuli of the models exchanged for p values."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import check_choice, check_rows
from brainalign.condensed import condensed_rdms, exchanged_rdms, n_stimuli_of, square_rdms
from brainalign.geometry.inference import METHODS, TIE, compare, stimulus_orders, unit_forms
from brainalign.geometry.searchlights.searchlight import Searchlight
from brainalign.io import TensorStream
from brainalign.statistics import fdr, permutation_test

BLOCK = 1024  # centres between two records of progress
AT_ONCE = 100_000_000  # bytes of permuted models
# Fits as good as the observed one count against it, and so do those that differ from it by rounding.
TIES = {"float64": TIE, "float32": 1e-5}


@dataclass(frozen=True)
class SearchlightMap:
    """Fit of every model around every centre, and by chance.

    Attributes
    ----------
    scores : array (n_models, n_centres)
        NaN where a comparison is undefined: no channel, constant patterns, a model without such distances.
    p : array (n_models, n_centres)
        One-sided, for this centre alone.
    p_fwer : array (n_models, n_centres)
        Against the largest fit over centres of every permutation.
    q : array (n_models, n_centres)
        False discovery rate over centres.
    null_mean : array (n_models, n_centres)
        Mean under permutation: above 0 for cosines of distances, even of those that can be negative.
    largest : array (n_models, n_permutations)
        Largest fit over centres of every permutation.
    sizes : array (n_centres,)
        Channels of every centre.
    """

    scores: Values
    p: Values
    p_fwer: Values
    q: Values
    null_mean: Values
    largest: Values
    sizes: NDArray[np.intp]

    @property
    def n_nan(self) -> NDArray[np.intp]:
        """Centres without a score, per model (n_models,)."""
        return np.asarray(np.isnan(self.scores).sum(axis=1), dtype=np.intp)

    def threshold(self, p: float = 0.05) -> Values:
        """Compute the score to be exceeded for a family-wise p of at most `p`, per model (n_models,)."""
        return np.array([_exceeded(null, p) for null in self.largest])

    def threshold_anywhere(self, p: float = 0.05) -> float:
        """Compute the score to be exceeded when the largest fit over centres and models is the null."""
        return _exceeded(self._anywhere, p)

    def p_anywhere(self) -> Values:
        """Return p against the largest fit over centres and models (n_models, n_centres): for the best of layers."""
        return permutation_test(self.scores - TIES["float32"], self._anywhere, correct="max")

    @property
    def _anywhere(self) -> Values:
        known = self.largest[~np.isnan(self.scores).all(axis=1)]
        return known.max(axis=0) if len(known) else np.full(self.largest.shape[1], -np.inf)


def searchlight_map(
    search: Searchlight,
    models: Values,
    comparison: str = "pearson",
    n_permutations: int = 1000,
    seed: int = 0,
    *,
    progress: Path | None = None,
    identity: object = None,
) -> SearchlightMap:
    """Compare models with the RDM around every centre, and with the stimuli of the models exchanged.

    An exchange of stimuli moves the entries of a model's RDM without changing their ranks, mean or norm, so fits under
    permutation are one matrix product. All centres and models see the same exchanges; the largest fit over centres of
    each is what a fit must exceed to be no chance anywhere on the map.

    Parameters
    ----------
    search : Searchlight
    models : array (n_models, n_pairs)
        A model with NaN has no score.
    comparison : str
        A key of `COMPARISONS` but tau-a. Of crossnobis distances a correlation is the better choice: their cosine with
        any model is above 0 where anything at all is distinguished, which p values take into account but maps do not.
    n_permutations : int
    seed : int
    progress : Path, optional
        File in which finished blocks of centres are kept: a run that was killed goes on after the last one. Blocks of
        other data, models or options are computed anew. It is removed when the map is complete. Without it
        nothing is written; with it scores have the precision of float32.
    identity : JSON value, optional
        What else must be the same for blocks to be taken over, such as the version of the code.

    Raises
    ------
    BrainalignError
        If models have other pairs than the searchlight, or the comparison is no matrix product.

    References
    ----------
    Nichols TE, Holmes AP (2002). Nonparametric permutation tests for functional neuroimaging. Human Brain Mapping
    15:1-25. doi:10.1002/hbm.1058
    Kriegeskorte N, Mur M, Bandettini P (2008). Representational similarity analysis. Frontiers in Systems Neuroscience
    2:4. doi:10.3389/neuro.06.004.2008
    """
    models = condensed_rdms("models", models, "n_models", some_pairs=True)
    test = _Test(search, models, comparison, n_permutations, seed)
    n_blocks = -(-search.n_centres // BLOCK)
    if progress is None:
        parts = [test.block(k) for k in range(n_blocks)]
        found = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
    else:
        progress.parent.mkdir(parents=True, exist_ok=True)
        stream = TensorStream(progress, [str(k) for k in range(n_blocks)], [test.digest(), identity])
        for k in stream.pending:
            part = test.block(int(k))
            stream.write(np.array([k]), {name: values[None].astype(np.float32) for name, values in part.items()})
        found = {name: values.astype(np.float64) for name, values in stream.read().items()}
    result = _summary(found, search, n_permutations, TIES[search.dtype if progress is None else "float32"])
    if progress is not None:
        stream.discard()
    return result


class _Test:
    """One test of models around all centres, block by block."""

    def __init__(self, search: Searchlight, models: Values, comparison: str, n_permutations: int, seed: int) -> None:
        check_choice("comparison", comparison, METHODS)
        remedy = "both need the pairs of the same stimuli"
        check_rows("a model", models.shape[1], "a searchlight", search.n_pairs, remedy, "pairs")
        n = n_stimuli_of(search.n_pairs)
        self.search, self.comparison, self.models = search, comparison, models
        self.orders = stimulus_orders(n, n_permutations, np.random.default_rng(seed))
        self.forms = unit_forms(models, comparison)[1]
        self.i, self.j = np.triu_indices(n, 1)

    def digest(self) -> str:
        """Compute the digest of all that blocks depend on, the RDMs of a few centres standing for the patterns."""
        chosen = np.unique(np.linspace(0, self.search.n_centres - 1, 3).astype(np.intp))
        members = self.search.neighbourhoods.members
        found = hashlib.sha256(json.dumps([self.comparison, self.search.dtype, self.search.method]).encode())
        for part in (self.search.cube, members.indices, members.indptr, self.models, self.orders):
            found.update(np.ascontiguousarray(part).tobytes())
        found.update(np.nan_to_num(self.search.rdms(chosen)).astype(np.float32).tobytes())  # noise takes part
        return found.hexdigest()

    def block(self, number: int) -> dict[str, Values]:
        """Return scores, permutations that reach them, sums and largest fits under permutation of some centres."""
        import torch

        start = number * BLOCK
        rdms = self.search.rdms(slice(start, start + BLOCK))
        whole = np.asarray(np.isfinite(rdms).all(axis=1))
        n_models, n_permutations = len(self.models), len(self.orders)
        at_once = max(1, AT_ONCE // (16 * self.search.n_pairs))
        scores, reached, total = (np.full((n_models, BLOCK), np.nan) for _ in range(3))
        largest = np.full((n_models, n_permutations), -np.inf)
        left = unit_forms(rdms[whole], self.comparison)[0]
        device, dtype = self.search.device, getattr(torch, self.search.dtype)
        centres = torch.as_tensor(left, device=device).to(dtype)  # (n_whole, n_pairs)
        rows = np.flatnonzero(whole)
        for k, form in enumerate(self.forms):
            observed = centres @ torch.as_tensor(form, device=device).to(dtype)
            square = torch.as_tensor(square_rdms(form), device=device).to(dtype)
            counts, sums = torch.zeros_like(observed), torch.zeros_like(observed)
            for first in range(0, n_permutations, at_once):
                some = slice(first, first + at_once)
                orders = self.orders[some]
                null = centres @ square[orders[:, self.i], orders[:, self.j]].T  # (n_whole, n_some)
                counts += (null >= observed[:, None] - TIES[self.search.dtype]).sum(dim=1)
                sums += null.sum(dim=1)
                if len(rows):
                    largest[k, some] = null.nan_to_num(-torch.inf).amax(dim=0).cpu().numpy()
            for values, part in ((scores, observed), (reached, counts), (total, sums)):
                values[k, rows] = part.cpu().numpy()
            self._incomplete(k, rdms[~whole], np.flatnonzero(~whole), (scores, reached, total), largest)
        return {"scores": scores, "reached": reached, "total": total, "largest": largest}

    def _incomplete(
        self, model: int, rdms: Values, rows: NDArray[np.intp], tables: tuple[Values, Values, Values], largest: Values
    ) -> None:
        """Fill in centres with missing pairs, whose models are ranked and scaled on the pairs that are there."""
        some = np.isfinite(rdms).sum(axis=1) >= 2
        if not some.any() or not np.isfinite(self.models[model]).all():
            return
        rdms, rows = rdms[some], rows[some]
        observed = compare(rdms, self.models[model], self.comparison)[:, 0]
        # (n_rows, n_permutations)
        null = compare(rdms, exchanged_rdms(self.models[model], self.orders), self.comparison)
        found = (observed, (null >= observed[:, None] - TIES[self.search.dtype]).sum(axis=1), null.sum(axis=1))
        for values, part in zip(tables, found, strict=True):
            values[model, rows] = part
        largest[model] = np.maximum(largest[model], np.nan_to_num(null, nan=-np.inf).max(axis=0))


def _summary(found: dict[str, Values], search: Searchlight, n_permutations: int, ties: float) -> SearchlightMap:
    """Put blocks (n_blocks, n_models, ...) together."""
    n = search.n_centres
    scores, reached, total = (
        np.moveaxis(found[name], 0, 1).reshape(found[name].shape[1], -1)[:, :n]
        for name in ("scores", "reached", "total")
    )
    largest, undefined = found["largest"].max(axis=0), np.isnan(scores)
    p = np.where(undefined, np.nan, (1 + reached) / (1 + n_permutations))
    p_fwer = np.stack(
        [permutation_test(row - ties, null, correct="max") for row, null in zip(scores, largest, strict=True)]
    )
    q = np.stack([fdr(row) for row in p])
    return SearchlightMap(scores, p, p_fwer, q, total / n_permutations, largest, search.neighbourhoods.sizes)


def _exceeded(largest: Values, p: float) -> float:
    """Return the value above which at most a share `p` of permutations, with the observed, lies."""
    allowed = int(np.floor(p * (len(largest) + 1) + 1e-9)) - 1  # permutations that may reach a score
    return float(np.sort(largest)[len(largest) - 1 - allowed]) if allowed >= 0 else np.inf
