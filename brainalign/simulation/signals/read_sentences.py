"""EEG of people reading sentences, in which the meaning sits in phase-locked waves or only in their power.

    signal(c, t) = Σ_d A_s[c, d] · a_d · B_d(t)        B_d(t) = exp(−((t − t_d) / .06)² / 2),  t_d even in [.1, .9]
    x = snr · signal / sd + L · noise                  noise amplitude ~ f^−1/2,  LL' = .5 I + .5 exp(−|i − j| / 4)

A_s = .7 A_0 + .7 E_s: subjects share half of their mixing. z are components of the sentence's vector, of unit variance
over training sentences. In `eeg_text` a_d = z_d. In `eeg_power` a_d = ε_d exp(z_d / 2) with a random sign ε_d of every
trial and component: the mean given z is 0, and power grows with z_d.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows
from brainalign.simulation.signals.modalities import pink

NOUNS = {
    "animals": ("dog", "horse", "rabbit", "parrot", "turtle", "goat"),
    "food": ("soup", "bread", "cheese", "salad", "cake", "pizza"),
    "vehicles": ("train", "tractor", "bicycle", "truck", "ferry", "taxi"),
}
ADJECTIVES = {
    "positive": ("wonderful", "lovely", "excellent", "delightful"),
    "negative": ("terrible", "awful", "disgusting", "dreadful"),
}
PLACES = ("in the garden", "at the market", "near the beach", "by the school")


@dataclass(frozen=True)
class EegText:
    """Trials of several subjects, each of whom read every sentence once.

    Attributes
    ----------
    signals, before : array (n_trials, n_channels, n_times) of float32
        From the onset of the sentence, and the same length before it, in which there is only noise.
    trials : DataFrame (n_trials)
        trial_id, subject, stimulus_id, task, trial_index (in the order shown to the subject), and all of `sentences`.
    sentences : DataFrame (n_sentences)
        stimulus_id, text, split (train, val, test), and what `text_sentences` says.
    vectors : array (n_sentences, n_components)
        z, of unit variance over training sentences.
    mixing : array (n_subjects, n_channels, n_components)
    courses : array (n_components, n_times)
    """

    signals: NDArray[np.float32]
    before: NDArray[np.float32]
    trials: pd.DataFrame
    sentences: pd.DataFrame
    vectors: NDArray[np.float64]
    mixing: NDArray[np.float64]
    courses: NDArray[np.float64]

    def rows(self, split: str) -> NDArray[np.intp]:
        """Return the trials of a split."""
        return np.flatnonzero(self.trials["split"] == split)

    @property
    def targets(self) -> NDArray[np.float64]:
        """Return the vector of every trial's sentence (n_trials, n_components)."""
        rows = pd.Index(self.sentences["stimulus_id"]).get_indexer(pd.Index(self.trials["stimulus_id"]))
        return np.asarray(self.vectors[rows])


def text_sentences() -> pd.DataFrame:
    """Return 576 sentences "the NOUN was ADJECTIVE PLACE .", a row each.

    Columns: stimulus_id, text, topic, noun, adjective, sentiment, place.

    Examples
    --------
    >>> sentences = text_sentences()
    >>> len(sentences), sentences["text"][0]
    (576, 'the dog was wonderful in the garden .')
    """
    nouns = [(topic, noun) for topic, of in NOUNS.items() for noun in of]
    adjectives = [(sentiment, adjective) for sentiment, of in ADJECTIVES.items() for adjective in of]
    rows = [
        (f"the {noun} was {adjective} {place} .", topic, noun, adjective, sentiment, place)
        for (topic, noun), (sentiment, adjective), place in product(nouns, adjectives, PLACES)
    ]
    table = pd.DataFrame(rows, columns=["text", "topic", "noun", "adjective", "sentiment", "place"])
    table.insert(0, "stimulus_id", [f"sentence{k:03d}" for k in range(len(table))])
    return table


