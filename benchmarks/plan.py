"""What `brainalign plan` estimates against what a run of the same configuration took, by stage, in seconds of a core.

python -P benchmarks/plan.py [CONFIG [--jobs]]     after `make run CONFIG=...`; reads the last line of every log

Seconds of a core do not depend on what else the machine does, but for a busy machine's caches. With `--jobs` every job
has a line of its own.
"""

import re
import sys
from collections import defaultdict

from brainalign.config import load_config
from brainalign.workflow import STEPS, jobs

TOOK = re.compile(r"^took ([0-9.]+) seconds of a core$", re.MULTILINE)
LEAST_S = 10.0  # stages below are not judged


def main(config: str = "snakemake/config/demo.yaml", each: str = "") -> None:
    """Print a table: stage, jobs, estimated, measured, ratio."""
    estimated: dict[str, float] = defaultdict(float)
    measured: dict[str, float] = defaultdict(float)
    done: dict[str, int] = defaultdict(int)
    planned = jobs(load_config(config))
    for job in planned:
        took = TOOK.search(job.log.read_text()) if job.log.exists() else None
        if took is None:
            continue
        if each:
            print(f"{job.output!s:70}{job.cost.seconds:8.0f}{took[1]:>8}")
        estimated[job.stage] += job.cost.seconds
        measured[job.stage] += float(took[1])
        done[job.stage] += 1
    print(f"{'stage':20}{'jobs':>6}{'estimated':>12}{'measured':>12}{'ratio':>8}")
    for stage in (stage for stage in STEPS if done[stage]):
        ratio = estimated[stage] / max(measured[stage], 0.1)
        mark = " *" if measured[stage] > LEAST_S and not 0.5 <= ratio <= 2 else ""
        print(f"{stage:20}{done[stage]:6}{estimated[stage]:12.0f}{measured[stage]:12.1f}{ratio:8.2f}{mark}")
    total, took = sum(estimated.values()), sum(measured.values())
    print(f"{'all':20}{sum(done.values()):6}{total:12.0f}{took:12.1f}{total / max(took, 0.1):8.2f}")
    print(f"{len(planned) - sum(done.values())} planned jobs have not run; * more than a factor of two away")


if __name__ == "__main__":
    main(*sys.argv[1:])
