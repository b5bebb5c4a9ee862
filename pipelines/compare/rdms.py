"""RDMs of the models of a job, and files of rsatoolbox."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import geometry
from brainalign.arrays import Layers, Responses, Values
from brainalign.config import MOST_COMPARED, CompareSettings
from brainalign.datasets.splits import repeat_counts, split_rows
from brainalign.io import entities_of, load, write_atomically
from brainalign.workflow import Job


def compared_trials(job: Job, responses: Responses) -> Responses:
    """Choose the trials of all stimuli where these are few and were shown as often as test stimuli, else of the latter.

    A geometry is not fitted: it is of stimuli that encoders were trained on as well.
    """
    test = np.sort(split_rows(job.load("splits", pd.DataFrame), responses.trials)["test"])
    counts, of_test = repeat_counts(responses.trials), repeat_counts(responses.trials.iloc[test])
    every = len(counts) <= MOST_COMPARED and counts.min() >= of_test.min()
    return responses if every else responses.select(trials=test)


def model_layers(job: Job) -> dict[str, Layers]:
    """Load the features of every model; they stay on disk until stimuli of a layer are asked for."""
    paths = job.paths("features")
    return {entities_of(path)["model"]: load(path, Layers, job.provenance, stored=True) for path in paths}


def layer_rdms(job: Job, stimuli: list[str], distance: str) -> dict[tuple[str, str], Values]:
    """Return the RDM of every layer of every model, stimuli in the order given."""
    return {
        (model, layer): values
        for model, layers in model_layers(job).items()
        for layer, values in geometry.feature_rdms(layers, stimuli, distance).items()
    }


def write_rsatoolbox(job: Job, rdms: Mapping[tuple[str, str], Values], conditions: list[str]) -> None:
    """Write RDMs ([n_subjects, n_sessions,] n_pairs) by kind and name as a file of rsatoolbox."""
    rows, labels = [], []
    for (kind, name), values in rdms.items():
        for place in np.ndindex(values.shape[:-1]):
            rows.append(values[place])
            subject, session = (k + 1 for k in place or (0, 0))
            labels.append({"kind": kind, "name": name, "subject": subject, "session": session})
    of_rdms = {name: _writable([label[name] for label in labels]) for name in labels[0]}
    theirs = geometry.to_rsatoolbox(geometry.LabelledRdms(np.stack(rows), _writable(conditions), of_rdms=of_rdms))
    job.outputs["rsatoolbox"].parent.mkdir(parents=True, exist_ok=True)
    write_atomically(job.outputs["rsatoolbox"], lambda file: theirs.save(str(file), "hdf5"))


def _writable(labels: list[Any]) -> NDArray[Any]:
    """Return labels as rsatoolbox can write them: its texts are ASCII, those with other letters are objects."""
    return np.array(labels, dtype=None if "".join(map(str, labels)).isascii() else object)


def rdms_among(rdms: Values, conditions: list[str], stimuli: list[str]) -> Values:
    """Return RDMs (n_rdms, n_pairs) of some of the conditions, in the order of the stimuli."""
    rows = pd.Index(conditions).get_indexer(pd.Index(stimuli))
    i, j = np.triu_indices(len(stimuli), 1)
    return geometry.square_rdms(rdms)[:, rows[i], rows[j]]


def comparable(rdms: Values, comparison: str, settings: CompareSettings) -> tuple[Values, str]:
    """Return RDMs as they are compared, and by what: those that the geo-topological transform leaves correlate."""
    if comparison != "geotopological":
        return rdms, comparison
    return geometry.geotopological(rdms, *settings.thresholds), "pearson"
