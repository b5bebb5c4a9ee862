"""Run one job: python -P -m brainalign.pipelines JOB.json, a file that the workflow wrote."""

import gc
import sys

from brainalign.pipelines import ask, run_file

if __name__ == "__main__":
    status = ask(sys.argv[1])
    if status is None:
        gc.set_threshold(10_000)  # hundreds of thousands of objects are made that stay
        status = run_file(sys.argv[1])
    raise SystemExit(status)
