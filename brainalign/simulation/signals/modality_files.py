"""The world of a shared space as the files a lab would have: arrays and tables of trials, image vectors, splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from brainalign.simulation.signals.modalities import SharedWorld


def write_modalities(world: SharedWorld, folder: Path) -> list[Path]:
    """Write stimuli.csv, vectors.npy, and <modality>/<subject>.npy with <subject>_trials.csv.

    Parameters
    ----------
    world : SharedWorld
    folder : path
        Made where it does not exist.

    Returns
    -------
    list of Path
    """
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
