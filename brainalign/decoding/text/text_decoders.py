"""Decoders of sentences as a control matrix takes them: fitted on one table of trials, of which some validate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.decoding.scoring import LinearDecoder, similarity_ranks
from brainalign.decoding.text.decoder import RESIDUAL, TextDecoder
from brainalign.decoding.text.language import LanguageModel
from brainalign.decoding.text.language_models import LANGUAGE_MODELS
from brainalign.decoding.training import Trials


@dataclass(frozen=True)
class Decoded:
    """What a decoder makes of trials.

    Attributes
    ----------
    vectors : array (n_trials, n_components)
    sentences : list of str (n_trials)
        Generated, or the training sentence whose vector is nearest.
    """

    vectors: Values
    sentences: list[str]


@dataclass(frozen=True)
class TextFit:
    """A fitted decoder.

    Attributes
    ----------
    embed : callable
        (signals, table of trials) to vectors.
    generate : callable or None
        The same to sentences; None without a language model.
    teacher_forced : callable or None
        (signals, table of trials, true texts) to the likeliest words given the true ones before.
    chosen : mapping
        What validation trials chose, and how far the vectors of a network's training trials lie apart.
    """

    embed: Callable[[Values, pd.DataFrame], Values]
    generate: Callable[[Values, pd.DataFrame], list[str]] | None
    teacher_forced: Callable[[Values, pd.DataFrame, list[str]], list[str]] | None
    chosen: Mapping[str, float]


def decoder_of(options: Mapping[str, Any]) -> Callable[[Trials, int], TextFit]:
    """Build the function that fits a decoder to trials for a seed; their column `split` says which validate (val).

    Parameters
    ----------
    options : mapping
        decoder ("linear" or "network"), and the arguments of `LinearDecoder` or `TextDecoder`.

    Raises
    ------
    BrainalignError
        If trials have no validation trials although something is chosen by them.
    """
    given = dict(options)
    return {"linear": _linear, "network": _network}[given.pop("decoder")](given)


def _sides(trials: Trials) -> tuple[Trials, Trials]:
    val = trials.column("split")["split"].eq("val").to_numpy()
    if not val.any() or val.all():
        raise BrainalignError(f"{int(val.sum())} of {len(val)} trials validate; give some to each")
    return trials.select(~val), trials.select(val)


def _linear(options: dict[str, Any]) -> Callable[[Trials, int], TextFit]:
    def fit(trials: Trials, seed: int) -> TextFit:
        train, val = _sides(trials)
        decoder = LinearDecoder(**options)
        if decoder.sharing == "own":  # has nothing for people who only validate
            val = val.select(val.meta["subject"].isin(train.meta["subject"]).to_numpy())
            if not len(val.meta):
                raise BrainalignError(
                    'nobody of val is in train; give trials of some, or sharing "pooled" or "partial"'
                )
        held = (val.signals, val.targets, val.meta["subject"].to_numpy())
        decoder.fit(train.signals, train.targets, train.meta["subject"].to_numpy(), held)
        return TextFit(
            lambda signals, meta: decoder.predict(signals, meta["subject"].to_numpy()),
            None,
            None,
            {"penalty": decoder.penalty_, "rho": decoder.rho_},
        )

    return fit


def _network(options: dict[str, Any]) -> Callable[[Trials, int], TextFit]:
    name, weights = options.pop("language", None), options.pop("language_weights", None)
    made: dict[tuple[str, ...], LanguageModel] = {}

    def language(texts: list[str]) -> LanguageModel:
        """Return the frozen model, made once for the same training texts."""
        key = tuple(sorted(set(texts))) if name == "word_t5" else ()
        if key not in made:
            given = {"word_t5": [list(key)], "pretrained": [weights]}.get(name, [])
            made[key] = LANGUAGE_MODELS[name](*given)
        return made[key]

    def fit(trials: Trials, seed: int) -> TextFit:
        train, val = _sides(trials)
        texts = None if name is None else train.column("text")["text"].tolist()
        model = None if texts is None else language(texts)
        decoder = TextDecoder(**options, language=model, seed=seed).fit(train, val, texts)
        spread = {"spread": decoder.spread_}  # near 0 the network says the same of every trial
        if decoder.encoder == RESIDUAL:
            spread["penalty"] = decoder.penalty_
        if model is None:
            return TextFit(decoder.embed, None, None, spread)

        def teacher_forced(signals: Values, meta: pd.DataFrame, texts: list[str]) -> list[str]:
            return list(decoder.teacher_forced(signals, meta, texts)["teacher_forced"])

        return TextFit(decoder.embed, decoder.generate, teacher_forced, spread)

    return fit


def nearest_sentences(vectors: Values, targets: Values, texts: Sequence[str]) -> list[str]:
    """Return the text whose vector is nearest to each decoded one by cosine: a sentence without a language model.

    Parameters
    ----------
    vectors : array (n, n_components)
    targets : array (n_texts, n_components)
        Of training sentences.
    texts : sequence of str (n_texts)
    """
    return [texts[k] for k in similarity_ranks(vectors, targets).argmin(axis=1)]
