"""ground_regions: how well grounded words and text vectors of captions predict the regions of one subject."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Arrays, Responses, Values
from brainalign.checks import BrainalignError, listed
from brainalign.config import GroundSettings
from brainalign.datasets import folds_of
from brainalign.decoding import caption_vectors, word_regions
from brainalign.encoding import Ridge, target_groups
from brainalign.statistics import reliable_targets
from brainalign.workflow import Job

WORDS = "words alone"


def ground_regions(job: Job) -> None:
    """Predict the regions of a subject from grounded words and from text vectors of captions."""
    options = job.options("ground", GroundSettings)
    responses = job.load("responses", Responses, stored=True)
    if responses.times is not None:
        raise BrainalignError("regions are of voxels; leave M/EEG subjects out of ground.subjects")
    ceilings = job.load("ceiling", pd.DataFrame)
    words = job.load("groundedwords", Arrays)
    stimuli = pd.Index(job.details("groundedwords")["stimuli"])
    groups = target_groups(responses, reliable_targets(ceilings, job.settings["ceiling_threshold"]))
    groups = {name: rows for name, rows in groups.items() if len(rows)}
    needed = np.unique(np.concatenate(list(groups.values())))
    ((train, test),) = folds_of(job.load("splits", pd.DataFrame), responses.trials)
    said = words["said"]
    averaged = (responses.select(np.sort(part), needed).average_repeats() for part in (train, test))
    shown, seen = (_described(part, stimuli, said) for part in averaged)
    if words["train"][seen[0]].any():
        raise BrainalignError("words were grounded in images that this subject is tested on; run ground again")
    spaces = {name.removeprefix("space."): each for name, each in words.items() if name.startswith("space.")}
    spaces[WORDS] = np.eye(said.shape[1])
    vectors = {
        name: (caption_vectors(said[shown[0]], each), caption_vectors(said[seen[0]], each))
        for name, each in spaces.items()
    }
    found = word_regions(
        vectors,
        shown[1],
        seen[1],
        {name: np.searchsorted(needed, rows) for name, rows in groups.items()},
        lambda X, Y: Ridge(alphas=options.alphas, device="cpu", dtype="float64").fit(X, Y),
        ceiling=ceilings["ceiling"].to_numpy()[needed],
        n_permutations=options.permutations,
        n_draws=options.draws,
        confidence=job.settings["confidence"],
        seed=job.seed,
    )
    of = {"null": "test images exchanged", "p": "of the mean r of a region; q over the regions of a space"}
    job.save("groundedregions", found, n_train=len(shown[0]), n_test=len(seen[0]), **of)


def _described(averaged: Responses, stimuli: pd.Index, said: NDArray[np.bool_]) -> tuple[NDArray[np.intp], Values]:
    """Return rows and mean responses of the images whose captions hold known words."""
    shown = pd.Index(averaged.trials["stimulus_id"])
    rows = stimuli.get_indexer(shown)
    if (rows < 0).any():
        absent = shown[rows < 0].tolist()
        raise BrainalignError(f"{len(absent)} images have no captions ({listed(absent)}); run ground again")
    spoken = said[rows].any(axis=1)
    return rows[spoken], np.asarray(averaged.values, dtype=np.float64)[spoken]
