"""encode_images: fit one method on one model's features for one subject; scores on images held out, with their nulls.

fMRI: a score per vertex, and the mean over each region, by layer. M/EEG: a score per sensor and time, the mean over
sensors by layer and time, clusters and latencies.

A method that fits all layers jointly has one score, of "all layers", and tables of what each layer adds to it. A
method that is trained on tokens is shown beside simpler encoders, with the fields it looks at. One that was trained on
other subjects is given a few images, and a curve shows what more of them would add.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Arrays, Layers, Responses
from brainalign.artifacts import load, load_sidecar, save
from brainalign.checks import BrainalignError
from brainalign.datasets import folds_of
from brainalign.devices import pick_device
from brainalign.encoding import (
    ENCODERS,
    ENSEMBLE,
    BandedRidge,
    Epoch,
    HeldOut,
    InContextEncoder,
    Partition,
    PretrainedLayer,
    SeedEnsemble,
    SplitScores,
    TokenFindings,
    TokenStudy,
    evaluate_held_out,
    score_context,
    score_predictions,
    split_scores,
    text_preferences,
)
from brainalign.features import PCA, embed_texts
from brainalign.pipelines import run_stage, stage_parser
from brainalign.provenance import Provenance
from brainalign.settings import SHARED_LAYERS, EncodeImagesSettings, parse
from brainalign.statistics import (
    Latency,
    RegionDraws,
    cluster_permutation,
    fdr,
    group_means,
    layer_preference,
    normalized_r2,
    permutation_test,
    region_draws,
    score_latency,
)

# Options of a method that are not its encoder's.
OF_THE_STAGE = (
    *("seeds", "baselines", "cls", "controls", "ensemble", "semantics", "targets"),
    *("n_components", "sizes", "n_repeats", "text_queries"),
)
METRICS = {
    "r": "Pearson r over test images, responses averaged over repeats",
    "r2": "coefficient of determination over the same",
    "r2_signed": "r times its absolute value",
    "ceiling": "share of the variance of these averages that repeats (variance units, unclamped)",
    "r2_normalized": "r2_signed / ceiling, never clipped",
    "p": "one-sided permutation p: predictions exchanged between test images",
    "p_fwer": "the same against the maximum over targets",
    "q": "Benjamini-Hochberg over the reliable targets of one layer; the others are not tested",
    "control_r": "r after a refit on training responses exchanged between images",
    "cv_r": "r inside the training images; where folds were scored by R², the square root of what is above 0",
}
N_MAPS = 200  # permuted maps that cluster tests see
N_NEIGHBOURS = 6  # of a sensor
TOTAL_VARIANCE = 1000.0  # of a standardised layer
RELIABLE = "reliable targets"
ALL_LAYERS = "all layers"  # of a joint fit, where others have the name of a layer
SPLIT = "what a layer adds to the joint score (product measure: layers sum to it; negative where they correlate)"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("encode_images", __doc__)
    parser.add_argument("--responses", type=Path, required=True)
    parser.add_argument("--splits", type=Path, required=True)
    parser.add_argument("--ceiling", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True, help="output")
    parser.add_argument("--null", type=Path, required=True, help="output")
    parser.add_argument("--profile", type=Path, required=True, help="output: means by region, or by time, and layer")
    parser.add_argument("--preference", type=Path, required=True, help="output: best layers, or latencies of layers")
    parser.add_argument("--clusters", type=Path, required=True, help="output")
    parser.add_argument("--bands", type=Path, required=True, help="output of joint fits: what layers add, per target")
    parser.add_argument(
        "--partition", type=Path, required=True, help="output of joint fits: the same by region or time"
    )
    parser.add_argument("--draws", type=Path, required=True, help="output: draws of every region's reliable targets")
    parser.add_argument("--semantics", type=Path, help="features that say what an image shows, for encoders that ask")
    parser.add_argument("--cls", type=Path, help="the CLS token of every layer, for ridge beside trained encoders")
    parser.add_argument("--baselines", type=Path, required=True, help="output of trained encoders: others beside them")
    parser.add_argument("--ensemble", type=Path, required=True, help="output of trained encoders: all layers as one")
    parser.add_argument("--halves", type=Path, required=True, help="output: what convergence scores are made of")
    parser.add_argument("--fields", type=Path, required=True, help="output of trained encoders: where they look")
    parser.add_argument("--network", type=Path, help="what in-context encoding learned from other subjects")
    parser.add_argument("--curve", type=Path, required=True, help="output of in-context encoding: scores by images")
    return run_stage(parser, _encode, argv, uses_gpu=lambda a: a.settings["method"]["device"] != "cpu")


def _encode(arguments: argparse.Namespace, provenance: Provenance) -> None:
    settings = parse(EncodeImagesSettings, arguments.settings["encode"], "encode_images")
    options = dict(arguments.settings["method"])
    named = options.pop("encoder")
    kind = ENCODERS[named]
    joint, trained, few = kind is BandedRidge, "epochs" in options, kind is InContextEncoder
    training = {name: options.pop(name) for name in OF_THE_STAGE if name in options}
    encoder = kind(**options, **({"seed": arguments.seed} if joint else {}))
    provenance.device = str(pick_device(encoder.device))
    responses = load(arguments.responses, Responses, provenance)
    ceiling = load(arguments.ceiling, pd.DataFrame, provenance)["ceiling"].to_numpy()
    layers = load(arguments.features, Layers, provenance)
    maps = load_sidecar(arguments.features)["details"].get("pooling") in {"flatten", "tokens"}
    splits = load(arguments.splits, pd.DataFrame, provenance)
    split = splits["name"].iloc[0]
    ((train, test),) = folds_of(splits, responses.trials)
    groups = target_groups(responses)
    # Without repeats there is no ceiling to choose by, and every target counts.
    known = np.isfinite(ceiling).any()
    groups[RELIABLE] = np.flatnonzero(np.nan_to_num(ceiling) > settings.ceiling_threshold if known else ceiling != 0)
    evaluate = partial(
        evaluate_held_out,
        Y=responses.values,
        train=train,
        test=test,
        stimulus_ids=responses.trials["stimulus_id"].to_numpy(),
        n_boot=settings.draws,
        target_groups=groups,
        seed=arguments.seed,
    )
    in_full = partial(
        evaluate,
        n_permutations=settings.permutations,
        n_maps=min(N_MAPS, settings.permutations) if responses.times is not None else 0,
        control="refit",
    )
    confidence = arguments.settings["confidence"]
    side = TokenFindings()
    if trained:
        work = arguments.scores.with_suffix(".partial")  # what a killed job has trained
        semantics = _semantics(training.get("semantics"), arguments.semantics, layers, responses, provenance)
        study = _study(
            responses,
            groups,
            training,
            name=named,
            encoder=encoder,
            train=train,
            semantics=semantics,
            cls=_cls_tokens(training["cls"], arguments.cls, responses, provenance),
            scaled=partial(_inputs, train=train, settings=settings),
            evaluate=evaluate,
            evaluate_in_full=in_full,
            score=partial(
                score_predictions,
                n_permutations=settings.permutations,
                n_boot=settings.draws,
                seed=arguments.seed,
            ),
            confidence=confidence,
            checkpoint=work,
            progress=_say,
        )
        groups = dict(study.groups)
        tokens = ((name, features.align_to(responses).values, features.grid) for name, features in layers.items())
        fits = study.fits(tokens, side)
    elif few:
        network = _Networks.read(arguments.network, options, provenance)
        rows, asked = (train, test), arguments.settings.get("texts", {})
        scorer = _FewImages(network, training, responses, groups, ceiling, rows, confidence, arguments.seed, asked)
        groups = scorer.groups
        fits = scorer.fits(layers, in_full)
    else:
        prepared = (
            (name, _inputs(features.align_to(responses).values, train, settings, maps))
            for name, features in layers.items()
        )
        several = [(ALL_LAYERS, [X for _, X in prepared])] if joint else prepared
        fits = ((name, in_full(encoder, X)) for name, X in several)
    results: dict[str, HeldOut] = {}
    scores, clusters = [], []
    for name, found in fits:
        scores.append(_scores(found, responses, ceiling, groups[RELIABLE]).assign(split=split, layer=name))
        if responses.times is not None:
            clusters.append(_clusters(found, responses, settings.cluster_quantile).assign(layer=name))
        results[name] = replace(found, refitted=None)
    profile = pd.concat(
        [_profile(found, groups, ceiling, confidence).assign(layer=name) for name, found in results.items()],
        ignore_index=True,
    )
    decisions = _preference(results) if responses.times is None else _latencies(results, responses.times)
    if joint and responses.times is None:
        decisions = decisions.iloc[:0]  # layers that share a fit do not compete
    alphas = list(getattr(encoder, "alphas", ()))
    save(arguments.scores, pd.concat(scores, ignore_index=True), provenance, metrics=METRICS, alphas=alphas)
    save(
        arguments.null,
        _null(results),
        provenance,
        of="null: permuted test images; draw: bootstrap over them; r: mean over reliable targets",
    )
    save(arguments.profile, profile, provenance, groups="regions" if responses.times is None else "times in s")
    save(arguments.preference, decisions, provenance)
    empty = pd.DataFrame({"layer": np.empty(0, dtype=str)})
    save(arguments.clusters, pd.concat(clusters, ignore_index=True) if clusters else empty, provenance)
    metric = {"metric": encoder.metric, "split": SPLIT} if joint else {}
    bands, partition = empty, empty
    parts = results[ALL_LAYERS].partition if joint else None
    if parts is not None:
        bands = _bands(parts, responses, list(layers))
        limit = np.sqrt(np.maximum(ceiling, 0)) if encoder.metric == "r" else ceiling  # in the unit of the score
        partition = parts.table(groups, list(layers), limit, confidence, together=ALL_LAYERS)
    save(arguments.bands, bands, provenance, **metric)
    save(arguments.partition, partition, provenance, **metric)
    n_train = responses.trials["stimulus_id"].iloc[train].nunique()
    regions = groups if responses.times is None else {}  # sensors lie in none
    draws = _draws(results, regions, n_train, settings, arguments.seed)
    save(arguments.draws, draws.arrays(), provenance, **draws.details())
    save(arguments.baselines, pd.concat(side.tables, ignore_index=True) if trained else empty, provenance)
    ensemble = empty
    if side.ensemble is not None:  # the rows of single layers stand beside it
        together = _profile(side.ensemble, groups, ceiling, confidence).assign(layer=ENSEMBLE)
        ensemble = pd.concat([together, profile], ignore_index=True).merge(side.weights, how="left")
    save(arguments.ensemble, ensemble, provenance, weights="mean over the targets of a group; layers sum to 1")
    halves = SplitScores(reason="all layers were fitted jointly: none has a score of its own")
    if not joint:
        halves = split_scores(
            results,
            responses.targets,
            {name: rows for name, rows in groups.items() if name != RELIABLE},
            responses.times,
            ceiling=ceiling,
            n_permutations=settings.permutations,
            n_draws=settings.draws,
            seed=arguments.seed,
        )
    save(arguments.halves, Arrays(halves.arrays), provenance, **halves.details)
    save(arguments.fields, Arrays(side.fields), provenance, layers=side.layers, stimuli=side.stimuli)
    curve, contexts = (pd.concat(scorer.curves, ignore_index=True), scorer.contexts) if few else (empty, {})
    save(arguments.curve, curve, provenance, **contexts)
    if trained:
        shutil.rmtree(work, ignore_errors=True)


def _inputs(
    values: NDArray[np.floating], train: NDArray[np.intp], settings: EncodeImagesSettings, maps: bool
) -> NDArray[np.floating]:
    """Return features (n_trials, n_features), centred on the training rows; every layer has the same total variance.

    Layers of 20 and of 20,000 features then need the same penalties, and no layer wins by its scale. Pooled features
    are z-scored one by one; places of a map keep their own variance, which is next to 0 at empty borders.
    """
    flat = values.reshape(len(values), -1)
    if settings.n_components is not None and settings.n_components < flat.shape[1]:
        flat = PCA(settings.n_components).fit(flat, rows=train).transform(flat)
        maps = True  # components keep their own variance too
    if not settings.standardize:
        return flat
    flat = flat - flat[train].mean(axis=0)
    if not maps:
        spread = flat[train].std(axis=0)
        flat *= np.where(spread > 1e-6 * spread.max(), 1 / np.where(spread > 0, spread, 1), 0)
    total = float(np.square(flat[train]).sum(axis=1).mean())
    return np.asarray(flat * np.sqrt(TOTAL_VARIANCE / total) if total else flat, dtype=np.float32)


def _study(
    responses: Responses, groups: dict[str, NDArray[np.intp]], training: dict[str, Any], **known: Any
) -> TokenStudy:
    """Return what trains an encoder on tokens: of the reliable targets, where there are some and it wants no others."""
    timed, reliable = responses.times is not None, groups[RELIABLE]
    some = training["targets"] == "reliable" and not timed and len(reliable)
    targets = reliable if some else np.arange(responses.values[0].size)
    hemispheres = responses.targets["hemi"].to_numpy(dtype=str) if "hemi" in responses.targets else None
    return TokenStudy(
        seeds=training["seeds"],
        baselines=training["baselines"],
        controls=training.get("controls", ()),
        ensemble=training["ensemble"],
        Y=responses.values,
        stimulus_ids=responses.trials["stimulus_id"].to_numpy(),
        targets=targets,
        groups={name: np.intersect1d(rows, targets) for name, rows in groups.items()},
        regions=[] if timed else [name for name in groups if name != RELIABLE],
        shown=[RELIABLE] if timed else list(groups),
        hemispheres=None if hemispheres is None else np.repeat(hemispheres, responses.values[0, 0].size),
        **known,
    )


@dataclass(frozen=True)
class _Networks:
    """What in-context encoding learned from other subjects, by layer, and what is said of it."""

    layers: dict[str, PretrainedLayer]
    about: dict[str, Any]

    @classmethod
    def read(cls, path: Path | None, options: dict[str, Any], provenance: Provenance) -> _Networks:
        """Read the artifact of the pretrain stage."""
        if path is None:
            raise BrainalignError("in-context encoding reads pre-trained networks; give the artifact with --network")
        arrays, about = load(path, Arrays, provenance), load_sidecar(path)["details"]
        use = {name: options[name] for name in ("fallback", "min_group", "n_checks", "device")}
        found = {}
        for layer in about["layers"]:
            mine = {name.removeprefix(f"{layer}/"): a for name, a in arrays.items() if name.startswith(f"{layer}/")}
            found[layer] = PretrainedLayer.from_arrays(mine, **use)
        return cls(found, about)


@dataclass
class _FewImages:
    """Read weights off a few images of this subject, with networks that were trained on others."""

    networks: _Networks
    options: dict[str, Any]
    responses: Responses
    groups: dict[str, NDArray[np.intp]]
    ceiling: NDArray[np.floating]
    rows: tuple[NDArray[np.intp], NDArray[np.intp]]  # train, test
    confidence: float
    seed: int
    asked: dict[str, Any]  # texts, and the weights of the model that reads them
    curves: list[pd.DataFrame] = field(default_factory=list)  # by layer, once fitted
    contexts: dict[str, Any] = field(default_factory=dict)  # what the networks learned from, and where ridge is taken

    def __post_init__(self) -> None:
        """Choose the targets: the reliable ones, all where there are none; all groups are of these alone."""
        if self.responses.times is not None:
            raise BrainalignError("in-context encoding reads the weights of voxels; responses over time have none")
        shown = self.responses.values[self.rows[0]]
        varying = np.flatnonzero(shown.min(axis=0) < shown.max(axis=0))
        reliable = np.intersect1d(self.groups[RELIABLE], varying)
        self.targets = reliable if len(reliable) else varying
        self.groups = {name: np.intersect1d(rows, self.targets) for name, rows in self.groups.items()}

    def fits(self, layers: Layers, in_full: Callable[..., HeldOut]) -> Iterator[tuple[str, HeldOut]]:
        """Yield the evaluation of each layer, and keep its curve and decisions."""
        about = self.networks.about
        self.contexts = {"layers": {}, "subjects": about["subjects"], "n_images": about["n_images"]}
        for layer, features in layers.items():
            if layer not in self.networks.layers:
                raise BrainalignError(
                    f"no network was trained for layer {layer!r}, but for {', '.join(self.networks.layers)}; run "
                    "pretrain again"
                )
            found = score_context(
                self.networks.layers[layer],
                features.align_to(self.responses).values,
                self.responses.values,
                self.responses.trials["stimulus_id"].to_numpy(),
                *self.rows,
                evaluate=partial(in_full, target_groups=self.groups),
                targets=self.targets,
                groups=self.groups,
                roi=self._regions(),
                ceiling=self.ceiling,
                sizes=self.options["sizes"],
                n_repeats=self.options["n_repeats"],
                confidence=self.confidence,
                seed=self.seed,
            )
            self.curves.append(found.curve.assign(layer=layer))
            decided = {"fallbacks": found.fallbacks.to_dict("records"), "seed_r": found.seed_r}
            self.contexts["layers"][layer] = (
                about["layers"][layer]
                | decided
                | {
                    "n_context": len(found.context[0]),
                    "texts": self._texts(layer, *found.context),
                }
            )
            yield layer, found.held_out

    def _texts(self, layer: str, X: NDArray[np.floating], Y: NDArray[np.floating]) -> list[dict[str, Any]]:
        """Return which of the texts that were asked about move which region, where the layer is shared with texts."""
        if not self.asked or layer not in SHARED_LAYERS:
            return []
        queries = self.asked["queries"]
        texts = embed_texts(self.asked["weights"], queries)
        inside = {name: np.searchsorted(self.targets, rows) for name, rows in self.groups.items()}
        network = self.networks.layers[layer]
        table = text_preferences(network, X, Y, texts, queries, inside, roi=self._regions(), seed=self.seed)
        return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]

    def _regions(self) -> NDArray[np.str_]:
        """Return a label per chosen target: the first region that it lies in."""
        labels = np.full(len(self.responses.targets), "in no region", dtype=object)
        for name, rows in reversed(self.groups.items()):
            if name != RELIABLE:
                labels[rows] = name
        return labels[self.targets].astype(str)


def _say(what: str, epochs: int, seed: int, epoch: Epoch) -> None:
    """Write a line per epoch into the log."""
    print(
        f"{what}, seed {seed}: epoch {epoch.number} of {epochs}, loss {epoch.loss:.4f}, validation r "
        f"{epoch.score:.4f}, {epoch.seconds:.1f} s",
        flush=True,
    )


def _semantics(
    source: str | None, path: Path | None, layers: Layers, responses: Responses, provenance: Provenance
) -> NDArray[np.floating] | None:
    """Return what the image of each trial shows (n_trials, n_semantic): its category, or a model's last layer."""
    if source is None:
        return None
    if source == "classes":
        features = next(iter(layers.values())).align_to(responses)
        if "category" not in features.stimuli:
            raise BrainalignError(
                "semantics: classes needs a column category in the table of images; add one, or name a model"
            )
        return np.asarray(pd.get_dummies(features.stimuli["category"]).to_numpy(dtype=np.float32))
    if path is None:
        raise BrainalignError(f"semantics are to come from {source}; give its features with --semantics")
    last = list(load(path, Layers, provenance).values())[-1].align_to(responses)
    return np.asarray(last.values.reshape(len(last.values), -1), dtype=np.float32)


