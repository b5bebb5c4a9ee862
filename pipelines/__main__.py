"""Run one job: python -P -m brainalign.pipelines JOB.json, a file that the workflow wrote."""

import sys

from brainalign.pipelines import run_file

if __name__ == "__main__":
    raise SystemExit(run_file(sys.argv[1]))
