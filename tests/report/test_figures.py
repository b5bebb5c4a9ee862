"""What figures of scores draw: on record, main marks held against tables; every figure function is called here."""

import ast
import importlib
import pkgutil
from pathlib import Path

import drawn
import numpy as np
import pandas as pd
import pytest
from drawn import cells, legend, panels, points
from made import changing, made
from matplotlib.figure import Figure

from brainalign import report
from brainalign.report.encoding_sections import contest, encoders
from brainalign.report.geometry_sections import identification  # fmt: skip
from brainalign.report.kit import canvas
from brainalign.report.pages import blocks_figures as figures
from brainalign.report.pages import group

approx = pytest.approx
# Maps, drawn by other libraries, are held against their values beside the rest of what is tested of them.
ELSEWHERE = {"test_maps_in_spaces.py": ("target_maps", "draw_map"), "test_heads.py": ("heads", "topomaps")}
ELSEWHERE |= {"test_surface.py": ("surface", "flat_maps")}
# Files of what test_whole_chapters.py and test_sections.py draw whole, on record, from tables whose numbers all differ.
WHOLE = ("concepts", "modality_figures", "alignment")


def test_every_figure_function_is_held_against_its_table() -> None:
    """A call in one of the files beside this one, as `module.function(...)`."""
    public = set()
    for info in pkgutil.walk_packages(report.__path__, "brainalign.report."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            of = getattr(value, "__annotations__", {}).get("return")
            own = not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
            if own and getattr(of, "__name__", of) == "Figure":
                public.add(f"{info.name.rpartition('.')[2]}.{name}")
    assert len(public) > 80
    called = set()
    for path in [*Path(__file__).parent.glob("test_figures*.py"), Path(__file__).parent / "test_answers.py"]:
        tree = ast.parse(path.read_text())
        names = {a.asname: a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names if a.asname}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value)
                called.add(f"{names.get(owner, owner)}.{node.func.attr}")
    for file, (module, name) in ELSEWHERE.items():
        assert f"{name}(" in (Path(__file__).parent / file).read_text()
        called.add(f"{module}.{name}")
    left = sorted(name for name in public - called if name.partition(".")[0] not in WHOLE)
    assert not left, left


def test_what_cannot_be_right_is_noticed(made_figures: list[Figure]) -> None:
    figure, (ax, empty, good) = canvas.new_figure(6.0, 2.0, 3)
    ax.plot([0.0, 2.0], [0.0, 1.0], "o")
    ax.bar([1.0], [3.0])
    ax.set(xlim=(-0.5, 1.5), ylim=(0, 3))
    ax.set_xticks([0, 1], ["same", "same"])
    good.plot([0.0, 2.0], [0.0, 1.0], "o")
    canvas.legend_below(figure, [ax, good], 2)
    empty.set_title("nothing")
    for problem, said in zip(drawn.problems_of(figure), ("2.0", "'same'", "empty"), strict=True):
        assert said in problem
    good.set_xticks([0, 1], ["encoder.layers.11.attention.projection", "encoder.layers.12.mlp.linear"])
    good.set_title("G_occipital_inferior_left_dorsal")
    assert drawn.ticks(canvas.fit_names(figure).axes[2]) == {0: "enco…ojection", 1: "enco…p.linear"}
    assert good.get_title() == "G_occ…eft_dorsal"
    figure, axes = canvas.new_figure(2.0, 2.0, 3, 2)
    for ax in axes[2:]:
        ax.set_visible(False)
    axes[0].axvline(0)
    axes[0].set_xticks([0, 1], ["a", "b"])
    axes[1].axhline(0)
    noticed = ("0.7 by 1.0 inches", "rows [1] and columns [2] of (2, 3)", "line at 0 of x")
    for problem, said in zip(drawn.problems_of(figure), noticed, strict=True):
        assert said in problem
    assert drawn.gaps_of(figure) == []
    axes[0].set_xlim(-0.5, 2.5)
    assert len(drawn.gaps_of(figure)) == 1
    made_figures.clear()


