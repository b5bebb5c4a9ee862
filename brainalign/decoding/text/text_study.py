"""A decoder of sentences with everything that its scores stand beside: controls, nulls, ceilings, baselines."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite
from brainalign.decoding import scoring
from brainalign.decoding.scoring import Decode
from brainalign.decoding.text.scores import constant_sentence, text_scores
from brainalign.decoding.text.text_decoders import Decoded, TextFit, nearest_sentences
from brainalign.decoding.training import Trials
from brainalign.statistics import permute_within

WITHIN = ("subject", "task", "split")  # pairs are shuffled within; those that validate stay so
OVERLAP = {"bleu1": "sacrebleu", "bleu2": "sacrebleu", "rouge1": "rouge_score", "wer": "jiwer"}
MOST_WINDOWS = 8
LEAST_WEIGHT = 0.05  # of a reader, beside the one who is decoded best


@dataclass(frozen=True)
class TextStudy:
    """Trials of a study, split by text.

    Attributes
    ----------
    train, val, test : Trials
        Targets are components; tables have text, split, and label and block where known.
    components : Components
    test_vectors : array (n_test, n_dimensions)
        Of the true sentences.
    others : mapping of arrays like the test signals
        What should not do as well as they: the time before each sentence, the channels of the eyes alone.
    wordings : mapping of arrays (n_wordings, n_dimensions)
        Vectors of sentences that say each label.
    sensors : list of str (n_channels)
    times_s : array (n_times)
    """

    train: Trials
    val: Trials
    test: Trials
    components: "Components"
    test_vectors: Values
    others: Mapping[str, Values]
    wordings: Mapping[str, Values]
    sensors: list[str]
    times_s: Values


@dataclass(frozen=True)
class TextFound:
    """What was found of one decoder: tables by name, see `study_text`; nuisances with the scores of all pairs."""

    matrix: scoring.ControlMatrix
    nuisances: scoring.NuisanceScores
    tables: dict[str, pd.DataFrame]
    sentences_by: str
    chosen: dict[str, float]
    has_blocks: bool


def study_text(
    study: TextStudy,
    make: Callable[[Trials, int], TextFit],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    n_permutations: int = 1000,
    n_draws: int = 2000,
    n_averages: int = 20,
    confidence: float = 0.95,
    leave_out_blocks: bool = True,
) -> TextFound:
    """Fit a decoder for every seed and score it with its controls.

    Parameters
    ----------
    study : TextStudy
    make : callable
        From `decoder_of`.
    seeds : sequence of int
    n_permutations, n_draws, n_averages, confidence : int, int, int, float
        Exchanges of distinct sentences; bootstrap draws; choices of the subjects or repeats that are averaged; of
        intervals.
    leave_out_blocks : bool
        Where the table has blocks.

    Returns
    -------
    TextFound
        Tables: controls (cells of the matrix), retrieval (a row per seed and measure), retrievalsubjects, averaged,
        zeroshot, confusion, nuisances, leftblocks, textscores, relevance, sentences (a row per test trial, first seed).
    """
    given = _joined(study.train, study.val)
    # First, as it takes seconds: what is wrong with the tables shows before networks are trained.
    nuisances = scoring.nuisance_scores(
        given, study.test, _hits, answers=_nearest(study.train), n_permutations=n_permutations, seed=seeds[0]
    )
    fitted = {seed: make(given, seed) for seed in seeds}
    first = fitted[seeds[0]]

    def fit(signals: Values, targets: Values, meta: pd.DataFrame, seed: int) -> Decode:
        if signals is given.signals:
            return _decoding(fitted[seed], study.train)  # trained on brains once
        return _decoding(make(Trials(signals, targets, meta), seed), study.train)

    matrix = scoring.control_matrix(
        fit,
        given,
        study.test,
        _hits,
        other_tests=study.others,
        within=WITHIN,
        seeds=seeds,
        n_permutations=n_permutations,
    )
    decoded = {seed: _decoding(one, study.train)(study.test.signals, study.test.meta) for seed, one in fitted.items()}
    drawn: dict[str, Any] = {"n_permutations": n_permutations, "n_draws": n_draws, "confidence": confidence}
    ids, subjects, groups = (study.test.meta[name].to_numpy() for name in ("stimulus_id", "subject", "task"))
    asked = study.test.targets, ids, ids
    drawn |= {"subjects": subjects, "groups": groups}
    found = {seed: scoring.retrieval_accuracy(one.vectors, *asked, seed=seed, **drawn) for seed, one in decoded.items()}
    shown = decoded[seeds[0]]
    trained = _decoding(first, study.train)(study.train.signals, study.train.meta).sentences
    zero, confusion = _zero_shot(shown.vectors, study, n_permutations, seeds[0])
    has_blocks = leave_out_blocks and "block" in study.test.meta
    tables = {
        "controls": matrix.table,
        "retrieval": pd.concat([one.table.assign(seed=seed) for seed, one in found.items()], ignore_index=True),
        "retrievalsubjects": pd.concat(
            [one.by_subject.assign(seed=seed) for seed, one in found.items()], ignore_index=True
        ),
        "averaged": _averaged(first, shown.vectors, study, n_averages, seeds[0]),
        "zeroshot": zero,
        "confusion": confusion,
        "nuisances": pd.concat(
            [nuisances.table, *_label_nuisances(given, study, n_permutations, seeds[0])], ignore_index=True
        ),
        "leftblocks": _blocks(make, study, seeds[0], has_blocks),
        "textscores": _text_scores(first, shown.sentences, trained, study, n_permutations, seeds[0]),
        "relevance": _relevance(first, study, seeds[0]),
        "sentences": _sentences(shown, found[seeds[0]], study),
    }
    by = "language model" if first.generate else "nearest training sentence"
    return TextFound(matrix, nuisances, tables, by, dict(first.chosen), has_blocks)


def _decoding(one: TextFit, train: Trials) -> Callable[[Values, pd.DataFrame], Decoded]:
    """Build the decoder of vectors and sentences; without a language model a sentence is that of a training trial."""
    nearest = _nearest(train)

    def decode(signals: Values, meta: pd.DataFrame) -> Decoded:
        vectors = one.embed(signals, meta)
        return nearest(vectors) if one.generate is None else Decoded(vectors, one.generate(signals, meta))

    return decode


def _nearest(train: Trials) -> Callable[[Values], Decoded]:
    """Build the function that gives decoded vectors the words of the nearest training sentence."""
    distinct = train.distinct()
    texts = distinct.column("text")["text"].tolist()
    return lambda vectors: Decoded(vectors, nearest_sentences(vectors, distinct.targets, texts))


def _joined(*parts: Trials) -> Trials:
    return Trials(
        np.concatenate([part.signals for part in parts]),
        np.concatenate([part.targets for part in parts]),
        pd.concat([part.meta for part in parts], ignore_index=True),
    )


def _hits(outputs: Decoded, distinct: Trials) -> dict[str, Values]:
    sentences, row = np.unique(np.array(outputs.sentences, dtype=object), return_inverse=True)
    overlap = scoring.content_hits(list(sentences), distinct)
    return {**scoring.retrieval_hits(outputs.vectors, distinct), **{name: of[row] for name, of in overlap.items()}}


def _averaged(fit: TextFit, vectors: Values, study: TextStudy, n_draws: int, seed: int) -> pd.DataFrame:
    """Return accuracy by the number of readers averaged, and of repeats where every reader has some."""
    test = study.test
    ids = test.meta["stimulus_id"].to_numpy()
    weighed = vectors * _reader_weights(fit, study)[:, None]
    curve = scoring.subject_curve(weighed, test.meta, test.targets, ids, n_draws=n_draws, seed=seed)
    tables = [curve.assign(over="subjects")]
    if test.meta.groupby(["subject", "stimulus_id"]).size().min() > 1:
        repeats = scoring.repeat_curve(
            test.signals, test.meta, fit.embed, test.targets, ids, n_draws=n_draws, seed=seed
        )
        tables.append(repeats.drop(columns="n_subjects").assign(over="repeats"))
    return pd.concat(tables, ignore_index=True)


def _reader_weights(fit: TextFit, study: TextStudy) -> Values:
    """Weigh what is decoded from each reader, a number per test trial: decoded from noise, vectors are no shorter.

    Weights are slopes of true on decoded vectors of validation trials. As these are few, slopes are brought to the mean
    of all readers by the share of their variance that is error (James and Stein).
    """
    readers = study.test.meta["subject"]
    val = study.val.select(study.val.meta["subject"].isin(readers).to_numpy())
    if not len(val.meta):
        return np.ones(len(readers))
    decoded, whose = fit.embed(val.signals, val.meta), val.meta["subject"].to_numpy()
    sums = pd.DataFrame({"true": (decoded * val.targets).sum(axis=1), "own": np.square(decoded).sum(axis=1)})
    totals = sums.groupby(whose).sum()
    slope = totals["true"] / totals["own"]
    squares = np.square(sums["true"] - sums["own"] * slope[whose].to_numpy()).groupby(whose).sum()
    kept = max(0.0, 1 - (squares / totals["own"] ** 2).mean() / slope.var())  # 0 of one reader, which has no variance
    weights = (kept * slope + (1 - kept) * slope.mean()).clip(lower=LEAST_WEIGHT * slope.max())
    if not slope.max() > 0:
        return np.ones(len(readers))
    return readers.map(weights).fillna(slope.mean()).to_numpy(dtype=np.float64)


def _zero_shot(vectors: Values, study: TextStudy, n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    empty = pd.DataFrame(columns=["measure", "value", "chance", "majority", "text_ceiling", "p"])
    counts = pd.DataFrame(columns=["true", "told", "n"])
    meta = study.test.meta
    rows = meta["label"].ne("").to_numpy() if "label" in meta else np.zeros(len(meta), dtype=bool)
    if not rows.any() or meta["label"][rows].nunique() < 2:
        return empty, counts
    shown, labels, groups = (meta[name].to_numpy()[rows] for name in ("stimulus_id", "label", "task"))
    vectors, texts = study.components.inverse(vectors[rows]), study.test_vectors[rows]
    given = vectors, texts, shown, labels, study.wordings, study.components.mean
    found = scoring.zero_shot_labels(*given, groups=groups, n_permutations=n, seed=seed)
    return found.table, found.confusion.reset_index().melt(id_vars="true", var_name="told", value_name="n")


def _label_nuisances(given: Trials, study: TextStudy, n: int, seed: int) -> list[pd.DataFrame]:
    sides = (given, study.test)
    labelled = [side.meta["label"].ne("").to_numpy() if "label" in side.meta else np.zeros(0) for side in sides]
    if not all(rows.any() for rows in labelled):
        return []
    known = [side.select(rows) for side, rows in zip(sides, labelled, strict=True)]
    return [scoring.nuisance_scores(known[0], known[1], label="label", n_permutations=n, seed=seed).table]


def _blocks(make: Callable[[Trials, int], TextFit], study: TextStudy, seed: int, has_blocks: bool) -> pd.DataFrame:
    if not has_blocks:
        return pd.DataFrame(columns=["block", "measure", "value", "chance", "neighbours", "n_trials", "n_stimuli"])

    def fit(signals: Values, targets: Values, meta: pd.DataFrame, seed: int) -> Decode:
        given = Trials(signals, targets, meta)
        return _decoding(make(given, seed), given)

    return scoring.leave_block_out(fit, _joined(study.train, study.val, study.test), _hits, answers=_nearest, seed=seed)


def _text_scores(
    fit: TextFit, decoded: list[str], trained: list[str], study: TextStudy, n: int, seed: int
) -> pd.DataFrame:
    """Score decoded sentences beside what needs no brain: a constant sentence, a language model's likeliest words."""
    meta = study.test.meta
    said = {"decoded": decoded, "constant": [constant_sentence(trained)] * len(decoded)}
    if fit.teacher_forced is not None:
        noise = scoring.altered(study.test, "noise", np.random.default_rng([seed, 2]), WITHIN, "power")
        for name, signals in (("teacher-forced", study.test.signals), ("teacher-forced noise", noise.signals)):
            said[name] = fit.teacher_forced(signals, meta, meta["text"].tolist())
    # The extra `eval` is optional: what is not installed is left out.
    measures = ["content", *(name for name, package in OVERLAP.items() if importlib.util.find_spec(package))]
    labels = meta["label"].tolist() if "label" in meta and meta["label"].ne("").all() else None
    about: dict[str, Any] = {"tasks": meta["task"].tolist(), "labels": labels, "measures": measures, "seed": seed}
    tables = []
    for name, sentences in said.items():
        n_permutations = n if name == "decoded" else 99
        table = text_scores(sentences, meta["text"].tolist(), n_permutations=n_permutations, **about)
        tables.append(table.assign(sentences=name))
    return pd.concat(tables, ignore_index=True)


