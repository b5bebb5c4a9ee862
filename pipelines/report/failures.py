"""What failed in a run, for pages of what did work: jobs without a result, or with one that is out of date."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainalign.checks import BrainalignError
from brainalign.io import file_digest, load_sidecar
from brainalign.report.kit import Failure
from brainalign.workflow import STEPS, Run, Step, job_of, planned, settings_of

# They wait for all subjects; no page of one does.
OF_ALL = {"summarize_group", "map_subjects", "map_subjects_continuous", "converge", "identify", "report_group"}
LOG_LINES = 12  # of a failed job's log
WAITING = "did not run: something it needs failed before it"
Labels = Mapping[str, str]


def failures_of(run: Run, dataset: str, subject: str) -> list[Failure]:
    """List every job of a subject (empty: of what has none) whose result is missing, or of what is no longer there."""
    makers = {
        place for step, of in planned(run) for suffix, place in step.outputs(run, of).items() if suffix in step.writes
    }
    raw = _raw_digests(run, dataset, subject)
    failures: list[Failure] = []
    stale: set[Path] = set()  # what failed jobs, and jobs that waited for them, would have left
    pages = []
    for step, of in planned(run, dataset):
        if of.get("subject", subject) != subject or step.rule in OF_ALL:
            continue
        places = step.outputs(run, of)
        outputs = list(places.values())
        if step.folder == "report":
            pages.append((step, of))
        elif not step.writes:
            failures += [] if outputs[0].exists() else [_failure(run, step, of)]
        else:
            record = _record(outputs[0])
            # None, or what was left before the study was changed, by another analysis or of other data.
            left = (record.get("job") or {}).get("outputs", places)
            if record.get("stage") != step.name or set(left) != set(places):
                failures.append(_failure(run, step, of))
                stale |= set(outputs)
                continue
            made = [path for paths in job_of(run, step, of).inputs.values() for path in paths if path in makers]
            same = record.get("settings", asked := settings_of(run, step, of)) == asked
            earlier = _earlier(record["inputs"], made, stale, raw) if same else "configuration"
            if earlier is not None:
                message = f"{WAITING} (its result is of an earlier {earlier})"
                failures.append(_failure(run, step, of, message))
                stale |= set(outputs)
    if not failures:  # nothing else failed, so where a page is missing the report itself did
        failures = [_failure(run, step, of) for step, of in pages if not run.page(of).exists()]
    # What failed comes before what waited for it.
    return sorted(failures, key=lambda failure: failure.message.startswith(WAITING))


def failures_of_group(run: Run, dataset: str) -> dict[str, list[Failure]]:
    """List what failed by subject; a subject's own page is no part of the group's. Empty: what no subject has.

    Where every subject is whole, a step over all subjects may have failed, or the page itself.
    """
    subjects = run.subjects(dataset)
    found = {name: failures_of(run, dataset, name) for name in subjects or [""]}
    found = {name: [one for one in of if not name or one.stage != "report"] for name, of in found.items()}
    found = {name: failures for name, failures in found.items() if failures}
    if subjects and not found:
        over_all = [(step, of) for step, of in planned(run, dataset) if "subject" not in of and step.writes]
        lost = [(step, of) for step, of in over_all if not _record(next(iter(step.outputs(run, of).values())))]
        lost += [] if run.page({"dataset": dataset}).exists() else [(STEPS["report_group"], {"dataset": dataset})]
        found = {"": [_failure(run, *lost[0])]} if lost else {}
    return found


def _record(path: Path) -> dict[str, Any]:
    """Read the sidecar of an artifact; empty where it is not whole."""
    try:
        return load_sidecar(path)
    except BrainalignError:
        return {}


def _earlier(read: Mapping[str, str], made: list[Path], stale: set[Path], raw: Mapping[str, str]) -> str | None:
    """Name the first file that a job has read and that is there no longer, or differs from what it has read."""
    for path in made:
        files = _record(path).get("files")
        if files is None or path in stale:
            return path.name
        for name, entry in files.items():
            if read.get(name, entry["sha256"]) != entry["sha256"]:
                return str(name)
    return next((name for name, digest in raw.items() if read.get(name, digest) != digest), None)


def _raw_digests(run: Run, dataset: str, subject: str) -> dict[str, str]:
    """Digest the files that a subject's responses are read from, by their name in the descriptor."""
    try:
        files = run.descriptors[dataset].found_files(subject)
        return {name: file_digest(path) for name, path in files.items() if path.is_file()}
    except BrainalignError:
        return {}


def _failure(run: Run, step: Step, of: Labels, message: str = "") -> Failure:
    job = ", ".join(f"{key} {value}" for key, value in of.items() if key != "dataset")
    return Failure(step.name, job, message or end_of_log(run.log(step.name, of)))


def end_of_log(log: Path) -> str:
    """Read the last lines of a job's log, or say that it never ran."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return "\n".join(lines[-LOG_LINES:]) or WAITING
