"""simulate: a whole study with planted truth, as files in real formats: images, fMRI, MEG, EEG, resting scans."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import simulation
from brainalign.io import file_digest, temporary_folder, write_atomically, write_json
from brainalign.study import SimulateOptions
from brainalign.workflow import Job

SIDECAR = "simulated.json"


def _subjects(size: SimulateOptions) -> dict[str, str]:
    """Return the modality by subject: 01, 02, ... in the order fMRI, MEG, EEG."""
    modalities = ["fmri"] * size.fmri_subjects + ["meg"] * size.meg_subjects + ["eeg"] * size.eeg_subjects
    return {f"{k + 1:02d}": modality for k, modality in enumerate(modalities)}


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

    def parquet(self, name: str, table: pd.DataFrame) -> None:
        self.write(name, lambda path: table.to_parquet(path, index=False))


def simulate(job: Job) -> None:
    """Write every file of a study of simulated subjects, and last the list of them all."""
    from PIL import Image

    size = job.options("simulate", SimulateOptions)
    seed, root = job.seed, job.path("folder")
    root.mkdir(parents=True, exist_ok=True)
    (root / SIDECAR).unlink(missing_ok=True)  # readers refuse the folder until it is complete
    output = _Output(root)

    scenes = simulation.draw_scenes(size.n_shared + size.n_unique, seed)
    scenes["set"] = ["shared"] * size.n_shared + ["unique"] * size.n_unique  # held out, and for training
    scenes.insert(1, "path", [f"images/{stimulus_id}.png" for stimulus_id in scenes["stimulus_id"]])
    images = simulation.render(scenes, size.image_size)
    for path, image in zip(scenes["path"], images, strict=True):
        output.write(f"stimuli/{path}", Image.fromarray(image).save)
    output.tsv("stimuli/stimuli.tsv", scenes)
    drives = simulation.cortex_drives(_generator(output, size, seed, images), scenes)
    output.parquet("truth/layers.parquet", simulation.layer_latencies(drives.layers))
    cortex = simulation.load_cortex() if size.fmri_subjects else None
    truth: dict[str, dict[str, pd.DataFrame]] = {"vertices": {}, "sensors": {}, "regions": {}}  # by subject
    for number, (subject, modality) in enumerate(_subjects(size).items()):
        subject_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        if cortex is not None and modality == "fmri":
            trials = simulation.schedule(list(scenes["stimulus_id"]), size.n_repeats, size.n_sessions, subject_seed)
            truth["vertices"][subject] = _write_fmri(output, subject, trials, drives, cortex, subject_seed)
            truth["regions"][subject] = simulation.rest_networks(list(simulation.plan_areas(drives.layers)["roi"]))
            volumes = simulation.simulate_rest(truth["regions"][subject], size.n_rest_volumes, subject_seed)
            output.tsv(f"sub-{subject}/sub-{subject}_rest.tsv", volumes)
        else:
            trials = simulation.schedule(list(scenes["stimulus_id"]), size.meeg_repeats, 1, subject_seed)
            truth["sensors"][subject] = _write_meeg(output, subject, modality, trials, drives, size, subject_seed)
    for name, tables in truth.items():
        if tables:
            output.parquet(f"truth/{name}.parquet", pd.concat(tables, names=["subject"]).reset_index("subject"))
    record = job.provenance.record([], {"subjects": _subjects(size), "n_stimuli": len(scenes)})
    write_json(root / SIDECAR, record | {"files": output.files})


def _generator(output: _Output, size: SimulateOptions, seed: int, images: np.ndarray) -> dict[str, np.ndarray]:
    """Train the network on scenes of its own, write it, and return its layers' maps of the study's images."""
    training = simulation.draw_scenes(size.n_training_scenes, seed + 1_000_003)
    pictures = simulation.render(training, size.image_size)
    model = simulation.train_generator(training, pictures, n_epochs=size.n_epochs, seed=seed)
    folder = output.root / "generator"
    folder.mkdir(exist_ok=True)
    with temporary_folder(folder) as temporary:
        for path in simulation.save_generator(model, temporary, size.image_size):
            os.replace(path, folder / path.name)
            output.note(folder / path.name)
    return simulation.activations(model, images)


def _write_fmri(
    output: _Output,
    subject: str,
    trials: pd.DataFrame,
    drives: simulation.CortexDrives,
    cortex: simulation.Cortex,
    seed: int,
) -> pd.DataFrame:
    """Write betas, areas and trials of a subject; return the truth."""
    responses, truth = simulation.simulate_cortex(trials, drives, cortex, seed)
    stem = f"sub-{subject}/sub-{subject}"
    for hemi in ("L", "R"):
        mine = (truth["hemi"] == hemi).to_numpy()
        betas = simulation.betas_image(responses.values[:, mine], list(trials["trial_id"]), hemi)
        output.write(f"{stem}_hemi-{hemi}_betas.func.gii", betas.to_filename)
        areas = list(simulation.plan_areas(drives.layers)["roi"])
        labels = simulation.labels_image(list(truth["roi"][mine]), hemi, areas)
        output.write(f"{stem}_hemi-{hemi}_rois.label.gii", labels.to_filename)
    output.tsv(f"{stem}_trials.tsv", trials)
    return truth


def _write_meeg(
    output: _Output,
    subject: str,
    modality: str,
    trials: pd.DataFrame,
    drives: simulation.CortexDrives,
    size: SimulateOptions,
    seed: int,
) -> pd.DataFrame:
    """Write the epochs of a subject; return the truth."""
    info = simulation.sensor_info(modality, size.meg_sensors)
    responses, truth = simulation.simulate_meeg(trials, drives.what, drives.stimulus_ids, info, seed)
    epochs = simulation.to_epochs(responses, info)
    file = f"sub-{subject}/sub-{subject}_{modality}-epo.fif"
    output.write(file, lambda path: epochs.save(path, fmt="single", verbose=False))
    return truth.sensors
