"""Snakemake, imported once: every line of input is a call of it, which runs in a fork of this process.

Importing Snakemake and pandas takes as long as a dry run, and the tests call it some seventy times. Nothing of
brainalign is imported beforehand: it comes from the checkout, which a test may have edited.
"""

from __future__ import annotations

import gc
import json
import os
import sys

import nibabel  # noqa: F401
import pandas  # noqa: F401
import pydantic
import safetensors.numpy  # noqa: F401
import smart_open  # noqa: F401 (as snakemake does, late)
from leaving import leave
from snakemake.cli import get_argument_parser, main

get_argument_parser()  # finds and imports plugins
pydantic.TypeAdapter(int)  # so does this


def call(folder: str, environment: dict[str, str], arguments: list[str], output: str, errors: str) -> None:
    """Become `snakemake` with these arguments, in a folder, with its output in files; does not return."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, environment["PYTHONPATH"])
    for number, path in enumerate((os.devnull, output, errors)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    sys.argv = ["snakemake", *arguments]
    main()


gc.freeze()  # else every fork goes through all of these objects, and copies them, when it exits
for line in sys.stdin:
    if (child := os.fork()) == 0:
        leave(call, **json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
