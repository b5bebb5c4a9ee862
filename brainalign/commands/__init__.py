"""What the command line does: a file per command that is more than a few lines."""

from brainalign.commands.progress import RunProgress
from brainalign.commands.run import run_workflow

__all__ = ["RunProgress", "run_workflow"]