def _cls_tokens(
    source: str | None, path: Path | None, responses: Responses, provenance: Provenance
) -> dict[str, NDArray[np.floating]]:
    """Return the CLS token of each trial's image (n_trials, n_channels), by layer; none where it was not asked for."""
    if source is None:
        return {}
    if path is None:
        raise BrainalignError(f"CLS tokens are to come from {source}; give its features with --cls")
    layers = load(path, Layers, provenance)
    return {name: features.align_to(responses).values for name, features in layers.items()}


def target_groups(responses: Responses) -> dict[str, NDArray[np.intp]]:
    """Return the targets whose scores are averaged: of each region; for M/EEG, all sensors at each time."""
    if responses.times is not None:
        flat = np.arange(responses.values[0].size).reshape(responses.values.shape[1:])
        return {f"{time:.4f}": flat[:, k] for k, time in enumerate(responses.times)}
    exploded = responses.targets["roi"].explode().dropna()
    groups = {str(roi): np.asarray(rows, dtype=np.intp) for roi, rows in exploded.groupby(exploded).groups.items()}
    return groups


def _columns(responses: Responses) -> dict[str, NDArray[Any]]:
    """Return what names every score: the target, and the time where there is one."""
    targets = responses.targets["target_id"].to_numpy()
    if responses.times is None:
        return {"target_id": targets}
    return {"target_id": np.repeat(targets, len(responses.times)), "time_s": np.tile(responses.times, len(targets))}


