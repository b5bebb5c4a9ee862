"""Which folder the paths of a configuration are relative to."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from brainalign.study import read_yaml


@contextlib.contextmanager
def folder_of_run(path: Path) -> Iterator[Path]:
    """Enter the folder that the paths of a configuration are relative to, and yield the file as seen from there.

    The working folder where a descriptor of the configuration is there, else the folder of the file itself.
    """
    content = read_yaml(path)
    datasets = content.get("datasets") if isinstance(content, dict) else None
    uses = datasets.values() if isinstance(datasets, dict) else ()
    named = [Path(str(use["descriptor"])) for use in uses if isinstance(use, dict) and "descriptor" in use]
    if any(descriptor.is_file() for descriptor in named):
        yield path
        return
    with contextlib.chdir(path.parent):
        yield Path(path.name)
