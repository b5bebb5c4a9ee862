"""`results/index.html`: every page of a run with its first sentence; and `brainalign report`, which opens it."""

import os
import re
import subprocess
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from markupsafe import Markup

from brainalign.checks import BrainalignError
from brainalign.commands.folders import folder_of_run
from brainalign.config import load_config
from brainalign.io import make_folder, writing
from brainalign.workflow import STEPS, Run, job_of, page_paths

# Title, verdict, line below and first figure, as the template of pages writes them: escaped already.
PARTS = re.compile(
    r'<title>(?P<title>.*?) · brainalign</title>.*?<meta name="description" content="(?P<sentence>[^"]*)">.*?'
    r'<p class="soft">(?P<line>.*?)</p>',
    re.DOTALL,
)
FIGURE = re.compile(r"<svg.*?</svg>|<img [^>]*>", re.DOTALL)
# The mean over reliable targets of r|r| / ceiling, in summaries of stimuli held out and of blocks left out.
OF_CEILING = ("r²/ceiling", "mean r2_normalized of reliable targets")
ROW = Markup('<tr><th scope="row">{}</th><td>{}</td><td><meter value="{:.3f}"></meter> {:.0%}{}</td></tr>')
INDEX = Path(__file__).with_name("templates") / "index.html"


def write_index(run: Run) -> Path:
    """Write the page that links every page of a run that there is, those that a failure left incomplete too."""
    path = run.config.results / "index.html"
    make_folder(path.parent)
    pages = [page for both in page_paths(run) for page in both if page.is_file()]
    items = [_item(page, page.relative_to(path.parent).as_posix()) for page in pages]
    cards = "\n".join(items) or "<li>There is no page yet.</li>"
    text = INDEX.read_text(encoding="utf-8").replace("{compared}", _compared(run)).replace("{items}", cards)
    with writing(path):
        path.write_text(text, encoding="utf-8")
    return path


def _compared(run: Run) -> str:
    """Write a table of what the best model and the best control of each study explain; empty of a single study."""
    found = [_shares(run, of).assign(**of) for of in STEPS["report"].of(run)]
    shares = pd.concat([pd.DataFrame(columns=["model", "share", "dataset"]), *found], ignore_index=True)
    if shares["dataset"].nunique() < 2:
        return ""
    known = {name for name, model in run.config.models.items() if not model.random and model.extractor != "random"}
    over = shares.groupby(["dataset", "model"], sort=False)["share"].agg(["mean", "min", "max", "size"]).reset_index()
    over["control"] = ~over["model"].str.partition(" (")[0].isin(known)
    over = over[over["size"] == over.groupby(["dataset", "control"])["size"].transform("max")]  # not of a few subjects
    rows = []
    for row in over.loc[over.groupby(["dataset", "control"], sort=False)["mean"].idxmax()].to_dict("records"):
        named, of = row["model"] + ", control" * row["control"], f"{row['min']:.0%} to {row['max']:.0%}"
        spread = f" ({of} of {row['size']} subjects)" * (row["size"] > 1)
        rows.append(ROW.format(row["dataset"], named, max(row["mean"], 0), row["mean"], spread))
    return INDEX.with_name("compared.html").read_text(encoding="utf-8").replace("{rows}", "\n".join(rows))


def _shares(run: Run, of: Mapping[str, str]) -> pd.DataFrame:
    """Return the share of the ceiling by model (with its method in brackets) of one subject; empty without ceilings."""
    summary, runs = (run.artifact(suffix, **of) for suffix in ("summary", "runtargets"))
    if summary.is_file():
        table = pd.read_parquet(summary)
        table = table[table["quantity"].isin(OF_CEILING) & table.get("chosen", True)]
        table = table[table["split"] == table["split"].iloc[:1].squeeze()]
        table = table.assign(model=table["model"] + " (" + table["method"] + ")", share=table["value"])
    elif runs.is_file():
        table = pd.read_parquet(runs).query("reliable and model != 'all'")
        table = table.assign(share=table["r"] * table["r"].abs() / table["ceiling"])
    else:
        return pd.DataFrame(columns=["model", "share"])
    return table.groupby("model", sort=False)["share"].mean().dropna().reset_index()


def _item(page: Path, link: str) -> str:
    """Return the card of a page: its verdict, and its first figure beside."""
    text = page.read_text(encoding="utf-8")
    parts, figure = PARTS.search(text), FIGURE.search(text)
    title, line, sentence = (parts[name] for name in ("title", "line", "sentence")) if parts else (page.stem, "", "")
    about = "<b>Incomplete: a job failed.</b> " if page.stem.endswith("_incomplete") else ""
    failed = text.count('class="failed-control"')
    about += f"<b>{failed} control{'s' * (failed > 1)} failed.</b> " * bool(failed)
    words = f'<div><a href="{link}">{title}</a><p>{about}{sentence}</p><small>{line}</small></div>'
    # Ids of drawings are of one page: here there are several.
    drawing = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{page.parent.name}-{page.stem}-", figure[0]) if figure else ""
    return f"<li>{words}<div>{drawing}</div></li>"


def write_page_figures(config: Path, folder: Path) -> int:
    """Write the figures of every page of a run that there is, a folder each; returns the largest exit status.

    `config` is the YAML of the run.
    """
    if not config.is_file():
        raise BrainalignError(f"{config}: no file; name the YAML of the run whose figures are to be written")
    statuses = []
    with folder_of_run(config) as file, TemporaryDirectory() as jobs:
        run = Run(load_config(file), check=False)
        for step in (STEPS["report"], STEPS["report_group"]):
            for of in step.of(run):
                if (page := run.page(of)).is_file():
                    job = job_of(run, step, of)
                    job.outputs = {"figures": folder / of["dataset"] / page.stem}
                    command = [sys.executable, "-P", "-m", "brainalign.pipelines", str(job.write(jobs))]
                    statuses.append(subprocess.run(command).returncode)
        if not statuses:
            raise BrainalignError(f"{run.config.results}: no page is there; run the study first (brainalign run)")
    return max(statuses)


def open_report(place: Path) -> Path:
    """Open the index of a run in the browser, where there is a display; returns where it lies.

    `place` is the YAML of the run, the folder it lies in, or the folder of its results.
    """
    if place.is_file():
        with folder_of_run(place) as file:
            index = write_index(Run(load_config(file), check=False)).resolve()
    else:
        there = [path for path in [place / "index.html", place / "results" / "index.html"] if path.is_file()]
        if not there:
            remedy = "run the study first (brainalign run study.yaml), or name its YAML"
            raise BrainalignError(f"{place}: no index.html here or in results/; {remedy}")
        index = there[0].resolve()
    if sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        webbrowser.open(index.as_uri())
    return index
