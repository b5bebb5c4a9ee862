"""Pages of studies of images and of RDMs, and of groups: what they hold, how they escape it, what they may claim."""

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import unarranged
from made import responses_of
from pages import BETAS, EVIL, RECORD, check, config, image_study, page_of, study, words

from brainalign.arrays import Arrays
from brainalign.config import Config
from brainalign.pipelines.summarize.held_out import _rows
from brainalign.report import kit, pages
from brainalign.report.encoding_sections import MOST_PANELS, layers_section, maps_section
from brainalign.report.pages import beside_trained, failed_chapter, leak_sentence

N = 12  # targets
MODELS = {"net": {"extractor": "efficientnet"}, "rand": {"extractor": "efficientnet", "weights": "random"}}
NAMED = {"title": EVIL, "citation": {"text": f"Nobody {EVIL}."}}


def encoding() -> kit.ImageEncoding:
    scores = pd.DataFrame({"target_id": [f"v{k}" for k in range(N)] * 2, "layer": ["a"] * N + ["b"] * N})
    for name, highest in (("r", 0.6), ("r2_signed", 0.36), ("r2_normalized", 0.7)):
        scores[name] = np.linspace(0, highest, 2 * N)
    scores = scores.assign(ceiling=0.5, p=0.01, q=0.02, reliable=True, alpha=[0.1, *[10.0] * (2 * N - 2), 1e5])
    profile = pd.DataFrame({"group": [EVIL, "reliable targets"] * 2, "layer": [*"aabb"], "p_fwer": 0.04}).assign(
        r=0.3, se=0.02, null_mean=0.0, null_low=-0.1, null_high=0.1, ceiling_r=0.7, p=0.01, cv_score=0.1, n_targets=200
    )
    preference = pd.DataFrame({"roi": [EVIL], "best": ["b"], "decided": [False], "reason": ["a tie"], "p": 0.08})
    clusters, null = pd.DataFrame({"layer": np.empty(0, dtype=str)}), np.linspace(0.02, 0.4, 19)
    return kit.ImageEncoding(scores, profile, preference, clusters, null=null)


def summary(model: str, method: str = "ridge", value: float = 0.3) -> pd.DataFrame:
    rows = [("mean r", value), ("r²/ceiling", 0.4), ("share above ceiling", 0.0), ("share with q < 0.05", 0.5)]
    table = pd.DataFrame(rows, columns=["quantity", "value"])
    table = table.assign(model=model, method=method, layer="b", split="shared", chosen=True, n=N)
    return table.assign(choice="chosen somehow", low=0.2, high=0.4, null_mean=0.0, control=0.01, p=0.01)


def image_page(material: kit.ImageMaterial) -> str:
    return page_of(material, pages.images_chapter(material))


def difference(**changes: object) -> pd.DataFrame:
    row = {"quantity": "mean r", "model_a": "net", "model_b": "rand", "method_a": "ridge", "method_b": "ridge"}
    row |= {"difference": 0.1, "low": 0.05, "high": 0.15, "p": 0.01, "n": N}
    return pd.DataFrame([row | changes])


@pytest.fixture
def material() -> kit.ImageMaterial:
    return images_of_one()


def images_of_one() -> kit.ImageMaterial:
    places = {"hemi": ""} | dict.fromkeys("ijk", 0) | dict.fromkeys(("x_mm", "y_mm", "z_mm"), 0.0)
    responses = responses_of(np.zeros((2, N), np.float32), [EVIL, "y"], roi=[EVIL] * N, targets=places, onset_s=np.nan)
    responses = replace(responses, units=EVIL)
    both = {"01": BETAS, "02": {"format": "epochs", "epochs": "e.fif", "picks": "eeg"}}
    return kit.ImageMaterial(
        config(models=MODELS), "study", image_study(**NAMED, recordings=both, notes=[EVIL]), "01", responses=responses,
        splits=pd.DataFrame({"split": ["train", "test"]}),
        ceiling=pd.DataFrame({"target_id": responses.targets["target_id"], "ceiling": 0.5}),
        encodings={("net", "ridge"): encoding()},
        summary=pd.concat([summary("net"), summary("rand", value=0.1)], ignore_index=True), differences=difference(),
    )  # fmt: skip


