"""One trained encoder from several seeds: the mean of their predictions, and each one's own for the spread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.regression import Epoch, digest_of


@dataclass(eq=False, repr=False)
class SeedEnsemble(BaseEstimator):  # type: ignore[misc]
    """Train an encoder once per seed; a killed fit goes on with the seed and the epoch it was at.

    Parameters
    ----------
    encoder : encoder that is trained
        Cloned; its seed, checkpoint and progress are set here.
    seeds : sequence of int
    targets : array of target numbers, optional
        That are trained, the roi given being theirs; the others are predicted by their mean. All where not given.
    checkpoint : Path, optional
        Folder for finished networks and the state of the one in training. Fits to other data use folders of their
        own in it, so that a refit on permuted responses is never taken for the fit. Delete it when all is done.
    progress : function of a seed and an Epoch, optional
        Called after each epoch.

    Attributes
    ----------
    encoders_ : list of fitted encoders, one per seed
    seed_validation_r_ : array (n_seeds, n_targets)
        r on the rows that were set apart from training; NaN of what is not trained.
    validation_r_ : array (n_targets,)
        Its mean over seeds.
    trained_ : array of target numbers
    n_parameters_ : int
        Of one network.
    seconds_ : float
        Training time of all seeds, without what a killed run lost.

    Examples
    --------
    >>> ensemble = SeedEnsemble(FactorizedReadout(epochs=20), seeds=(0, 1, 2)).fit(tokens, Y, grid=(8, 8))
    >>> ensemble.predictions(test_tokens).shape
    (3, 100, 5000)
    """

    encoder: Any
    seeds: Sequence[int] = (0,)
    checkpoint: Path | None = None
    progress: Callable[[int, Epoch], None] | None = None
    targets: NDArray[np.intp] | None = None

    def fit(
        self,
        X: Values,
        Y: Values,
        *,
        groups: NDArray[Any] | None = None,
        grid: tuple[int, int] | None = None,
        roi: NDArray[Any] | None = None,
        semantics: Values | None = None,
    ) -> Self:
        """Fit one encoder per seed; the keywords that are given are passed on to it.

        Raises
        ------
        BrainalignError
            If a seed is given twice or none is.
        """
        if not len(self.seeds) or len(set(self.seeds)) < len(self.seeds):
            raise BrainalignError(f"seeds must be different numbers, at least one; got {list(self.seeds)}")
        trained = np.arange(Y.shape[1]) if self.targets is None else np.asarray(self.targets)
        self.means_: Values = np.nanmean(Y, axis=0)
        Y = Y[:, trained]
        given = {"groups": groups, "grid": grid, "roi": roi, "semantics": semantics}
        given = {name: value for name, value in given.items() if value is not None}
        folder = None
        if self.checkpoint is not None:
            options = sorted(self.encoder.get_params().items())
            folder = Path(self.checkpoint) / digest_of(options, X, Y, *given.values())
        self.encoders_ = [self._one(seed, X, Y, given, folder) for seed in self.seeds]
        self.trained_ = trained
        self.seed_validation_r_: Values = np.full((len(self.seeds), len(self.means_)), np.nan)
        self.seed_validation_r_[:, trained] = [np.asarray(one.validation_r_) for one in self.encoders_]
        self.validation_r_: Values = self.seed_validation_r_.mean(axis=0)
        self.n_parameters_ = int(self.encoders_[0].n_parameters_)
        self.seconds_ = float(sum(epoch.seconds for one in self.encoders_ for epoch in one.history_))
        return self

    def _one(self, seed: int, X: Values, Y: Values, given: dict[str, Any], folder: Path | None) -> Any:
        """Return the encoder of a seed: finished before, or trained from where it was."""
        finished = None if folder is None else folder / f"seed{seed}"
        if finished is not None and (finished / "finished").exists():
            return type(self.encoder).load(finished)
        encoder = clone(self.encoder).set_params(seed=seed, checkpoint=folder)
        if self.progress is not None:
            encoder.set_params(progress=partial(self.progress, seed))
        encoder.fit(X, Y, **given)
        if finished is not None:
            encoder.save(finished)
            (finished / "finished").touch()  # last: a folder without it was cut short
        return encoder

    def predictions(self, X: Values, semantics: Values | None = None) -> Values:
        """Predict responses by each seed (n_seeds, n_rows, n_targets)."""
        given = {} if semantics is None else {"semantics": semantics}
        found = np.empty((len(self.encoders_), len(X), len(self.means_)), dtype=np.float32)
        found[:] = self.means_
        for each, encoder in zip(found, self.encoders_, strict=True):
            each[:, self.trained_] = np.asarray(encoder.predict(X, **given))
        return found

    def predict(self, X: Values, semantics: Values | None = None) -> Values:
        """Return the mean prediction (n_rows, n_targets)."""
        return np.asarray(self.predictions(X, semantics).mean(axis=0))
