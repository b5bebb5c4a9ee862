"""Checks of pieces that are loaded already, whatever format they came from; `brainalign check` puts them together."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.checks import did_you_mean, listed
from brainalign.datasets.formats import SPACES, bad_targets_of
from brainalign.datasets.problems import Problem
from brainalign.datasets.splits import repeat_counts
from brainalign.io import inflated_fslr

HEAD_MM = {"x_mm": (-100, 100), "y_mm": (-140, 105), "z_mm": (-90, 125)}  # images of MNI152, and electrodes on it


def roi_sizes(targets: pd.DataFrame) -> pd.DataFrame:
    """Return a row per ROI and hemisphere: roi, hemi, n_targets; in the order of first appearance."""
    table = targets[["roi", "hemi"]].explode("roi").dropna(subset=["roi"])
    return table.groupby(["roi", "hemi"], sort=False).size().rename("n_targets").reset_index()


def inspect_trials(
    where: str, trials: pd.DataFrame, stimulus_ids: Sequence[str], test: Sequence[str] | None = None
) -> list[Problem]:
    """Find the problems between trials and stimuli: unknown and unused ones, repeats.

    Parameters
    ----------
    where : str
        Names the place in the descriptor.
    trials : DataFrame
        From `read_trials` or a reader's responses.
    stimulus_ids : sequence of str
        Of the table of stimuli.
    test : sequence of str, optional
        The test stimuli; a ceiling needs repeats of these.
    """
    problems = []
    known, shown = set(stimulus_ids), pd.unique(trials["stimulus_id"])
    if unknown := sorted(set(shown) - known):
        what = (
            f"{len(unknown)} stimuli were shown that the table of stimuli lacks ({listed(unknown)})"
            f"{did_you_mean(unknown[0], known)}; add them to the table, which has {listed(sorted(known))}, or correct "
            "the trials, and mark those in which nothing was shown by a 1 in a column left_out, others by a 0"
        )
        problems.append(Problem(where, what, rows=tuple(unknown)))
    never = sorted(known - set(shown))
    if never and len(never) == len(known):
        problems.append(Problem(where, f"none of the {len(known)} stimuli of the table was shown; check the ids"))
    elif never:
        what = f"{len(never)} of {len(known)} stimuli of the table were never shown to this subject ({listed(never)})"
        problems.append(Problem(where, what, "warning", tuple(never)))
    counts = repeat_counts(trials)
    tested = counts if test is None else counts[counts.index.isin(list(test))]
    if test is not None and not len(tested):
        what = f"none of the {len(test)} test stimuli was shown to this subject; check the ids"
        problems.append(Problem(where, what))
    elif (tested < 2).all():
        kind = "stimuli were" if test is None else "test stimuli were"
        what = f"zero repeats: all {len(tested)} {kind} shown once, so there is no noise ceiling; scores have none"
        problems.append(Problem(where, what, "warning", tuple(tested.index)))
    elif tested.nunique() > 1:
        what = (
            f"stimuli have {tested.min()} to {tested.max()} repeats (median {tested.median():g}); ceilings allow for it"
        )
        problems.append(Problem(where, what, "warning", tuple(tested.index[tested < tested.max()])))
    return problems


def inspect_responses(where: str, responses: Responses) -> list[Problem]:
    """Find the problems of response values: NaN and constant targets, small ROIs.

    Parameters
    ----------
    where : str
        Names the place in the descriptor.
    responses : Responses
        Read with `standardize="none", bad_targets="keep"`, so that there is something to find.
    """
    problems = []
    for kind, found in zip(("NaN, infinite or -999", "constant"), bad_targets_of(responses, "session"), strict=True):
        if found.any():
            ids = responses.targets["target_id"][found].tolist()
            every = range(len(responses.trials)) if found.all() else ()
            empty = [str(k + 1) for k in every if not np.isfinite(responses.values[k]).any()]
            remedy = "shrink the mask, or set bad_targets (bad_channels) to drop, which leaves them out and counts them"
            if empty:
                remedy = f"{len(empty)} trials hold no number (rows {listed(empty)}): drop them from values and trials"
            what = f"{found.sum()} of {len(found)} targets are {kind} in some session ({listed(ids)}); {remedy}"
            problems.append(Problem(where, what, rows=tuple(ids)))
    sizes = roi_sizes(responses.targets).groupby("roi", sort=False)["n_targets"].sum()
    small = sizes[sizes < 2]  # of which there is no pattern
    if len(small):
        shown = [f"{name} {n}" for name, n in small.items()]
        what = f"{len(small)} ROIs have fewer than 2 targets ({listed(shown)}); join or leave them out"
        problems.append(Problem(where, what, "warning", tuple(str(name) for name in small.index)))
    return problems


def space_problems(where: str, space: str, targets: pd.DataFrame) -> list[Problem]:
    """Say where targets cannot lie in the space that the descriptor names."""
    if "vertex" in targets:
        known = targets.attrs.get("space", {})
        placed = targets[targets["vertex"] >= 0].reindex(columns=list(HEAD_MM)).notna().to_numpy().all()
        name = str(known.get("name"))
        if placed or name.startswith("fsaverage") or (name == "fsLR32k" and inflated_fslr("L") is not None):
            return []
        what = "scores are written, but not drawn: give surfaces: {L: ..., R: ...}, as no mesh of them comes along"
        if name == "fsLR32k":
            what += "; or install brainalign[fslr]"
        return [Problem(where, f"its targets are vertices of {known.get('name', 'a mesh')}; {what}", "warning")]
    if space in SPACES:
        what = f"space is {space}, a mesh, but its targets are no vertices; give MNI152 or scanner"
        return [Problem(f"{where}.space", what)]
    if not space.upper().startswith("MNI"):
        return []
    places = targets.reindex(columns=list(HEAD_MM)).to_numpy(dtype=float)
    known = np.isfinite(places).all(axis=1)
    if not known.any():
        what = f"space is {space}, but no target has {', '.join(HEAD_MM)}; give them as columns of a table of targets"
        return [Problem(f"{where}.space", what)]
    low, high = np.array(list(HEAD_MM.values())).T
    outside = float(((places[known] < low) | (places[known] > high)).any(axis=1).mean())
    if outside <= 0.05:
        return []
    ends = (places[known].min(axis=0), places[known].max(axis=0))
    spans = [f"{name} {a:.0f} to {b:.0f}" for name, a, b in zip("xyz", *ends, strict=True)]
    what = (
        f"space is {space}, but {outside:.0%} of its targets lie outside of that head ({', '.join(spans)} mm; it has "
        f"{', '.join(f'{name[0]} {a} to {b}' for name, (a, b) in HEAD_MM.items())}); give mm, or space: scanner"
    )
    return [Problem(f"{where}.space", what)]
