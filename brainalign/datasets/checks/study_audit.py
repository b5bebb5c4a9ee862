"""Everything wrong with a dataset of any kind, and what it holds: `brainalign check`."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_columns, listed
from brainalign.config import DecodeTimesSettings
from brainalign.datasets import formats, studies
from brainalign.datasets.checks.blocks import audit
from brainalign.datasets.checks.inspection import inspect_responses, inspect_trials, roi_sizes, space_problems
from brainalign.datasets.problems import Problem
from brainalign.datasets.splits import group_labels, leakage_audit, make_image_split, repeat_counts, split_card
from brainalign.study import EpochFiles, Study, check_categories, check_folds_within, check_neural, check_test_stimuli

# Columns of the split card, and what they are called on the screen.
CARD = {
    "subject": "subject",
    "name": "name",
    "split": "split",
    "n_stimuli": "stimuli",
    "n_trials": "trials",
    "repeats_min": "fewest repeats",
    "repeats_max": "most",
    "n_runs": "runs",
    "n_runs_shared": "runs shared",
    "n_duplicates_across": "duplicates across",
    "n_near_duplicates_across": "near-duplicates across",
}


ONE_TARGET = (
    "there is one target, and patterns over targets tell what was left out; give two or more, or hold stimuli out "
    "(splits: column and value, or share)"
)
LEAST_IN_A_FOLD = 3  # stimuli: a correlation over two says nothing


@dataclass
class StudyAudit:
    """What a look at a dataset found.

    Attributes
    ----------
    problems : list of Problem
        Errors stop a run; warnings do not.
    facts : list of str
        What the dataset holds, in sentences.
    tables : dict of DataFrame
        The same in numbers, by title: repeats, ROI sizes, split cards.
    """

    problems: list[Problem] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def errors(self) -> list[Problem]:
        """Problems that stop a run."""
        return [problem for problem in self.problems if problem.level == "error"]

    @property
    def warnings(self) -> list[Problem]:
        """Problems that are worth knowing."""
        return [problem for problem in self.problems if problem.level == "warning"]


def audit_study(descriptor: Study) -> StudyAudit:
    """Look at every file of a dataset the way a run would, and collect what would stop or mislead it."""
    found = StudyAudit()
    if descriptor.is_simulated:
        found.facts.append("its data are made by the workflow, so there is nothing to check yet")
        return found
    if not descriptor.in_blocks:  # of blocks with the name of the file
        found.problems += [Problem("sha256", line) for line in studies.changed_files(descriptor)]
    try:
        AUDITS[descriptor.data_type](descriptor, found)
    except BrainalignError as error:
        found.problems.append(_problem(descriptor, error, "recordings"))
    found.problems += formats.copied_recordings(descriptor)
    return found


def _responses(descriptor: Study, found: StudyAudit) -> None:
    look = _recordings if not descriptor.is_fitted else _blocks if descriptor.in_blocks else _images
    look(descriptor, found)


def _blocks(descriptor: Study, found: StudyAudit) -> None:
    shape = descriptor.shape
    size = f"; {shape.runs} runs, {shape.trials} trials, {shape.targets} targets each" if shape else ""
    found.facts += [
        f"{len(descriptor.recordings)} subject(s), {len(descriptor.stimulus_ids())} stimuli{size}",
        f"splits: {', '.join(descriptor.splits)}",
    ]
    prints: dict[str, formats.Fingerprint] = {}
    found.problems += [*audit(descriptor, prints=prints), *_of_held_out(descriptor), *_between_subjects(prints)]


def _of_held_out(descriptor: Study) -> Iterator[Problem]:
    """Yield what keeps stimuli of blocks from being held out."""
    if descriptor.held_out is None:
        return
    try:
        stimuli = studies.read_stimuli(descriptor, descriptor.stimulus_table())
        test = studies.marked_images(stimuli, *descriptor.held_out)
        trials = stimuli[["stimulus_id"]].assign(trial_id=stimuli["stimulus_id"], session="1", run="1")
        splits = make_image_split(trials, test=test or descriptor.held_out[1].share, seed=0)
        check_test_stimuli(splits.loc[splits["split"] == "test", "stimulus_id"].tolist())
    except BrainalignError as error:
        yield _problem(descriptor, error, "splits")


def _between_subjects(prints: dict[str, formats.Fingerprint]) -> list[Problem]:
    """Return a warning for every two subjects with trials of the same signals."""
    pairs = formats.copied_trials({f"subject {name}": kept for name, kept in prints.items()})
    return formats.copy_problems(pairs[pairs["part_a"] != pairs["part_b"]].assign(place_a="", place_b=""), "subjects")


def _images(descriptor: Study, found: StudyAudit) -> None:
    found.facts += [f"{len(descriptor.recordings)} subject(s)", f"splits: {', '.join(descriptor.splits)}"]
    test: list[str] = []
    images, stimuli = None, None
    try:
        stimuli = studies.read_stimuli(descriptor, descriptor.stimulus_table())
        images, problems = studies.look_at_images(stimuli)
        of = "images" if "path" in stimuli else "stimuli"
        found.facts[0] += f", {len(stimuli)} stimuli"
        if descriptor.has_images or {rule.leave_out for rule in descriptor.splits.values()} - {"run", "session"}:
            found.problems += [replace(problem, where=of) for problem in problems]
        if descriptor.held_out is not None:
            test = studies.marked_images(stimuli, *descriptor.held_out)
    except BrainalignError as error:
        found.problems.append(_problem(descriptor, error, "images"))
    channels: dict[str, dict[str, pd.DataFrame]] = {}
    prints: dict[str, formats.Fingerprint] = {}
    rows, cards = [], []
    with tempfile.TemporaryDirectory() as folder:
        read = partial(studies.read_subject, as_they_are=True, work=Path(folder) / "values.npy")
        for subject, where, responses in _each_read(descriptor, found, read):
            rows.append({"subject": subject} | _size(responses))
            prints[subject] = formats.of_responses(responses)
            found.problems += _of_values(descriptor, where, responses)
            if descriptor.held_out is None and len(responses.targets) < 2 and subject not in descriptor.decoded:
                found.problems.append(Problem(where, ONE_TARGET))
            found.problems += space_problems(where, descriptor.space_of(subject), responses.targets)
            if subject in descriptor.decoded:
                found.problems += _of_parts(descriptor, subject, responses)
            sizes = roi_sizes(responses.targets)
            if len(sizes):
                table = sizes.pivot(index="roi", columns="hemi", values="n_targets").fillna(0).astype(int)
                table = table.loc[sizes["roi"].unique().tolist()].reset_index().rename(columns={"": "targets"})
                found.tables[f"targets in ROIs of {where}"] = table
            if stimuli is not None:
                problems, card = _of_trials(descriptor, subject, responses, stimuli, images, test, prints[subject])
                found.problems += problems
                if card is not None:
                    cards.append(card.assign(subject=subject))
            if isinstance(files := descriptor.recordings[subject], EpochFiles):
                channels.setdefault(str(files.picks), {})[where] = responses.targets
    found.problems += [*_other_channels(channels), *_between_subjects(prints)]
    if rows:
        found.tables["responses"] = pd.DataFrame(rows)
    if cards:
        found.tables["splits"] = pd.concat(cards)[list(CARD)].rename(columns=CARD)


def _problem(descriptor: Study, error: BrainalignError, where: str) -> Problem:
    """Convert a reader's refusal into a problem; its message may begin with the place."""
    return Problem(where, str(error).removeprefix(f"{descriptor.name}: ").removeprefix(f"{where}: "))


