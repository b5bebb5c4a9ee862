"""Words with a textual and a visual code, scenes of two objects, and captions that name them and how they relate.

    text = (u P + leak · v Q) / √12 + .3 · noise, standardised
    scene = noise, + 1.5 tanh(v W / √12) where an object is
    relation = argmax_r (v_s' B_r v_o / sd + .3 · noise)

Every word has a textual code u of one of 6 topics and a visual code v of one of 8 classes, each 1.2 · class + .7 · its
own; classes and topics are crossed. Text vectors hold u, and of v only what leaks: how things look must come from
scenes.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Rows
from brainalign.checks import BrainalignError

Values = NDArray[np.float64]

N_CODE = 12  # dimensions of u and v
N_CLASSES, N_TOPICS, N_RELATIONS = 8, 6, 6


@dataclass(frozen=True)
class GroundedWords:
    """Words, scenes, and what was planted.

    Attributes
    ----------
    words : DataFrame (n_words)
        word, visual (its class), topic.
    text : array (n_words, n_text)
        Standardised text vectors.
    visual, textual : array (n_words, 12)
        v and u, the norms.
    scenes : array (n_scenes, n_locations, n_channels)
    captions : array (n_scenes, 2) of int
        The words of subject and object.
    locations : array (n_scenes, 2) of int
        Where they are.
    relations : array (n_scenes,) of int
    certainty : array (n_scenes, n_relations)
        What the relation was drawn from, without noise: the best any decoder can know.
    swapped : array (n_scenes, n_relations)
        The same of object and subject: forms have symmetric parts, so it tells a little more than nothing.
    train : array (n_scenes,) of bool
    """

    words: pd.DataFrame
    text: Values
    visual: Values
    textual: Values
    scenes: NDArray[np.float32]
    captions: Rows
    locations: Rows
    relations: Rows
    certainty: Values
    swapped: Values
    train: NDArray[np.bool_]


def grounded_words(
    n_words: int = 240,
    n_train: int = 2500,
    n_test: int = 500,
    *,
    leak: float = 0.1,
    strength: float = 1.5,
    n_locations: int = 9,
    n_channels: int = 48,
    n_text: int = 64,
    seed: int = 0,
) -> GroundedWords:
    """Draw words and scenes.

    Parameters
    ----------
    n_words : int
        One or more for every pair of class and topic.
    n_train, n_test : int
        Scenes.
    leak : float
        How much of the visual code text vectors hold.
    strength : float
        Of the objects over unit noise; 0: scenes show nothing.
    """
    if n_words < N_CLASSES * N_TOPICS or n_locations < 2:
        raise BrainalignError(
            f"{n_words} words and {n_locations} locations; take at least {N_CLASSES * N_TOPICS} words, so that every "
            "class meets every topic, and two locations"
        )
    rng = np.random.default_rng([seed, 0x6E0])
    classes, topics = np.arange(n_words) % N_CLASSES, np.arange(n_words) // N_CLASSES % N_TOPICS
    visual, textual = _codes(classes, rng), _codes(topics, rng)
    from_text, from_vision = rng.standard_normal((2, N_CODE, n_text))
    text = (textual @ from_text + leak * visual @ from_vision) / np.sqrt(N_CODE)
    text += 0.3 * rng.standard_normal(text.shape)
    n = n_train + n_test
    captions = np.stack([rng.permutation(n_words)[:2] for _ in range(n)])
    locations = np.stack([rng.permutation(n_locations)[:2] for _ in range(n)])
    looks = np.tanh(visual @ rng.standard_normal((N_CODE, n_channels)) / np.sqrt(N_CODE))
    scenes = rng.standard_normal((n, n_locations, n_channels))
    scenes[np.arange(n)[:, None], locations] += strength * looks[captions]
    forms = rng.standard_normal((N_RELATIONS, N_CODE, N_CODE))
    certainty, swapped = (
        np.einsum("nd,rde,ne->nr", visual[captions[:, a]], forms, visual[captions[:, b]], optimize=True)
        for a, b in ((0, 1), (1, 0))
    )
    certainty, swapped = certainty / certainty.std(), swapped / certainty.std()
    return GroundedWords(
        words=pd.DataFrame(
            {
                "word": [f"word{k:03d}" for k in range(n_words)],
                "visual": [f"look{k}" for k in classes],
                "topic": [f"topic{k}" for k in topics],
            }
        ),
        text=(text - text.mean(axis=0)) / text.std(axis=0),
        visual=visual,
        textual=textual,
        scenes=scenes.astype(np.float32),
        captions=captions,
        locations=locations,
        relations=(certainty + 0.3 * rng.standard_normal(certainty.shape)).argmax(axis=1),
        certainty=certainty,
        swapped=swapped,
        train=np.arange(n) < n_train,
    )


def _codes(groups: Rows, rng: np.random.Generator) -> Values:
    """Return a code per word (n_words, 12): what its group shares, and what is its own."""
    shared = rng.standard_normal((groups.max() + 1, N_CODE))
    return np.asarray(1.2 * shared[groups] + 0.7 * rng.standard_normal((len(groups), N_CODE)))
