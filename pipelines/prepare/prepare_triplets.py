"""prepare_triplets: odd-one-out judgements, checked, and the table of the objects that they are about."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Arrays
from brainalign.checks import BrainalignError
from brainalign.datasets import Judgements, Problem, changed_files, read_judgements, stop_on
from brainalign.geometry import CHANCE, object_similarities, odd_column_shares, triplet_keys
from brainalign.io import write_atomically
from brainalign.study import TripletStudy, load_descriptor
from brainalign.workflow import Job

CLEAR = 4.0  # standard errors by which another column must be the better odd one before the run stops


def prepare_triplets(job: Job) -> None:
    """Check odd-one-out judgements and save them; write the table of their objects."""
    descriptor = load_descriptor(job.path("descriptor"), TripletStudy)
    for name, path in descriptor.found_files().items():
        job.provenance.read(name, path)
    stop_on([Problem(descriptor.name, line) for line in changed_files(descriptor)])
    study = read_judgements(descriptor)
    shares = _odd_last(study, job.seed)
    job.outputs["stimuli"].parent.mkdir(parents=True, exist_ok=True)
    table = study.objects.assign(caption=study.objects["label"])  # what models of text read
    write_atomically(job.outputs["stimuli"], lambda file: table.to_csv(file, sep="\t", index=False))
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


def _odd_last(study: Judgements, seed: int) -> NDArray[np.float64]:
    """Score each column as the odd one, and raise where it clearly is not the last."""
    published = None if study.embedding is None else object_similarities(study.embedding)
    n = len(study.objects)
    shares = odd_column_shares(study.triplets, n, np.random.default_rng(seed), published)
    se = 0.5 / np.sqrt(len(study.triplets) * (1 if published is not None else 0.5))
    best = int(shares.argmax())
    said = ", ".join(f"{share:.3f}" for share in shares)
    if best != 2 and shares[best] - shares[2] > CLEAR * se:
        raise BrainalignError(
            f"the odd one of a triplet must stand last, but in these data column {best + 1} seems to be the odd one: "
            f"taken as odd, the three columns predict {said} of the choices; put the odd one last"
        )
    if published is not None and shares[2] < CHANCE + CLEAR * se:
        raise BrainalignError(
            f"the published embedding predicts {shares[2]:.3f} of the choices, no more than chance: its rows, the list "
            "of objects and the numbers in the triplets do not belong together (index_base, order of the objects)"
        )
    return shares
