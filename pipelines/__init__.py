"""Stages: each parses its arguments, loads, calls the library, saves. Snakemake, pytest and people call them alike:

python -P -m brainalign.pipelines.<folder>.<stage> --help
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from brainalign.checks import BrainalignError
from brainalign.devices import claim_gpu, visible_gpus
from brainalign.io import Provenance
from brainalign.workflow import STAGES, library_digest, read_settings

__all__ = ["run_stage", "stage_parser"]


def stage_parser(stage: str, description: str | None) -> argparse.ArgumentParser:
    """Return the parser of a stage with what all stages take: settings, and the seed."""
    parser = argparse.ArgumentParser(prog=stage, description=description)
    parser.set_defaults(stage=stage)
    about = "JSON, or a file of it: everything that changes the result"
    parser.add_argument("--settings", type=_settings, required=True, help=about)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _settings(given: str) -> dict[str, Any]:
    try:
        return read_settings(given)
    except BrainalignError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run_stage(
    parser: argparse.ArgumentParser,
    body: Callable[[argparse.Namespace, Provenance], Any],
    argv: Sequence[str] | None,
    *,
    uses_gpu: Callable[[argparse.Namespace], bool] = lambda _: False,
) -> int:
    """Run a stage; what a user can mend ends it with one short message instead of a traceback.

    Parameters
    ----------
    parser : ArgumentParser
        From `stage_parser`.
    body : callable (arguments, provenance)
    argv : sequence of str, optional
        The command line without the program; sys.argv where not given.
    uses_gpu : callable (arguments)
        Whether to claim a GPU, where there is one, before torch looks for it.

    Returns
    -------
    int
        Exit status: 0, or 2 after a BrainalignError.
    """
    arguments = parser.parse_args(argv)
    token = claim_gpu(visible_gpus()) if uses_gpu(arguments) else None
    library = library_digest(*STAGES[arguments.stage])
    provenance = Provenance(arguments.stage, arguments.settings, library, arguments.seed)
    try:
        body(arguments, provenance)
    except BrainalignError as error:
        print(f"{arguments.stage} stopped:\n{error}", file=sys.stderr)
        return 2
    finally:
        if token is not None:
            token.close()
    used = os.times()
    # Snakemake's benchmark asks a running job now and then, so that it knows little of one of a few seconds.
    print(f"took {used.user + used.system + used.children_user + used.children_system:.1f} seconds of a core")
    return 0
