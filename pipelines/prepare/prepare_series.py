"""prepare_series: runs of many people as one array of region series, checked; or a simulated study of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from brainalign.arrays import Arrays
from brainalign.datasets import (
    Problem,
    RegionRuns,
    changed_files,
    copied_recordings,
    detrended,
    read_region_runs,
    series_copies,
    stop_on,
)
from brainalign.io import Provenance, save
from brainalign.pipelines import run_stage, stage_parser
from brainalign.simulation import roi_lagged, roi_series
from brainalign.study import SeriesStudy, SeriesWorld, load_descriptor

SIMULATED_TR_S = 0.72


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("prepare_series", __doc__)
    parser.add_argument("--descriptor", type=Path, required=True)
    parser.add_argument("--series", type=Path, required=True, help="output")
    parser.add_argument("--people", type=Path, required=True, help="output: table of runs")
    return run_stage(parser, _prepare, argv)


def _prepare(arguments: argparse.Namespace, provenance: Provenance) -> None:
    descriptor = load_descriptor(arguments.descriptor, SeriesStudy)
    for name, path in descriptor.found_files().items():
        provenance.read(name, path)
    stop_on([Problem(descriptor.name, line) for line in changed_files(descriptor)])
    study = read_region_runs(descriptor) if descriptor.simulate is None else simulated(descriptor.simulate)
    copies = [*copied_recordings(descriptor), *series_copies(study)]
    stop_on(copies)
    save(
        arguments.series,
        Arrays(series=study.series),
        provenance,
        regions=study.regions["region_id"].tolist(),
        networks=study.regions["network"].tolist(),
        tr_s=study.tr_s,
        labels=list(descriptor.labels),
        dropped=study.dropped,
        warnings=[str(problem) for problem in copies],
        frames_left_out=int((study.people["n_frames"] - study.series.shape[1]).sum()),
        shapes="series (n_runs, n_frames, n_regions): without linear trend, z-scored per run",
    )
    save(arguments.people, study.people, provenance)


def simulated(world: SeriesWorld) -> RegionRuns:
    """Return a simulated study; where it has states, every stretch of one state is a run."""
    sizes = (world.n_subjects, world.n_frames, world.regions_per_network)
    if world.world == "roi_lagged":
        made = roi_lagged(*sizes, seed=world.seed)
    else:
        strength, frames = world.state_strength, world.state_frames
        made = roi_series(*sizes, state_strength=strength, state_frames=frames, seed=world.seed)
    length = world.state_frames if "state" in world.labels else world.n_frames
    per_person = world.n_frames // length
    cut = made.series[:, : per_person * length].reshape(-1, length, len(made.regions))
    people = made.subjects.loc[np.repeat(made.subjects.index, per_person)].reset_index(drop=True)
    people.insert(1, "run", [str(k % per_person + 1) for k in range(len(cut))])
    people["split"], people["n_frames"] = "", length
    if "state" in world.labels:
        people["state"] = np.where(made.states[:, : per_person * length : length].ravel() == 1, "on", "off")
    series = np.stack([detrended(one) for one in cut])
    return RegionRuns(series, people, made.regions[["region_id", "network"]], SIMULATED_TR_S, [])


if __name__ == "__main__":
    raise SystemExit(main())
