"""The page of a subject with every section there is: how many figures it has, and how large it is."""

import base64
import io
import re
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made import responses_of
from pages import BETAS, RECORD, config, image_study, made_up
from PIL import Image

from brainalign.arrays import Arrays
from brainalign.report.kit import MOST_BYTES, MOST_PIXELS, ImageEncoding, ImageMaterial, render_page
from brainalign.report.pages import image_sections, images_chapter
from brainalign.report.synthesis_sections import MOST_DRAWN
from brainalign.statistics import RELIABLE

MOST_FIGURES = 30  # of a subject: viewers and tables with a caption count too
MOST_PAGE = 5_000_000  # bytes
N_REGIONS, N_LAYERS, N_TARGETS, N_CONDITIONS = 7, 6, 900, 40
SECTIONS = (
    *("maps", "layers", "partition", "encoders", "dictionaries", "contest", "fewimages", "geometry"),
    *("searchlight", "synthesis", "directions", "voxelcaptions", "grounding", "ceilings", "recovery", "data"),
)
NETWORK = {"extractor": "efficientnet"}
MODELS = {
    **{"net": NETWORK, "untrained": NETWORK | {"weights": "random"}, "other": NETWORK},
    **{"tokens": NETWORK | {"pooling": "tokens"}, "pixels": {"extractor": "pixels"}},
    "language": {"extractor": "sentence", "weights": "w"},
}
FITS = {
    **{(model, "ridge"): {"encoder": "ridge"} for model in ("net", "untrained", "other", "language")},
    ("net", "banded"): {"encoder": "banded"}, ("net", "few"): {"encoder": "in_context"},
    ("net", "sparse"): {"encoder": "dictionary"}, ("tokens", "routing"): {"encoder": "routing"},
    ("pixels", "core"): {"encoder": "response_optimised"},
}  # fmt: skip
VALUES = ("shape", "colour", "texture", "size")


def rows(**levels: Any) -> pd.DataFrame:
    table = pd.DataFrame(list(product(*levels.values())), columns=list(levels))
    names = ("r", "score", "split", "value", "seed_mean", "cv_score")
    every = dict(zip(names, np.random.default_rng(0).uniform(0.1, 0.6, (len(names), len(table))), strict=True))
    value = every["r"]
    weight = np.random.default_rng(1).uniform(0.02, 0.9 / N_LAYERS, len(table))  # those of all layers are at most 1
    numbers: dict[str, Any] = {**every, "weight": weight, "n_targets": 90, "n": 80}
    numbers |= {"low": value - 0.05, "high": value + 0.05, "se": 0.03, "p": 0.01, "q": 0.02, "p_fwer": 0.01}
    numbers |= {"null_mean": 0.0, "null_sd": 0.02, "null_low": -0.1, "null_high": 0.1, "control_r": 0.0, "chance": 0.1}
    numbers |= {"ceiling": 0.6, "ceiling_r": 0.8, "ceiling_low": 0.5, "ceiling_high": 0.7, "control_split": 0.01}
    numbers |= {"difference": 0.1, "difference_low": 0.05, "difference_high": 0.15, "n_parameters": 1000, "seconds": 2}
    numbers |= {"reliable": True, "seed_sd": 0.01, "n_seeds": 2, "margin": 0.05, "margin_se": 0.01, "alpha": 1.0}
    numbers |= {"r2_signed": value**2, "r2_normalized": value**2 / 0.6, "gain_low": 0.1, "gain_high": 0.2}
    return table.assign(**{name: number for name, number in numbers.items() if name not in levels})


def encodings(regions: list[str], layers: list[str]) -> dict[tuple[str, str], ImageEncoding]:
    groups = [*regions, RELIABLE]
    base = {
        "scores": rows(layer=layers, target_id=[f"v{k}" for k in range(N_TARGETS)]),
        "profile": rows(layer=layers, group=groups),
        "preference": rows(roi=regions).assign(best=layers[-1], decided=True, reason=""),
        "clusters": pd.DataFrame(),
        "null": np.linspace(0, 0.4, 99),
    }
    joint = rows(group=groups, layer=[*layers, "all"])
    beside = rows(layer=[*layers, "all"], encoder=["trained", "ridge", "mean"], group=groups)
    beside = beside.drop(columns=["ceiling_r", "null_low", "null_high", "control_r"])  # come from the profile
    trained = {"baselines": beside, "ensemble": rows(layer=["all", *layers], group=groups)}
    grids = np.random.default_rng(0).random((4, len(regions), 16))
    curve = made_up("report/test_few_images").curve(tuple(groups))
    more: dict[str, dict[str, Any]] = {
        "banded": {"partition": joint.assign(joint=joint["layer"] == "all")},
        "sparse": {"baselines": beside},
        "few": {"curve": pd.concat([curve.assign(layer=layer) for layer in layers])},
        "routing": {**trained, "fields": Arrays(dict.fromkeys(layers, grids))},
        "core": {**trained, "fields": Arrays(dict.fromkeys(layers, grids[:1]))},
    }
    return {key: ImageEncoding(**base, **more.get(key[1], {})) for key in FITS}