def _each_read(
    descriptor: Study, found: StudyAudit, read: Callable[[Study, str], Any]
) -> Iterator[tuple[str, str, Any]]:
    """Yield subjects that can be read, their place in the descriptor and what was read; collect why others cannot."""
    for subject in descriptor.recordings:
        where = f"recordings.{subject}"
        try:
            responses = read(descriptor, subject)
        except BrainalignError as error:
            found.problems.append(_problem(descriptor, error, where))
        else:
            yield subject, where, responses


def _size(responses: Responses) -> dict[str, object]:
    trials, counts = responses.trials, repeat_counts(responses.trials)
    return {
        "trials": len(trials),
        "stimuli": len(counts),
        "repeats": f"{counts.min()} to {counts.max()} (median {counts.median():g})",
        "sessions": trials["session"].nunique(),
        "runs": len(trials[["session", "run"]].drop_duplicates()),
        "targets": len(responses.targets),
        "times": 0 if responses.times is None else len(responses.times),
        "units": responses.units,
    }


def _of_values(descriptor: Study, where: str, responses: Responses) -> Iterator[Problem]:
    """Yield what is wrong with the values; NaN that the descriptor drops is worth knowing, and no error."""
    found = inspect_responses(where, responses)
    if {"x", "y", "z"} <= set(responses.targets) and responses.targets.reindex(columns=["x_mm"]).isna().all(axis=None):
        what = "targets have x, y and z in an unknown unit; name them x_mm, y_mm, z_mm, in mm, to see them on maps"
        yield Problem(where, what, "warning")
    if responses.times is not None:  # bad channels are raised or dropped when epochs are read
        yield from found
        if ", " in responses.units and not (descriptor.holds_out and descriptor.epochs.whiten):
            what = f"patterns mix {responses.units}, and larger numbers weigh more; give one kind (picks: mag or grad)"
            yield Problem(where, f"{what}, or hold stimuli out, so that sensors are whitened", "warning")
        return
    dropped = descriptor.betas.bad_targets == "drop"
    for problem in found:
        yield replace(problem, level="warning") if dropped else problem
    if dropped or not any(problem.level == "error" for problem in found):
        try:
            formats.bad_targets_among(responses, standardize=descriptor.betas.standardize, bad_targets="drop")
        except BrainalignError as error:
            yield Problem(where, str(error))


