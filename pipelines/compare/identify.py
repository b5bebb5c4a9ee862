"""identify: name the regions of every fMRI subject after the geometry of the others, over all thresholds.

Topological RSA beside rank RSA and beside clipping far pairs alone; thresholds chosen on other subjects; controls.
"""

from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from brainalign.arrays import Arrays, Values
from brainalign.checks import BrainalignError
from brainalign.config import IdentifySettings
from brainalign.geometry import BASELINES, RegionIdentification, identify_regions, layer_agreement, threshold_family
from brainalign.io import entities_of, load_sidecar
from brainalign.pipelines.compare.rdms import rdms_among
from brainalign.workflow import Job

IDENTIFIED = ["name", "lower", "upper", "accuracy", "se", "low", "high", "null_mean", "null_high", "p"]
THRESHOLDS = ["lower", "upper", "family", "accuracy", "se", "chosen"]
AGREEMENT = ["model", "region", "transform", "layer", "r", "agreement", "chance", "n"]
DIFFERENCES = {"rank": "over_rank", "upper clip": "over_clip"}


def identify(job: Job) -> None:
    """Name the regions of every subject after the others, and see whether the layers they resemble agree."""
    options = job.options("identify", IdentifySettings)
    rng = np.random.default_rng(job.seed)
    about: dict[str, Any] = {"chance": None, "reason": ""}
    tables = [pd.DataFrame(columns=names) for names in (IDENTIFIED, THRESHOLDS, AGREEMENT)]
    try:
        regions, rdms, layers = _aligned(job, options.stimuli, rng)
        found = identify_regions(rdms, n_boot=options.draws, n_shuffles=options.shuffles, rng=rng)
    except BrainalignError as error:
        # A study of one region, or without common images, has a report that says so.
        about["reason"] = str(error)
    else:
        tables = [_identified(found, job.settings["confidence"]), _thresholds(found), _agreement(regions, rdms, layers)]
        names = ("chance", "n_subjects", "n_regions", "n_stimuli", "n_pairs", "n_tested", "n_missing_pairs")
        about |= {name: getattr(found, name) for name in names} | {
            "n_draws": len(found.draws),
            "n_shuffles": len(found.shuffled),
            "mean_dropped_pairs": float(found.dropped_pairs.mean()),
            "draws_with_vanished_regions": int((found.vanished > 0).sum()),
            "undefined_draws": int(np.isnan(found.nested_draws).sum()),
            "best_of_shuffled": float(found.shuffled_best.mean()),
            "regions": regions,
            "nearest": np.nan_to_num(found.nearest, nan=-1).astype(int).tolist(),  # JSON has no NaN
            "subjects": [entities_of(path)["sub"] for path in job.paths("rdm")],
        }
    job.save(
        "regions",
        tables[0],
        **about,
        accuracy="share of regions named after the nearest mean RDM of the other subjects (Pearson's r)",
        se="bootstrap over subjects and images, the same draws for all rows; low and high are estimate -+ z se",
        p="one-sided, regions of every subject relabelled",
    )
    job.save("thresholds", tables[1])
    job.save("agreement", tables[2], of="best layer by region; share of subjects whose own agrees")