def test_folds_of_splits_and_their_labels() -> None:
    tested = {("runs", 1): "b", ("runs", 0): "c", ("pairs", 0): "a", ("pairs", 1): "b", ("pairs", 2): "c"}
    every = [(*fold, f"run_{run}", run == held) for fold, held in tested.items() for run in "cab"]
    rows = pd.DataFrame(every, columns=["name", "fold", "group", "tested"])
    rows["split"] = np.where(rows["tested"], "test", "train")
    runs, pairs = panels(figures.split_matrix(rows))
    assert (cells(runs).tolist(), cells(pairs).tolist()) == ([[0, 0, 1], [1, 0, 0]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert (runs.get_title(), pairs.get_title()) == ("runs: 2 folds", "pairs: 3 folds")
    rows = [{"name": n, "fold": 0, "group": f"run_{k}", "split": "test"} for n in "abc" for k in range(25)]
    first, _, _ = panels(figures.split_matrix(pd.DataFrame(rows)))
    assert drawn.ticks(first) == {float(k): str(k) for k in range(0, 25, 2)}  # at their place


def test_permutations_zero_shot_matching_and_scores_at_the_depth_of_layers() -> None:
    null = np.array([0.1] * 3 + [0.2] * 5 + [0.4])
    levels = drawn.levels(*panels(figures.null_histogram(null, 0.37, 0.125, "accuracy")), "x")
    assert levels == {"observed 0.370": [0.37], "chance 0.125": [0.125]}
    assert drawn.levels(*panels(figures.ceiling_histogram(null, 0.15)), "x") == {"": [0.0], "threshold 0.15": [0.15]}
    null, random = np.linspace(0.2, 0.7, 41), np.array([0.31, 0.52])
    observed = {"mean": 0.83, "word a": 0.61, "word b": 0.55, "word c": 0.72}
    (ax,) = panels(figures.zero_shot(observed, null, random, "mean"))
    expected = {"95 % of permuted": [approx(np.quantile(null, 0.95))], "mean 0.830": [0.83], "chance": [0.5]}
    assert drawn.levels(ax, "x") == expected
    deep = made({"quantity": ["median r", "pairs"], "model": ["net"], "layer": ["a", "b", "c"]}, "null_mean")
    flat = made({"quantity": ["median r", "pairs"], "model": ["random"], "layer": ["x", "y"]}, seed=2)
    rows = pd.concat([deep.sort_values("layer"), flat.sort_values("layer").assign(null_mean=np.nan)], ignore_index=True)
    rows["chance"] = rows["quantity"].map({"median r": 0.0, "pairs": 0.5})
    for ax in panels(figures.layer_scores(rows, ["net", "random"], ["random"])):
        part = rows[rows["quantity"] == ax.get_title()]
        for model, depth in {"net": [0, 0.5, 1], "random": [0, 1]}.items():
            assert drawn.curves(ax)[model] == [(depth, part.loc[part["model"] == model, "value"].tolist())]


def test_confusions_ceilings_and_rdm_matrices() -> None:
    items = pd.DataFrame({"item": list("bbbbaac"), "chosen": list("bbbacca")})
    (ax, *_) = panels(figures.confusion_matrix(items, ["c", "a", "b"], ["C", "A", "B"]))
    assert cells(ax).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0.25, 0.75]]
    scores = pd.DataFrame({"ceiling": [0.1, 0.3, 0.5, 0.6, 0.7], "r2_signed": [0.15, 0.35, 0.2, 0.65, -0.1]})
    scores["reliable"] = [False, True, True, False, True]
    (ax,) = panels(figures.score_against_ceiling(scores, 0.2))
    placed = [(mark.x, mark.y) for mark in points(ax, "scatter")]
    assert placed == list(zip(scores["ceiling"], scores["r2_signed"], strict=True))
    assert [(mark.x, mark.y) for mark in points(ax, "^")] == [(0.3, 0.35)]
    figures.score_against_ceiling(pd.concat([scores] * 500, ignore_index=True), 0.2)
    rdms = {name: 10 * k + np.arange(6.0) + 1 for k, name in enumerate("pqrs")}
    order = np.array([2, 0, 3, 1])
    for k, ax in enumerate(panels(figures.rdm_matrices(rdms, list("bdac"), order))):
        expected = 10 * k + np.array([[0, 1, 2, 3], [1, 0, 4, 5], [2, 4, 0, 6], [3, 5, 6, 0]]) * 1.0
        np.testing.assert_allclose(cells(ax), np.where(np.eye(4), 0, expected)[np.ix_(order, order)])
        assert [tick.get_text() for tick in ax.get_xticklabels()] == list("abcd")
    ax, *_ = panels(figures.rdm_matrices({"a": np.array([-0.5, 1.0, 2.0])}, list("xyz"), np.arange(3)))
    assert ax.images[0].get_clim() == (-0.5, 2.0)  # negative ones keep their range


def test_fits_of_rdms_by_measure() -> None:
    names = ["net", "pixels", "words", "void"]
    rows = made({"distance": ["crossnobis", "euclidean", "correlation"], "comparison": ["cosine"], "model": names},
                "null_mean", "p", value="score")  # fmt: skip
    rows = rows.assign(ceiling_low=0.71, ceiling_high=0.83)
    rows.loc[rows["model"] == "void", "score"] = np.nan
    rows.loc[rows["model"] == "words", ["low", "p"]] = np.nan
    more = changing(rows[rows["model"] == "pixels"], ["score"])
    for _, part in pd.concat([rows, more], ignore_index=True).groupby("distance"):
        (ax,) = panels(figures.rsa_ranking(part, ["words"], "fit"))
        marks = {name.split(",")[0]: values for name, values in drawn.over(ax, points(ax, marker="o"), "y").items()}
        means = part.groupby("model")["score"].mean().dropna()
        assert marks == {name: [approx(value)] for name, value in means.items()}
        assert [mark.colour for mark in points(ax, colour=canvas.GREY)] == [canvas.GREY]  # a control
        ends = sorted(part.loc[part["model"] == "pixels", "score"])  # two layers: their range
        assert any(sorted(line.get_xdata()) == approx(ends) for line in ax.lines)
        assert {"words"} < {*drawn.ticks(ax, "y").values()}  # no test, no p
        assert drawn.zones(ax) == [(0.71, 0.83)]


