"""The section on convergence: every number with its nulls, reasons instead of values, no figure of nothing."""

import re
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
from pages import cells, check, page_of

from brainalign.config import Config
from brainalign.encoding import SplitScores, checkpoint_curves, converge_subjects
from brainalign.report.encoding_sections import CONVERGENCE_TABLES, convergence_section
from brainalign.report.kit import Chapter, Section, StudyMaterial

LAYERS = ["conv1", "conv2", "conv3", "conv4", "<b>head</b>"]
DEPTH = np.round(np.linspace(0, 4, 10))
TIMES = np.round(np.arange(-0.1, 0.4, 0.01), 3)
N_DRAWS = 60
ABOUT = {"model": "net", "random": "untrained", "method": "ridge"}


def areas(depth: np.ndarray, gain: float = 1.0, seed: int = 0, placed: bool = True) -> SplitScores:
    rng = np.random.default_rng(seed)
    r = gain * (0.5 - 0.08 * np.abs(np.arange(5)[:, None] - depth))
    noisy = {name: r + 0.004 * rng.normal(size=r.shape) for name in ("choice_r", "r")}
    noisy |= {name: r + 0.004 * rng.normal(size=(N_DRAWS, *r.shape)) for name in ("choice_draws", "draws")}
    noisy |= {name: 0.05 * rng.normal(size=(N_DRAWS, *r.shape)) for name in ("choice_null", "null")}
    places = np.column_stack([np.full(10, -30.0), 8.0 * np.arange(10), np.zeros(10)])
    noisy |= {"places": places if placed else np.full((10, 3), np.nan), "ceiling_r": np.full(10, 0.7)}
    return SplitScores(LAYERS, [f"area{k}" for k in range(10)], "fMRI", noisy, (50, 50))


def sensors(step: float) -> SplitScores:
    rng = np.random.default_rng(3)
    r = 0.3 * np.exp(-((TIMES - (0.08 + step * np.arange(5))[:, None]) ** 2) / (2 * 0.02**2))
    arrays = {"r": r, "draws": r + 0.01 * rng.normal(size=(N_DRAWS, *r.shape))}
    arrays |= {"null": 0.02 * rng.normal(size=(N_DRAWS, *r.shape)), "times_s": TIMES}
    return SplitScores(LAYERS, [], "eeg", arrays, (0, 100))


def tables(placed: bool = True) -> dict[str, pd.DataFrame]:
    return {name: table.copy() for name, table in converged(placed).items()}


@cache
def converged(placed: bool) -> dict[str, pd.DataFrame]:
    flat = np.zeros(10)
    trained = {"01": areas(DEPTH, 1, 1, placed), "02": areas(DEPTH, 1, 2, placed), "03": sensors(0.05)}
    random = {"01": areas(flat, 0.5, 3, placed), "02": areas(flat, 0.5, 4, placed), "03": sensors(0.0)}
    found = converge_subjects(trained, random, origin=["area0"], n_permutations=99)
    given = {step: areas(DEPTH, step / (step + 20), 1, placed) for step in (0, 3, 10, 30, 100)}
    steps = {step: {"01": one, "03": sensors(0.05 * (step > 9))} for step, one in given.items()}
    curves = checkpoint_curves(steps, origin=["area0"])
    rows = [("half-time", "thickness", 0.7, 0.02, 0.3), ("half-time", "myelin", -0.2, 0.6, 0.35)]
    maps = pd.DataFrame(rows, columns=["quantity", "map", "r", "q", "null_sd"])
    maps = maps.assign(n=10, p=maps["q"], subject="mean", null="spin", reason="")
    content = (found.scores, found.areas, found.layers, curves.curves, curves.half_times, maps)
    return {name: table.assign(**ABOUT) for name, table in zip(CONVERGENCE_TABLES, content, strict=True)}


def test_every_score_stands_beside_its_nulls_and_its_twin() -> None:
    section = convergence_section(tables(), "area0")
    _, *rows = cells(section.blocks[0])
    spatial = next(row for row in rows if row[1] == "mean of subjects (n = 2), fMRI" and row[2] == "spatial")
    assert float(spatial[3]) > 0.9
    twin = next(row for row in rows if row[0].startswith("untrained") and row[2] == "spatial")
    assert (twin[3], twin[-1][:27]) == ("none", "the best layer is the same ")
    told = r"spatial \.9\d\d, above its nulls \(p \(layers\) \.\d+, p \(areas\) \.\d+\); random weights:"
    assert re.search(told, " ".join(section.paragraphs))
    spoilt = tables()
    spatial = spoilt["convergence"]["score"] == "spatial"
    spoilt["convergence"].loc[spatial, ["p_areas", "p_layers"]] = [0.2, 1 / 40320]  # the least of 8 layers
    spoilt["convergence"].loc[spatial, "p_independent_areas"] = 0.001  # never a verdict
    assert "not above its nulls (p (layers) < .0001" in " ".join(convergence_section(spoilt, "area0").paragraphs)
    chapter = Chapter("", [section, Section("other", "", paragraphs=["None, <i>since</i> nothing was asked."])])
    page = page_of(StudyMaterial(Config.model_construct(), "d", SimpleNamespace(title="t")), chapter)
    check(page, "&lt;i&gt;since", unsaid=["<b>head</b>"])


def test_without_places_nothing_is_drawn_over_distance() -> None:
    assert "the targets have no coordinates" in convergence_section(tables(placed=False), "area0").blocks[0]
    empty = tables()
    empty |= {name: empty[name].iloc[:0] for name in ("areas", "curves", "halftimes", "maps")}
    assert [panel.id for panel in convergence_section(empty, "").panels] == ["convergencetimenet"]
    alone = converge_subjects({"03": sensors(0.05)}, {"03": sensors(0.0)}, n_permutations=99)
    empty |= {"convergence": alone.scores.assign(**ABOUT), "latencies": alone.layers.assign(**ABOUT)}
    assert "(p (layers) .0083, p (latencies) .0" in convergence_section(empty, "").paragraphs[-1]
