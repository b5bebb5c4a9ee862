"""map_subjects: mean, t and p of every target of subjects who share a space, over those that all of them have.

p is the larger of two: over subjects, by flips of signs, and over stimuli, which subjects may share, Φ(−mean z) of the
p within subjects, where z < 0 counts as 0. However alike subjects are, such a mean is no likelier to be large under the
null than z of one of them (p <= .05 in .05 of draws of 5 to 20 who are the same, in fewer of others).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from brainalign.arrays import Responses
from brainalign.io import brain_maps, entities_of, load
from brainalign.statistics import sign_flip_test
from brainalign.workflow import Job

LEAST_TESTED = 5  # subjects: 2 to the power of fewer flips cannot reach .05
TITLES = {"r": "mean r", "unique": "mean unique R²"}
P_VALUES = ["p", "p_fwer"]
# By quantity and model: the quantity and −z of both p within the subject, a row per target id, given a subject.
Maps = Mapping[tuple[str, str], Callable[[str], pd.DataFrame]]


def map_subjects(job: Job) -> None:
    """Save maps of every target's r, and of what a model alone adds where all were fitted jointly.

    Of several layers r is that of the one chosen in training; where none was chosen, the mean over layers. Of stimuli
    that go on the scores of all subjects are saved side by side, too.
    """
    if job.has("runscores"):
        scores = [
            load(path, pd.DataFrame, job.provenance).assign(subject=entities_of(path)["sub"])
            for path in job.paths("runscores")
        ]
        job.save("groupscores", pd.concat(scores, ignore_index=True))
    _save_maps(job, partial(_joint_maps, job) if job.has("runscores") else partial(_fitted_maps, job))


def _fitted_maps(job: Job, cohort: Sequence[str]) -> Maps:
    """Return r of every model and method that all of these subjects have."""
    fits: list[list[str]] = job.settings["fits"]
    models = [model for model, _ in fits]
    paths = {tuple(entities_of(path)[key] for key in ("sub", "model", "method")): path for path in job.paths("scores")}
    summaries = {entities_of(path)["sub"]: path for path in job.paths("summary")}

    def r_of(subject: str, model: str, method: str) -> pd.DataFrame:
        table = load(paths[subject, model, method], pd.DataFrame, job.provenance)
        table = table[table["split"] == table["split"].iloc[0]]
        told = load(summaries[subject], pd.DataFrame, job.provenance)
        if "chosen" in told:
            mine = told[(told["model"] == model) & (told["method"] == method) & told["chosen"]]
            table = table[table["layer"] == mine["layer"].iloc[0]]
        return _with_z(table).groupby("target_id", sort=False)[["r", *P_VALUES]].mean()

    whole = [fit for fit in fits if all((subject, *fit) in paths for subject in cohort)]
    return {
        ("r", model if models.count(model) == 1 else f"{model} ({method})"): partial(r_of, model=model, method=method)
        for model, method in whole
    }


def _joint_maps(job: Job, cohort: Sequence[str]) -> Maps:
    """Return r and unique R² of every model of stimuli that go on."""
    found: Maps = {}
    for suffix, column in (("runtargets", "r"), ("rununiques", "unique")):
        paths = {entities_of(path)["sub"]: path for path in job.paths(suffix)}
        tables = {name: load(paths[name], pd.DataFrame, job.provenance) for name in cohort}
        for model in dict.fromkeys(tables[cohort[0]]["model"]):
            of = {name: table[table["model"] == model] for name, table in tables.items()}
            rows = {name: _with_z(table).set_index("target_id") for name, table in of.items()}
            found = {**found, (column, model): rows.__getitem__}
    return found


def _with_z(table: pd.DataFrame) -> pd.DataFrame:
    # Above one half a p is no evidence against others, or one in four who has no effect would hide it.
    return table.assign(**{name: ndtri(np.minimum(table[name].astype(float), 0.5)) for name in P_VALUES})


def _save_maps(job: Job, maps_of: Callable[[Sequence[str]], Maps]) -> None:
    """Save the targets that the largest group of subjects in one space shares, and the maps over these subjects.

    `maps_of` makes the maps of subjects with these names. The setting `spaces` is empty for who shares none.
    """
    paths = {entities_of(path)["sub"]: path for path in job.paths("responses")}
    spaces: dict[str, str] = job.settings["spaces"]
    sizes = pd.Series([spaces[name] for name in paths if spaces[name]], dtype=str).value_counts()
    cohort = [name for name in paths if len(sizes) and spaces[name] == sizes.index[0]]
    targets, tables = pd.DataFrame(), []
    if len(cohort) > 1:
        targets, *others = (load(paths[name], Responses, job.provenance).targets for name in cohort)
        for other in others:
            targets = targets[targets["target_id"].isin(other["target_id"])].reset_index(drop=True)
    for (quantity, model), values_of in maps_of(cohort).items() if len(targets) else ():
        parts = [values_of(name)[[quantity, *P_VALUES]].reindex(targets["target_id"]) for name in cohort]
        values, *within = np.stack([part.to_numpy(dtype=float).T for part in parts], axis=1)
        z = np.arctanh(np.clip(values, -0.999, 0.999)) if quantity == "r" else values
        t, p, p_fwer = np.full((3, len(targets)), np.nan)
        if len(cohort) >= LEAST_TESTED:
            t, *flips = sign_flip_test(z, job.seed)
            p, p_fwer = np.maximum(flips, ndtr(np.mean(within, axis=1)))
        found = {"quantity": quantity, "model": model, "mean": values.mean(axis=0), "t": t, "p": p, "p_fwer": p_fwer}
        tables.append(targets[["target_id"]].assign(**found, n_subjects=len(cohort)))
    names = [f"{TITLES[table['quantity'].iloc[0]]}, {table['model'].iloc[0]}" for table in tables]
    means = [table["mean"].to_numpy() for table in tables]
    job.save("grouptargets", targets)
    job.save(
        "groupmaps",
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"target_id": []}, dtype=str),
        brain_maps(targets, np.stack(means), names=names) if tables else {},
        subjects=cohort,
        maps=names,
        p="one-sided, the larger one over subjects (signs of whole maps flipped, p_fwer of pseudo-t against the "
        "largest one over targets) and over stimuli that they share (mean z of p within subjects)"
        if len(cohort) >= LEAST_TESTED
        else f"none of fewer than {LEAST_TESTED} subjects: maps are descriptive",
    )
