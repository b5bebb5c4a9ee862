"""decode: the vectors of sentences from EEG by one decoder, with every control that its sentences are shown with."""

from typing import Any

import numpy as np
import pandas as pd

from brainalign.arrays import Features, Layers, Responses
from brainalign.checks import BrainalignError
from brainalign.config import DecodeSettings
from brainalign.decoding import Components, TextStudy, Trials, decoder_of, study_text, verdict
from brainalign.workflow import Job


def decode(job: Job) -> None:
    """Decode the vectors of sentences from EEG, with every control beside."""
    options = job.options("decode", DecodeSettings)
    chosen = options.decoders[job.labels["method"]].model_dump(mode="python")
    responses = job.load("responses", Responses)
    splits = job.load("splits", pd.DataFrame)
    study = _study(responses, splits, next(iter(job.load("features", Layers, stored=True).values())), options)
    if chosen["decoder"] == "network":
        assert responses.times is not None
        chosen["sfreq"] = 1 / float(np.diff(responses.times).mean())
    blocks = chosen.pop("leave_out_blocks")
    ordered = job.details("splits").get("ordered", [])
    if ordered and not blocks:
        raise BrainalignError(
            f"decoder {job.labels['method']} leaves no blocks out, but {ordered[0]}: delete its leave_out_blocks: false"
        )
    draws: dict[str, Any] = {"n_permutations": options.permutations, "n_draws": options.draws}
    draws |= {"n_averages": options.averages, "confidence": job.settings["confidence"]}
    seeds = [job.seed + seed for seed in options.seeds]
    found = study_text(study, decoder_of(chosen), seeds=seeds, leave_out_blocks=blocks, **draws)
    left_blocks = found.tables["leftblocks"] if found.has_blocks else None
    measures = ("2-way", "content words")
    said = {of: verdict(found.matrix, of, left_blocks, nuisances=found.nuisances) for of in measures}
    details = {
        "verdict": {measure: list(one.sentences) for measure, one in said.items()},
        "uses_brain": {measure: one.uses_brain for measure, one in said.items()},
        "not_excluded": {measure: list(one.not_excluded) for measure, one in said.items()},
        "blocks_fail": [measure for measure, one in said.items() if one.blocks_fail],
        "decoder": chosen,
        "sentences_by": found.sentences_by,
        "n_permutations": options.permutations,
        "seeds": list(options.seeds),
        "explained": study.components.explained,
        "chosen": found.chosen,
        "test_trials": study.test.meta["trial_id"].tolist(),
        "others": list(study.others),
        "splits": job.details("splits"),
    }
    for name in job.outputs:
        job.save(name, found.tables[name], **(details if name == "controls" else {}))


def _study(responses: Responses, splits: pd.DataFrame, texts: Features, options: DecodeSettings) -> TextStudy:
    """Return trials by side, with the components of their sentences, fitted on training sentences."""
    # A lab's own split may leave trials out.
    responses = responses.select(np.flatnonzero(responses.trials["trial_id"].isin(splits["trial_id"])))
    if not len(responses.trials):
        raise BrainalignError("none of the trials has a side; run prepare_sentences again")
    sides = splits.set_index("trial_id")["split"].loc[responses.trials["trial_id"]]
    meta = responses.trials.assign(split=sides.to_numpy()).drop(columns=["session", "run", "onset_s"])
    vectors = np.asarray(texts.align_to(responses).values, dtype=np.float64)
    distinct = (~meta["stimulus_id"].duplicated() & meta["split"].eq("train")).to_numpy()
    components = Components.fit(vectors[distinct], options.n_components)
    targets = components.transform(vectors)
    times = np.asarray(responses.times, dtype=np.float64)
    shown = np.atleast_1d(times >= 0)
    signals = np.asarray(responses.values[:, :, shown])

    def side(name: str, values: Any = signals) -> Trials:
        return Trials(values, targets, meta).select(np.flatnonzero(meta["split"] == name))

    others = {}
    if (~shown).any():
        if (~shown).sum() < shown.sum():
            raise BrainalignError(
                f"{int((~shown).sum())} samples before the sentence and {int(shown.sum())} after its onset; a control "
                "needs as many before"
            )
        before = np.asarray(responses.values)[:, :, ~shown][:, :, -int(shown.sum()) :]
        others["pre-stimulus"] = side("test", before).signals
    eyes = responses.targets["eog"].to_numpy(dtype=bool)
    if eyes.any():
        others["EOG only"] = side("test", signals * eyes[:, None]).signals
    rows = texts.stimuli["stimulus_id"].str.startswith("label:").to_numpy()
    wordings: dict[str, list[Any]] = {}
    for name, vector in zip(texts.stimuli["stimulus_id"][rows], texts.values[rows], strict=True):
        wordings.setdefault(name.split(":", 1)[1].rsplit(":", 1)[0], []).append(vector)
    return TextStudy(
        train=side("train"),
        val=side("val"),
        test=side("test"),
        components=components,
        test_vectors=vectors[(meta["split"] == "test").to_numpy()],
        others=others,
        wordings={name: np.array(each, dtype=np.float64) for name, each in wordings.items()},
        sensors=responses.targets["target_id"].tolist(),
        times_s=times[shown],
    )
