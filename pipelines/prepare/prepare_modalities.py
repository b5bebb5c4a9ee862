"""prepare_modalities: the same images recorded in several modalities, checked; simulated files are written first."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Arrays
from brainalign.datasets import stop_on
from brainalign.datasets.formats import copied_recordings
from brainalign.datasets.studies import modality_copies, read_modalities
from brainalign.features import low_level_vectors
from brainalign.simulation import MODALITIES, shared_space, write_modalities
from brainalign.study import SimulateModalities, load_descriptor
from brainalign.workflow import Job


def prepare_modalities(job: Job) -> None:
    """Check what was recorded of the same images in several modalities, and save it with trials and images."""
    study = load_descriptor(job.path("descriptor"), raw=job.path("folder"))
    if isinstance(study.simulate, SimulateModalities):
        options = study.simulate
        chosen = [
            replace(one, n_subjects=options.subjects[one.name], snr=one.snr * options.snr)
            for one in MODALITIES
            if one.name in options.subjects
        ]
        of_world = options.model_dump(include={"n_train", "n_images", "n_test", "train_repeats", "share"})
        world = shared_space(chosen, **of_world, seed=job.seed)
        write_modalities(world, study.folder)
    study = job.study()
    data = read_modalities(study)
    copies = [*copied_recordings(study), *modality_copies(data)]
    stop_on(copies)
    arrays: dict[str, NDArray[Any]] = dict(data.signals)
    if data.vectors is not None:
        arrays["image vectors"] = np.asarray(data.vectors, dtype=np.float32)
    folder = study.found_files()["stimuli"].parent
    images = [folder / path for path in data.stimuli.get("path", [])]
    # A table may name images that stayed elsewhere; vectors of a file need none.
    if images and all(image.is_file() for image in images):
        arrays["image properties"] = low_level_vectors(images)
    shapes = (
        "<modality> (n_trials, n_channels, n_times) or (n_trials, n_voxels); image vectors (n_stimuli, n_dimensions); "
        "image properties (n_stimuli, n_properties): luminance, contrast, log share of power in octaves, finest first"
    )
    warnings = [str(problem) for problem in copies]
    job.save("modalities", Arrays(arrays), modalities=list(data.signals), shapes=shapes, warnings=warnings)
    tables = [table.assign(modality=name) for name, table in data.trials.items()]
    job.save("modalitytrials", pd.concat(tables, ignore_index=True))
    job.save("modalitystimuli", data.stimuli, simulated=study.is_simulated)
