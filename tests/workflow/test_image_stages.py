"""Stages of studies of images, identify too: no traceback, what was made stays, and no number is made up."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import transformers
import yaml
from jobs import RANDOM, ImageRun, config_of, draw_incomplete, outside_its_digest, run_all, run_step
from pages import check
from refusals import refused, stopping
from seeded.recorded import Record
from worlds.regions import region_patterns

from brainalign import workflow
from brainalign.arrays import Arrays, Responses
from brainalign.config import Config, load_descriptors
from brainalign.datasets import read_subject
from brainalign.datasets.formats import fit_whitener
from brainalign.geometry import BASELINES, rdm
from brainalign.io import Provenance, artifact_files, artifact_path, file_digest, load, load_sidecar, save, write_sealed
from brainalign.pipelines.encode import held_out
from brainalign.pipelines.report import report
from brainalign.pipelines.report.failures import failures_of, failures_of_group
from brainalign.report.geometry_sections import IDENTIFICATION_TABLES, identification_section
from brainalign.statistics import noise_ceiling_from_share, share_and_q
from brainalign.study import load_descriptor


def encoded(run: ImageRun, suffix: str, subject: str, model: str = "two") -> pd.DataFrame:
    return run.table(suffix, subject=subject, model=model, method="ridge")


def test_no_reliable_target_is_no_finding_and_a_layer_of_nothing_undecided(scenes) -> None:
    scenes.write()
    run = ImageRun(scenes, {"ceiling_threshold": 5.0}, pages=["01", "02"])("01", "02")
    profile = encoded(run, "profile", "01").set_index("group")
    assert profile.loc["reliable targets", ["r", "p", "p_fwer"]].isna().all(axis=None)
    regions = profile.drop(index="reliable targets")
    assert (regions["p_fwer"] >= regions["p"] - 1e-9).all()
    assert regions["p"].max() > 0.2  # one of two regions follows no image
    assert run.table("differences", subject="01").empty
    said = "has no mean r: no target is reliable (ceiling above 5, and repeats alike at q &lt; 0.05)"
    assert all(said in run.page(name) for name in ("sub-01", "sub-02"))
    # One feature per image says nothing of other images: every prediction is the mean.
    scenes.write()
    models = {"two": RANDOM | {"n_draws": 2}, "onehot": {"extractor": "onehot"}}
    run = ImageRun(scenes, {"models": models}, pages=["01"])("01", "02")
    times = encoded(run, "preference", "02", "onehot")
    assert times["reason"].tolist() == ["no score: predictions or responses are constant"]
    assert encoded(run, "preference", "01", "onehot")["reason"].unique().tolist() == ["no layer has a score"]
    assert "onehot with ridge has no mean r: its predictions are constant" in run.page("sub-01")
    assert run.table("differences", subject="02").empty


def test_images_shown_once_without_regions_categories_and_places(make_image_study, tmp_path: Path) -> None:
    """Scores and geometry stand without ceilings; sensors are whitened by what precedes the stimulus."""
    import mne

    study = make_image_study(tmp_path / "once", n_repeats=1)
    study.write()
    content = study.descriptor()
    content["recordings"]["01"].pop("rois")
    (study.folder / "scenes.yaml").write_text(yaml.safe_dump(content))
    images = study.folder / "stimuli" / "stimuli.tsv"
    pd.read_csv(images, sep="\t", dtype=str)[["stimulus_id", "path", "set"]].to_csv(images, sep="\t", index=False)
    epochs = mne.read_epochs(study.folder / "eeg-epo.fif", verbose="error")
    epochs.rename_channels({name: f"E{k}" for k, name in enumerate(epochs.ch_names)})  # no name of the 10-20 system
    for channel in epochs.info["chs"]:
        channel["loc"][:] = np.nan
    epochs.save(study.folder / "eeg-epo.fif", overwrite=True, verbose="error")
    run = ImageRun(study, pages=["01", "02"])("01", "02")
    comparison = run.table("comparison", subject="01")
    assert comparison["score"].notna().all()
    assert comparison[["ceiling_low", "ceiling_high"]].isna().all(axis=None)
    assert comparison["group"].unique().tolist() == ["all"]
    assert load_sidecar(run.path("responses", subject="02"))["details"]["noise"] == "baseline"
    assert "there is no noise ceiling" in run.page("sub-01")
    assert encoded(run, "scores", "01")["r"].notna().any()
    assert encoded(run, "profile", "01")["group"].nunique() == 1
    assert 'id="figure-topography"' not in run.page("sub-02")
    assert 'id="figure-course"' in run.page("sub-02")


def test_features_of_16_bits_score_as_those_of_32(scenes) -> None:
    """With 300 features of few images, where rounding counts most: the mean of all targets, and each of them."""
    scenes.write()
    models = {"whole": RANDOM | {"n_features": 300}, "half": RANDOM | {"n_features": 300, "dtype": "float16"}}
    run = ImageRun(scenes, {"models": models}, pages=["02"])
    run_all(run.config, "extract", "prepare", "ceiling", "encode_held_out", subjects=["02"])
    assert load_sidecar(run.path("features", model="half"))["details"]["stored_as"] == "float16"
    sizes = [Path(run.path("features", model=model)).stat().st_size for model in ("half", "whole")]
    assert sizes[0] < 0.51 * sizes[1]
    half, whole = (encoded(run, "scores", "02", model)["r"] for model in ("half", "whole"))
    assert abs((half - whole).mean()) < 1e-3
    np.testing.assert_allclose(half, whole, atol=1e-3)
    assert not half.equals(whole)


BANDED = {"encoder": "banded", "models": ["two"], "n_candidates": 5, "cv": 3, "device": "cpu"}


@pytest.fixture(scope="module")
def several(make_image_study, tmp_path_factory: pytest.TempPathFactory) -> ImageRun:
    study = make_image_study(tmp_path_factory.mktemp("several") / "scenes")
    study.write()
    ridge = {"encoder": "ridge", "cv": 3, "device": "cpu"}
    lasso = {"encoder": "estimator", "estimator": "sklearn.linear_model:Lasso", "options": {"alpha": 0.2}, "cv": 3}
    pooled = ridge | {"models": ["two"], "per_target_alpha": False}
    methods: dict[str, object] = {"ridge": ridge, "banded": BANDED, "pooled": pooled}
    methods["lasso"] = lasso | {"models": ["two"], "subjects": ["01"]}
    return ImageRun(study, {"methods": methods})("01", "02")


def test_what_layers_add_up_to(several: ImageRun) -> None:
    """Joint fits: tables that sum to the score, a section of their own, and no part in best layers; methods apart."""
    run = several
    assert len(run.table("differences", subject="01")) == 10
    for subject, keys in {"01": ["target_id"], "02": ["target_id", "time_s"]}.items():
        labels = {"subject": subject, "model": "two", "method": "banded"}
        scores, bands = run.table("scores", **labels), run.table("bands", **labels)
        assert scores["layer"].unique().tolist() == ["all layers"]
        assert bands["layer"].unique().tolist() == ["draw1", "draw2"]
        sums = bands.groupby(keys)[["split", "delta"]].sum()
        np.testing.assert_allclose(sums["split"], scores.set_index(keys)["r2"].reindex(sums.index), atol=1e-4)
        np.testing.assert_allclose(sums["delta"], 1, atol=1e-5)
        table = run.table("partition", **labels)
        assert (table["low"] < table["high"]).all()
        parts = table[~table["joint"]].groupby("group", sort=False)["split"].sum()
        np.testing.assert_allclose(parts, table[table["joint"]].set_index("group")["split"], atol=1e-6)
        assert run.table("partition", subject=subject, model="two", method="ridge").empty
    assert run.table("preference", subject="01", model="two", method="banded").empty
    assert "two (banded)" in run.page("group")
    assert "one (ridge)" not in run.page("group")  # one method only


def test_joint_fits_alone(scenes) -> None:
    """No layer is compared with another, and nothing else is missing; split by r."""
    scenes.write()
    changes = {"models": {"two": RANDOM | {"n_draws": 2}}, "methods": {"banded": BANDED | {"metric": "r"}}}
    run = ImageRun(scenes, changes, pages=["01", "02"])("01", "02")
    scores = run.table("scores", subject="01", model="two", method="banded")
    sums = run.table("bands", subject="01", model="two", method="banded").groupby("target_id")["split"].sum()
    np.testing.assert_allclose(sums, scores.set_index("target_id")["r"].reindex(sums.index), atol=1e-4)
    for subject in ("01", "02"):
        absent = 'id="layers"', "Each layer of each network"
        check(run.page(f"sub-{subject}"), 'id="figure-partitiontwobanded"', unsaid=absent)


def test_files_of_a_bids_folder_are_inputs(scenes) -> None:
    scenes.write()
    files = {"format": "fmriprep", "derivatives": "fmriprep", "raw": "bids"}
    subjects = {name: files | {"participant": name} for name in ("a", "b")}
    for name in subjects:
        for place in (f"fmriprep/sub-{name}/ses-1/func/x_bold.nii.gz", f"bids/sub-{name}/func/x_events.tsv"):
            path = scenes.folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    (scenes.folder / "scenes.yaml").write_text(yaml.safe_dump(scenes.descriptor(recordings=subjects)))
    inputs = load_descriptor(scenes.folder / "scenes.yaml").inputs("a")
    found = [path.relative_to(scenes.folder).as_posix() for path in inputs]
    assert found == ["fmriprep/sub-a/ses-1/func/x_bold.nii.gz", "bids/sub-a/func/x_events.tsv"]


@pytest.mark.parametrize("subject", ["01", "02"])
def test_averages_on_disk_are_scored_as_those_in_memory(several: ImageRun, subject: str, monkeypatch) -> None:
    fits = [fit for fit in several.config.fits_of("scenes", subject) if fit[1] != "lasso"]
    suffixes = ("scores", "profile", "null", "clusters", "preference", "draws", "halves", "bands", "partition")
    paths = [several.path(name, subject=subject, model=m, method=how) for m, how in fits for name in suffixes]
    assert len(paths) == 4 * len(suffixes)
    before = [file_digest(path) for path in paths]
    monkeypatch.setattr(held_out, "IN_MEMORY", 0)
    run_all(several.config, "encode_held_out", subjects=[subject])
    assert [file_digest(path) for path in paths] == before
    assert not list(Path(paths[0]).parent.rglob("*.npy"))


def test_the_group_page_after_a_failure(several: ImageRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps the subjects that are whole, and goes away once nothing is missing; their own pages are left blank."""
    plain = report.draw_page
    monkeypatch.setattr(report, "draw_page", lambda shelf: "" if shelf.page.subject else plain(shelf))
    path = several.study.folder / "results" / "scenes" / "group_incomplete.html"
    assert draw_incomplete(several.config) == 0
    assert not path.exists()
    kept = [Path(several.path(suffix, subject="02")).with_suffix(".json") for suffix in ("summary", "recovery")]
    content = {path: path.read_text() for path in kept}
    for lost in content:
        lost.unlink()
    assert draw_incomplete(several.config) == 0
    check(path.read_text(), 'id="errors"', "sub-01", unsaid=["sub-02 (EEG)"])
    for lost, text in content.items():
        lost.write_text(text)
    assert draw_incomplete(several.config) == 0  # after a failure elsewhere
    assert not path.exists()
    changed = workflow.Run(several.config.model_copy(update={"confidence": 0.9}))  # and a run that was interrupted
    assert "of an earlier configuration" in failures_of(changed, "scenes", "01")[0].message


