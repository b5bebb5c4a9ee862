"""The section on in-context encoding: what is drawn, what may be claimed, and nothing where nothing was done."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import escape
from matplotlib.colors import to_hex

from brainalign.config import Config
from brainalign.report import ImageEncoding, ImageMaterial
from brainalign.report.encoding_sections import few_images_section
from brainalign.report.kit import COLOURS, GREY
from brainalign.statistics import RELIABLE
from brainalign.study import Study, parse

EVIL = "<img src=x onerror=alert(1)>"
SIZES = (10, 50, 200)
VALUES = {
    "in_context": (0.3, 0.5, 0.6),
    "empirical_bayes": (0.28, 0.5, 0.62),
    "ridge_pooled": (0.1, 0.4, 0.58),
    "ridge_per_target": (-2.0, 0.2, 0.5),
    "shuffled_context": (-0.1, -0.2, -0.3),
}
LOW = {"empirical_bayes": (0.01, -0.01, -0.04), "ridge_pooled": (0.15, 0.05, 0.01)}


def table(groups: tuple[str, ...] = ("FFA", EVIL, RELIABLE)) -> pd.DataFrame:
    rows = []
    for group in groups:
        for method, values in VALUES.items():
            for k, (size, value) in enumerate(zip(SIZES, values, strict=True)):
                row = {"group": group, "method": method, "size": size, "explained_variance": value, "se": 0.02}
                row |= {"r": 0.5, "r_se": 0.01, "difference": VALUES["in_context"][k] - value, "n_repeats": 5}
                low = LOW.get(method, (0.0, 0.0, 0.0))[k]
                row |= {"low": low, "high": low + 0.02, "beyond": method == "in_context" and size == 200}
                rows.append(row)
        full = {"group": group, "method": "ridge_full", "size": 1000, "explained_variance": 0.7, "r": 0.8}
        rows.append(full | {"difference": -0.1, "n_repeats": 1, "beyond": False})
    return pd.DataFrame(rows).assign(n_targets=120, ceiling=0.8, layer="a")


ABOUT = {
    "layers": {
        "a": {
            "n_features": 512,
            "n_components": 32,
            "n_parameters": 123_456,
            "seconds": 81.0,
            "variance": 0.91,
            "loss": [0.3],
            "fallbacks": [
                {"seed": 0, "n_targets": 120, "group": EVIL, "in_context": 1.1, "empirical_bayes": 1.05, "ridge": 0.9}
                | {"taken": "ridge"},
                {
                    "seed": 0,
                    "n_targets": 120,
                    "group": "FFA",
                    "in_context": 0.7,
                    "empirical_bayes": np.nan,
                    "ridge": 0.8,
                }
                | {"taken": "in_context"},
            ],
            "seed_r": [0.41],
            "n_context": 100,
        }
    },
    "subjects": {"02": {"n_images": 900, "n_voxels": 4000}},
    "n_images": 900,
}


def material(curve: pd.DataFrame, about: dict[str, Any] = ABOUT) -> ImageMaterial:
    content = {
        "datasets": {"scenes": {"descriptor": "scenes.yaml"}},
        "models": {"net": {"extractor": "efficientnet"}},
        "methods": {"few": {"encoder": "in_context"}},
    }
    betas = {"format": "betas", "betas": "b.nii", "trials": "t.tsv"}
    study = {"name": "scenes", "title": "x", "citation": {"text": "x"}, "licence": "x", "source": "x"}
    study |= {"stimuli": "s.tsv", "recordings": {"01": betas, "02": betas}, "folder": "."}
    study |= {"splits": {"shared": {"column": "set", "value": "shared"}}}
    empty = pd.DataFrame({"layer": ["a"]})
    encoding = ImageEncoding(empty, empty, empty, empty, curve=curve)
    config, descriptor = parse(Config, content, "config"), parse(Study, study, "descriptor")
    made = ImageMaterial(config, "scenes", descriptor, "01", encodings={("net", "few"): encoding})
    made.sidecars["sub-01_model-net_method-few_curve.parquet"] = {"details": about}
    return made


def text(section: Any) -> str:
    return re.sub(r"\s+", " ", " ".join([*section.paragraphs, *map(str, section.blocks), section.panels[0].caption]))


def test_superiority_is_claimed_where_the_interval_excludes_0() -> None:
    found = text(few_images_section(material(table())))
    assert "against empirical-Bayes ridge: ahead at 10; behind at 200; undecided at 50" in found
    assert "against ridge, one penalty: ahead at 10, 50, 200" in found
    assert "Better than both at 10." in found
    tied = table().assign(low=-0.01, high=0.01)
    tied.loc[tied["method"] == "ridge_pooled", "low"] = 0.001
    found = text(few_images_section(material(tied)))
    assert "against empirical-Bayes ridge: undecided at 10, 50, 200" in found
    assert "It is not claimed to be better than both." in found
    assert "Better than both" not in found
    once = table().assign(low=np.nan, high=np.nan, se=np.nan)
    assert "nothing can be said of differences; raise n_repeats" in text(few_images_section(material(once)))


def test_a_simpler_method_that_is_ahead_comes_first() -> None:
    first = few_images_section(material(table())).paragraphs[0]
    assert "200 (by .020, clear)" in first
    assert not {"10 (", "50 ("} & set(re.findall(r"\d+ \(", first))
    better = table()
    better.loc[better["method"] == "empirical_bayes", ["difference", "low", "high"]] = 0.1, 0.05, 0.15
    assert "parameters" in few_images_section(material(better)).paragraphs[0]
    behind = table()
    behind.loc[behind["method"] == "ridge_pooled", ["difference", "low", "high"]] = -0.1, -0.3, 0.1
    first = few_images_section(material(behind)).paragraphs[0]
    assert "10 (by .100), 50 (by .100), 200 (by .100)" in first
    unclear = table()  # -1e-11 where empirical Bayes was taken in its place is no difference
    unclear.loc[unclear["method"] == "empirical_bayes", ["difference", "low", "high"]] = -1e-11, -2e-11, 2e-11
    assert "parameters" in few_images_section(material(unclear)).paragraphs[0]
    unclear.loc[unclear["method"] == "ridge_pooled", ["difference", "low", "high"]] = -0.1, -0.3, 0.1
    assert few_images_section(material(unclear)).paragraphs[0].endswith("Nowhere does the interval exclude 0.")


def test_what_it_rests_on_is_said() -> None:
    section = few_images_section(material(table()))
    found = text(section)
    for part in (
        "a network of 123,456 parameters (1 seed, 81 s of pre-training for layer a)",
        "02 (4,000 voxels, 900 images), and on nothing of subject 01",
        "32 principal components of 512 (91% of their variance)",
        "of 100 training images of this subject",
        "<td>1.100</td><td>1.050</td><td>.900</td><td>ridge (fell back)</td>",
        "<td>.700</td><td>–</td><td>.800</td><td>in-context</td>",
        "Dashed: noise ceiling.",
    ):
        assert part in found, part
    assert EVIL not in " ".join(map(str, section.blocks))
    assert str(escape(EVIL)) in found
    assert [ax.get_title() for ax in section.panels[0].figure.axes] == ["FFA", EVIL]
    several = {"layers": {"a": ABOUT["layers"]["a"] | {"seed_r": [0.4, 0.5]}}}
    found = text(few_images_section(material(table(), ABOUT | several)))
    assert "Single seeds: mean r .450 ± .071." in found


def test_without_regions_all_targets_are_drawn() -> None:
    section = few_images_section(material(table((RELIABLE,)).assign(ceiling=np.nan)))
    assert [ax.get_title() for ax in section.panels[0].figure.axes] == [RELIABLE]
    assert "there is no noise ceiling" in text(section)


def test_nothing_is_drawn_where_nothing_was_done() -> None:
    assert few_images_section(material(pd.DataFrame())) is None


def texts() -> pd.DataFrame:
    words = ["face", EVIL, "$house$", "hand", "tree", "car"]
    rows = [(group, word, 1 - 0.2 * k) for group in ("FFA", EVIL) for k, word in enumerate(words)]
    table = pd.DataFrame(rows, columns=["group", "text", "selectivity"])
    return table.assign(chance=np.where(table["group"] == "FFA", 0.7, 2.0))


def test_texts_beyond_chance_are_named_and_no_others() -> None:
    layers = {"layers": {"a": ABOUT["layers"]["a"] | {"texts": texts().to_dict("records")}}}
    ((_, panel),) = (found.parts for found in few_images_section(material(table(), ABOUT | layers)).panels)
    axes = panel.figure.axes
    assert [ax.get_title() for ax in axes] == ["FFA", EVIL]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["face", EVIL, "$house$", "hand", "tree"]
    assert [to_hex(bar.get_facecolor()) for bar in axes[0].patches] == [COLOURS[0].lower()] * 2 + [GREY] * 3
    assert [to_hex(bar.get_facecolor()) for bar in axes[1].patches] == [GREY] * 5
    assert axes[0].get_xlim() == axes[1].get_xlim()
    found = str(panel.html)
    assert f"<td>face (1.000), {escape(EVIL)} (.800)</td><td>.700</td>" in found
    assert "<td>none</td><td>2.000</td>" in found
    assert EVIL not in found
    assert panel.image.startswith("data:image/png")
    assert "of 6 asked about" in panel.caption
