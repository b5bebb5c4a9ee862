"""What figures of images, captions and words draw: on record, main marks held against tables."""

import importlib

import numpy as np
import pandas as pd
import pytest
from drawn import cells, panels, points, words
from made import changing, made

from brainalign.report.encoding_sections import encoders, few_images
from brainalign.report.kit import FoundDirections, SynthesisedImages
from brainalign.report.synthesis_sections import directions, grounding, sheets, voxel_captions

approx = pytest.approx
REGIONS = ["PPA", "FFA", "V4"]
SEEDS = [3, 1, 2]


def study() -> SynthesisedImages:
    """Return images whose every score occurs once; the truth of V4 is unknown."""
    plan = [("unguided", "", -1, 0.0)]
    plan += [("guided", region, -1, 10.0) for region in REGIONS]
    plan += [(name, region, -1, 0.0) for region in REGIONS for name in ("best of n", "natural")]
    plan += [("null", "", k, 10.0) for k in range(4)]
    plan += [("sweep", region, -1, scale) for region in REGIONS for scale in (30.0, 3.0, 10.0)]
    rows, image = [], 0
    for condition, region, null, scale in plan:
        for seed in SEEDS if condition != "null" else SEEDS[:2]:  # null encoders had fewer seeds
            about = {"condition": condition, "region": region, "null": null, "scale": scale}
            rows += [about | {"seed": seed, "image": image, "scored": scored} for scored in REGIONS]
            image += 1
    table = changing(changing(pd.DataFrame(rows), ["guide", "check", "true"], -2, 3), ["valid", "typical"], 0, 1)
    table.loc[table["scored"] == "V4", "true"] = np.nan
    images = np.arange(image, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), dtype=np.uint8)
    gains = made({"region": REGIONS, "score": ["guide", "check", "true"], "condition": ["guided"], "against": ["null"]},
                 "p", value="gain")  # fmt: skip
    steps = made({"region": REGIONS, "step": [2, 0, 1]}, "grad_rms", "d_rms", "clipped", value="score")
    return SynthesisedImages(images, table, gains, steps)


def test_whose_region_gains_by_what_strength() -> None:
    of = study()
    for ax, judge in zip(panels(sheets.specificity(of)), ("check", "true"), strict=True):
        columns = REGIONS if judge == "check" else REGIONS[:2]
        expected = np.zeros((3, len(columns)))
        for i, region in enumerate(REGIONS):
            for j, scored in enumerate(columns):
                rows = of.table[of.table["scored"] == scored]
                own = rows[(rows["condition"] == "guided") & (rows["region"] == region)].set_index("seed")[judge]
                expected[i, j] = (own - rows[rows["condition"] == "unguided"].set_index("seed")[judge]).mean()
        np.testing.assert_allclose(cells(ax), expected)
    sheets.scale_sweep(of, REGIONS[::-1])
    sheets.nulls(of)
    sheets.step_trace(of, REGIONS)


def rows_of_sheet(figure) -> dict[str, list[tuple[float, str]]]:
    (ax,) = figure.axes
    sheet, side, gap, margin = ax.images[0].get_array(), sheets.SIDE, sheets.GAP, sheets.MARGIN
    names = {y - side / 2: text for x, y, text in words(ax) if x == 4}
    found: dict[str, list[tuple[float, str]]] = {name.replace("\n", " "): [] for name in names.values()}
    for x, y, text in sorted(words(ax)):
        tops = [top for top in names if abs(top + side + 2 - y) < 1]
        if x != 4 and tops:
            left = margin + round((x - side / 2 - margin) / (side + gap)) * (side + gap)
            assert x == approx(left + side / 2)
            pixels = np.asarray(sheet)[int(tops[0]) : int(tops[0]) + side, left : left + side]
            assert pixels.min() == pixels.max()
            found[names[tops[0]].replace("\n", " ")].append((int(pixels.max()), text))
    return found


def rows_for(of: SynthesisedImages, condition: str, scored: str) -> pd.DataFrame:
    return of.table.query("condition == @condition and scored == @scored and region in ['', @scored]")


def test_a_region_under_every_condition() -> None:
    of = study()
    found = rows_of_sheet(sheets.gallery(of, "FFA"))
    assert list(found) == ["unguided", "best of n", "guided", "natural, top by guide"]
    for name, best in zip(found, (False, True, False, True), strict=True):
        rows = rows_for(of, name.split(",")[0], "FFA")
        rows = rows.sort_values("guide", ascending=False) if best else rows
        assert [value for value, _ in found[name]] == rows["image"].tolist()


