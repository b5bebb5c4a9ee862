"""Folds that leave out runs or stimuli in turn: scores, identification, their nulls, a map."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from nibabel.nifti1 import Nifti1Image

from brainalign import statistics
from brainalign.arrays import Layers, Responses, flatten_rows
from brainalign.config import EncodeSettings
from brainalign.datasets import folds_of
from brainalign.datasets.splits import group_labels
from brainalign.devices import pick_device
from brainalign.encoding import ENCODERS, BandedRidge, Evaluation, evaluate, target_groups
from brainalign.encoding.scoring import Folds, LeftOut, average_repeats, fold_interval, split_folds
from brainalign.features import layer_inputs
from brainalign.io import brain_maps
from brainalign.statistics.classification import TIE
from brainalign.workflow import Job

ALL_LAYERS = "all layers"  # of a joint fit
METRICS = {
    "r": "Pearson r over the trials of a held-out run, or the averages of held-out stimuli; averaged over folds",
    "r2": "coefficient of determination within the fold, averaged over folds",
    "r2_signed": "r times its absolute value",
    "ceiling": "share of the variance of a single trial, or of what was averaged, that repeats (variance units)",
    "r2_normalized": "r2_signed / ceiling, never clipped",
    "alpha": "median over outer folds",
    "p": "one-sided permutation p: stimuli permuted within runs, trials of one together, encoder refitted; where none "
    "that is tested was trained on, alike in all runs, and those of several groups of a test set as wholes",
    "p_fwer": "the same against the maximum over targets",
    "q": "Benjamini-Hochberg over the targets of one layer",
    "reliable": "ceiling above the threshold and repeats alike (F test, q < .05)",
}


def encode_left_out(job: Job) -> None:
    """Fit every layer in every split of one subject; save scores by voxel, identified stimuli, nulls and a map."""
    settings = job.options("encode", EncodeSettings)
    options = dict(job.settings["method"])
    kind = ENCODERS[options.pop("encoder")]
    joint = kind is BandedRidge
    encoder: Any = kind(**options, **({"seed": job.seed} if joint else {}))
    job.provenance.device = str(pick_device(encoder.device))
    responses = job.load("responses", Responses)
    shown, recorded = responses.trials["stimulus_id"].to_numpy(), group_labels(responses.trials, "run").to_numpy()
    trials = responses.values.reshape(len(shown), -1)
    ceilings, splits = job.load("ceiling", pd.DataFrame), job.load("splits", pd.DataFrame)
    layers = job.load("features", Layers, stored=True)
    given: dict[str, Any] = {name: flatten_rows(each.align_to(responses).values) for name, each in layers.items()}
    if joint:
        given = {ALL_LAYERS: list(given.values())}
    of = job.details("features")  # "pooling" of layers, "ids" of one's own vectors: any unit; embeddings have length 1
    scaled = partial(layer_inputs, maps=of.get("pooling") in ("flatten", "tokens"))
    inputs = scaled if {"pooling", "ids"} & {*of} else None
    permuted, alphas = job.settings["permute"], list(getattr(encoder, "alphas", ()))
    names = ("scores", "identification", "null", "profile", "partition")
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in names}
    edges: dict[str, list[float]] = {}
    for split, rule in job.details("splits")["splits"].items():
        folds: Folds = folds_of(splits[splits["name"] == split], responses.trials)
        left_out, limit, n_test = _scored(rule["leave_out"], folds, shown, ceilings["ceiling"].to_numpy())
        reliable = statistics.reliable_targets(ceilings.assign(ceiling=limit), job.settings["ceiling_threshold"])
        kept: Any = slice(None)
        Y, runs = trials, recorded
        if left_out != "run" and n_test > 2:
            kept, Y, folds = _averages(trials, shown, folds)
            runs = np.zeros(len(kept), dtype=int)  # averages are of no run
        stimuli, labels = shown[kept], group_labels(responses.trials, rule["leave_out"]).to_numpy()[kept]
        several = all(len({*labels[train]}) > 1 for train, _ in folds)
        inner = runs if len({*runs}) > 1 else labels if several else stimuli  # inside as outside, where that can be
        tests_several = left_out == "group" and any(len({*labels[test]}) > 1 for _, test in folds)
        exchanged_whole = tests_several and rule["leave_out"] not in ("run", "session")
        regions = target_groups(responses, reliable)
        compared = regions if responses.times is None else {}
        for name, read in given.items():
            X: Any = [np.asarray(each)[kept] for each in read] if joint else np.asarray(read)[kept]
            evaluation = evaluate(
                encoder,
                X,
                Y,
                folds,
                leave_out=left_out,
                stimulus_ids=stimuli,
                runs=runs,
                groups=inner,
                wholes=labels if exchanged_whole else None,
                n_permutations=settings.null_draws if permuted is None or split in permuted else 0,
                good_r=settings.good_r,
                seed=job.seed,
                inputs=inputs,
                target_groups=[*compared.values()],
            )
            z = _standardised(evaluation)
            found = {
                "identification": _identification(evaluation, stimuli, folds, left_out),
                "null": _null(evaluation, z),
                "profile": _profile(evaluation, compared, limit, folds, z[0]),
            }
            if left_out == "run" or n_test > 2:  # two have no r
                found["scores"] = _scores(evaluation, responses, limit, n_test).assign(reliable=reliable)
            for artifact, rows in found.items():
                tables[artifact].append(rows.assign(split=split, layer=name))
            ends = (min(alphas), max(alphas)) if alphas else ()
            edges[f"{split}/{name}"] = [float((evaluation.observed.alpha == alpha).mean()) for alpha in ends]
            if joint:
                bands = dict(zip(layers, X, strict=True))
                within = runs if left_out == "run" else np.zeros(len(runs))
                exchange = statistics.exchange_features(stimuli, within, 1, np.random.default_rng(job.seed))[0]
                how: Any = {"inputs": inputs, "confidence": job.settings["confidence"], "together": ALL_LAYERS}
                table = split_folds(encoder, bands, Y, folds, inner, exchange, regions, limit, **how)
                tables["partition"].append(table.assign(name=split))
    flat = {name: np.asarray(flatten_rows(features.values)) for name, features in layers.items()}
    # A space of full rank tells n stimuli apart in n - 1 dimensions.
    ranks = {name: int(np.linalg.matrix_rank(X - X.mean(axis=0))) for name, X in flat.items()}
    about = {"alpha_at_edge": edges, "alphas": alphas, "good_r": settings.good_r, "rank": ranks}
    _save(job, tables, responses, list(given), about)


def _save(
    job: Job, tables: Mapping[str, list[pd.DataFrame]], responses: Responses, names: list[str], about: Mapping[str, Any]
) -> None:
    """Save the tables of all splits and layers, and a map of r in the first split by layer."""
    nothing = pd.DataFrame({"layer": np.empty(0, dtype=str)})
    whole = {artifact: pd.concat(of or [nothing], ignore_index=True) for artifact, of in tables.items()}
    images = {}
    if responses.times is None:
        first = whole["scores"].drop_duplicates(["layer", "target_id"])  # of the first split
        maps = [first.loc[first["layer"] == name, "r"].to_numpy() for name in names]
        mask = job.load("mask", Nifti1Image) if job.has("mask") else None
        images = brain_maps(responses.targets, np.stack(maps), mask, names)
    job.save("scores", whole["scores"], images, metrics=METRICS, maps=[f"r, {name}" for name in names], **about)
    job.save("identification", whole["identification"])
    job.save("null", whole["null"], good_r=about["good_r"])
    told = {"interval": "over folds that share no test rows", "z": "r in standard deviations over all orders"}
    job.save("profile", whole["profile"], **told)
    job.save("partition", whole["partition"], interval="over folds")


def _averages(trials: np.ndarray, shown: np.ndarray, folds: Folds) -> tuple[np.ndarray, np.ndarray, Folds]:
    """Average the trials of every stimulus; return the first trial of each, the averages, and folds of these.

    Where no test stimulus was trained on, penalties are chosen over stimuli, too. Over runs, all of which hold the
    stimuli that were trained on, they would suit whatever repeats of a response, though features tell a part of it.
    """
    means, (codes, _) = average_repeats(trials, shown), pd.factorize(shown)
    return means.first, means.values, [(np.unique(codes[train]), np.unique(codes[test])) for train, test in folds]


def _scored(rule: str, folds: Folds, stimuli: np.ndarray, ceiling: np.ndarray) -> tuple[LeftOut, np.ndarray, int]:
    """Find what a split leaves out, and of what it scores the ceiling (n_targets,) and the number in a fold."""
    trained_on = any(np.isin(stimuli[test], stimuli[train]).any() for train, test in folds)
    left_out: LeftOut = "stimulus" if rule == "stimulus" else "run" if trained_on else "group"
    if left_out == "run":
        return left_out, ceiling, round(np.mean([len(test) for _, test in folds]))
    repeats = [np.unique(stimuli[test], return_counts=True)[1] for _, test in folds]  # averages are scored
    limit = statistics.noise_ceiling_from_share(ceiling, np.concatenate(repeats))
    return left_out, limit, round(np.mean([len(counts) for counts in repeats]))


def _scores(evaluation: Evaluation, responses: Responses, ceiling: np.ndarray, n_test: int) -> pd.DataFrame:
    observed, null = evaluation.observed, evaluation.null
    r = observed.r[0]
    p = np.full(len(r), np.nan) if null is None else null.p  # NaN where predictions do not vary in some fold
    return responses.target_table().assign(
        r=r,
        r2=observed.r2[0],
        r2_signed=statistics.signed_r2(r),
        ceiling=ceiling,
        r2_normalized=statistics.normalized_r2(r, ceiling),
        alpha=np.median(observed.alpha[0], axis=0),
        p=p,
        p_fwer=np.nan if null is None else statistics.permutation_test(r, null.max_r, "max"),
        q=statistics.fdr(p),
        n_test=n_test,
    )


def _identification(evaluation: Evaluation, stimuli: np.ndarray, folds: Folds, left_out: str) -> pd.DataFrame:
    """Return a row per fold and test item; the item of a held-out pair is written "a|b"."""
    rows = []
    for fold, (_, test) in enumerate(folds):
        names = np.unique(stimuli[test])
        if left_out != "stimulus":
            items, chosen = names, names[evaluation.observed.chosen[0, fold, : len(names)]]
        else:
            i, j = np.triu_indices(len(names), 1)
            items, chosen = names[i] + "|" + names[j], np.full(len(i), "")
        correct = evaluation.observed.correct[0, fold, : len(items)]
        rows.append(pd.DataFrame({"fold": fold, "item": items, "chosen": chosen, "correct": correct}))
    return pd.concat(rows, ignore_index=True)


def _profile(
    evaluation: Evaluation, regions: Mapping[str, np.ndarray], ceiling: np.ndarray, folds: Folds, z: np.ndarray
) -> pd.DataFrame:
    """Return a row per region: mean r of its targets, what its patterns tell apart, 95 % intervals, nulls and p."""
    groups, null = list(regions.values()), evaluation.null
    table = pd.DataFrame({"group": list(regions), "n_targets": [len(rows) for rows in groups]})
    table["ceiling_r"] = statistics.group_means(np.sqrt(np.maximum(ceiling, 0)), groups)
    table["z"] = z
    for name, start in (("group_r", ""), ("group_accuracy", "accuracy_")):
        of_folds = getattr(evaluation.observed, name)[0]
        mean = of_folds.mean(axis=0)
        ends = np.reshape([fold_interval(of, folds, 0.95) for of in of_folds.T], (-1, 2)).T
        columns = {name.removeprefix("group_"): mean, f"{start}low": ends[0], f"{start}high": ends[1]}
        columns |= dict.fromkeys((f"{start}null_mean", f"{start}null_high", f"{start}p"), np.nan)
        if null is not None:
            permuted = getattr(null, name)
            columns[f"{start}null_mean"] = permuted.mean(axis=0)
            columns[f"{start}null_high"] = np.quantile(permuted, 0.95, axis=0)
            columns[f"{start}p"] = statistics.permutation_test(mean - TIE, permuted)
        table = table.assign(**columns)
    return table


def _null(evaluation: Evaluation, z: np.ndarray) -> pd.DataFrame:
    null = evaluation.null
    names = ("accuracy", "share_good", "max_r")
    found = {name: np.empty(0) if null is None else getattr(null, name) for name in names}
    # The last group is of all reliable targets, no region.
    found["max_region_z"] = np.nan_to_num(z[1:, :-1], nan=-np.inf).max(axis=1, initial=-np.inf)
    return pd.DataFrame({"permutation": np.arange(len(found["accuracy"]))} | found)


def _standardised(evaluation: Evaluation) -> np.ndarray:
    """Return z of the mean r of every group, observed and under every permutation (1 + n_permutations, n_groups).

    Over all these orders, the observed among them, which keeps them exchangeable: r of few targets varies most, and
    would be the largest of every permutation.
    """
    observed = evaluation.observed.group_r[0].mean(axis=0)
    every = np.vstack([observed, *([] if evaluation.null is None else [evaluation.null.group_r])])
    spread = every.std(axis=0)
    return (every - every.mean(axis=0)) / np.where(spread > 0, spread, np.nan)
