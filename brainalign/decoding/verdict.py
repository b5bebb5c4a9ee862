"""In plain words: does a decoder use the brain?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainalign.checks import BrainalignError
from brainalign.decoding.controls import TRAINED, ControlMatrix
from brainalign.statistics import MIN_UNITS

__all__ = ["Verdict", "verdict"]

NEEDED = (("brain", "brain"), ("brain", "noise"), ("noise", "brain"), ("shuffled", "brain"))
# What still scores with these tells what a decoder uses, not that it uses nothing.
SURVIVE = {
    "phase-randomised": (
        "With random phases the score stays above chance ({value:.3f}): it uses power or length.",
        "With random phases the score is not above chance ({value:.3f}): what it uses is locked to the stimulus.",
    ),
    "time-reversed": (
        "Played backwards the score stays above chance ({value:.3f}): part of what it uses needs no order in time.",
        "Played backwards the score is not above chance ({value:.3f}): it uses the order in time.",
    ),
}


@dataclass(frozen=True)
class Verdict:
    """What the controls say.

    Attributes
    ----------
    uses_brain : bool
        Brain signals score above chance, and above every input and training that holds no brain.
    sentences : tuple of str
        The first is the verdict.
    """

    uses_brain: bool
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.sentences)


def verdict(
    matrix: ControlMatrix, measure: str | None = None, blocks: pd.DataFrame | None = None, level: float = 0.01
) -> Verdict:
    """Say whether a decoder uses the brain.

    It does if brain / brain is above chance, and above every cell without brain signals (noise, shuffled pairs and
    other inputs), each at `level` by exchanges of distinct stimuli; if the interval of its gain over each of them
    (subjects and stimuli drawn anew) is above 0, as exchanges do not tell which of two cells that both decode is the
    better; and if blocks left out score above chance (by more than two standard errors over blocks) where given.

    Parameters
    ----------
    matrix : ControlMatrix
    measure : str, optional
        The first of the matrix where not given.
    blocks : DataFrame, optional
        From `leave_block_out`.
    level : float

    Raises
    ------
    BrainalignError
        If the matrix lacks a cell that a verdict rests on, or its permutations cannot reach `level`.
    """
    table = matrix.table
    measure = str(table["measure"].iloc[0]) if measure is None else measure
    cells = list(table.loc[table["measure"] == measure, ["trained", "tested"]].itertuples(index=False, name=None))
    missing = [f"{trained} / {tested}" for trained, tested in NEEDED if (trained, tested) not in cells]
    if missing:
        raise BrainalignError(f"no verdict on {measure!r} without the cells (trained / tested) {', '.join(missing)}")
    if 1 / (1 + matrix.n_permutations) > level:
        raise BrainalignError(f"{matrix.n_permutations} permutations cannot reach p {level}; take 1000 or more")
    real = matrix.cell("brain", "brain", measure)
    score = f"{measure} {real['value']:.3f}, chance {real['chance']:.3f}, p {real['p']:.3f}"
    as_good = []
    for trained, tested in cells:
        without = trained != "brain" or tested not in {"brain", *SURVIVE}
        # Trained without brain signals, only the main inputs are compared: the others ask what a decoder of them uses.
        asked = trained == "brain" or tested in TRAINED
        if without and asked and not _beaten(matrix, trained, tested, measure, level):
            as_good.append((trained, tested, matrix.cell(trained, tested, measure)["value"]))
    in_blocks, block_words = _blocks(blocks, measure)
    if real["p"] > level:
        said = f"Nothing shows that the decoder uses the brain: it scores at chance ({score})."
    elif as_good:
        trained, tested, value = max(as_good, key=lambda one: one[2])
        said = (
            f"The decoder does not use the brain: trained on {_words(trained)} and tested on {_words(tested)} it "
            f"scores {value:.3f}, which brain signals do not beat ({score})."
        )
    elif not in_blocks:
        said = f"Nothing shows that the decoder uses more than the time of the session ({score})."
    else:
        said = f"The decoder uses the brain: {score}, above every input and training without brain signals."
    uses = real["p"] <= level and not as_good and in_blocks
    return Verdict(bool(uses), (said, *block_words, *_survivors(matrix, measure, cells, level)))


def _beaten(matrix: ControlMatrix, trained: str, tested: str, measure: str, level: float) -> bool:
    """Return whether brain / brain is above a cell, by exchanges and by the interval of the gain."""
    test = matrix.difference(trained, tested, measure)
    if test.p > level or test.n_stimuli < MIN_UNITS:  # too few for an interval show nothing
        return False
    return matrix.gain(trained, tested, measure, confidence=1 - 2 * level).low > 0


def _words(kind: str) -> str:
    return {"brain": "brain signals", "shuffled": "shuffled pairs"}.get(kind, kind)


def _blocks(blocks: pd.DataFrame | None, measure: str) -> tuple[bool, list[str]]:
    if blocks is None:
        return True, []
    gain = (blocks["value"] - blocks["chance"])[blocks["measure"] == measure].to_numpy()
    above = bool(gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain)))
    said = "above" if above else "not above"
    return above, [f"Blocks left out score {gain.mean():+.3f} from chance on average, {said} it ({len(gain)} blocks)."]


def _survivors(matrix: ControlMatrix, measure: str, cells: list[tuple[str, str]], level: float) -> list[str]:
    said = []
    for tested, (above, at_chance) in SURVIVE.items():
        if ("brain", tested) in cells and matrix.cell("brain", "brain", measure)["p"] <= level:
            cell = matrix.cell("brain", tested, measure)
            said.append((above if cell["p"] <= level else at_chance).format(value=cell["value"]))
    return said
