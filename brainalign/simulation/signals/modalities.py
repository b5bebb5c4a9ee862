"""One set of images seen in EEG, MEG and fMRI: every recording mixes the same code of the image in its own way.

    h = .8 concept + .6 item,   code = tanh(h),   image vector = unit(tanh(h W / √K) − training mean)
    signal(c, t) = snr · Σ_k A_s[c, k] code_k B_k(t) / sd      B_k(t) = exp(−((t − t_k) / .1)² / 2)

A_s = .7 A_0 + .7 E_s: subjects of a modality share half of their mixing. Noise has amplitude f^−1/2 over time and is
white over voxels, of unit standard deviation in every single repeat. Test concepts are seen by nobody in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError


@dataclass(frozen=True)
class Modality:
    """How a group of subjects is recorded.

    Attributes
    ----------
    name : str
    n_subjects, n_channels : int
        Channels are sensors or voxels.
    n_times : int
        0: no time axis, as in fMRI.
    snr : float
        Standard deviation of the signal over that of the noise in a single repeat; 0: nothing to find.
    test_repeats : int
        Of every test image.
    """

    name: str
    n_subjects: int
    n_channels: int
    n_times: int
    snr: float
    test_repeats: int


MODALITIES = (
    Modality("eeg", 4, 24, 32, 0.05, 20),
    Modality("meg", 3, 40, 32, 0.035, 12),
    Modality("fmri", 3, 300, 0, 0.10, 20),
)


@dataclass(frozen=True)
class SharedWorld:
    """Single repeats of every image in every modality and subject.

    Attributes
    ----------
    stimuli : DataFrame (n_stimuli)
        stimulus_id, concept, split ("train" or "test").
    vectors : array (n_stimuli, n_dimensions)
        Unit vectors of the images.
    codes : array (n_stimuli, n_codes)
        What the brains carry.
    signals : dict of array (n_trials, n_channels, n_times) or (n_trials, n_channels), float32
    trials : dict of DataFrame (n_trials)
        stimulus_id, concept, split, subject, task, repeat.
    """

    stimuli: pd.DataFrame
    vectors: NDArray[np.float64]
    codes: NDArray[np.float64]
    signals: dict[str, NDArray[np.float32]]
    trials: dict[str, pd.DataFrame]

    def targets(self, modality: str) -> NDArray[np.float64]:
        """Return the image vector of every trial of a modality."""
        rows = pd.Index(self.stimuli["stimulus_id"]).get_indexer(pd.Index(self.trials[modality]["stimulus_id"]))
        return np.asarray(self.vectors[rows])


def shared_space(
    modalities: Sequence[Modality] = MODALITIES,
    *,
    n_train: int = 300,
    n_images: int = 2,
    n_test: int = 100,
    train_repeats: int = 4,
    share: float = 0.5,
    n_codes: int = 20,
    n_dimensions: int = 48,
    seed: int = 0,
) -> SharedWorld:
    """Simulate the recordings.

    Parameters
    ----------
    n_train, n_images : int
        Training concepts, and images of each.
    n_test : int
        Test concepts, of one image each.
    train_repeats : int
        Of every training image in every modality.
    share : float
        Of the mixing's variance that subjects have in common: 0, every subject its own; 1, all the same.
    n_codes, n_dimensions : int
        Of the code, and of the image vectors.

    Raises
    ------
    BrainalignError
        If a size is not positive or names of modalities repeat.
    """
    sizes = (n_train, n_images, n_test, train_repeats, n_codes, n_dimensions)
    names = [one.name for one in modalities]
    if not 0 <= share <= 1:
        raise BrainalignError(f"share {share} of the mixing is not between 0 and 1")
    if min(sizes) < 1 or len(set(names)) < max(1, len(names)):
        raise BrainalignError(f"sizes {sizes} must be positive and modalities {names} have different names")
    rng = np.random.default_rng([seed, 0x54A2])
    concept = np.concatenate([np.repeat(np.arange(n_train), n_images), n_train + np.arange(n_test)])
    n = len(concept)
    stimuli = pd.DataFrame(
        {
            "stimulus_id": [f"image{k:04d}" for k in range(n)],
            "concept": [f"concept{k:04d}" for k in concept],
            "split": np.where(concept < n_train, "train", "test"),
        }
    )
    hidden = 0.8 * rng.normal(size=(n_train + n_test, n_codes))[concept] + 0.6 * rng.normal(size=(n, n_codes))
    vectors = np.tanh(hidden @ rng.normal(size=(n_codes, n_dimensions)) / np.sqrt(n_codes))
    vectors -= vectors[concept < n_train].mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    signals, trials = {}, {}
    for one in modalities:
        repeats = np.where(concept < n_train, train_repeats, one.test_repeats)
        signals[one.name], trials[one.name] = _recorded(one, np.tanh(hidden), stimuli, repeats, share, rng)
    return SharedWorld(stimuli, vectors, np.tanh(hidden), signals, trials)


def _recorded(
    modality: Modality,
    codes: Values,
    stimuli: pd.DataFrame,
    repeats: NDArray[np.intp],
    share: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], pd.DataFrame]:
    n_codes, shape = codes.shape[1], (modality.n_channels, codes.shape[1])
    common, own = rng.normal(size=shape), rng.normal(size=(modality.n_subjects, *shape))
    mixing = np.sqrt(share) * common + np.sqrt(1 - share) * own
    if modality.n_times:
        times = np.arange(modality.n_times) / modality.n_times
        courses = np.exp(-0.5 * ((times - np.linspace(0.1, 0.9, n_codes)[:, None]) / 0.1) ** 2)
        signal = np.einsum("sck,nk,kt->snct", mixing, codes, courses, optimize=True)
    else:
        signal = np.einsum("sck,nk->snc", mixing, codes, optimize=True)
    signal *= modality.snr / signal.std()
    shown = np.repeat(np.arange(len(codes)), repeats)
    parts, tables = [], []
    repeat = np.concatenate([np.arange(count) for count in repeats])
    for k, clean in enumerate(signal):
        noise = rng.standard_normal((len(shown), *clean.shape[1:]), dtype=np.float32)
        noise = pink(noise).astype(np.float32) if modality.n_times else noise
        parts.append(clean[shown].astype(np.float32) + noise)
        table = stimuli.iloc[shown].reset_index(drop=True)
        tables.append(table.assign(subject=f"{modality.name}{k + 1:02d}", task="viewing", repeat=repeat))
    return np.concatenate(parts), pd.concat(tables, ignore_index=True)


def pink(white: NDArray[np.floating]) -> NDArray[np.floating]:
    """Filter white noise over its last axis to an amplitude of f^−1/2 (the mean as the first bin), of unit sd."""
    spectrum = np.fft.rfft(white, axis=-1)
    spectrum /= np.sqrt(np.maximum(np.arange(spectrum.shape[-1]), 1))
    noise = np.fft.irfft(spectrum, n=white.shape[-1], axis=-1)
    return np.asarray(noise / noise.std())


def write_modalities(world: SharedWorld, folder: Path) -> list[Path]:
    """Write stimuli.csv, vectors.npy, and <modality>/<subject>.npy with <subject>_trials.csv; makes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "stimuli.csv", folder / "vectors.npy"]
    world.stimuli.to_csv(written[0], index=False)
    np.save(written[1], world.vectors.astype(np.float32))
    for name, trials in world.trials.items():
        (folder / name).mkdir(exist_ok=True)
        for subject, rows in trials.groupby("subject").indices.items():
            signals, table = folder / name / f"{subject}.npy", folder / name / f"{subject}_trials.csv"
            np.save(signals, world.signals[name][rows])
            trials.iloc[rows][["stimulus_id", "repeat"]].to_csv(table, index=False)
            written += [signals, table]
    return written
