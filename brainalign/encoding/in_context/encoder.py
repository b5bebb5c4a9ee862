"""In-context encoding: one network, meta-trained on many voxels, reads a new voxel's weights off a few examples.

- `pretrain` once, on synthetic voxels and, where given, on voxels of other subjects.
- `fit` encodes a context of (image, response) pairs without any gradient step; the network stays as it is.
- Groups of voxels that the prior does not know fall back to ridge with a pooled alpha; those that empirical-Bayes ridge
  predicts better than the network does, to that.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from brainalign.checks import BrainalignError, check_choice, check_rows
from brainalign.devices import pick_device, seeded, target_block
from brainalign.encoding.in_context import inputs
from brainalign.encoding.in_context.empirical_bayes import JITTER, WeightPrior, posterior_weights
from brainalign.encoding.in_context.fallback import NETWORK, compare_groups
from brainalign.encoding.in_context.meta_training import Curriculum, Progress, meta_train
from brainalign.encoding.in_context.network import (
    NETWORKS,
    InContextNetwork,
    network_of,
    parameter_hash,
    read_checkpoint,
    state_of,
    write_checkpoint,
)
from brainalign.io import reading
from brainalign.regression import Array, as_tensor, check_arrays, labels_of, refuse, same_kind_as

FAR = 4.0  # times the usual standard deviation: in other units
N_REAL = 4096  # weights that voxels of other subjects may have
BLOCK = 2048  # voxels of a context at a time, however much memory there is: caches hold no more


@dataclass(eq=False, repr=False)
class InContextEncoder(inputs.LinearWeights, BaseEstimator):  # type: ignore[misc]
    """Linear weights per voxel from a handful of (image, response) pairs, by a meta-trained transformer.

    Features must be unit length (`unit_rows`). Responses are z-scored over the context and weights scaled back. No
    order of the context matters.

    Parameters
    ----------
    network : {"small", "clip", "dino", "siglip"}
        "small" meta-trains in two minutes on a CPU; the others are the published sizes for features of 512, 768 and
        1152 values and want a GPU.
    prior : {"normal", "independent"}
        Whether synthetic weights keep the correlations of the prior given to `pretrain`. With "normal", half of them
        are, where other subjects are given, weights that their voxels may have.
    units : {"prior", "any"}
        Whether responses come in the units of those the prior is of (z-score all subjects alike). The network then
        knows from their standard deviation how noisy a voxel is, which a short context hardly tells; with "any" it
        has to do without, and no unit matters.
    n_steps : tuple of 3 int
        Steps of the phases: synthetic voxels with the largest context; with contexts of all sizes; real voxels of
        other subjects in turn with synthetic ones (where none are given: these alone, half as many).
    context_sizes : tuple of 2 int
        Smallest and largest context in training; sizes between them are log-uniform.
    noise_ratio : tuple of 2 float
        Noise of synthetic voxels, relative to the standard deviation of their signal: log-uniform between the two.
    n_voxels, n_queries : int
        Voxels, and images to predict, in each step.
    learning_rate, weight_decay : float
        Published with AdamW: 1e-4 and .1.
    optimizer : {"muon", "adamw"}
        Muon for weight matrices and AdamW for the rest, under a one-cycle schedule: a third of the steps. Or AdamW
        alone, whose rate falls by 10 where the loss no longer does, as published.
    metric : {"r2", "r"}
        What `score` averages.
    fallback : bool
        Compare with pooled-alpha ridge and with empirical-Bayes ridge (units="prior"), in groups of targets, by
        leave-one-out error on the context; ridge is taken unless the others are better by more than chance.
    min_group : int
        Labels of `roi` with fewer targets decide together.
    n_checks : int
        About how many (image, target) pairs of a group are left out.
    seed : int
    device : {"auto", "cpu", "cuda"}

    Attributes
    ----------
    n_features_ : int
        Width of the features the network knows; set by `pretrain` or `load`.
    losses_ : list of float
        Of every training step; set by `pretrain` or `load`.
    coef_ : array (n_features, n_targets)
    intercept_ : array (n_targets,)
    prior_ : WeightPrior
        Of `pretrain`; in the units of the responses.
    taken_ : dict of label to str
        Whose weights a group uses: "in_context", "empirical_bayes" or "ridge"; "all" without `roi`. Empty without
        fallback.
    fell_back_ : dict of label to bool
        Which groups use other weights than the network's.
    shares_ : dict of label to float
        By what weights other than ridge's were multiplied: the share of least error, plus a standard error.
    context_errors_ : dict of label to dict of float
        Leave-one-out errors of each, in units of the context's variance.
    beyond_training_ : bool
        The context is longer than any in training (a warning says so).

    References
    ----------
    Yu M, et al. (2025). Meta-learning an in-context transformer model of human higher visual cortex. NeurIPS.
    arXiv:2505.15813

    Jordan K, et al. (2024). Muon: an optimizer for hidden layers in neural networks. kellerjordan.github.io/posts/muon

    Examples
    --------
    >>> import numpy as np
    >>> from brainalign.encoding import WeightPrior, unit_rows
    >>> rng = np.random.default_rng(0)
    >>> images = unit_rows(rng.normal(size=(200, 4)))
    >>> encoder = InContextEncoder(n_steps=(2, 2, 0), context_sizes=(5, 20))
    >>> encoder = encoder.pretrain(images, WeightPrior(np.zeros(5), np.eye(5)))
    >>> encoder.fit(images[:10], images[:10] @ rng.normal(size=(4, 7))).coef_.shape
    (4, 7)
    """

    network: Literal["small", "clip", "dino", "siglip"] = "small"
    prior: Literal["normal", "independent"] = "normal"
    units: Literal["prior", "any"] = "prior"
    n_steps: tuple[int, int, int] = (50, 850, 600)
    context_sizes: tuple[int, int] = (8, 100)
    noise_ratio: tuple[float, float] = (0.5, 4.0)
    n_voxels: int = 48
    n_queries: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    optimizer: Literal["muon", "adamw"] = "muon"
    metric: Literal["r2", "r"] = "r2"
    fallback: bool = True
    min_group: int = 100
    n_checks: int = 5000
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __sklearn_clone__(self) -> "InContextEncoder":
        """Return an unfitted encoder that shares the network: fitting never changes it, and pre-training is once."""
        twin = InContextEncoder(**self.get_params())
        if hasattr(self, "network_"):
            twin.network_, twin.n_features_, twin.losses_ = self.network_, self.n_features_, self.losses_
            twin.prior_ = self.prior_
        return twin

    def pretrain(
        self,
        X: Array,
        prior: WeightPrior,
        *,
        subjects: Sequence[tuple[Array, Array]] = (),
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Meta-train the network: once, before any `fit`.

        Parameters
        ----------
        X : array (n_images, n_features)
            Unit rows: images of which synthetic contexts are made. None may be in a test set.
        prior : WeightPrior
            Of the training subjects' weights (`estimate_prior`).
        subjects : sequence of (X, Y)
            Features (n_images, n_features) and responses (n_images, n_voxels) of other subjects, for the third phase.
        checkpoint : Path, optional
            Folder for the state every 100 steps: called again after a kill, the same training goes on from there to the
            same network. What it wrote is deleted at the end.
        progress : callable (step, n_steps, loss), optional
            Called after every step.

        Raises
        ------
        BrainalignError
            If an option is out of range, shapes do not fit, rows are not unit length, a subject has too few images or
            training diverges.
        """
        check_choice("network", self.network, NETWORKS)
        check_choice("prior", self.prior, {"normal", "independent"})
        check_choice("units", self.units, {"prior", "any"})
        check_choice("optimizer", self.optimizer, {"muon", "adamw"})
        check_choice("metric", self.metric, inputs.METRICS)
        inputs.check_ranges(self.n_steps, self.context_sizes, self.noise_ratio)
        inputs.check_features("X", X, prior.n_features, "prior")
        inputs.check_unit_rows("X", X)
        needed = self.context_sizes[1] + self.n_queries
        for number, (features, responses) in enumerate(subjects):
            name = f"X of subject {number}"
            inputs.check_features(name, features, prior.n_features, "prior")
            check_arrays(name, features, responses, varying=True)
            inputs.check_unit_rows(name, features)
            if len(features) < needed:
                raise BrainalignError(
                    f"{name} has {len(features)} images but training asks for contexts of {self.context_sizes[1]} and "
                    f"{self.n_queries} queries; lower context_sizes or n_queries, or leave the subject out"
                )
        device = pick_device(self.device)
        drawn = prior if self.prior == "normal" else prior.independent()
        root = np.linalg.cholesky(drawn.covariance + JITTER * np.trace(drawn.covariance) * np.eye(len(drawn.mean)))
        images = as_tensor(X).float().to(device)
        self.n_features_, self.prior_ = prior.n_features, prior
        real = None
        known = [(features, responses) for features, responses in subjects if len(features) > prior.n_features + 1]
        if known and self.prior == "normal":
            real = torch.from_numpy(posterior_weights(prior, known, N_REAL, self.seed).T.copy()).float().to(device)
        with seeded(self.seed, device):
            size, knows_units = NETWORKS[self.network], self.units == "prior"
            self.network_ = InContextNetwork(prior.n_features, size, knows_units=knows_units).to(device)
            mean, covariance = (as_tensor(part).to(device) for part in (drawn.mean, drawn.covariance))
            if size.prior_axes:
                self.network_.look_along(covariance[:-1, :-1], images)
            if knows_units:
                self.network_.count_in(mean, covariance, images)
            self.losses_ = meta_train(
                self.network_,
                images,
                mean.float(),
                as_tensor(root).float().to(device),
                real,
                [(as_tensor(x).float().to(device), as_tensor(y).float().to(device)) for x, y in subjects],
                Curriculum(**{entry.name: getattr(self, entry.name) for entry in fields(Curriculum)}),
                torch.Generator().manual_seed(self.seed),
                checkpoint,
                progress,
            )
        return self

    def fit(
        self,
        X: Array,
        Y: Array,
        *,
        groups: Array | None = None,
        grid: tuple[int, int] | None = None,
        roi: Array | None = None,
        semantics: Array | None = None,
    ) -> Self:
        """Encode the context: a forward pass, no gradient step.

        Parameters
        ----------
        X : array (n_images, n_features)
            Unit rows.
        Y : array (n_images, n_targets)
            In the units of the prior, or in any (see `units`); no value may be missing.
        groups : array (n_images,), optional
            Rows left out together when in-context weights and ridge are compared.
        roi : array (n_targets,), optional
            Label per target; each label with `min_group` targets or more falls back, or does not, by itself.
        grid, semantics
            Not used; giving them raises.

        Raises
        ------
        BrainalignError
            If the network was not pre-trained, the context has fewer than 3 images, features are of another width or
            not unit length, values are not finite, a target is constant or a keyword cannot be used.
        """
        refuse("InContextEncoder", grid=grid, semantics=semantics)
        self._check_pretrained()
        inputs.check_context(X, self.n_features_)
        check_arrays("X", X, Y, varying=True)
        labels = labels_of(groups)
        if labels is not None:
            check_rows("groups", len(labels), "X", len(X), "give one label per image")
            if len(np.unique(labels)) < 2:
                raise BrainalignError("groups has a single label, so nothing is left of the context without it")
        if roi is not None:
            check_rows("roi", len(roi), "the targets of Y", Y.shape[1], "give one label per target")
        self.beyond_training_ = len(X) > self.context_sizes[1]
        if self.beyond_training_:
            warnings.warn(
                f"the context has {len(X)} images, more than the {self.context_sizes[1]} of training; compare with "
                "ridge, or pre-train with larger context_sizes",
                stacklevel=2,
            )
        if self.units == "prior":
            self._check_units(Y)
        device = pick_device(self.device)
        self.network_.to(device)
        x, y = as_tensor(X).float().to(device), as_tensor(Y).float().to(device)
        weights = self._weights(x, y)  # (n_targets, n_features + 1)
        compared = {}
        if self.fallback:
            compared = compare_groups(
                self._weights,
                x,
                y,
                prior=self.prior_ if self.units == "prior" else None,
                roi=labels_of(roi),
                groups=labels,
                min_group=self.min_group,
                n_checks=self.n_checks,
                seed=self.seed,
            )
        for comparison in compared.values():
            if comparison.weights is not None:
                weights[comparison.targets] = comparison.weights.T.to(weights)
            weights[comparison.targets, -1] += (1 - comparison.share) * weights[comparison.targets, :-1] @ x.mean(dim=0)
            weights[comparison.targets, :-1] *= comparison.share
        self.taken_ = {label: comparison.taken for label, comparison in compared.items()}
        self.fell_back_ = {label: name != NETWORK for label, name in self.taken_.items()}
        self.shares_ = {label: comparison.share for label, comparison in compared.items()}
        self.context_errors_ = {label: comparison.errors for label, comparison in compared.items()}
        like = same_kind_as(Y)
        self.coef_, self.intercept_ = like(weights[:, :-1].T.contiguous()), like(weights[:, -1].clone())
        return self

    def predict(self, X: Array) -> Array:
        """Return predictions (n_images, n_targets) for features (n_images, n_features) with unit rows.

        Raises
        ------
        BrainalignError
            If the number of features differs from the fit's, or rows are not unit length.
        """
        predicted = super().predict(X)
        inputs.check_unit_rows("X", X)
        return predicted

    def parameter_hash(self) -> str:
        """Return a digest of the network's weights: the same before and after `fit`."""
        self._check_pretrained()
        return parameter_hash(self.network_)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return the network as named arrays, and a description of it that JSON can hold.

        Raises
        ------
        BrainalignError
            If the network was not pre-trained.
        """
        self._check_pretrained()
        return state_of(self.network_, self.prior_, self.get_params(), self.losses_)

    @classmethod
    def from_state(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        description: Mapping[str, Any],
        *,
        source: str = "the state",
        **changes: Any,
    ) -> "InContextEncoder":
        """Return the pre-trained encoder whose `state` is given.

        Parameters
        ----------
        arrays, description
            As `state` returned them.
        source : str
            Where they come from, for errors.
        **changes
            Constructor arguments that do not concern training, such as device or fallback.

        Raises
        ------
        BrainalignError
            If the two do not belong together.
        """
        network, encoder_prior, parameters, losses = network_of(arrays, description, source=source)
        encoder = cls(**(parameters | changes))
        encoder.network_, encoder.n_features_, encoder.losses_ = network, network.n_features, losses
        encoder.prior_ = encoder_prior
        return encoder

    def save(self, path: str | Path) -> None:
        """Write the network (safetensors) and, beside it, its description (.json).

        Raises
        ------
        BrainalignError
            If the network was not pre-trained.
        """
        write_checkpoint(Path(path), self.state())

    @classmethod
    def load(cls, path: str | Path, **changes: Any) -> "InContextEncoder":
        """Read what `save` wrote: `path` is that of the safetensors file; for `changes` see `from_state`.

        Raises
        ------
        BrainalignError
            If a file is missing or the two do not belong together.
        """
        with reading(path, "no whole in-context encoder", "give what InContextEncoder.save wrote"):
            return cls.from_state(*read_checkpoint(Path(path)), source=str(path), **changes)

    def _weights(self, X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        """Return weights and bias (n_targets, n_features + 1) for a context (n_images, ...), in blocks of targets."""
        network, n_images = self.network_, len(X)
        size = target_block(Y.shape[1], network.bytes_per_voxel(n_images), X.device)
        found = torch.empty((Y.shape[1], self.n_features_ + 1), device=X.device)
        with torch.no_grad():
            for where in torch.arange(Y.shape[1], device=X.device).split(min(size, BLOCK)):
                found[where] = network(X.expand(len(where), -1, -1), Y[:, where].T)
        return found

    def _check_units(self, Y: Array) -> None:
        """Warn where the responses are far larger or smaller than those of training."""
        usual = float(self.network_.units[1])
        typical = float(as_tensor(Y).double().std(dim=0).median())
        low, high = (usual * (1 + ratio**2) ** 0.5 for ratio in self.noise_ratio)
        if not low / FAR < typical < high * FAR:
            warnings.warn(
                f"the standard deviation of responses is {typical:.3g}, in training {low:.3g} to {high:.3g}; bring "
                "both to the same units, for instance by z-scoring, or pre-train with units='any'",
                stacklevel=3,
            )

    def _check_pretrained(self) -> None:
        if not hasattr(self, "network_"):
            raise BrainalignError("InContextEncoder has no network yet; call pretrain(...) once, or load a checkpoint")
