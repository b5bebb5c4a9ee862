"""Of decoders."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from brainalign import decoding
from seeded.worlds import RNG, X, Y, case


def zero(*_: Any) -> Callable[..., np.ndarray]:
    """Fit a decoder that is what a seed says: the last argument."""
    noise = RNG(0 if len(_) < 4 else _[3])
    return lambda signals, meta: noise.normal(size=(len(signals), 6))


WORDS = ["one two", "two three", "four", "five six one", "seven", "eight two", "nine", "ten"]
APART = np.eye(3)[np.arange(24) % 3]  # clusters that any start finds
PLACED = pd.DataFrame({"stimulus_id": np.arange(24) % 8, "block": np.arange(24) % 8 // 2})
BLOCKS = decoding.Trials(X, X, PLACED.assign(subject="01", task="reading"))
LETTERS = list("abcdefghijklmnopqrstuvwx")
NORMS = {"n_folds": 3, "n_permutations": 3, "n_draws": 9}
DECODING: dict[str, Callable[[int], Any]] = {
    "word_t5": lambda s: decoding.word_t5(WORDS, s, n_steps=1, width=8).text_states(WORDS)
}
DECODING |= [
    case(decoding.leave_block_out, zero, BLOCKS, look="value"),
    case(decoding.norm_prediction, {"text": X}, pd.DataFrame(Y[:, :2]), **NORMS),
    case(decoding.word_axes, X, LETTERS, pd.DataFrame(Y), n_permutations=19, look="attributes.null_high"),
    case(decoding.word_clusters, {"a": APART}, ["a", "b", "c"] * 8, n_permutations=9, look="null_mean"),
]
