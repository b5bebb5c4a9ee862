"""prepare_series: runs of many people as one array of region series, checked; or a simulated study of them."""

import numpy as np

from brainalign import datasets
from brainalign.arrays import Arrays
from brainalign.datasets import formats
from brainalign.simulation import roi_lagged, roi_series
from brainalign.study import SeriesFiles, SeriesWorld
from brainalign.workflow import Job

SIMULATED_TR_S = 0.72


def prepare_series(job: Job) -> None:
    """Check the region series of a study and save them, with the table of their runs."""
    descriptor = job.study()
    datasets.stop_on([datasets.Problem(descriptor.name, line) for line in datasets.changed_files(descriptor)])
    source = descriptor.simulate or next(iter(descriptor.recordings.values()))
    assert isinstance(source, SeriesWorld | SeriesFiles)
    study = simulated(source) if isinstance(source, SeriesWorld) else formats.read_region_runs(descriptor)
    copies = [*formats.copied_recordings(descriptor), *formats.series_copies(study)]
    datasets.stop_on(copies)
    job.save(
        "series",
        Arrays(series=study.series),
        regions=study.regions["region_id"].tolist(),
        networks=study.regions["network"].tolist(),
        tr_s=study.tr_s,
        labels=list(source.labels),
        dropped=study.dropped,
        warnings=[str(problem) for problem in copies],
        frames_left_out=int((study.people["n_frames"] - study.series.shape[1]).sum()),
        shapes="series (n_runs, n_frames, n_regions): without linear trend, z-scored per run",
    )
    job.save("people", study.people)


def simulated(world: SeriesWorld) -> formats.RegionRuns:
    """Return a simulated study; where it has states, every stretch of one state is a run."""
    sizes = (world.n_subjects, world.n_frames, world.regions_per_network)
    if world.world == "roi_lagged":
        made = roi_lagged(*sizes, seed=world.seed)
    else:
        strength, frames = world.state_strength, world.state_frames
        made = roi_series(*sizes, state_strength=strength, state_frames=frames, seed=world.seed)
    length = world.state_frames if "state" in world.known else world.n_frames
    per_person = world.n_frames // length
    cut = made.series[:, : per_person * length].reshape(-1, length, len(made.regions))
    people = made.subjects.loc[np.repeat(made.subjects.index, per_person)].reset_index(drop=True)
    people.insert(1, "run", [str(k % per_person + 1) for k in range(len(cut))])
    people["split"], people["n_frames"] = "", length
    if "state" in world.known:
        people["state"] = np.where(made.states[:, : per_person * length : length].ravel() == 1, "on", "off")
    series = np.stack([datasets.detrended(one) for one in cut])
    return formats.RegionRuns(series, people, made.regions[["region_id", "network"]], SIMULATED_TR_S, [])
