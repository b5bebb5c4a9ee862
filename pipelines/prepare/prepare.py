"""prepare: recordings of one subject to responses, splits and ceiling; of blocks in volumes also noise and images."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import datasets
from brainalign.arrays import Arrays, Responses
from brainalign.config import PrepareSettings
from brainalign.datasets import checks, formats, studies
from brainalign.datasets.splits import split_card, split_rows
from brainalign.statistics import noise_ceiling, noise_ceiling_from_share, repeats_q, share_and_q
from brainalign.study import Study
from brainalign.workflow import Job

OF_AVERAGES = (
    "share of the variance of averages over the repeats of test stimuli that repeats: ncsnr over all repeats of the "
    "subject, unclamped"
)
OF_ONE_TRIAL = (
    "share of variance of a single trial (or block) that repeats: split-half over runs (the mean of the trials of a "
    "stimulus in each), Spearman-Brown to one trial; where runs differ in their stimuli, ncsnr over repeats; unclamped"
)


def prepare(job: Job) -> None:
    """Read the recordings of one subject; save trials, their splits, and what repeats in every target."""
    path = job.outputs["responses"]
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_suffix(".partial.npy")  # responses until they are saved, where they need not be in memory
    try:
        _prepare(job, work)
    finally:
        work.unlink(missing_ok=True)


def _prepare(job: Job, work: Path) -> None:
    subject, study = job.labels["subject"], job.study()
    if job.has("stimuli"):
        job.provenance.read("images", job.path("stimuli"))
    datasets.stop_on([datasets.Problem(study.name, line) for line in datasets.changed_files(study)])
    problems = formats.copied_recordings(study, subject)
    details: dict[str, Any] = {}
    if study.in_blocks:
        problems = [*datasets.audit(study, [subject]), *problems]
        datasets.stop_on(problems)
        recording = datasets.read_fmri(study, subject)
        responses = recording.responses
        dof = len(recording.residuals) - len(responses.trials)
        job.save("noise", Arrays(residuals=recording.residuals), dof=dof, of="volumes around block means")
        job.save("mask", recording.mask)
        job.save("bold", recording.mean)
        assert study.fmri is not None  # blocks in volumes are read with it
        details = {"n_dropped_voxels": recording.n_dropped, "space": study.fmri.space}
    else:
        datasets.stop_on(problems)
        responses = datasets.read_subject(study, subject, work=work if study.holds_out else None)
        if not study.holds_out:  # any two runs may be on two sides
            problems += formats.response_copies(responses, f"{study.name}: recordings.{subject}")
            datasets.stop_on(problems)
    if space := study.space_of(subject):
        responses.targets.attrs["space"] = {"name": space} | responses.targets.attrs.get("space", {})
    if study.holds_out:
        responses, found = _held_out(study, subject, responses, problems, job)
        details |= found
    else:
        problems += _left_out(study, subject, responses, job)
    details["warnings"] = [str(problem) for problem in problems]
    job.save("responses", responses, n_trials=len(responses.trials), n_targets=len(responses.targets), **details)


def _held_out(
    study: Study, subject: str, responses: Responses, problems: list[datasets.Problem], job: Job
) -> tuple[Responses, dict[str, Any]]:
    """Save the split of stimuli into training and test, and ceilings of test averages; return what is fitted."""
    stimuli = studies.read_stimuli(study, job.path("stimuli") if job.has("stimuli") else None)
    images, doubts = studies.look_at_images(stimuli)
    datasets.stop_on(doubts)
    if "category" in stimuli:
        category = stimuli.set_index("stimulus_id")["category"]
        trials = responses.trials.assign(category=responses.trials["stimulus_id"].map(category))
        responses = replace(responses, trials=trials)
    assert study.held_out is not None
    name, rule = study.held_out
    test = studies.marked_images(stimuli, name, rule)
    where = f"{study.name}: recordings.{subject}"
    datasets.stop_on(checks.inspect_trials(where, responses.trials, stimuli["stimulus_id"].tolist(), test or None))
    splits = studies.image_split(responses.trials, rule, test, images, seed=job.seed).assign(name=name)
    leaks = [] if images is not None else doubts
    leaks += datasets.leakage_audit(splits, responses.trials, images, near=rule.near_duplicates)
    leaks += formats.response_copies(responses, where, [splits])
    datasets.stop_on(leaks)
    details: dict[str, Any] = {}
    if responses.times is not None and study.epochs.whiten:
        responses, details = _whitened(responses, responses.times, splits)
    card = json.loads(split_card(splits, responses.trials, images).to_json(orient="records"))
    rules, warnings = {name: rule.model_dump(mode="json")}, [str(problem) for problem in (*leaks, *problems)]
    job.save("splits", splits, splits=rules, card=card, warnings=warnings)
    job.save("ceiling", _ceiling_of_averages(responses, splits), definition=OF_AVERAGES)
    return responses, details


def _left_out(study: Study, subject: str, responses: Responses, job: Job) -> list[datasets.Problem]:
    """Save the splits that leave out runs or stimuli in turn, and ceilings of single trials; return what to doubt."""
    trials, n_halvings = responses.trials, job.options("prepare", PrepareSettings).n_halvings
    where = f"{study.name}: recordings.{subject}"
    datasets.stop_on(checks.inspect_trials(where, trials, study.stimulus_ids()))
    images, doubts, rules = None, list[datasets.Problem](), study.left_out.items()
    if asked := [rule for _, rule in rules if rule.leave_out not in ("run", "session")]:
        stimuli = studies.read_stimuli(study, job.path("stimuli") if job.has("stimuli") else None)
        images, doubts = studies.look_at_images(stimuli)
        datasets.stop_on(doubts)
    splits = [studies.image_split(trials, rule, [], images, seed=job.seed).assign(name=name) for name, rule in rules]
    job.save("splits", pd.concat(splits, ignore_index=True), splits={name: rule.model_dump() for name, rule in rules})
    ceiling, q = _ceiling_of_a_trial(responses, n_halvings, job.seed)
    repeats = int(trials["stimulus_id"].value_counts().min())
    table = responses.target_table().assign(ceiling=ceiling, repeats_q=q)
    job.save("ceiling", table, definition=OF_ONE_TRIAL, n_repeats=repeats)
    return [] if all(rule.of_stimuli and rule.folds for rule in asked) else doubts  # folds keep copies


def _whitened(
    responses: Responses, times: NDArray[np.floating], splits: pd.DataFrame
) -> tuple[Responses, dict[str, object]]:
    train = split_rows(splits, responses.trials)["train"]
    ids = responses.trials["stimulus_id"].to_numpy()[train].tolist()
    noise = formats.noise_source(times, ids)
    whitener = formats.fit_whitener(responses.values[train], times, responses.targets, noise=noise, stimulus_ids=ids)
    return replace(responses, values=whitener.transform(responses.values), units="noise standard deviations"), {
        "whitened": "on training epochs",
        "noise": noise,
        "shrinkage": whitener.shrinkage,
        "rank": whitener.rank,
    }


def _ceiling_of_averages(responses: Responses, splits: pd.DataFrame) -> pd.DataFrame:
    """Return a row per target (and time): the ceiling of averages over the repeats of the test stimuli."""
    stimuli = responses.trials["stimulus_id"].to_numpy()
    test = split_rows(splits, responses.trials)["test"]
    n_repeats = np.unique(stimuli[test], return_counts=True)[1]
    share, q = np.full((2, responses.values[0].size), np.nan)
    if np.unique(stimuli, return_counts=True)[1].max() > 1:
        kinds = ["session", "run"], ["session"]
        runs = [responses.trials.groupby(of).ngroup().to_numpy().astype(np.intp) for of in kinds]
        share, q = (found.ravel() for found in share_and_q(responses.values, stimuli, runs=runs, scored=test))
    ceiling = noise_ceiling_from_share(share, n_repeats)
    return responses.target_table().assign(ceiling=ceiling, signal_share=share, repeats_q=q)


def _ceiling_of_a_trial(
    responses: Responses, n_halvings: int, seed: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the ceiling of one trial, and q that any repeats; the mean of a stimulus in a run is one repeat of it.

    A single run, and runs that lack a stimulus, cannot be halved stimulus by stimulus: there the ratio of signal to
    noise variance over the repeats of each stimulus says it, wherever they lie; either leaves out what runs add to
    all of their trials. With m blocks in run r of stimulus s and noise of variance σ² in each, repeats have noise
    σ² · mean over (r, s) of 1 / m: a single block is worth so many repeats.
    """
    labels = [responses.trials[name] for name in ("session", "run", "stimulus_id")]
    values = responses.values.reshape(len(responses.trials), -1)
    cells = pd.DataFrame(values).groupby([label.to_numpy() for label in labels], sort=True)
    n_stimuli, n_runs = labels[2].nunique(), len(responses.trials[["session", "run"]].drop_duplicates())
    if n_runs < 2 or cells.ngroups < n_stimuli * n_runs:
        if not labels[2].duplicated().any():
            return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
        runs = responses.trials.groupby(["session", "run"]).ngroup().to_numpy().astype(np.intp)
        share, q = share_and_q(values, labels[2].to_numpy(), runs=[runs], scored=np.arange(0))
        return noise_ceiling_from_share(share, 1), q
    means = cells.mean().to_numpy()
    q = repeats_q(means, np.tile(np.arange(n_stimuli), n_runs), runs=[np.repeat(np.arange(n_runs), n_stimuli)])
    cube = means.reshape(n_runs, n_stimuli, -1)  # (n_runs, n_stimuli, n_targets)
    worth = float((1 / cells.size()).mean())
    return noise_ceiling(cube, n_averaged=worth, n_halvings=n_halvings, seed=seed), q
