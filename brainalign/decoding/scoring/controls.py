"""The control matrix: a decoder trained and tested on brains, noise and shuffled pairs, every cell scored alike.

What a language model, a prior over sentences or the order of trials give by themselves, they give with noise as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_rows, check_shape
from brainalign.decoding.scoring.nuisance import decode_neighbours
from brainalign.decoding.scoring.pair_scores import PairScore, label_hits, retrieval_hits
from brainalign.decoding.scoring.retrieval import group_of_stimuli
from brainalign.decoding.scoring.surrogates import Keep, phase_randomised, spectrum_noise, time_reversed
from brainalign.decoding.training import Trials, check_unseen
from brainalign.statistics import MIN_UNITS, Interval, crossed_bootstrap, pairing_test, permute_within

Decode = Callable[[Values, pd.DataFrame], Any]

TRAINED = ("brain", "noise", "shuffled")
TESTED = (*TRAINED, "phase-randomised", "time-reversed")


class Fit(Protocol):
    """Fits any decoder and returns what decodes."""

    def __call__(self, signals: Values, targets: Values, meta: pd.DataFrame, seed: int) -> Decode:
        """Return (signals, meta) to outputs, from training trials; `seed` is for the decoder's own chances."""


@dataclass(frozen=True)
class ControlMatrix:
    """Every cell of the matrix.

    Attributes
    ----------
    table : DataFrame
        A row per cell and measure: trained, tested, measure, value (mean over seeds), sd_seeds, chance (mean of the
        null), null_sd, limit (chance + 3 null_sd), p (of exchanges of distinct stimuli), n_seeds, n_trials, n_stimuli.
    pair_scores : dict
        By (trained, tested, measure), array (n_trials, n_stimuli), mean over seeds.
    shown : array (n_trials,)
        Column of the right stimulus.
    groups : array (n_stimuli,)
        Stimuli are exchanged within these.
    subjects : array (n_trials,)
        Whose trial it is.
    n_permutations : int
    seed : int
        Of exchanges and intervals.
    """

    table: pd.DataFrame
    pair_scores: dict[tuple[str, str, str], Values]
    shown: NDArray[np.intp]
    groups: NDArray[np.intp]
    subjects: NDArray[Any]
    n_permutations: int
    seed: int = 0

    def cell(self, trained: str, tested: str, measure: str) -> "pd.Series[Any]":
        """Return one row of the table."""
        table = self.table
        rows = (table["trained"] == trained) & (table["tested"] == tested) & (table["measure"] == measure)
        return table[rows].iloc[0]

    def gain(self, trained: str, tested: str, measure: str, confidence: float = 0.98) -> Interval:
        """Compute the lead of the cell brain / brain over another, over subjects and stimuli; both cells may decode."""
        own, other = (self.pair_scores[(*cell, measure)] for cell in (("brain", "brain"), (trained, tested)))
        return self._interval(own - other, confidence)

    def beats(self, pair_scores: Values, measure: str, level: float) -> bool:
        """Return whether brain / brain is above other scores of the same trials, by exchanges and by the interval.

        Parameters
        ----------
        pair_scores : array (n_trials, n_stimuli)
            Of another cell, or of what needs no signal, see `nuisance_scores`.
        measure : str
        level : float
            Too few distinct stimuli for an interval beat nothing.
        """
        own = self.pair_scores[("brain", "brain", measure)]
        check_shape("pair_scores", pair_scores.shape, own.shape, "the matrix has", "score the same trials and stimuli")
        gains = own - pair_scores
        test = pairing_test(gains, self.shown, self.groups, self.n_permutations, self.seed)
        return test.p <= level and test.n_stimuli >= MIN_UNITS and self._interval(gains, 1 - 2 * level).low > 0

    def _interval(self, gains: Values, confidence: float) -> Interval:
        own = gains[np.arange(len(self.shown)), self.shown]
        # Whether a decoder uses the brain is asked of these subjects.
        return crossed_bootstrap(own, self.subjects, self.shown, confidence, seed=self.seed, general=False)


