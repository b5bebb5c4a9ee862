"""Maps of targets wherever they lie, and pages of left-out studies in the words of what was recorded and shown."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pages
import pandas as pd
import pytest
from drawn import bars, panels, points
from made import changing, responses_of
from matplotlib.figure import Figure
from pages import RECORD, check, config, study

from brainalign.arrays import Arrays
from brainalign.report.geometry_sections import searchlight_section
from brainalign.report.kit import Material, number, p_equals, p_value, target_maps
from brainalign.report.pages import blocks_chapter
from brainalign.report.pages import blocks_figures as figures
from brainalign.statistics import fdr
from brainalign.statistics.summary import Encoding, SplitInfo, summarize_encoding

N_STIMULI, N_RUNS, N_TARGETS = 5, 4, 24
TIMES = np.arange(-0.1, 0.3, 0.05)


def places(n: int = N_TARGETS) -> pd.DataFrame:
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(n, 3)) * [30, 60, 10], columns=["x_mm", "y_mm", "z_mm"])
    return table.assign(target_id=[f"t{k}" for k in range(n)], kind="parcel", hemi="", roi=[[]] * n)


def grid() -> pd.DataFrame:
    ijk = np.stack(np.meshgrid([1, 2, 3, 4], [2, 3, 4], [5, 6], indexing="ij"), -1).reshape(-1, 3)
    return places().assign(kind="voxel", **dict(zip("ijk", ijk.T, strict=True)), **{
        f"{axis}_mm": 3.0 * ijk[:, k] - 40 for k, axis in enumerate("xyz")
    })  # fmt: skip


def test_a_mark_per_target_in_each_view() -> None:
    targets, values = places(), np.linspace(-0.3, 0.6, N_TARGETS)
    values[3] = np.nan
    marked = np.arange(N_TARGETS) >= 20
    shown = panels(target_maps.place_marks(targets, values, label="Pearson r", vmax=0.6, outline=marked))
    kept = targets.drop(index=3)
    for ax, axes in zip(shown, (["x_mm", "y_mm"], ["x_mm", "z_mm"], ["y_mm", "z_mm"]), strict=True):
        assert {(mark.x, mark.y) for mark in points(ax)} == set(kept[axes].itertuples(index=False, name=None))
        (marks,) = ax.collections
        drawn = dict(zip(map(tuple, marks.get_offsets().tolist()), marks.get_array(), strict=True))
        assert [drawn[tuple(place)] for place in kept[axes].to_numpy()] == list(values[np.isfinite(values)])
    target_maps.place_marks(targets, values, label="ceiling", vmax=0.6, diverging=False)
    scores = pd.DataFrame({"r": [*np.linspace(-0.2, 0.1, 30), *np.linspace(0.4, 0.7, 10), np.nan]})
    scores["q"] = (scores["r"] < 0.3).astype(float)
    (ax,) = panels(target_maps.score_histogram(scores, 0.05, limit=0.35, targets="targets"))
    heights: dict[str, float] = {}
    for bar in bars(ax):
        heights[bar.colour] = heights.get(bar.colour, 0) + bar.y2 - bar.y
    assert list(heights.values()) == [10, 30]
    target_maps.score_histogram(scores, 0.05)
    labels = [f"s{k}" for k in range(80)]
    (ax,) = panels(figures.confusion_matrix(pd.DataFrame({"item": labels, "chosen": labels}), labels, labels))
    assert [text.get_text() for text in ax.get_xticklabels()] == labels[::3]


def material(targets: pd.DataFrame, timed: bool = False, early: bool = False, more: Any = None) -> Material:
    names = [f"s{k}" for k in range(N_STIMULI)]
    recording: dict[str, Any] = {"format": "array", "values": "v.npy", "trials": "t.tsv"}
    if timed:
        recording["times_s"] = TIMES.tolist()
    splits = {"sessions": {"leave_out": "session"}, "pairs": {"leave_out": "stimulus", "size": 2}}
    if more is None:
        del splits["pairs"]
    of_study = study(stimuli={name: {} for name in names}, recordings={"1": recording}, splits=splits)
    methods = {"fixed": {"encoder": "ridge", "alphas": [1.0]}}
    settings = config(models=(more or {}) | {"onehot": {"extractor": "onehot"}}, methods=methods)
    rng = np.random.default_rng(1)
    values = rng.normal(size=(N_STIMULI * N_RUNS, len(targets), *([len(TIMES)] if timed else []))).astype(np.float32)
    about = {"times": TIMES if timed else None, "session": np.repeat([*"abcd"], N_STIMULI), "onset_s": np.nan}
    responses = replace(responses_of(values, names * N_RUNS, **about), targets=targets)
    trials = responses.trials
    of_trials = trials[["trial_id"]].assign(name="sessions", group=trials["session"])
    sides = [np.where(trials["session"] == held, "test", "train") for held in "abcd"]
    folds = [of_trials.assign(fold=k, split=side) for k, side in enumerate(sides)]
    keys = {"target_id": targets["target_id"]}
    if timed:
        keys = {"target_id": np.repeat(targets["target_id"], len(TIMES)), "time_s": np.tile(TIMES, len(targets))}
    table = pd.DataFrame(keys).reset_index(drop=True)
    r = np.linspace(-0.2, 0.7, len(table))
    p = np.where(r > 0.5, 0.001, 0.6)
    if timed:
        p = np.where(early == (table["time_s"] < 0), p, 0.6)
    table = table.assign(r=r, r2=r**2, r2_signed=r * abs(r), ceiling=0.6, r2_normalized=r**2 / 0.6, alpha=1.0)
    scores = table.assign(reliable=True, repeats_q=0.01, p=p, p_fwer=p, q=fdr(p))
    scores = scores.assign(n_test=N_STIMULI, split="sessions", layer="onehot")
    items = pd.DataFrame({"item": names * N_RUNS, "chosen": names * N_RUNS, "correct": 1.0})
    items = items.assign(fold=np.repeat(range(N_RUNS), N_STIMULI), split="sessions", layer="onehot")
    null = pd.DataFrame({"accuracy": rng.uniform(0.1, 0.3, 50), "share_good": 0.1, "max_r": 0.4})
    encoding = Encoding(scores, items, null.assign(permutation=range(50), split="sessions", layer="onehot"))
    options = {"good_r": 0.3, "confidence": 0.95, "q": 0.05}
    summary = summarize_encoding(encoding, {"sessions": SplitInfo("run", 1 / 3)}, **options)
    made = Material(settings, "study", of_study, "1", responses=responses)
    made.splits = pd.concat(folds)
    made.ceiling, made.conditions = scores[[*keys, "ceiling", "repeats_q"]], names
    made.encodings["onehot", "fixed"] = encoding
    made.summary = pd.DataFrame(summary).assign(model="onehot", method="fixed")
    made.decoding = pd.DataFrame({"split": [], "accuracy": []})
    for name in ("prepare", "extract", "encode", "summarize"):
        file = "sub-1_model-onehot_method-fixed_scores.parquet" if name == "encode" else f"sub-1_{name}.parquet"
        record = {"stage": name, "details": {"rank": {"onehot": N_STIMULI - 1}}, "files": {file: {"sha256": "0"}}}
        made.sidecars[file] = RECORD | record
    return made


def words(page: str) -> str:
    return pages.words(re.sub(r"<ol.*?</ol>", "", page[: page.index('id="provenance"')], flags=re.DOTALL))


def said_of(made: Material) -> str:
    return words(pages.page_of(made, blocks_chapter(made)))


def sensors() -> pd.DataFrame:
    around, down = np.linspace(0, 5.9, 12), np.tile([0.5, 1.2], 6) + np.linspace(0, 0.2, 12)  # no four on a circle
    xyz = 95 * np.c_[np.cos(around) * np.sin(down), np.sin(around) * np.sin(down), np.cos(down)]
    table, names = pd.DataFrame(xyz, columns=["x_mm", "y_mm", "z_mm"]), [f"E{k}" for k in range(12)]
    return table.assign(target_id=names, kind="sensor", sensor_type="eeg", hemi="", roi=[[]] * len(names))


NOWHERE = places().assign(kind="target", x_mm=np.nan, y_mm=np.nan, z_mm=np.nan)
VERTICES = NOWHERE.assign(kind="vertex", hemi="L", vertex=np.arange(N_TARGETS) + 9000)
IN_MNI = grid()
IN_MNI.attrs["space"] = {"name": "MNI152"}
CASES = {
    "voxels": (grid(), "voxels", ["scoremap", "ceilingmap"], ["vertices", "sensors", "glass brain", "MNI152"]),
    "standard head": (IN_MNI, "voxels", ["scoremap", "glassbrain", "ceilingmap"], ["vertices", "sensors"]),
    "vertices": (VERTICES, "vertices", ["surface"], ["voxel", "sensors", "targetmap"]),
    "another mesh": (VERTICES.assign(vertex=range(N_TARGETS)), "vertices", ["scorehistogram"], ["voxel", "sensors"]),
    "places": (places(), "parcels", ["scoremap", "ceilingmap"], ["voxel", "vertices", "sensors"]),
    "nowhere": (NOWHERE, "targets", ["scorehistogram"], ["voxel", "vertices", "sensors"]),
    "time": (sensors(), "sensors", ["course", "topography"], ["voxel", "vertices"]),
    "time in the brain": (
        sensors().assign(sensor_type="sensor"), "sensors", ["course", "electrodes"], ["voxel", "vertices", "the head"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_pages_speak_of_what_was_recorded(case: str) -> None:
    targets, noun, wanted, unsaid = CASES[case]
    made = material(targets, timed=case.startswith("time"))
    page = pages.page_of(made, blocks_chapter(made))
    for name in wanted:
        assert f'id="figure-sub-1-{name}' in page or f'id="figure-{name}' in page, name
    # Scores and ceilings can be sliced.
    assert page.count('<div class="volume"') == (2 if case in ("voxels", "standard head") else 0)
    text = words(page)
    check(text, f"{len(targets)} {noun}")
    check(text, "Held-out sessions (sessions): onehot with fixed identifies 1.000 of 20 test items")
    check(text, f"the {noun} tell the stimuli apart", "trained on")
    check(text, unsaid=[*unsaid, "categor", "of images", "volume", "linear classifier", "multinomial"])
    check(text, unsaid=["predicts 0 scores"])
    assert re.search(r"\bblocks? (?!show)", text) is None


def test_targets_are_counted_by_one_ceiling_and_those_left_out_are_told() -> None:
    made = material(NOWHERE.copy())
    made.ceiling["ceiling"] = 0.05  # of single trials; scores are of averages
    made.responses.targets.attrs["n_dropped"] = 3
    check(said_of(made), f"{N_TARGETS} of {N_TARGETS} targets are reliable", "targets, 3 left out as NaN or constant;")


def test_searchlights_in_voxels_are_sliced() -> None:
    made, found = material(grid()), {"score": np.linspace(-0.1, 0.5, N_TARGETS)}
    found |= {"p_anywhere": np.linspace(1, 0, N_TARGETS)}
    made.searchlights = {"net": grid()[["target_id"]].assign(layer="a", n_channels=30, **found)}
    details = {"comparison": "spearman", "distance": "correlation", "threshold_anywhere": 0.2, "n_nan": {}}
    details |= {"permutations": 100, "n_stimuli": 40, "radius_mm": 8}
    made.sidecars["sub-1_model-net_searchlight.parquet"] = {"details": details}
    (panel,) = searchlight_section(made).panels
    assert ['class="volume"' in piece.html for piece in panel.pieces] == [True, True]  # all, and those above chance


def test_a_score_before_the_stimulus_is_a_failed_control() -> None:
    text = said_of(material(sensors(), timed=True, early=True))
    assert "scores of sensors before the stimulus, r of the largest (" in text
    assert "before the stimulus, r of" not in said_of(material(sensors(), timed=True))
    made = material(NOWHERE)
    assert made.trained_on_all("sessions")
    held = made.responses.trials["session"] == "a"
    made.responses.trials.loc[held, "stimulus_id"] = [f"other{k}" for k in range(N_STIMULI)]
    assert not made.trained_on_all("sessions")
    assert "full-rank" not in said_of(made)


def test_layers_geometry_and_stimuli_never_trained_on() -> None:
    of = material(NOWHERE, more={"net": {"extractor": "efficientnet"}, "noise": {"extractor": "random", "n_draws": 3}})
    one, labels = of.encodings["onehot", "fixed"], [("net", "a"), ("net", "b"), ("onehot", "onehot"), ("noise", "n")]
    both = {name: pd.concat([table.assign(layer=layer) for layer in "ab"]) for name, table in vars(one).items()}
    null, items = both["null"].assign(split="pairs"), both["identification"].assign(split="pairs")
    null["accuracy"] += (null["layer"] == "a") * (null["permutation"] % 2)  # of every other order the largest
    both["null"] = pd.concat([both["null"], null])
    both["identification"] = pd.concat([both["identification"], items.assign(correct=items["layer"] == "b")])
    of.encodings = {("net", "fixed"): Encoding(**both), ("onehot", "fixed"): one}
    rows = [(*label, quantity) for label in labels for quantity in ("identification", "pair matching", "median r")]
    rows = pd.DataFrame(rows, columns=["model", "layer", "quantity"]).assign(split="pairs", method="fixed", chance=0.5)
    rows = changing(rows, ["value", "null_mean", "null_95", "p", "low", "high"]).assign(n=5, n_null=99, sd=0.1)
    rows.loc[rows["quantity"] == "median r", "chance"] = 0.0
    of.summary = pd.concat([of.summary, rows, rows.assign(value=9.0, method="other")], ignore_index=True)
    fits = [(*label, *kind) for kind in (("correlation", "cosine"), ("crossnobis", "cosine")) for label in labels]
    fits = pd.DataFrame(fits, columns=["model", "layer", "distance", "comparison"]).assign(ceiling_low=0.7, note="")
    fits = changing(fits, ["score", "null_mean", "p", "low", "high"], seed=2).assign(ceiling_high=0.8)
    fits.loc[fits["model"] == "onehot", "note"] = "flat"
    of.comparison, pairs = fits, np.random.default_rng(0).random((6, 10))
    spaces = ("correlation", "crossnobis", *(f"model_{model}_{layer}" for model, layer in labels))
    of.rdms = Arrays(dict(zip(spaces, pairs, strict=True)))
    record = of.sidecars["sub-1_model-onehot_method-fixed_scores.parquet"]
    of.sidecars["sub-1_model-net_method-fixed_scores.parquet"] = record
    chapter = blocks_chapter(of)
    shown = {panel.id: panel for section in chapter.sections for panel in section.panels}
    values = {(q, m, n): v for q, m, n, v in rows[["quantity", "model", "layer", "value"]].itertuples(index=False)}
    expected = {(f"{q} (pairs)", m, n): v for (q, m, n), v in values.items() if m == "net"}
    first = fits[(fits["distance"] == "correlation") & (fits["model"] == "net")]
    expected |= {("fit of RDMs (correlation, cosine)", "net", n): v for n, v in zip("ab", first["score"], strict=True)}
    assert shown["blocklayers"].numbers.set_index(["quantity", "model", "layer"])["value"].to_dict() == expected
    shot, told = chapter.findings[-2:]
    largest = null.groupby("permutation")["accuracy"].max()  # chosen of two, it is held against the larger of two
    p = (1 + (largest >= values["pair matching", "net", "b"]).sum()) / (1 + len(largest))
    assert "with net (b), of 2 layers the one that tells" in shot
    assert p_value(p, 99) in shot
    # Of each distance the layer that fits best, its p times the number of layers
    mine = fits[fits["model"] == "net"]
    best = [
        f"{row['layer']} by {row['distance']}/cosine {number(row['score'])} (p {p_equals(min(2 * row['p'], 1.0))}"
        for _, row in mine.loc[mine.groupby("distance", sort=False)["score"].idxmax()].iterrows()
    ]
    assert told.startswith(f"Geometry, the best of 2 layers of net (p times 2): {best[0]}, ")
    assert f"; {best[1]}, " in told


def test_maps_of_voxels_lie_where_they_do(made_figures: list[Figure]) -> None:
    values = np.linspace(0, 1, N_TARGETS)
    drawn = target_maps.target_map(material(grid()), values, label="r", vmax=1.0, outline=values > 0.5)
    assert "own grid" in drawn.where
    assert {"z=-25", "z=-22"} <= {text.get_text() for ax in drawn.figure.axes for text in ax.texts}
    assert target_maps.target_map(material(NOWHERE), values, label="r", vmax=1.0) is None
    made_figures.clear()
