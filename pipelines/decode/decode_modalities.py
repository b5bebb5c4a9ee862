"""decode_modalities: EEG, MEG and fMRI in one space with the images, beside ridge, single networks and nulls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from brainalign import decoding
from brainalign.arrays import Arrays, Layers, Values, take_rows
from brainalign.checks import BrainalignError, check_choice, listed
from brainalign.condensed import exchanged_rdms
from brainalign.config import DecodeModalitiesSettings
from brainalign.datasets.formats import fit_whitener
from brainalign.datasets.studies import check_modality_splits
from brainalign.decoding.shared_space import KINDS, space_patterns
from brainalign.geometry import compare, rdm
from brainalign.geometry.rdms import rank_rdms
from brainalign.statistics import permutation_test
from brainalign.workflow import Job

Parts = dict[str, decoding.Trials]
CONTROL_KINDS = ("image", "modalities", "fused")


def decode_modalities(job: Job) -> None:
    """Put modalities and images into one space, and retrieve images from it beside ridge and nulls."""
    options = job.options("decode_modalities", DecodeModalitiesSettings)
    single, properties = _read(job, options)
    splits: dict[str, Parts] = {}
    for split in ("train", "val", "test"):
        parts = {name: trials.select((trials.meta["split"] == split).to_numpy()) for name, trials in single.items()}
        splits[split] = {name: part for name, part in parts.items() if len(part.meta)}
    train, val, test = ({name: part.averaged() for name, part in splits[split].items()} for split in splits)

    def make(**changed: Any) -> decoding.SharedSpace:
        given = {name: value for name, value in options if name in decoding.SharedSpace().get_params()}
        return decoding.SharedSpace(**(given | {"seed": job.seed} | changed))

    space = make().fit(train, val or None)
    found = {"joint": decoding.embed_all(space, test)}
    found["ridge"] = decoding.independent_ridges(train, test, options.penalty)
    found |= _beside(options.beside, make, train, val, test, job.seed)
    found["noise at test"] = decoding.embed_all(space, decoding.null_trials(test, "noise", job.seed + 1))
    drawn: dict[str, Any] = {"n_permutations": options.permutations, "seed": job.seed}
    drawn["confidence"] = job.settings["confidence"]
    tables = []
    for name, embeddings in found.items():
        kinds = KINDS if name in ("joint", "ridge", "unimodal") else CONTROL_KINDS
        tables.append(decoding.space_retrieval(embeddings, test, kinds=kinds, **drawn).assign(decoder=name))
    if properties is not None:
        tables.append(_low_level(properties, train, test, options.penalty, **drawn))
    found["mean layer"] = decoding.without_own_layers(space, test)
    about = {
        "n_train": {name: len(part.distinct().meta) for name, part in train.items()},
        "train_repeats": {name: float(part.meta["n_averaged"].mean()) for name, part in train.items()},
        "test_repeats": {name: float(part.meta["n_averaged"].mean()) for name, part in test.items()},
        "n_test": {name: len(part.distinct().meta) for name, part in test.items()},
        "subjects": {name: sorted(set(part.meta["subject"])) for name, part in train.items()},
        "unknown": {name: space.unknown(name, part.meta["subject"]) for name, part in test.items()},
        "constant": {name: scale.constant() for name, scale in space.scales_.items()},
        "loss": {name: float(history.losses[-50:].mean()) for name, history in space.history_.items()},
        "steps": {name: len(history.losses) for name, history in space.history_.items()},
        "converged": {name: history.converged for name, history in space.history_.items()},
        "blend": space.blend_,
        "penalty": space.penalty_,
        "chosen": {name: history.chosen for name, history in space.history_.items()},
        "validated": any(len(history.validated) for history in space.history_.values()),
        "has_val": bool(val),
        "n_dimensions": space.n_dimensions_,
        "weights": job.outputs["weights"].name,
        "permutations": options.permutations,
    }
    job.save("spaceretrieval", pd.concat(tables, ignore_index=True), **about)
    job.save("spacechanges", _changes(found, test), measure="2-way")
    job.save("spacecurve", _curves(space, splits["test"], options, job.seed))
    fused, ids = decoding.fused_embedding(found["joint"], test)
    job.save("spacegeometry", _geometry(found, test, options.permutations, job.seed))
    arrays: dict[str, Any] = {"fused": fused}
    arrays |= {name: np.asarray(values) for name, values in found["joint"].items()}
    shapes = "fused (n_stimuli, n_dimensions); <modality> (n_trials, n_dimensions), test trials, repeats averaged"
    rows = {name: part.meta[["subject", "stimulus_id"]].to_numpy().tolist() for name, part in test.items()}
    job.save("sharedspace", Arrays(arrays), stimuli=ids.tolist(), trials=rows, shapes=shapes)
    space.save(job.outputs["weights"])


def _read(job: Job, options: DecodeModalitiesSettings) -> tuple[Parts, pd.DataFrame | None]:
    """Return single trials of every modality, whitened where asked, and properties of images by id where known."""
    arrays = job.load("modalities", Arrays)
    trials = job.load("modalitytrials", pd.DataFrame)
    stimuli = job.load("modalitystimuli", pd.DataFrame)
    if "image vectors" in arrays:
        vectors: Values = np.asarray(arrays["image vectors"], dtype=np.float64)
    elif job.has("features"):
        vectors = _of_model(job.load("features", Layers, stored=True), options.layer, stimuli)
        check_modality_splits(stimuli, vectors)
    else:
        raise BrainalignError("there are no image vectors; give vectors in the descriptor or decode_modalities.model")
    # Vectors of most models have a large common part, which says nothing of the image.
    vectors = vectors - vectors[(stimuli["split"] == "train").to_numpy()].mean(axis=0)
    place, found = pd.Index(stimuli["stimulus_id"]), {}
    for name, part in trials.groupby("modality", sort=False):
        meta = part.reset_index(drop=True)
        targets = vectors[place.get_indexer(pd.Index(meta["stimulus_id"]))]
        single = decoding.Trials(arrays[str(name)], targets, meta)
        found[str(name)] = _whitened(single) if options.whiten and single.signals.ndim == 3 else single
    if "image properties" not in arrays:
        return found, None
    return found, pd.DataFrame(np.asarray(arrays["image properties"]), index=stimuli["stimulus_id"])


def _of_model(layers: Layers, layer: str | None, stimuli: pd.DataFrame) -> Values:
    name = list(layers)[-1] if layer is None else layer
    check_choice("decode_modalities.layer", name, layers)
    rows = pd.Index(layers[name].stimuli["stimulus_id"]).get_indexer(pd.Index(stimuli["stimulus_id"]))
    if (rows < 0).any():
        absent = stimuli["stimulus_id"][rows < 0].tolist()
        raise BrainalignError(f"no features of {len(absent)} images ({listed(absent)}); run extract again")
    values = np.asarray(take_rows(layers[name].values, rows), dtype=np.float64)
    return np.asarray(values.mean(axis=1)) if values.ndim == 3 else values


def _whitened(trials: decoding.Trials) -> decoding.Trials:
    """Return trials whose noise, as repeats of training images show it, is white over the sensors of each subject."""
    values = np.array(trials.signals)
    n_sensors = values.shape[1]
    targets = pd.DataFrame({"target_id": [f"{k}" for k in range(n_sensors)], "sensor_type": "sensor"})
    for subject, rows in trials.meta.groupby("subject", sort=False).indices.items():
        seen = rows[(trials.meta["split"].to_numpy()[rows] == "train")]
        shown = trials.meta["stimulus_id"].to_numpy()[seen]
        if len({*shown}) == len(shown):
            raise BrainalignError(
                f"{trials.meta['modality'].iloc[0]} of subject {subject} has {len(shown)} training trials and no image "
                "twice, so that nothing tells its noise; set decode_modalities.whiten: false"
            )
        times = np.arange(values.shape[2], dtype=float)
        whitener = fit_whitener(values[seen], times, targets, noise="residuals", stimulus_ids=shown)
        values[rows] = whitener.transform(values[rows])
    return replace(trials, signals=values)


def _beside(
    asked: Sequence[str], make: Callable[..., decoding.SharedSpace], train: Parts, val: Parts, test: Parts, seed: int
) -> dict[str, dict[str, Values]]:
    """Return embeddings of test trials by every further training; validation images choose its weights, too.

    Those of a null are made a null as well: real pairs must not choose what was trained without any.
    """
    found = {}
    for name in asked:
        if name == "unimodal":
            found[name] = decoding.unimodal_spaces(make, train, test, val)
        elif name == "one layer":
            found[name] = decoding.embed_all(make(subject_layers=False).fit(train, val or None), test)
        else:
            nothing = decoding.null_trials(val, name, seed + 2) if val else None
            found[name] = decoding.embed_all(make().fit(decoding.null_trials(train, name, seed), nothing), test)
    return found


def _low_level(
    properties: pd.DataFrame, train: Parts, test: Parts, penalty: float | None, **drawn: Any
) -> pd.DataFrame:
    """Return retrieval by luminance, contrast and spectrum alone, which ridge decodes: it needs no network."""
    shown = pd.concat([part.meta["stimulus_id"] for part in train.values()]).unique()
    varying = properties.loc[:, properties.loc[shown].std() > 0]
    scaled = (varying - varying.loc[shown].mean()) / varying.loc[shown].std()

    def aimed(parts: Parts) -> Parts:
        found = {}
        for name, part in parts.items():
            meta = part.meta.assign(text=part.meta["stimulus_id"])  # tells images apart that are alike in all this
            found[name] = replace(part, targets=scaled.loc[meta["stimulus_id"]].to_numpy(), meta=meta)
        return found

    given, asked = aimed(train), aimed(test)
    embeddings = decoding.independent_ridges(given, asked, penalty)
    return decoding.space_retrieval(embeddings, asked, kinds=("image", "fused"), **drawn).assign(decoder="low level")


def _changes(found: Mapping[str, dict[str, Values]], test: Parts) -> pd.DataFrame:
    """Compute the lead of the joint space over its baselines, over all modalities and in each."""
    hits = {name: decoding.stimulus_hits(embeddings, test) for name, embeddings in found.items()}
    rows = []
    for name in ("ridge", "unimodal", "one layer", "mean layer"):
        for modality in ("all", *test) if name in hits else ():
            columns = list(test) if modality == "all" else [modality]
            change = decoding.paired_change(hits["joint"][columns], hits[name][columns])
            rows.append({"beside": name, "modality": modality, "change": change.value, "se": change.se,
                         "clear": change.clear, "n_stimuli": change.n_stimuli})  # fmt: skip
    return pd.DataFrame(rows)


def _curves(space: decoding.SharedSpace, single: Parts, options: DecodeModalitiesSettings, seed: int) -> pd.DataFrame:
    tables, drawn = [], {"n_draws": options.draws, "seed": seed}
    for name, part in single.items():
        vectors, ids = part.targets, part.meta["stimulus_id"].to_numpy()

        def embed(signals: Values, table: pd.DataFrame, name: str = name) -> Values:
            return space.embed(name, signals, table["subject"].to_numpy())

        for top in (1, 5):
            curve = decoding.repeat_curve(part.signals, part.meta, embed, vectors, ids, top=top, **drawn)
            tables.append(curve.assign(modality=name, measure=f"top-{top}"))
    return pd.concat(tables, ignore_index=True)


def _geometry(found: Mapping[str, dict[str, Values]], test: Parts, n_permutations: int, seed: int) -> pd.DataFrame:
    """Return Spearman's r of dissimilarities in the space with those of the image vectors, with exchanged images."""
    rng, rows = np.random.default_rng(seed), []
    for decoder in ("joint", "ridge", "shuffled"):
        for source, patterns, vectors in space_patterns(found[decoder], test) if decoder in found else ():
            n = len(patterns)
            rdms = np.stack([np.asarray(rdm(values, method="correlation")) for values in (patterns, vectors)])
            own, images = rank_rdms(rdms)  # once: an exchange of images changes no rank
            orders = np.stack([np.arange(n), *(rng.permutation(n) for _ in range(n_permutations))])
            scores = np.array([compare(moved, images, "pearson").item() for moved in exchanged_rdms(own, orders)])
            null = scores[1:]
            p = permutation_test(scores[:1], null[:, None])[0]
            rows.append({"decoder": decoder, "source": source, "r": scores[0], "null_mean": null.mean(),
                         "null_high": np.quantile(null, 0.95), "p": p, "n_stimuli": n})  # fmt: skip
    return pd.DataFrame(rows)