def _scores(
    found: HeldOut, responses: Responses, ceiling: NDArray[np.floating], reliable: NDArray[np.intp]
) -> pd.DataFrame:
    table = _columns(responses)
    values = {
        "r": found.r,
        "r2": found.r2,
        "r2_signed": found.r2_signed,
        "ceiling": ceiling,
        "r2_normalized": normalized_r2(found.r, ceiling),
        "alpha": np.broadcast_to(getattr(found.encoder, "alpha_", np.nan), found.r.shape),
        "p": found.p,
        "p_fwer": found.p_fwer,
        "q": _over(reliable, found.p),
        "control_r": found.control_r,
        "cv_r": _inner(found, as_r=True),
    }
    compact = {name: np.asarray(value, dtype=np.float32) for name, value in values.items()}
    return pd.DataFrame(table | compact | {"n_test": len(found.test_ids)})


def _over(reliable: NDArray[np.intp], p: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return q over the reliable targets.

    Whether a target repeats is independent of whether features predict it under the null, so choosing targets by their
    ceiling leaves the false discovery rate as it is, and a few hundred permutations suffice.
    """
    q = np.full(len(p), np.nan)
    q[reliable] = fdr(p[reliable])
    return q


def _profile(
    found: HeldOut, groups: dict[str, NDArray[np.intp]], ceiling: NDArray[np.floating], confidence: float
) -> pd.DataFrame:
    """Return a row per group: mean r with standard error and interval over test images, its null, the refit control.

    `cv_score` is the score inside the training images: what a layer may be chosen by.
    """
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(found.group_draws, tails, axis=0)
    r, null = found.group_r, found.group_null
    # Corrected for the choice among groups: the largest group of every permutation. One without a score has no null.
    largest = null[:, ~np.isnan(r)].max(axis=1, initial=-1)
    return pd.DataFrame(
        {
            "group": found.groups,
            "r": r,
            "se": found.group_draws.std(axis=0, ddof=1),
            "low": low,
            "high": high,
            "null_mean": null.mean(axis=0),
            "null_low": np.quantile(null, tails[0], axis=0),
            "null_high": np.quantile(null, tails[1], axis=0),
            "p": permutation_test(r, null),
            "p_fwer": permutation_test(r, largest, correct="max"),
            "control_r": found.control_group_r,
            "ceiling_r": [float(np.sqrt(np.maximum(ceiling[rows], 0)).mean()) for rows in groups.values()],
            "cv_score": group_means(_inner(found), list(groups.values())),
            "n_targets": [len(rows) for rows in groups.values()],
        }
    )


def _inner(found: HeldOut, *, as_r: bool = False) -> NDArray[np.floating]:
    """Return the score inside the training images (n_targets,); NaN where a single penalty left nothing to score."""
    inner = np.full((1, len(found.r)), np.nan)
    squared = False
    if isinstance(found.encoder, SeedEnsemble):
        inner = found.encoder.validation_r_[None]
    elif hasattr(found.encoder, "cv_scores_"):
        inner = np.asarray(found.encoder.cv_scores_)
        squared = getattr(found.encoder, "metric", "r") == "r2"
    best = np.nan_to_num(inner, nan=-np.inf).max(axis=0)
    inside = np.where(np.isfinite(best), best, np.nan)
    return np.sqrt(np.maximum(inside, 0)) if as_r and squared else inside


def _draws(
    results: dict[str, HeldOut],
    groups: dict[str, NDArray[np.intp]],
    n_train: int,
    settings: EncodeImagesSettings,
    seed: int,
) -> RegionDraws:
    """Return draws and null of every region's reliable targets: the ones that all encoders are scored on."""
    regions = {name: np.intersect1d(rows, groups[RELIABLE]) for name, rows in groups.items()}
    regions = {name: rows for name, rows in regions.items() if len(rows)}
    sizes = {"n_draws": settings.draws, "n_permutations": settings.permutations, "seed": seed}
    draws, null = {}, {}
    for layer, found in results.items() if regions else ():
        draws[layer], null[layer] = region_draws(found.predicted, found.measured, regions, **sizes)
    test_ids = next(iter(results.values())).test_ids.tolist()
    return RegionDraws(regions, draws, null, test_ids, n_train)


def _bands(parts: Partition, responses: Responses, layers: list[str]) -> pd.DataFrame:
    """Return a row per target and layer: what the layer adds, the same after the refit control, and its share."""
    tables = []
    for k, layer in enumerate(layers):
        values = {"split": parts.split[k], "delta": parts.deltas[k]}
        if parts.control_split is not None:
            values["control_split"] = parts.control_split[k]
        compact = {name: np.asarray(value, dtype=np.float32) for name, value in values.items()}
        tables.append(pd.DataFrame(_columns(responses) | compact).assign(layer=layer))
    return pd.concat(tables, ignore_index=True)


def _preference(results: dict[str, HeldOut]) -> pd.DataFrame:
    """Return the best layer of every region."""
    names = next(iter(results.values())).groups
    rois = [k for k, name in enumerate(names) if name != RELIABLE] or [0]
    return layer_preference(
        np.stack([found.group_r[rois] for found in results.values()], axis=-1),
        np.stack([found.group_draws[:, rois] for found in results.values()], axis=-1),
        np.stack([found.group_null[:, rois] for found in results.values()], axis=-1),
        [names[k] for k in rois],
        list(results),
    )


def _latencies(results: dict[str, HeldOut], times: NDArray[np.floating]) -> pd.DataFrame:
    """Return peak and onset of every layer after the stimulus."""
    rows = []
    for layer, found in results.items():
        n = len(times)  # the groups are the times, then the reliable targets
        row: dict[str, Any] = dict.fromkeys((entry.name for entry in fields(Latency)), np.nan)
        row |= {"decided": False, "reason": "no score: predictions or responses are constant"}
        if np.isfinite(found.group_r[:n]).all():
            row = vars(
                score_latency(
                    found.group_r[:n], found.group_draws[:, :n], found.group_null[:, :n], times, window=(0.0, np.inf)
                )
            )
        rows.append({"layer": layer} | row)
    return pd.DataFrame(rows)


def _clusters(found: HeldOut, responses: Responses, quantile: float) -> pd.DataFrame:
    shape = responses.values.shape[1:]
    test = cluster_permutation(
        np.nan_to_num(found.r).reshape(shape),
        found.null_maps,
        sensor_adjacency(responses),
        threshold=quantile,
        kind="quantile",
        times=responses.times,
    )
    return test.table(responses.targets["target_id"].tolist())


def sensor_adjacency(responses: Responses) -> Any:
    """Return which sensors are neighbours: the nearest ones, and those that call this one near; types apart.

    Nearest places rather than triangles, because the two gradiometers of a place coincide.
    """
    from scipy.sparse import lil_array
    from sklearn.neighbors import kneighbors_graph

    places = responses.targets[["x_mm", "y_mm", "z_mm"]]
    adjacency = lil_array((len(places), len(places)), dtype=bool)
    if places.isna().any(axis=None):
        return adjacency.tocsr()  # without positions none are neighbours: clusters run over time only
    for kind in pd.unique(responses.targets["sensor_type"]):
        rows = np.flatnonzero(responses.targets["sensor_type"] == kind)
        n_neighbours = min(N_NEIGHBOURS, len(rows) - 1)
        if n_neighbours > 0:
            near = kneighbors_graph(places.to_numpy()[rows], n_neighbours).toarray().astype(bool)
            adjacency[np.ix_(rows, rows)] = near | near.T
    return adjacency.tocsr()


def _null(results: dict[str, HeldOut]) -> pd.DataFrame:
    """Return per layer: largest r of any target and mean r of the reliable ones under permutation; its bootstrap."""
    tables = []
    for layer, found in results.items():
        k = found.groups.index(RELIABLE)
        columns = {"null_r": found.group_null[:, k], "draw_r": found.group_draws[:, k]}
        if found.null is not None:
            columns["null_max_r"] = found.null.max_r
        table = pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})
        tables.append(table.assign(layer=layer, number=np.arange(len(table))))
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    raise SystemExit(main())
