"""EEG, MEG and fMRI of the same simulated images in one space, beside ridge, unimodal networks and nulls."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
import pytest
from shown import Record, said
from worlds.small import sides

from brainalign import decoding
from brainalign.simulation import shared_space

pytestmark = pytest.mark.acceptance
SEEDS = (1, 2, 3)
SHORT = {"steps": 300, "schedule": "one_cycle"}


def retrieved(embeddings: Mapping[str, np.ndarray], test: Mapping[str, decoding.Trials]) -> pd.Series:
    table = decoding.space_retrieval(embeddings, test, n_permutations=20)
    return table.set_index(["kind", "query", "gallery", "measure"])["value"]


CELLS = {
    "fMRI top-1": ("image", "fmri", "image vectors", "top-1"),
    "EEG top-5": ("image", "eeg", "image vectors", "top-5"),
    "MEG top-5": ("image", "meg", "image vectors", "top-5"),
    "EEG to fMRI top-5": ("modalities", "eeg", "fmri", "top-5"),
    "fused top-1": ("fused", "all", "image vectors", "top-1"),
}


def test_a_space_that_modalities_share(record: Record) -> None:
    """World shared_space: 100 held-out concepts, chance .01 and .05; seeds 1-3 (unimodal: 1)"""
    rows: dict[str, list[pd.Series]] = {name: [] for name in ("ridge", "joint", "unimodal")}
    changes = []
    for seed in SEEDS:
        train, test = sides(shared_space(seed=seed))
        space = decoding.SharedSpace(seed=seed, **SHORT).fit(train)
        joint = decoding.embed_all(space, test)
        one = decoding.embed_all(decoding.SharedSpace(seed=seed, subject_layers=False, **SHORT).fit(train), test)
        found = {"ridge": decoding.independent_ridges(train, test), "joint": joint}
        if seed == SEEDS[0]:  # nothing depends on them
            found["unimodal"] = decoding.unimodal_spaces(partial(decoding.SharedSpace, seed=seed, **SHORT), train, test)
        for name, embeddings in found.items():
            rows[name].append(retrieved(embeddings, test))
        hits = decoding.stimulus_hits(joint, test)
        for other in (one, decoding.without_own_layers(space, test)):
            changes.append(decoding.paired_change(hits, decoding.stimulus_hits(other, test)))
    tables = {name: pd.concat(values, axis=1) for name, values in rows.items()}
    for cell, key in CELLS.items():
        for name in ("ridge", "joint", "unimodal"):
            record(f"{cell}, {name}", said(tables[name].loc[key]), "")
    joint, ridge = tables["joint"].mean(axis=1), tables["ridge"].mean(axis=1)
    for cell, least in {"fMRI top-1": 0.6, "EEG top-5": 0.2, "EEG to fMRI top-5": 0.4, "fused top-1": 0.75}.items():
        assert (tables["joint"].loc[CELLS[cell]] >= least).all(), cell
    for cell in ("fused top-1", "EEG to fMRI top-5"):
        assert joint[CELLS[cell]] >= ridge[CELLS[cell]] - 0.05
    assert joint[CELLS["fused top-1"]] >= joint.xs("image", level="kind").xs("top-1", level="measure").max()
    directions = joint.xs("modalities", level="kind").xs("top-5", level="measure")
    record("weakest direction, top-5, mean over seeds", f"{directions.min():.3f}", "above chance .05 by 3 SE of a null")
    assert directions.min() > 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100 / len(SEEDS))
    said_of = ["used" if change.value > 0 and change.clear else "not used" for change in changes]
    record("2-way lost without subject layers (refit; mean layer)", said([c.value for c in changes]), " ".join(said_of))


def test_nothing_is_shared_without_pairs(record: Record) -> None:
    """World shared_space, pairs shuffled in every modality by itself, and noise: chance .01 and .05; seeds 1-3"""
    for kind in decoding.SPACE_NULLS:
        rows = []
        for seed in SEEDS:
            train, test = sides(shared_space(seed=seed))
            space = decoding.SharedSpace(seed=seed, **SHORT).fit(decoding.null_trials(train, kind, seed))
            rows.append(retrieved(decoding.embed_all(space, test), test))
        table = pd.concat(rows, axis=1)
        for measure, limit in (("top-1", 0.05), ("top-5", 0.12)):
            values = table.xs(measure, level="measure")
            record(f"{kind}, largest {measure} of any direction", said(values.max()), f"mean of each <= {limit}")
            assert values.mean(axis=1).max() <= limit


def test_subject_layers_where_subjects_share_nothing(record: Record) -> None:
    """World shared_space, every subject's mixing its own: one layer for all must lose; seeds 1-3"""
    for seed in SEEDS:
        train, test = sides(shared_space(share=0.0, seed=seed))
        space = decoding.SharedSpace(seed=seed, **SHORT).fit(train)
        hits = decoding.stimulus_hits(decoding.embed_all(space, test), test)
        refit = decoding.SharedSpace(seed=seed, subject_layers=False, **SHORT).fit(train)
        others = {"refit": decoding.embed_all(refit, test), "mean layer": decoding.without_own_layers(space, test)}
        for name, other in others.items():
            change = decoding.paired_change(hits, decoding.stimulus_hits(other, test))
            record(f"2-way lost, {name}, seed {seed}", f"{change.value:.3f} ± {change.se:.3f}", "> 2 SE")
            assert change.value > 0
            assert change.clear
