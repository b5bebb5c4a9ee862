"""Run one job: python -P -m brainalign.pipelines JOB.json, a file that the workflow wrote."""

import gc
import sys

from brainalign.pipelines import run_file

if __name__ == "__main__":
    gc.set_threshold(10_000)  # hundreds of thousands of objects are made that stay: less often is garbage looked for
    raise SystemExit(run_file(sys.argv[1]))
