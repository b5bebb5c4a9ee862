"""A sparse dictionary of features: many atoms, a few of which explain each stimulus."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from brainalign.arrays import Values, map_rows, take_rows
from brainalign.checks import BrainalignError, check_choice, check_finite, check_rows, check_width
from brainalign.devices import seeded
from brainalign.features.reduction import moments
from brainalign.regression import descend

AUXILIARY = 1 / 32  # share of the loss by which atoms that never fire learn what is left of a row
EPOCHS, LEAST_STEPS = 100, 1200  # of training, where epochs are not given
OFFSET_RATE = 0.1  # of the others'; where codes hardly vary in sum, an offset takes on what all atoms share
DEAD_AFTER = 100  # steps without firing after which an atom counts as dead in training


class _Atoms(nn.Module):
    def __init__(self, n_features: int, n_atoms: int, n_active: int) -> None:
        super().__init__()
        self.n_active = n_active
        self.bias = nn.Parameter(torch.zeros(n_features))
        self.atoms = nn.Parameter(nn.functional.normalize(torch.randn(n_atoms, n_features)))

    @torch.no_grad()
    def normalise(self) -> None:
        """Bring atoms back to unit length."""
        self.atoms.div_(self.atoms.norm(dim=1, keepdim=True).clamp_min(1e-8))


class TopK(_Atoms):
    """Codes are the k largest of ReLU(W (x − b)); a row is their sum of unit atoms, plus b.

    Atoms that did not fire for a while learn to explain what the others leave over (the auxiliary loss), so that few
    stay dead.

    References
    ----------
    Gao L et al. (2024). Scaling and evaluating sparse autoencoders. arXiv:2406.04093
    """

    def __init__(self, n_features: int, n_atoms: int, n_active: int) -> None:
        super().__init__(n_features, n_atoms, n_active)
        self.encoder = nn.Parameter(self.atoms.detach().clone())
        self.silent: Tensor = nn.Buffer(torch.zeros(n_atoms, dtype=torch.long))  # steps since an atom fired

    def encode(self, rows: Tensor) -> Tensor:
        """Return codes (n_rows, n_atoms) of rows (n_rows, n_features)."""
        return _largest(torch.relu((rows - self.bias) @ self.encoder.T), self.n_active)

    def loss(self, rows: Tensor) -> Tensor:
        """Return the share of the rows' squares that is not explained, plus that of the auxiliary loss."""
        codes = _largest(torch.relu((rows - self.bias) @ self.encoder.T), self.n_active)
        rest = rows - self.bias - codes @ self.atoms
        unexplained = rest.square().sum() / rows.square().sum()
        with torch.no_grad():
            self.silent += 1
            self.silent[(codes > 0).any(dim=0)] = 0
        dead = self.silent > DEAD_AFTER
        n_dead = int(dead.sum())
        if not n_dead:
            return unexplained
        rest = rest.detach()
        raised = (rest @ self.encoder[dead].T).relu()
        again = rest - _largest(raised, min(n_dead, 2 * self.n_active)) @ self.atoms[dead]
        return unexplained + AUXILIARY * again.square().sum() / rest.square().sum()


