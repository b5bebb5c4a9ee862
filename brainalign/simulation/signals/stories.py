"""A story with known truth: words, two feature spaces, and targets that follow one of them, both or none.

Of unit variance, a drive by language is u = √(1 − q) u' + √q c, one by sound v = √(1 − q) v' + √q c', where c and c'
correlate by ρ, and nothing else does. All features keep time alike, so that after any haemodynamic response

    unique(language) = unique(sound) = (1 − ρ² q) s / S,   shared = 1 − both,   S = Var(u + v) = 2 + 2 ρ q

of the R² s of a target that follows both; of one that follows language alone 1 − ρ² q are unique and ρ² q shared.
Responses are made on a fine clock from impulses, never through the resampling or the delays of an encoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.simulation.signals.regions import autoregressive

STORY_GROUPS = ("language", "sound", "both", "none")
FEATURES = ("language", "sound")
COMMON = 6  # dimensions of each that correlate with those of the other
RHO, Q = 0.4, 0.54  # of 0.4 explained, both have 0.15 alone and share 0.1
WORD_S = 0.35
WORD_MEMORY, NOISE_MEMORY = 0.7, 0.4  # from word to word, and from row to row
SLOW_S = 0.3  # rows at least so far apart follow as blood does


@dataclass(frozen=True)
class Story:
    """A story, and what followed it.

    Attributes
    ----------
    words : DataFrame
        run, onset_s, duration_s, text.
    features : mapping of array (n_words, n_features)
        "language" and "sound".
    planted : mapping of array (n_rows, n_targets)
        By run: what follows the words.
    responses : mapping of sequence of array (n_rows, n_targets)
        By run, of every presentation: with noise and drifts.
    targets : DataFrame
        target_id, roi (the group), peak_s, and shares of the planted variance: unique_language, unique_sound, shared.
    """

    words: pd.DataFrame
    features: Mapping[str, Values]
    planted: Mapping[str, Values]
    responses: Mapping[str, tuple[Values, ...]]
    targets: pd.DataFrame


def story(
    n_runs: int = 8,
    n_rows: int = 300,
    n_targets: int = 150,
    step_s: float = 2.0,
    explained: float = 0.4,
    repeated: int = 2,
    n_features: tuple[int, int] = (60, 12),
    seed: int = 0,
) -> Story:
    """Tell a story of several runs to groups of targets.

    Parameters
    ----------
    n_runs, n_rows : int
        Rows of each run.
    n_targets : int
        In each of the groups: those that follow language, sound, both, none.
    step_s : float
        Seconds between rows; responses peak after 4 to 7 s, or where rows lie closer than 0.3 s, after 0.1 to 0.3 s.
    explained : float
        Share of the variance that is planted in all groups but the last, of one presentation.
    repeated : int
        Runs that are heard twice.
    n_features : (int, int)
        Of language and of sound; more than six each, of which six are correlated.
    """
    rng = np.random.default_rng(seed)
    n, fine_s, slow = len(STORY_GROUPS) * n_targets, min(0.1, step_s / 4), step_s >= SLOW_S
    peaks = rng.uniform(4, 7, n) if slow else rng.uniform(0.1, 0.3, n)
    kernels = np.stack([_response(peak, slow, fine_s) for peak in peaks], axis=1)
    follows = {"language": np.repeat([1.0, 0, 1, 0], n_targets), "sound": np.repeat([0, 1.0, 1, 0], n_targets)}
    sizes = dict(zip(FEATURES, n_features, strict=True))
    common = _unit_columns(rng.normal(size=(COMMON, n)))
    weights = {  # (n_features, n) of unit length: Q of their power on what both spaces hold, alike in both
        name: np.concatenate([np.sqrt(Q) * common, np.sqrt(1 - Q) * _unit_columns(rng.normal(size=(size - COMMON, n)))])
        for name, size in sizes.items()
    }
    words, features, planted, responses = [], {name: [] for name in FEATURES}, {}, {}  # type: ignore[var-annotated]
    for k in range(n_runs):
        run = f"story{k + 1}"
        onsets = np.cumsum(rng.gamma(4, WORD_S / 4, round(1.2 * n_rows * step_s / WORD_S))).round(3)
        onsets = onsets[onsets < n_rows * step_s - 1]
        words.append(pd.DataFrame({"run": run, "onset_s": onsets, "duration_s": 0.2, "text": "word"}))
        steps = {name: rng.normal(size=(len(onsets), size)) for name, size in sizes.items()}
        steps["sound"][:, :COMMON] *= np.sqrt(1 - RHO**2)
        steps["sound"][:, :COMMON] += RHO * steps["language"][:, :COMMON]
        heard = {name: autoregressive(values, WORD_MEMORY) for name, values in steps.items()}  # of unit variance
        drive = sum(heard[name] @ weights[name] * follows[name] for name in FEATURES)
        impulses = np.zeros((round((n_rows + 1) * step_s / fine_s), n))
        np.add.at(impulses, np.round((onsets + 0.1) / fine_s).astype(int), drive)
        rows = np.round((np.arange(n_rows) + 0.5 * slow) * step_s / fine_s).astype(int)
        length = len(impulses) + len(kernels)
        spectra = np.fft.rfft(impulses, length, axis=0) * np.fft.rfft(kernels, length, axis=0)
        series = np.fft.irfft(spectra, length, axis=0)[rows]
        for name, values in heard.items():
            features[name].append(values)
        planted[run] = series
    # Every target has the same share in all runs, after the silence before responses have begun.
    begun = round(30 / step_s) if slow else 0
    scale = np.concatenate([series[begun:] for series in planted.values()]).std(axis=0)
    for k, run in enumerate(planted):
        planted[run] = np.sqrt(explained) * planted[run] / np.where(scale > 0, scale, 1)
        presentations = []
        for _ in range(1 + (k < repeated)):
            drift = np.linspace(-1, 1, n_rows)[:, None] * rng.normal(size=n)
            noise = np.sqrt(1 - explained) * autoregressive(rng.normal(size=(n_rows, n)), NOISE_MEMORY) + drift
            presentations.append((100 + planted[run] + noise).astype(np.float32))
        responses[run] = tuple(presentations)
    group = np.repeat(STORY_GROUPS, n_targets)
    unique, whole = 1 - RHO**2 * Q, 2 + 2 * RHO * Q
    shares = {
        "language": (unique, 0.0, 1 - unique),
        "sound": (0.0, unique, 1 - unique),
        "both": (unique / whole, unique / whole, 1 - 2 * unique / whole),
        "none": (0.0, 0.0, 0.0),
    }
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(n)], "roi": group, "peak_s": peaks})
    targets[["unique_language", "unique_sound", "shared"]] = [shares[name] for name in group]
    stacked = {name: np.concatenate(parts).astype(np.float32) for name, parts in features.items()}
    return Story(pd.concat(words, ignore_index=True), stacked, planted, responses, targets)


def write_story(world: Story, folder: Path) -> None:
    """Write words.tsv, targets.tsv, features and runs as .npy, as a lab has them; makes the folder.

    Runs are `story1.npy` ..., second presentations `story1_again.npy`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    world.words.to_csv(folder / "words.tsv", sep="\t", index=False)
    world.targets[["target_id", "roi"]].to_csv(folder / "targets.tsv", sep="\t", index=False)
    for name, values in world.features.items():
        np.save(folder / f"{name}.npy", values)
    for run, presentations in world.responses.items():
        for values, suffix in zip(presentations, ("", "_again"), strict=False):
            np.save(folder / f"{run}{suffix}.npy", values)


def _response(peak_s: float, slow: bool, fine_s: float) -> NDArray[np.float64]:
    """Return the response to an impulse, of unit power: a double gamma, or a bump of 50 ms."""
    from scipy.stats import gamma

    t = np.arange(0, 24 if slow else 0.6, fine_s)
    values = np.exp(-0.5 * ((t - peak_s) / 0.05) ** 2)
    if slow:
        values = gamma.pdf(t, peak_s + 1) - gamma.pdf(t, 2 * peak_s + 5) / 6
    return np.asarray(values / np.sqrt((values**2).sum()))


def _unit_columns(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values / np.sqrt((values**2).sum(axis=0)))
