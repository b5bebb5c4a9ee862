"""What `brainalign run` shows of Snakemake: a line per finished step, one bar with the time that is left.

    left = elapsed · Σ cost of what is to do / Σ cost of what is done

with the costs that `brainalign plan` estimates: their ratios matter, and not how fast this machine is.
"""

import logging
import re
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from brainalign.workflow import STEPS, Run, jobs

# What SLURM writes into the log of a job that it ends.
ENDED = {"OUT_OF_MEMORY": "oom.kill", "TIMEOUT": "DUE TO TIME LIMIT"}


class RunProgress:
    """The screen of a run."""

    def __init__(self, run: Run, console: Console) -> None:
        self.console = console
        costs = defaultdict(list)
        for job in jobs(run.config):
            costs[job.rule].append(max(job.cost.seconds, 1.0))
        self.costs = {rule: fmean(of) for rule, of in costs.items()}
        self.n_jobs, self.n_done, self.to_do, self.done = 0, 0, 0.0, 0.0
        self.begun = time.monotonic()
        self.started: dict[int, tuple[str, str, float]] = {}
        self.failed: list[str] = []
        self.group_logs: dict[int, list[str]] = {}
        self.full_log = ""
        self.bar = Progress(BarColumn(), TextColumn("{task.description}"), console=console, transient=True)
        self.task = self.bar.add_task("", total=1.0)

    def take(self, record: logging.LogRecord) -> None:
        """Take a record of Snakemake's log: what is to be done, what began, ended or failed."""
        for handler in logging.getLogger("snakemake.logging").handlers:  # the folder holds logs of other runs, too
            self.full_log = getattr(handler, "baseFilename", self.full_log)
        of: dict[str, Any] = vars(record)
        event = of.get("event")
        if event == LogEvent.RUN_INFO:
            counts = {rule: int(n) for rule, n in of["stats"].items() if rule in self.costs}
            self.n_jobs = sum(counts.values())
            self.to_do = sum(n * self.costs[rule] for rule, n in counts.items())
            self.bar.start()
        elif event == LogEvent.JOB_INFO:
            self.started[of["jobid"]] = (of["rule_name"], " ".join(of["wildcards"].values()), time.monotonic())
        elif event == LogEvent.JOB_FINISHED and of["job_id"] in self.started:
            self._finish(*self.started.pop(of["job_id"]))
        elif event == LogEvent.GROUP_ERROR:  # comes before errors of its jobs, which know nothing of SLURM
            self.group_logs |= {job["jobid"]: of["aux_logs"] for job in of["job_error_info"]}
        elif event == LogEvent.JOB_ERROR:
            self._fail(of)
        elif record.levelno >= logging.ERROR and not self.failed and of.get("exception") != "RuleException":
            self.console.print(record.getMessage(), style="red", markup=False)

    def _finish(self, rule: str, labels: str, begun: float) -> None:
        if rule not in self.costs:  # the rule that asks for all pages
            return
        self.n_done += 1
        self.done += self.costs[rule]
        seconds = time.monotonic() - begun
        self.console.print(f"{self.n_done}/{self.n_jobs} {STEPS[rule].name} {labels} ({seconds:.0f} s)", markup=False)
        left = (time.monotonic() - self.begun) * max(self.to_do - self.done, 0.0) / self.done
        self.bar.update(self.task, completed=self.done, total=self.to_do, description=f"about {_clock(left)} left")

    def _fail(self, of: dict[str, Any]) -> None:
        logs = [Path(str(path).split(" (")[0]) for path in [*of["log"], *self.group_logs.pop(of["jobid"], [])]]
        # The job's own is last: a cluster's is Snakemake's.
        text = "\n".join(path.read_text(errors="replace") for path in reversed(logs) if path.is_file()).strip()
        said = text.rpartition("\n")[2].strip() or "it left no message"
        ended = re.findall(r"SLURM status is: '(?!FAILED)(\w+)'", of.get("rule_msg") or "")
        if ended := [*ended, *(state for state, sign in ENDED.items() if re.search(sign, text))]:
            said = f"SLURM ended it ({ended[0]})"
        labels = " ".join(self.started.get(of["jobid"], ("", "", 0.0))[1:2])
        rule = of["rule_name"]
        step = STEPS[rule].name if rule in STEPS else rule
        self.failed.append(step)
        self.console.print(f"failed: {step} {labels}: {said}", style="red", markup=False)
        self.console.print(f"  its log: {', '.join(str(path.resolve()) for path in logs)}", markup=False)

    def close(self, status: int) -> None:
        """End the bar, and say what a failed run leaves and where all that happened is written."""
        self.bar.stop()
        if status and self.failed:
            self.console.print("what had been computed is kept; correct what failed and run again")
        if status and self.full_log:
            self.console.print(f"full log: {self.full_log}", markup=False)


def _clock(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def handler_class(progress: RunProgress) -> type[LogHandlerBase]:
    """Make the class that Snakemake logs to, which hands every record to the screen of this run."""

    class LogHandler(LogHandlerBase):
        writes_to_stream, writes_to_file = True, False
        has_filter, has_formatter, needs_rulegraph = True, True, False

        def emit(self, record: logging.LogRecord) -> None:
            progress.take(record)

    return LogHandler
