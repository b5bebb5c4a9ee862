"""ground: words of captions grounded in the training images of a study; what their space holds, beside text vectors."""

from typing import Any

import numpy as np
import pandas as pd

from brainalign import decoding
from brainalign.arrays import Arrays, Layers
from brainalign.checks import check_choice
from brainalign.config import GroundSettings
from brainalign.features import SentenceExtractor
from brainalign.io import read_text_table
from brainalign.study import image_captions, norms_of_words
from brainalign.workflow import Job

SHOWN_IMAGES, SHOWN_WORDS = 4, 6
NORMS = [
    "space", "norm", "r2", "low", "high", "gain", "gain_low", "gain_high", "null_mean", "null_high", "p", "n_words",
]  # fmt: skip


def ground(job: Job) -> None:
    """Ground the words of captions in images, and see what their space holds beside text vectors."""
    options = job.options("ground", GroundSettings)
    layers = job.load("features", Layers, stored=True)
    name = options.layer or list(layers)[-1]
    check_choice("ground.layer", name, layers)
    images = layers[name]
    splits = pd.concat(job.load_all("splits", pd.DataFrame))
    test = images.stimuli["stimulus_id"].isin(splits.loc[splits["split"] == "test", "stimulus_id"]).to_numpy()
    train = ~test  # what nobody is tested on: images of neither kind, too
    words, said = decoding.caption_words(_texts(job, images.stimuli), train, options.min_images)
    text = SentenceExtractor(str(job.settings["text"]["weights"]), device="cpu").vectors(words).astype(np.float64)
    trained = {"n_dimensions", "n_steps", "batch_size", "learning_rate", "weight_decay", "device"}
    made = options.model_dump(include=trained)
    found = decoding.ground_study(
        decoding.GroundedLanguage(**made, seed=job.seed),
        decoding.GroundedLanguage(**made, seed=job.seed),
        text,
        said,
        np.asarray(images.values),
        train,
        test,
        n_permutations=options.permutations,
        confidence=job.settings["confidence"],
        seed=job.seed,
    )
    columns, rng = images.stimuli.loc[train, list(options.attributes)], np.random.default_rng([job.seed, 0x1A6])
    attributes = decoding.word_attributes(said[train], columns)
    mixed = (columns.sample(frac=1, random_state=rng) for _ in range(options.permutations))
    exchanged = [decoding.word_attributes(said[train], each) for each in mixed]
    norms, beside = None, attributes
    if job.has("norms"):
        job.provenance.read("norms", job.path("norms"))
        norms = norms_of_words(job.path("norms"), words)  # NaN where a word has none
        beside = pd.concat([attributes, norms.reset_index(drop=True).add_suffix(" (norm)")], axis=1)
    drawn: dict[str, Any] = {"n_permutations": options.permutations, "seed": job.seed, "exchanged": exchanged}
    axes = decoding.word_axes(found.spaces["grounded"], words, beside, n_axes=options.axes, **drawn)
    about: dict[str, Any] = {"model_layer": name, "n_train": int(train.sum()), "n_test": int(test.sum())}
    about |= {"n_words": len(words), "text": str(job.settings["text"].get("weights", "")), "norms_missing": 0}
    about |= {"weight_decay": found.model.weight_decay_}
    shown = np.flatnonzero(test & said.any(axis=1))[:SHOWN_IMAGES]
    asked = [words[k] for k in np.flatnonzero(said[shown].any(axis=0))[:SHOWN_WORDS]]
    where = np.stack([found.model.locate([words.index(word)] * len(shown), images.values[shown]) for word in asked])
    job.save("grounding", Arrays(found.model.state()), words=words, **about)
    job.save(
        "groundedwords",
        Arrays(
            {f"space.{key}": each for key, each in found.spaces.items()}
            | {"said": said, "train": train, "positions": axes.positions, "where": where.swapaxes(0, 1)}
        ),
        words=words,
        stimuli=images.stimuli["stimulus_id"].tolist(),
        shown_stimuli=images.stimuli["stimulus_id"].iloc[shown].tolist(),
        shown_words=asked,
        # Places in a row where rows and columns of them are not known.
        grid=[int(n) for n in images.grid] if images.grid else [1, images.values.shape[1]],
        **about,
    )
    job.save("groundedscores", found.retrieval, **about)
    job.save("groundedaxes", axes.axes, **about)
    job.save("groundedattributes", axes.attributes, **about)
    predicted = pd.DataFrame(columns=NORMS)
    if norms is not None:
        known = norms.notna().all(axis=1).to_numpy()
        about["norms_missing"] = int((~known).sum())
        predicted = decoding.norm_prediction(
            {key: each[known] for key, each in found.spaces.items()},
            norms[known],
            n_permutations=min(options.permutations, 200),
            n_draws=options.draws,
            confidence=job.settings["confidence"],
            seed=job.seed,
        )
    job.save("groundednorms", predicted, **about)


def _texts(job: Job, stimuli: pd.DataFrame) -> list[list[str]]:
    if not job.has("captions"):
        return image_captions(stimuli)
    captions = job.path("captions")
    job.provenance.read("captions", captions)
    return image_captions(stimuli, read_text_table(captions), captions.name)