def test_a_page_is_whole_and_its_findings_follow_from_the_numbers(material: kit.ImageMaterial) -> None:
    page = image_page(material)
    check(page, 'id="data"', 'id="layers"', 'id="ceilings"', unsaid=["<img src=x"])
    assert "http://" not in re.sub(r"xmlns\S*=\S+", "", page).replace("http://www.w3.org", "")
    ends = "net, b: of 12 targets .000 chose the smallest penalty, 0.1, and .083 the largest, 100000."
    check(words(page), ends, "net rand .100 .050 to .150 .0100 net", "0 of 1 best layers of regions of net are decided")
    one = replace(encoding(), profile=encoding().profile.query("layer == 'b'"))  # nothing was chosen among layers
    assert "best layers of regions" not in words(image_page(replace(material, encodings={("net", "ridge"): one})))
    tie = words(image_page(replace(material, differences=difference(low=-0.01, p=0.2))))
    check(tie, "cannot be told apart: net and rand.", "net rand .100 -.010 to .150 .2000 –")
    behind = replace(material, differences=difference(difference=-0.1, low=-0.15, high=-0.05))
    assert "rand predicts better than net" in " ".join(pages.images_chapter(behind).findings)
    answer = pages.images_chapter(material).answer
    assert (answer.opening, answer.words[-21:]) == ("Yes.", " It is ahead of rand.")
    material.summary = material.summary.assign(p=0.06)
    tied = pages.images_chapter(replace(material, differences=difference(p=0.05))).answer
    assert (tied.opening, tied.holds) == ("Not shown.", False)
    material.summary.loc[material.summary["quantity"] == "mean r", ["value", "p"]] = [np.nan, np.nan]
    text = words(image_page(material))
    constant = "Not shown. No model has a score: predictions are constant."
    check(text, constant, "net with ridge has no mean r: its predictions are constant.", unsaid=["p = –"])
    material.summary["n"] = 0
    check(words(image_page(material)), "No model has a score: no target repeats well enough to be predicted.")


def test_layers_that_are_not_drawn_are_told_where_they_come_closest(material: kit.ImageMaterial) -> None:
    table = pd.DataFrame({"group": ["V1", "V1", "IT", "IT"], "layer": [*"abab"], "score": [0.6, 0.1, 0.1, 0.5]})
    table = table.assign(model="net", se=[0.05, np.nan] * 2, p_fwer=0.01, ceiling_low=np.nan, ceiling_high=np.nan)
    material.comparison, material.rdms = table, Arrays({})
    _, elsewhere = pages.image_parts._geometry(material).paragraphs
    assert elsewhere == "Layers that are not drawn come closest elsewhere: net (b) to IT (.500, p = .010)."


def test_colours_are_of_fits_and_features_without_content_have_none(material: kit.ImageMaterial) -> None:
    models = {"blind": {"extractor": "random", "n_features": 3}} | MODELS | {"last": MODELS["net"]}
    methods = {"ridge": {"encoder": "ridge"}, "banded": {"encoder": "banded", "models": ["net"]}}
    asked = replace(material, config=config(models=models, methods=methods))
    fits = dict(zip(["net (ridge)", "net (banded)", "last"], kit.COLOURS, strict=False))
    assert kit.model_colours(asked.fit_labels(asked.models)) == fits
    assert kit.model_colours(asked.models) == {"net": kit.COLOURS[0], "last": kit.COLOURS[2]}
    # No colour means two of them, or a control.
    assert len({*kit.model_colours([f"m{k}" for k in range(28)]).values(), kit.GREY}) == 29


