"""prepare_images: recordings of one subject who saw images to responses, splits and ceiling."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.artifacts import save
from brainalign.checks import BrainalignError
from brainalign.datasets import (
    fit_whitener,
    image_problems,
    leakage_problems,
    make_image_split,
    near_duplicates,
    read_betas,
    read_epochs,
    read_fmriprep,
    read_table,
    split_card,
    stop_on,
)
from brainalign.descriptor import BetaFiles, EpochFiles, FmriprepFiles
from brainalign.files import file_digest
from brainalign.pipelines import run_stage, stage_parser
from brainalign.provenance import Provenance
from brainalign.settings import ImageStudy, load_descriptor
from brainalign.statistics import noise_ceiling_from_share, signal_share


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("prepare_images", __doc__)
    parser.add_argument("--descriptor", type=Path, required=True)
    parser.add_argument("--raw", type=Path, required=True, help="where files of a simulated study lie")
    parser.add_argument("--subject", required=True)
    parser.add_argument("--stimuli", type=Path, required=True, help="table of the images")
    parser.add_argument("--responses", type=Path, required=True, help="output")
    parser.add_argument("--splits", type=Path, required=True, help="output")
    parser.add_argument("--ceiling", type=Path, required=True, help="output")
    return run_stage(parser, _prepare, argv)
