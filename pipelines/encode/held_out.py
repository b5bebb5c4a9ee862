"""One set of stimuli held out: scores of a fit to the others, with their nulls.

fMRI: a score per vertex, and the mean over each region, by layer. M/EEG: a score per sensor and time, the mean over
sensors by layer and time, clusters and latencies.

A method that fits all layers jointly has one score, of "all layers", and tables of what each layer adds to it. A
method that is trained on tokens is shown beside simpler encoders, with the fields it looks at. One that was trained on
other subjects is given a few images, and a curve shows what more of them would add.
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import encoding
from brainalign.arrays import Arrays, Layers, Responses, StoredArray, flatten_rows
from brainalign.checks import check_columns
from brainalign.config import SHARED_LAYERS, EncodeSettings
from brainalign.datasets import folds_of
from brainalign.devices import pick_device
from brainalign.encoding import in_context, scoring, trained
from brainalign.features import embed_texts
from brainalign.io import brain_maps
from brainalign.regression import DistributedRidge, Ridge, cluster
from brainalign.statistics import RELIABLE, reliable_targets
from brainalign.workflow import Job

# Options of a method that are not its encoder's.
OF_THE_STAGE = (
    *("seeds", "baselines", "cls", "controls", "ensemble", "semantics", "targets"),
    *("n_components", "sizes", "n_repeats", "text_queries"),
)
DICTIONARY = "dictionary"  # ridge, on codes that are learned of each layer
OF_DICTIONARIES = ("coding", "width", "n_active", "epochs")
ALL_LAYERS = "all layers"  # of a joint fit, where others have the name of a layer
IN_MEMORY = 2**30  # bytes of averages up to which they are held, and with them what layers predict of test images

Fits = Iterator[tuple[str, encoding.HeldOut]]


def encode_held_out(job: Job) -> None:
    """Fit every layer to the training images of one subject; save scores of the others, and what explains them."""
    if not job.cluster:
        _encode(job, "")
        return
    with cluster(job.cluster["where"], n_workers=job.cluster["workers"], **job.cluster["options"]) as client:
        _encode(job, client.scheduler_info()["address"])  # of workers that share the fits


def _encode(job: Job, scheduler: str) -> None:
    settings = job.options("encode", EncodeSettings)
    options = dict(job.settings["method"])
    named = options.pop("encoder")
    sparse = {name: options.pop(name) for name in OF_DICTIONARIES} if named == DICTIONARY else {}
    kind = encoding.ENCODERS["ridge" if sparse else named]
    training = {name: options.pop(name) for name in OF_THE_STAGE if name in options}
    encoder = kind(**options, **({"seed": job.seed} if kind is encoding.BandedRidge else {}))
    job.provenance.device = str(pick_device(encoder.device))
    responses = job.load("responses", Responses, stored=True)
    ceilings, threshold = job.load("ceiling", pd.DataFrame), job.settings["ceiling_threshold"]
    layers = job.load("features", Layers, stored=True)
    splits = job.load("splits", pd.DataFrame)
    ((train, test),) = folds_of(splits, responses.trials)
    work = job.outputs["scores"].with_suffix(".partial")  # what a killed job has trained, or shares with workers
    if scheduler:
        encoder = DistributedRidge(**options, scheduler=scheduler, scratch=work)
    # Ridge reads targets by blocks; others hold all.
    averages = work / "averages.npy" if isinstance(encoder, Ridge | encoding.BandedRidge) else None
    responses, train, test = scoring.average_split(responses, train, test, averages, IN_MEMORY * (not scheduler))
    subject = encoding.ImageSubject(
        responses=responses,
        ceiling=ceilings["ceiling"].to_numpy(),
        train=train,
        test=test,
        groups=encoding.target_groups(responses, reliable_targets(ceilings, threshold)),
        n_components=settings.n_components,
        standardize=settings.standardize,
        n_permutations=settings.null_draws,
        n_draws=settings.draws,
        confidence=job.settings["confidence"],
        seed=job.seed,
    )
    side, few = trained.TokenFindings(), None
    quality: list[dict[str, object]] = []  # of dictionaries, by layer
    if sparse:
        dictionaries = scoring.DictionaryStudy(subject=subject, ridge=encoder, starts=training["seeds"], **sparse)
        fits = dictionaries.fits(_inputs(subject, layers, job))
        side.tables, quality = dictionaries.tables, dictionaries.quality
    elif "epochs" in options:
        study = _token_study(subject, layers, training | {"name": named, "encoder": encoder, "checkpoint": work}, job)
        subject = study.subject
        tokens = ((name, features.align_to(responses).values, features.grid) for name, features in layers.items())
        fits = study.fits(tokens, side)
    elif kind is encoding.InContextEncoder:
        few = _few_images(subject, layers, training, options, job)
        subject, fits = few.subject, few.fits(layers)
    else:
        given = _inputs(subject, layers, job)
        if isinstance(encoder, encoding.BandedRidge):
            given = iter([(ALL_LAYERS, [X for _, X in given])])
        fits = ((name, subject.evaluate_in_full(encoder, X)) for name, X in given)
    about = {"split": splits["name"].iloc[0], "alphas": list(getattr(encoder, "alphas", ()))}
    results, profile = _save_scores(fits, subject, about, job)
    _save_layers(results, subject, job)
    _save_parts(results, subject, encoder, list(layers), job)
    _save_beside(profile, subject, side, few, quality, job)
    shutil.rmtree(work, ignore_errors=True)


def _inputs(subject: encoding.ImageSubject, layers: Layers, job: Job) -> Iterator[tuple[str, Any]]:
    """Yield what linear encoders are given of each layer, which stays in its file."""
    maps = job.details("features").get("pooling") in {"flatten", "tokens"}
    for name, features in layers.items():
        yield name, subject.inputs(features.align_to(subject.responses).values, maps=maps)


def _token_study(
    subject: encoding.ImageSubject, layers: Layers, training: dict[str, Any], job: Job
) -> encoding.TokenStudy:
    """Build the study of an encoder that is trained on tokens, with what else it may read of each image."""
    semantics = _semantics(training.pop("semantics", None), layers, subject.responses, job)
    # The CLS token of each trial's image (n_trials, n_channels), by layer; none where it was not asked for.
    whole = {} if training.pop("cls") is None else job.load("cls", Layers)
    cls = {name: features.align_to(subject.responses).values for name, features in whole.items()}
    return encoding.TokenStudy.of(subject, **training, semantics=semantics, cls=cls, progress=_say)


def _few_images(
    subject: encoding.ImageSubject, layers: Layers, training: dict[str, Any], options: dict[str, Any], job: Job
) -> in_context.FewImages:
    """Build the in-context encoding of this subject from a few images, with networks trained on others."""
    arrays, about = job.load("network", Arrays), job.details("network")
    use = {name: options[name] for name in ("fallback", "min_group", "n_checks", "device")}
    asked, queries = job.settings.get("texts", {}), None
    if asked and SHARED_LAYERS.intersection(layers):
        embedded = embed_texts(asked["weights"], asked["queries"])
        queries = in_context.TextQueries(asked["queries"], embedded, SHARED_LAYERS)
    return in_context.FewImages.of(
        subject,
        networks=in_context.pretrained_layers(arrays, about["layers"], **use),
        about=about,
        sizes=training["sizes"],
        n_repeats=training["n_repeats"],
        queries=queries,
    )


def _save_scores(
    fits: Fits, subject: encoding.ImageSubject, about: dict[str, Any], job: Job
) -> tuple[dict[str, encoding.HeldOut], pd.DataFrame]:
    """Fit, save the scores by target, means by group, nulls and clusters; return the evaluations by layer, and means.

    Of the encoders nothing is kept: their weights would fill the memory, layer by layer.
    """
    results: dict[str, encoding.HeldOut] = {}
    scores, profile, clusters = [], [], []
    threshold = job.settings["ceiling_threshold"]
    for name, found in fits:
        table = scoring.score_table(found, subject.responses, subject.ceiling, subject.groups[RELIABLE], threshold)
        scores.append(table.assign(split=about["split"], layer=name))
        if subject.responses.times is not None:
            clusters.append(scoring.score_clusters(found, subject.responses).assign(layer=name))
        profile.append(subject.table({name: found}))
        kept: dict[str, Any] = {"encoder": None, "refitted": None}
        if isinstance(subject.responses.values, StoredArray):  # predictions, too; what was measured is held once
            path = job.outputs["scores"].with_suffix(".partial") / f"predicted{len(results)}.npy"
            kept["predicted"] = StoredArray.create(path, found.predicted.shape, found.predicted.dtype)
            kept["predicted"][...] = found.predicted
            kept["measured"] = next(iter(results.values()), found).measured
        results[name] = replace(found, **kept)
        del found
    responses, images = subject.responses, {}
    if responses.times is None:
        images = brain_maps(responses.targets, np.stack([table["r"].to_numpy() for table in scores]), names=[*results])
    maps, metrics = [f"r, {name}" for name in results], scoring.METRICS
    job.save("scores", pd.concat(scores, ignore_index=True), images, metrics=metrics, maps=maps, alphas=about["alphas"])
    of = "null: permuted test images; draw: bootstrap over them; r: mean over reliable targets"
    job.save("null", scoring.null_table(results), of=of)
    job.save("clusters", pd.concat(clusters or [_empty()], ignore_index=True))
    means = pd.concat(profile, ignore_index=True)
    job.save("profile", means, groups="regions" if responses.times is None else "times in s")
    return results, means


def _save_layers(results: dict[str, encoding.HeldOut], subject: encoding.ImageSubject, job: Job) -> None:
    """Save what compares layers: the best layer or latencies, draws, and halves of the test images."""
    responses, joint, times = subject.responses, ALL_LAYERS in results, subject.responses.times
    decisions = scoring.preference_table(results) if times is None else scoring.latency_table(results, times)
    if joint and times is None:
        decisions = decisions.iloc[:0]  # layers that share a fit do not compete
    job.save("preference", decisions)
    n_train = responses.trials["stimulus_id"].iloc[subject.train].nunique()
    sizes = {"n_draws": subject.n_draws, "n_permutations": subject.n_permutations, "seed": subject.seed}
    regions = subject.groups if times is None else {}  # sensors lie in none
    draws = encoding.layer_draws(results, regions, n_train, **sizes)
    job.save("draws", draws.arrays(), **draws.details())
    halves = encoding.SplitScores(reason="all layers were fitted jointly: none has a score of its own")
    if not joint:
        regions = {name: rows for name, rows in subject.groups.items() if name != RELIABLE}
        halves = encoding.split_scores(results, responses.targets, regions, times, ceiling=subject.ceiling, **sizes)
    job.save("halves", Arrays(halves.arrays), **halves.details)


def _save_parts(
    results: dict[str, encoding.HeldOut], subject: encoding.ImageSubject, encoder: Any, layers: list[str], job: Job
) -> None:
    """Save what each layer adds to a joint fit; of other fits, empty tables."""
    bands, partition, metric = _empty(), _empty(), {}
    parts = results[ALL_LAYERS].partition if ALL_LAYERS in results else None
    if parts is not None:
        bands = scoring.band_table(parts, subject.responses, layers)
        # In the unit of the score.
        limit = np.sqrt(np.maximum(subject.ceiling, 0)) if encoder.metric == "r" else subject.ceiling
        partition = parts.table(subject.groups, layers, limit, subject.confidence, together=ALL_LAYERS)
        metric = {"metric": encoder.metric, "split": scoring.SPLIT}
    job.save("bands", bands, **metric)
    job.save("partition", partition, **metric)


def _save_beside(
    profile: pd.DataFrame,
    subject: encoding.ImageSubject,
    side: trained.TokenFindings,
    few: in_context.FewImages | None,
    quality: list[dict[str, object]],
    job: Job,
) -> None:
    """Save what stands beside trained encoders, and the curve of in-context encoding; of other fits, empty tables."""
    job.save("baselines", pd.concat(side.tables or [_empty()], ignore_index=True), dictionaries=quality)
    ensemble = _empty()
    if side.ensemble is not None:  # the rows of single layers stand beside it
        both = pd.concat([subject.table({trained.ENSEMBLE: side.ensemble}), profile], ignore_index=True)
        ensemble = both.merge(side.weights, how="left")
    job.save("ensemble", ensemble, weights="mean over the targets of a group; layers sum to 1")
    job.save("fields", Arrays(side.fields), layers=side.layers, stimuli=side.stimuli)
    curve, contexts = (_empty(), {}) if few is None else (pd.concat(few.curves, ignore_index=True), few.contexts)
    job.save("curve", curve, **contexts)


def _empty() -> pd.DataFrame:
    """Create an empty table for methods without one."""
    return pd.DataFrame({"layer": np.empty(0, dtype=str)})


def _say(what: str, epochs: int, seed: int, epoch: encoding.Epoch) -> None:
    """Write a line per epoch into the log."""
    print(
        f"{what}, seed {seed}: epoch {epoch.number} of {epochs}, loss {epoch.loss:.4f}, validation r "
        f"{epoch.score:.4f}, {epoch.seconds:.1f} s",
        flush=True,
    )


def _semantics(source: str | None, layers: Layers, responses: Responses, job: Job) -> NDArray[np.floating] | None:
    """Compute the semantics of each trial's image (n_trials, n_semantic): its category, or a model's last layer."""
    if source is None:
        return None
    if source == "classes":
        features = next(iter(layers.values())).align_to(responses)
        remedy = "give the table of images a column category, or name a model"
        check_columns("semantics: classes", features.stimuli, ["category"], remedy)
        return np.asarray(pd.get_dummies(features.stimuli["category"]).to_numpy(dtype=np.float32))
    last = list(job.load("semantics", Layers, stored=True).values())[-1].align_to(responses)
    return np.asarray(flatten_rows(last.values), dtype=np.float32)
