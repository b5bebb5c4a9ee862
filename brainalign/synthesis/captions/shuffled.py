"""Weights of ridge regression when every voxel's responses belong to other images: what captions say of nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError


def shuffled_weights(
    embeddings: Values, responses: Values, alphas: Values, n_shuffles: int, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Refit ridge regression to responses whose images are exchanged, for every voxel anew, with the penalties it had.

    A penalty chosen for shuffled responses would be so large that any noise beats them; and one order for all voxels
    would repeat one accident in all of them.

    Parameters
    ----------
    embeddings : array (n_images, d)
    responses : array (n_images, n_voxels)
    alphas : array (n_voxels,)
        Penalty of every voxel: ‖y − Xw‖² + alpha ‖w‖², columns centred.
    n_shuffles : int
    rng : Generator

    Returns
    -------
    list of arrays (d, n_voxels)

    Raises
    ------
    BrainalignError
        If shapes do not match.
    """
    if len(embeddings) != len(responses) or len(alphas) != responses.shape[1]:
        raise BrainalignError(
            f"embeddings of {len(embeddings)} images, responses {responses.shape} and {len(alphas)} penalties do not "
            "match; give a row per image and a penalty per voxel"
        )
    centred = np.asarray(embeddings - embeddings.mean(axis=0), dtype=np.float64)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    shrunk = sizes[:, None] / (sizes[:, None] ** 2 + np.asarray(alphas)[None])  # (rank, n_voxels)
    found = []
    for _ in range(n_shuffles):
        mixed = rng.permuted(responses, axis=0)
        found.append(np.asarray(right.T @ (shrunk * (left.T @ (mixed - mixed.mean(axis=0))))))
    return found