def _of_trials(
    descriptor: Study,
    subject: str,
    responses: Responses,
    stimuli: pd.DataFrame,
    images: formats.ImageAudit | None,
    test: list[str],
    signals: formats.Fingerprint,
) -> tuple[list[Problem], pd.DataFrame | None]:
    """Find the problems of trials and of their split, made as prepare makes it, and build the split's card."""
    where, trials = f"recordings.{subject}", responses.trials
    problems = inspect_trials(where, trials, stimuli["stimulus_id"].tolist(), test or None)
    if descriptor.held_out is None:
        copies = formats.copy_problems(formats.copied_trials({"": signals}), where)
        return [*problems, *copies, *_of_folds(descriptor, where, trials, images)], None
    name, rule = descriptor.held_out
    if rule.column is not None and not test:
        return problems, None  # the split was refused for all subjects already
    try:
        splits = studies.image_split(trials, rule, test, images, seed=0).assign(name=name)
        check_test_stimuli(splits.loc[splits["split"] == "test", "stimulus_id"].tolist())
        if subject in descriptor.decoded:
            _check_decodable(splits, stimuli)
        if responses.times is not None and descriptor.epochs.whiten:
            train = trials["trial_id"].isin(splits.loc[splits["split"] == "train", "trial_id"])
            formats.noise_source(responses.times, trials["stimulus_id"][train].tolist())
    except BrainalignError as error:
        return [*problems, Problem(where, str(error))], None
    leaks = leakage_audit(splits, trials, images, near=rule.near_duplicates)
    problems += [replace(leak, where=f"{where}: {leak.where}") for leak in leaks]
    problems += formats.copy_problems(formats.copied_trials({"": signals}), where, [splits])
    return problems, split_card(splits, trials, images)


def _of_folds(
    descriptor: Study, where: str, trials: pd.DataFrame, images: formats.ImageAudit | None
) -> Iterator[Problem]:
    """Yield what keeps runs or stimuli from being left out in turn."""
    for name, rule in descriptor.left_out.items():
        try:
            splits = studies.image_split(trials, rule, [], images, seed=0)
        except BrainalignError as error:
            yield Problem(f"{where}: splits.{name}", str(error))
            continue
        left = splits[splits["split"] == "test"].groupby("fold").agg({"stimulus_id": "nunique", "group": "first"})
        few = left["group"][left["stimulus_id"] < LEAST_IN_A_FOLD].astype(str).unique().tolist()
        alone = all(one.of_stimuli for one in descriptor.left_out.values())  # else targets are scored in runs
        if few and (alone or not rule.of_stimuli):
            held = f"folds of {name}" if rule.of_stimuli else listed(few)
            yield Problem(
                where,
                f"{held} hold fewer than {LEAST_IN_A_FOLD} stimuli, and what is predicted of those left out is "
                "compared over them; join runs or groups, take fewer folds, or hold stimuli out (splits: column and "
                "value, or share)",
            )


def _check_decodable(splits: pd.DataFrame, stimuli: pd.DataFrame) -> None:
    """Raise where images have no category, or one of the sides has a single one."""
    check_columns("images to be decoded over time", stimuli, ["category"], "give their table a column category")
    categories = splits["stimulus_id"].map(stimuli.set_index("stimulus_id")["category"])
    for _, side in group_labels(splits.assign(category=categories), "category").groupby(splits["split"]):
        check_categories(sorted(side.unique()), "accuracy")