def test_shares_are_of_targets_whose_ceiling_is_known(material: kit.ImageMaterial, made_figures: list[Any]) -> None:
    scores = encoding().scores.assign(split="test", p_fwer=0.01, r2_normalized=[*[np.nan] * (2 * N - 2), 0.9, 1.1])
    profile = encoding().profile.assign(low=0.2, high=0.4, control_r=0.0, n_targets=N)
    rows = pd.DataFrame(_rows(scores, profile, "b", 0.01)).query("quantity == 'share above ceiling'")
    assert rows["value"].tolist() == [pytest.approx(np.nan, nan_ok=True), 0.5]
    fits = {("net", "ridge"): replace(encoding(), scores=scores.assign(ceiling=np.nan))}
    asked = replace(material, encodings=fits, config=config(models=MODELS, summarize={"q": 0.01}))
    mean, share, *_ = pages.images_chapter(asked).answer.numbers
    assert (mean["name"], share["control"]) == ("mean r over targets", "q < .01, chance 0")
    made_figures.clear()


def test_a_fit_is_known_by_model_and_method(material: kit.ImageMaterial) -> None:
    material.encodings["rand", "ridge"] = encoding()
    others = [summary("rand").assign(layer="c"), summary("net", "banded").assign(layer="d")]
    material.summary = pd.concat([*others, summary("net").assign(layer="a", chosen=False), summary("net")])
    fits = (("net", "ridge"), ("rand", "ridge"), ("net", "banded"))
    assert [material.chosen(*fit) for fit in fits] == ["b", "c", "d"]
    assert replace(material, summary=None).chosen("net", "ridge") == "a"
    banded, better = ("net", "banded"), summary("net", "banded", value=0.31).assign(layer="d")
    asked = replace(material, encodings=material.encodings | {banded: encoding()})
    assert asked.leading(asked.encodings) == ("net", "ridge")  # of equal ones the first, and random weights never
    asked.summary = pd.concat([summary("rand", value=0.9), summary("net"), better])
    assert asked.leading(asked.encodings) == banded
    for model, method in (("rand", "ridge"), ("net", "banded"), ("net", "ridge")):
        material.sidecars[f"sub-01_model-{model}_method-{method}_fields.npz"] = {"details": {"layers": model + method}}
    assert material.fields_of("net", "ridge") == {"layers": "netridge"}
    assert material.fields_of("rand", "banded") == {"layers": {}, "stimuli": []}


def test_a_section_that_fails_does_not_take_the_page_with_it(material: kit.ImageMaterial) -> None:
    material.ceiling = pd.DataFrame({"nothing": [1.0]})
    with pytest.raises(KeyError):
        image_page(material)
    material.failures.append(kit.Failure("compare", "subject 01", EVIL))
    check(image_page(material), "section ceilings", 'id="layers"', unsaid=["<img src=x"])


@pytest.mark.parametrize("repeated", [True, False])
def test_the_flat_map_is_described_as_it_is_drawn(material: kit.ImageMaterial, repeated: bool) -> None:
    n, one = 3000, material.encodings["net", "ridge"]
    targets = {"kind": "vertex", "vertex": np.arange(n)}
    responses = responses_of(np.zeros((2, n), np.float32), [EVIL, "y"], roi=[EVIL] * n, targets=targets)
    scores = responses.targets[["target_id"]].assign(r=np.linspace(0, 0.6, n), r2_normalized=1.5, layer="b")
    scores = scores.assign(ceiling=0.5 if repeated else np.nan, p=0.01, q=0.02, reliable=True)
    scores.loc[scores.index < 1000 * repeated, ["ceiling", "q"]] = 0.1, np.nan
    fitted = replace(one, scores=scores, preference=one.preference.assign(margin=0.01))
    section = maps_section(replace(material, responses=responses, encodings={("net", "ridge"): fitted}))
    assert (": 2,000 of 2,000 tested vertices (of 3,000) above chance (" in section.paragraphs[0]) == repeated
    pieces = [piece for panel in section.panels for piece in panel.pieces]
    captions = {piece.id: " ".join(piece.caption.split()) for piece in pieces}
    flat, surface = captions["flat"], captions["surface"]
    assert ("a ceiling at or below" in flat) == ("a ceiling at or below" in surface) == repeated
    assert ("2,000 of 2,000 normalised scores drawn lie above 1" in surface) == repeated


