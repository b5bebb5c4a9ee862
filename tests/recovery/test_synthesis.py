"""Guided images raise the true response of a region, and the cheap searches stand beside.

Encoders of shuffled voxels raise none: no region's true response as its own encoder does.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from shown import Record, within
from worlds.guided import LEAST, interval, of, synthesise, validity

from brainalign.synthesis import Sampling, Synthesised, synthesis_gains

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1500)]
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def studies() -> dict[int, tuple[Synthesised, pd.DataFrame]]:
    found = {}
    for seed in SEEDS:
        sampling, check = Sampling(n_images=64, seed=100 + seed), SEEDS[(seed + 1) % len(SEEDS)]
        study = synthesise(tuple(LEAST), seed, sampling, check=check)
        found[seed] = study, synthesis_gains(study.table)
    return found


def test_guidance_raises_what_regions_truly_answer(studies: dict[int, tuple], record: Record) -> None:
    """Guided images of five regions: true response against unguided, searches and natural images."""
    for region, least in LEAST.items():
        rows = [of(gains, region, "unguided") for _, gains in studies.values()]
        values = np.array([row["gain"] for row in rows])
        net = np.mean([of(gains, region, "recurrent")["gain"] for _, gains in studies.values()])
        tables = [gains for _, gains in studies.values()]
        guide, check = (np.mean([of(t, region, "unguided", s)["gain"] for t in tables]) for s in ("guide", "check"))
        low = min(row["low"] for row in rows)
        said = f"{values.mean():.2f} (worst seed {values.min():.2f}, lowest bound {low:.2f}); net of recurrence "
        said += f"{net:.2f}; guide {guide:.2f}, check {check:.2f}"
        record(f"{region}: true gain over unguided, 3 x 64 images", said, f">= {least}")
        assert values.mean() >= least
        assert values.min() >= 0.8 * least
        assert low > 0
        plain = np.mean([validity(study.table, "unguided") for study, _ in studies.values()])
        valid = np.mean([validity(study.table, "guided", region) for study, _ in studies.values()])
        within(record, f"{region}: validity, guided", valid, f", unguided {plain:.3f}", least=0.9 * plain)
        for control in ("best of n", "natural", "natural true"):
            worst = [interval(of(gains, region, control)) for _, gains in studies.values()]
            record(f"{region}: guided minus {control}, each seed", "; ".join(worst), "shown, whatever it is")


def test_guidance_is_specific(studies: dict[int, tuple[Synthesised, pd.DataFrame]], record: Record) -> None:
    """Specificity of guidance: colour, size and place raise their own region most."""
    matrix = pd.DataFrame(0.0, index=list(LEAST), columns=list(LEAST))
    for study, _ in studies.values():
        table = study.table
        start = table[table["condition"] == "unguided"].groupby("scored")["true"].mean()
        guided = table[table["condition"] == "guided"].groupby(["region", "scored"])["true"].mean().unstack()
        matrix += (guided - start).loc[list(LEAST), list(LEAST)] / len(studies)
    for region in LEAST:
        row = ", ".join(f"{scored} {matrix.loc[region, scored]:+.2f}" for scored in LEAST)
        record(f"guided for {region}: true gain of every region", row, "own region largest")
        assert matrix.loc[region].idxmax() == region


def test_encoders_of_shuffled_voxels_raise_nothing(record: Record) -> None:
    """Null encoders of guidance: below the encoder in every region; their mean effect is none, but for size."""
    regions = (*LEAST, "bluecircle")
    study = synthesise(regions, 0, Sampling(n_images=16, batch_size=16, seed=100), n_nulls=19)
    gains = synthesis_gains(study.table)
    for region in regions:
        beyond = of(gains, region, "null")
        assert beyond["n"] == 19
        mine = study.table[study.table["scored"] == region]
        start = mine[(mine["condition"] == "recurrent")].set_index("seed")["true"]
        nulls = mine[mine["condition"] == "null"]
        # (null encoders, seeds): both are draws, and seeds are shared by all encoders.
        drift = nulls.pivot(index="null", columns="seed", values="true") - start
        drift = drift[nulls["seed"].unique()]
        m, n = drift.shape
        error, mean = np.sqrt(drift.mean(axis=1).var() / m + drift.mean(axis=0).var() / n), drift.to_numpy().mean()
        said = f"{beyond['p']:.2f}; {mean:+.2f} (se {error:.2f}), {drift.mean(axis=1).max():+.2f}"
        wanted = "p = .05 (colour, size, place, shapes); mean within 3 se of 0 (but size)"
        record(f"{region}: p among 19 null encoders; their gains, mean and largest", said, wanted)
        if region != "bluecircle":  # a conjunction: an encoder of noise that likes blue does as well (p = .10)
            assert beyond["p"] == pytest.approx(1 / 20)
        # Whatever an encoder responds to, more of it is shown by a larger thing: null encoders enlarge.
        if region != "large":
            assert abs(mean) <= 3 * error
        evolved = of(gains, region, "evolved")
        record(f"{region}: guided minus evolved at equal cost", interval(evolved), "shown, whatever it is")
    record("seconds of guidance over seconds without", f"{study.cost['ratio']:.1f}", "what searches may spend")
