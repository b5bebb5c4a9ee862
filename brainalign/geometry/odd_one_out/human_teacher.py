"""A network's features mapped such that it chooses the odd one out of three as people do, unsure where they are.

The map is affine, stays near a multiple of the identity and keeps each object's neighbours: what the network knows and
people were not asked about survives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.geometry.network_similarity import representation
from brainalign.geometry.odd_one_out.soft_choices import (
    check_probabilities,
    choice_temperature,
    kullback_leibler,
    log_choices,
    mean_divergence,
)
from brainalign.geometry.odd_one_out.triplet_splits import split_objects
from brainalign.geometry.odd_one_out.triplets import check_triplets, choice_probabilities, object_similarities

if TYPE_CHECKING:
    import torch

Triplets = NDArray[np.integer[Any]]

SCALES = (0.3, 30.0)  # of the identity at the start: 0 would be a saddle, and features that know all would ask for more


@dataclass(eq=False, repr=False)
class HumanTeacher:
    """Affine map W x + b of features, fitted to people's choices among three objects.

    Minimises KL(people || teacher) + penalty (||W - c I||² + ||b||²) + local_weight KL(neighbours before || after),
    where c = tr(W) / p, a choice is a softmax over the dot products of the three pairs, and an object's neighbours are
    a softmax over its cosines with all others. Features are centred and scaled to a mean squared length of 1 first.

    Parameters
    ----------
    penalties : sequence of float
        Of several, the one that predicts the choices among held-out objects best.
    local_weight : float
    local_temperature : float
        Of cosines; small values look at the nearest neighbours only.
    held_share : float
        Of the objects that choose the penalty.
    max_iterations : int
        Of L-BFGS, on all triplets at once.
    seed : int
        Of the held-out objects.

    Raises
    ------
    BrainalignError
        If a number is out of range.

    Notes
    -----
    The bias b is penalised too, which the paper does not do: so a large penalty leaves the network's own choices.

    References
    ----------
    Muttenthaler L, Greff K, Born F, Spitzer B, Kornblith S, Mozer MC, Müller KR, Unterthiner T, Lampinen AK (2025).
    Aligning machine and human visual representations across abstraction levels. Nature 647:349-355.
    doi:10.1038/s41586-025-09631-6
    Muttenthaler L, Linhardt L, Dippel J, et al. (2023). Improving neural network representations using human similarity
    judgments. NeurIPS. arXiv:2306.04507 (neighbours are kept)

    Examples
    --------
    >>> teacher = HumanTeacher().fit(features, triplets)
    >>> teacher.choices(other_features, other_triplets)
    """

    penalties: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1)
    local_weight: float = 0.1
    local_temperature: float = 0.1
    held_share: float = 0.3
    max_iterations: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if not len(self.penalties) or min(self.penalties) < 0 or self.local_weight < 0:
            raise BrainalignError(
                f"penalties and local_weight cannot be negative; got {self.penalties} and {self.local_weight}"
            )
        if self.local_temperature <= 0 or not 0 < self.held_share < 1 or self.max_iterations < 1:
            raise BrainalignError(
                f"local_temperature {self.local_temperature:g}, held_share {self.held_share:g} and max_iterations "
                f"{self.max_iterations} must be positive, held_share below 1"
            )

    def fit(self, features: Values, triplets: Triplets, probabilities: Values | None = None) -> HumanTeacher:
        """Fit the map.

        Parameters
        ----------
        features : array (n_objects, n_features)
            Only objects that are in a triplet are looked at.
        triplets : array (n_triplets, 3)
            The odd one last.
        probabilities : array (n_triplets, 3), optional
            How often each object was chosen, or how probable that is; without them the last always was.

        Raises
        ------
        BrainalignError
            If shapes do not match, a value is not finite, features do not vary, or several penalties leave too few
            objects to choose among them.
        """
        values = representation("features", features)
        rows = check_triplets(triplets, len(values))
        p = check_probabilities(probabilities, len(rows))
        shown, numbers = np.unique(rows, return_inverse=True)
        rows = numbers.reshape(rows.shape)
        values = values[shown]
        self.centre_ = values.mean(axis=0)
        self.scale_ = float(np.sqrt(((values - self.centre_) ** 2).sum(axis=1).mean()))
        if not self.scale_ > 0:
            raise BrainalignError(f"all {len(values)} objects have the same features; take another layer")
        standard = (values - self.centre_) / self.scale_
        self.held_out_: dict[float, float] = {}
        if len(self.penalties) > 1:
            split = split_objects(rows, len(values), self.held_share, np.random.default_rng(self.seed))
            for penalty in self.penalties:
                weight, bias = self._solve(standard, rows[split.train], p[split.train], penalty)
                aligned = object_similarities(standard @ weight.T + bias)
                self.held_out_[penalty] = mean_divergence(aligned, rows[split.test], p[split.test])
            self.penalty_ = min(self.held_out_, key=lambda penalty: (self.held_out_[penalty], -penalty))
        else:
            self.penalty_ = float(self.penalties[0])
        self.weight_, self.bias_ = self._solve(standard, rows, p, self.penalty_)
        return self

    def transform(self, features: Values) -> NDArray[np.float64]:
        """Return the aligned features, whose dot products are the teacher's similarities.

        Parameters
        ----------
        features : array (n_objects, n_features)
            Of any objects.

        Raises
        ------
        BrainalignError
            If these are not the features of the fit.
        """
        values = representation("features", features)
        if values.shape[1] != len(self.centre_):
            raise BrainalignError(
                f"the teacher was fitted on {len(self.centre_)} features; got {values.shape[1]}: give the same layer"
            )
        return np.asarray((values - self.centre_) / self.scale_ @ self.weight_.T + self.bias_)

    def choices(self, features: Values, triplets: Triplets) -> NDArray[np.float64]:
        """Compute the teacher's probability of each object of a triplet to be the odd one, (n_triplets, 3)."""
        return choice_probabilities(object_similarities(self.transform(features)), triplets)

    def _solve(
        self, values: Values, triplets: Triplets, p: Values, penalty: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        import torch

        start = float(np.clip(choice_temperature(values @ values.T, triplets, p) ** -0.5, *SCALES))
        n = values.shape[1]
        x, rows, target = (torch.from_numpy(np.ascontiguousarray(v)) for v in (values, triplets, p))
        # The penalty acts on the difference from c I alone, so c and that difference are separate.
        scale = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        apart = torch.zeros(n, n + 1, dtype=torch.float64, requires_grad=True)
        before = self._neighbours(x).exp()

        def loss() -> torch.Tensor:
            change, bias = apart[:, :-1], apart[:, -1]
            change = change - torch.eye(n, dtype=torch.float64) * change.diagonal().mean()  # no multiple of identity
            aligned = scale * x + x @ change.T + bias
            value = kullback_leibler(log_choices(aligned @ aligned.T, rows), target)
            value = value + penalty * ((change**2).sum() + (bias**2).sum())
            if self.local_weight:
                value = value + self.local_weight * kullback_leibler(self._neighbours(aligned), before)
            return value

        _minimise(loss, [scale, apart], self.max_iterations)
        change, bias = (part.detach().numpy() for part in (apart[:, :-1], apart[:, -1]))
        weight = change + np.eye(n) * (scale.item() - change.diagonal().mean())
        return weight, bias

    def _neighbours(self, values: torch.Tensor) -> torch.Tensor:
        """Return log probabilities of every object's neighbours, (n_objects, n_objects - 1)."""
        import torch

        unit = torch.nn.functional.normalize(values, dim=1)
        n = len(values)
        cosines = (unit @ unit.T / self.local_temperature).flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(n, n - 1)
        return cosines.log_softmax(dim=1)


def _minimise(loss: Callable[[], torch.Tensor], parameters: list[torch.Tensor], max_iterations: int) -> None:
    import torch

    solver = torch.optim.LBFGS(parameters, max_iter=max_iterations, line_search_fn="strong_wolfe", history_size=20)

    def closure() -> torch.Tensor:
        solver.zero_grad()
        value = loss()
        value.backward()
        return value

    solver.step(closure)
