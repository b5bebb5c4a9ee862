"""Snakemake, with a logger of ours: python -P -m brainalign.commands.snakemake_process CONFIG ARGUMENTS...

At its end, whatever it was, the pages that are there.
"""

import os
import runpy
import signal
import sys
from pathlib import Path
from types import ModuleType

from rich.console import Console
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from brainalign.commands.index import write_index
from brainalign.commands.progress import RunProgress, handler_class
from brainalign.config import load_config
from brainalign.workflow import Run, page_paths


def main(config: Path, arguments: list[str]) -> int:
    """Run Snakemake on a configuration; returns its exit status."""
    signal.signal(signal.SIGUSR1, _ended)
    run = Run(load_config(config), check=False)
    console = Console(highlight=False, soft_wrap=True)
    progress = RunProgress(run, console)
    plugin = ModuleType("snakemake_logger_plugin_brainalign")
    vars(plugin)["LogHandler"] = handler_class(progress)
    LoggerPluginRegistry().register_plugin("brainalign", plugin)
    sys.argv = ["snakemake", "--configfile", str(config), *arguments]
    try:
        runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:  # a second one, while pages of what did work were made
        status = 1
    if "--unlock" not in arguments:
        progress.close(status)
        pages = [path for paths in page_paths(run) for path in paths if path.is_file()]
        for page in [*pages, *([write_index(run)] if pages else [])]:
            console.print(f"page: {page.resolve()}", markup=False)
    return status


def _ended(*_: object) -> None:
    """End jobs, and Snakemake as an interrupt would, when `brainalign run` is gone; an interrupt may be ignored."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Snakemake's own handler waits for a lock that this thread may hold
    os.killpg(0, signal.SIGTERM)
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2:]))
