"""On paper: the Natural Scenes Dataset at fsaverage resolution, eight subjects and 100 layers, from the model of costs.

Eight subjects as if all had the sessions of subject 1: 27,750 public trials, or some 10,000 averaged images.
"""

import sys
from dataclasses import replace

from rates import kept
from ridge_cost import Rates, ridge_cost, seconds
from tables import write_table

SUBJECTS, LAYERS, VERTICES = 8, 100, 327_684
DISK = 2e9  # bytes/s; a local NVMe drive
CORES, EFFICIENCY = 64, 0.6  # of a server, and what remains of 64 times one core
# A part of what the data sheet of an H200 says (float32 67 TFLOP/s, float64 67 by tensor cores, 4.8 TB/s), and
# a guess for cuSOLVER's decompositions. `python rates.py cuda` on the card replaces them.
H200 = Rates(float32=0.7 * 67e12, float64=0.7 * 67e12, eigh=0.5e12, memory=0.7 * 4.8e12, disk=DISK)


def main() -> None:
    """Write the table."""
    core = kept()
    assert core is not None
    core = replace(core, disk=DISK)
    many = Rates(*(CORES * EFFICIENCY * rate for rate in (core.float32, core.float64)), core.eigh * 16, 2e11, DISK)
    measured = kept("cuda")
    card = replace(measured, disk=DISK) if measured else H200
    rows = []
    for what, n in (("averaged images", 10_000), ("single trials", 27_750)):
        for p in (1024, 4096):
            cost = ridge_cost(n, p, VERTICES)
            fits = SUBJECTS * LAYERS
            hours = [fits * seconds(cost, rates) / 3600 for rates in (core, many, card)]
            disk_h = SUBJECTS * (cost.read_bytes + LAYERS * cost.written_bytes) / DISK / 3600
            row = [f"{n:,} {what}", f"{p:,}", f"{fits * cost.flops / 1e15:.0f}", f"{cost.read_bytes / 1e9:.0f}"]
            rows.append([*row, *(f"{h:,.1f}" for h in hours), f"{disk_h:.1f}"])
    header = ["rows per subject", "features per layer", "PFLOP in all", "GB read per subject"]
    header += ["this CPU, one core (h)", f"{CORES} cores (h)", "one H200 (h)", "disk besides (h)"]
    notes = (
        f"Arithmetic and disk overlap where the engine streams; responses are read once per subject for all layers, "
        f"coefficients and scores written for each. {CORES} cores: {CORES} x {EFFICIENCY:g} of the measured core in "
        f"products, 16 x in eigh. H200: {'measured' if measured else 'a share of its data sheet, not measured'}. "
        f"Disk: {DISK / 1e9:g} GB/s, float32; int16 halves what is read."
    )
    title = f"On paper: NSD, {SUBJECTS} subjects, {VERTICES:,} vertices, {LAYERS} layers, 5 folds, 20 alphas"
    write_table("6-nsd", title, header, rows, notes, keep="--quick" not in sys.argv)


if __name__ == "__main__":
    main()
