"""What the command line does: a file per command that is more than a few lines."""

from brainalign.commands.index import open_report, write_index
from brainalign.commands.progress import RunProgress
from brainalign.commands.run import run_workflow

__all__ = ["RunProgress", "open_report", "run_workflow", "write_index"]