def test_the_same_seed_for_every_region() -> None:
    of = study()
    found = rows_of_sheet(sheets.minimal_pairs(of, ["V4", "PPA"]))
    assert list(found) == ["unguided", "guided for V4", "guided for PPA"]
    assert [value for value, _ in found["unguided"]] == rows_for(of, "unguided", "V4")["image"].tolist()
    for region in ("V4", "PPA"):
        assert [value for value, _ in found[f"guided for {region}"]] == rows_for(of, "guided", region)["image"].tolist()
    found = rows_of_sheet(sheets.failures(of, ["PPA", "V4"]))
    for region in ("PPA", "V4"):
        liked = rows_for(of, "guided", region).nlargest(2, "guide")
        known = [judge for judge in ["check", "true", "valid", "typical"] if not (region == "V4" and judge == "true")]
        expected = [int(k) for judge in known for k in liked.sort_values(judge)["image"]]
        assert [value for value, _ in found[region]] == expected


def test_sheets_leave_places_empty_and_shrink_large_images() -> None:
    image = np.full((4, 2, 3), 7, dtype=np.uint8)
    strip = sheets.Strip("a name that is too long for one line of the sheet", [None, image], ["", "note"])
    (ax,) = sheets.contact_sheet([strip], ["one", "two"]).axes
    rows, columns = np.nonzero((np.asarray(ax.images[0].get_array()) == 7).all(axis=2))
    side, left = sheets.SIDE, sheets.MARGIN + sheets.SIDE + sheets.GAP
    top = sheets.HEADER
    assert (rows.min(), rows.max() + 1) == (top, top + side)
    assert (columns.min(), columns.max() + 1) == (left + side // 4, left + 3 * side // 4)
    large = sheets.Strip("x", [np.full((50, 200, 3), 9, dtype=np.uint8)], ["n"])
    sheet = np.asarray(sheets.contact_sheet([large]).axes[0].images[0].get_array())
    rows, columns = np.nonzero((sheet == 9).all(axis=2))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (24, 96)


def found_directions() -> FoundDirections:
    rows, image = [], 0
    for region in ("red", "big"):
        for orthogonal in (False, True):
            for seed in (5, 4):
                for alpha in (1.0, -2.0, 0.0):
                    about = {"method": "pca", "region": region, "direction": 0, "orthogonal": orthogonal, "control": ""}
                    about |= {"number": -1, "alpha": alpha, "image": image, "seed": seed}
                    rows += [about | {"scored": scored} for scored in ("red", "big")]
                    image += 1
    for control in ("random", "shuffled"):
        for number in range(2):
            about = {"method": "", "region": "", "direction": 0, "orthogonal": False, "control": control, "image": -1}
            rows += [
                about | {"number": number, "alpha": alpha, "seed": seed, "scored": scored}
                for alpha in (-2.0, 1.0) for seed in (5, 4) for scored in ("red", "big")
            ]  # fmt: skip
    table = changing(pd.DataFrame(rows), ["guide", "check", "true"], -2, 3)
    table.loc[table["scored"] == "big", "true"] = np.nan
    images = np.arange(image, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), dtype=np.uint8)
    levels_of = {"orthogonal": [True, False], "region_a": ["big", "red"], "region_b": ["red", "big"]}
    return FoundDirections(images, table, made(levels_of, value="cosine"))


