"""Pages of studies of images and of RDMs, and of groups: what they hold, how they escape it, what they may claim."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Arrays, Responses
from brainalign.descriptor import ImageStudy, RdmStudy
from brainalign.report import (
    Failure,
    ImageEncoding,
    ImageMaterial,
    group_sections,
    render_failed_group,
    render_image_page,
    render_rdm_page,
)
from brainalign.settings import Config, parse

EVIL = "<img src=x onerror=alert(1)>"
RIDGE = {"encoder": "ridge"}
ABOUT = {
    "name": "scenes",
    "title": EVIL,
    "citation": {"text": f"Nobody {EVIL}."},
    "licence": "CC0",
    "source": "tests",
}
N = 12  # targets


def config(**changes: object) -> Config:
    content = {
        "datasets": {"scenes": {"descriptor": "scenes.yaml"}},
        "models": {"net": {"extractor": "efficientnet"}, "rand": {"extractor": "efficientnet", "weights": "random"}},
        "methods": {"ridge": RIDGE},
    }
    return parse(Config, content | changes, "configuration")


def study(**changes: object) -> ImageStudy:
    content = ABOUT | {
        "kind": "images",
        "images": "stimuli.tsv",
        "subjects": {
            "01": {"format": "betas", "betas": "b.nii", "trials": "t.tsv"},
            "02": {"format": "epochs", "epochs": "e.fif", "picks": "eeg"},
        },
        "splits": {"shared": {"column": "set", "value": "shared"}},
        "folder": ".",
        "notes": [EVIL],
    }
    return parse(ImageStudy, content | changes, "descriptor")


def encoding() -> ImageEncoding:
    scores = pd.DataFrame(
        {
            "target_id": [f"v{k}" for k in range(N)] * 2,
            "layer": ["a"] * N + ["b"] * N,
            "r": np.linspace(0, 0.6, 2 * N),
            "r2_signed": np.linspace(0, 0.36, 2 * N),
            "r2_normalized": np.linspace(0, 0.7, 2 * N),
            "ceiling": 0.5,
            "p": 0.01,
            "q": 0.02,
        }
    )
    profile = pd.DataFrame({"group": [EVIL, "reliable targets"] * 2, "layer": ["a", "a", "b", "b"]}).assign(
        r=0.3, se=0.02, null_mean=0.0, null_low=-0.1, null_high=0.1, ceiling_r=0.7, p=0.01, cv_score=0.1
    )
    preference = pd.DataFrame({"roi": [EVIL], "best": ["b"], "decided": [False], "reason": ["a tie"]})
    return ImageEncoding(scores, profile, preference, pd.DataFrame({"layer": np.empty(0, dtype=str)}))


def summary(model: str, method: str = "ridge", value: float = 0.3) -> pd.DataFrame:
    rows = [("mean r", value), ("r²/ceiling", 0.4), ("share above ceiling", 0.0), ("share with q < 0.05", 0.5)]
    table = pd.DataFrame(rows, columns=["quantity", "value"])
    return table.assign(
        model=model, method=method, layer="b", split="shared", chosen=True, n=N, choice="chosen somehow"
    ).assign(low=0.2, high=0.4, null_mean=0.0, control=0.01, p=0.01)


def difference(**changes: object) -> pd.DataFrame:
    row = {"quantity": "mean r", "model_a": "net", "model_b": "rand", "method_a": "ridge", "method_b": "ridge"}
    row |= {"difference": 0.1, "low": 0.05, "high": 0.15, "p": 0.01, "n": N}
    return pd.DataFrame([row | changes])


@pytest.fixture
def material() -> ImageMaterial:
    trials = pd.DataFrame({"trial_id": ["t0", "t1"], "stimulus_id": [EVIL, "y"], "session": "1", "run": "1"})
    trials = trials.assign(repeat=0, onset_s=np.nan)
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(N)], "kind": "voxel", "hemi": ""})
    targets = targets.assign(roi=[[EVIL]] * N, i=0, j=0, k=0, x_mm=0.0, y_mm=0.0, z_mm=0.0)
    responses = Responses(np.zeros((2, N), dtype=np.float32), trials, targets, EVIL)
    return ImageMaterial(
        config(),
        "scenes",
        study(),
        "01",
        responses,
        pd.DataFrame({"split": ["train", "test"]}),
        pd.DataFrame({"target_id": targets["target_id"], "ceiling": 0.5}),
        {("net", "ridge"): encoding()},
        summary=pd.concat([summary("net"), summary("rand", value=0.1)], ignore_index=True),
        differences=difference(),
    )


def words(page: str) -> str:
    text = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def test_a_page_is_whole_escaped_and_small(material: ImageMaterial) -> None:
    page = render_image_page(material)
    for section in ("data", "layers", "ceilings"):
        assert f'id="{section}"' in page
    assert "<img src=x" not in page
    assert len(page.encode()) <= 5_000_000
    assert "http://" not in re.sub(r"xmlns\S*=\S+", "", page).replace("http://www.w3.org", "")


def test_findings_follow_from_the_numbers(material: ImageMaterial) -> None:
    text = words(render_image_page(material))
    assert "p corrected for all 1 by the largest: net predicts better than rand." in text
    assert "net rand .100 .050 to .150 .0100 net" in text
    assert "0 of 1 best layers of regions of net are decided" in text
    assert "ahead of the second best layer" in text
    tie = words(render_image_page(replace(material, differences=difference(low=-0.01, p=0.2))))
    assert "cannot be told apart: net and rand." in tie
    assert "net rand .100 -.010 to .150 .2000 –" in tie
    assert "rand predicts better than net" in words(
        render_image_page(replace(material, differences=difference(difference=-0.1, low=-0.15, high=-0.05)))
    )


def test_a_model_without_a_score_has_no_p(material: ImageMaterial) -> None:
    material.summary.loc[material.summary["quantity"] == "mean r", ["value", "p"]] = [np.nan, np.nan]
    text = words(render_image_page(material))
    assert "net with ridge has no mean r: its predictions are constant." in text
    assert "p = –" not in text


def test_methods_say_what_was_done(material: ImageMaterial) -> None:
    assert "penalty chosen per target inside the training images" in words(render_image_page(material))
    other = config(methods={"ridge": RIDGE | {"alphas": [2.0]}}, compare_images={"comparison": "cosine"})
    descriptor = study(betas={"standardize": "none"})
    text = words(render_image_page(replace(material, config=other, descriptor=descriptor)))
    assert "the penalty fixed at 2" in text
    assert "taken as they are" in text
    assert "z-scored" not in text
    assert "Spearman correlation" not in text


def test_a_section_that_fails_does_not_take_the_page_with_it(material: ImageMaterial) -> None:
    material.ceiling = pd.DataFrame({"nothing": [1.0]})
    with pytest.raises(KeyError):
        render_image_page(material)
    material.failures.append(Failure("compare_images", "subject 01", EVIL))
    page = render_image_page(material)
    assert "section ceilings" in page
    assert 'id="layers"' in page
    assert "<img src=x" not in page


def recovery(**changes: object) -> pd.DataFrame:
    table = pd.DataFrame({"area": ["V1", "V2"], "planted_layer": ["a", "b"], "recovered_layer": ["a", "b"]})
    table = table.assign(what="layer", model="net", planted_depth=[0.0, 1.0], recovered_depth=[0.0, 1.0])
    return table.assign(decided=True, subject="01", modality="fMRI", **changes)


def rows() -> pd.DataFrame:
    return summary("net").iloc[:1].assign(subject="01", modality="fMRI")


def blocks(table: pd.DataFrame) -> str:
    sections = group_sections(rows(), table, pd.DataFrame(), [], 0.95)
    return words(" ".join(map(str, sections[-1].blocks)))


def test_two_areas_have_no_rank_correlation() -> None:
    assert "no rank correlation: 2 decided area(s)" in blocks(recovery())
    assert "2 of 2 layers exact" in blocks(recovery())


def test_latencies_without_a_decision_have_no_error() -> None:
    table = pd.DataFrame({"what": ["latency"], "model": ["net"], "planted_ms": [100.0], "recovered_ms": [120.0]})
    table = table.assign(decided=False, subject="03", modality="MEG")
    assert "none of 1 latencies is decided" in blocks(table)
    assert "nan" not in blocks(table)
    assert "largest error 20 ms in 1 decided of 1" in blocks(table.assign(decided=True))


def test_measured_data_have_no_recovery() -> None:
    assert len(group_sections(rows(), pd.DataFrame({"what": []}), pd.DataFrame(), [], 0.95)) == 1


def test_a_group_that_failed_has_its_errors() -> None:
    page = render_failed_group("scenes", EVIL, 2, [Failure("prepare_images", "subject 01", EVIL)])
    assert 'id="errors"' in page
    assert "<img src=x" not in page


def rdm_page(settings: Config, kinds: tuple[str, ...]) -> str:
    descriptor = parse(
        RdmStudy,
        ABOUT | {"kind": "rdms", "reader": "kriegeskorte92", "files": ["f"], "references": {"human": EVIL}},
        "descriptor",
    )
    names = {"published": ("V1", ""), "layer": ("net", "a")}
    table = pd.DataFrame([{"kind": kind, "model": names[kind][0], "layer": names[kind][1]} for kind in kinds])
    table = table.assign(reference="human", score=0.3, se=0.02, low=0.2, high=0.4, ceiling_low=0.4, ceiling_high=0.6)
    table = table.assign(group_score=0.5, n_subjects=4, mean=np.nan, sd=np.nan, n=np.nan)
    best = {"kind": "best", "reference": "human", "family": "all", "model": "V1", "layer": "", "decided": False}
    table = pd.concat([table, pd.DataFrame([best | {"sentence": EVIL}])], ignore_index=True)
    rdms = Arrays({"set_human": np.arange(6.0)})
    sidecars = {
        "rdm.json": {
            "details": {"categories": ["x"] * 4},
            "stage": "compare_rdms",
            "library": {"digest": "0" * 64},
            "created": "",
        }
    }
    differences = pd.DataFrame({"reference": ["human"], "family": ["all"], "p_max": [0.4]})
    return render_rdm_page(descriptor, settings, table, differences, rdms, sidecars)


def test_the_rdm_page_names_its_comparison() -> None:
    page = rdm_page(config(), ("published", "layer"))
    assert "Convergence scores do not apply" in words(page)
    assert "Spearman correlation with each subject's RDM" in words(page)
    assert "<img src=x" not in page
    text = words(rdm_page(config(compare_rdms={"comparison": "cosine"}), ("published", "layer")))
    assert "Cosine with each subject's RDM" in text
    assert "Spearman" not in text
