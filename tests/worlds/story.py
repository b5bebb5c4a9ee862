"""A story laid out as a published release of story data."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import yaml
from jobs import config_of

from brainalign.config import Config


def described(folder: Path, runs: int = 5, **changes: object) -> dict[str, object]:
    files = {f"story{run + 1}": f"story{run + 1}.npy" for run in range(runs)}
    recorded = {"format": "runs", "tr_s": 2.0, "targets": "targets.tsv", "files": files} | changes
    content = {"name": "story", "stimuli": "words.tsv", "recordings": {"01": recorded}}
    content["splits"] = {"stories": {"leave_out": "run"}}
    (folder / "story.yaml").write_text(yaml.safe_dump(content))
    return content


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
