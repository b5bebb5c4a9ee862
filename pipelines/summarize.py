"""summarize: every score of one subject to one table of headline numbers, each with its controls."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from brainalign.artifacts import entities_of, load, load_sidecar, save
from brainalign.pipelines import run_stage, stage_parser
from brainalign.provenance import Provenance
from brainalign.settings import SummarizeSettings, parse
from brainalign.statistics.summary import (
    Encoding,
    summarize_decoding,
    summarize_encoding,
    summarize_over_layers,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("summarize", __doc__)
    parser.add_argument("--splits", type=Path, required=True)
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="one per model and method")
    parser.add_argument("--identification", type=Path, nargs="+", required=True, help="in the order of the scores")
    parser.add_argument("--null", type=Path, nargs="+", required=True, help="in the order of the scores")
    parser.add_argument("--decoding", type=Path, required=True)
    parser.add_argument("--summary", type=Path, required=True, help="output")
    return run_stage(parser, _summarize, argv)


def _summarize(arguments: argparse.Namespace, provenance: Provenance) -> None:
    settings = parse(SummarizeSettings, arguments.settings["summarize"], "summarize")
    splits = load_sidecar(arguments.splits)["details"]["leave_out"]
    n_stimuli = load(arguments.splits, pd.DataFrame, provenance)["stimulus_id"].nunique()
    rows = []
    for files in zip(arguments.scores, arguments.identification, arguments.null, strict=True):
        scores, identification, null = (load(file, pd.DataFrame, provenance) for file in files)
        found = summarize_encoding(
            Encoding(scores, identification, null),
            splits,
            n_stimuli=n_stimuli,
            good_r=load_sidecar(files[0])["details"]["good_r"],
            confidence=settings.confidence,
            n_draws=settings.bootstrap_draws,
            q=settings.q,
            ceiling_threshold=settings.ceiling_threshold,
        )
        entities = entities_of(files[0])
        rows += [{"model": entities["model"], "method": entities["method"], **row} for row in found]
    rows += summarize_over_layers(rows)
    decoding = load(arguments.decoding, pd.DataFrame, provenance)
    rows += summarize_decoding(decoding, settings.confidence, settings.bootstrap_draws)
    save(arguments.summary, pd.DataFrame(rows), provenance, confidence=settings.confidence, q=settings.q)


if __name__ == "__main__":
    raise SystemExit(main())