def test_images_along_directions() -> None:
    found = found_directions()
    rows = found.table[(found.table["method"] == "pca") & ~found.table["orthogonal"]].drop_duplicates("image")
    free = rows.assign(region="", direction=lambda t: (t["seed"] == 4).astype(int))
    seeds = {"pca 1": [5], "pca 2": [4]}
    for figure, by in (
        (directions.strips(found, "pca"), dict(list(rows.groupby("region", sort=False)))),
        (directions.free_strips(found, free[free["image"] < 6]), {
            name: rows[(rows["image"] < 6) & rows["seed"].isin(chosen)] for name, chosen in seeds.items()
        }),
    ):  # fmt: skip
        for ax in panels(figure):
            part, mosaic = by[ax.get_title()], np.asarray(ax.images[0].get_array())
            of = part.set_index(["seed", "alpha"])["image"]
            expected = [[of[seed, alpha] for alpha in (-2.0, 0.0, 1.0)] for seed in sorted(set(part["seed"]))]
            assert mosaic[::4, ::4, 0].tolist() == expected
    curve = panels(directions.direction_curves(found, "pca"))[0]
    mine = found.rows("red", "pca").query("scored == 'red'").groupby("alpha")["true"]
    limits = (mine.mean() + 12.7062 * mine.sem()).max()  # of two seeds
    assert curve.collections[0].get_paths()[0].get_extents().y1 == approx(limits)
    said = directions.cosine_maps(found.cosines.assign(cosine=[-0.8, 0.5] * (len(found.cosines) // 2))).axes[0].texts
    assert {(text.get_text(), text.get_color()) for text in said} == {("-0.80", "white"), ("0.50", "black")}
    directions.cosine_maps(found.cosines[~found.cosines["orthogonal"]])


def test_explained_variance_by_images() -> None:
    methods = ["ridge_pooled", "shuffled_context", "in_context", "empirical_bayes"]
    rows = made({"group": ["V4", "PPA", "V1", "FFA", "LO"], "method": methods, "size": [100, 10, 20]}, "se",
                value="explained_variance")  # fmt: skip
    rows = rows.assign(beyond=rows["size"] == 100, ceiling=rows["group"].map({"V4": 0.8, "PPA": 0.7}))
    full = made({"group": ["V4", "PPA"], "method": ["ridge_full"]}, "se", value="explained_variance", seed=3)
    full = full.assign(size=400, beyond=False, ceiling=full["group"].map({"V4": 0.8, "PPA": 0.7}))
    rows.loc[0, "explained_variance"] = -3.0
    for ax in panels(few_images.context_curves(pd.concat([rows, full], ignore_index=True))):
        part = rows[rows["group"] == ax.get_title()].sort_values("size")
        for method in methods:
            mine, marks = part[part["method"] == method], points(ax, few_images.METHODS[method][2])
            assert {m.x: m.y for m in marks} == dict(zip(mine["size"], mine["explained_variance"], strict=True))


def test_captions_of_voxels_and_words_of_images_and_regions() -> None:
    rows = pd.DataFrame({"temperature": [np.inf, 3, 0, 30], "chosen": [False, True, False, False]})
    voxel_captions.temperature_figure(changing(rows, ["score", "se"]))
    names = list(voxel_captions.LABELS)[::-1]
    rows = made({"region": ["V4", "PPA", "none", *(f"r{k}" for k in range(9))], "of": names}, value="r")
    sizes = {"V4": 30, "PPA": 50, "none": 0} | {f"r{k}": 20 - k for k in range(9)}
    voxel_captions.caption_scores_figure(rows.assign(n=rows["region"].map(sizes)))
    shares = {"V4": {"dog": 0.1, "house": 0.9}, "void": dict.fromkeys(("dog", "house"), np.nan)}
    shares["PPA"] = {"dog": 0.7, "house": 0.3}
    assert cells(panels(voxel_captions.noun_figure(shares))[0]).tolist() == [[0.1, 0.9], [0.7, 0.3]]
    many = {f"r{k}": {f"w{j}": 0.01 * j for j in range(21)} for k in range(10)}
    assert not words(panels(voxel_captions.noun_figure(many))[0])
    spaces = ["ridge", "grounded", "shuffled", "words alone", "a", "b", "c"]
    rows = made({"space": spaces, "measure": ["top-5", "top-1", "rank"]}, "chance", "null_mean", "null_sd")
    rows["chance"] = rows.groupby("measure")["chance"].transform("first")
    grounding.retrieval_figure(rows.assign(null_sd=rows["null_sd"] / 10))
    positions, names = np.random.default_rng(0).normal(size=(70, 3)), [f"w{k}" for k in range(70)]
    axes = pd.DataFrame({"axis": [1, 2, 3], "variance": [0.4, 0.2, 0.1], "name": ["size", "", "x"]})
    grounding.words_figure(positions, names, axes)
    grounding.words_figure(positions[:, :1], names, axes.head(1))
    rows = made({"group": ["V4", "PPA", "V1", "LO"], "text": [f"t{k}" for k in range(7)]}, value="selectivity")
    few_images.text_bars(rows.assign(chance=rows["group"].map({"V4": 0.4, "PPA": 0.5, "V1": 0.45, "LO": 0.3})))


def test_where_regions_look(rng: np.random.Generator) -> None:
    fields = rng.random((2, 3, 6))
    fields[1, 2] = 0
    pictures = {"s1": rng.integers(0, 255, (6, 4, 3)).astype(np.uint8)}
    shown = panels(encoders.attention_maps(fields, (2, 3), ["V4", "PPA", "V1"], ["s0", "s1"], pictures))
    magma = importlib.import_module("matplotlib").colormaps["magma"]
    for row in range(3):
        for column in range(2):
            ax, field = shown[2 * row + column], fields[column, row].reshape(2, 3)
            shade = field / (field.max() or 1)
            np.testing.assert_allclose(np.asarray(ax.images[-1].get_array())[..., :3], magma(shade)[..., :3])
            if column:
                np.testing.assert_allclose(np.asarray(ax.images[-1].get_array())[..., 3], 0.25 + 0.6 * shade)
                np.testing.assert_allclose(cells(ax), pictures["s1"].mean(axis=2))
    encoders.field_maps(rng.random((8, 6)), (2, 3), [f"r{k}" for k in range(8)])  # in rows
    encoders.field_maps(np.arange(12.0).reshape(2, 6), (2, 3), ["a", "b"])
