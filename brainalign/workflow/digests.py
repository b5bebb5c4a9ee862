"""Digests of the code that the results of a step depend on, and the files that jobs travel in."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from brainalign.checks import BrainalignError
from brainalign.io import write_atomically

# Base files that take part in every result. The others hold the workflow itself: a new option of one stage in
# config must not rerun the others, and the values that matter reach a stage through its parameters.
BASE_FILES = (
    "arrays.py",
    "checks.py",
    "condensed.py",
    "devices.py",
    "io/artifact_names.py",
    "io/artifacts.py",
    "io/files.py",
    "io/provenance.py",
    "io/readers.py",
    "io/tables.py",
    "io/temporary.py",
    "study/image_words.py",
    "study/preconditions.py",
)

CODE = (".py", ".html")  # what a library folder is made of


@cache
def library_digest(*folders: str) -> str:
    """Return the sha256 of the library code that `folders` and the base hold.

    Snakemake takes it as a parameter of a rule, so an edit reruns the stages that may use it and no other.

    Raises
    ------
    BrainalignError
        If a folder does not exist.
    """
    root = Path(__file__).parent.parent
    files = [root / name for name in BASE_FILES]
    for folder in folders:
        found = sorted(Path(_place(folder)).rglob("*"))
        files += [file for file in found if file.suffix in CODE and not file.parent.name.startswith(".")]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.parent.name}/{file.name}".encode() + file.read_bytes())
    return digest.hexdigest()


def program_digest(folder: str, name: str, code: Sequence[str]) -> str:
    """Return the sha256 of a program, of the programs it imports, and of the library folders it may use."""
    programs = Path(_place("pipelines"))
    program = programs / folder / f"{name}.py"
    imported = re.findall(r"^from brainalign\.pipelines\.(\w+)\.(\w+) import", program.read_text(), flags=re.MULTILINE)
    digest = hashlib.sha256(library_digest(*code).encode())
    for path in (program, *(programs / other / f"{module}.py" for other, module in imported)):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _place(folder: str) -> str:
    """Locate a folder of brainalign, without importing it: some lie elsewhere in a checkout."""
    spec = importlib.util.find_spec(f"brainalign.{folder}")
    if spec is None or not spec.submodule_search_locations:
        raise BrainalignError(f"brainalign has no folder {folder!r}")
    return spec.submodule_search_locations[0]


def digest_file(folder: str | Path, content: Mapping[str, object]) -> Path:
    """Write JSON to a file that is named by its digest, and return where it lies.

    As text of a command, settings would have to fit into what Linux takes as one argument, 128 KiB.

    Parameters
    ----------
    folder : path
    content : mapping
        JSON values.
    """
    text = json.dumps(content)
    path = Path(folder, f"{hashlib.sha256(text.encode()).hexdigest()}.json")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: file.write_text(text))
    return path
