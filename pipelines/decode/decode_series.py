"""decode_series: hidden regions filled in from visible ones, networks in embeddings, traits and states of people."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Arrays
from brainalign.config import SeriesSettings
from brainalign.datasets.formats import check_sides
from brainalign.decoding import MaskedBrainModel, masked_study, person_features, person_scores
from brainalign.decoding.masked import check_labels, fine_tuned_row
from brainalign.io import MISSING
from brainalign.workflow import Job

TEST_SHARE = 0.25  # of the subjects, where the table of people has no split
LEAST_FRAMES = 4  # of a segment
WITHIN = 0.1  # of a number's variance: what changes less in people (age) is a trait; permuted in them it stays as it is


def decode_series(job: Job) -> None:
    """Fill hidden regions in from visible ones, and predict traits and states of people."""
    options = job.options("decode_series", SeriesSettings)
    confidence = float(job.settings.get("confidence", 0.95))
    series = np.asarray(job.load("series", Arrays)["series"])
    people = job.load("people", pd.DataFrame)
    about = job.details("series")
    frames = max(LEAST_FRAMES, round(options.model.segment_s / about["tr_s"]))
    test = test_runs(people, job.seed)
    asked = {name: _known(people, name, options.folds) for name in about["labels"]}

    def make(**changes: Any) -> MaskedBrainModel:
        given = options.model.model_dump(exclude={"segment_s"})
        return MaskedBrainModel(**{**given, "segment_frames": frames, "seed": job.seed, **changes})

    regions, networks, whose = about["regions"], about["networks"], people["subject"].tolist()
    found = masked_study(
        series,
        whose,
        test,
        regions,
        networks,
        make,
        **options.model_dump(include={"lags", "nulls", "ablations", "network_permutations"}),
        n_halves=options.halves,
        n_traces=options.traces,
        n_draws=options.draws,
        confidence=confidence,
        seed=job.seed,
    )
    model = found.model
    job.save(
        "maskedmodel",
        Arrays(model.state()),
        config=model.config,
        regions=regions,
        losses=model.history_.losses[:: max(1, len(model.history_.losses) // 100)].round(4).tolist(),
        steps={name: len(history.losses) for name, history in found.histories.items()},
        converged={name: history.converged for name, history in found.histories.items()},
        chosen=model.history_.chosen,
        weights={kind: weights.round(4).tolist() for kind, weights in found.weights.items()},
        lag=found.gaussian.lag_,
        penalty=found.gaussian.penalty_,
        n_train=int(people.loc[~test, "subject"].nunique()),
        n_test=int(people.loc[test, "subject"].nunique()),
        segment_frames=frames,
    )
    job.save("filled", found.filled)
    traces = found.traces | {"run": np.flatnonzero(test)[found.traces["run"]]}
    job.save("filledtraces", Arrays(traces), shapes="true, model, gaussian (n_traces, n_frames)")
    job.save("regionnetworks", found.agreement)
    job.save("regionmap", region_map(model.region_embeddings_, regions, networks))
    tables = [_scores(name, model, series, *known, options, confidence, job.seed) for name, known in asked.items()]
    job.save("personscores", pd.concat(tables, ignore_index=True) if tables else pd.DataFrame())


def test_runs(people: pd.DataFrame, seed: int) -> NDArray[np.bool_]:
    """Choose the test runs: as the table says, or all of a quarter of the subjects."""
    check_sides(people)
    if (people["split"] != "").all():
        return (people["split"] == "test").to_numpy()
    names = people["subject"].unique()
    order = np.random.default_rng([seed, 0x7E57]).permutation(len(names))
    chosen = names[order[: max(1, round(TEST_SHARE * len(names)))]]
    return people["subject"].isin(chosen).to_numpy()


def region_map(embeddings: NDArray[np.float32], regions: list[str], networks: list[str]) -> pd.DataFrame:
    """Return embeddings on their first two principal axes: region_id, network, x, y, share (of variance)."""
    u, s, _ = np.linalg.svd(embeddings - embeddings.mean(axis=0), full_matrices=False)
    x, y = (u[:, :2] * s[:2]).T
    share = float((s[:2] ** 2).sum() / (s**2).sum())
    return pd.DataFrame({"region_id": regions, "network": networks, "x": x, "y": y, "share": share})


def _known(people: pd.DataFrame, label: str, n_folds: int) -> tuple[pd.DataFrame, bool]:
    """Return the runs whose label is known, as subject and value (a number or a word), and whether it is a trait."""
    rows = people[["subject"]].assign(value=people[label]).reset_index(drop=True)
    rows = rows[~rows["value"].astype(str).isin(MISSING)]
    numbers = pd.to_numeric(rows["value"], errors="coerce")
    if numbers.notna().all() and numbers.nunique() > 2:
        means = numbers.groupby(rows["subject"]).transform("mean")
        trait = bool((numbers - means).var() < WITHIN * numbers.var())
        rows = rows.assign(value=means if trait else numbers.astype(float))
    else:
        rows = rows.assign(value=rows["value"].astype(str))
        trait = bool((rows.groupby("subject")["value"].nunique() == 1).all())
    check_labels(label, rows["value"].to_numpy(), rows["subject"].to_numpy(dtype=str), n_folds)
    return rows, trait


def _scores(
    label: str,
    model: MaskedBrainModel,
    series: NDArray[np.float32],
    rows: pd.DataFrame,
    trait: bool,
    options: SeriesSettings,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Score the prediction of a label: per person if it is a trait, else per run."""
    values = series[rows.index]
    if trait:
        values, rows = per_person(values, rows.reset_index(drop=True), model.segment_frames)
    labels, whose = rows["value"].to_numpy(), rows["subject"].tolist()
    shared: dict[str, Any] = {"n_folds": options.folds, "n_repeats": options.repeats, "confidence": confidence}
    draws: dict[str, Any] = {"n_permutations": options.permutations, "n_draws": options.draws, "seed": seed}
    table = person_scores(person_features(model, values), labels, whose, **shared, **draws)
    if options.fine_tuning and labels.dtype == object:
        table = pd.concat([table, fine_tuned_row(model, values, labels, whose, options.folds, seed)], ignore_index=True)
    return table.assign(label=label, kind="trait" if trait else "state", n_rows=len(values))


def per_person(
    series: NDArray[np.float32], people: pd.DataFrame, segment_frames: int
) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Return the runs of every person one after the other, as many frames as all have, and a row per person.

    Runs end with their last whole segment, so that no segment holds parts of two.
    """
    whole = series[:, : series.shape[1] // segment_frames * segment_frames]
    groups = people.groupby("subject", sort=False).indices
    n_runs = min(len(rows) for rows in groups.values())
    joined = np.stack([np.concatenate(list(whole[rows[:n_runs]])) for rows in groups.values()])
    return joined, people.drop_duplicates("subject").reset_index(drop=True)