def control_matrix(
    fit: Fit,
    train: Trials,
    test: Trials,
    score: PairScore = retrieval_hits,
    *,
    other_tests: Mapping[str, Values] | None = None,
    trained_on: Sequence[str] = TRAINED,
    tested_on: Sequence[str] = TESTED,
    within: Sequence[str] = ("subject", "task"),
    seeds: Sequence[int] = (0, 1, 2),
    keep: Keep = "power",
    n_permutations: int = 1000,
) -> ControlMatrix:
    """Fit the decoder on each kind of training trials, and score it on each kind of test trials.

    Parameters
    ----------
    fit : callable
        (signals, targets, meta, seed) to a callable (signals, meta) to outputs.
    train, test : Trials
        Of different stimuli.
    score : callable
        (outputs, distinct stimuli) to scores of every pair; see `retrieval_hits`, `content_hits`, `label_hits`.
    other_tests : mapping of arrays like `test.signals`, optional
        Further inputs of the same trials that should not do as well: "pre-stimulus", "EOG only".
    trained_on : sequence of str
        Of "brain", "noise" (equal mean spectrum, each subject's own) and "shuffled" (signals of other trials).
    tested_on : sequence of str
        The same and "phase-randomised", "time-reversed".
    within : sequence of str
        Columns within which signals are shuffled.
    seeds : sequence of int
        One fit, and one draw of noise and shuffles, for each.
    keep : {"power", "cross-spectrum"}
        What noise and random phases keep.
    n_permutations : int

    Raises
    ------
    BrainalignError
        If a stimulus is in train and test, also under another id, a name is unknown, "brain" is not among both, or
        shapes differ.
    """
    others = dict(other_tests or {})
    check_unseen([train], [test])
    for chosen, menu in ((trained_on, TRAINED), (tested_on, TESTED)):
        for name in chosen:
            check_choice("a kind of trials", name, menu)
        if "brain" not in chosen:
            raise BrainalignError(f"a control matrix compares with 'brain'; add it to {list(chosen)}")
    for name, signals in others.items():
        check_rows(f"other_tests[{name!r}]", len(signals), "test", len(test.meta), "give the same trials")
        if name in TESTED:
            raise BrainalignError(f"other_tests has {name!r}, which is made here; choose another name")
    distinct = test.distinct()
    shown = test.shown(distinct)
    groups = group_of_stimuli(test.meta["task"].to_numpy(), shown, distinct.meta["stimulus_id"].to_numpy())
    sums: dict[tuple[str, str, str], Values] = {}
    values: dict[tuple[str, str, str], list[float]] = {}
    for seed in seeds:
        inputs = {name: altered(test, name, np.random.default_rng([seed, k]), within, keep) for k, name in
                  enumerate(tested_on)}  # fmt: skip
        inputs |= {name: replace(test, signals=signals) for name, signals in others.items()}
        for k, trained in enumerate(trained_on):
            given = altered(train, trained, np.random.default_rng([seed, k, 1]), within, keep)
            decode = fit(given.signals, given.targets, given.meta, seed)
            for tested, trials in inputs.items():
                for measure, scores in score(decode(trials.signals, trials.meta), distinct).items():
                    key = (trained, tested, measure)
                    sums[key] = sums.get(key, 0) + scores / len(seeds)
                    values.setdefault(key, []).append(float(scores[np.arange(len(shown)), shown].mean()))
    rows = []
    for (trained, tested, measure), scores in sums.items():
        found = pairing_test(scores, shown, groups, n_permutations, seeds[0])
        of_seeds = values[(trained, tested, measure)]
        sd = np.std(of_seeds, ddof=1) if len(of_seeds) > 1 else np.nan
        row = {"trained": trained, "tested": tested, "measure": measure, "value": found.value, "sd_seeds": sd}
        row |= {"chance": found.null_mean, "null_sd": found.null_sd, "limit": found.null_mean + 3 * found.null_sd}
        rows.append(row | {"p": found.p, "n_seeds": len(of_seeds)} | found.counts())
    subjects = test.meta["subject"].to_numpy()
    return ControlMatrix(pd.DataFrame(rows), sums, shown, groups, subjects, n_permutations, seeds[0])


