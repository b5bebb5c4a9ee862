"""Worlds of a few lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import gaussian_filter1d

from brainalign.decoding import Trials
from brainalign.simulation import ConceptWorld, SharedWorld

Values = NDArray[np.float64]
Singles = NDArray[np.float32]


def linear_gaussian_reference(X: Values, Y: Values, noise_sd: Values, prior_mean: Values, prior_covariance: Values):
    """Return the posterior mean of weights and bias (n_features + 1, n_voxels), prior and noise being known. The best
    linear estimate from a context, m + C A' (A C A' + s² I)⁻¹ (y − A m) with A = [X, 1]: a reference, no bound on
    scores that weigh voxels otherwise than squared error does. `noise_sd` is one of each voxel."""
    design = np.column_stack([X, np.ones(len(X))])
    values, vectors = np.linalg.eigh(design @ prior_covariance @ design.T)
    shrunk = vectors @ ((vectors.T @ (Y - (design @ prior_mean)[:, None])) / (values[:, None] + np.square(noise_sd)))
    return np.asarray(prior_mean[:, None] + prior_covariance @ design.T @ shrunk)


def sides(world: SharedWorld) -> tuple[dict[str, Trials], dict[str, Trials]]:
    """Return averaged trials to train and to test on, by modality."""
    found: tuple[dict[str, Trials], ...] = ({}, {})
    for name, trials in world.trials.items():
        every = Trials(world.signals[name], world.targets(name), trials)
        for split, side in zip(("train", "test"), found, strict=True):
            side[name] = every.select((trials["split"] == split).to_numpy()).averaged()
    return found[0], found[1]


def ring(n: int) -> sparse.coo_array:
    i = np.arange(n)
    rows, columns = np.r_[i, i], np.r_[(i + 1) % n, (i - 1) % n]
    return sparse.coo_array((np.ones(2 * n), (rows, columns)), shape=(n, n))


def smooth_on_ring(rng: np.random.Generator, *shape: int) -> Values:
    """Return noise over sensors of a ring and time, smooth over both."""
    noise = gaussian_filter1d(rng.normal(size=shape), 2, axis=-1)
    noise = gaussian_filter1d(noise, 1, axis=-2, mode="wrap")
    return noise / noise.std()


@dataclass(frozen=True)
class SwissRoll:
    points: Values  # (n, 3)
    intrinsic: Values  # (n, 2): arc length along the spiral, and height


def swiss_roll(n: int, seed: int = 0) -> SwissRoll:
    """Simulate points spread evenly in angle and height over a sheet rolled up one and a half times. Tenenbaum JB, de
    Silva V, Langford JC (2000). A global geometric framework for nonlinear dimensionality reduction. Science
    290:2319-2323. doi:10.1126/science.290.5500.2319"""
    rng = np.random.default_rng(seed)
    angle, height = 1.5 * np.pi * (1 + 2 * rng.random(n)), 21 * rng.random(n)
    points = np.column_stack([angle * np.cos(angle), height, angle * np.sin(angle)])
    return SwissRoll(points, np.column_stack([(angle * np.sqrt(1 + angle**2) + np.arcsinh(angle)) / 2, height]))


@dataclass(frozen=True)
class SparseWorld:
    """Rows that are sums of a few of many atoms."""

    features: Singles  # (n_rows, n_features)
    codes: Singles  # (n_rows, n_atoms): how much of each atom a row holds, >= 0
    atoms: Singles  # (n_atoms, n_features): unit rows


def sparse_mixtures(n_rows=6000, n_features=32, n_atoms=64, n_active=3, noise=0.0, seed=0) -> SparseWorld:
    """Mix `n_active` random atoms per row, each with a weight between 1 and 2; noise of an sd on top."""
    rng = np.random.default_rng(seed)
    atoms = rng.normal(size=(n_atoms, n_features))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = np.zeros((n_rows, n_atoms))
    held = rng.random((n_rows, n_atoms)).argpartition(n_active - 1, axis=1)[:, :n_active]
    np.put_along_axis(codes, held, rng.uniform(1, 2, (n_rows, n_active)), axis=1)
    features = codes @ atoms + noise * rng.normal(size=(n_rows, n_features))
    return SparseWorld(features.astype(np.float32), codes.astype(np.float32), atoms.astype(np.float32))


N_FEATURES, N_PARENTS, N_CHILDREN = 32, 8, 8
LIKENESS = 0.7  # mean cosine of children of a parent


def hierarchical_mixtures(n_rows: int, seed: int = 0) -> SparseWorld:
    """Mix two children of different parents per row, each with a weight between 1 and 2. Children of a parent share its
    direction, so one look at a row that holds a child finds all its siblings too. After the best atom is taken out,
    they are gone. Atoms are the children, siblings next to each other. Costa V, Fel T, Lubana ES, Tolooshams B, Ba D
    (2025). From flat to hierarchical: extracting sparse representations with matching pursuit. arXiv:2506.03093"""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(N_FEATURES, N_FEATURES)))[0].T
    parents, room = axes[:N_PARENTS], axes[N_PARENTS:]
    own = rng.normal(size=(N_PARENTS, N_CHILDREN, len(room)))
    own = (own / np.linalg.norm(own, axis=-1, keepdims=True)) @ room
    children = np.sqrt(LIKENESS) * parents[:, None] + np.sqrt(1 - LIKENESS) * own
    chosen = rng.random((n_rows, N_PARENTS)).argpartition(1, axis=1)[:, :2]  # two different parents
    held = chosen * N_CHILDREN + rng.integers(N_CHILDREN, size=(n_rows, 2))
    codes = np.zeros((n_rows, N_PARENTS * N_CHILDREN))
    np.put_along_axis(codes, held, rng.uniform(1, 2, (n_rows, 2)), axis=1)
    atoms = children.reshape(-1, N_FEATURES)
    return SparseWorld((codes @ atoms).astype(np.float32), codes.astype(np.float32), atoms.astype(np.float32))


def write_things_files(world: ConceptWorld, folder: Path, index_base: int = 0) -> None:
    """Write a world in the format of the THINGS similarity judgements; `index_base` numbers the first object."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "trainset.txt", world.triplets + index_base, fmt="%d")
    np.savetxt(folder / "testset1.txt", world.repeats + index_base, fmt="%d")
    np.savetxt(folder / "spose_embedding.txt", world.embedding, fmt="%.6f")
    (folder / "labels.txt").write_text("".join(f"property {k + 1}\n" for k in range(world.embedding.shape[1])))
    (folder / "unique_id.txt").write_text("".join(f"thing_{k:02d}_a\n" for k in range(len(world.embedding))))


