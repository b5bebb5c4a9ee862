"""What the command line does: a file per command that is more than a few lines."""

from brainalign.commands.analyses import analyses_of
from brainalign.commands.folders import folder_of_run
from brainalign.commands.index import open_report, write_index, write_page_figures
from brainalign.commands.init import init_study
from brainalign.commands.progress import RunProgress
from brainalign.commands.run import run_workflow