def _other_channels(channels: dict[str, dict[str, pd.DataFrame]]) -> Iterator[Problem]:
    """Yield subjects measured with other channels than the first of their kind: maps of them cannot be averaged."""
    for recordings in channels.values():
        first = next(iter(recordings))
        for other in list(recordings)[1:]:
            try:
                formats.check_same_channels({first: recordings[first], other: recordings[other]})
            except BrainalignError as error:
                yield Problem(other, str(error).removeprefix(f"{other} "), "warning")


def _recordings(descriptor: Study, found: StudyAudit) -> None:
    """Read every subject as a run would, and count its trials by recording and category."""
    found.facts.append(f"{len(descriptor.recordings)} subject(s)")
    prints: dict[str, formats.Fingerprint] = {}
    for subject, where, responses in _each_read(descriptor, found, studies.read_categories):
        prints[subject] = formats.of_responses(responses)
        found.problems += formats.copy_problems(formats.copied_trials({"": prints[subject]}), where)
        wrong = inspect_responses(where, responses)  # flat sensors are decoded from like others
        found.problems += [problem for problem in wrong if "NaN" in problem.what]
        counts = responses.trials.groupby("run", sort=False)["category"].value_counts().unstack(fill_value=0)
        found.tables[f"trials of {where}"] = counts.rename_axis("recording").reset_index()
        found.problems += _of_recordings(where, responses.trials)
        found.problems += _of_parts(descriptor, subject, responses)
    found.problems += _between_subjects(prints)


def _of_parts(descriptor: Study, subject: str, responses: Responses) -> Iterator[Problem]:
    """Yield the sensors and windows to be decoded for themselves that a subject's recordings lack."""
    ids, times = set(responses.targets["target_id"]), responses.times
    assert times is not None  # as `check_responses` says
    (first, last), step = times[[0, -1]], (times[-1] - times[0]) / max(len(times) - 1, 1)
    for name, sensors in descriptor.sensors.items():
        if missing := [sensor for sensor in sensors if sensor not in ids]:
            yield Problem(f"sensors.{name}", f"{listed(missing)} not recorded from {subject}")
    for name, (start, stop) in descriptor.windows.items():
        if start < first - 1.5 * step or stop > last + 1.5 * step:  # ends of epochs are rounded
            what = f"{start:g} to {stop:g} s, but epochs of {subject} last from {first:g} to {last:g} s; shorten it"
            yield Problem(f"windows.{name}", what)
        elif not len(responses.samples_within(start, stop)):
            yield Problem(f"windows.{name}", f"{start:g} to {stop:g} s hold no sample of {subject}; widen it")


def _of_recordings(where: str, trials: pd.DataFrame) -> Iterator[Problem]:
    """Yield what leaves nothing to decode, or no folds of it."""
    runs, onsets = (trials["session"] + " " + trials["run"]).tolist(), trials["onset_s"].to_numpy(dtype=float)
    usual, fatal = DecodeTimesSettings().n_folds, True
    try:
        check_categories(sorted(trials["category"].unique()), "accuracy")
        fatal = len(set(runs)) == 1 or not trials["onset_s"].isna().any()
        check_folds_within(runs, onsets, 2)
        fatal = False
        check_folds_within(runs, onsets, usual)
    except BrainalignError as error:
        yield Problem(where, f"decoding in {usual} folds within recordings: {error}", "error" if fatal else "warning")


def _rdms(descriptor: Study, found: StudyAudit) -> None:
    study = formats.read_rdm_study(descriptor)
    missing = [name for name, files in descriptor.recordings.items() if not getattr(files, "description", "")]
    if missing:
        what = f"{listed(missing)} not described; say in words what these matrices are (description)"
        found.problems.append(Problem("recordings", what, "warning"))
    found.problems += formats.rdm_copies(study.sets)
    found.facts.append(f"{len(study.stimuli)} stimuli, {len(study.models)} published models")
    shapes = {name: values.shape for name, values in study.sets.items()}
    found.tables["matrices"] = pd.DataFrame(
        [{"set": name, "subjects": shape[0], "sessions": shape[1], "pairs": shape[2]} for name, shape in shapes.items()]
    )
    with tempfile.TemporaryDirectory() as folder:
        table = study.stimuli
        if study.images is not None:
            table = formats.write_stimulus_images(study, Path(folder))
            table["path"] = [str(Path(folder, path)) for path in table["path"]]
        found.problems += _of_pictures(table)


def _of_pictures(table: pd.DataFrame) -> list[Problem]:
    """List the problems of the images of a table, where it names some."""
    found = formats.audit_images(table).problems() if "path" in table else []
    return [replace(problem, where="images") for problem in found]


