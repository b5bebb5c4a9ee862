"""Headline numbers of one subject of whom stimuli were held out, models compared, and what was planted recovered."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import statistics
from brainalign.arrays import Arrays, Responses
from brainalign.config import SummarizeSettings
from brainalign.io import Provenance, entities_of, load, load_sidecar
from brainalign.simulation import preferences
from brainalign.workflow import Job

WHITENED = "noise standard deviations"
N_DRAWS = 300  # of images, for preferences
CHOICE = "chosen inside the training stimuli"
NO_CHOICE = "the first one: nothing was scored inside the training stimuli"
DIFFERENCES = ["quantity", "model_a", "model_b", "method_a", "method_b", "layer_a", "layer_b"]
DIFFERENCES += ["difference", "low", "high", "p", "n"]


def summarize_held_out(job: Job) -> None:
    """Gather the scores of one subject; save headline numbers, pairs and families of models, and what was planted."""
    settings = job.options("summarize", SummarizeSettings)
    confidence = job.settings["confidence"]
    ceiling = job.load("ceiling", pd.DataFrame)
    rows, draws, recovered, tables = [], {}, [], {}
    gathered = (job.load_all(suffix, pd.DataFrame) for suffix in ("scores", "profile", "preference", "null"))
    for path, scores, profile, preference, null in zip(job.paths("scores"), *gathered, strict=True):
        entities = entities_of(path)
        names = {"model": entities["model"], "method": entities["method"]}
        chosen = _chosen_layer(profile)
        tables[names["model"], names["method"]] = scores
        draws[names["model"], names["method"]] = null.loc[null["layer"] == chosen, "draw_r"].dropna().to_numpy()
        rows += [names | row for row in _rows(scores, profile, chosen, settings.q)]
        # Depth of a layer: 0 for the first of its network that was read, 1 for the last.
        depths = {name: k for k, name in enumerate(pd.unique(profile["layer"]))}
        best = preference["best" if "best" in preference else "layer"].map(depths).astype(float)  # none of a joint fit
        if "best" in preference and len(depths) == 1:
            preference = preference.iloc[:0]  # nothing was chosen, so there is nothing to compare with what was planted
        recovered.append(preference.assign(**names, depth=best / max(len(depths) - 1, 1)))
    summary = pd.DataFrame(rows)
    job.save("summary", summary, confidence=confidence, q=settings.q)
    n_images = len(load_sidecar(job.paths("draws")[0])["details"]["test_ids"])
    job.save("differences", _differences(summary, draws, n_images, confidence), of="bootstrap over test stimuli")
    families = job.settings["contest"]
    kept = {(entities_of(file)["model"], entities_of(file)["method"]): file for file in job.paths("draws")}
    contest, winners = _contest(families, tables, kept, ceiling, confidence, job.provenance)
    job.save("contest", contest, families=families, confidence=confidence)
    job.save("winners", winners, q="over the reliable targets; p times the number of families")
    responses = job.load("responses", Responses, stored=True)
    recovery = pd.DataFrame({"what": np.empty(0, dtype=str)})
    if job.has("truth"):
        job.provenance.read("truth", job.path("truth"))
        truth = job.path("truth").parent / "truth"
        recovery = _recovery(truth, job.labels["subject"], responses, ceiling, pd.concat(recovered))
    job.save("recovery", recovery)


def _chosen_layer(profile: pd.DataFrame) -> str:
    """Return the layer that predicts best inside the training stimuli; the first where nothing was chosen there."""
    reliable = profile[profile["group"] == statistics.RELIABLE]
    return str(reliable["layer"].iloc[int(reliable["cv_score"].fillna(-np.inf).argmax())])


def _rows(scores: pd.DataFrame, profile: pd.DataFrame, chosen: str, q: float) -> list[dict[str, object]]:
    """Return the headline rows of every layer of one model and method."""
    rows: list[dict[str, object]] = []
    for layer, mine in scores.groupby("layer", sort=False):
        part = profile[(profile["layer"] == layer) & (profile["group"] == statistics.RELIABLE)].iloc[0]
        reliable = mine[mine["reliable"]]
        choice = CHOICE if np.isfinite(part["cv_score"]) else NO_CHOICE
        common = {"split": mine["split"].iloc[0], "layer": layer, "chosen": layer == chosen, "choice": choice}
        above = reliable["r2_normalized"].dropna() > 1
        told = [
            {"quantity": "mean r", "value": part["r"], "low": part["low"], "high": part["high"]}
            | {"null_mean": part["null_mean"], "control": part["control_r"], "p": part["p"], "n": part["n_targets"]},
            {"quantity": "r²/ceiling", "value": reliable["r2_normalized"].mean(), "n": len(reliable)},
            {"quantity": "share above ceiling", "value": above.mean(), "n": len(above)},
            {"quantity": f"share with q < {q:g}", "value": (reliable["q"] < q).mean(), "n": len(reliable)},
            {"quantity": "largest r", "value": mine["r"].max(), "p": mine["p_fwer"].min(), "n": len(mine)},
        ]
        rows += [common | one for one in told]
    return rows


def _differences(
    summary: pd.DataFrame, draws: dict[tuple[str, str], np.ndarray], n_images: int, confidence: float
) -> pd.DataFrame:
    """Return every pair of models, each with the layer that was chosen in training; draws are paired over models.

    A model without a mean r (no target is reliable, or all predictions are constant) is in no pair.
    """
    best = summary[(summary["quantity"] == "mean r") & summary["chosen"]].set_index(["model", "method"])
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    pairs = list(combinations([names for names, values in draws.items() if len(values)], 2))
    if not pairs:
        return pd.DataFrame(columns=DIFFERENCES)
    drawn = np.column_stack([draws[a] - draws[b] for a, b in pairs])
    differences = np.array([float(best["value"][a]) - float(best["value"][b]) for a, b in pairs])
    widening = statistics.interval_widening(np.inf, n_images, confidence)  # Student's t, as p has it
    low, high = differences + widening * (np.quantile(drawn, tails, axis=0) - differences)
    rows = [
        {"model_a": a[0], "model_b": b[0], "method_a": a[1], "method_b": b[1], "n": best["n"][a]}
        | {"layer_a": best["layer"][a], "layer_b": best["layer"][b], "quantity": "mean r"}
        for a, b in pairs
    ]
    p = statistics.paired_differences_p(differences, drawn, n_images)
    return pd.DataFrame(rows).assign(difference=differences, low=low, high=high, p=p)[DIFFERENCES]


def _contest(
    families: dict[str, list[list[str]]],
    scores: dict[tuple[str, str], pd.DataFrame],
    draws: dict[tuple[str, str], Path],
    ceiling: pd.DataFrame,
    confidence: float,
    provenance: Provenance,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the contest of families in every region, and the best family of every reliable target; empty for none."""
    if not families:
        return pd.DataFrame({"region": np.empty(0, dtype=str)}), pd.DataFrame({"target_id": np.empty(0, dtype=str)})
    candidates: list[statistics.Candidate] = []
    kept: dict[str, statistics.RegionDraws] = {}
    for family, fits in families.items():
        for model, method in fits:
            path, name = draws[model, method], f"{model}/{method}"
            kept[name] = statistics.RegionDraws.read(load(path, Arrays, provenance), load_sidecar(path)["details"])
            if not kept[name].regions:
                return _contest({}, {}, {}, ceiling, confidence, provenance)  # no target is reliable
            kept[name].check_same(next(iter(kept.values())), name, next(iter(kept)))
            candidates += _candidates((family, model, method), scores[model, method], kept[name])
    first, level = next(iter(kept.values())), ceiling["ceiling"].to_numpy()
    sizes = {"n_train": first.n_train, "n_test": len(first.test_ids)}
    contest = statistics.family_contest(candidates, first.regions, ceiling=level, confidence=confidence, **sizes)
    winners = statistics.target_winners(candidates, first.regions[statistics.RELIABLE])
    places = winners.pop("target").to_numpy()
    winners.insert(0, "target_id", ceiling["target_id"].to_numpy()[places])
    return contest, winners.assign(ceiling=level[places])