def altered(trials: Trials, kind: str, rng: np.random.Generator, within: Sequence[str], keep: Keep) -> Trials:
    """Return trials with signals of one kind of `TESTED`, shuffled within columns; targets and table stay."""
    signals, lengths = trials.signals, trials.n_samples
    if kind == "noise":
        signals = spectrum_noise(signals, rng, trials.meta["subject"].to_numpy(), keep, lengths)
    elif kind == "phase-randomised":
        signals = phase_randomised(signals, rng, keep, lengths)
    elif kind == "time-reversed":
        signals = time_reversed(signals, lengths)
    elif kind == "shuffled":
        groups = trials.column(*within).groupby(list(within), sort=False).ngroup().to_numpy()
        order, meta = permute_within(groups, 1, rng)[0], trials.meta
        if lengths is not None:  # they go with the signals
            meta = meta.assign(n_samples=lengths[order])
        return Trials(signals[order], trials.targets, meta)
    return replace(trials, signals=signals)


def leave_block_out(
    fit: Fit,
    trials: Trials,
    score: PairScore = retrieval_hits,
    *,
    label: str | None = None,
    answers: Callable[[Trials], Callable[[Values], Any]] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Train on the other blocks of a recording, test on the one left out.

    Slow drifts tell trials of a block from others. Where blocks differ in task or label, a split by text alone lets a
    decoder read the time of the session. Where blocks are shorter than what they hold (a topic, a condition), the
    blocks beside them tell it still; so what trials nearby tell without any signal is scored in the same folds.

    Parameters
    ----------
    fit : callable
        As for `control_matrix`.
    trials : Trials
        The table has the column block. Training trials share no stimulus with the block left out.
    score : callable
        Outputs are compared with all distinct stimuli of `trials`.
    label : str, optional
        Column whose value is decoded, scored by whether it is right; vectors are decoded where not given.
    answers : callable, optional
        From the training trials of a fold to what makes of vectors what `score` takes.
    seed : int

    Returns
    -------
    DataFrame
        A row per block and measure: block, measure, value, chance (the mean over all stimuli of each trial's task),
        neighbours (the same trials decoded from targets of training trials near them in the session; NaN without
        trial_index, and without `label` or `answers` where `score` is not of vectors, as `retrieval_hits` is),
        n_trials, n_stimuli.

    Raises
    ------
    BrainalignError
        If there is one block, or a block leaves nothing to train on.
    """
    blocks = trials.column("block")["block"].to_numpy()
    if len(np.unique(blocks)) < 2:
        raise BrainalignError(f"all {len(blocks)} trials are of block {blocks[0]!r}; leaving it out leaves nothing")
    distinct = trials.distinct()
    shown = trials.shown(distinct)
    # What tells tasks apart is no evidence of stimuli: the matrix exchanges them within the task only.
    task = np.unique(trials.meta["task"].to_numpy().astype(str), return_inverse=True)[1]
    of_task = np.zeros((task.max() + 1, len(distinct.meta)))  # a stimulus may be of several tasks
    of_task[task, shown] = 1
    of_task /= of_task.sum(axis=1, keepdims=True)
    hits = label_hits(label) if label else score
    rows = []
    for block in pd.unique(blocks):
        held = blocks == block
        kept = ~held & ~np.isin(shown, shown[held])
        if not kept.any():
            raise BrainalignError(f"every stimulus of the other blocks is in block {block!r}, too; nothing to train on")
        given, tested = trials.select(kept), trials.select(held)
        decode = fit(given.signals, given.targets, given.meta, seed)
        nearby = None
        if label or answers or score is retrieval_hits:  # vectors are what no other score is known to take
            nearby = decode_neighbours(given, tested, label, answers(given) if answers else None)
        beside = {} if nearby is None else hits(nearby, distinct)
        right = np.arange(held.sum()), shown[held]
        for measure, scores in hits(decode(tested.signals, tested.meta), distinct).items():
            row = {
                "block": block,
                "measure": measure,
                "value": float(scores[right].mean()),
                "chance": float((scores * of_task[task[held]]).sum(axis=1).mean()),
                "neighbours": float(beside[measure][right].mean()) if measure in beside else np.nan,
                "n_trials": int(held.sum()),
                "n_stimuli": len(np.unique(shown[held])),
            }
            rows.append(row)
    return pd.DataFrame(rows)
