"""Of decoders."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from brainalign import decoding
from seeded.worlds import RNG, X, Y, case


def meta(n: int) -> pd.DataFrame:
    table = pd.DataFrame({"stimulus_id": [f"s{k % 8}" for k in range(n)], "subject": np.repeat(["01", "02"], n // 2)})
    split = np.where(np.arange(n) % 4 == 3, "val", "train")
    return table.assign(task="reading", trial_index=np.tile(np.arange(n // 2), 2), split=split)


SIGNALS = RNG(5).normal(size=(24, 3, 32))
TRIALS = decoding.Trials(SIGNALS, X[np.arange(24) % 8], meta(24))
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


WORDS = ["one two", "two three", "four", "five six one", "seven", "eight two", "nine", "ten"]
APART = np.eye(3)[np.arange(24) % 3]  # clusters that any start finds


def scenes(seed: int) -> pd.DataFrame:
    scores, best = RNG(1).normal(size=(2, 24, 24))
    return decoding.scene_retrieval(scores, np.arange(24) // 2, best=best, n_permutations=19, n_draws=9, seed=seed)


def shared(seed: int) -> np.ndarray:
    space = decoding.SharedSpace(steps=1, width=4, n_experts=2, router=4, batch_size=8, seed=seed)
    return space.fit({"eeg": TRIALS}).embed("eeg", SIGNALS, TRIALS.meta["subject"])


ALONE, NAMES = TRIALS.meta.assign(subject="01"), [f"s{k}" for k in range(8)]
REPEATED = SIGNALS[..., :2].reshape(24, 6), ALONE, lambda signals, _: signals, X[:8], NAMES
BLOCKS = decoding.Trials(SIGNALS, X, meta(24).assign(block=np.arange(24) % 8 // 2))
TURNS = half(IN_TURN, 0), half(IN_TURN, 1)
SUBJECTS = TRIALS.meta.assign(subject=np.arange(24) // 8)
LETTERS, SHOWN = list("abcdefghijklmnopqrstuvwx"), np.arange(24) % 8
SPACES = {"kinds": ("image",), "top": (1,), "n_permutations": 19}
NORMS = {"n_folds": 3, "n_permutations": 3, "n_draws": 9}
RETRIEVAL = {"top": (1,), "ways": (2,), "n_permutations": 19, "n_draws": 19}
DECODING: dict[str, Callable[[int], Any]] = {
    "SharedSpace": shared,
    "nuisance_scores": lambda s: decoding.nuisance_scores(*TURNS, n_permutations=19, seed=s).table.filter(like="null"),
    "scene_retrieval": lambda s: scenes(s)["null_mean"],
    "word_t5": lambda s: decoding.word_t5(WORDS, s, n_steps=1, width=8).text_states(WORDS),
    "null_trials": lambda s: decoding.null_trials({"train": TRIALS}, "noise", s)["train"].signals,
}
DECODING |= [
    case(decoding.leave_block_out, zero, BLOCKS, look="value"),
    case(decoding.norm_prediction, {"text": X}, pd.DataFrame(Y[:, :2]), **NORMS),
    case(decoding.repeat_curve, *REPEATED, n_draws=2),
    case(decoding.space_retrieval, {"eeg": X + Y}, {"eeg": ONCE}, **SPACES, look="null_mean"),
    case(decoding.subject_curve, X, SUBJECTS, Y[:8], NAMES, n_draws=2),
    case(decoding.word_axes, X, LETTERS, pd.DataFrame(Y), n_permutations=19, look="attributes.null_high"),
    case(decoding.word_clusters, {"a": APART}, ["a", "b", "c"] * 8, n_permutations=9, look="null_mean"),
    case(decoding.batches, 10, 4, 3),
    case(decoding.phase_randomised, SIGNALS),
    case(decoding.retrieval_accuracy, X + Y, X[:8], SHOWN, np.arange(8), **RETRIEVAL),
    case(decoding.spectrum_noise, SIGNALS),
]