@dataclass(frozen=True)
class CategoryEpochs:
    values: NDArray[np.float64]  # (n_trials, n_sensors, n_times)
    labels: NDArray[np.str_]  # (n_trials,) of "a" or "b"
    recordings: NDArray[np.intp]  # (n_trials,) of int
    times: NDArray[np.float64]  # (n_times,): seconds from the stimulus


def category_epochs(
    n_trials: int = 240,
    n_recordings: int = 6,
    n_sensors: int = 5,
    *,
    peaks_s: Sequence[float] = (0.17,),
    width_s: float = 0.04,
    amplitude: float = 1.5,
    code: Literal["lasting", "moving"] = "lasting",
    step_s: float = 0.01,
    smoothness: float = 1.5,
    seed: int = 0,
) -> CategoryEpochs:
    """Draw epochs from -.1 to .5 s; categories differ by `amplitude` standard deviations of the noise at the peaks. One
    pattern at all peaks (lasting), or one for each, orthogonal to the others (moving); `width_s` is the standard
    deviation of a peak, `smoothness` that of the noise's filter, in samples."""
    rng, times = np.random.default_rng([seed, 0xCA7]), np.arange(-0.1, 0.5 - 1e-9, step_s)
    patterns = np.linalg.qr(rng.normal(size=(n_sensors, n_sensors)))[0]
    side = rng.integers(2, size=n_trials)
    values = gaussian_filter1d(rng.normal(size=(n_trials, n_sensors, len(times))), smoothness, axis=2)
    values /= values.std()
    for k, peak in enumerate(peaks_s):
        pattern = patterns[:, k if code == "moving" else 0]
        course = np.exp(-0.5 * ((times - peak) / width_s) ** 2)
        values += amplitude * (side - 0.5)[:, None, None] * pattern[:, None] * course
    return CategoryEpochs(values, np.array(["a", "b"])[side], np.arange(n_trials) * n_recordings // n_trials, times)
