"""converge: how far networks converge with the brains of a study: in what they encode, in space, in time, in training.

Every network beside its twin of random weights, in every subject and in the mean of subjects measured alike.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from brainalign.arrays import Arrays
from brainalign.config import ConvergeSettings
from brainalign.datasets import read_area_maps
from brainalign.datasets.published import AreaMaps
from brainalign.encoding import SplitScores, checkpoint_curves, converge_subjects
from brainalign.io import entities_of, load, load_sidecar
from brainalign.statistics import area_map_test, fdr, spin_orders
from brainalign.workflow import Job

MAPS = ["model", "subject", "quantity", "map", "r", "p", "q", "null_sd", "n", "null", "reason"]
QUANTITIES = {"half_time": "half-time", "half_time_from_start": "half-time from the first checkpoint"}
NUMBERS = {
    "scores": "score with its nulls, one-sided p; p_independent_areas assumes independent areas and is no verdict",
    "areas": "best layer chosen on one half of the test images, encoding_r on the other",
    "half-times": "first step with half of the final score; from_start: half of what was gained since the first step",
    "maps": "Pearson's r over areas, two-sided p, q over maps and quantities of a model and subject",
}


def converge(job: Job) -> None:
    """Compare every network with its random twin in all subjects; save scores, areas, latencies, curves and maps."""
    options = job.options("converge", ConvergeSettings)
    confidence, seed = job.settings["confidence"], job.seed
    halves: dict[tuple[str, str], dict[str, SplitScores]] = {}
    for path in job.paths("halves"):
        names = entities_of(path)
        scores = SplitScores.of(load(path, Arrays, job.provenance), load_sidecar(path)["details"])
        halves.setdefault((names["model"], names["method"]), {})[names["sub"]] = scores
    maps = None
    if job.has("published"):
        job.provenance.read("maps", job.path("published"))
        maps = read_area_maps(job.path("published"))
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in job.outputs}
    for network, pair in options.networks.items():
        trained, random = halves[network, pair.method], halves[pair.random, pair.method]
        found = converge_subjects(
            trained,
            {subject: random[subject] for subject in trained},
            origin=options.origins,
            areas=pair.areas,
            n_permutations=options.permutations,
            confidence=confidence,
            seed=seed,
        )
        own = {"convergence": found.scores, "areas": found.areas, "latencies": found.layers}
        if network in options.checkpoints:
            steps = {
                step: {subject: halves[model, pair.method][subject] for subject in trained}
                for step, model in options.checkpoints[network].items()
            }
            over = checkpoint_curves(steps, origin=options.origins, areas=pair.areas, confidence=confidence)
            own |= {"curves": over.curves, "halftimes": over.half_times}
        for name, table in own.items():
            tables[name].append(table.assign(model=network, random=pair.random, method=pair.method))
        if maps is not None:
            half = own.get("halftimes", pd.DataFrame())
            tables["maps"].append(_correlations(found.areas, half, maps, options.spins, seed).assign(model=network))
    job.save("convergence", _joined(tables["convergence"]), of=NUMBERS["scores"], origin=list(options.origins))
    job.save("areas", _joined(tables["areas"]), of=NUMBERS["areas"])
    job.save("latencies", _joined(tables["latencies"]))
    job.save("curves", _joined(tables["curves"]))
    job.save("halftimes", _joined(tables["halftimes"]), of=NUMBERS["half-times"])
    correlations = _joined(tables["maps"])[MAPS] if tables["maps"] else pd.DataFrame(columns=MAPS)
    job.save("maps", correlations, of=NUMBERS["maps"])


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    some = [table for table in tables if len(table)]
    return pd.concat(some, ignore_index=True) if some else pd.DataFrame({"model": np.empty(0, dtype=str)})


def _correlations(areas: pd.DataFrame, half: pd.DataFrame, maps: AreaMaps, n_spins: int, seed: int) -> pd.DataFrame:
    """Return the correlation of best layers and half-times of areas with every map, per subject."""
    spins = list(spin_orders(maps.places, maps.hemi, n_spins, seed=seed)) if maps.covers_sphere else []
    tables = []
    for subject, values in _values(areas, half).items():
        parts = []
        for quantity, of_area in values.items():
            shown = np.array([of_area.get(name, np.nan) for name in maps.areas], dtype=np.float64)
            table = area_map_test(shown, maps.maps, spins, maps.separation_mm, seed=seed)
            parts.append(table.assign(quantity=quantity, subject=subject))
        whole = pd.concat(parts, ignore_index=True)
        tables.append(whole.assign(q=fdr(whole["p"].to_numpy(dtype=np.float64))))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=MAPS)


def _values(areas: pd.DataFrame, half: pd.DataFrame) -> dict[str, dict[str, Mapping[str, float]]]:
    """Return, by subject and quantity, a value per area: the number of a decided best layer, half-times."""
    found: dict[str, dict[str, Mapping[str, float]]] = {}
    if len(areas):
        trained = areas[(areas["network"] == "trained") & areas["decided"].astype(bool)]
        for subject, mine in trained.groupby("subject", sort=False):
            found.setdefault(str(subject), {})["best layer"] = dict(zip(mine["area"], mine["number"], strict=True))
    if len(half):
        for subject, mine in half[(half["score"] == "encoding") & (half["area"] != "")].groupby("subject", sort=False):
            for column, quantity in QUANTITIES.items():
                found.setdefault(str(subject), {})[quantity] = dict(zip(mine["area"], mine[column], strict=True))
    return found