def _aligned(job: Job, most: int, rng: np.random.Generator) -> tuple[list[str], Values, dict[tuple[str, str], Values]]:
    """Return regions, RDMs (n_subjects, n_regions, n_pairs; NaN where one is lacking), and those of every layer."""
    arrays = job.load_all("rdm", Arrays)
    details = [load_sidecar(path)["details"] for path in job.paths("rdm")]
    common = set.intersection(*(set(some["conditions"]) for some in details))
    names = [name for name in details[0]["conditions"] if name in common]
    if len(names) > most:
        names = [names[k] for k in np.sort(rng.choice(len(names), most, replace=False))]
    regions = list(dict.fromkeys(group for some in details for group in some["groups"]))
    rdms = np.full((len(arrays), len(regions), len(names) * (len(names) - 1) // 2), np.nan)
    for row, some, about in zip(rdms, arrays, details, strict=True):
        rows = [regions.index(group) for group in about["groups"]]
        row[rows] = rdms_among(np.asarray(some["responses"]), about["conditions"], names)
    models = rdms_among(np.asarray(arrays[0]["models"]), details[0]["conditions"], names)
    layers = {(model, layer): rdm for (model, layer), rdm in zip(details[0]["models"], models, strict=True)}
    return regions, rdms, layers


def _identified(found: RegionIdentification, confidence: float) -> pd.DataFrame:
    """Return a row per baseline and for the nested choice, with differences from ranks and from the upper clip."""
    nowhere = (np.nan, np.nan)
    rows: dict[str, tuple[tuple[float, float], float, Values, Values]]
    rows = {"raw": (nowhere, found.raw, found.raw_draws, np.empty(0))}
    for name, cell in BASELINES.items():
        k = found.at(*cell)
        rows[name] = (cell, float(found.accuracy[k]), found.draws[:, k], found.shuffled_accuracy[:, k])
    rows["nested"] = (nowhere, found.nested, found.nested_draws, found.shuffled)
    z, table = NormalDist().inv_cdf(0.5 + confidence / 2), []
    for name, (cell, value, draws, null) in rows.items():
        se = _sd(draws)
        row: dict[str, Any] = dict(zip(IDENTIFIED, (name, *cell, value, se), strict=False))
        row |= {"low": max(value - z * se, 0), "high": min(value + z * se, 1)}
        for other, column in DIFFERENCES.items():
            row |= {column: value - rows[other][1], f"{column}_se": _sd(draws - rows[other][2])}
        if len(null):
            row |= {"null_mean": null.mean(), "null_high": np.quantile(null, 0.95)}
            row |= {"p": (1 + (null >= value - 1e-9).sum()) / (1 + len(null)) if np.isfinite(value) else np.nan}
        table.append(row)
    return pd.DataFrame(table)


def _thresholds(found: RegionIdentification) -> pd.DataFrame:
    return pd.DataFrame(found.cells, columns=["lower", "upper"]).assign(
        family=[threshold_family(*cell) for cell in found.cells],
        accuracy=found.accuracy,
        se=[_sd(draws) for draws in found.draws.T],
        chosen=[int(np.isclose(found.chosen, cell).all(axis=1).sum()) for cell in found.cells],
    )


def _agreement(regions: list[str], rdms: Values, layers: dict[tuple[str, str], Values]) -> pd.DataFrame:
    """Return the best layer of every model in every region under every transform, and how many subjects agree."""
    rows, transforms = [], {"raw": None, **BASELINES}
    for model in dict.fromkeys(model for model, _ in layers):
        # A layer whose distances are all equal or missing agrees with nothing, and is no candidate.
        own = {layer: rdm[np.isfinite(rdm)] for (name, layer), rdm in layers.items() if name == model}
        names = [layer for layer, rdm in own.items() if len(rdm) and np.ptp(rdm) > 0]
        if not names:
            continue
        stacked = np.stack([layers[model, layer] for layer in names])
        for transform, some in layer_agreement(rdms, stacked, transforms).items():
            for k, region in enumerate(regions):
                seen = np.isfinite(some.fit[:, k]).all(axis=1)
                best = int(some.best[k])
                r = some.fit[seen, k, best].mean() if best >= 0 else np.nan
                found = (model, region, transform, names[best] if best >= 0 else "", r, some.agreement[k])
                rows.append((*found, 1 / len(names), int(seen.sum())))
    return pd.DataFrame(rows, columns=AGREEMENT)


def _sd(draws: Values) -> float:
    defined = draws[np.isfinite(draws)]
    return float(defined.std(ddof=1)) if len(defined) > 1 else np.nan
