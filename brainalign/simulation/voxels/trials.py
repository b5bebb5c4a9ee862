"""Who sees what when: the table of trials of one simulated subject."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from brainalign.checks import BrainalignError


def schedule(
    stimulus_ids: Sequence[str],
    n_repeats: int,
    n_sessions: int,
    seed: int,
    *,
    trials_per_run: int = 50,
    trial_s: float = 4.0,
) -> pd.DataFrame:
    """Spread repeats of stimuli at random over sessions and runs, an onset every `trial_s` seconds.

    The table has, in order of time, trial_id, stimulus_id, session, run (counted within the session), repeat (0 for the
    first time a stimulus is seen), onset_s (from the start of the run). There are as many trials as sessions, or more.
    """
    shown = np.repeat(np.asarray(stimulus_ids, dtype=object), n_repeats)
    if not 1 <= n_sessions <= len(shown):
        raise BrainalignError(f"{len(shown)} trials cannot fill {n_sessions} sessions; give fewer sessions")
    shown = np.random.default_rng([seed, 0x7A]).permutation(shown)
    parts = np.array_split(np.arange(len(shown)), n_sessions)
    session = np.repeat(np.arange(n_sessions), [len(part) for part in parts])
    within = np.concatenate([np.arange(len(part)) for part in parts])
    trials = pd.DataFrame(
        {
            "trial_id": [f"trial{k:05d}" for k in range(len(shown))],
            "stimulus_id": shown,
            "session": [f"{k + 1:02d}" for k in session],
            "run": [f"{k + 1:02d}" for k in within // trials_per_run],
        }
    )
    trials["repeat"] = trials.groupby("stimulus_id").cumcount()
    trials["onset_s"] = (within % trials_per_run) * trial_s
    return trials
