"""summarize_group: what subjects share: the leave-one-subject-out ceiling of every region, or of all sensors."""

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.io import entities_of, load
from brainalign.statistics import leave_one_subject_out_ceiling
from brainalign.study.continuous import OWN_SPACES
from brainalign.workflow import Job

COLUMNS = ["subjects", "group", "subject", "lower", "upper", "n_targets", "n_images"]
MIN_IMAGES = 3


def summarize_group(job: Job) -> None:
    """Compare every subject with the others where they saw the same images; save the ceilings."""
    cohorts: dict[tuple[object, ...], dict[str, Responses]] = {}
    for path, splits in zip(job.paths("responses"), job.load_all("splits", pd.DataFrame), strict=True):
        every, tested = load(path, Responses, job.provenance), splits.loc[splits["split"] == "test", "trial_id"]
        test = every.select(trials=every.trials["trial_id"].isin(tested).to_numpy()).average_repeats()
        times = () if test.times is None else tuple(np.round(test.times, 6).tolist())
        cohorts.setdefault((*_places(test.targets), times), {})[entities_of(path)["sub"]] = test
    tables = [_ceilings(cohort) for cohort in cohorts.values() if len(cohort) > 1]
    whole = [table for table in tables if len(table)]
    job.save(
        "ceiling",
        pd.concat(whole, ignore_index=True) if whole else pd.DataFrame(columns=COLUMNS),
        definition="signed r² of a subject's responses to the test images all saw (repeats averaged) with the mean of "
        "the other subjects (lower) and of all (upper), averaged over targets",
    )


def _places(targets: pd.DataFrame) -> tuple[object, ...]:
    """Return the key that alike targets share: sensors by name, parcels of one atlas, places in a space with a name."""
    space, sensors = targets.attrs.get("space", {}), bool(targets["kind"].eq("sensor").all())
    if not sensors and "labels" not in space and str(space.get("name", "")).lower() in OWN_SPACES:
        return (object(),)  # of one brain alone, however its targets are numbered
    places = [] if sensors or "vertex" in targets else ["x_mm", "y_mm", "z_mm"]
    return targets.reindex(columns=["target_id", *places]).round(2).to_csv(), space.get("name"), space.get("labels")


def _ceilings(cohort: dict[str, Responses]) -> pd.DataFrame:
    """Return a row per region (or "all sensors") and subject."""
    images = pd.Index(next(iter(cohort.values())).trials["stimulus_id"])
    for other in cohort.values():
        images = images[images.isin(other.trials["stimulus_id"])]
    if len(images) < MIN_IMAGES:
        return pd.DataFrame(columns=COLUMNS)
    seen = [(each.values, pd.Index(each.trials["stimulus_id"]).get_indexer(images)) for each in cohort.values()]
    stack = np.stack([values[rows].reshape(len(images), -1) for values, rows in seen])  # by subject, image, target
    found = leave_one_subject_out_ceiling(stack)
    told = {"subjects": ", ".join(cohort), "n_images": len(images)}
    rows = [
        told
        | {"group": group, "subject": subject, "n_targets": len(targets)}
        | {name: float(np.nanmean(getattr(found, name)[k, targets])) for name in ("lower", "upper")}
        for group, targets in _groups(list(cohort.values())).items()
        for k, subject in enumerate(cohort)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _groups(cohort: list[Responses]) -> dict[str, np.ndarray]:
    """Return the targets of every region that is the same in all; without such, or with times, all of them."""
    everything = np.arange(cohort[0].values[0].size)
    if cohort[0].times is not None:
        return {"all sensors and times": everything}
    first, *others = [responses.regions() for responses in cohort]
    same = {name: rows for name, rows in first.items() if all(np.array_equal(rows, of.get(name, [])) for of in others)}
    return same or {"all targets": everything}
