"""Images guided by encoders of shuffled voxels: none raises a region's true response as its own encoder does."""

import numpy as np
import pytest
import torch
from shown import Record
from worlds.guided import LEAST, interval, of, synthesise

from brainalign.synthesis import Sampling, synthesis_gains


@pytest.mark.acceptance
@pytest.mark.timeout(1500)
def test_encoders_of_shuffled_voxels_raise_nothing(record: Record) -> None:
    """Null encoders of guidance: below the encoder in every region; their mean effect is none, but for size."""
    torch.set_num_threads(1)
    sampling = Sampling(n_images=16, batch_size=16, seed=100)
    regions = (*LEAST, "bluecircle")
    study = synthesise(regions, 0, sampling, 19, 8, evolution=True)
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
        error = np.sqrt(drift.mean(axis=1).var() / m + drift.mean(axis=0).var() / n)
        mean = drift.to_numpy().mean()
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
