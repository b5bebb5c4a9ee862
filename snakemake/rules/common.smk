# What the rules share: the run, the costs of its jobs, what is asked for.
from brainalign.checks import BrainalignError
from brainalign.commands import write_index
from brainalign.config import Config
from brainalign.io import artifact_files
from brainalign.pipelines import start_forks
from brainalign.study import parse as parse_settings  # "parse" is a name of Snakemake's own
from brainalign.workflow import (
    STEPS,
    Run,
    changes_of,
    estimate,
    forget,
    incomplete_pages,
    job_of,
    note,
    page_paths,
    step_digest,
)

JOBS = ".snakemake/jobs"

try:
    RUN = Run(parse_settings(Config, config, "configuration"))
    for descriptor in RUN.descriptors.values():
        descriptor.all_files()
    for name in RUN.config.datasets.keys() - RUN.descriptors.keys():
        print(f"leaving out {name}: its files are not found; set BRAINALIGN_DATA to a folder that holds them")
except BrainalignError as error:
    raise WorkflowError(str(error)) from None


def labels_of(step, wildcards):
    """Return what a job is of."""
    return {name: wildcards[name] for name in ("dataset", *step.labels)}


def wildcards_of(step):
    """Return wildcards in the place of labels: what the files of a rule are named with."""
    return {name: f"{{{name}}}" for name in ("dataset", *step.labels)}


def alternatives(step, name):
    """Return a regular expression of the labels that jobs of a step have; where it has no job, one that never matches."""
    return "|".join(sorted({of[name] for of in step.of(RUN)})) or "(?!)"


def inputs_of(step):
    """Return an input function per name of a step's files."""

    def of_one(read):
        return lambda wildcards: [str(path) for path in read(RUN, labels_of(step, wildcards))]

    return {name: of_one(read) for name, read in step.reads.items()}


def outputs_of(step):
    """Return every file of a step's artifacts, with wildcards."""
    found = step.outputs(RUN, wildcards_of(step))
    files = {name: artifact_files(path) if name in step.writes else str(path) for name, path in found.items()}
    if step.folder == "report":
        subject = "{subject}" if "subject" in step.labels else "all"
        about = "../report/subject.rst" if "subject" in step.labels else "../report/group.rst"
        labels = {"dataset": "{dataset}", "subject": subject}
        files["page"] = report(files["page"], caption=about, category="report", labels=labels)
    return files


def state_of(step):
    """Return a digest of what changes a result: other settings or files rerun the job."""
    return lambda wildcards: changes_of(RUN, step, labels_of(step, wildcards))


def code_of(step):
    """Return a digest of the code that a job depends on: an edit reruns the jobs that may use it."""
    return lambda wildcards: step_digest(RUN, step, labels_of(step, wildcards))


def file_of(step):
    """Return the file in which a job finds its paths and settings; its name alone reruns nothing."""
    return lambda wildcards, input: str(job_of(RUN, step, labels_of(step, wildcards)).write(JOBS))


def cost(step, wildcards):
    labels = labels_of(step, wildcards)
    descriptor = RUN.descriptors[labels["dataset"]]
    return estimate(step.rule, RUN.config, descriptor, labels.get("model", ""), labels.get("method", ""))


def memory(step):
    """Return the memory a job asks for: the estimate, and half as much again at every new attempt."""

    def mem_mb(wildcards, attempt):
        around = 0 if workflow.local_exec else 400  # MB of Snakemake, which runs twice around every job of a cluster
        return round((cost(step, wildcards).memory_mb + around) * (1 + 0.5 * (attempt - 1)))

    return mem_mb


def minutes(step):
    """Return the run time a job asks for: five times the estimate, ten minutes at least."""

    def runtime(wildcards, attempt):
        return attempt * max(10, cost(step, wildcards).seconds * 5 // 60)

    return runtime


def device(step):
    """Return how many GPUs a job asks for."""
    return lambda wildcards: int(step.device(RUN, labels_of(step, wildcards)))


def threads_of(step):
    """Return how many cores a job takes: those that load images for a GPU or are its workers here, else one."""

    def cores(wildcards):
        if step.name == "extract" and device(step)(wildcards):
            return 8  # some 200 photographs a second each
        found = RUN.config.cluster_of(wildcards.method) if step.spreads else {}
        return found["workers"] or workflow.resource_settings.cores or 1 if found.get("where") == "local" else 1

    return cores


def targets():
    """Return every page of the run."""
    return [str(page) for page, _ in page_paths(RUN)]


onstart:
    # Who may hold a lock: `make unlock` releases it only when all noted processes are gone.
    note()
    if workflow.local_exec and not workflow.deployment_settings.deployment_method:  # nor in containers
        start_forks()


onsuccess:
    forget()
    write_index(RUN)


onerror:
    forget()
    # A rule whose input is missing never runs, so the pages of what did work are made here.
    job = incomplete_pages(RUN).write(JOBS)
    shell("python -P -m brainalign.pipelines {job:q} || true")
    write_index(RUN)
