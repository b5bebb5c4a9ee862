"""The section on in-context encoding: what is drawn, what may be claimed, and nothing where nothing was done."""

import re
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import escape
from pages import BETAS, EVIL, check, config, image_study

from brainalign.report.encoding_sections import few_images_section
from brainalign.report.kit import ImageEncoding, ImageMaterial
from brainalign.statistics import RELIABLE

VALUES = {
    "in_context": (0.3, 0.5, 0.6), "empirical_bayes": (0.28, 0.5, 0.62), "ridge_pooled": (0.1, 0.4, 0.58),
    "ridge_per_target": (-2.0, 0.2, 0.5), "shuffled_context": (-0.1, -0.2, -0.3),
}  # fmt: skip
LOW = {"empirical_bayes": (0.01, -0.01, -0.04), "ridge_pooled": (0.15, 0.05, 0.01)}


def curve(groups: tuple[str, ...] = ("FFA", EVIL, RELIABLE)) -> pd.DataFrame:
    rows = []
    for group in groups:
        for method, values in VALUES.items():
            for k, (size, value) in enumerate(zip((10, 50, 200), values, strict=True)):
                row = {"group": group, "method": method, "size": size, "explained_variance": value, "se": 0.02}
                row |= {"r": 0.5, "r_se": 0.01, "difference": VALUES["in_context"][k] - value, "n_repeats": 5}
                low = LOW.get(method, (0.0, 0.0, 0.0))[k]
                row |= {"low": low, "high": low + 0.02, "beyond": method == "in_context" and size == 200}
                rows.append(row)
        full = {"group": group, "method": "ridge_full", "size": 1000, "explained_variance": 0.7, "r": 0.8}
        rows.append(full | {"difference": -0.1, "n_repeats": 1, "beyond": False})
    return pd.DataFrame(rows).assign(n_targets=120, ceiling=0.8, layer="a")


FELL_BACK = {"seed": 0, "n_targets": 120, "group": EVIL, "in_context": 1.1, "empirical_bayes": 1.05, "ridge": 0.9}
KEPT = FELL_BACK | {"group": "FFA", "in_context": 0.7, "empirical_bayes": np.nan, "ridge": 0.8, "taken": "in_context"}
LAYER = {"n_features": 512, "n_components": 32, "n_parameters": 123_456, "seconds": 81.0}
LAYER |= {"variance": 0.91, "loss": [0.3]}
LAYER |= {"fallbacks": [FELL_BACK | {"taken": "ridge"}, KEPT], "seed_r": [0.41], "n_context": 100}
ABOUT = {"layers": {"a": LAYER}, "subjects": {"02": {"n_images": 900, "n_voxels": 4000}}, "n_images": 900}


def material(found: pd.DataFrame, about: dict[str, Any] = ABOUT) -> ImageMaterial:
    empty = pd.DataFrame({"layer": ["a"]})
    encoding = ImageEncoding(empty, empty, empty, empty, curve=found)
    study = image_study(recordings={"01": BETAS, "02": BETAS})
    settings = config(methods={"few": {"encoder": "in_context"}})
    made = ImageMaterial(settings, "study", study, "01", encodings={("net", "few"): encoding})
    made.sidecars["sub-01_model-net_method-few_curve.parquet"] = {"details": about}
    return made


def text(section: Any) -> str:
    return re.sub(r"\s+", " ", " ".join([*section.paragraphs, *map(str, section.blocks), section.panels[0].caption]))


def test_superiority_is_claimed_where_the_interval_excludes_0() -> None:
    found = text(few_images_section(material(curve())))
    check(found, "against empirical-Bayes ridge: ahead at 10; behind at 200; undecided at 50")
    check(found, "against ridge, one penalty: ahead at 10, 50, 200", "Better than both at 10.")
    tied = curve().assign(low=-0.01, high=-1e-10)  # 0, but for rounding
    tied.loc[tied["method"] == "ridge_pooled", "low"] = 0.001
    found = text(few_images_section(material(tied)))
    check(found, "against empirical-Bayes ridge: undecided at 10, 50, 200")
    check(found, "It is not claimed to be better than both.", unsaid=["Better than both"])
    once = curve().assign(low=np.nan, high=np.nan, se=np.nan)
    assert "nothing can be said of differences; raise n_repeats" in text(few_images_section(material(once)))


def first_paragraph(**differences: tuple[float, float, float]) -> str:
    table = curve()
    for method, values in differences.items():
        table.loc[table["method"] == method, ["difference", "low", "high"]] = values
    return few_images_section(material(table)).paragraphs[0]


def test_a_simpler_method_that_is_ahead_comes_first() -> None:
    first = first_paragraph()
    assert "200 (by .020, clear)" in first
    assert not {"10 (", "50 ("} & set(re.findall(r"\d+ \(", first))
    assert "parameters" in first_paragraph(empirical_bayes=(0.1, 0.05, 0.15))
    behind, none = (-0.1, -0.3, 0.1), (-1e-11, -2e-11, 2e-11)  # none: empirical Bayes was taken in its place
    assert "10 (by .100), 50 (by .100), 200 (by .100)" in first_paragraph(ridge_pooled=behind)
    assert "parameters" in first_paragraph(empirical_bayes=none)
    assert first_paragraph(empirical_bayes=none, ridge_pooled=behind).endswith("Nowhere does the interval exclude 0.")


def test_what_it_rests_on_is_said_and_texts_beyond_chance() -> None:
    section = few_images_section(material(curve()))
    check(text(section), "<td>1.100</td><td>1.050</td><td>.900</td><td>ridge (fell back)</td>", str(escape(EVIL)))
    assert EVIL not in " ".join(map(str, section.blocks))
    many, seeds = curve((*"abcdefghi", RELIABLE)), {"layers": {"a": LAYER | {"seed_r": [0.4, 0.5]}}}
    assert few_images_section(material(many, ABOUT | seeds)).panels[0].title.endswith("(8 of 9 drawn)")
    assert "there is no ceiling" in text(few_images_section(material(curve((RELIABLE,)).assign(ceiling=np.nan))))
    assert few_images_section(material(pd.DataFrame())) is None
    words = ["face", EVIL, "$house$", "hand", "tree", "car"]
    rows = [(g, word, 1 - 0.2 * k, at) for g, at in (("FFA", 0.7), (EVIL, 2.0)) for k, word in enumerate(words)]
    table = pd.DataFrame(rows, columns=["group", "text", "selectivity", "chance"])
    layers = {"layers": {"a": LAYER | {"texts": table.to_dict("records")}}}
    ((_, panel),) = (found.parts for found in few_images_section(material(curve(), ABOUT | layers)).panels)
    found = str(panel.html)
    check(found, f"<td>face (1.000), {escape(EVIL)} (.800)</td><td>.700</td>", "<td>none</td><td>2.000</td>")
    assert EVIL not in found