class MatchingPursuit(_Atoms):
    """One atom after the other explains what the earlier ones left: r ← r − (w_j · r) w_j, j the largest w · r.

    What is left never grows. Encoder and decoder share the unit atoms, so that a step depends on what came before it.

    Parameters
    ----------
    n_features, n_atoms : int
    n_active : int
        Steps; an atom may be taken twice.

    References
    ----------
    Costa V, Fel T, Lubana ES, Tolooshams B, Ba D (2025). From flat to hierarchical: extracting sparse representations
    with matching pursuit. arXiv:2506.03093
    """

    def encode(self, rows: Tensor) -> Tensor:
        """Return codes (n_rows, n_atoms) of rows (n_rows, n_features)."""
        return self._pursue(rows)[0]

    def loss(self, rows: Tensor) -> Tensor:
        """Return the share of the rows' squares that is not explained."""
        return self._pursue(rows)[1].square().sum() / rows.square().sum()

    def _pursue(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        rest = rows - self.bias
        codes = rest.new_zeros(len(rows), len(self.atoms))
        for _ in range(self.n_active):
            weight, chosen = (rest @ self.atoms.T).max(dim=1)
            weight = weight.relu()  # nothing points that way: nothing is taken
            codes = codes.scatter_add(1, chosen[:, None], weight[:, None])
            rest = rest - weight[:, None] * self.atoms[chosen]
        return codes, rest


def _largest(values: Tensor, k: int) -> Tensor:
    """Keep the k largest values (n_rows, n) of each row, 0 elsewhere."""
    kept, where = values.topk(k, dim=1)
    return torch.zeros_like(values).scatter(1, where, kept)


CODINGS: dict[str, type[TopK] | type[MatchingPursuit]] = {"topk": TopK, "matching_pursuit": MatchingPursuit}


@dataclass(eq=False, repr=False)
class SparseAutoencoder(BaseEstimator):  # type: ignore[misc]
    """Learn atoms such that a few of them, with weights >= 0, add up to each row of features.

    Parameters
    ----------
    n_atoms : int
    n_active : int
        Atoms that may explain a row.
    coding : {"topk", "matching_pursuit"}
        The strongest at one look, or one after the other, each explaining what the earlier ones left.
    epochs : int, optional
        100, or what makes 1,200 steps where rows are few: atoms are hardly learned in fewer.
    batch_size : int
    learning_rate : float
        Highest of a one-cycle schedule, Adam; rows are scaled to a mean square of 1.
    seed : int
        Of the start and the order of rows.

    Attributes
    ----------
    atoms_ : array (n_atoms, n_features)
        Unit rows.

    Examples
    --------
    >>> features = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    >>> codes = SparseAutoencoder(12, 2, epochs=2).fit_transform(features)
    >>> codes.shape, int((codes > 0).sum(axis=1).max())
    ((500, 12), 2)
    """

    n_atoms: int = 256
    n_active: int = 8
    coding: Literal["topk", "matching_pursuit"] = "topk"
    epochs: int | None = None
    batch_size: int = 128
    learning_rate: float = 1e-2
    seed: int = 0

    def fit(self, values: Values, *, rows: NDArray[Any] | None = None) -> Self:
        """Learn from training rows.

        Parameters
        ----------
        values : array (n_stimuli, n_features)
        rows : array of int or bool, optional
            The training rows, all by default; others never take part.

        Raises
        ------
        BrainalignError
            If values are no finite matrix or do not vary, or an option does not fit.
        """
        check_choice("coding", self.coding, CODINGS)
        if not 0 < self.n_active <= self.n_atoms:
            raise BrainalignError(f"n_active is {self.n_active} of {self.n_atoms} atoms; choose 1 to {self.n_atoms}")
        train = np.array(values if rows is None else values[rows], dtype=np.float32)
        if train.ndim != 2 or len(train) < 2:
            raise BrainalignError(f"a dictionary takes 2 or more rows of features; got the shape {train.shape}")
        check_finite("the training rows", train, "drop the stimuli or the layer")
        self.mean_ = train.mean(axis=0, dtype=np.float64).astype(np.float32)
        largest = float(np.abs(train).max())
        train -= self.mean_
        self.scale_ = float(np.sqrt(np.einsum("nf,nf->n", train, train, dtype=np.float64).mean()))
        if self.scale_ <= 1e-6 * largest:
            raise BrainalignError("the training rows are all alike; a dictionary needs features that vary")
        with seeded(self.seed):
            self._train(torch.from_numpy(train).div_(self.scale_))
        return self

    def _train(self, rows: torch.Tensor) -> None:
        network = CODINGS[self.coding](rows.shape[1], self.n_atoms, self.n_active)
        n_batches = -(-len(rows) // self.batch_size)
        epochs = max(EPOCHS, -(-LEAST_STEPS // n_batches)) if self.epochs is None else self.epochs
        rates = dict.fromkeys(network.parameters(), self.learning_rate)
        rates[network.bias] *= OFFSET_RATE
        optimizer = torch.optim.Adam([{"params": [value]} for value in rates], lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [*rates.values()], total_steps=epochs * n_batches)

        def losses() -> Iterator[torch.Tensor]:
            for _ in range(epochs):
                for batch in rows[torch.randperm(len(rows))].split(self.batch_size):
                    yield network.loss(batch)
                    network.normalise()

        descend(losses(), optimizer, schedule)
        self._network = network
        self.atoms_ = network.atoms.detach().numpy().copy()

    def transform(self, values: Values) -> NDArray[np.float32]:
        """Return codes (n_stimuli, n_atoms), >= 0, in the units of the features."""
        check_is_fitted(self, "atoms_")
        remedy = "use the same layer and reduction"
        check_width("values", values.shape, len(self.mean_), "the dictionary was fitted on", remedy)

        @torch.no_grad()
        def coded(rows: Values) -> NDArray[np.float32]:
            scaled = torch.from_numpy((rows.astype(np.float32) - self.mean_) / self.scale_)
            return np.concatenate([self._network.encode(part).numpy() * self.scale_ for part in scaled.split(4096)])

        return map_rows(coded, values)

    def fit_transform(self, values: Values, y: Any = None) -> NDArray[np.float32]:
        """Learn from all rows and return their codes; `y` is what pipelines hand on, and is not used."""
        return self.fit(values).transform(values)

    def inverse_transform(self, codes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features (n_stimuli, n_features) that codes (n_stimuli, n_atoms) stand for."""
        check_is_fitted(self, "atoms_")
        origin = self.mean_ + self._network.bias.detach().numpy() * self.scale_
        return np.asarray(codes @ self.atoms_ + origin, dtype=np.float32)


SAME = 0.9  # cosine above which matched atoms are called the same


@dataclass(frozen=True)
class DictionaryQuality:
    """Of rows that a dictionary did not see.

    Attributes
    ----------
    unexplained : float
        Share of the variance of the features (FVU).
    n_active : float
        Mean number of atoms above 0 per row (L0).
    dead : float
        Share of atoms that no row uses.
    """

    unexplained: float
    n_active: float
    dead: float


def dictionary_quality(dictionary: SparseAutoencoder, values: Values) -> DictionaryQuality:
    """Measure a fitted dictionary on rows (n_stimuli, n_features) held out from its training.

    Raises
    ------
    BrainalignError
        If the rows do not vary, or are of another width.
    """
    codes = dictionary.transform(values)
    values = np.asarray(values, dtype=np.result_type(values, np.float32))  # squares of float16 overflow
    spread = float(np.square(values - values.mean(axis=0)).sum(dtype=np.float64))
    if not spread:
        raise BrainalignError(f"the {len(values)} rows are all alike; give rows that vary")
    rest = float(np.square(values - dictionary.inverse_transform(codes)).sum(dtype=np.float64))
    active = codes > 0
    return DictionaryQuality(rest / spread, float(active.sum(axis=1).mean()), float((~active).all(axis=0).mean()))


def match_atoms(atoms: Values, others: Values) -> NDArray[np.float64]:
    """Return cosines (min(n_atoms, n_others),) of atoms with those of others, one to one so that their sum is largest.

    Parameters
    ----------
    atoms : array (n_atoms, n_features)
        Unit rows.
    others : array (n_others, n_features)

    Raises
    ------
    BrainalignError
        If the dictionaries are of different widths.
    """
    check_rows("an atom", atoms.shape[1], "one of others", others.shape[1], "learn both on one layer", "features")
    cosines = atoms.astype(np.float64) @ others.T
    return np.asarray(cosines[linear_sum_assignment(cosines, maximize=True)])


def stability(dictionaries: list[Values], seed: int = 0) -> dict[str, float]:
    """Compare dictionaries learned from different starts, beside random ones of the same shape.

    Parameters
    ----------
    dictionaries : list of array (n_atoms, n_features)
        Unit rows, each from a start of its own: a shared start makes any two alike.
    seed : int
        Of the random dictionaries, as many as there are learned ones.

    Returns
    -------
    dict
        `stability`, mean cosine of matched atoms over pairs of dictionaries; `same`, share of atoms above .9; the same
        of random unit atoms as `random_stability` and `random_same`.

    Raises
    ------
    BrainalignError
        If there are fewer than two, or two are equal and so share their start.

    References
    ----------
    Paulo G, Belrose N (2025). Sparse autoencoders trained on the same data learn different features. arXiv:2501.16615
    """
    if len(dictionaries) < 2:
        raise BrainalignError(f"stability compares 2 or more dictionaries; got {len(dictionaries)}")
    if any(np.array_equal(one, other) for one, other in combinations(dictionaries, 2)):
        raise BrainalignError("two dictionaries are equal: they share their start; learn each with a seed of its own")
    rng = np.random.default_rng(seed)
    random = [rng.normal(size=atoms.shape) for atoms in dictionaries]
    random = [atoms / np.linalg.norm(atoms, axis=1, keepdims=True) for atoms in random]
    found = {}
    for prefix, several in (("", dictionaries), ("random_", random)):
        cosines = [match_atoms(one, other) for one, other in combinations(several, 2)]
        found[f"{prefix}stability"] = float(np.mean([each.mean() for each in cosines]))
        found[f"{prefix}same"] = float(np.mean([(each > SAME).mean() for each in cosines]))
    return found


class RandomUnits:
    """Rectified random projections, nothing learned but mean and scale: what any wide nonlinear space gives.

    References
    ----------
    Rahimi A, Recht B (2008). Weighted sums of random kitchen sinks. NeurIPS 21.
    """

    def __init__(self, width: int, seed: int = 0) -> None:
        self.width = width
        self.seed = seed

    def fit(self, values: Values, *, rows: NDArray[Any]) -> Self:
        """Take the mean and the scale of `values[rows]`, values (n_stimuli, n_features).

        Raises
        ------
        BrainalignError
            If they are not finite, or do not vary.
        """
        self.mean_, variance = moments(take_rows(values, rows))
        check_finite("the training rows", self.mean_, "drop the stimuli or the layer")
        scale = float(np.sqrt(variance.sum()))
        if not scale:
            raise BrainalignError("the training rows are all alike; give features that vary")
        self.weights_ = np.random.default_rng(self.seed).normal(size=(values.shape[1], self.width)) / scale
        return self

    def transform(self, values: Values) -> Values:
        """Return (n_stimuli, width), >= 0."""
        return map_rows(lambda block: np.maximum((block - self.mean_) @ self.weights_, 0), values)
