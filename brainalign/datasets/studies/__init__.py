"""Studies as a descriptor names them, read whole."""

from brainalign.datasets.studies.continuous import (
    ContinuousRuns,
    continuous_problems,
    outside_problems,
    read_continuous,
    read_events,
    run_drifts,
    slow_drifts,
)
from brainalign.datasets.studies.events import read_event_files
from brainalign.datasets.studies.modalities import ModalityData, check_modality_splits, modality_copies, read_modalities
from brainalign.datasets.studies.sentence_study import ORDER as ORDER
from brainalign.datasets.studies.sentence_study import (
    read_sentence_study,
    sentence_sensors,
    sentence_splits,
    sentence_trials,
    split_problems,
)
from brainalign.datasets.studies.signals import film_frames, sampled_stimuli, signal_lengths, signal_problems
from brainalign.datasets.studies.subjects import (
    changed_files,
    image_split,
    listed_table,
    look_at_images,
    marked_images,
    read_categories,
    read_images_table,
    read_stimuli,
    read_subject,
)
from brainalign.datasets.studies.triplets import Judgements, odd_column, read_judgements, read_objects, read_triplets

__all__ = [
    "Judgements", "changed_files", "read_categories", "read_images_table", "read_judgements", "read_objects",
    "read_subject", "read_triplets",
]  # fmt: skip
