"""prepare_rdms: published dissimilarity matrices of subjects, and the images they are of, unpacked."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from brainalign.arrays import Arrays
from brainalign.checks import BrainalignError
from brainalign.datasets import RDM_READERS, rdm_copies, stop_on, write_stimulus_images
from brainalign.io import Provenance, file_digest, save, write_atomically
from brainalign.pipelines import run_stage, stage_parser
from brainalign.study import RdmStudy, load_descriptor


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("prepare_rdms", __doc__)
    parser.add_argument("--descriptor", type=Path, required=True)
    parser.add_argument("--references", type=Path, required=True, help="output")
    parser.add_argument("--stimuli", type=Path, required=True, help="output: table, with the images beside it")
    return run_stage(parser, _prepare, argv)


def _prepare(arguments: argparse.Namespace, provenance: Provenance) -> None:
    descriptor = load_descriptor(arguments.descriptor, RdmStudy)
    files = descriptor.found_files()
    for name, path in files.items():
        provenance.read(name, path)
        if name in descriptor.sha256 and file_digest(path) != descriptor.sha256[name]:
            raise BrainalignError(
                f"{path} is not the file the descriptor names (sha256 differs); download it again from "
                f"{descriptor.urls.get(name, descriptor.source)}"
            )
    study = RDM_READERS[descriptor.reader](files)
    copies = rdm_copies(study.sets)
    stop_on(copies)
    table = write_stimulus_images(study, arguments.stimuli.parent)
    write_atomically(arguments.stimuli, lambda file: table.to_csv(file, sep="\t", index=False))
    models = {f"model_{name}": values for name, values in study.models.items()}
    save(
        arguments.references,
        Arrays(study.sets | models),
        provenance,
        sets=list(study.sets),
        warnings=[str(problem) for problem in copies],
        models=list(study.models),
        stimuli=study.stimuli["stimulus_id"].tolist(),
        categories=study.stimuli["category"].tolist(),
        shapes="sets (n_subjects, n_sessions, n_pairs), models (n_pairs,); row-major upper triangle",
    )


if __name__ == "__main__":
    raise SystemExit(main())
