"""prepare_triplets: odd-one-out judgements, checked, and the table of the objects that they are about."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Arrays
from brainalign.datasets import Problem, changed_files, read_judgements, stop_on
from brainalign.geometry import check_odd_last, triplet_keys
from brainalign.io import write_table
from brainalign.workflow import Job


def prepare_triplets(job: Job) -> None:
    """Check odd-one-out judgements and save them; write the table of their objects."""
    descriptor = job.study()
    stop_on([Problem(descriptor.name, line) for line in changed_files(descriptor)])
    study = read_judgements(descriptor)
    shares = check_odd_last(study.triplets, len(study.objects), study.embedding, job.seed)
    # What models of text read.
    write_table(job.outputs["stimuli"], study.objects.assign(caption=study.objects["label"]))
    arrays: dict[str, NDArray[Any]] = {"triplets": study.triplets, "repeats": study.repeats}
    if study.embedding is not None:
        arrays["embedding"] = study.embedding
    job.save(
        "triplets",
        Arrays(arrays),
        stimuli=study.objects["stimulus_id"].tolist(),
        labels=study.objects["label"].tolist(),
        dimensions=study.dimensions,
        index_base=study.index_base,
        n_triplets=len(study.triplets),
        n_different=len(np.unique(triplet_keys(study.triplets))),
        n_repeats=len(study.repeats),
        odd_column_shares=shares.tolist(),
        shapes="triplets, repeats (n, 3): rows of stimuli, the odd one last; embedding (n_stimuli, n_dimensions)",
    )