def eeg_text(
    vectors: NDArray[np.floating[Any]],
    sentences: pd.DataFrame | None = None,
    *,
    snr: float = 0.25,
    n_subjects: int = 4,
    n_channels: int = 24,
    n_times: int = 64,
    n_components: int = 24,
    shares: tuple[float, float] = (0.1, 0.1032),
    power: bool = False,
    seed: int = 0,
) -> EegText:
    """Simulate phase-locked EEG: waves carry z with its sign.

    Parameters
    ----------
    vectors : array (n_sentences, n_dimensions)
        Of a sentence model, for example MiniLM; extracted by the caller.
    sentences : DataFrame (n_sentences), optional
        With stimulus_id and text; `text_sentences` where not given.
    snr : float
        Standard deviation of the signal over that of the noise; 0: nothing to find.
    shares : (float, float)
        Of the sentences for validation and test, rounded down and to the nearest.
    power : bool
        Let only the power of waves carry z, as `eeg_power` does.

    Raises
    ------
    BrainalignError
        If vectors do not fit the sentences or have fewer dimensions than components.
    """
    sentences = text_sentences() if sentences is None else sentences.reset_index(drop=True)
    check_rows("vectors", len(vectors), "sentences", len(sentences), "give one vector per sentence")
    n = len(sentences)
    if min(vectors.shape[1], n - 1) < n_components:
        raise BrainalignError(f"{n_components} components do not fit vectors {vectors.shape}; lower n_components")
    rng = np.random.default_rng([seed, 0x7E47])
    n_val, n_test = int(shares[0] * n), round(shares[1] * n)
    split = np.array(["val"] * n_val + ["test"] * n_test + ["train"] * (n - n_val - n_test))[rng.permutation(n)]
    sentences = sentences.assign(split=split)
    vectors, train = np.asarray(vectors, dtype=np.float64), split == "train"
    centred = vectors - vectors[train].mean(axis=0)
    z = centred @ np.linalg.svd(centred[train], full_matrices=False)[2][:n_components].T
    z /= z[train].std(axis=0)  # principal components, fitted on training rows and of unit variance there
    shape = (n_channels, n_components)
    mixing = 0.7 * rng.normal(size=shape) + 0.7 * rng.normal(size=(n_subjects, *shape))
    times = np.arange(n_times) / n_times
    courses = np.exp(-0.5 * ((times - np.linspace(0.1, 0.9, n_components)[:, None]) / 0.06) ** 2)
    amplitude = np.tile(z, (n_subjects, 1, 1))  # (n_subjects, n_sentences, n_components)
    if power:
        amplitude = rng.choice([-1.0, 1.0], size=amplitude.shape) * np.exp(0.5 * amplitude)
    signal = np.einsum("scd,snd,dt->snct", mixing, amplitude, courses, optimize=True)
    signal = snr * signal.reshape(-1, n_channels, n_times) / signal.std()
    tables = []
    for k in range(n_subjects):
        table = sentences.assign(subject=f"{k + 1:02d}", task="reading", trial_index=rng.permutation(n))
        table.insert(0, "trial_id", [f"{k + 1:02d}-{name}" for name in sentences["stimulus_id"]])
        tables.append(table)
    noise = [_noise(signal.shape, rng) for _ in range(2)]
    return EegText(
        signals=(signal + noise[0]).astype(np.float32),
        before=noise[1].astype(np.float32),
        trials=pd.concat(tables, ignore_index=True),
        sentences=sentences,
        vectors=z,
        mixing=mixing,
        courses=courses,
    )


def eeg_power(
    vectors: NDArray[np.floating[Any]],
    sentences: pd.DataFrame | None = None,
    *,
    snr: float = 0.7,
    seed: int = 0,
    **sizes: Any,
) -> EegText:
    """Simulate EEG in which only power carries z, as `eeg_text` does: nothing linear in the signal can find it."""
    return eeg_text(vectors, sentences, snr=snr, power=True, seed=seed, **sizes)


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return noise of unit standard deviation, amplitude f^−1/2 (mean as first bin), related between channels."""
    i = np.arange(shape[1])
    mixing = np.linalg.cholesky(0.5 * np.eye(shape[1]) + 0.5 * np.exp(-np.abs(i[:, None] - i) / 4))
    return np.asarray(np.einsum("cd,ndt->nct", mixing, pink(rng.normal(size=shape)), optimize=True))
