"""extract: stimuli of a dataset to features of one model, streamed to disk."""

from __future__ import annotations

import argparse
import hashlib
import inspect
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from brainalign.artifacts import open_writer
from brainalign.features import EXTRACTORS
from brainalign.pipelines import run_stage, stage_parser
from brainalign.provenance import Provenance
from brainalign.settings import load_descriptor


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("extract", __doc__)
    parser.add_argument("--descriptor", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True, help="output")
    return run_stage(parser, _extract, argv)


def _extract(arguments: argparse.Namespace, provenance: Provenance) -> None:
    descriptor = load_descriptor(arguments.descriptor)
    options = dict(arguments.settings["model"])
    extractor = EXTRACTORS[options.pop("extractor")]
    if "seed" in inspect.signature(extractor).parameters:
        options["seed"] = arguments.seed
    model = extractor(**options)
    stimuli = pd.DataFrame(
        {
            "stimulus_id": list(descriptor.stimuli),
            "label": [stimulus.label or name for name, stimulus in descriptor.stimuli.items()],
            "texts": [list(stimulus.texts) for stimulus in descriptor.stimuli.values()],
        }
    )
    stimuli["sha256"] = [hashlib.sha256("\n".join(texts).encode()).hexdigest() for texts in stimuli["texts"]]
    provenance.inputs["weights"] = model.digest()
    writer = open_writer(arguments.features, stimuli, provenance)
    model.extract(stimuli, writer)
    writer.close()


if __name__ == "__main__":
    raise SystemExit(main())
