"""Does anything of the test set reach training? The audit of splits, and the card of them in the report."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd

from brainalign.checks import listed
from brainalign.datasets.formats import ImageAudit
from brainalign.datasets.problems import Problem, listing_faults
from brainalign.datasets.splits.splits import check_trials_known, group_labels


def leakage_audit(
    splits: pd.DataFrame,
    trials: pd.DataFrame,
    images: ImageAudit | None = None,
    *,
    near: Literal["error", "warning"] = "error",
) -> list[Problem]:
    """Return every way in which test and training share something; `stop_on` turns errors into a stop.

    Errors: a stimulus, or one image or text under two names, on two sides of a fold; a trial on two sides, in no
    split, or not among the responses; no trial to train on or to test. Warnings: a run with trials on two sides, where
    slow noise makes neighbouring trials alike. What this cannot see is a transform (scaling, PCA) that was fitted on
    all rows before they got here.

    Parameters
    ----------
    splits : DataFrame
        trial_id, stimulus_id, split, fold, and name where there are several.
    trials : DataFrame
        The table of the responses.
    images : ImageAudit, optional
    near : {"error", "warning"}
        How to take near-duplicates on two sides; identical files are an error.
    """
    problems = []
    for where, table in _folds(splits):
        problems += [Problem(where, what, level, rows) for what, level, rows in _fold_problems(table, trials)]
        if images is not None:
            problems += list(_image_problems(where, table, images, near))
    return problems


Found = tuple[str, Literal["error", "warning"], tuple[str, ...]]


def _folds(splits: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield every fold and what to call it."""
    named = splits if "name" in splits else splits.assign(name="")
    for (name, fold), table in named.groupby(["name", "fold"], sort=True):
        yield f"splits{'.' if name else ''}{name}: fold {fold}", table


def _fold_problems(table: pd.DataFrame, trials: pd.DataFrame) -> Iterator[Found]:
    if unused := sorted(set(trials["trial_id"]) - set(table["trial_id"])):
        yield f"{len(unused)} trials of the responses are in no split ({listed(unused)})", "warning", tuple(unused)
    for what, rows in listing_faults(table, trials["trial_id"], "among the responses ({}); run prepare again"):
        yield what, "error", rows
    # The splits' own stimulus ids may be stale: the responses say what was shown.
    shown = table.merge(trials[["trial_id", "session", "run", "stimulus_id"]], on="trial_id", suffixes=("_split", ""))
    yield from _stimulus_leaks(shown)
    sides = shown["split"].groupby(group_labels(shown, "run")).nunique()
    if straddling := tuple(sides.index[sides > 1]):
        yield (
            f"{len(straddling)} of {len(sides)} runs have trials in more than one split ({listed(straddling)}); noise "
            "that drifts within a run makes neighbouring trials alike, which can inflate scores",
            "warning",
            straddling,
        )


def _stimulus_leaks(shown: pd.DataFrame) -> Iterator[Found]:
    renamed = shown[shown["stimulus_id"] != shown["stimulus_id_split"]]
    if len(renamed):
        rows = tuple(renamed["trial_id"])
        yield (
            f"{len(rows)} trials show another stimulus in the responses ({listed(rows)}); run prepare again",
            "error",
            rows,
        )
    sides = shown.groupby("stimulus_id")["split"].nunique()
    if leaked := set(sides.index[sides > 1]):
        rows = tuple(shown["trial_id"][shown["stimulus_id"].isin(leaked)])
        yield (
            f"{len(leaked)} stimuli occur in more than one split ({listed(sorted(leaked))}; trials {listed(rows)}); "
            "split by stimulus_id, not by trial",
            "error",
            rows,
        )


def _image_problems(
    where: str, table: pd.DataFrame, images: ImageAudit, near: Literal["error", "warning"]
) -> Iterator[Problem]:
    across = _across(table, images.pairs)
    for kind, level in (("duplicate", "error"), ("near-duplicate", near)):
        rows = across[across["kind"] == kind]
        if len(rows):
            first = listed(
                [
                    f"{a} ({side_a}) and {b} ({side_b})"
                    for a, side_a, b, side_b in rows[["stimulus_a", "split_a", "stimulus_b", "split_b"]].to_numpy()
                ]
            )
            yield Problem(
                where,
                f"{len(rows)} pairs of {kind} {images.what}s lie on two sides: {first}; leave one of each out, "
                "or move it to the other side in the table of stimuli",
                "error" if level == "error" else "warning",
                tuple(table["trial_id"][table["stimulus_id"].isin(set(rows["stimulus_a"]) | set(rows["stimulus_b"]))]),
            )


def _across(table: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of images on two sides of a fold, with the side of each."""
    side = table.drop_duplicates("stimulus_id").set_index("stimulus_id")["split"]
    known = pairs.assign(split_a=pairs["stimulus_a"].map(side), split_b=pairs["stimulus_b"].map(side))
    known = known.dropna(subset=["split_a", "split_b"])
    return known[known["split_a"] != known["split_b"]]


def split_card(splits: pd.DataFrame, trials: pd.DataFrame, images: ImageAudit | None = None) -> pd.DataFrame:
    """Tabulate the contents of each split, for the report; what is given is as in `leakage_audit`.

    Returns
    -------
    DataFrame
        A row per fold and split: name, fold, split, n_stimuli, n_trials, repeats_min, repeats_median, repeats_max,
        n_sessions, n_runs, n_runs_shared (with another split), n_duplicates, n_near_duplicates (pairs within the
        split), n_duplicates_across, n_near_duplicates_across (pairs with one image elsewhere). The last four are
        missing where no images were audited.
    """
    check_trials_known(splits, trials)
    cards = []
    for _, fold in _folds(splits):
        shown = fold.merge(trials[["trial_id", "session", "run"]], on="trial_id")
        runs = group_labels(shown, "run")
        shared = runs.isin(runs[shown["split"].groupby(runs).transform("nunique") > 1])
        for split in [name for name in ("train", "val", "test") if name in set(shown["split"])]:
            part = shown[shown["split"] == split]
            repeats = part["stimulus_id"].value_counts()
            card = {
                "name": part["name"].iloc[0],
                "fold": part["fold"].iloc[0],
                "split": split,
                "n_stimuli": len(repeats),
                "n_trials": len(part),
                "repeats_min": int(repeats.min()),
                "repeats_median": float(repeats.median()),
                "repeats_max": int(repeats.max()),
                "n_sessions": part["session"].nunique(),
                "n_runs": runs[part.index].nunique(),
                "n_runs_shared": runs[part.index][shared[part.index]].nunique(),
            }
            cards.append(card | _duplicates(fold, split, images))
    return pd.DataFrame(cards)


def _duplicates(fold: pd.DataFrame, split: str, images: ImageAudit | None) -> dict[str, float]:
    names = {"duplicate": "n_duplicates", "near-duplicate": "n_near_duplicates"}
    if images is None:
        return {f"{name}{suffix}": np.nan for name in names.values() for suffix in ("", "_across")}
    mine = set(fold["stimulus_id"][fold["split"] == split])
    across, counts = _across(fold, images.pairs), {}
    for kind, name in names.items():
        pairs = images.pairs[images.pairs["kind"] == kind]
        counts[name] = float((pairs["stimulus_a"].isin(mine) & pairs["stimulus_b"].isin(mine)).sum())
        outside = across[across["kind"] == kind]
        counts[f"{name}_across"] = float((outside["stimulus_a"].isin(mine) | outside["stimulus_b"].isin(mine)).sum())
    return counts