def test_subjects_of_a_group() -> None:
    rows = made({"quantity": ["r", "share", "rsa"], "subject": ["03", "01"], "model": ["net", "untrained", "words"]})
    rows = changing(rows, ["ceiling"], 0.7, 0.9)
    rows["ceiling"] = rows.groupby(["quantity", "subject"])["ceiling"].transform("first")
    missing = (rows["model"] == "words") & (rows["subject"] == "01")
    figure = group.group_figure(rows[~missing], ["words", "net", "untrained"], ["untrained"])
    shown, of = panels(figure), rows[~missing].set_index(["quantity", "subject", "model"]).sort_index()
    colours = legend(figure)
    for ax in shown:
        mine = of.loc[ax.get_title()].rename(index="sub-{}".format, level="subject")
        assert drawn.scored(ax, colours) == drawn.near(mine[["value", "low", "high"]])
    models = [f"a network of a long name, number {k} (random weights)" for k in range(5)]
    assert sorted(legend(group.group_figure(made({"quantity": ["r"], "subject": ["1"], "model": models})))) == models
    rows = made({"encoder": [f"ridge, tokens and semantics {k}" for k in range(4)], "group": ["V1"]}, value="r")
    encoders.encoder_scores(rows.assign(ceiling_r=0.7, null_low=-0.06, null_high=0.05))


def test_families_in_a_contest() -> None:
    rows = made({"region": ["V4", "PPA", "V1"], "family": ["task", "language", "generative"]}, value="r")
    rows = changing(rows, ["ahead", "null_high", "ceiling_r"], 0.01, 0.9)
    rows[["ahead_low", "ahead_high"]] = np.c_[rows["ahead"] / 3, rows["ahead"] * 1.5]
    best = rows.groupby("region")["r"].transform("max") == rows["r"]
    rows = rows.assign(winner=best, decided=rows["region"] != "PPA")
    figure = contest.contest_scores(rows)
    above, below = panels(figure)
    regions, families = list(pd.unique(rows["region"])), list(pd.unique(rows["family"]))
    of, colours = rows.set_index(["region", "family"]), legend(figure)
    above.set_xticks(list(drawn.ticks(below)), regions)  # they share their labels, which stand below
    assert drawn.scored(above, {name: colours[name] for name in families}) == drawn.near(of[["r", "low", "high"]])
    best = rows[rows["winner"]].set_index("region").loc[regions]
    assert drawn.over(below, points(below)) == {r: [approx(best.loc[r, "ahead"])] for r in regions}
    assert [mark.hollow for mark in points(below)] == [not decided for decided in best["decided"]]
    rows = made({"encoder": [f"encoder{k}" for k in (3, 1, 2)], "group": ["V4", "PPA", "V1"]}, value="r")
    rows = changing(rows, ["ceiling_r", "null_high"], 0.5, 0.95).assign(null_low=lambda t: -t["null_high"])
    rows.loc[rows["group"] == "V1", "ceiling_r"] = np.nan
    figure = encoders.encoder_scores(rows)
    (ax,) = panels(figure)
    names = list(pd.unique(rows["encoder"]))
    of, colours = rows.set_index(["group", "encoder"]), legend(figure)
    assert drawn.scored(ax, {name: colours[name] for name in names}) == drawn.near(of[["r", "low", "high"]])
    rows = made({"encoder": [f"e{k}" for k in range(10)], "group": ["V1"]}, value="r")
    (ax,) = panels(encoders.encoder_scores(rows.assign(ceiling_r=0.9, null_low=-0.1, null_high=0.1)))
    assert len({(mark.colour, mark.marker) for mark in points(ax)}) == 10  # more than colours


def test_regions_named_across_subjects() -> None:
    levels_of = np.round(np.arange(0, 1.01, 0.25), 2)
    pairs = [(low, high) for low in levels_of for high in levels_of if low < high]
    family = ["local" if high <= 0.5 else "global" if low >= 0.5 else "intermediate" for low, high in pairs]
    rng = np.random.default_rng(1)
    surface = pd.DataFrame(pairs, columns=["lower", "upper"]).assign(family=family, accuracy=rng.permutation(10) / 20)
    surface = surface.assign(chosen=[int(pair == (0.25, 0.75)) * 3 for pair in pairs]).sample(frac=1, random_state=0)
    names = ["rank", "raw", "nested", "topological", "upper clip", "geo-topological"]
    rows = made({"name": names}, "null_mean", value="accuracy")
    rows = changing(rows, ["lower", "upper"], 0.1, 0.9).assign(null_high=0.61)
    left, right = panels(identification.identification_figure(surface, rows, 0.07))
    grid = pd.DataFrame(cells(left), index=levels_of, columns=levels_of)  # rows upper, columns lower, from below
    for low, high, value in surface[["lower", "upper", "accuracy"]].itertuples(index=False):
        assert grid.loc[high, low] == value
    of = rows.set_index("name")
    assert drawn.over(right, points(right), "y") == {n: [approx(of.loc[n, "accuracy"])] for n in names}
