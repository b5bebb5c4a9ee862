"""A story with known truth: words, two feature spaces, voxels that follow one, both or none of them.

Responses are made on a clock of 0.1 s from impulses and haemodynamic responses of their own, never through the
resampling or the delays of an encoder.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy.stats import gamma

GROUPS = ("language", "acoustic", "both", "none")
FINE_S = 0.1


def haemodynamic(peak_s: float) -> np.ndarray:
    """Return a double-gamma response on the fine clock, peaking about `peak_s`."""
    t = np.arange(0, 24, FINE_S)
    response = gamma.pdf(t, peak_s + 1) - gamma.pdf(t, 2 * peak_s + 5) / 6
    return response / np.sqrt((response**2).sum())


def write_story(
    folder: Path,
    *,
    seed: int,
    n_runs: int = 6,
    n_rows: int = 120,
    n_voxels: int = 10,
    tr_s: float = 2.0,
    signal: float = 0.3,
    repeats: int = 1,
) -> dict[str, np.ndarray]:
    """Write words.tsv, language.npy, acoustic.npy and a .npy per run (and presentation) of four groups of voxels.

    Returns
    -------
    dict of array
        "group" of every voxel, and "planted" shares of variance (n_groups, 2).
    """
    rng = np.random.default_rng(seed)
    weights = {name: rng.normal(size=(size, 4 * n_voxels)) for name, size in (("language", 12), ("acoustic", 4))}
    share = {"language": np.repeat([1, 0, 1, 0], n_voxels), "acoustic": np.repeat([0, 1, 1, 0], n_voxels)}
    kernels = [haemodynamic(peak) for peak in rng.uniform(4, 7, 4 * n_voxels)]
    words, vectors = [], {"language": [], "acoustic": []}
    first, last = round(30 / tr_s), n_rows  # nothing is read before the story has begun
    for run in range(n_runs):
        onsets = np.cumsum(rng.gamma(4, 0.35 / 4, round(n_rows * tr_s / 0.35)))
        onsets = onsets[onsets < n_rows * tr_s - 1]
        words.append(
            pd.DataFrame({"run": f"story{run + 1}", "onset_s": onsets.round(3), "duration_s": 0.2, "text": "word"})
        )
        steps = rng.normal(size=(len(onsets), 12)) * np.sqrt(1 - 0.7**2)
        language = np.zeros_like(steps)
        for k in range(len(onsets)):
            language[k] = steps[k] + (0.7 * language[k - 1] if k else 0)
        vectors["language"].append(language)
        vectors["acoustic"].append(rng.normal(size=(len(onsets), 4)))
        fine = np.round((onsets.round(3) + 0.1) / FINE_S).astype(int)
        rows = np.round((np.arange(n_rows) + 0.5) * tr_s / FINE_S).astype(int)
        planted = np.zeros((n_rows, 4 * n_voxels))
        for name in vectors:
            impulses = np.zeros((round((n_rows + 15) * tr_s / FINE_S), 4 * n_voxels))
            np.add.at(impulses, fine, vectors[name][-1] @ weights[name])
            series = np.stack([np.convolve(impulses[:, k], kernels[k])[rows] for k in range(4 * n_voxels)], axis=1)
            scale = series[first:last].std(axis=0)
            planted += (
                share[name] * series / scale * np.sqrt(signal / np.maximum(share["language"] + share["acoustic"], 1))
            )
        for presentation in range(repeats):
            noise = np.zeros_like(planted)
            shocks = rng.normal(size=planted.shape) * np.sqrt(1 - 0.4**2)
            for k in range(n_rows):
                noise[k] = shocks[k] + (0.4 * noise[k - 1] if k else 0)
            drift = np.linspace(-1, 1, n_rows)[:, None] * rng.normal(size=4 * n_voxels)
            values = 100 + planted + np.sqrt(1 - signal) * noise + drift
            name = f"story{run + 1}.npy" if presentation == 0 else f"story{run + 1}_again.npy"
            np.save(folder / name, values.astype(np.float32))
    pd.concat(words).to_csv(folder / "words.tsv", sep="\t", index=False)
    for name, parts in vectors.items():
        np.save(folder / f"{name}.npy", np.concatenate(parts).astype(np.float32))
    group = np.repeat(GROUPS, n_voxels)
    pd.DataFrame({"target_id": [f"v{k}" for k in range(len(group))], "roi": group}).to_csv(
        folder / "targets.tsv", sep="\t", index=False
    )
    return {"group": group}


def write_release(folder: Path, story: Path, *, cut: tuple[int, int], repeated: tuple[str, ...]) -> None:
    """Write a story as OpenNeuro ds003020 is laid out: TextGrids, and rows that were cut and z-scored, in .hf5."""
    words = pd.read_csv(story / "words.tsv", sep="\t")
    grids, stored = folder / "derivative/TextGrids", folder / "derivative/preprocessed_data/UTS03"
    grids.mkdir(parents=True)
    stored.mkdir(parents=True)
    for run, events in words.groupby("run"):
        onsets = events["onset_s"].to_numpy()
        stops = np.minimum(onsets + events["duration_s"].to_numpy(), np.append(onsets[1:], np.inf))
        spoken = [(a, b, text) for a, b, text in zip(onsets, stops, events["text"], strict=True)]
        silent = [(b, after, "sp") for (_, b, _), after in zip(spoken, onsets[1:], strict=False) if after > b]
        intervals = sorted([*spoken, *silent, (0.0, onsets[0], "{BR}")])
        end = intervals[-1][1]
        lines = ['"ooTextFile"', '"TextGrid"', "0", str(end), "<exists>", "2"]
        for tier, rows in (("phone", [(0.0, end, "AH0")]), ("word", intervals)):
            lines += ['"IntervalTier"', f'"{tier}"', "0", str(end), str(len(rows))]
            lines += [str(cell) if isinstance(cell, float) else f'"{cell}"' for row in rows for cell in row]
        (grids / f"{run}.TextGrid").write_text("File type = " + "\n".join(lines))
        files = [f"{run}.npy", *([f"{run}_again.npy"] if run in repeated else [])]
        heard = [np.load(story / file)[cut[0] : -cut[1]] for file in files]
        scored = [(values - values.mean(axis=0)) / values.std(axis=0) for values in heard]
        with h5py.File(stored / f"{run}.hf5", "w") as file:
            file["data"] = np.mean(scored, axis=0)
            if len(scored) > 1:
                file["individual_repeats"] = np.stack(scored)
