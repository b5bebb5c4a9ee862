"""simulate: a whole study with planted truth, as files in real formats: images, fMRI, MEG, EEG, resting scans."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.checks import BrainalignError, check_choice
from brainalign.files import file_digest, write_atomically, write_json
from brainalign.pipelines import run_stage, stage_parser
from brainalign.provenance import Provenance
from brainalign.simulation import (
    Cortex,
    CortexDrives,
    activations,
    betas_image,
    cortex_drives,
    draw_scenes,
    labels_image,
    layer_latencies,
    load_cortex,
    plan_areas,
    render,
    rest_networks,
    save_generator,
    schedule,
    sensor_info,
    simulate_cortex,
    simulate_meeg,
    simulate_rest,
    to_epochs,
    train_generator,
)

SIDECAR = "simulated.json"


@dataclass(frozen=True)
class StudySize:
    """How large the study is.

    Attributes
    ----------
    n_shared, n_unique : int
        Images of the test and of the training set.
    own_unique : bool
        Every subject has training images of its own, instead of all the same.
    n_repeats, meeg_repeats : int
        Of every image, for fMRI and for MEG and EEG.
    n_sessions : int
        Of each fMRI subject; MEG and EEG have one.
    fmri_subjects, meg_subjects, eeg_subjects : int
    meg_sensors : str
        "all" (306) or "mag" (102 magnetometers).
    image_size : int
        Pixels; a multiple of 128, which the generating network's maps need.
    n_training_scenes, n_epochs : int
        The generating network's training.
    n_rest_volumes : int
    """

    n_shared: int = 100
    n_unique: int = 200
    own_unique: bool = False
    n_repeats: int = 3
    meeg_repeats: int = 2
    n_sessions: int = 3
    fmri_subjects: int = 2
    meg_subjects: int = 1
    eeg_subjects: int = 1
    meg_sensors: str = "all"
    image_size: int = 128
    n_training_scenes: int = 800
    n_epochs: int = 3
    n_rest_volumes: int = 320

    def __post_init__(self) -> None:
        if self.image_size % 128 or self.image_size < 128:
            raise BrainalignError(f"image_size must be a multiple of 128; got {self.image_size}")
        if min(self.n_shared, self.n_unique, self.n_repeats, self.meeg_repeats) < 1:
            raise BrainalignError("n_shared, n_unique, n_repeats and meeg_repeats must be at least 1")
        check_choice("meg_sensors", self.meg_sensors, ("all", "mag"))

    @property
    def subjects(self) -> dict[str, str]:
        """Modality by subject: 01, 02, ... in the order fMRI, MEG, EEG."""
        modalities = ["fmri"] * self.fmri_subjects + ["meg"] * self.meg_subjects + ["eeg"] * self.eeg_subjects
        return {f"{k + 1:02d}": modality for k, modality in enumerate(modalities)}


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("simulate", __doc__)
    parser.add_argument("--folder", type=Path, required=True, help=f"output: everything, and last {SIDECAR}")
    return run_stage(parser, _simulate, argv)


class _Output:
    """Writes files under the root and remembers their digests."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, dict[str, object]] = {}

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, write)
        self.note(path)

    def note(self, path: Path) -> None:
        name = path.relative_to(self.root).as_posix()
        self.files[name] = {"sha256": file_digest(path), "bytes": path.stat().st_size}

    def tsv(self, name: str, table: pd.DataFrame) -> None:
        self.write(name, lambda path: table.to_csv(path, sep="\t", index=False, float_format="%.6g"))

    def parquet(self, name: str, tables: list[pd.DataFrame]) -> None:
        self.write(name, lambda path: pd.concat(tables, ignore_index=True).to_parquet(path, index=False))


def _simulate(arguments: argparse.Namespace, provenance: Provenance) -> None:
    given = arguments.settings["simulate"]
    for name in given:
        check_choice("setting of simulate", name, [f.name for f in fields(StudySize)])
    size, seed = StudySize(**given), arguments.seed
    root: Path = arguments.folder
    root.mkdir(parents=True, exist_ok=True)
    (root / SIDECAR).unlink(missing_ok=True)  # readers refuse the folder until it is complete
    output = _Output(root)

    scenes = _stimuli(size, seed)
    images = render(scenes, size.image_size)
    _write_stimuli(output, scenes, images)
    drives = cortex_drives(_generator(output, size, seed, images), scenes)
    layers = layer_latencies(drives.layers)
    output.parquet("truth/layers.parquet", [layers])
    cortex = load_cortex() if size.fmri_subjects else None
    vertices, sensors, regions = [], [], []
    for number, (subject, modality) in enumerate(size.subjects.items()):
        own = scenes[(scenes["subject"] == "") | (scenes["subject"] == subject)]
        subject_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        if cortex is not None and modality == "fmri":
            trials = schedule(list(own["stimulus_id"]), size.n_repeats, size.n_sessions, subject_seed)
            vertices.append(_write_fmri(output, subject, trials, drives, cortex, subject_seed))
            regions.append(_write_rest(output, subject, drives, size.n_rest_volumes, subject_seed))
        else:
            trials = schedule(list(own["stimulus_id"]), size.meeg_repeats, 1, subject_seed)
            sensors.append(_write_meeg(output, subject, modality, trials, drives, size, subject_seed))
    for name, tables in (("vertices", vertices), ("sensors", sensors), ("regions", regions)):
        if tables:
            output.parquet(f"truth/{name}.parquet", tables)
    record = provenance.record([], {"subjects": size.subjects, "n_stimuli": len(scenes)})
    write_json(root / SIDECAR, record | {"files": output.files})


