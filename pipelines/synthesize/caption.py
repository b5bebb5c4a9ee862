"""caption: put the reliable voxels of one subject who saw images into words, and score the words on test images."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import synthesis
from brainalign.arrays import Features, Layers, Responses, Values
from brainalign.checks import BrainalignError, check_choice
from brainalign.config import SHARED_LAYERS, CaptionSettings
from brainalign.datasets import folds_of
from brainalign.encoding import Ridge, target_groups
from brainalign.features import embed_texts, find_function
from brainalign.io import load
from brainalign.statistics import RELIABLE, reliable_rule, reliable_targets
from brainalign.study import attribute_labels, attribute_words, check_vectors, text_column
from brainalign.workflow import Job


def caption(job: Job) -> None:
    """Put voxels into words, and score the words on test images."""
    options = job.options("caption", CaptionSettings)
    responses = job.load("responses", Responses, stored=True)
    ceilings, threshold = job.load("ceiling", pd.DataFrame), job.settings["ceiling_threshold"]
    layers = job.load("features", Layers, stored=True)
    ((train, test),) = folds_of(job.load("splits", pd.DataFrame), responses.trials)
    layer = options.layer or list(layers)[-1]
    check_choice("caption.layer", layer, layers)
    if responses.times is not None:
        raise BrainalignError("captions are of voxels; leave M/EEG subjects out of caption.subjects")
    groups = target_groups(responses, reliable_targets(ceilings, threshold))
    rows = np.flatnonzero(np.isin(np.arange(len(responses.targets)), groups[RELIABLE]))
    shown, seen = (_averaged(responses, part, rows, layers[layer]) for part in (train, test))
    mean, sd = shown[1].mean(axis=0), shown[1].std(axis=0)
    varies = sd > 0
    rows, mean, sd = rows[varies], mean[varies], sd[varies]
    about: dict[str, Any] = {"layer": layer, "captioner": options.captioner, "n_voxels": len(rows), "reason": ""}
    if not len(rows):
        about["reason"] = f"no voxel is reliable ({reliable_rule(threshold)})"
        for name in job.outputs:
            job.save(name, pd.DataFrame({"caption": np.empty(0, dtype=str)}), **about)
        return
    model = job.settings["model"]
    weights = str(model["weights"]) if model["extractor"] == "vision" else ""  # EfficientNet has a layer "head", too
    # What embeds texts in the space of the images; None where the model cannot.
    embed = partial(embed_texts, weights) if layer in SHARED_LAYERS and _has_texts(weights) else None
    captioner, labels = _captioner(options, shown[0], embed)
    regions = {name: np.flatnonzero(np.isin(rows, of)) for name, of in groups.items()}
    study = synthesis.CaptionStudy(
        ridge=Ridge(alphas=options.alphas, device="cpu", dtype="float64"),
        captioner=captioner,
        labels=labels,
        temperatures=options.temperatures,
        temperature=None if options.temperature == "auto" else options.temperature,
        bank=_bank(job, options.bank, layer),
        n_nulls=options.nulls,
        q=options.q,
        n_permutations=options.permutations,
        n_draws=options.draws,
        confidence=job.settings["confidence"],
        seed=job.seed,
    )
    scaled = [(of.values, (values[:, varies] - mean) / sd) for of, values in (shown, seen)]
    found = study(scaled[0], scaled[1], {name: of for name, of in regions.items() if len(of)})
    targets = responses.targets.iloc[rows].reset_index(drop=True)
    found.captions.insert(0, "target_id", targets["target_id"])
    found.captions.insert(1, "region", [", ".join(map(str, names)) for names in targets["roi"]])
    found.captions["ceiling"] = ceilings["ceiling"].to_numpy()[rows]
    known = captioner.vocabularies if isinstance(captioner, synthesis.AttributeCaptioner) else {}
    attributes = {name: [str(v) for v in vocabulary.phrases] for name, vocabulary in known.items()}
    nouns = options.nouns or tuple(dict.fromkeys(value for values in attributes.values() for value in values))
    nouns = nouns or _common(found.captions["caption"])
    about |= {
        "attributes": attributes,
        "nouns": synthesis.noun_shares(found.captions["caption"].tolist(), regions, nouns),
        "temperature": found.temperature,
        "temperature_chosen": options.temperature == "auto",
        "n_train": len(scaled[0][0]),
        "n_test": len(scaled[1][0]),
        "n_nulls": options.nulls,
        "q_level": options.q,
        "bank": str(options.bank) if options.bank else "training images",
        "p": "of attributes: shuffled voxels whose named value is predicted as strongly; of r: test images exchanged",
    }
    job.save("captions", found.captions, **about)
    job.save("captionscores", found.scores, **about)
    job.save("captiontemperatures", found.temperatures, **about)


def _averaged(
    responses: Responses, trials: NDArray[np.intp], rows: NDArray[np.intp], layer: Features
) -> tuple[Features, Values]:
    """Return embeddings and mean responses of the images of some trials."""
    averaged = responses.select(np.sort(trials), rows).average_repeats()
    features = layer.align_to(averaged)
    check_vectors(layer.layer, tokens=features.values.ndim != 2)
    features = replace(features, values=np.asarray(features.values))
    return features, np.asarray(averaged.values, dtype=np.float64)


def _bank(job: Job, path: Path | None, layer: str) -> Values | None:
    if path is None:
        return None
    if path.suffix == ".npy":
        job.provenance.read("bank", path)
        return np.load(path, mmap_mode="r", allow_pickle=False)
    layers = load(path, Layers, job.provenance, stored=True)
    check_choice(f"layer of the bank {path}", layer, layers)
    return np.asarray(layers[layer].values)


def _has_texts(weights: str) -> bool:
    """Return whether weights are those of a model of images and texts."""
    from transformers import AutoConfig

    try:
        return bool(weights) and hasattr(AutoConfig.from_pretrained(weights), "text_config")
    except (OSError, ValueError):
        return False


def _captioner(
    options: CaptionSettings, images: Features, embed: Any
) -> tuple[synthesis.Captioner, dict[str, NDArray[np.str_]]]:
    """Return the captioner, and the attributes of the training images where it names some."""
    units = images.values / np.linalg.norm(images.values, axis=1, keepdims=True)
    origin, kind = units.mean(axis=0), options.captioner
    if kind == "attributes":
        labels = attribute_labels(images.stimuli, options.attributes, options.words)
        known = {}
        for name, column in labels.items():
            values = _in_order(column, attribute_words(name, options.words))
            known[name] = values, np.stack([units[column == value].mean(axis=0) for value in values])
        return synthesis.AttributeCaptioner(known, origin), labels
    if kind in ("vocabulary", "nearest") and not options.phrases:
        options.check_columns([str(name) for name in images.stimuli])
        texts = images.stimuli[text_column(images.stimuli)].to_numpy(dtype=np.str_)
        if kind == "nearest":
            return synthesis.VocabularyCaptioner(texts.tolist(), units), {}
        phrases = list(dict.fromkeys(texts.tolist()))
        means = np.stack([units[texts == text].mean(axis=0) for text in phrases]) if embed is None else embed(phrases)
        return synthesis.VocabularyCaptioner(phrases, means, origin), {}
    if kind == "vocabulary":
        options.check_space(images.layer, embed is not None)
        return synthesis.VocabularyCaptioner(options.phrases, embed(list(options.phrases)), origin), {}
    if kind == "prefix":
        assert options.prefix is not None
        return synthesis.TextCaptioner(synthesis.PrefixCaptioner.from_folder(options.prefix), embed), {}
    function, _ = find_function(kind)
    return synthesis.TextCaptioner(function, embed), {}  # type: ignore[arg-type]


def _in_order(column: NDArray[np.str_], words: Sequence[str]) -> list[str]:
    present = set(column.tolist())
    return [word for word in words if word in present] if present <= set(words) else sorted(present)


def _common(texts: "pd.Series[str]", n: int = 12) -> tuple[str, ...]:
    """Return the longer words that most captions hold, equally frequent ones by the alphabet."""
    counts = texts.str.lower().str.findall(r"[a-z-]{4,}").map(set).explode().value_counts()
    counts = counts.sort_index().sort_values(ascending=False, kind="stable")
    return tuple(str(word) for word in counts.index[:n])