def test_the_layers_of_a_whole_atlas_are_drawn_in_part(material: kit.ImageMaterial) -> None:
    """180 panels would be a picture of more pixels than WebP holds."""
    one, names = material.encodings["net", "ridge"], [f"r{k}" for k in range(180)]
    profile = pd.concat([one.profile.iloc[[0, 2]].assign(group=name, n_targets=k) for k, name in enumerate(names)])
    preference = pd.concat([one.preference.assign(roi=name) for name in names])
    preference = preference.assign(decided=np.arange(180) < 2, p=[1e-5, 0.04, *[0.5] * 178], margin=0.5, margin_se=0.1)
    material.config = config(models=MODELS | {"other": MODELS["net"]})
    fitted = replace(one, profile=profile, preference=preference)
    material.encodings |= {("net", "ridge"): fitted, ("other", "ridge"): replace(fitted, null=fitted.null[::-1])}
    (panel,) = (section := layers_section(material)).panels
    assert "mean r .300 (p = .550, corrected for regions, layers and models)" in section.paragraphs[0]
    assert section.paragraphs[0].endswith("decided in 2 of 180 (one by one; corrected for regions, in 1).")
    assert f"{MOST_PANELS} of 180 regions with most targets" in panel.pieces[0].caption
    assert [ax.get_title() for ax in panel.pieces[0].figure.axes if ax.get_visible()] == names[-MOST_PANELS:]
    with unarranged():
        assert panel.image


def recovered(table: pd.DataFrame) -> str:
    rows = summary("net").iloc[:1].assign(subject="01", modality="fMRI")
    sections = pages.group_sections(rows, table, pd.DataFrame(), [], 0.95)
    return words(" ".join(map(str, sections[-1].blocks))) if len(sections) > 1 else ""


def test_what_was_planted_is_told_as_far_as_it_is_decided() -> None:
    table = pd.DataFrame({"area": ["V1", "V2"], "planted_layer": ["a", "b"], "recovered_layer": ["a", "b"]})
    table = table.assign(what="layer", model="net", planted_depth=[0.0, 1.0], recovered_depth=[0.0, 1.0])
    table = table.assign(decided=True, subject="01", modality="fMRI")
    check(recovered(table), "no rank correlation: 2 decided area(s)", "2 of 2 layers exact")
    table = pd.DataFrame({"what": ["latency"], "model": ["net"], "planted_ms": [100.0], "recovered_ms": [120.0]})
    table = table.assign(decided=False, subject="03", modality="MEG")
    check(recovered(table), "none of 1 latencies is decided", unsaid=["nan"])
    assert "largest error 20 ms in 1 decided of 1" in recovered(table.assign(decided=True))
    assert recovered(pd.DataFrame({"what": []})) == ""  # measured data


def test_a_group_that_failed_has_its_errors() -> None:
    failures = [kit.Failure("prepare", "subject 01", EVIL)]
    failed = kit.StudyMaterial(config(), "d", SimpleNamespace(title=EVIL), failures=failures)
    check(page_of(failed, failed_chapter(2)), 'id="errors"', unsaid=["<img src=x"])


