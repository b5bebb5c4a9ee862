"""Families of models in the report: what is decided has its colour, what is not is pale or hollow; all is escaped."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from made import responses_of
from pages import EVIL, config, image_study

from brainalign.arrays import Responses
from brainalign.report.encoding_sections import contest_methods, contest_section, contest_sentence, winner_maps
from brainalign.report.kit import ImageMaterial

FAMILIES = ["response-optimised", "task-optimised", "language"]
REGIONS = {"V1": (0, True), "IT": (2, True), EVIL: (1, False), "reliable targets": (1, True)}


def table() -> pd.DataFrame:
    rows = []
    for region, (best, decided) in REGIONS.items():
        for k, family in enumerate(FAMILIES):
            ahead = 0.1 if k == best else -0.1
            row = {"region": region, "family": family, "model": f"net{k}", "method": "ridge", "layer": "a", "cv_r": 0.2}
            row |= {"r": 0.3 + ahead, "low": 0.25 + ahead, "high": 0.35 + ahead, "null_high": 0.08, "ceiling_r": 0.6}
            row |= {"ahead": ahead, "ahead_low": ahead - 0.05, "ahead_high": ahead + 0.05, "n_targets": 20}
            row |= {"winner": k == best, "runner_up": k == (best + 1) % 3, "decided": decided, "p_null": 0.01}
            rows.append(row | {"reason": "" if decided else "the interval of the margin includes 0"})
    return pd.DataFrame(rows)


def winners(n: int = 12) -> pd.DataFrame:
    rows = pd.DataFrame({"target_id": [f"L{k}" for k in range(n)], "hemi": "L", "vertex": np.arange(n) + 9000})
    rows["roi"] = [["V1"], ["IT"], [EVIL], []] * (n // 4)
    rows["family"] = ([FAMILIES[0], FAMILIES[2], FAMILIES[1], FAMILIES[1]] * (n // 4))[:n]
    return rows.assign(margin=0.1, ceiling=0.4, q=[0.01] * (n - 1) + [0.5])


def test_vertices_of_undecided_regions_are_pale_and_chance_is_hidden() -> None:
    decided = {"V1": True, "IT": True, EVIL: False}
    winner, margin = winner_maps(winners(), decided, FAMILIES, q=0.05)
    assert winner.categories == (*FAMILIES, *(f"{name}, undecided" for name in FAMILIES))
    names = [winner.categories[int(k)] for k in winner.values[0, 9000:9011]]
    assert names[:4] == ["response-optimised", "language", "task-optimised, undecided", "task-optimised, undecided"]
    assert np.isnan([winner.values[0, 9011], margin.values[0, 9011]]).all()
    assert winner.n_shown == margin.n_shown == 11
    pale = dict(zip(winner.categories, winner.colours, strict=True))
    for name in FAMILIES:
        shades = pale[name], pale[f"{name}, undecided"]
        full, faded = np.array([[int(shade[k : k + 2], 16) for k in (1, 3, 5)] for shade in shades])
        assert (faded >= full).all()
        assert faded.min() > 150  # a light tint of the same hue
    both = winners().assign(roi=[[EVIL, "V1"]] * 12)
    assert set(winner_maps(both, decided, FAMILIES, q=0.05)[0].values[0, 9000:9011]) <= {0.0, 1.0, 2.0}


@pytest.fixture
def material() -> ImageMaterial:
    models = {f"net{k}": {"extractor": "efficientnet"} for k in range(2)}
    models["net2"] = {"extractor": "sentence", "weights": EVIL}
    settings = config(models=models, contest={family: [f"net{k}"] for k, family in enumerate(FAMILIES)})
    targets = dict(winners().drop(columns=["family", "margin", "ceiling", "q"]), kind="vertex")
    targets |= dict.fromkeys(("x_mm", "y_mm", "z_mm"), 0.0)
    responses = responses_of(np.zeros((1, 12), dtype=np.float32), ["s"], targets=targets)
    made = {"responses": responses, "contest": table(), "winners": winners().drop(columns=["hemi", "vertex", "roi"])}
    return ImageMaterial(settings, "study", image_study(), "01", **made)


def test_the_section_says_what_is_decided(material: ImageMaterial, kept: Callable[..., None]) -> None:
    section = contest_section(material)
    assert section.paragraphs[0].startswith("2 of 3 regions are decided. ")
    assert "<img src=x" not in str(section.blocks[0])
    kept(contest_sentence(material), contest_methods(material))


def test_volumes_have_no_map_and_nothing_appears_without_a_contest(material: ImageMaterial) -> None:
    of = material.responses
    targets = of.targets.drop(columns=["vertex"]).assign(i=0, j=0, k=0, kind="voxel")
    material.responses = Responses(of.values, of.trials, targets, "z")
    assert [panel.id for panel in contest_section(material).panels] == ["contest"]
    material.contest = table()[-3:]
    assert "task-optimised in reliable targets; undecided: 0 of 1" in contest_sentence(material)[0]
    for nothing in (None, pd.DataFrame({"region": np.empty(0, dtype=str)})):
        material.contest = nothing
        assert contest_section(material) is None
        assert (contest_sentence(material), len(contest_methods(material))) == ([], 1)  # captions are still said
