"""Controls that failed: what should have shown nothing and did, in a red box on top of the page.

Every kind of page names its own; each fails by the limit or p that the page states of it.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtrit

from brainalign.report.kit.material import DecodedTimes, Material, Nouns
from brainalign.report.kit.sentences import SAME, untuned_identification
from brainalign.report.kit.tables import LEVEL, number, p_equals

SPREADS = 3.0  # standard deviations of its null that a control may be above its mean
SEVERAL = 4.0  # standard errors of its mean that a null may lie above chance: there are many nulls on a page
TO_95 = 1.645  # standard deviations of a normal null to its 95 % point


@dataclass(frozen=True)
class FailedControl:
    """A control that failed.

    Attributes
    ----------
    name : str
        What should have shown nothing.
    value : float
    meaning : str
        What this says of the results on the page: one sentence or two.
    chance, p, limit : float
        NaN where there is none.
    section : str
        Id of the section that it belongs to.
    """

    name: str
    value: float
    meaning: str
    chance: float = float("nan")
    p: float = float("nan")
    limit: float = float("nan")
    section: str = ""

    @property
    def figures(self) -> str:
        """The value beside its chance, p and limit, as far as there are any."""
        parts = [f"chance {number(self.chance)}"] * bool(np.isfinite(self.chance))
        parts += [f"p {p_equals(self.p, 4)}"] * bool(np.isfinite(self.p))
        parts += [f"limit {number(self.limit)}"] * bool(np.isfinite(self.limit))
        return number(self.value) + (f" ({', '.join(parts)})" if parts else "")


def above_spread(value: float, mean: float, sd: float) -> bool:
    """Return whether a control is above the limit of its null, `SPREADS` standard deviations over its mean."""
    return bool(np.isfinite(value) and value > mean + SPREADS * sd)


def failed_windows(decoded: DecodedTimes | None) -> Iterator[FailedControl]:
    """Yield windows before the stimulus in which categories are decoded, and clusters that end before it.

    Windows fail at p below `LEVEL`, as the page calls them above chance; clusters are corrected for all times.
    """
    if decoded is None:
        return
    windows, clusters = decoded.tables["timewindows"], decoded.tables["timeclusters"]
    meaning = (
        "Before a stimulus nothing can tell what it will be: something else does (order, drift, a duplicated "
        "recording, a filter that smears), and it may carry the scores after the stimulus as well. Read none of them "
        "as a response before this is explained."
    )
    of_all = windows[(windows["group"] == "all") & windows["control"].astype(bool) & (windows["p"] < LEVEL)]
    for _, row in of_all.iterrows():
        yield FailedControl(
            f"Decoding before the stimulus, {row['scheme']}, {1000 * row['start_s']:.0f} to "
            f"{1000 * row['stop_s']:.0f} ms ({decoded.facts['measure']})",
            float(row["score"]),
            meaning,
            float(row["chance"]),
            float(row["p"]),
            section="decoding",
        )
    times = clusters.query("kind == 'time' and group == 'all'") if len(clusters) else clusters
    scores = decoded.tables["timescores"]
    for _, row in before_onset(times, "start_s", "stop_s").iterrows():
        inside = scores[(scores["group"] == "all") & scores["time_s"].between(row["start_s"], row["stop_s"])]
        yield FailedControl(
            f"Cluster before the stimulus, {1000 * row['start_s']:.0f} to {1000 * row['stop_s']:.0f} ms "
            f"({decoded.facts['measure']}, largest)",
            float(inside["score"].max()),
            meaning,
            float(scores["chance"].iloc[0]),
            float(row["p"]),
            section="decoding",
        )


def before_onset(clusters: pd.DataFrame, start: str, stop: str) -> pd.DataFrame:
    """Return significant clusters that begin and end before the stimulus."""
    if clusters.empty:
        return clusters
    return clusters[(clusters["p"] < LEVEL) & (clusters[start] < 0) & (clusters[stop] < 0)]


def by_name(table: pd.DataFrame, column: str) -> dict[str, dict[Hashable, Any]]:
    """Return the rows of a table by the name in a column; of several the first."""
    return {str(row[column]): row for row in table.drop_duplicates(column).to_dict("records")}


def failed_spaces(material: Material) -> Iterator[FailedControl]:
    """Yield the controls that failed in one subject of whom runs or stimuli were left out in turn."""
    if material.summary is None or not material.encodings:
        return
    yield from _nulls(material.summary, material.nouns.stimuli)
    if "time_s" in material.first.encoding.scores:
        yield from _before_the_stimulus(material)
    for split in material.splits_that_leave("stimulus"):
        yield from _random(material, split)
    for split in material.splits_that_leave("run"):
        rows = untuned_identification(material, split)
        if material.trained_on_all(split) and len(rows) > 1 and np.ptp(rows["value"]) > SAME:
            yield FailedControl(
                f"Identification by spaces of full rank, {split}: largest minus smallest",
                float(np.ptp(rows["value"])),
                f"With every {material.nouns.stimulus} in training all of them must predict the same; look for an "
                "error before reading any score of this split.",
                limit=SAME,
                section="identification",
            )


def _before_the_stimulus(material: Material) -> Iterator[FailedControl]:
    """Yield the largest score before the stimulus, where it is above the largest of permuted responses."""
    first = material.first
    scores = first.of(first.encoding.scores)
    early = scores[(scores["time_s"] < 0) & (scores["p_fwer"] < LEVEL)]
    if early.empty:
        return
    best = early.iloc[int(early["r"].to_numpy().argmax())]
    yield too_early(
        f"{first.model}, {first.layer}, with {first.method} predicts {len(early)} scores of {material.nouns.targets} "
        f"before the {material.nouns.stimulus}, r of the largest ({1000 * best['time_s']:.0f} ms)",
        float(best["r"]),
        float(best["p_fwer"]),
        material.nouns,
    )


def too_early(name: str, value: float, p: float, nouns: Nouns) -> FailedControl:
    """Return a score from before the stimulus as a control that failed."""
    meaning = (
        f"Before {nouns.a_stimulus} nothing can tell which it will be: order, drift or a filter that smears may carry "
        "the scores after it as well."
    )
    return FailedControl(name, value, meaning, p=p, section="time")


def _nulls(summary: pd.DataFrame, stimuli: str) -> Iterator[FailedControl]:
    """Return identification after permutation where it is above chance by several standard errors: a leak."""
    tested = summary[summary["quantity"].isin(["identification", "pair matching"]) & summary["p"].notna()]
    for _, row in tested.iterrows():
        error = (row["null_95"] - row["null_mean"]) / TO_95 / np.sqrt(row["n_null"])
        limit = row["chance"] - stdtrit(row["n_null"] - 1, ndtr(-SEVERAL)) * error  # a spread of few draws; of one none
        if row["null_mean"] > limit:
            yield FailedControl(
                f"{row['quantity'].capitalize()} after permuting {stimuli}, {row['model']} with {row['method']}, "
                f"layer {row['layer']}, {row['split']}",
                float(row["null_mean"]),
                f"Permuted {stimuli} hold nothing, so something of the test items reaches training: scores of "
                "this split are too high, and their p is not to be trusted.",
                float(row["chance"]),
                limit=float(limit),
                section="identification" if row["quantity"] == "identification" else "zeroshot",
            )


def _random(material: Material, split: str) -> Iterator[FailedControl]:
    """Return random spaces whose mean over draws matches pairs above chance."""
    rows = material.summary_rows("pair matching", split=split, layer="all")
    for _, row in rows[rows["model"].isin(material.models_of("random"))].iterrows():
        limit = 0.5 - stdtrit(row["n"] - 1, ndtr(-SPREADS)) * row["sd"] / np.sqrt(row["n"])
        if row["value"] > limit:
            yield FailedControl(
                f"Pair matching by {int(row['n'])} random spaces ({row['model']} with {row['method']}), {split}",
                float(row["value"]),
                "A space drawn at random means nothing, so what it matches comes from elsewhere, and so may what "
                "the other spaces match.",
                0.5,
                limit=float(limit),
                section="zeroshot",
            )
