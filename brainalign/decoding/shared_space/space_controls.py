"""What stands beside a shared space: ridge per modality and subject, unimodal networks, nulls, layers removed."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from brainalign.arrays import Values
from brainalign.checks import check_choice
from brainalign.decoding.scoring import altered
from brainalign.decoding.shared_space.linear_paths import LinearPath, ridge_penalty
from brainalign.decoding.shared_space.space import SharedSpace
from brainalign.decoding.training import SubjectScale, Trials, check_unseen

SPACE_NULLS = ("shuffled", "noise")
NOBODY = "nobody in training"


def embed_all(space: SharedSpace, trials: Mapping[str, Trials]) -> dict[str, Values]:
    """Return embeddings of every trial by modality (n_trials, n_dimensions)."""
    return {name: space.embed(name, part.signals, part.meta["subject"].to_numpy()) for name, part in trials.items()}


def without_own_layers(space: SharedSpace, trials: Mapping[str, Trials]) -> dict[str, Values]:
    """Return embeddings with the mean subject layer for everybody; scales stay each subject's own."""
    found: dict[str, Values] = {}
    for name, part in trials.items():
        scale = space.scales_[name]
        subjects = part.meta["subject"].to_numpy()
        # An unknown name gets the mean scale as well: values are put where that scale expects them.
        mean, deviation = scale.mean.mean(axis=0), scale.deviation.mean(axis=0)
        as_new = scale.apply(part.signals, subjects) * deviation + mean
        found[name] = space.embed(name, as_new, np.full(len(part.meta), NOBODY))
    return found


def independent_ridges(
    train: Mapping[str, Trials], test: Mapping[str, Trials], penalty: float | None = None
) -> dict[str, Values]:
    """Return vectors of test trials decoded by one ridge per modality and subject: no network, nothing shared.

    Every channel and time (or voxel) is standardised by each subject's training trials, as for a shared space: ridge
    would else hear only the channels of the largest unit. Somebody new gets the mean of all ridges.

    Parameters
    ----------
    train, test : mapping of Trials
    penalty : float, optional
        As of `SharedSpace`.

    Raises
    ------
    BrainalignError
        If a stimulus is in train and test.
    """
    check_unseen(train.values(), test.values())
    found = {}
    for name, given in train.items():
        seen, asked = (trials.meta["subject"].to_numpy().astype(str) for trials in (given, test[name]))
        scale = SubjectScale.fit(given.signals, seen)
        taken = ridge_penalty(given, scale, own=True) if penalty is None else penalty
        path = LinearPath.fit(given, scale, taken, own=True)
        found[name] = path(scale.apply(test[name].signals, asked), scale.rows(asked))
    return found


def unimodal_spaces(
    make: Callable[[], SharedSpace],
    train: Mapping[str, Trials],
    test: Mapping[str, Trials],
    val: Mapping[str, Trials] | None = None,
) -> dict[str, Values]:
    """Return embeddings of test trials by networks of the same kind trained on one modality each.

    `make` returns a space to be fitted; trials of `val`, of other images, choose the weights of each network as they do
    those of a joint space. A stimulus in train and another split is refused.
    """
    check_unseen(train.values(), test.values())
    found = {}
    for name, part in train.items():
        own_val = {name: val[name]} if val and name in val else None
        found[name] = embed_all(make().fit({name: part}, own_val), {name: test[name]})[name]
    return found


def null_trials(trials: Mapping[str, Trials], kind: str, seed: int) -> dict[str, Trials]:
    """Return trials that hold nothing of their images.

    Parameters
    ----------
    trials : mapping of Trials
    kind : {"shuffled", "noise"}
        Pairs of signals and images shuffled within each subject, independently in every modality: one permutation for
        all would leave what modalities say of each other. Or noise with each subject's mean spectrum.
    seed : int
    """
    check_choice("kind", kind, SPACE_NULLS)
    found = {}
    for k, (name, part) in enumerate(trials.items()):
        rng = np.random.default_rng([seed, k, SPACE_NULLS.index(kind)])
        timed = part.signals if part.signals.ndim == 3 else part.signals[:, :, None]  # voxels are channels of one time
        made = altered(replace(part, signals=timed), kind, rng, ("subject",), "power")
        found[name] = replace(made, signals=made.signals.reshape(part.signals.shape))
    return found