def details(regions: list[str], layers: list[str]) -> dict[str, dict[str, Any]]:
    about = made_up("report/test_few_images").ABOUT
    texts = {"texts": rows(group=regions, text=[f"word{k}" for k in range(5)]).assign(selectivity=0.2).to_dict("list")}
    of_layers = {"layers": dict.fromkeys(layers, about["layers"]["a"] | texts)}
    fields_of = {layer: {"grid": [4, 4], "regions": regions} for layer in layers}
    light = {"comparison": "spearman", "distance": "correlation", "threshold_anywhere": 0.2, "n_nan": {}}
    light |= {"permutations": 100, "n_stimuli": 40, "radius_mm": 8, "noise": "none", "feature_distance": "correlation"}
    quality = {"unexplained": 0.2, "n_active": 4.0, "n_atoms": 16, "dead": 0.0, "n_images": 90}
    captions = {"temperature": 30, "temperature_chosen": True, "q_level": 0.05, "n_test": 40, "n_train": 90}
    captions |= {"captioner": "c", "layer": "a", "bank": "b", "n_voxels": 90, "n_nulls": 9}
    captions |= {"attributes": {name: ["one", "two"] for name in VALUES}}
    words = [f"word{k}" for k in range(30)]
    grounded = {"words": words, "grid": [4, 4], "shown_words": words[:6], "shown_stimuli": list("abcd"), "n_words": 30}
    return {
        "model-net_method-few_curve": about | of_layers,
        "model-net_method-sparse_baselines": {"dictionaries": [quality | {"layer": layer} for layer in layers]},
        "model-tokens_method-routing_fields": {"layers": fields_of, "stimuli": list("abcd")},
        "model-pixels_method-core_fields": {"layers": fields_of, "stimuli": []},
        "rdm": {"groups": regions, "conditions": [f"s{k}" for k in range(N_CONDITIONS)], "models": [["net", "layer0"]]},
        "model-net_searchlight": light,
        "captions": captions | {"nouns": {name: dict.fromkeys(words[:12], 0.3) for name in regions}},
        "groundedwords": grounded | {"text": "t", "n_train": 90, "model_layer": layers[-1], "weight_decay": 5.0},
    }


def grounding(regions: list[str]) -> dict[str, Any]:
    axes = pd.DataFrame({"axis": [1, 2], "variance": 0.3, "name": ["size", ""], "low_words": "a", "high_words": "b"})
    tables = {
        "groundedscores": rows(space=["grounded", "ridge", "shuffled"], measure=["top-1", "2-way"], n_gallery=[40]),
        "groundedaxes": axes,
        "groundedattributes": rows(axis=[1, 2], attribute=["size"]),
        "groundednorms": pd.DataFrame(),
    }
    arrays = Arrays({"positions": np.random.default_rng(0).normal(size=(30, 2)), "where": np.ones((4, 6, 16))})
    found = rows(group=[*regions, RELIABLE], encoder=["grounded", "text", "shuffled", "words alone"])
    return {"grounding": tables, "grounded_words": arrays, "grounded_regions": found}


def captions(regions: list[str], targets: pd.DataFrame) -> dict[str, pd.DataFrame]:
    said = rows(target_id=targets["target_id"]).assign(region=[names[0] for names in targets["roi"]], caption="a thing")
    said = said.assign(permuted_r=0.1, nearest_r=0.1, encoder_r=0.3, **dict.fromkeys(VALUES, ["one", "two", ""] * 300))
    of = ["encoder", "caption", "permuted", "frequent", "bankmean", "nearest", "shuffled"]
    curve = pd.DataFrame({"temperature": [0, 3, 30, np.inf], "score": 0.2, "se": 0.01, "chosen": [False, True] * 2})
    return {"captions": said, "captionscores": rows(region=[*regions, RELIABLE], of=of), "captiontemperatures": curve}


