"""A story laid out as a published release, and a film with sound and words, of known truth: voxels that follow its
loudness, its motion, its luminance, or nothing. Words are vectors that hold the loudness around them, and noise: they
predict what loudness drives, and add nothing."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from jobs import config_of
from made import write_table, write_yaml
from PIL import Image
from scipy.io import wavfile
from scipy.signal import lfilter
from scipy.stats import gamma

from brainalign.config import Config
from brainalign.study import Study, load_descriptor

GROUPS = ("loudness", "motion", "luminance", "none")
FPS, SOUND_HZ, FINE_S = 2, 2000, 0.1


def write_film(folder: Path, *, seed: int, n_runs=5, n_rows=75, n_voxels=6, signal=0.5) -> dict[str, object]:
    """Write sounds, frames, words.tsv, words.npy, targets.tsv and a .npy per run (TR 2 s); return its descriptor."""
    rng = np.random.default_rng(seed)
    words, vectors, names = [], [], [f"run{k + 1}" for k in range(n_runs)]
    rows = np.round((np.arange(n_rows) + 0.5) * 2 / FINE_S).astype(int)
    for run in names:
        seconds = 2 * n_rows
        level = np.exp(0.8 * _slow(rng, round(seconds / FINE_S), 20))  # on the fine clock
        sound = rng.choice([-1.0, 1.0], seconds * SOUND_HZ) * np.repeat(level, round(FINE_S * SOUND_HZ)) ** (1 / 0.6)
        wavfile.write(folder / f"{run}.wav", SOUND_HZ, (30000 * sound / np.abs(sound).max()).astype(np.int16))
        steps = np.round(60 * rng.uniform(0, 1, seconds * FPS) * (_slow(rng, seconds * FPS, 10) > 0)).astype(int)
        grey = 128 + 30 * np.sign(_slow(rng, seconds * FPS, 40))  # luminance knows nothing of motion
        (folder / run).mkdir()
        side, motion = 0, np.zeros(seconds * FPS)
        before = None
        for k, step in enumerate(steps):
            side = side + step if side < 0 else side - step
            frame = np.full((4, 6), grey[k], dtype=np.uint8)
            frame[:, ::2] = (frame[:, ::2] + side).astype(np.uint8)
            frame[:, 1::2] = (frame[:, 1::2] - side).astype(np.uint8)
            Image.fromarray(frame).save(folder / run / f"frame{k + 1}.png")
            motion[k] = 0 if before is None else np.abs(frame.astype(int) - before).mean()
            before = frame.astype(int)
        onsets = np.sort(rng.uniform(0, seconds - 1, 3 * seconds)).round(2)
        words.append(pd.DataFrame({"run": run, "onset_s": onsets, "duration_s": 0.2, "text": "word"}))
        around = level[((onsets + 0.1) / FINE_S).astype(int)]
        noise = rng.normal(size=(len(around), 4))
        noise[:, 0] = 2 * around.std() * noise[:, 0] + around
        vectors.append(noise)
        seen = {"motion": motion, "luminance": grey}
        fine = {"loudness": level} | {name: np.repeat(each, round(1 / FPS / FINE_S)) for name, each in seen.items()}
        planted = np.zeros((n_rows, len(GROUPS), n_voxels))
        for k, name in enumerate(GROUPS[:3]):
            for voxel, peak in enumerate(np.linspace(4, 6, n_voxels)):
                response = gamma.pdf(np.arange(0, 24, FINE_S), peak + 1)
                series = np.convolve(fine[name] - fine[name].mean(), response)[rows]
                planted[:, k, voxel] = np.sqrt(signal) * series / series.std()
        noise = np.sqrt([*[1 - signal] * 3, 1])[:, None] * rng.normal(size=planted.shape)
        np.save(folder / f"{run}.npy", (100 + planted + noise).reshape(n_rows, -1).astype(np.float32))
    pd.concat(words).to_csv(folder / "words.tsv", sep="\t", index=False)
    np.save(folder / "words.npy", np.concatenate(vectors).astype(np.float32))
    group = np.repeat(GROUPS, n_voxels)
    write_table(folder / "targets.tsv", target_id=[f"v{k}" for k in range(len(group))], roi=group)
    files = {run: f"{run}.npy" for run in names}
    signals = {"sounds": {run: f"{run}.wav" for run in names}, "films": {run: run for run in names}, "fps": FPS}
    content = {"name": "film", "stimuli": "words.tsv", "continuous": signals, "splits": {"runs": {"leave_out": "run"}}}
    return content | {"recordings": {"01": {"format": "runs", "tr_s": 2.0, "targets": "targets.tsv", "files": files}}}


def _slow(rng: np.random.Generator, n: int, samples: float) -> np.ndarray:
    a = np.exp(-1 / samples)
    return lfilter([np.sqrt(1 - a**2)], [1, -a], rng.normal(size=n + 500))[500:]


def described(folder: Path, runs: int = 5, **changes: object) -> dict[str, object]:
    files = {f"story{run + 1}": f"story{run + 1}.npy" for run in range(runs)}
    recorded = {"format": "runs", "tr_s": 2.0, "targets": "targets.tsv", "files": files} | changes
    content = {"name": "story", "stimuli": "words.tsv", "recordings": {"01": recorded}}
    content["splits"] = {"stories": {"leave_out": "run"}}
    write_yaml(folder / "story.yaml", content)
    return content


def told(folder: Path, runs: int = 5, **changes: object) -> Study:
    described(folder, runs, **changes)
    return load_descriptor(folder / "story.yaml")


def configured(folder: Path) -> Config:
    models = {name: {"extractor": "table", "file": str(folder / f"{name}.npy")} for name in ("language", "sound")}
    models["random"] = {"extractor": "random", "n_features": 4}
    return config_of(folder / "story.yaml", models=models, encode={"permutations": 59, "n_candidates": 5})


def write_release(folder: Path, story: Path, *, cut: tuple[int, int], repeated: tuple[str, ...]) -> None:
    grids, stored = folder / "derivative/TextGrids", folder / "derivative/preprocessed_data/UTS03"
    grids.mkdir(parents=True)
    stored.mkdir(parents=True)
    for run, events in pd.read_csv(story / "words.tsv", sep="\t").groupby("run"):
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
