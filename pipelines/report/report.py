"""report: the page of one subject, or of a dataset, from whatever the other steps have left.

Its settings are the whole configuration. A job without a dataset draws, after a failure, every page on whatever there
is, with an errors section; one that writes `figures` leaves them as files for papers, in place of the page.
"""

from collections.abc import Mapping, Sequence

import brainalign
from brainalign.config import Config
from brainalign.io import Provenance, write_atomically, write_json
from brainalign.pipelines.report.failures import failures_of, failures_of_group
from brainalign.report import draw_chapters, draw_page
from brainalign.report.kit import Failure, Shelf, StudyMaterial, write_figures
from brainalign.study import Study
from brainalign.workflow import STEPS, Job, Run, page_jobs


def report(job: Job) -> None:
    """Draw the page of a subject or of a dataset, its figures, or every page that a failure left incomplete."""
    run = Run(job.options("configuration", Config), check=False)
    if "figures" in job.outputs:
        chapters = draw_chapters(shelf_of(run, job.labels, job.provenance, [], run.subjects(job.labels["dataset"])))
        written = write_figures(chapters, job.outputs["figures"])
        print(f"report: {len(written)} files in {job.outputs['figures']}")
        return
    if "dataset" in job.labels:
        _draw(run, job, job.labels, [], run.subjects(job.labels["dataset"]))
        return
    for of in STEPS["report"].of(run):
        _draw_or_clear(run, job, of, failures_of(run, of["dataset"], of["subject"]), [])
    for of in STEPS["report_group"].of(run):
        by_subject = failures_of_group(run, of["dataset"])
        # Where the page itself failed ("") there is no use in drawing it again.
        whole = [name for name in run.subjects(of["dataset"]) if not {"", name} & by_subject.keys()]
        failures = list({failure: None for found in by_subject.values() for failure in found})
        _draw_or_clear(run, job, of, failures, whole)


def _draw_or_clear(run: Run, job: Job, of: Mapping[str, str], failures: list[Failure], whole: Sequence[str]) -> None:
    if failures:
        _draw(run, job, of, failures, whole)
    else:  # what failed before has been mended, maybe without another run of the report
        run.page(of, incomplete=True).unlink(missing_ok=True)


def _draw(run: Run, job: Job, of: Mapping[str, str], failures: list[Failure], whole: Sequence[str]) -> None:
    """Draw a page, with the description of its dataset; a whole one takes the place of an incomplete one."""
    page, descriptor = draw_page(shelf_of(run, of, job.provenance, failures, whole)), run.descriptors[of["dataset"]]
    path = run.page(of, incomplete=bool(failures))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write_text(page, encoding="utf-8"))
    write_json(path.parent / "dataset_description.json", dataset_description(descriptor))
    if not failures:
        run.page(of, incomplete=True).unlink(missing_ok=True)
    print(f"report: {path}")


def shelf_of(
    run: Run, of: Mapping[str, str], provenance: Provenance, failures: list[Failure], whole: Sequence[str] = ()
) -> Shelf:
    """Open the shelf of a page: what the run has of a subject or of a dataset."""
    page = StudyMaterial(
        run.config,
        of["dataset"],
        run.descriptors[of["dataset"]],
        of.get("subject", ""),
        failures=failures,
        neighbours=_neighbours(run, of),
    )
    jobs = [
        (step.name, step.writes, {name: label for name, label in labels.items() if name != "dataset"})
        for step, labels in page_jobs(run, of)
    ]
    return Shelf(page, jobs, run.artifact, provenance, whole)


def _neighbours(run: Run, of: Mapping[str, str]) -> list[tuple[str, str]]:
    """List the pages that a reader goes on to: the subject before and the next one, all subjects, all studies."""
    found = [("All studies", "../index.html")]
    names = [each["subject"] for each in STEPS["report"].of(run) if each["dataset"] == of["dataset"]]
    pages = {name: run.page({"dataset": of["dataset"], "subject": name}).name for name in names}
    if "subject" not in of:
        return [*((f"Subject {name}", page) for name, page in pages.items()), *found]
    if {"dataset": of["dataset"]} in list(STEPS["report_group"].of(run)):
        found.insert(0, ("All subjects", run.page({"dataset": of["dataset"]}).name))
    place = names.index(of["subject"])
    around = [("‹", name) for name in names[:place][-1:]] + [("›", name) for name in names[place + 1 :][:1]]
    return [*((f"{sign} subject {name}", pages[name]) for sign, name in around), *found]


def dataset_description(descriptor: Study) -> dict[str, object]:
    """Describe the dataset for the root of derivatives, as BIDS wants it."""
    doi = descriptor.citation.doi if descriptor.citation is not None else None
    origin = {name: value for name, value in (("URL", descriptor.source), ("DOI", doi)) if value}
    return {
        "Name": f"brainalign results of {descriptor.title}",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        **({"License": descriptor.licence} if descriptor.licence else {}),
        "GeneratedBy": [{"Name": "brainalign", "Version": brainalign.__version__}],
        "SourceDatasets": [origin] if origin else [],
    }
