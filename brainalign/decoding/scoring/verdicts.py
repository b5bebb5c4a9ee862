"""In plain words: does a decoder use the brain?"""

from dataclasses import dataclass

import pandas as pd
from scipy.stats import ttest_1samp

from brainalign.checks import BrainalignError
from brainalign.decoding.scoring.controls import TRAINED, ControlMatrix
from brainalign.decoding.scoring.nuisance import OF_TIME, NuisanceScores
from brainalign.decoding.scoring.pair_scores import TWO_WAY

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
        Brain signals score above chance, above every input and training that holds no brain, and above what is known
        of a trial without any signal.
    sentences : tuple of str
        The first is the verdict.
    not_excluded : tuple of str
        Nuisances that explain a score above chance as well as the brain does, the best first; "place in the session"
        where nobody looked.
    blocks_fail : bool
        A score above chance does not hold where blocks are left out.
    """

    uses_brain: bool
    sentences: tuple[str, ...]
    not_excluded: tuple[str, ...] = ()
    blocks_fail: bool = False

    def __str__(self) -> str:
        return " ".join(self.sentences)


def verdict(
    matrix: ControlMatrix,
    measure: str | None = None,
    blocks: pd.DataFrame | None = None,
    level: float = 0.01,
    *,
    nuisances: NuisanceScores | None = None,
) -> Verdict:
    """Say whether a decoder uses the brain.

    It does if all of these hold:

    - brain / brain is above chance, and above every cell without brain signals (noise, shuffled pairs and other
      inputs), each at `level` by exchanges of distinct stimuli, and by the interval of its gain over each of them
      (subjects and stimuli drawn anew), as exchanges do not tell which of two cells that both decode is the better;
    - it is above every nuisance in the same way: length, word frequency, place in the session, ...;
    - blocks left out, where given, score above chance and above what trials nearby tell, by a one-sided t test over
      blocks at `level`. Then they answer the nuisances of time, which a slow drift would tell: these need not be
      beaten. Without blocks they must be, and where neither is given nothing is shown.

    Parameters
    ----------
    matrix : ControlMatrix
    measure : str, optional
        Where not given 2-way, or the first of a matrix without: with 50 sentences and weak signals .27 of simulated
        studies of one person were said to use the brain by top-1, all by 2-way, and none where nothing was planted.
    blocks : DataFrame, optional
        From `leave_block_out`.
    level : float
    nuisances : NuisanceScores, optional
        From `nuisance_scores`, of the same training and test trials.

    Raises
    ------
    BrainalignError
        If the matrix lacks a cell that a verdict rests on, its permutations cannot reach `level`, or nuisances lack
        the measure or are of other trials.
    """
    table = matrix.table
    if measure is None:
        measure = TWO_WAY if TWO_WAY in set(table["measure"]) else str(table["measure"].iloc[0])
    cells = list(table.loc[table["measure"] == measure, ["trained", "tested"]].itertuples(index=False, name=None))
    if missing := [f"{trained} / {tested}" for trained, tested in NEEDED if (trained, tested) not in cells]:
        raise BrainalignError(f"no verdict on {measure!r} without the cells (trained / tested) {', '.join(missing)}")
    if 1 / (1 + matrix.n_permutations) > level:
        raise BrainalignError(f"{matrix.n_permutations} permutations cannot reach p {level}; take 1000 or more")
    real = matrix.cell("brain", "brain", measure)
    p = f"= {real['p']:.3f}" if real["p"] >= 0.001 else "< 0.001"
    score = f"{measure} {real['value']:.3f}, chance {real['chance']:.3f}, p {p}"
    as_good = []
    for trained, tested in cells:
        without = trained != "brain" or tested not in {"brain", *SURVIVE}
        # Trained without brain signals, only the main inputs are compared: the others ask what a decoder of them uses.
        asked = trained == "brain" or tested in TRAINED
        if without and asked and not matrix.beats(matrix.pair_scores[(trained, tested, measure)], measure, level):
            as_good.append((trained, tested, matrix.cell(trained, tested, measure)["value"]))
    in_blocks, block_words = _blocks(blocks, measure, level)
    open_to = [] if real["p"] > level else _not_excluded(matrix, measure, nuisances, blocks is not None, level)
    if real["p"] > level:
        said = f"Nothing shows that the decoder uses the brain: it scores at chance ({score})."
    elif as_good:
        *kinds, value = max(as_good, key=lambda one: one[2])
        named = {"brain": "brain signals", "shuffled": "shuffled pairs"}
        trained, tested = (named.get(kind, kind) for kind in kinds)
        said = (
            f"Nothing shows that the decoder uses the brain: trained on {trained} and tested on {tested} it "
            f"scores {value:.3f}, which brain signals do not beat at p ≤ {level:g} ({score})."
        )
    elif not in_blocks:
        said = f"Nothing shows that the decoder uses more than the time of the session ({score})."
    elif open_to and open_to[0][1] is None:
        said = (
            f"Nothing shows that the decoder uses the brain: it scores above chance ({score}), but a slow drift could "
            "tell the place in the session, and neither was that decoded without signals nor were blocks left out."
        )
    elif open_to:
        name, value = open_to[0]
        name = {"all": "all of this together", "nothing": "the mean of training trials"}.get(name, name)
        said = (
            f"Nothing shows that the decoder uses the brain: {name}, known without any signal, scores {value:.3f}, "
            f"which brain signals do not beat at p ≤ {level:g} ({score})."
        )
    else:
        beside = "" if nuisances is None else ", and above every nuisance that blocks left out do not answer"
        said = f"The decoder uses the brain: {score}, above every input and training without brain signals{beside}."
    uses = real["p"] <= level and not as_good and in_blocks and not open_to
    return Verdict(
        bool(uses),
        (said, *block_words, *_survivors(matrix, measure, cells, level, bool(uses))),
        tuple(name for name, _ in open_to),
        bool(real["p"] <= level and not in_blocks),
    )


def _not_excluded(
    matrix: ControlMatrix, measure: str, nuisances: NuisanceScores | None, has_blocks: bool, level: float
) -> list[tuple[str, float | None]]:
    """Return the nuisances that are not beaten with their scores, best first; no score where nobody looked."""
    table = pd.DataFrame(columns=["nuisance", "measure", "value"]) if nuisances is None else nuisances.table
    values = table[table["measure"] == measure].set_index("nuisance")["value"]
    if nuisances is not None and values.empty:
        names = sorted(set(table["measure"]))
        raise BrainalignError(f"nuisances are not scored by {measure!r}, but by {names}; score both alike")
    unbeaten: list[tuple[str, float | None]] = [
        (str(name), float(value))
        for name, value in values.items()
        if not (has_blocks and name in OF_TIME)
        and nuisances is not None
        and not matrix.beats(nuisances.pair_scores[(str(name), measure)], measure, level)
    ]
    unbeaten.sort(key=lambda each: -(each[1] or 0))
    if not has_blocks and not set(OF_TIME[:2]) <= set(values.index):
        unbeaten.append(("place in the session", None))
    return unbeaten


def _blocks(blocks: pd.DataFrame | None, measure: str, level: float) -> tuple[bool, list[str]]:
    if blocks is None:
        return True, []
    rows = blocks[blocks["measure"] == measure]
    gains = {"chance": rows["value"] - rows["chance"]}
    if "neighbours" in rows and rows["neighbours"].notna().any():
        gains["what trials nearby tell"] = rows["value"] - rows["neighbours"]
    above = {
        name: len(gain) > 1 and bool(ttest_1samp(gain, 0, alternative="greater").pvalue < level)
        for name, gain in gains.items()
    }
    parts = [
        f"{gains[name].mean():+.3f} from {name} ({'above' if over else 'not above'} it)" for name, over in above.items()
    ]
    return all(above.values()), [f"Blocks left out score {', '.join(parts)} on average of {len(rows)} blocks."]


def _survivors(
    matrix: ControlMatrix, measure: str, cells: list[tuple[str, str]], level: float, uses: bool
) -> list[str]:
    said = []
    for tested, (above, at_chance) in SURVIVE.items():
        if ("brain", tested) in cells and matrix.cell("brain", "brain", measure)["p"] <= level:
            cell = matrix.cell("brain", tested, measure)
            if cell["p"] <= level or uses:  # random phases take a slow drift away, too, which no stimulus is locked to
                said.append((above if cell["p"] <= level else at_chance).format(value=cell["value"]))
    return said
