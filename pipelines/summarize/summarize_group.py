"""summarize_group: what subjects share: the leave-one-subject-out ceiling of every region, or of all sensors."""

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.io import entities_of, load
from brainalign.statistics import leave_one_subject_out_ceiling
from brainalign.workflow import Job

COLUMNS = ["subjects", "group", "subject", "lower", "upper", "n_targets", "n_images"]
MIN_IMAGES = 3


def summarize_group(job: Job) -> None:
    """Compare every subject with the others where they saw the same images; save the ceilings."""
    cohorts: dict[tuple[object, ...], dict[str, Responses]] = {}
    for path, splits in zip(job.paths("responses"), job.load_all("splits", pd.DataFrame), strict=True):
        test = _test_averages(load(path, Responses, job.provenance), splits)
        # Subjects are compared where they have the same targets: vertices of one mesh, or the same sensors.
        times = () if test.times is None else tuple(np.round(test.times, 6).tolist())
        cohorts.setdefault((tuple(test.targets["target_id"]), times), {})[entities_of(path)["sub"]] = test
    tables = [_ceilings(cohort) for cohort in cohorts.values() if len(cohort) > 1]
    whole = [table for table in tables if len(table)]
    job.save(
        "ceiling",
        pd.concat(whole, ignore_index=True) if whole else pd.DataFrame(columns=COLUMNS),
        definition="signed r² of a subject's responses to the test images all saw (repeats averaged) with the mean of "
        "the other subjects (lower) and of all (upper), averaged over targets",
    )


def _test_averages(responses: Responses, splits: pd.DataFrame) -> Responses:
    test = splits.loc[splits["split"] == "test", "trial_id"]
    return responses.select(trials=responses.trials["trial_id"].isin(test).to_numpy()).average_repeats()


def _ceilings(cohort: dict[str, Responses]) -> pd.DataFrame:
    """Return a row per region (or "all sensors") and subject."""
    first = next(iter(cohort.values()))
    images = [
        name
        for name in first.trials["stimulus_id"]
        if all(name in set(other.trials["stimulus_id"]) for other in cohort.values())
    ]
    if len(images) < MIN_IMAGES:
        return pd.DataFrame(columns=COLUMNS)
    stack = np.stack(
        [
            responses.values[pd.Index(responses.trials["stimulus_id"]).get_indexer(pd.Index(images))].reshape(
                len(images), -1
            )
            for responses in cohort.values()
        ]
    )  # (n_subjects, n_images, n_targets)
    found = leave_one_subject_out_ceiling(stack)
    rows = []
    for group, targets in _groups(first).items():
        for k, subject in enumerate(cohort):
            rows.append(
                {
                    "subjects": ", ".join(cohort),
                    "group": group,
                    "subject": subject,
                    "lower": float(np.nanmean(found.lower[k, targets])),
                    "upper": float(np.nanmean(found.upper[k, targets])),
                    "n_targets": len(targets),
                    "n_images": len(images),
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _groups(responses: Responses) -> dict[str, np.ndarray]:
    """Return the targets of every region of the first subject; without regions, or with times, all of them."""
    everything = np.arange(responses.values[0].size)
    if responses.times is not None:
        return {"all sensors and times": everything}
    return responses.regions() or {"all targets": everything}
