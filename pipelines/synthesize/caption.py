"""caption: put the reliable voxels of one subject who saw images into words, and score the words on test images."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Features, Layers, Responses
from brainalign.checks import BrainalignError, check_choice
from brainalign.config import SHARED_LAYERS, CaptionSettings
from brainalign.datasets import folds_of
from brainalign.encoding import Ridge, target_groups
from brainalign.features import embed_texts, find_function
from brainalign.io import Provenance, load, save
from brainalign.pipelines import run_stage, stage_parser
from brainalign.statistics import RELIABLE
from brainalign.study import attribute_labels, attribute_words, check_vectors, parse
from brainalign.synthesis import (
    AttributeCaptioner,
    Captioner,
    CaptionStudy,
    PrefixCaptioner,
    TextCaptioner,
    VocabularyCaptioner,
    noun_shares,
)

Values = NDArray[np.floating[Any]]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("caption", __doc__)
    parser.add_argument("--responses", type=Path, required=True)
    parser.add_argument("--splits", type=Path, required=True)
    parser.add_argument("--ceiling", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True, help="of the model that embeds images")
    parser.add_argument("--captions", type=Path, required=True, help="output: a row per reliable voxel")
    parser.add_argument("--captionscores", type=Path, required=True, help="output: by region, beside controls")
    parser.add_argument("--captiontemperatures", type=Path, required=True, help="output: scores of validation images")
    return run_stage(parser, _caption, argv)


def _caption(arguments: argparse.Namespace, provenance: Provenance) -> None:
    options = parse(CaptionSettings, arguments.settings["caption"], "caption")
    responses = load(arguments.responses, Responses, provenance)
    ceiling = load(arguments.ceiling, pd.DataFrame, provenance)["ceiling"].to_numpy()
    layers = load(arguments.features, Layers, provenance)
    ((train, test),) = folds_of(load(arguments.splits, pd.DataFrame, provenance), responses.trials)
    layer = options.layer or list(layers)[-1]
    check_choice("caption.layer", layer, layers)
    if responses.times is not None:
        raise BrainalignError("captions are of voxels; leave M/EEG subjects out of caption.subjects")
    groups = target_groups(responses, ceiling, arguments.settings["ceiling_threshold"])
    rows = np.flatnonzero(np.isin(np.arange(len(responses.targets)), groups[RELIABLE]))
    shown, seen = (_averaged(responses, part, rows, layers[layer]) for part in (train, test))
    mean, sd = shown[1].mean(axis=0), shown[1].std(axis=0)
    varies = sd > 0
    rows, mean, sd = rows[varies], mean[varies], sd[varies]
    about: dict[str, Any] = {"layer": layer, "captioner": options.captioner, "n_voxels": len(rows), "reason": ""}
    outputs = (arguments.captions, arguments.captionscores, arguments.captiontemperatures)
    if not len(rows):
        about["reason"] = f"no noise ceiling lies above {arguments.settings['ceiling_threshold']:g}"
        for path in outputs:
            save(path, pd.DataFrame({"caption": np.empty(0, dtype=str)}), provenance, **about)
        return
    embed = _embedder(layer, arguments.settings["model"])
    captioner, labels = _captioner(options, shown[0], embed)
    place = np.full(len(responses.targets), -1)
    place[rows] = np.arange(len(rows))
    regions = {name: place[of][place[of] >= 0] for name, of in groups.items()}
    study = CaptionStudy(
        regress=partial(_fit, alphas=options.alphas),
        captioner=captioner,
        labels=labels,
        temperatures=options.temperatures,
        temperature=None if options.temperature == "auto" else options.temperature,
        validation_share=options.validation_share,
        bank=_bank(options.bank, layer, provenance),
        n_nulls=options.nulls,
        q=options.q,
        n_permutations=options.permutations,
        n_draws=options.draws,
        confidence=arguments.settings["confidence"],
        seed=arguments.seed,
    )
    scaled = [(of.values, (values[:, varies] - mean) / sd) for of, values in (shown, seen)]
    found = study(scaled[0], scaled[1], {name: of for name, of in regions.items() if len(of)})
    targets = responses.targets.iloc[rows].reset_index(drop=True)
    found.captions.insert(0, "target_id", targets["target_id"])
    found.captions.insert(1, "region", [", ".join(map(str, names)) for names in targets["roi"]])
    found.captions["ceiling"] = ceiling[rows]
    attributes = {name: [str(v) for v in known.phrases] for name, known in _vocabularies(captioner).items()}
    nouns = options.nouns or tuple(dict.fromkeys(value for values in attributes.values() for value in values))
    nouns = nouns or _common(found.captions["caption"])
    about |= {
        "attributes": attributes,
        "nouns": noun_shares(found.captions["caption"].tolist(), regions, nouns),
        "temperature": found.temperature,
        "temperature_chosen": options.temperature == "auto",
        "n_train": len(scaled[0][0]),
        "n_test": len(scaled[1][0]),
        "n_nulls": options.nulls,
        "q_level": options.q,
        "bank": str(options.bank) if options.bank else "training images",
        "p": "of attributes: shuffled voxels whose named value is predicted as strongly; of r: test images exchanged",
    }
    for path, table in zip(outputs, (found.captions, found.scores, found.temperatures), strict=True):
        save(path, table, provenance, **about)


def _averaged(
    responses: Responses, trials: NDArray[np.intp], rows: NDArray[np.intp], layer: Features
) -> tuple[Features, Values]:
    """Return embeddings and mean responses of the images of some trials."""
    mine, wanted = np.zeros(len(responses.trials), dtype=bool), np.zeros(len(responses.targets), dtype=bool)
    mine[trials], wanted[rows] = True, True
    averaged = responses.select(trials=mine, targets=wanted).average_repeats()
    features = layer.align_to(averaged)
    check_vectors(layer.layer, tokens=features.values.ndim != 2)
    return features, np.asarray(averaged.values, dtype=np.float64)


def _fit(embeddings: Values, responses: Values, alphas: Sequence[float]) -> Ridge:
    return Ridge(alphas=alphas, device="cpu", dtype="float64").fit(embeddings, responses)


def _bank(path: Path | None, layer: str, provenance: Provenance) -> Values | None:
    if path is None:
        return None
    if path.suffix == ".npy":
        provenance.read("bank", path)
        mapped: Values = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped
    layers = load(path, Layers, provenance)
    check_choice(f"layer of the bank {path}", layer, layers)
    return np.asarray(layers[layer].values)


def _embedder(layer: str, model: Mapping[str, Any]) -> Any:
    """Build the function that embeds texts in the space of the images; None where the model cannot."""
    weights = str(model.get("weights", ""))
    return partial(embed_texts, weights) if layer in SHARED_LAYERS and _has_texts(weights) else None


def _has_texts(weights: str) -> bool:
    """Return whether weights are those of a model of images and texts: EfficientNet has a layer called head too."""
    from transformers import AutoConfig

    try:
        return bool(weights) and hasattr(AutoConfig.from_pretrained(weights), "text_config")
    except (OSError, ValueError):
        return False


def _captioner(options: CaptionSettings, images: Features, embed: Any) -> tuple[Captioner, dict[str, NDArray[np.str_]]]:
    """Return the captioner, and the attributes of the training images where it names some."""
    units = images.values / np.linalg.norm(images.values, axis=1, keepdims=True)
    origin = units.mean(axis=0)
    kind = options.captioner
    if kind == "attributes":
        labels = attribute_labels(images.stimuli, options.attributes, options.words)
        known = {}
        for name, column in labels.items():
            values = _in_order(column, attribute_words(name, options.words))
            known[name] = values, np.stack([units[column == value].mean(axis=0) for value in values])
        return AttributeCaptioner(known, origin), labels
    if kind in ("vocabulary", "nearest") and not options.phrases:
        options.check_columns([str(name) for name in images.stimuli])
        texts = images.stimuli["caption"].to_numpy(dtype=np.str_)
        if kind == "nearest":
            return VocabularyCaptioner(texts.tolist(), units), {}
        phrases = list(dict.fromkeys(texts.tolist()))
        means = np.stack([units[texts == text].mean(axis=0) for text in phrases]) if embed is None else embed(phrases)
        return VocabularyCaptioner(phrases, means, origin), {}
    if kind == "vocabulary":
        options.check_space(images.layer, embed is not None)
        return VocabularyCaptioner(options.phrases, embed(list(options.phrases)), origin), {}
    if kind == "prefix":
        assert options.prefix is not None
        return TextCaptioner(PrefixCaptioner.from_folder(options.prefix), embed), {}
    function, _ = find_function(kind)
    return TextCaptioner(function, embed), {}  # type: ignore[arg-type]


def _in_order(column: NDArray[np.str_], words: Sequence[str]) -> list[str]:
    present = set(column.tolist())
    return [word for word in words if word in present] if present <= set(words) else sorted(present)


def _vocabularies(captioner: Captioner) -> Mapping[str, VocabularyCaptioner]:
    return captioner.vocabularies if isinstance(captioner, AttributeCaptioner) else {}


def _common(texts: pd.Series[str], n: int = 12) -> tuple[str, ...]:
    """Return the longer words that most captions hold."""
    counts = texts.str.lower().str.findall(r"[a-z-]{4,}").map(set).explode().value_counts()
    return tuple(str(word) for word in counts.index[:n])


if __name__ == "__main__":
    raise SystemExit(main())