def _candidates(
    fit: tuple[str, str, str], scores: pd.DataFrame, draws: statistics.RegionDraws
) -> list[statistics.Candidate]:
    """Return every layer of a fit (family, model, method): what may represent the family."""
    found = []
    for layer, mine in scores.groupby("layer", sort=False):
        r, p, cv_r = (mine[column].to_numpy(dtype=float) for column in ("r", "p", "cv_r"))
        drawn, null = draws.draws[str(layer)], draws.null[str(layer)]
        found.append(statistics.Candidate(*fit, str(layer), r, p, cv_r, drawn, null))
    return found


def _recovery(
    truth: Path, subject: str, responses: Responses, ceiling: pd.DataFrame, decisions: pd.DataFrame
) -> pd.DataFrame:
    """Tabulate planted beside recovered values: ceilings, and best layers of areas or latencies of layers."""
    layers = pd.read_parquet(truth / "layers.parquet")
    if responses.times is not None:
        sensors = pd.read_parquet(truth / "sensors.parquet")
        mine = sensors[sensors["subject"] == subject]
        mine = mine.assign(key=_moment(mine["time_s"]) + mine["target_id"])
        planted = mine.groupby("key")["ceiling"].first()
        keys = _moment(ceiling["time_s"]) + ceiling["target_id"]
        found = _latencies(layers, decisions)
    else:
        vertices = pd.read_parquet(truth / "vertices.parquet")
        mine = vertices[vertices["subject"] == subject]
        planted = mine.set_index("hemi" + mine["hemi"] + "-" + mine["vertex"].astype(str))["ceiling"]
        targets = responses.targets
        keys = "hemi" + targets["hemi"] + "-" + targets["vertex"].astype(str)
        scenes = pd.read_csv(truth.parent / "stimuli" / "stimuli.tsv", sep="\t")
        found = pd.concat([_layers(mine, layers, decisions), _preferences(mine, responses, scenes)], ignore_index=True)
    values = pd.DataFrame(
        {
            "what": "ceiling",
            "area": keys.to_numpy(),
            "planted": planted.reindex(keys).to_numpy(),
            "ceiling": ceiling["ceiling"].to_numpy(),
        }
    )
    if responses.units == WHITENED:
        values = values.iloc[:0]  # whitening mixes sensors: their ceilings are no longer those that were planted
    return pd.concat([found, values], ignore_index=True)


