"""Digests of the code that the results of a step depend on, and the files that jobs travel in."""

import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
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
    "study/feature_norms.py",
    "study/image_words.py",
    "study/preconditions.py",
    "study/vectors.py",
)

# Wings of which a result does not depend, but for the files above.
APART = ("cli.py", "commands/", "config/", "study/", "workflow/")
IMPORT = re.compile(r"^ *from (brainalign[\w.]*) import (\([^)]*\)|[^\n(]*)", flags=re.MULTILINE)


@cache
def code_digest(program: str, without: tuple[str, ...] = ()) -> str:
    """Digest the code that the results of a program depend on: an edit reruns the steps that may use it, and no other.

    Imports are followed file by file. A name that a package exports leads to the file that defines it, so that a step
    depends on what it uses of a wing and not on all of it. `program` is "encode/encode" in the folder of programs;
    `without` are folders ("encoding/in_context/") and files ("pipelines/encode/held_out.py") that a job of the program
    never enters: what they import is not followed.
    """
    digest = hashlib.sha256()
    for name, path in sorted(reached(program, without).items()):
        digest.update(name.encode() + path.read_bytes())
    return digest.hexdigest()


@cache
def reached(program: str, without: tuple[str, ...] = ()) -> dict[str, Path]:
    """List the files that a program may use, by their place in the library; see `code_digest`."""
    start = _roots()["pipelines"] / f"{program}.py"
    if not start.exists():
        raise BrainalignError(f"no program {program} in {start.parent}")
    found: dict[str, Path] = {}
    todo = [start, *(_roots()[""] / name for name in BASE_FILES)]
    while todo:
        path = todo.pop()
        name = _name(path)
        if name in found or name.startswith(without) or (name.startswith(APART) and name not in BASE_FILES):
            continue
        found[name] = path
        todo += _imported(path)
    return found


@cache
def _imported(path: Path) -> list[Path]:
    """List the files whose names a file imports, and the templates that lie beside it."""
    found: list[Path] = []
    for module, names in IMPORT.findall(path.read_text(encoding="utf-8") if path.suffix == ".py" else ""):
        for name in re.findall(r"(\w+)(?: as \w+)?", re.sub(r"#.*", "", names)):
            found += _defining(module, name)
    beside = [] if path.suffix != ".py" else [path.parent / "templates", path.parent.parent / "templates"]
    return found + sorted(file for folder in beside for file in folder.glob("*.*"))


@cache
def _defining(module: str, name: str) -> list[Path]:
    """List the file that defines a name of a module; all files of a package that does not say where it has it from."""
    place = _place(module)
    if place is None:
        return []
    if place.is_file():
        return [place]
    inside = _place(f"{module}.{name}")
    if inside is not None:
        return [inside] if inside.is_file() else sorted(inside.rglob("*.py"))
    face = place / "__init__.py"
    text = face.read_text(encoding="utf-8")
    for other, names in IMPORT.findall(text):
        exported = _exports(other) if names == "*" else re.findall(r"\w+", re.sub(r"\w+ as (?=\w)", "", names))
        if name in exported:
            return _defining(other, name)
    here = re.search(rf"^(def {name}|class {name}|{name}\b.*=)", text, flags=re.MULTILINE)
    if here and "\nfrom ." not in text:  # kernels stand beside their face, which names them without their package
        return [face]
    return sorted(place.rglob("*.py"))


@cache
def _exports(package: str) -> frozenset[str]:
    """List the public names of a package whose face has them in `__all__`."""
    place = _place(package)
    text = "" if place is None else (place / "__init__.py").read_text(encoding="utf-8")
    return frozenset(re.findall(r'"(\w+)"', text.partition("__all__")[2].partition("]")[0]))


@cache
def _roots() -> dict[str, Path]:
    """Locate the library, its kernels and its programs; the latter two lie elsewhere in a checkout."""
    roots = {"": Path(__file__).parent.parent}
    for folder in ("kernels", "pipelines"):
        spec = importlib.util.find_spec(f"brainalign.{folder}")
        assert spec is not None
        assert spec.submodule_search_locations
        roots[folder] = Path(spec.submodule_search_locations[0])
    return roots


def _place(module: str) -> Path | None:
    """Locate the file or folder of a module; None where there is none."""
    parts = module.split(".")[1:]
    root = _roots()[parts.pop(0)] if parts and parts[0] in _roots() else _roots()[""]
    folder = root.joinpath(*parts)
    if (folder / "__init__.py").is_file():  # a folder that an update left has bytecode only
        return folder
    file = folder.with_suffix(".py")
    return file if file.exists() else None


@cache
def _name(path: Path) -> str:
    """Return the place of a file in the library."""
    for name, root in reversed(_roots().items()):
        if path.is_relative_to(root):
            return (Path(name) / path.relative_to(root)).as_posix()
    raise BrainalignError(f"{path} lies in no folder of brainalign")


def digest_file(folder: str | Path, content: Mapping[str, object]) -> Path:
    """Write JSON to a file that is named by its digest, and return where it lies.

    As text of a command, settings would have to fit into what Linux takes as one argument, 128 KiB.
    """
    text = json.dumps(content)
    path = Path(folder, f"{hashlib.sha256(text.encode()).hexdigest()}.json")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: file.write_text(text))
    return path
