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


def zero(*_: Any) -> Callable[..., np.ndarray]:
    """Fit a decoder that is what a seed says: the last argument."""
    noise = RNG(0 if len(_) < 4 else _[3])
    return lambda signals, meta: noise.normal(size=(len(signals), 6))


WORDS = ["one two", "two three", "four", "five six one", "seven", "eight two", "nine", "ten"]
APART = np.eye(3)[np.arange(24) % 3]  # clusters that any start finds


def shared(seed: int) -> np.ndarray:
    space = decoding.SharedSpace(steps=1, width=4, n_experts=2, router=4, batch_size=8, seed=seed)
    return space.fit({"eeg": TRIALS}).embed("eeg", SIGNALS, TRIALS.meta["subject"])


ALONE, NAMES = TRIALS.meta.assign(subject="01"), [f"s{k}" for k in range(8)]
REPEATED = SIGNALS[..., :2].reshape(24, 6), ALONE, lambda signals, _: signals, X[:8], NAMES
BLOCKS = decoding.Trials(SIGNALS, X, meta(24).assign(block=np.arange(24) % 8 // 2))
LETTERS = list("abcdefghijklmnopqrstuvwx")
SPACES = {"kinds": ("image",), "top": (1,), "n_permutations": 19}
NORMS = {"n_folds": 3, "n_permutations": 3, "n_draws": 9}
DECODING: dict[str, Callable[[int], Any]] = {
    "SharedSpace": shared,
    "word_t5": lambda s: decoding.word_t5(WORDS, s, n_steps=1, width=8).text_states(WORDS),
    "null_trials": lambda s: decoding.null_trials({"train": TRIALS}, "noise", s)["train"].signals,
}
DECODING |= [
    case(decoding.leave_block_out, zero, BLOCKS, look="value"),
    case(decoding.norm_prediction, {"text": X}, pd.DataFrame(Y[:, :2]), **NORMS),
    case(decoding.repeat_curve, *REPEATED, n_draws=2),
    case(decoding.space_retrieval, {"eeg": X + Y}, {"eeg": ONCE}, **SPACES, look="null_mean"),
    case(decoding.word_axes, X, LETTERS, pd.DataFrame(Y), n_permutations=19, look="attributes.null_high"),
    case(decoding.word_clusters, {"a": APART}, ["a", "b", "c"] * 8, n_permutations=9, look="null_mean"),
]
