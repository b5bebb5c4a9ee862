"""A network that learns to be as unsure as a teacher which of three stimuli does not belong: soft choices distilled.

The student is any torch module, a whole network or an affine map on features that were extracted before. Its weights
are pulled back to where they came from, so that it changes where the teacher has something to say.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice
from brainalign.devices import pick_device
from brainalign.geometry.odd_one_out.soft_choices import (
    DIVERGENCES,
    check_probabilities,
    choice_temperature,
    log_choices,
)
from brainalign.geometry.odd_one_out.triplets import check_triplets, choice_probabilities, object_similarities

if TYPE_CHECKING:
    import torch

Triplets = NDArray[np.integer[Any]]


def affine_head(n_features: int) -> torch.nn.Linear:
    """Return the affine map that changes nothing: a student on top of features, cheap where a network is not.

    Parameters
    ----------
    n_features : int
    """
    import torch

    head = torch.nn.Linear(n_features, n_features)
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
    learning_rate : float
        Of Adam, in units of weights.
    seed : int
        Of the order of triplets.
    device : {"cpu", "cuda", "auto"}

    Raises
    ------
    BrainalignError
        If an argument is not allowed.

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
    learning_rate: float = 3e-3
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_choice("divergence", self.divergence, DIVERGENCES)
        if (self.temperature is not None and self.temperature <= 0) or self.decay < 0:
            raise BrainalignError(
                f"temperature must be positive and decay not negative; got {self.temperature}, {self.decay:g}"
            )
        if min(self.n_steps, self.batch_size) < 1 or self.learning_rate <= 0:
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

        Raises
        ------
        BrainalignError
            If shapes do not match, features are no table or not finite, or the student has no weights.
        """
        import torch

        from brainalign.regression import descend

        rows = check_triplets(triplets, len(inputs))
        p = check_probabilities(probabilities, len(rows))
        device = pick_device(self.device)
        self.student_ = copy.deepcopy(student).eval().requires_grad_(True).to(device)
        weights = [weight for weight in self.student_.parameters() if weight.is_floating_point()]
        if not weights:
            raise BrainalignError("the student has no weights to train; give a network, or affine_head on its features")
        initial = [weight.detach().clone() for weight in weights]
        shown, numbers = np.unique(rows, return_inverse=True)
        before = self.transform(inputs, shown)
        self.centre_ = before.mean(axis=0)
        self.temperature_ = self.temperature or choice_temperature(
            object_similarities(before - self.centre_), numbers.reshape(rows.shape), p
        )
        centre = torch.from_numpy(self.centre_).to(device)
        solver = torch.optim.Adam(weights, lr=self.learning_rate)
        keep = float(np.exp(-self.learning_rate * self.decay))
        divergence = DIVERGENCES[self.divergence]

        def losses() -> Iterator[torch.Tensor]:
            for batch in self._batches(len(rows)):
                seen, place = np.unique(rows[batch], return_inverse=True)
                features = self.student_(_taken(inputs, seen, device)).double() - centre
                choices = log_choices(
                    features @ features.T / self.temperature_, torch.from_numpy(place.reshape(-1, 3)).to(device)
                )
                yield divergence(choices, torch.from_numpy(p[batch]).to(device))
                with torch.no_grad():
                    for weight, start in zip(weights, initial, strict=True):
                        weight.lerp_(start, 1 - keep)

        self.losses_ = descend(losses(), solver)
        self.student_.requires_grad_(False)
        self.moved_ = _distance(weights, initial)
        return self

    def transform(
        self, inputs: NDArray[Any] | torch.Tensor, rows: NDArray[np.integer[Any]] | None = None
    ) -> NDArray[np.float64]:
        """Return the student's features of stimuli, whether it saw them or not.

        Parameters
        ----------
        inputs : array or tensor (n_stimuli, ...)
        rows : array, optional
            Of the inputs that are wanted; all by default.

        Returns
        -------
        array (n_stimuli, n_features)

        Raises
        ------
        BrainalignError
            If the student's features are no table, or not finite.
        """
        import torch

        device = next(self.student_.parameters()).device
        wanted = np.arange(len(inputs)) if rows is None else np.asarray(rows)
        found = []
        with torch.no_grad():
            for first in range(0, len(wanted), self.batch_size):
                found.append(self.student_(_taken(inputs, wanted[first : first + self.batch_size], device)).cpu())
        features = torch.cat(found)
        if features.ndim != 2 or not torch.isfinite(features).all():
            raise BrainalignError(
                f"the student gives features of shape {tuple(features.shape)}, which must be a table of finite numbers "
                "(n_stimuli, n_features): average or flatten the places of maps (pooling 'mean' or 'flatten')"
            )
        return np.asarray(features.double().numpy())

    def similarities(self, inputs: NDArray[Any] | torch.Tensor) -> NDArray[np.float64]:
        """Return similarities whose softmax over pairs are the student's choices, (n_stimuli, n_stimuli)."""
        return object_similarities(self.transform(inputs) - self.centre_) / self.temperature_

    def choices(self, inputs: NDArray[Any] | torch.Tensor, triplets: Triplets) -> NDArray[np.float64]:
        """Compute the student's probability of each stimulus of a triplet to be the odd one, (n_triplets, 3)."""
        return choice_probabilities(self.similarities(inputs), triplets)

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


def _distance(weights: Sequence[torch.Tensor], initial: Sequence[torch.Tensor]) -> float:
    apart = sum(float(((a.detach() - b) ** 2).sum()) for a, b in zip(weights, initial, strict=True))
    return float((apart / sum(float((b**2).sum()) for b in initial)) ** 0.5)
