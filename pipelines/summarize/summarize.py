"""summarize: every score of one subject to one table of headline numbers, each with its controls.

The simplest control is made here: a linear classifier of the responses, without any feature space.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.config import SummarizeSettings
from brainalign.datasets import folds_of
from brainalign.io import Provenance, entities_of, load, load_sidecar, save
from brainalign.pipelines import run_stage, stage_parser
from brainalign.statistics import linear_classification
from brainalign.statistics.summary import (
    Encoding,
    SplitInfo,
    summarize_decoding,
    summarize_encoding,
    summarize_over_layers,
)
from brainalign.study import parse


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("summarize", __doc__)
    parser.add_argument("--responses", type=Path, required=True)
    parser.add_argument("--splits", type=Path, required=True)
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="one per model and method")
    parser.add_argument("--identification", type=Path, nargs="+", required=True, help="in the order of the scores")
    parser.add_argument("--null", type=Path, nargs="+", required=True, help="in the order of the scores")
    parser.add_argument("--decoding", type=Path, required=True, help="output")
    parser.add_argument("--summary", type=Path, required=True, help="output")
    return run_stage(parser, _summarize, argv)


def _summarize(arguments: argparse.Namespace, provenance: Provenance) -> None:
    settings = parse(SummarizeSettings, arguments.settings["summarize"], "summarize")
    confidence = arguments.settings["confidence"]
    responses = load(arguments.responses, Responses, provenance)
    splits = load(arguments.splits, pd.DataFrame, provenance)
    kinds = load_sidecar(arguments.splits)["details"]["splits"]
    infos = {
        name: SplitInfo(kind["leave_out"], _test_share(splits, name, kind["size"])) for name, kind in kinds.items()
    }
    rows = []
    for files in zip(arguments.scores, arguments.identification, arguments.null, strict=True):
        scores, identification, null = (load(file, pd.DataFrame, provenance) for file in files)
        found = summarize_encoding(
            Encoding(scores, identification, null),
            infos,
            n_stimuli=responses.trials["stimulus_id"].nunique(),
            good_r=load_sidecar(files[0])["details"]["good_r"],
            confidence=confidence,
            q=settings.q,
            ceiling_threshold=arguments.settings["ceiling_threshold"],
        )
        entities = entities_of(files[0])
        rows += [{"model": entities["model"], "method": entities["method"], **row} for row in found]
    rows += summarize_over_layers(rows)
    decoding = _decoding(responses, splits, [name for name, info in infos.items() if info.leave_out == "run"])
    save(arguments.decoding, decoding, provenance)
    rows += summarize_decoding(decoding, infos, confidence)
    save(arguments.summary, pd.DataFrame(rows), provenance, confidence=confidence, q=settings.q)


def _test_share(splits: pd.DataFrame, name: str, size: int) -> float:
    """Return test rows per training row in a fold; NaN where folds overlap, so that their scores are no sample."""
    counts = splits.loc[(splits["name"] == name) & (splits["fold"] == 0), "split"].value_counts()
    return counts["test"] / counts["train"] if size == 1 else np.nan


def _decoding(responses: Responses, splits: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return the accuracy of a linear classifier of the stimuli in every fold of the splits that leave runs out."""
    stimuli = responses.trials["stimulus_id"].to_numpy()
    tables = []
    for name in names:
        folds = folds_of(splits[splits["name"] == name], responses.trials)
        accuracy = linear_classification(responses.values, stimuli, folds)
        table = pd.DataFrame({"split": name, "fold": np.arange(len(folds)), "accuracy": accuracy})
        tables.append(table.assign(chance=1 / len(np.unique(stimuli))))
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    raise SystemExit(main())