def test_what_is_no_artifact_of_a_subject_is_no_failure_of_it(scenes) -> None:
    """Finished jobs have read tables, a bank of sentences and what others left; what another lacks is still found."""
    scenes.write()
    subjects = dict.fromkeys(("01", "03", "04"), scenes.descriptor()["recordings"]["01"])
    (scenes.folder / "scenes.yaml").write_text(json.dumps(scenes.descriptor(recordings=subjects)))
    net = {"extractor": "vision", "weights": "x", "pooling": "tokens"}
    changes: dict[str, object] = {"methods": {"ridge": {"encoder": "ridge", "models": ["one"]}}}
    changes |= {"models": {"one": RANDOM, "net": net, "words": {"extractor": "sentence", "weights": "x"}}}
    changes |= {"ground": {"model": "net", "text": "words"}, "caption": {"model": "net", "subjects": ["01"]}}
    config = ImageRun(scenes, changes | {"match": {"models": ["one", "net"]}}).config
    read = {"extract": ["weights"], "prepare": ["images"], "match": ["model-net_features", "stimuli"]}
    read |= {"ground": [*(f"sub-{name}_splits" for name in subjects), "captions", "norms"]}
    read |= {"ground_regions": ["groundedwords"], "identify": [f"sub-{name}_rdm" for name in subjects]}
    read |= {"caption": ["model-net_features", "bank"]}

    def leave(path: Path, inputs: list[str], stage: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        files = {}
        for file in [path] if path.suffix == ".html" else map(Path, artifact_files(path)[:-1]):
            file.write_text(path.stem)
            files[file.name] = {"sha256": file_digest(file), "bytes": file.stat().st_size}
        named = {name: found[name][1] if name in found else "" for name in inputs}
        content = {"stage": stage, "inputs": {found.get(name, (name,))[0]: digest for name, digest in named.items()}}
        write_sealed(path.with_suffix(".json"), content | {"files": files})
        found[path.stem] = (path.name, file_digest(path))

    found: dict[str, tuple[str, str]] = {}
    run = workflow.Run(config)
    planned = workflow.planned(run)
    for step, of in planned:
        job = workflow.job_of(run, step, of)
        left = [path.stem for paths in job.inputs.values() for path in paths if path.stem in found]
        for path in [path for path in job.outputs.values() if path.suffix != ".hdf5"]:
            leave(path, [*left, *read.get(step.name, [])], step.name)
    assert {step.name for step, _ in planned} >= read.keys()
    assert failures_of(run, "scenes", "01") == []
    artifact_path(config.results, "scenes", "regions").with_suffix(".json").unlink()  # a page of before is there
    assert [failure.stage for failure in failures_of_group(run, "scenes")[""]] == ["identify"]
    artifact_path(config.results, "scenes", "splits", subject="03").with_suffix(".json").unlink()
    assert {failure.stage for failure in failures_of(run, "scenes", "01")} == {"ground", "ground_regions"}


def test_a_single_penalty_chooses_no_layer(scenes) -> None:
    """Nothing is claimed that no score inside the training images chose; permutations may be more than draws."""
    scenes.write()
    changes = {"methods": {"ridge": {"encoder": "ridge", "alphas": [1.0], "device": "cpu"}}}
    run = ImageRun(scenes, changes | {"encode": {"permutations": 250, "draws": 100}})("01")
    assert run.table("differences", subject="01").iloc[0][["low", "high", "p"]].notna().all()
    assert encoded(run, "null", "01")["draw_r"].notna().sum() == 2 * 100
    assert encoded(run, "profile", "01")["cv_score"].isna().all()
    page = run.page("sub-01")
    assert "layer draw1 (the first one: nothing was scored inside the training stimuli)" in page
    assert "(chosen inside the training stimuli)" not in page


TOKENS = {"extractor": "efficientnet", "layers": ["block2"], "image_size": 64, "crop": False, "pooling": "tokens"}
TRAINED = {"encoder": "factorized", "epochs": 3, "batch_size": 20, "seeds": [0, 1], "device": "cpu", "validation": 0.3}
CORE = TRAINED | {"encoder": "response_optimised", "n_channels": [4, 6], "kernel_sizes": [3, 3], "pool": [2, 2]}
# Both kinds of penalties, as images are few.
RIDGES = [f"ridge, {name}{kind}" for name in ("all tokens", "mean token") for kind in ("", ", one penalty")]


def test_class_tokens_stand_beside_tokens_of_the_same_layers_with_permutations(scenes, tmp_path: Path) -> None:
    """It has no place, so it comes from the same network as another model; its scores are those of ridge on that."""
    scenes.write()
    folder = tmp_path / "vit"
    transformers.set_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=16, patch_size=4)).save_pretrained(folder)
    processor = {"size": {"height": 16, "width": 16}, "image_mean": [0.5] * 3, "image_std": [0.2] * 3}
    processor |= {"do_resize": True, "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    model = {"extractor": "vision", "weights": str(folder), "layers": ["layers.0", "layers.1"]}
    models = {"net": model | {"pooling": "tokens"}, "cls": model | {"pooling": "cls"}}
    methods = {"ridge": {"encoder": "ridge", "models": ["cls"], "device": "cpu"}}
    methods |= {"fac": TRAINED | {"models": ["net"], "cls": "cls", "baselines": ["mean"], "targets": "all"}}
    run = ImageRun(scenes, {"models": models, "methods": methods}, pages=())("01")
    table = run.table("baselines", subject="01", model="net", method="fac").set_index(["encoder", "layer", "group"])
    alone = run.table("profile", subject="01", model="cls", method="ridge").set_index(["layer", "group"])["r"]
    found = table.loc["ridge, CLS token"]
    pd.testing.assert_series_equal(found["r"], alone.reindex(found.index), rtol=1e-5)
    assert (found["n_parameters"] == 9 * 2 * scenes.n_vertices).all()  # of both hemispheres
    scenes.write()
    net = {"extractor": "vision", "weights": "vit", "layers": ["layers.0"], "pooling": "tokens"}
    methods = {"ridge": {"encoder": "ridge", "device": "cpu"}, "fac": TRAINED | {"models": ["net"], "cls": "cls"}}

    def load(**other: object) -> None:
        load_descriptors(ImageRun(scenes, {"models": {"net": net} | other, "methods": methods}).config)

    refused(r"'cls' is not among the models of scenes \(net\)", load)
    refused("models.cls has pooling 'mean'", load, cls=net | {"pooling": "mean"})
    refused("give it `pooling: cls` and the layers", load, cls=net | {"pooling": "cls", "layers": ["layers.1"]})
    refused("encode.permutations is 0", load_descriptors, ImageRun(scenes, {"encode": {"permutations": 0}}).config)


def test_trained_encoders_stand_beside_simpler_ones(scenes, capsys) -> None:
    """Encoders of tokens and of pixels beside ridge; what was said of their epochs."""
    scenes.write()
    tokens, pixels = {"models": ["net"], "subjects": ["01"]}, {"models": ["pixels"], "subjects": ["01"]}
    attending = {"encoder": "routing", "seeds": [0], "baselines": ["factorized"], "rest": True}
    sparse = {"encoder": "dictionary", "width": 12, "n_active": 2, "epochs": 60, "seeds": [4, 5]}
    methods = {"ridge": {"encoder": "ridge", "cv": 3, "device": "cpu"}, "fac": TRAINED | tokens}
    methods |= {"route": TRAINED | tokens | attending, "core": CORE | pixels}
    methods |= {"sparse": sparse | pixels | {"cv": 3, "device": "cpu"}}
    models = {"net": TOKENS, "pixels": {"extractor": "pixels", "image_size": 12}}
    run = ImageRun(scenes, {"models": models, "methods": methods})("01")
    said = capsys.readouterr().out
    assert "block2, FactorizedReadout, seed 1: epoch 3 of 3, loss " in said
    table = run.table("baselines", subject="01", model="net", method="fac").set_index(["encoder", "group"])
    first = table.loc["factorized"]
    n_targets = first.loc["reliable targets", "n_targets"]
    scores = run.table("scores", subject="01", model="net", method="fac")
    n_seen = first.loc["seen", "n_targets"]  # of 120 that follow the images, among 1,284
    assert n_seen > 110
    assert n_targets - n_seen < 0.1 * n_targets  # of noise: where the ceiling alone chose, 400 more
    assert scores["r"].notna().sum() == n_targets  # the others are not trained, and have no score
    assert (table.loc["ridge, mean token", "n_parameters"] == (24 + 1) * n_targets).all()
    assert (first["n_parameters"] == (16 * 16 + 24 + 1) * n_targets).all()  # a field, weights and an offset each
    profile = run.table("profile", subject="01", model="net", method="fac").set_index("group")
    np.testing.assert_allclose(first["r"], profile["r"].reindex(first.index), rtol=1e-6)
    assert profile["cv_score"].notna().all()  # of the rows that chose the epoch: what a layer is chosen by
    ridge = run.table("profile", subject="01", model="net", method="ridge").set_index("group")
    alike = table.loc[("ridge, all tokens", "reliable targets"), "r"]
    assert alike == pytest.approx(ridge.loc["reliable targets", "r"], abs=0.1)  # the same but for inner folds
    assert not list(Path(run.config.results).rglob("*.partial"))
    table = run.table("baselines", subject="01", model="net", method="route")
    assert list(pd.unique(table["encoder"])) == ["routing", "factorized"]
    path = run.path("fields", subject="01", model="net", method="route")
    about, maps = load_sidecar(path)["details"], load(path, Arrays)["block2"]
    assert about["layers"]["block2"] == {"grid": [16, 16], "regions": ["seen", "unseen", "reliable targets"]}
    np.testing.assert_allclose(maps.sum(axis=-1), 1, rtol=1e-4)
    assert "pixels, ResponseOptimisedEncoder, seed 1: epoch 3 of 3, loss " in said
    table = run.table("baselines", subject="01", model="pixels", method="core").set_index(["encoder", "group"])
    assert list(table.index.unique("encoder")) == ["response_optimised", *RIDGES, "factorized"]
    counts = table.xs("reliable targets", level="group")[["n_parameters", "n_targets"]]
    n_targets, core = counts["n_targets"].iloc[0], 9 * (3 * 4 + 4 * 6) + 2 * (4 + 6)
    each = [3 * 3 + 6 + 1, *2 * [12 * 12 * 3 + 1], *2 * [3 + 1], 12 * 12 + 3 + 1]  # of a target
    assert (counts["n_parameters"] - n_targets * np.array(each)).tolist() == [core, 0, 0, 0, 0, 0]
    path = run.path("fields", subject="01", model="pixels", method="core")
    about, maps = load_sidecar(path)["details"], load(path, Arrays)["pixels"]
    assert maps.shape == (1, len(about["layers"]["pixels"]["regions"]), 9)
    labels = {"subject": "01", "model": "pixels", "method": "sparse"}
    table = run.table("baselines", **labels)
    others = ["ridge, principal components", "ridge, random units", "ridge, all features"]
    assert list(table["encoder"].unique()) == ["ridge, sparse codes", *others]
    profile = run.table("profile", **labels).set_index("group")
    first = table[table["encoder"] == "ridge, sparse codes"].set_index("group")
    np.testing.assert_allclose(first["r"], profile["r"].reindex(first.index))  # the method's scores are its first row
    (quality,) = load_sidecar(run.path("baselines", **labels))["details"]["dictionaries"]
    assert 0 < quality["unexplained"] < 1


def test_a_killed_training_goes_on(scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run trains what is left, and finds what an undisturbed one finds."""
    scenes.write()
    run = ImageRun(scenes, {"models": {"net": TOKENS}, "methods": {"fac": TRAINED}}, pages=())
    run_all(run.config, "extract", "prepare", "encode_held_out", subjects=["02"])
    expected = run.table("scores", subject="02", model="net", method="fac")
    shutil.rmtree(Path(run.path("scores", subject="02", model="net", method="fac")).parent)
    said, say = stopping(5, held_out._say)  # of 3 epochs for each of two seeds, and as many for the control
    monkeypatch.setattr(held_out, "_say", say)
    with pytest.raises(KeyboardInterrupt):
        run_all(run.config, "encode_held_out", subjects=["02"])
    run_all(run.config, "encode_held_out", subjects=["02"])
    left = [(1, 3), *((seed, number) for seed in (0, 1) for number in (1, 2, 3))]
    assert [(seed, epoch.number) for _, _, seed, epoch in said[5:]] == left
    pd.testing.assert_frame_equal(run.table("scores", subject="02", model="net", method="fac"), expected)


def test_encoders_of_sensors(scenes) -> None:
    """Two layers and two seeds as one beside controls; fields that move with what an image shows, by class or model."""
    scenes.write()
    routing = TRAINED | {"encoder": "routing", "queries": "parcel", "n_parcels": 4, "baselines": [], "ensemble": True}
    moving = {"baselines": ["tokens"], "seeds": [3], "models": ["net"]}
    methods = {"route": routing | {"controls": ["position"], "models": ["both"]}}
    methods |= {name: TRAINED | moving | {"encoder": "semantic", "semantics": name} for name in ("classes", "net")}
    methods |= {"core": CORE | moving | {"readout": "semantic", "semantics": "classes"}}
    models = {"net": TOKENS, "both": TOKENS | {"layers": ["block2", "block3"]}}
    run = ImageRun(scenes, {"models": models, "methods": methods}, pages=())("02")
    labels = {"subject": "02", "model": "both", "method": "route"}
    one = ["routing", "routing, position keys"]
    together = ["routing, ensemble", "routing, block2", "routing, block3"]
    found = run.table("baselines", **labels).groupby("layer", sort=False)["encoder"].unique().map(list).to_dict()
    assert found == {"block2": one, "block3": one, "all layers, ensemble": together}
    table = run.table("ensemble", **labels)
    weights = table[table["layer"] != "all layers, ensemble"].groupby("group")["weight"].sum()
    np.testing.assert_allclose(weights, 1, rtol=1e-5)
    assert run.table("preference", **labels)["layer"].tolist() == ["block2", "block3"]
    known = ["ridge, all tokens", "ridge, all tokens, one penalty"]
    more = ["ridge, tokens and semantics", "ridge, tokens and semantics, one penalty"]
    for name, encoder in {"classes": "semantic", "net": "semantic", "core": "response_optimised"}.items():
        table = run.table("baselines", subject="02", model="net", method=name)
        assert list(pd.unique(table["encoder"])) == [encoder, *known, *more]
        counts = table.groupby("encoder")["n_parameters"].first()
        assert (counts[known].to_numpy() < counts[more].to_numpy()).all()


def test_a_fit_enters_no_file_that_its_digest_leaves_out(scenes) -> None:
    """What a method is said never to enter, it does not; and whatever it enters reruns it when edited."""
    lasso = {"encoder": "estimator", "models": ["two"], "estimator": "sklearn.linear_model:Lasso", "cv": 3}
    methods = {"ridge": {"encoder": "ridge", "models": ["two"], "cv": 3, "device": "cpu"}, "banded": BANDED}
    methods |= {"lasso": lasso, "fac": TRAINED | {"models": ["net"], "seeds": [0]}}
    scenes.write()
    run = ImageRun(scenes, {"models": {"two": RANDOM | {"n_draws": 2}, "net": TOKENS}, "methods": methods}, pages=())
    run_all(run.config, "extract", "prepare", subjects=("01",))
    whole = workflow.Run(run.config)
    fits = [of for step, of in workflow.planned(whole, "scenes") if step.rule == "encode_held_out"]
    for of in [of for of in fits if of["subject"] == "01"]:
        job = workflow.job_of(whole, workflow.STEPS["encode_held_out"], of)
        assert "encoding/in_context/" in job.without
        assert ("encoding/trained/" in job.without) == (of["method"] != "fac")
        assert not outside_its_digest(job), of


NETWORK = {"extractor": "efficientnet", "layers": ["block2"], "image_size": 32, "crop": False}


@pytest.fixture
def config(scenes) -> Config:
    return config_of(scenes.write(), models={"net": NETWORK})


def place(config: Config, suffix: str, **labels: str) -> Path:
    return artifact_path(config.results, "scenes", suffix, **labels)


def test_a_sound_study_is_prepared(scenes, config: Config) -> None:
    run_all(config, "prepare")
    kinds, tested = scenes.scenes.set_index("stimulus_id")["category"], scenes.scenes["stimulus_id"][: scenes.n_test]
    for subject in ("01", "02"):
        table, splits = (load(place(config, name, subject=subject), pd.DataFrame) for name in ("ceiling", "splits"))
        assert set(splits.loc[splits["split"] == "test", "stimulus_id"]) == set(tested)
        assert (splits.groupby("stimulus_id")["split"].nunique() == 1).all()
        responses = load(place(config, "responses", subject=subject), Responses)
        shown = responses.trials["stimulus_id"]
        assert responses.trials["category"].tolist() == kinds[shown].tolist()
        runs = [responses.trials.groupby(["session", "run"]).ngroup().to_numpy()]
        scored = shown.isin(tested)
        share = share_and_q(responses.values, shown.to_numpy(), runs=runs, scored=np.flatnonzero(scored))[0].ravel()
        np.testing.assert_allclose(table["signal_share"], share, rtol=1e-4, atol=1e-6)
        repeats = shown[scored].value_counts().to_numpy()
        np.testing.assert_allclose(table["ceiling"], noise_ceiling_from_share(share, repeats), rtol=1e-4, atol=1e-6)
        details = load_sidecar(place(config, "splits", subject=subject))["details"]
        card = [(row["split"], row["n_stimuli"], row["n_trials"]) for row in details["card"]]
        assert card == [("train", 14, 28), ("test", 10, 20)]
        (warning,) = details["warnings"]
        assert warning.startswith("splits.shared: fold 0: 4 of 4 runs have trials in more than one split (ses-s0_run-1")
        if subject == "01":
            ceiling, rois = table["ceiling"].to_numpy(), responses.targets["roi"].map(lambda names: "seen" in names)
            assert np.median(ceiling[rois]) > 0.6 > 0.3 > np.median(ceiling[~rois])
            continue
        raw = read_subject(load_descriptor(scenes.folder / "scenes.yaml"), "02")
        train = ~shown.isin(tested).to_numpy()
        noise = {"noise": "residuals", "stimulus_ids": shown[train].tolist()}
        whitener = fit_whitener(raw.values[train], raw.times, raw.targets, **noise)
        np.testing.assert_allclose(responses.values, whitener.transform(raw.values), rtol=1e-5, atol=1e-6)


def test_what_was_computed_stays_whatever_stops_a_stage(scenes, config: Config, capsys) -> None:
    def stopped(step: str) -> str:
        capsys.readouterr()
        with pytest.raises(AssertionError, match=step):
            run_all(config, step, subjects=["01"])
        return capsys.readouterr().err

    run_all(config, "prepare", "extract", subjects=["01"])
    images = sorted((scenes.folder / "stimuli" / "images").glob("*.png"))
    third, fourth = (image.read_bytes() for image in images[3:5])
    images[3].unlink()
    images[4].write_bytes(fourth[:100])
    lost = f"1 of 24 images are missing: {images[3].stem}", f"1 of 24 images are unreadable: {images[4].stem}"
    check(stopped("prepare"), *lost)
    assert f"1 of 24 stimuli have no image file ({images[3].stem}" in stopped("extract")
    images[3].write_bytes(third)
    assert images[4].name in stopped("extract")
    images[4].write_bytes(fourth)
    load(place(config, "responses", subject="01"), Responses)
    run_all(config, "extract")
    assert load_sidecar(place(config, "features", model="net"))["details"]["n_rows_reused"] == 24


def test_a_share_is_drawn_by_stimulus_and_from_the_seed(scenes) -> None:
    config = config_of(scenes.write(splits={"drawn": {"share": 0.25}}), models={"net": NETWORK})
    run_all(config, "prepare")
    splits, other = (pd.read_parquet(place(config, "splits", subject=subject)) for subject in ("01", "02"))
    assert splits.loc[splits["split"] == "test", "stimulus_id"].nunique() == 6
    assert (splits.groupby("stimulus_id")["split"].nunique() == 1).all()
    both = splits.drop_duplicates("stimulus_id").merge(other.drop_duplicates("stimulus_id"), on="stimulus_id")
    assert (both["split_x"] == both["split_y"]).all()  # subjects are tested on the same images


REGIONS = ["V1", "V2", "V4", "IT"]
N_STIMULI = 18


def write(folder: Path, patterns: np.ndarray, regions: list[str]) -> list[Path]:
    rng, paths = np.random.default_rng(0), []
    layers = rng.normal(size=(2, N_STIMULI, 5))
    layers[0] = patterns[:, 0].mean(axis=0)[:, :5] * 10
    for s, of_subject in enumerate(patterns):
        order = rng.permutation(N_STIMULI)
        kept = regions[:-1] if s == 0 and len(regions) > 2 else regions
        paths.append(artifact_path(folder, "study", "rdm", subject=f"{s + 1:02d}"))
        responses = rdm(of_subject[: len(kept), order], "correlation")
        about = {"groups": kept, "models": [["net", "first"], ["net", "second"]]}
        about |= {"conditions": [f"image{k:02d}" for k in order]}
        rdms = Arrays(responses=responses, models=rdm(layers[:, order], "euclidean"))
        save(paths[-1], rdms, Provenance("test", {}, ""), **about)
    return paths


def run(folder: Path, paths: list[Path]) -> dict[str, Path]:
    settings = {"identify": {"stimuli": 16, "draws": 100, "shuffles": 20}, "confidence": 0.95}
    outputs = {name: artifact_path(folder, "study", name) for name in IDENTIFICATION_TABLES}
    assert run_step("identify", settings, inputs={"rdm": paths}, outputs=outputs, seed=3) == 0
    return outputs


@pytest.fixture(scope="module")
def patterns() -> np.ndarray:
    return region_patterns("outliers", 5, 4, N_STIMULI, seed=0, signal=2.0)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, patterns: np.ndarray) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("identify")
    return run(folder, write(folder, patterns, REGIONS))


def tables(outputs: dict[str, Path]) -> dict[str, pd.DataFrame]:
    return {name: load(path, pd.DataFrame) for name, path in outputs.items()}


def test_tables_are_as_they_were_and_one_region_is_a_reason(outputs, tmp_path, patterns) -> None:
    found, about = tables(outputs), load_sidecar(outputs["regions"])["details"]
    assert (found["regions"].set_index("name").loc[["upper clip", "nested"], "p"] < 0.05).all()  # 20 relabellings
    Record(Path(__file__).parent / "recorded_stages.json").check("identify", found | {"about": about})
    found = run(tmp_path, write(tmp_path, patterns[:, :1], ["all"]))
    section = identification_section(tables(found), load_sidecar(found["regions"])["details"])
    assert not section.panels
    assert "needs 2 or more regions; got 1" in section.paragraphs[0]


def test_a_run_names_regions_of_three_subjects(make_image_study, tmp_path: Path) -> None:
    study = make_image_study(tmp_path / "scenes")
    subjects = dict.fromkeys(("01", "02", "03"), study.descriptor()["recordings"]["01"])
    study.write()
    (study.folder / "scenes.yaml").write_text(json.dumps(study.descriptor(recordings=subjects)))
    run = ImageRun(study, {"models": {"one": RANDOM}, "identify": {"draws": 100, "shuffles": 20}}, pages=())(*subjects)
    run_all(run.config, "summarize_group", "identify", "report_group")
    rows = run.table("regions").set_index("name")
    assert (list(rows.index), rows.loc["rank", "accuracy"]) == (["raw", *BASELINES, "nested"], 1)
    details = load_sidecar(Path(run.path("regions")))["details"]
    assert (details["n_subjects"], details["n_regions"]) == (3, 2)
    told = "of 6 regions are named (chance .500; regions relabelled 20 times: mean"
    check(run.page("group"), told, unsaid=['id="errors"'])
