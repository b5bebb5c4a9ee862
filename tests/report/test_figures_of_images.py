"""What figures of images, captions and words draw, held against the tables behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from drawn import bands, cells, curves, legend, levels, panels, points, spans, ticks, words
from made import changing, made
from refusals import refused

from brainalign.report import FoundDirections, SynthesisedImages
from brainalign.report.kit import canvas, p_equals
from brainalign.report.synthesis_sections import directions, sheets

approx = pytest.approx
REGIONS = ["PPA", "FFA", "V4"]
SEEDS = [3, 1, 2]


def study(*, sweep: bool = True) -> SynthesisedImages:
    """Return images whose every score occurs once; the truth of V4 is unknown."""
    plan = [("unguided", "", -1, 0.0)]
    plan += [("guided", region, -1, 10.0) for region in REGIONS]
    plan += [(name, region, -1, 0.0) for region in REGIONS for name in ("best of n", "natural")]
    plan += [("null", "", k, 10.0) for k in range(4)]
    plan += [("sweep", region, -1, scale) for region in REGIONS for scale in (30.0, 3.0, 10.0)] if sweep else []
    rows, image = [], 0
    for condition, region, null, scale in plan:
        for seed in SEEDS if condition != "null" else SEEDS[:2]:  # null encoders had fewer seeds
            about = {
                "condition": condition,
                "region": region,
                "null": null,
                "scale": scale,
                "seed": seed,
                "image": image,
            }
            rows += [about | {"scored": scored} for scored in REGIONS]
            image += 1
    table = changing(pd.DataFrame(rows), ["guide", "check", "true"], -2, 3)
    table = changing(table, ["valid", "typical"], 0, 1)
    table.loc[table["scored"] == "V4", "true"] = np.nan
    images = np.arange(image, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), dtype=np.uint8)
    gains = made({"region": REGIONS, "score": ["guide", "check", "true"], "condition": ["guided"], "against": ["null"]},
                 "p", value="gain")  # fmt: skip
    steps = made({"region": REGIONS, "step": [2, 0, 1]}, "grad_rms", "d_rms", "clipped", value="score")
    return SynthesisedImages(images, table, gains, steps)


def test_scores_by_strength_of_guidance() -> None:
    of = study()
    figure = sheets.scale_sweep(of, REGIONS[::-1])
    shown = panels(figure)
    assert figure.get_size_inches() == approx([1000 / 110, 2.9])
    names = {"guiding encoder": "guide", "checking encoder": "check", "true response": "true", "validity": "valid",
             "typicality": "typical"}  # fmt: skip
    assert [ax.get_title() for ax in shown] == list(names)
    swept = of.table[(of.table["condition"] == "sweep") & (of.table["region"] == of.table["scored"])]
    for ax in shown:
        means = swept.groupby(["region", "scale"])[names[ax.get_title()]].mean()
        for region in REGIONS:
            expected = [means[region, scale] for scale in (3.0, 10.0, 30.0)]
            assert curves(ax)[region] == [([0, 1, 2], approx(expected, nan_ok=True))]
        assert ticks(ax) == {0: "3", 1: "10", 2: "30"}
        assert levels(ax, "x")["scale used"] == [1]
    assert len({ax.get_ylim() for ax in shown[:3]}) == 1
    assert shown[3].get_ylim() == (-0.03, 1.03)
    assert legend(figure)["V4"] == canvas.COLOURS[0].lower()


def test_whose_region_gains() -> None:
    of = study()
    figure = sheets.specificity(of)
    assert figure.get_size_inches() == approx([7.6, 3.65])
    largest: dict[str, float] = {}
    for ax, judge in zip(panels(figure), ("check", "true"), strict=True):
        columns = REGIONS if judge == "check" else REGIONS[:2]
        expected = np.zeros((3, len(columns)))
        for i, region in enumerate(REGIONS):
            for j, scored in enumerate(columns):
                rows = of.table[of.table["scored"] == scored]
                own = rows[(rows["condition"] == "guided") & (rows["region"] == region)].set_index("seed")[judge]
                plain = rows[rows["condition"] == "unguided"].set_index("seed")[judge]
                expected[i, j] = (own - plain).mean()
        np.testing.assert_allclose(cells(ax), expected)
        assert (list(ticks(ax).values()), list(ticks(ax, "y").values())) == (columns, REGIONS)
        for x, y, text in words(ax):
            assert float(text.replace("−", "-")) == approx(expected[round(y), round(x)], abs=0.005)
        bold = {
            (round(t.get_position()[0]), round(t.get_position()[1])) for t in ax.texts if t.get_fontweight() == "bold"
        }
        assert bold == {(k, k) for k in range(len(columns))}
        largest[judge] = np.abs(expected).max()
    assert [ax.get_title() for ax in panels(figure)] == ["checking encoder", "true response"]
    end = max(largest.values())
    assert [ax.images[0].get_clim() for ax in panels(figure)] == [approx((-end, end))] * 2


def test_steps_from_noise_to_image() -> None:
    of = study()
    figure = sheets.step_trace(of, REGIONS)
    assert figure.get_size_inches() == approx([9, 2.8])
    assert [legend(figure)[name] for name in REGIONS] == [shade.lower() for shade in canvas.COLOURS[:3]]
    shown = panels(figure)
    for ax, (column, title) in zip(shown, sheets.STEP_COLUMNS.items(), strict=True):
        assert ax.get_title() == title
        for region, part in of.steps.sort_values("step").groupby("region"):
            assert curves(ax)[region] == [([0, 1, 2], approx(part[column].tolist()))]
    assert [ax.get_yscale() for ax in shown] == ["linear", "log", "linear", "linear"]
    assert shown[-1].get_ylim() == (-0.03, 1.03)
    lacking = replace(of, steps=of.steps.drop(columns="clipped"))
    refused("the trace of steps has no column 'clipped'", sheets.step_trace, lacking, REGIONS)


def test_null_encoders_and_the_own() -> None:
    of = study()
    figure = sheets.nulls(of)
    colours = legend(figure)
    assert figure.get_size_inches() == approx([6, 3.3])
    assert set(colours) == {"null encoders", "unguided", "guided for the region"}
    for ax, judge in zip(panels(figure), ("check", "true"), strict=True):
        regions = REGIONS if judge == "check" else REGIONS[:2]
        assert list(ticks(ax).values()) == regions
        said = {regions[round(x)]: (y, text) for x, y, text in words(ax)}
        for k, region in enumerate(regions):
            rows = of.table[(of.table["scored"] == region) & of.table["seed"].isin(SEEDS[:2])]
            means = rows[rows["condition"] == "null"].groupby("null")[judge].mean()
            grey = [mark.y for mark in points(ax, "o") if round(mark.x) == k]
            assert grey == approx(means.tolist())
            places = [mark.x for mark in points(ax, "o") if round(mark.x) == k]
            assert places == approx([k - 0.16 + 0.32 * i / (len(means) - 1) for i in range(len(means))])
            own = rows[(rows["condition"] == "guided") & (rows["region"] == region)][judge].mean()
            assert [mark.y for mark in points(ax, "D") if mark.x == k] == [approx(own)]
            plain = rows[rows["condition"] == "unguided"][judge].mean()
            assert [(a, b) for a, _, b, _ in spans(ax) if round((a + b) / 2, 6) == k] == [approx((k - 0.28, k + 0.28))]
            assert [end[1] for end in spans(ax) if round((end[0] + end[2]) / 2, 6) == k] == [approx(plain)]
            gains = of.gains[(of.gains["region"] == region) & (of.gains["score"] == judge)]
            assert said[region][0] == approx(max(own, means.max()))
            assert said[region][1] == f"p {p_equals(gains['p'].iloc[0])}"
        assert ax.get_xlim() == (-0.6, approx(len(regions) - 0.4))
        assert levels(ax) == {"": [0]}
        bottom, top = ax.dataLim.intervaly
        reach = top - bottom
        assert ax.get_ylim() == approx((bottom - 0.05 * reach, top + (0.05 + 0.14 * 1.1) * reach))
        assert ax.get_ylim()[1] > max(mark.y for mark in points(ax))


def rows_of_sheet(figure) -> dict[str, list[tuple[float, str]]]:
    """Return what a sheet shows in each row, by its name: the value of every image (all pixels alike) and its note."""
    (ax,) = figure.axes
    sheet, side, gap, margin = ax.images[0].get_array(), sheets.SIDE, sheets.GAP, sheets.MARGIN
    names = {y - side / 2: text for x, y, text in words(ax) if x == 4}
    found: dict[str, list[tuple[float, str]]] = {name.replace("\n", " "): [] for name in names.values()}
    for x, y, text in sorted(words(ax)):
        tops = [top for top in names if abs(top + side + 2 - y) < 1]
        if x != 4 and tops:
            column = round((x - side / 2 - margin) / (side + gap))
            left = margin + column * (side + gap)
            assert x == approx(left + side / 2)
            pixels = np.asarray(sheet)[int(tops[0]) : int(tops[0]) + side, left : left + side]
            assert pixels.min() == pixels.max()
            found[names[tops[0]].replace("\n", " ")].append((int(pixels.max()), text))
    return found


def columns_of_sheet(figure) -> list[str]:
    return [text for x, y, text in sorted(words(figure.axes[0])) if y == 3]


def image_of(of: SynthesisedImages, **about: object) -> list[int]:
    rows = of.table
    for name, value in about.items():
        rows = rows[rows[name] == value]
    return [int(k) for k in rows["image"]]


def test_a_region_under_every_condition() -> None:
    of = study()
    figure = sheets.gallery(of, "FFA")
    found = rows_of_sheet(figure)
    assert list(found) == ["unguided", "best of n", "guided", "natural, top by guide"]
    mine = {"scored": "FFA"}
    assert [value for value, _ in found["unguided"]] == image_of(of, condition="unguided", **mine)
    assert [value for value, _ in found["guided"]] == image_of(of, condition="guided", region="FFA", **mine)
    for name, condition in (("best of n", "best of n"), ("natural, top by guide", "natural")):
        rows = of.table[
            (of.table["condition"] == condition) & (of.table["region"] == "FFA") & (of.table["scored"] == "FFA")
        ]
        assert [value for value, _ in found[name]] == rows.sort_values("guide")["image"].tolist()[::-1]
    assert columns_of_sheet(figure) == [f"seed {seed}" for seed in SEEDS]
    row = of.table[(of.table["condition"] == "unguided") & (of.table["scored"] == "FFA")].iloc[0]
    said = found["unguided"][0][1]
    numbers = [float(text.strip(" ✗").replace("−", "-")) for text in said.split(" / ")]
    assert numbers == approx([row["guide"], row["check"], row["true"]], abs=0.051)
    marked = {value: "✗" in text for name in found for value, text in found[name]}
    valid = of.table[of.table["scored"] == "FFA"].set_index("image")["valid"]
    assert marked == {value: valid[value] < 0.5 for value in marked}


def test_the_same_seed_for_every_region() -> None:
    of = study()
    figure = sheets.minimal_pairs(of, ["V4", "PPA"])
    found = rows_of_sheet(figure)
    assert list(found) == ["unguided", "guided for V4", "guided for PPA"]
    assert [value for value, _ in found["unguided"]] == image_of(of, condition="unguided", scored="V4")
    for region in ("V4", "PPA"):
        own = of.table[
            (of.table["condition"] == "guided") & (of.table["region"] == region) & (of.table["scored"] == region)
        ]
        plain = of.table[(of.table["condition"] == "unguided") & (of.table["scored"] == region)]
        assert [value for value, _ in found[f"guided for {region}"]] == own["image"].tolist()
        for (_, text), (_, a), (_, b) in zip(
            found[f"guided for {region}"], own.iterrows(), plain.iterrows(), strict=True
        ):
            change = [a[judge] - b[judge] for judge in of.judges]
            first = float(text.split(" / ")[0].replace("−", "-"))
            assert first == approx(change[0], abs=0.051)
            assert ("+" in text.split(" / ")[1]) == (change[1] >= 0.05)
    assert columns_of_sheet(figure) == [f"seed {seed}" for seed in SEEDS]


def test_the_worst_of_what_the_guide_likes() -> None:
    of = study()
    figure = sheets.failures(of, ["PPA", "V4"])
    found = rows_of_sheet(figure)
    judges = ["check", "true", "valid", "typical"]
    assert columns_of_sheet(figure) == [f"least {sheets.FAILED_BY[j]}" for j in judges for _ in range(2)]
    for region in ("PPA", "V4"):
        rows = of.table[
            (of.table["condition"] == "guided") & (of.table["region"] == region) & (of.table["scored"] == region)
        ]
        liked = rows.nlargest(2, "guide")
        known = [judge for judge in judges if not (region == "V4" and judge == "true")]
        expected = [int(k) for judge in known for k in liked.sort_values(judge)["image"]]
        assert [value for value, _ in found[region]] == expected


def test_sheets_leave_places_empty_and_shrink_large_images() -> None:
    image = np.full((4, 2, 3), 7, dtype=np.uint8)
    strip = sheets.Strip("a name that is too long for one line of the sheet", [None, image], ["", "note"])
    figure = sheets.contact_sheet([strip], ["one", "two"])
    (ax,) = figure.axes
    sheet = np.asarray(ax.images[0].get_array())
    rows, columns = np.nonzero((sheet == 7).all(axis=2))
    side, left = sheets.SIDE, sheets.MARGIN + sheets.SIDE + sheets.GAP
    top = sheets.HEADER
    assert (rows.min(), rows.max() + 1) == (top, top + side)
    assert (columns.min(), columns.max() + 1) == (left + side // 4, left + 3 * side // 4)
    assert [text for _, _, text in words(ax)][1:] == ["note", "one", "two"]
    assert ax.get_ylim() == (sheet.shape[0], 0)
    large = sheets.Strip("x", [np.full((50, 200, 3), 9, dtype=np.uint8)], ["n"])
    sheet = np.asarray(sheets.contact_sheet([large]).axes[0].images[0].get_array())
    rows, columns = np.nonzero((sheet == 9).all(axis=2))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (24, 96)
    assert (rows.min() + rows.max() + 1) / 2 == 4 + side / 2


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
    cosines = made(
        {"orthogonal": [True, False], "region_a": ["big", "red"], "region_b": ["red", "big"]}, value="cosine"
    )
    return FoundDirections(images, table, cosines)


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
        assert [ax.get_title() for ax in panels(figure)] == list(by)
        assert figure.get_size_inches() == approx([8.8, 2])
        for ax in panels(figure):
            part = by[ax.get_title()]
            mosaic = np.asarray(ax.images[0].get_array())
            assert ticks(ax) == {2: "-2", 6: "0", 10: "1"}
            of = part.set_index(["seed", "alpha"])["image"]
            expected = [[of[seed, alpha] for alpha in (-2.0, 0.0, 1.0)] for seed in sorted(set(part["seed"]))]
            assert mosaic[::4, ::4, 0].tolist() == expected


def test_answers_along_directions() -> None:
    found = found_directions()
    figure = directions.direction_curves(found, "pca")
    names = {"true response": "true", "checking encoder": "check", "guiding encoder": "guide"}
    assert {*names, "shuffled responses", "random directions"} == set(legend(figure))
    assert figure.get_size_inches() == approx([6.6, 3])
    assert [ax.get_ylabel() for ax in panels(figure)] == ["response (SD over natural images)", ""]
    for ax, region in zip(panels(figure), ("red", "big"), strict=True):
        assert ax.get_title() == region
        mine = found.rows(region, "pca")
        mine = mine[mine["scored"] == region]
        known = [label for label, judge in names.items() if mine[judge].notna().any()]
        assert len(known) == (3 if region == "red" else 2)
        drawn = bands(ax)
        for label, band in zip(known, drawn, strict=True):
            values = mine.pivot(index="seed", columns="alpha", values=names[label])
            mean, error = values.mean(), 1.96 * values.std() / np.sqrt(2)
            assert curves(ax)[label] == [([-2, 0, 1], approx(mean.tolist()))]
            np.testing.assert_allclose(list(band.values()), np.c_[mean - error, mean + error])
        judge = names[known[0]]
        middle = mine.loc[mine["alpha"] == 0, judge].mean()
        assert levels(ax)[""] == [approx(middle)]
        for control, label in (("shuffled", "shuffled responses"), ("random", "random directions")):
            rows = found.table[(found.table["control"] == control) & (found.table["scored"] == region)]
            ends = rows.groupby(["number", "alpha"])[judge].mean().unstack()
            expected = ends.sub(ends.mean(axis=1), axis=0) + middle
            lines = [y for x, y in curves(ax)[label] if x == [-2, 1]]
            np.testing.assert_allclose(lines, expected)


def test_cosines_of_directions() -> None:
    cosines = found_directions().cosines
    figure = directions.cosine_maps(cosines)
    assert figure.get_size_inches() == approx([7.4, 3.2])
    assert [ax.get_title() for ax in panels(figure)] == ["found", "others taken out"]
    for ax, flag in zip(panels(figure), (False, True), strict=True):
        of = cosines[cosines["orthogonal"] == flag].set_index(["region_a", "region_b"])["cosine"]
        names = list(ticks(ax).values())
        assert names == list(ticks(ax, "y").values()) == list(pd.unique(of.index.get_level_values(0)))
        np.testing.assert_allclose(cells(ax), [[of[a, b] for b in names] for a in names])
        assert ax.images[0].get_clim() == (-1, 1)
        assert {(names[round(y)], names[round(x)]): text for x, y, text in words(ax)} == {
            key: f"{value:.2f}" for key, value in of.items()
        }
    assert len(panels(directions.cosine_maps(cosines[~cosines["orthogonal"]]))) == 1
