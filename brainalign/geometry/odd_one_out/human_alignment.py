"""Networks that choose the odd one out of three as people do, unsure where they are: a teacher, and students of it.

The teacher is an affine map of features that stays near a multiple of the identity and keeps each object's neighbours:
what the network knows and people were not asked about survives. A student is any torch module, a whole network or an
affine map on features that were extracted before; its weights are pulled back to where they came from, so that it
changes where the teacher has something to say.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_width
from brainalign.devices import pick_device
from brainalign.geometry.network_similarity import representation
from brainalign.geometry.odd_one_out import triplets as judgements
from brainalign.geometry.odd_one_out.triplet_splits import split_objects

if TYPE_CHECKING:
    import torch

Triplets = NDArray[np.integer[Any]]

HEAD_RATE = 0.15  # over the number of features: how fast an affine map learns, whatever its size
SCALES = (0.3, 30.0)  # of the identity at the start: 0 would be a saddle, and features that know all would ask for more


def affine_head(n_features: int) -> torch.nn.Linear:
    """Return the affine map that changes nothing: a student on top of features, cheap where a network is not."""
    import torch

    head = torch.nn.utils.skip_init(torch.nn.Linear, n_features, n_features)  # the global generator stays as it was
    torch.nn.init.eye_(head.weight)
    torch.nn.init.zeros_(head.bias)
    return head


@dataclass(eq=False, repr=False)
class HumanAlignment:
    """Fit a student's choices among three stimuli to probabilities that a teacher gives them.

    A choice is a softmax over the dot products of the three pairs, of centred features, divided by a temperature. The
    mean divergence from the teacher is minimised by Adam; after every step, weights decay towards the initial ones.

    Parameters
    ----------
    divergence : {"kl", "jsd"}
        KL(teacher || student), or Jensen-Shannon.
    temperature : float, optional
        Of the student: 100 in the paper, whose features are long. Without it, the one at which the untrained student
        is nearest to the teacher, so that no step is spent on being more or less sure of everything.
    decay : float
        Rate at which weights return to the initial ones, per unit of learning rate.
    n_steps : int
    batch_size : int
        Triplets per step; a network sees up to three times as many stimuli.
    learning_rate : float, optional
        Of Adam, in units of weights; 0.15 over the number of features where not given, as a map has their square.
    seed : int
        Of the order of triplets.
    device : {"cpu", "cuda", "auto"}

    References
    ----------
    Muttenthaler L, Greff K, Born F, Spitzer B, Kornblith S, Mozer MC, Müller KR, Unterthiner T, Lampinen AK (2025).
    Aligning machine and human visual representations across abstraction levels. Nature 647:349-355.
    doi:10.1038/s41586-025-09631-6
    Xuhong L, Grandvalet Y, Davoine F (2018). Explicit inductive bias for transfer learning with convolutional networks.
    ICML. arXiv:1802.01483 (decay towards the initial weights)

    Examples
    --------
    >>> triplets = draw_triplets(cluster_objects(teacher.transform(features)), 20_000, rng)
    >>> aligned = HumanAlignment().fit(affine_head(512), others, triplets, teacher.choices(features, triplets))
    >>> aligned.transform(unseen)
    """

    divergence: Literal["kl", "jsd"] = "kl"
    temperature: float | None = None
    decay: float = 0.1
    n_steps: int = 500
    batch_size: int = 256
    learning_rate: float | None = None
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_choice("divergence", self.divergence, judgements.DIVERGENCES)
        if (self.temperature is not None and self.temperature <= 0) or self.decay < 0:
            raise BrainalignError(
                f"temperature must be positive and decay not negative; got {self.temperature}, {self.decay:g}"
            )
        if min(self.n_steps, self.batch_size) < 1 or (self.learning_rate is not None and self.learning_rate <= 0):
            given = f"{self.n_steps}, {self.batch_size}, {self.learning_rate}"
            raise BrainalignError(f"n_steps, batch_size and learning_rate must be positive; got {given}")

    def fit(
        self,
        student: torch.nn.Module,
        inputs: NDArray[Any] | torch.Tensor,
        triplets: Triplets,
        probabilities: NDArray[np.floating[Any]],
    ) -> HumanAlignment:
        """Train a copy of the student; the one given stays as it is.

        Parameters
        ----------
        student : Module
            Inputs to features (n, n_features), as `NetworkExtractor.module(layer)` or `affine_head` are. It is run in
            evaluation mode: statistics of batch norm are those it came with.
        inputs : array or tensor (n_stimuli, ...)
            What the student takes: images (n_stimuli, 3, rows, columns), or features.
        triplets : array (n_triplets, 3)
        probabilities : array (n_triplets, 3)
            How probable the teacher takes each to be the odd one.

        Returns
        -------
        HumanAlignment
            With `student_`, `centre_` (n_features,), `temperature_`, `losses_` (n_steps,), and `moved_`: the distance
            of its weights from the initial ones as a share of their length.
        """
        import torch

        from brainalign.regression import descend

        rows = judgements.check_triplets(triplets, len(inputs))
        p = judgements.check_probabilities(probabilities, len(rows))
        device = pick_device(self.device)
        self.student_ = copy.deepcopy(student).eval().requires_grad_(True).to(device)
        weights = [weight for weight in self.student_.parameters() if weight.is_floating_point()]
        if not weights:
            raise BrainalignError("the student has no weights to train; give a network, or affine_head on its features")
        initial = [weight.detach().clone() for weight in weights]
        shown, numbers = np.unique(rows, return_inverse=True)
        before = self.transform(inputs, shown)
        self.centre_ = before.mean(axis=0)
        self.temperature_ = self.temperature or judgements.choice_temperature(
            judgements.object_similarities(before - self.centre_), numbers.reshape(rows.shape), p
        )
        centre = torch.from_numpy(self.centre_).to(device)
        rate = self.learning_rate or HEAD_RATE / before.shape[1]
        solver = torch.optim.Adam(weights, lr=rate, fused=True)
        keep = float(np.exp(-rate * self.decay))
        divergence = judgements.DIVERGENCES[self.divergence]

        def losses() -> Iterator[torch.Tensor]:
            for batch in self._batches(len(rows)):
                seen, place = np.unique(rows[batch], return_inverse=True)
                features = self.student_(_taken(inputs, seen, device)).double() - centre
                choices = judgements.log_choices(
                    features @ features.T / self.temperature_, torch.from_numpy(place.reshape(-1, 3)).to(device)
                )
                yield divergence(choices, torch.from_numpy(p[batch]).to(device))
                with torch.no_grad():
                    for weight, start in zip(weights, initial, strict=True):
                        weight.lerp_(start, 1 - keep)

        self.losses_ = descend(losses(), solver)
        self.student_.requires_grad_(False)
        apart = sum(float(((a.detach() - b) ** 2).sum()) for a, b in zip(weights, initial, strict=True))
        self.moved_ = float((apart / sum(float((b**2).sum()) for b in initial)) ** 0.5)
        return self

    def transform(
        self, inputs: NDArray[Any] | torch.Tensor, rows: NDArray[np.integer[Any]] | None = None
    ) -> NDArray[np.float64]:
        """Return the student's features of stimuli (of `rows` alone if given), whether it saw them or not."""
        import torch

        device = next(self.student_.parameters()).device
        wanted = np.arange(len(inputs)) if rows is None else np.asarray(rows)
        parts = [wanted[first : first + self.batch_size] for first in range(0, len(wanted), self.batch_size)]
        with torch.no_grad():
            features = torch.cat([self.student_(_taken(inputs, part, device)).cpu() for part in parts])
        if features.ndim != 2 or not torch.isfinite(features).all():
            raise BrainalignError(
                f"the student gives features of shape {tuple(features.shape)}, which must be a table of finite numbers "
                "(n_stimuli, n_features): average or flatten the places of maps (pooling 'mean' or 'flatten')"
            )
        return np.asarray(features.double().numpy())

    def similarities(self, inputs: NDArray[Any] | torch.Tensor) -> NDArray[np.float64]:
        """Return similarities whose softmax over pairs are the student's choices, (n_stimuli, n_stimuli)."""
        return judgements.object_similarities(self.transform(inputs) - self.centre_) / self.temperature_

    def choices(self, inputs: NDArray[Any] | torch.Tensor, triplets: Triplets) -> NDArray[np.float64]:
        """Compute the student's probability of each stimulus of a triplet to be the odd one, (n_triplets, 3)."""
        return judgements.choice_probabilities(self.similarities(inputs), triplets)

    def _batches(self, n_triplets: int) -> list[NDArray[np.intp]]:
        """Return rows of triplets per step: all of them in a random order, then again."""
        rng = np.random.default_rng(self.seed)
        size = min(self.batch_size, n_triplets)
        rounds = -(-self.n_steps * size // n_triplets)
        order = np.concatenate([rng.permutation(n_triplets) for _ in range(rounds)])
        return [order[k * size : (k + 1) * size] for k in range(self.n_steps)]


def _taken(inputs: NDArray[Any] | torch.Tensor, rows: NDArray[np.integer[Any]], device: torch.device) -> torch.Tensor:
    """Return some of the inputs as float32 on a device."""
    import torch

    picked = inputs[torch.from_numpy(rows)] if isinstance(inputs, torch.Tensor) else torch.from_numpy(inputs[rows])
    return picked.to(device, torch.float32)


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
        """Fit the map to the objects that are in a triplet, the odd one last.

        Probabilities (n_triplets, 3) say how often each object was chosen; without them the last always was.
        """
        values = representation("features", features)
        rows = judgements.check_triplets(triplets, len(values))
        p = judgements.check_probabilities(probabilities, len(rows))
        shown, numbers = np.unique(rows, return_inverse=True)
        rows, values = numbers.reshape(rows.shape), values[shown]
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
                aligned = judgements.object_similarities(standard @ weight.T + bias)
                self.held_out_[penalty] = judgements.mean_divergence(aligned, rows[split.test], p[split.test])
            self.penalty_ = min(self.held_out_, key=lambda penalty: (self.held_out_[penalty], -penalty))
        else:
            self.penalty_ = float(self.penalties[0])
        self.weight_, self.bias_ = self._solve(standard, rows, p, self.penalty_)
        return self

    def transform(self, features: Values) -> NDArray[np.float64]:
        """Return the aligned features of any objects, whose dot products are the teacher's similarities."""
        values = representation("features", features)
        remedy = "give the same layer"
        check_width("features", values.shape, len(self.centre_), "the teacher was fitted on", remedy)
        return np.asarray((values - self.centre_) / self.scale_ @ self.weight_.T + self.bias_)

    def choices(self, features: Values, triplets: Triplets) -> NDArray[np.float64]:
        """Compute the teacher's probability of each object of a triplet to be the odd one, (n_triplets, 3)."""
        return judgements.choice_probabilities(judgements.object_similarities(self.transform(features)), triplets)

    def _solve(
        self, values: Values, triplets: Triplets, p: Values, penalty: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        import torch

        start = float(np.clip(judgements.choice_temperature(values @ values.T, triplets, p) ** -0.5, *SCALES))
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
            value = judgements.kullback_leibler(judgements.log_choices(aligned @ aligned.T, rows), target)
            value = value + penalty * ((change**2).sum() + (bias**2).sum())
            if self.local_weight:
                value = value + self.local_weight * judgements.kullback_leibler(self._neighbours(aligned), before)
            return value

        _minimise(loss, [scale, apart], self.max_iterations)
        change, bias = (part.detach().numpy() for part in (apart[:, :-1], apart[:, -1]))
        return change + np.eye(n) * (scale.item() - change.diagonal().mean()), bias

    def _neighbours(self, values: torch.Tensor) -> torch.Tensor:
        """Return log probabilities of every object's neighbours, (n_objects, n_objects - 1)."""
        import torch

        unit, n = torch.nn.functional.normalize(values, dim=1), len(values)
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