def _stimuli(size: StudySize, seed: int) -> pd.DataFrame:
    """Draw the scenes; `set` is shared or unique, `subject` whose unique image it is ("" for everybody's)."""
    owners = list(size.subjects) if size.own_unique else [""]
    scenes = draw_scenes(size.n_shared + size.n_unique * len(owners), seed)
    scenes["set"] = ["shared"] * size.n_shared + ["unique"] * (len(scenes) - size.n_shared)
    scenes["subject"] = [""] * size.n_shared + [owner for owner in owners for _ in range(size.n_unique)]
    scenes.insert(1, "path", [f"images/{stimulus_id}.png" for stimulus_id in scenes["stimulus_id"]])
    return scenes


def _write_stimuli(output: _Output, scenes: pd.DataFrame, images: np.ndarray) -> None:
    from PIL import Image

    for path, image in zip(scenes["path"], images, strict=True):
        output.write(f"stimuli/{path}", lambda file, image=image: Image.fromarray(image).save(file))  # type: ignore[misc]
    output.tsv("stimuli/stimuli.tsv", scenes)


def _generator(output: _Output, size: StudySize, seed: int, images: np.ndarray) -> dict[str, np.ndarray]:
    """Train the network on scenes of its own, write it, and return its layers' maps of the study's images."""
    training = draw_scenes(size.n_training_scenes, seed + 1_000_003)
    model = train_generator(training, render(training, size.image_size), n_epochs=size.n_epochs, seed=seed)
    folder = output.root / "generator"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.root) as temporary:
        for path in save_generator(model, Path(temporary), size.image_size):
            os.replace(path, folder / path.name)
            output.note(folder / path.name)
    return activations(model, images)


def _write_fmri(
    output: _Output, subject: str, trials: pd.DataFrame, drives: CortexDrives, cortex: Cortex, seed: int
) -> pd.DataFrame:
    """Write betas, areas and trials of a subject; return the truth."""
    responses, truth = simulate_cortex(trials, drives, cortex, seed)
    stem = f"sub-{subject}/sub-{subject}"
    for hemi in ("L", "R"):
        mine = (truth["hemi"] == hemi).to_numpy()
        betas = betas_image(responses.values[:, mine], list(trials["trial_id"]), hemi)
        output.write(f"{stem}_hemi-{hemi}_betas.func.gii", betas.to_filename)
        labels = labels_image(list(truth["roi"][mine]), hemi, list(plan_areas(drives.layers)["roi"]))
        output.write(f"{stem}_hemi-{hemi}_rois.label.gii", labels.to_filename)
    output.tsv(f"{stem}_trials.tsv", trials)
    truth.insert(0, "subject", subject)
    return truth


def _write_rest(output: _Output, subject: str, drives: CortexDrives, n_volumes: int, seed: int) -> pd.DataFrame:
    """Write the resting scan of a subject; return the truth."""
    regions = rest_networks(list(plan_areas(drives.layers)["roi"]))
    output.tsv(f"sub-{subject}/sub-{subject}_rest.tsv", simulate_rest(regions, n_volumes, seed))
    regions.insert(0, "subject", subject)
    return regions


def _write_meeg(
    output: _Output,
    subject: str,
    modality: str,
    trials: pd.DataFrame,
    drives: CortexDrives,
    size: StudySize,
    seed: int,
) -> pd.DataFrame:
    """Write the epochs of a subject; return the truth."""
    info = sensor_info(modality, size.meg_sensors)  # type: ignore[arg-type]
    responses, truth = simulate_meeg(trials, drives.what, drives.stimulus_ids, info, seed)
    epochs = to_epochs(responses, info)
    output.write(
        f"sub-{subject}/sub-{subject}_{modality}-epo.fif", lambda path: epochs.save(path, fmt="single", verbose=False)
    )
    sensors = truth.sensors
    sensors.insert(0, "subject", subject)
    return sensors


if __name__ == "__main__":
    raise SystemExit(main())