def _moment(time_s: pd.Series) -> pd.Series:
    """Return times as text, to match them; in whole units of 0.1 ms, because -0.0 and 0.0 read differently."""
    return (time_s * 1e4).round().astype(int).astype(str) + " "


def _layers(vertices: pd.DataFrame, layers: pd.DataFrame, decisions: pd.DataFrame) -> pd.DataFrame:
    """Return a row per area with a planted layer and model; depths run from 0 (first layer) to 1 (last)."""
    planted = vertices[vertices["layer"].fillna("") != ""].groupby("roi")["layer"].first()
    found = decisions[decisions["roi"].isin(planted.index)]
    wanted = found["roi"].map(planted)
    return found[["model", "method", "decided", "reason"]].assign(
        what="layer",
        area=found["roi"],
        planted_layer=wanted,
        recovered_layer=found["best"],
        planted_depth=wanted.map(layers.set_index("layer")["depth"]),
        recovered_depth=found["depth"],
    )


def _preferences(vertices: pd.DataFrame, responses: Responses, scenes: pd.DataFrame) -> pd.DataFrame:
    """Return a row per area with a planted preference: which of all preferences its mean response follows best.

    Nothing is fitted: the correlation over images of the area's mean response with what each preference predicts.
    """
    planted = vertices[vertices["preference"].fillna("") != ""].groupby("roi")["preference"].first()
    averaged = responses.average_repeats()
    wanted = preferences(scenes).reindex(averaged.trials["stimulus_id"])
    roi = responses.targets["roi"].explode()
    areas = [name for name in planted.index if (roi == name).any()]
    means = [averaged.values[:, roi.index[roi == name].to_numpy()].mean(axis=1) for name in areas]
    if not means:
        return pd.DataFrame()
    measured, candidates = np.stack(means), wanted.to_numpy().T

    def correlations(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        # (n_areas, n_preferences)
        return np.asarray(np.corrcoef(measured[:, rows], candidates[:, others])[: len(areas), len(areas) :])

    n, rng = measured.shape[1], np.random.default_rng(0)
    every = np.arange(n)
    drawn = rng.integers(0, n, (N_DRAWS, n))
    table = statistics.layer_preference(
        correlations(every, every),
        np.stack([correlations(drawn[k], drawn[k]) for k in range(N_DRAWS)]),
        np.stack([correlations(every, rng.permutation(n)) for _ in range(N_DRAWS)]),
        areas,
        wanted.columns.astype(str).tolist(),
    )
    return table[["decided", "reason"]].assign(
        what="preference",
        area=table["roi"],
        planted_preference=table["roi"].map(planted),
        recovered_preference=table["best"],
    )


def _latencies(layers: pd.DataFrame, decisions: pd.DataFrame) -> pd.DataFrame:
    """Return a row per layer of the generating network: planted and recovered peak, in ms."""
    both = decisions.merge(layers[["layer", "latency_s"]], on="layer")
    return both[["model", "method", "layer", "decided", "reason"]].assign(
        what="latency",
        planted_ms=1000 * both["latency_s"],
        recovered_ms=1000 * both["peak"],
        low_ms=1000 * both["peak_low"],
        high_ms=1000 * both["peak_high"],
    )