def recovery(regions: list[str], layers: list[str]) -> pd.DataFrame:
    depth = np.linspace(0, 1, len(regions))
    table = pd.DataFrame({"area": regions, "planted_depth": depth, "recovered_depth": depth, "decided": True})
    table = table.assign(planted_layer=layers[0], recovered_layer=layers[0], reason="", what="layer")
    found = [table.assign(model=model, method=method) for model, method in FITS if method == "ridge"]
    preferred = table.assign(what="preference", planted_preference="red", recovered_preference="red", model=np.nan)
    levels = pd.DataFrame({"what": "ceiling", "planted": np.repeat([0.0, 0.5], 20), "ceiling": 0.1})
    return pd.concat([*found, preferred, levels], ignore_index=True)


def material(n_regions: int, n_layers: int) -> ImageMaterial:
    regions, layers = [f"region{k}" for k in range(n_regions)], [f"layer{k}" for k in range(n_layers)]
    methods = {name: of | {"models": [m for m, n in FITS if n == name]} for (_, name), of in FITS.items()}
    encoders = {"guide": {"model": "net", "layer": "a"}, "check": {"model": "other", "layer": "b"}}
    settings = config(
        models=MODELS, methods=methods, contest={"task": ["net/ridge"], "language": ["language/ridge"]},
        synthesize={"prior": "someone/prior", **encoders}, ground={"model": "tokens", "text": "language"},
    )  # fmt: skip
    places = {"kind": "vertex", "vertex": np.arange(N_TARGETS) + 9000, "x_mm": 0.0, "y_mm": 0.0, "z_mm": 0.0}
    roi = [regions[k % n_regions] for k in range(N_TARGETS)]
    responses = responses_of(np.zeros((1, N_TARGETS), dtype=np.float32), ["s0"], roi=roi, targets=places)
    targets = responses.targets
    pairs = np.random.default_rng(0).random((n_regions, N_CONDITIONS * (N_CONDITIONS - 1) // 2))
    synthesis = made_up("report/test_synthesis_section")
    found = made_up("synthesis/test_directions").made_up(0.5, 0.4)
    free = found.rows("red", "supervised").assign(method="pca", region="", control="")
    found = replace(found, table=pd.concat([found.table, free], ignore_index=True))
    contest = made_up("report/test_contest").table().query("region == 'V1'")
    winners = rows(target_id=targets["target_id"]).assign(family=contest["family"].iloc[0])
    made = ImageMaterial(
        settings, "study", image_study(recordings={"01": BETAS, "02": BETAS}), "01", responses=responses,
        splits=pd.DataFrame({"split": ["train", "test"]}), ceiling=targets[["target_id"]].assign(ceiling=0.5),
        encodings=encodings(regions, layers), rdms=Arrays({"responses": pairs, "models": pairs[:1]}),
        comparison=rows(group=regions, model=["net", "other"], layer=layers[:1]).assign(kind="layer"),
        searchlights={"net": rows(target_id=targets["target_id"], layer=layers).assign(p_anywhere=0.01, n_channels=30)},
        captions=captions(regions, targets), **grounding(regions), recovery=recovery(regions, layers),
        contest=pd.concat([contest.assign(region=region) for region in (*regions, RELIABLE)]), winners=winners,
        synthesised=synthesis.study(**dict.fromkeys(regions, synthesis.ALL_RISE)), directions=found,
    )  # fmt: skip
    for name, about in details(regions, layers).items():
        file = f"sub-01_{name}.parquet"
        made.sidecars[file] = RECORD | {"files": {file: {"sha256": "0"}}, "details": about}
    return made


@pytest.fixture(scope="module")
def page() -> str:
    made = material(N_REGIONS, N_LAYERS)
    return render_page(made, [images_chapter(made)])


def figures(page: str) -> list[str]:
    return re.findall(r'<figure id="figure-([^"]+)">', page)


def test_a_page_with_every_section_keeps_to_its_number_of_figures_however_large(page: str) -> None:
    assert [name for name in re.findall(r'<section id="([^"]+)">', page) if name in SECTIONS] == list(SECTIONS)
    assert len(figures(page)) <= MOST_FIGURES, figures(page)
    assert len(set(figures(page))) == len(figures(page))
    sections = image_sections(material(MOST_DRAWN, 2))
    assert sorted(panel.id for section in sections for panel in section.panels) == sorted(figures(page))


def test_a_whole_page_is_small(page: str) -> None:
    assert len(page.encode()) <= MOST_PAGE
    pictures = re.findall(r'<img src="data:image/(?:png|webp);base64,([^"]+)" alt="([^"]+)"', page)
    assert len(pictures) == page.count("<img")
    for content, alt in pictures:
        data = base64.b64decode(content)
        assert len(data) <= MOST_BYTES, alt
        assert Image.open(io.BytesIO(data)).width <= MOST_PIXELS, alt
