"""map_subjects: mean, t and p of every target of subjects who share a space, over those that all of them have.

p is the larger of two: over subjects, by flips of signs, and over stimuli, which subjects may share, Φ(−mean z) of the
p within subjects, where z < 0 counts as 0. However alike subjects are, such a mean is no likelier to be large under the
null than z of one of them (p <= .05 in .05 of draws of 5 to 20 who are the same, in fewer of others).

Over images held out it is Φ(−Σ z / √(n λ)) of n subjects and every z (Stouffer); p_fwer is twice the smaller one of
this times the targets and the Φ above. λ is the largest eigenvalue of the matrix over subjects of Σ b_i b_j, with b the
responses to one's test images, of mean 0 and length 1, and 0 to images not seen. Where a model knows nothing, r of two
subjects correlate by Σ b_i b_j times the correlation of its predictions; whatever these are, the variance of Σ z is at
most n λ: n where responses have nothing in common, n² where they are the same.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from brainalign.arrays import BLOCK_BYTES, Responses, Values
from brainalign.datasets import folds_of
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
        of = {entities_of(path)["sub"]: load(path, pd.DataFrame, job.provenance) for path in job.paths("runscores")}
        scores = [table.assign(subject=name) for name, table in of.items()]
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
            rows = {name: _with_z(of[of["model"] == model]).set_index("target_id") for name, of in tables.items()}
            found = {**found, (column, model): rows.__getitem__}
    return found


def _with_z(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{name: ndtri(np.minimum(table[name].astype(float), 0.9999)) for name in P_VALUES})


def _alike(job: Job, cohort: Mapping[str, Responses], targets: pd.DataFrame) -> Values:
    """Return λ of every target: from 1, where subjects' responses to test images are unlike, to their number."""
    splits, subjects = {entities_of(path)["sub"]: path for path in job.paths("splits")}, []
    for name, of in cohort.items():
        ((_, test),) = folds_of(load(splits[name], pd.DataFrame, job.provenance), of.trials)
        places = pd.Index(of.targets["target_id"]).get_indexer(targets["target_id"])
        subjects.append((of.values, test, of.trials["stimulus_id"].to_numpy()[test], places))
    images, found = np.unique(np.concatenate([ids for _, _, ids, _ in subjects])), []
    at_once = max(1, BLOCK_BYTES // (8 * len(subjects) * len(images)))
    for first in range(0, len(targets), at_once):
        b = np.zeros((len(targets[first : first + at_once]), len(subjects), len(images)))
        for k, (values, test, ids, places) in enumerate(subjects):
            some = places[first : first + at_once]
            read = values[test, some.min() : some.max() + 1][:, some - some.min()]
            means = pd.DataFrame(read.astype(float)).groupby(ids).mean()
            b[:, k] = np.nan_to_num(((means - means.mean()) / means.std() / np.sqrt(len(means) - 1)).reindex(images).T)
        found.append(np.linalg.eigvalsh(b @ b.swapaxes(1, 2))[:, -1])
    return np.maximum(np.concatenate([*found, np.empty(0)]), 1)


def _save_maps(job: Job, maps_of: Callable[[Sequence[str]], Maps]) -> None:
    """Save the targets that the largest group of subjects in one space shares, and the maps over these subjects.

    `maps_of` makes the maps of subjects with these names. The setting `spaces` is empty for who shares none.
    """
    paths = {entities_of(path)["sub"]: path for path in job.paths("responses")}
    spaces: dict[str, str] = job.settings["spaces"]
    sizes = pd.Series([spaces[name] for name in paths if spaces[name]], dtype=str).value_counts()
    cohort = [name for name in paths if len(sizes) and spaces[name] == sizes.index[0]]
    targets, tables, unlike = pd.DataFrame(), [], None
    if len(cohort) > 1:
        measured = {name: load(paths[name], Responses, job.provenance, stored=True) for name in cohort}
        shared = set.intersection(*(set(of.targets["target_id"]) for of in measured.values()))
        targets = measured[cohort[0]].targets.loc[lambda table: table["target_id"].isin(shared)].reset_index(drop=True)
        if job.settings.get("held_out") and len(cohort) >= LEAST_TESTED and measured[cohort[0]].times is None:
            unlike = np.sqrt(len(cohort) / _alike(job, measured, targets))
    for (quantity, model), values_of in maps_of(cohort).items() if len(targets) else ():
        parts = [values_of(name)[[quantity, *P_VALUES]].reindex(targets["target_id"]) for name in cohort]
        values, *within = np.stack([part.to_numpy(dtype=float).T for part in parts], axis=1)
        z = np.arctanh(np.clip(values, -0.999, 0.999)) if quantity == "r" else values
        t, p, p_fwer = np.full((3, len(targets)), np.nan)
        if len(cohort) >= LEAST_TESTED:
            t, *flips = sign_flip_test(z, job.seed)
            # Above one half a p is no evidence against others, or one in four who has no effect would hide it.
            stimuli = ndtr(np.minimum(within, 0).mean(axis=1))
            if unlike is not None:
                stimuli[0] = ndtr(within[0].mean(axis=0) * unlike)
                stimuli[1] = np.minimum(1, 2 * np.minimum(len(targets) * stimuli[0], stimuli[1]))
            p, p_fwer = np.maximum(flips, stimuli)
        found = {"quantity": quantity, "model": model, "mean": values.mean(axis=0), "t": t, "p": p, "p_fwer": p_fwer}
        tables.append(targets[["target_id"]].assign(**found, n_subjects=len(cohort)))
    names = [f"{TITLES[table['quantity'].iloc[0]]}, {table['model'].iloc[0]}" for table in tables]
    job.save("grouptargets", targets)
    job.save(
        "groupmaps",
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"target_id": []}, dtype=str),
        brain_maps(targets, np.stack([table["mean"] for table in tables]), names=names) if tables else {},
        subjects=cohort,
        maps=names,
        p="one-sided, the larger one over subjects (signs of whole maps flipped, p_fwer of pseudo-t against the "
        "largest one over targets) and over stimuli that they share (z of p within subjects)"
        if len(cohort) >= LEAST_TESTED
        else f"none of fewer than {LEAST_TESTED} subjects: maps are descriptive",
    )