def _relevance(fit: TextFit, study: TextStudy, seed: int) -> pd.DataFrame:
    n_windows = min(MOST_WINDOWS, study.test.signals.shape[2])
    table = exchange_relevance(fit.embed, study.test, n_windows=n_windows, seed=seed)
    table["target_id"] = [study.sensors[k] for k in table["channel"]]
    middle = (table["start"] + table["stop"]).to_numpy() / 2
    step = float(np.diff(study.times_s).mean()) if len(study.times_s) > 1 else 0.0
    return table.assign(time_s=study.times_s[0] + step * middle)


def _sentences(decoded: Decoded, found: scoring.Retrieval, study: TextStudy) -> pd.DataFrame:
    meta = study.test.meta
    text = meta.drop_duplicates("stimulus_id").set_index("stimulus_id")["text"]
    told = meta[["trial_id", "subject", "task"]].assign(true=meta["text"], decoded=decoded.sentences)
    return told.assign(retrieved=text.loc[list(found.chosen)].to_numpy(), rank=found.ranks)


MOST_TRIALS = 300  # a random sample of more


def exchange_relevance(
    embed: Callable[[Values, pd.DataFrame], Values], test: Trials, *, n_windows: int = 8, seed: int = 0
) -> pd.DataFrame:
    """Exchange one channel in one window among the trials of each subject, and see how much similarity is lost.

    It asks the same of every decoder, linear or not. A channel whose content others repeat loses little, however much
    it knows: this is what a decoder uses, not where the brain holds the meaning.

    Parameters
    ----------
    embed : callable
        (signals, table of trials) to vectors (n_trials, n_dimensions).
    test : Trials
    n_windows : int
        Of equal length; the last takes what is left over.
    seed : int

    Returns
    -------
    DataFrame
        A row per channel and window: channel, start, stop (samples), loss (fall of the mean cosine of decoded and true
        vectors), share (of the mean cosine without exchanges).

    Raises
    ------
    BrainalignError
        If there are fewer samples than windows.

    References
    ----------
    Breiman L (2001). Random forests. Machine Learning 45:5-32. doi:10.1023/A:1010933404324
    """
    n_times = test.signals.shape[2]
    if not 1 <= n_windows <= n_times:
        raise BrainalignError(f"{n_windows} windows of {n_times} samples; give 1 to {n_times}")
    rng = np.random.default_rng(seed)
    if len(test.meta) > MOST_TRIALS:
        test = test.select(np.sort(rng.choice(len(test.meta), MOST_TRIALS, replace=False)))
    groups = pd.factorize(test.meta["subject"])[0]
    edges = np.linspace(0, n_times, n_windows + 1).astype(int)
    whole = scoring.mean_cosine(embed(test.signals, test.meta), test.targets)
    rows = []
    for channel in range(test.signals.shape[1]):
        for start, stop in pairwise(edges):
            signals = np.array(test.signals)
            signals[:, channel, start:stop] = test.signals[permute_within(groups, 1, rng)[0], channel, start:stop]
            loss = whole - scoring.mean_cosine(embed(signals, test.meta), test.targets)
            share = loss / whole if whole > 0 else np.nan
            rows.append({"channel": channel, "start": start, "stop": stop, "loss": loss, "share": share})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Components:
    """Principal components, fitted on training sentences only.

    Attributes
    ----------
    mean : array (n_dimensions,)
    axes : array (n_components, n_dimensions)
    scale : array (n_components,)
        Standard deviation over training sentences.
    explained : float
        Share of the variance of training sentences.
    """

    mean: Values
    axes: Values
    scale: Values
    explained: float

    @classmethod
    def fit(cls, vectors: Values, n_components: int) -> "Components":
        """Return components of distinct training sentences.

        Parameters
        ----------
        vectors : array (n_sentences, n_dimensions)
            A row per sentence, however often it was read.
        n_components : int

        Raises
        ------
        BrainalignError
            If sentences or dimensions are too few, or a vector is not finite.
        """
        check_finite("sentence vectors", vectors, "extract the features again")
        vectors = np.asarray(vectors, dtype=np.float64)
        if min(len(vectors) - 1, vectors.shape[1]) < n_components:
            raise BrainalignError(
                f"{n_components} components need more than {len(vectors)} training sentences of {vectors.shape[1]} "
                "dimensions; lower decode.n_components"
            )
        mean = vectors.mean(axis=0)
        _, values, axes = np.linalg.svd(vectors - mean, full_matrices=False)
        scale = values[:n_components] / np.sqrt(len(vectors))
        if not scale.min() > 1e-9 * scale.max():
            raise BrainalignError(
                f"the training sentences span {int((values > 1e-9 * values[0]).sum())} dimensions, fewer than the "
                f"{n_components} components asked for; lower decode.n_components"
            )
        explained = float((values[:n_components] ** 2).sum() / (values**2).sum())
        return cls(mean, axes[:n_components], scale, explained)

    def transform(self, vectors: Values) -> Values:
        """Return components (n, n_components) of vectors (n, n_dimensions)."""
        return np.asarray((vectors - self.mean) @ self.axes.T / self.scale)

    def inverse(self, components: Values) -> Values:
        """Return vectors (n, n_dimensions) of components (n, n_components)."""
        return np.asarray(components * self.scale @ self.axes + self.mean)
