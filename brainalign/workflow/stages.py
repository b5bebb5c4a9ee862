"""The stages of a run, a digest of the code that each of them depends on, and the files their settings travel in."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from brainalign.checks import BrainalignError
from brainalign.io import write_atomically

# The folders each stage may import: their code is part of what its results depend on (a test follows the imports).
STAGES = {
    "simulate": ("simulation",),
    "prepare": ("datasets", "statistics"),
    "prepare_images": ("datasets", "statistics"),
    "prepare_rdms": ("datasets",),
    "prepare_recordings": ("datasets",),
    "prepare_sentences": ("datasets", "features", "simulation", "statistics"),
    "prepare_series": ("datasets", "simulation"),
    "prepare_triplets": ("datasets", "geometry", "kernels", "statistics"),
    "prepare_modalities": ("datasets", "features", "simulation"),
    "extract": ("features",),
    "pretrain": ("datasets", "encoding", "features", "kernels", "regression", "statistics"),
    "encode": ("datasets", "encoding", "features", "kernels", "regression", "statistics"),
    "encode_images": ("datasets", "encoding", "features", "kernels", "regression", "statistics"),
    "compare": ("datasets", "geometry", "kernels", "statistics"),
    "compare_images": ("datasets", "geometry", "kernels", "statistics"),
    "compare_rdms": ("geometry", "kernels", "statistics"),
    "decode_times": ("datasets", "geometry", "kernels", "statistics"),
    "decode_modalities": ("datasets", "decoding", "features", "geometry", "kernels", "statistics"),
    "rollout": ("datasets", "features", "geometry", "kernels", "statistics"),
    "dynamics": ("datasets", "encoding", "features", "geometry", "kernels", "regression", "statistics"),
    "searchlight": ("datasets", "geometry", "kernels", "statistics"),
    "caption": ("datasets", "encoding", "features", "kernels", "regression", "statistics", "synthesis"),
    "ground": ("datasets", "decoding", "features", "statistics"),
    "ground_regions": ("datasets", "decoding", "encoding", "features", "kernels", "regression", "statistics"),
    "converge": ("datasets", "encoding", "features", "kernels", "regression", "statistics"),
    "match": ("geometry", "kernels", "statistics"),
    "decode": ("decoding", "features", "statistics"),
    "concepts": ("geometry", "kernels", "statistics"),
    "align": ("geometry", "kernels", "statistics"),
    "identify": ("geometry", "kernels", "statistics"),
    "decode_series": ("datasets", "decoding", "features", "statistics"),
    "guide": ("datasets", "encoding", "features", "kernels", "regression", "statistics", "synthesis"),
    "synthesize": ("features", "simulation", "statistics", "synthesis"),
    "directions": ("features", "simulation", "statistics", "synthesis"),
    "summarize": ("datasets", "statistics"),
    "summarize_images": ("simulation", "statistics"),
    "summarize_group": ("statistics",),
    "report": ("report", "statistics"),
    "report_images": ("report", "statistics"),
    "report_recordings": ("report", "statistics"),
    "report_dynamics": ("report", "statistics"),
    "report_sentences": ("report", "statistics"),
    "report_concepts": ("report", "statistics"),
    "report_modalities": ("report", "statistics"),
    "report_series": ("report", "statistics"),
    "report_group": ("report", "statistics"),
}

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
        # kernels lies elsewhere in a checkout; find_spec knows where, without importing it.
        spec = importlib.util.find_spec(f"brainalign.{folder}")
        if spec is None or not spec.submodule_search_locations:
            raise BrainalignError(f"brainalign has no folder {folder!r}")
        found = sorted(Path(spec.submodule_search_locations[0]).rglob("*"))
        files += [file for file in found if file.suffix in CODE and not file.parent.name.startswith(".")]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.parent.name}/{file.name}".encode() + file.read_bytes())
    return digest.hexdigest()


def settings_file(folder: str | Path, settings: Mapping[str, object]) -> Path:
    """Write the settings of a job to a file that is named by their digest, and return where it lies.

    A rule takes the path as a parameter: other settings are another path, which reruns it. As text of a command they
    would have to fit into what Linux takes as one argument, 128 KiB.

    Parameters
    ----------
    folder : path
    settings : mapping
        JSON values.
    """
    text = json.dumps(settings)
    path = Path(folder, f"{hashlib.sha256(text.encode()).hexdigest()}.json")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: file.write_text(text))
    return path


def read_settings(given: str) -> dict[str, Any]:
    """Return the settings of a stage, given as the path of a JSON file or as JSON.

    Raises
    ------
    BrainalignError
        If there is no such file, or it holds no JSON object.
    """
    inline = given.lstrip().startswith("{")
    where = "--settings" if inline else given
    try:
        settings = json.loads(given if inline else Path(given).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrainalignError(f"{where}: {error}; give a JSON object, or the path of a file that holds one") from None
    if not isinstance(settings, dict):
        raise BrainalignError(f"{where}: holds no JSON object; settings are one, by section")
    return settings
