"""Of decoders."""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from brainalign import decoding
from seeded.worlds import RNG, X, Y


def meta(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "stimulus_id": [f"s{k % 8}" for k in range(n)],
            "subject": np.repeat(["01", "02"], n // 2),
            "task": "reading",
            "trial_index": np.tile(np.arange(n // 2), 2),
            "split": np.where(np.arange(n) % 4 == 3, "val", "train"),
        }
    )


SIGNALS = RNG(5).normal(size=(24, 3, 32))
TRIALS = decoding.Trials(SIGNALS, X[np.arange(24) % 8], meta(24))


def text_network(seed: int) -> Any:
    """Return the decoded vectors of the network that a study makes of its options."""
    made = importlib.import_module("brainalign.decoding.text.text_decoders").decoder_of(
        {"decoder": "network", "n_epochs": 1, "device": "cpu", "augment": False}
    )
    return made(TRIALS, seed).embed(SIGNALS, TRIALS.meta)


ONCE = decoding.Trials(SIGNALS, X, meta(24).assign(stimulus_id=range(24)))
PLACE = np.outer(np.arange(24) % 12 - 5.5, X[0])  # what the place in the session tells
IN_TURN = decoding.Trials(SIGNALS, X + PLACE, ONCE.meta)


def half(trials: decoding.Trials, part: int) -> decoding.Trials:
    """Return trials of four of the eight stimuli."""
    return trials.select(np.arange(len(trials.meta)) % 8 // 4 == part)


def zero(*_: Any) -> Callable[..., np.ndarray]:
    """Fit a decoder that is what a seed says: the last argument."""
    noise = RNG(0 if len(_) < 4 else _[3])
    return lambda signals, meta: noise.normal(size=(len(signals), 6))


def fixed(*_: Any) -> Callable[..., np.ndarray]:
    return lambda signals, meta: signals.mean(axis=2) @ X[:3]


def matrix(seed: int, fit: Any) -> decoding.ControlMatrix:
    return decoding.control_matrix(fit, half(TRIALS, 0), half(TRIALS, 1), seeds=(seed,), n_permutations=19)


def learned(signals: np.ndarray, targets: np.ndarray, *_: Any) -> Callable[..., np.ndarray]:
    weights = np.linalg.lstsq(signals.mean(axis=2), targets, rcond=None)[0]
    return lambda given, _: given.mean(axis=2) @ weights


def cell_against_another(seed: int) -> decoding.ControlMatrix:
    scores = {("brain", name, "hit"): RNG(k).normal(size=(24, 24)) for k, name in enumerate(("brain", "noise"))}
    people = np.repeat(["a", "b"], 12)
    return decoding.ControlMatrix(pd.DataFrame(), scores, np.arange(24), np.zeros(24, dtype=int), people, 19, seed)


SERIES = RNG(6).normal(size=(8, 60, 6)).astype(np.float32)
PEOPLE = [f"p{k}" for k in range(8)]
OF = ["n", "m"] * 3
FILLED = {
    name: decoding.filled_sums(lambda series, _, share=share: share * series, SERIES, decoding.hidden_masks(8, OF, 1))
    for name, share in (("a", 0.5), ("b", 0.4))
}
WORDS = ["one two", "two three", "four", "five six one", "seven", "eight two", "nine", "ten"]
SETS = np.arange(8)


def masked(**options: Any) -> decoding.MaskedBrainModel:
    small = {"segment_frames": 10, "width": 4, "hidden_width": 4, "n_steps": 1, "batch_size": 4, "device": "cpu"}
    return decoding.MaskedBrainModel(**small | options)


@cache
def trained() -> decoding.MaskedBrainModel:
    return masked().fit(SERIES)


def tuned(seed: int) -> list[Any]:
    fitted = decoding.FineTuned(trained(), n_steps=2, batch_size=3, n_segments=2, seed=seed).fit(SERIES, ["a", "b"] * 4)
    return list(fitted._read.parameters())  # predictions are labels, most of them the same


class Halved(decoding.ConditionalGaussian):
    """Keeps which regions were hidden when penalties were compared: what they choose is often the same."""

    def reconstruct(self, series: Any, hidden: Any) -> Any:
        self.hidden = hidden
        return super().reconstruct(series, hidden)


def studied(seed: int) -> Any:
    given = SERIES, PEOPLE, np.arange(8) < 3, [f"r{k}" for k in range(6)], OF, masked
    sizes = {"lags": (0, 1), "n_halves": 1, "n_traces": 1, "n_draws": 9, "network_permutations": 9}
    return decoding.masked_study(*given, **sizes, seed=seed)


def grounded(seed: int) -> decoding.GroundedLanguage:
    return decoding.GroundedLanguage(4, 6, n_steps=1, relation_steps=1, batch_size=6, device="cpu", seed=seed)


APART = np.eye(3)[np.arange(24) % 3]  # clusters that any start finds
SAID = np.eye(8, dtype=bool)[np.arange(24) % 8]
PLACES = RNG(7).normal(size=(24, 2, 3))


def ground(seed: int) -> decoding.GroundStudy:
    parts = np.arange(24) < 16, np.arange(24) >= 16
    return decoding.ground_study(grounded(0), grounded(0), X[:8], SAID, PLACES, *parts, n_permutations=19, seed=seed)


def scenes(seed: int) -> pd.DataFrame:
    scores, best = RNG(1).normal(size=(2, 24, 24))
    return decoding.scene_retrieval(scores, np.arange(24) // 2, best=best, n_permutations=19, n_draws=9, seed=seed)


def labels_of(seed: int) -> pd.DataFrame:
    wordings = {"a": X[:2], "b": Y[:2]}
    told = np.where(SETS[np.arange(24) % 8] < 4, "a", "b")
    return decoding.zero_shot_labels(X, Y, np.arange(24) % 8, told, wordings, np.zeros(6), n_permutations=19, seed=seed)


def persons(seed: int) -> pd.DataFrame:
    given = {"correlation": X}, Y[:, 0], [f"p{k}" for k in range(24)]
    return decoding.person_scores(*given, n_folds=2, n_repeats=1, n_permutations=2, n_draws=9, seed=seed)


def regions(seed: int) -> pd.DataFrame:
    class Plain:
        def predict(self, vectors: np.ndarray) -> np.ndarray:
            return vectors

    spaces = {"a": (X[:12], X[12:]), "b": (Y[:12], Y[12:])}
    everywhere = {"all": np.arange(6)}
    given = spaces, Y[:12], Y[12:] + X[12:], everywhere, lambda *_: Plain()
    return decoding.word_regions(*given, n_permutations=19, n_draws=9, seed=seed)


def text_study(seed: int) -> dict[str, pd.DataFrame]:
    """Return the tables of a study whose decoder is fixed; test sentences are others than training sentences."""
    table = meta(24).assign(text=[f"{WORDS[k % 8]} {k % 8}" for k in range(24)], trial_id=range(24))
    vectors = X[:8] + np.outer(np.arange(8) - 3.5, X[0])
    every = decoding.Trials(SIGNALS, vectors[np.arange(24) % 8], table.assign(trial_index=np.arange(24) % 8))
    train, val, test = (every.select(np.isin(np.arange(24) % 8, some)) for some in ((0, 2, 5, 7), (3,), (1, 4, 6)))
    beside = decoding.Components.fit(X, 6), test.targets, {}, {}, list("abc"), np.arange(32) / 32
    study, fit = decoding.TextStudy(train, val, test, *beside), decoding.TextFit(fixed(), None, None, {})
    sizes = {"n_permutations": 19, "n_draws": 9, "n_averages": 2, "leave_out_blocks": False}
    return decoding.study_text(study, lambda *_: fit, seeds=(seed,), **sizes).tables


def shared(seed: int) -> np.ndarray:
    space = decoding.SharedSpace(steps=1, width=4, n_experts=2, router=4, batch_size=8, seed=seed)
    return space.fit({"eeg": TRIALS}).embed("eeg", SIGNALS, TRIALS.meta["subject"])


ALONE = TRIALS.meta.assign(subject="01")
REPEATED = SIGNALS[..., :2].reshape(24, 6), ALONE, lambda signals, _: signals, X[:8], [f"s{k}" for k in range(8)]
DECODING: dict[str, Callable[[int], Any]] = {
    "ConditionalGaussian": lambda s: Halved(penalties=(0.5, 5.0), seed=s).fit(SERIES, PEOPLE).hidden,
    "FineTuned": tuned,
    "GroundedLanguage": lambda s: grounded(s).fit(X[:8], [[k % 8] for k in range(24)], PLACES).embed(),
    "MaskedBrainModel": lambda s: masked(seed=s).fit(SERIES).region_embeddings_,
    "SharedSpace": shared,
    "ControlMatrix, exchanges": lambda s: cell_against_another(s).difference("brain", "noise", "hit").null_mean,
    "ControlMatrix, draws": lambda s: cell_against_another(s).gain("brain", "noise", "hit"),
    "control_matrix, altered training": lambda s: matrix(s, learned).pair_scores["noise", "brain", "top-1"],
    "control_matrix, altered signals": lambda s: matrix(s, fixed).pair_scores,
    "control_matrix, decoder": lambda s: matrix(s, zero).pair_scores["brain", "brain", "top-1"],
    "control_matrix, exchanges": lambda s: matrix(s, fixed).cell("brain", "brain", "top-1")["chance"],
    "fill_table": lambda s: decoding.fill_table(FILLED, PEOPLE, reference="a", networks=OF, n_draws=9, seed=s)["low"],
    "ground_study, pairs": lambda s: ground(s).spaces["shuffled"],
    "ground_study, exchanges": lambda s: ground(s).retrieval.query("space == 'grounded'")["null_mean"],
    "leave_block_out": lambda s: decoding.leave_block_out(
        zero, decoding.Trials(SIGNALS, X, meta(24).assign(block=np.arange(24) % 8 // 2)), seed=s
    )["value"],
    "masked_study, fills": lambda s: studied(s).filled.query("kind == 'baseline'")["r2"],
    "masked_study, networks": lambda s: studied(s).agreement["null_mean"],
    "network_agreement": lambda s: decoding.network_agreement({"a": APART}, ["a", "b", "c"] * 8, 9, s)["null_mean"],
    "norm_prediction": lambda s: decoding.norm_prediction(
        {"text": X}, pd.DataFrame(Y[:, :2]), n_folds=3, n_permutations=3, n_draws=9, seed=s
    ),
    "nuisance_scores": lambda s: decoding.nuisance_scores(
        half(IN_TURN, 0), half(IN_TURN, 1), n_permutations=19, seed=s
    ).table.filter(like="null"),
    "person_scores": persons,
    "repeat_curve": lambda s: decoding.repeat_curve(*REPEATED, n_draws=2, seed=s),
    "scene_retrieval, differences": lambda s: scenes(s)["difference_low"],
    "scene_retrieval, draws": lambda s: scenes(s)["low"],
    "scene_retrieval, exchanges": lambda s: scenes(s)["null_mean"],
    "space_retrieval, draws": lambda s: decoding.space_retrieval(
        {"eeg": X + Y}, {"eeg": ONCE}, kinds=("image",), top=(1, 3), n_permutations=19, seed=s
    )[["low", "high"]],
    "space_retrieval, exchanges": lambda s: decoding.space_retrieval(
        {"eeg": X + Y}, {"eeg": ONCE}, kinds=("image",), top=(1,), n_permutations=19, seed=s
    )["null_mean"],
    "study_text, controls": lambda s: text_study(s)["controls"],
    "study_text, nuisances": lambda s: text_study(s)["nuisances"],
    "study_text, retrieval": lambda s: text_study(s)["retrieval"].drop(columns="seed"),
    "study_text, subjects": lambda s: text_study(s)["averaged"],
    "study_text, relevance": lambda s: text_study(s)["relevance"],
    "subject_curve": lambda s: decoding.subject_curve(
        X, TRIALS.meta.assign(subject=np.arange(24) // 8), Y[:8], [f"s{k}" for k in range(8)], n_draws=2, seed=s
    ),
    "text_scores": lambda s: decoding.text_scores(
        WORDS[::-1], WORDS, measures=("bleu1",), n_permutations=9, seed=s
    ).filter(like="null"),
    "word_axes": lambda s: decoding.word_axes(
        X, list("abcdefghijklmnopqrstuvwx"), pd.DataFrame(Y), n_permutations=19, seed=s
    ).attributes["null_high"],
    "word_clusters": lambda s: decoding.word_clusters({"a": APART}, ["a", "b", "c"] * 8, n_permutations=9, seed=s)[
        "null_mean"
    ],
    "word_regions, draws": lambda s: regions(s)["low"],
    "word_regions, exchanges": lambda s: regions(s)["null_high"],
    "word_t5": lambda s: decoding.word_t5(WORDS, s, n_steps=1, width=8).text_states(WORDS),
    "zero_shot_labels": lambda s: labels_of(s).table["null_mean"],
    "batches": lambda s: list(decoding.batches(10, 4, 3, RNG(s))),
    "exchange_relevance": lambda s: decoding.exchange_relevance(
        lambda signals, _: signals.mean(axis=2) @ X[:3], TRIALS, n_windows=2, seed=s
    ),
    "hidden_masks": lambda s: decoding.hidden_masks(6, np.repeat(["a", "b"], 4), 2, s),
    "null_trials": lambda s: decoding.null_trials({"train": TRIALS}, "noise", s)["train"].signals,
    "permuted_frames": lambda s: decoding.permuted_frames(SIGNALS, RNG(s)),
    "phase_randomised": lambda s: decoding.phase_randomised(SIGNALS, RNG(s)),
    "retrieval_accuracy": lambda s: decoding.retrieval_accuracy(
        X + Y, X[:8], np.arange(24) % 8, np.arange(8), top=(1,), ways=(2,), n_permutations=19, n_draws=19, seed=s
    ),
    "shifted_regions": lambda s: decoding.shifted_regions(np.swapaxes(SIGNALS, 1, 2), RNG(s)),
    "spectrum_noise": lambda s: decoding.spectrum_noise(SIGNALS, RNG(s)),
    "TextDecoder, in a study": text_network,
}
