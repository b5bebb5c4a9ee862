"""The stages of a run, and a digest of the code that each of them depends on."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from brainalign.checks import BrainalignError

__all__ = ["BASE_FILES", "STAGES", "library_digest"]

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
    "pretrain": ("datasets", "encoding", "features", "kernels", "statistics"),
    "encode": ("datasets", "encoding", "features", "kernels", "statistics"),
    "encode_images": ("datasets", "encoding", "features", "kernels", "statistics"),
    "compare": ("datasets", "geometry", "kernels", "statistics"),
    "compare_images": ("datasets", "geometry", "kernels", "statistics"),
    "compare_rdms": ("geometry", "kernels", "statistics"),
    "decode_times": ("datasets", "geometry", "kernels", "statistics"),
    "decode_modalities": ("datasets", "decoding", "features", "geometry", "kernels", "statistics"),
    "rollout": ("datasets", "features", "geometry", "kernels", "statistics"),
    "dynamics": ("datasets", "encoding", "features", "geometry", "kernels", "statistics"),
    "searchlight": ("datasets", "geometry", "kernels", "statistics"),
    "caption": ("datasets", "encoding", "features", "kernels", "statistics", "synthesis"),
    "ground": ("datasets", "decoding", "features", "statistics"),
    "ground_regions": ("datasets", "decoding", "encoding", "features", "kernels", "statistics"),
    "converge": ("datasets", "encoding", "features", "kernels", "statistics"),
    "match": ("geometry", "kernels", "statistics"),
    "decode": ("decoding", "features", "statistics"),
    "concepts": ("geometry", "kernels", "statistics"),
    "align": ("geometry", "kernels", "statistics"),
    "identify": ("geometry", "kernels", "statistics"),
    "decode_series": ("datasets", "decoding", "features", "statistics"),
    "guide": ("datasets", "encoding", "features", "kernels", "statistics", "synthesis"),
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
# settings.py must not rerun the others, and the values that matter reach a stage through its parameters.
BASE_FILES = (
    "arrays.py",
    "artifact_names.py",
    "artifacts.py",
    "checks.py",
    "devices.py",
    "files.py",
    "provenance.py",
    "tables.py",
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
    root = Path(__file__).parent
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