def rdm_page(settings: Config, kinds: tuple[str, ...], random: pd.DataFrame | None = None) -> str:
    descriptor = study(**NAMED, recordings={"human": {"format": "kriegeskorte92", "description": EVIL}})
    names = {"published": ("V1", ""), "layer": ("net", "a")}
    table = pd.DataFrame([{"kind": kind, "model": names[kind][0], "layer": names[kind][1]} for kind in kinds])
    table = table.assign(reference="human", score=0.3, se=0.02, low=0.2, high=0.4, ceiling_low=0.4, ceiling_high=0.6)
    table = table.assign(group_score=0.5, p=0.001, n_subjects=4, mean=np.nan, sd=np.nan, n=np.nan)
    best = {"kind": "best", "reference": "human", "family": "all", "model": "V1", "layer": "", "decided": False}
    table = pd.concat([table, random, pd.DataFrame([best | {"sentence": EVIL}])], ignore_index=True)
    record = RECORD | {"files": {"rdm.json": {"sha256": "0" * 64}}, "details": {"categories": ["x"] * 4}}
    differences = pd.DataFrame({"reference": ["human"], "family": ["all"], "p_max": [0.4]})
    tables = {"comparison": table, "differences": differences}
    of = {"tables": tables, "arrays": {"rdm": Arrays({"set_human": np.arange(6.0)})}, "sidecars": {"rdm.json": record}}
    material = kit.StudyMaterial(settings, "study", descriptor, **of)
    return page_of(material, pages.rdms_chapter(material))


def test_a_small_null_that_leaks_is_not_hidden_by_a_larger_one_at_chance() -> None:
    rows = [("shuffled", "fused", "all", "image", 0.050, 0.050, 0.012)]
    rows.append(("noise", "image", "EEG", "image", 0.045, 0.025, 0.003))
    found = pd.DataFrame(rows, columns=["decoder", "kind", "query", "gallery", "value", "null_mean", "null_sd"])
    found["chance"] = found["null_mean"]
    text = leak_sentence(found)
    check(text, "1 of 2 scores are above chance", "trained on noise, image (EEG in image) .045 (chance .025)")
    assert "none of 2 scores is above chance: the largest is .050" in leak_sentence(found.assign(value=[0.05, 0.03]))


def test_random_weights_stand_beside_the_network_they_are_a_twin_of() -> None:
    """Two networks of the same layer names, a twin of each of them, and a second twin of the first."""
    small = {"extractor": "efficientnet", "image_size": 64}
    large, drawn = {"extractor": "efficientnet", "image_size": 128}, {"weights": "random", "n_draws": 3}
    models = {"a": small, "b": large, "rb": large | drawn, "ra": small | drawn, "ra2": small | drawn | {"n_draws": 5}}
    random = pd.DataFrame({"reference": "human", "model": ["rb", "ra", "ra2", "alone"], "layer": "block0", "mean": 0.1})
    found = beside_trained(random, ["a", "b"], config(models=models))
    assert list(zip(found["model"], found["random"], strict=True)) == [("a", "ra"), ("b", "rb")]
    own = config(models=models | {"rc": {"extractor": "efficientnet"}})  # what no network is known to be like
    assert beside_trained(random.assign(model="alone"), ["a", "b"], own).empty
    named = {"networks": {"a": {"random": "ra2", "method": "ridge"}}, "origin": "V1"}
    assert beside_trained(random, ["a"], config(models=models, converge=named))["random"].tolist() == ["ra2"]
    rows = random.assign(layer="a", kind="random weights", sd=0.02, n=3, group_mean=0.1, group_sd=0.02)
    rdm_page(config(models=models | {"net": small}), ("published", "layer"), rows)


def test_the_rdm_page_names_its_comparison() -> None:
    page = rdm_page(config(), ("published", "layer"))
    assert "Spearman correlation with each subject's RDM" in words(page)
    assert "<img src=x" not in page
    text = words(rdm_page(config(compare={"comparisons": ["cosine"]}), ("published", "layer")))
    check(text, "Cosine with each subject's RDM", unsaid=["Spearman"])
