"""prepare_recordings: M/EEG recordings of one subject to epochs with a category each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from brainalign.datasets import Problem, changed_files, copied_recordings, read_recordings, response_copies, stop_on
from brainalign.io import Provenance, save
from brainalign.pipelines import run_stage, stage_parser
from brainalign.study import RecordingStudy, load_descriptor


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("prepare_recordings", __doc__)
    parser.add_argument("--descriptor", type=Path, required=True)
    parser.add_argument("--subject", required=True)
    parser.add_argument("--responses", type=Path, required=True, help="output")
    return run_stage(parser, _prepare, argv)


def _prepare(arguments: argparse.Namespace, provenance: Provenance) -> None:
    descriptor = load_descriptor(arguments.descriptor, RecordingStudy)
    for field, path in descriptor.files(arguments.subject).items():
        if path.is_file():
            provenance.read(field, path)
    stop_on([Problem(descriptor.name, line) for line in changed_files(descriptor)])
    responses = read_recordings(descriptor, arguments.subject)
    copies = copied_recordings(descriptor, arguments.subject)
    copies += response_copies(responses, f"{descriptor.name}: subjects.{arguments.subject}")
    stop_on(copies)
    counts = responses.trials.groupby("run", sort=False)["category"].value_counts().unstack(fill_value=0)
    save(
        arguments.responses,
        responses,
        provenance,
        n_trials=len(responses.trials),
        warnings=[str(problem) for problem in copies],
        n_rejected=responses.trials.attrs["n_rejected"],
        trials_by_recording={str(run): {str(k): int(n) for k, n in row.items()} for run, row in counts.iterrows()},
    )


if __name__ == "__main__":
    raise SystemExit(main())