def _videos(descriptor: Study, found: StudyAudit) -> None:
    """Read the videos and every subject's neurons as a run would."""
    found.facts.append(f"{len(descriptor.recordings)} subject(s)")
    try:
        files = descriptor.found_files()
        videos, *_ = [formats.read_videos(files[name]) for name in ("stimuli", "training") if name in files]
    except BrainalignError as error:
        found.problems.append(_problem(descriptor, error, "stimuli"))
        return
    rows = []
    for subject, where, neural in _each_read(descriptor, found, formats.read_neural):
        sizes = zip(("conditions", "frames", "neurons", "repeats"), neural.shape, strict=True)
        rows.append({"subject": subject, **dict(sizes)})
        try:
            check_neural(neural, videos.visible)
        except BrainalignError as error:
            found.problems.append(_problem(descriptor, error, where))
    found.facts.append(f"{int((~videos.visible).sum()):,} of {videos.visible.size:,} frames hidden")
    found.tables["neurons"] = pd.DataFrame(rows)


def _judgements(descriptor: Study, found: StudyAudit) -> None:
    study = studies.read_judgements(descriptor)
    counts = pd.Series(study.triplets.ravel()).value_counts()
    found.facts.append(
        f"{len(study.objects)} objects, {len(study.triplets):,} triplets and {len(study.repeats):,} repeated ones; an "
        f"object is in {counts.min():,} to {counts.max():,} triplets; numbers of objects begin at {study.index_base}"
    )
    (files,) = descriptor.recordings.values()
    if not len(study.repeats) and getattr(files, "duplicates", "error") == "error":
        what = "no triplet was judged twice, so that there will be no ceiling; give repeats"
        found.problems.append(Problem("recordings", what, "warning"))
    found.problems += _of_pictures(study.objects)


def _sentences(descriptor: Study, found: StudyAudit) -> None:
    responses, read = studies.read_sentence_study(descriptor)
    found.facts.append(read.describe())
    splits = studies.sentence_splits(descriptor, responses.trials, 0)
    found.problems += studies.split_problems(descriptor, splits, responses.trials, 0)
    found.problems += formats.response_copies(responses, "recordings", [splits])


def _series(descriptor: Study, found: StudyAudit) -> None:
    study = formats.read_region_runs(descriptor)
    found.problems += formats.series_copies(study)
    found.facts.append(
        f"{study.people['subject'].nunique()} subjects, {len(study.series)} runs of {study.series.shape[1]} frames "
        f"({study.tr_s:g} s each), {len(study.regions)} regions in {study.regions['network'].nunique()} networks"
    )


def _modalities(descriptor: Study, found: StudyAudit) -> None:
    """Read every recording of every modality, as prepare does."""
    found.facts.append(f"{len(descriptor.recordings)} recordings")
    descriptor.all_files()
    found.problems += studies.modality_copies(studies.read_modalities(descriptor))


def _continuous(descriptor: Study, found: StudyAudit) -> None:
    """Read the events, and every run as prepare does."""
    events = studies.read_events(descriptor)
    found.problems += studies.continuous_problems(descriptor, events)
    lengths = studies.signal_lengths(descriptor)
    found.facts += [f"{len(events):,} events in {events['run'].nunique()} runs"] if len(events) else []
    for kind, part in lengths.groupby(lengths["where"].str.split(".").str[1]):
        found.facts.append(f"{len(part)} {kind}, {part['seconds'].sum():,.0f} s")
    for subject, where, runs in _each_read(descriptor, found, studies.read_continuous):
        found.problems += studies.outside_problems(subject, runs, events)
        found.problems += studies.signal_problems(descriptor, subject, runs, lengths)
        found.problems += space_problems(where, descriptor.space_of(subject), runs.responses.targets)
        heard = sum(count > 1 for count in runs.presentations.values())
        found.facts.append(
            f"subject {subject}: {len(runs.responses.trials):,} rows of {len(runs.presentations)} runs, "
            f"{len(runs.responses.targets):,} targets, {runs.n_dropped} dropped; {heard} runs presented more than once"
        )


AUDITS: dict[str, Callable[[Study, StudyAudit], None]] = {
    "responses": _responses,
    "rdms": _rdms,
    "videos": _videos,
    "judgements": _judgements,
    "sentences": _sentences,
    "series": _series,
    "modalities": _modalities,
    "continuous": _continuous,
}
