import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
import yaml
from made import write_yaml
from pydantic import BaseModel
from refusals import refused

from brainalign import config as settings
from brainalign import decoding, synthesis
from brainalign import geometry as g
from brainalign.config import Config, MethodUse, ModelUse, load_config, load_descriptors, write_schemas
from brainalign.config.decode_options import NetworkDecoding
from brainalign.config.series_options import MaskedModelOptions
from brainalign.encoding import ENCODERS
from brainalign.features import EXTRACTORS
from brainalign.study import FmriOptions, Study, load_descriptor, parse, read_yaml


def a_config(**changes: object) -> dict[str, object]:
    plain = {"datasets": {"small": {"descriptor": "small.yaml"}}, "methods": {"ridge": {"encoder": "ridge"}}}
    return plain | {"models": {"onehot": {"extractor": "onehot"}}} | changes


CORE = {"encoder": "response_optimised"}


def test_mistakes_are_named_with_their_remedy() -> None:
    for changes, message in (
        ({"enkode": {}, "compere": {}}, r"^.* key 'enkode' \(did you mean 'encode'\?\)\n.*compere.*$"),  # all at once
        ({"encode": {"permutation": 3}}, r"unknown key 'encode.permutation' \(did you mean 'permutations'"),
        ({"methods": {"r": {"encoder": "ridge", "aphas": [1]}}}, r"'methods.r.aphas' \(did you mean 'alphas'"),
        ({"models": {"m": {"extractor": "onehott"}}}, r"models.m: must be one of .*did you mean 'onehot'"),
        ({"methods": {"r": {"encoder": "ridge", "solver": "primel"}}}, r"did you mean 'primal'"),
        ({"methods": {"b": {"encoder": "bandet"}}}, r"methods.b: must be one of .*'banded'.*did you mean 'banded'"),
        ({"methods": {"b": {"encoder": "banded", "models": ["onehut"]}}}, r"methods.b.models: .*did you mean 'onehot'"),
        ({"methods": {"f": {"encoder": "semantic", "seeds": []}}}, r"at least 1.*\n.*f.semantics: this key is"),
        ({"methods": {"f": {"encoder": "routing", "validation": 1}}}, r"methods.f.validation: .*less than 1"),
        ({"methods": {"c": CORE | {"pool": [2]}}}, r"methods.c: .*pool have \[3, 3, 1\] numbers"),
        ({"methods": {"c": CORE | {"readout": "semantic"}}}, r"methods.c: .*got semantic, None"),
        ({"methods": {"c": CORE | {"semantics": "classes"}}}, r"methods.c: .*got factorized, classes"),
        ({"methods": {"c": {"encoder": "in_context", "context_sizes": [50, 8]}}}, r"methods.c: .*context_sizes: the"),
        ({"methods": {"c": {"encoder": "in_context", "context_sizes": [2, 8]}}}, r"c.context_sizes.*equal to 3; got 2"),
        ({"methods": {"c": {"encoder": "in_context", "sizes": [2]}}}, r"methods.c.sizes.*greater than or equal to 3"),
        ({"methods": {"c": {"encoder": "in_context", "sizes": [20, 10]}}}, r"sizes: \[20, 10\] must rise"),
        ({"methods": {"c": {"encoder": "in_context", "n_steps": [0, 0, 9]}}}, r"n_steps: one of the first two"),
        ({"methods": {"c": {"encoder": "in_context", "seeds": [1, 1]}}}, r"seeds: 1 is there twice"),
        ({"methods": {"c": {"encoder": "in_context", "text_queries": ["a"]}}}, r"text_queries: give two or more"),
        ({"datasets": {"small": {}}}, r"datasets.small.descriptor: this key is required"),
        ({"datasets": {"small": {"descriptor": "x", "models": ["onehut"]}}}, r"did you mean 'onehot'"),
        ({"models": {"a_b": {"extractor": "onehot"}}}, r"models.a_b"),
        ({"methods": {"r": {"encoder": "ridge", "cv": 1, "alphas": [-1]}}}, r"methods.r.alphas.*\n.*methods.r.cv"),
        ({"compare": {"distances": []}, "match": {"measures": ["x"]}}, r"compare.distances.*\n.*match.measures"),
        ({"match": {"models": ["onehot", "onehot"]}}, r"match.models: .*onehot is there twice; name it once"),
        ({"decode_times": {"latency_window_s": [0.3, 0.2]}}, r"0.3 to 0.2 s is no window after the stimulus"),
        ({"caption": {"captioner": "atributes"}}, r"caption.captioner: .*did you mean 'attributes'"),
        ({"caption": {"captioner": "prefix"}}, r"caption: captioner: prefix and the folder .* go together"),
        ({"caption": {"captioner": "nearest", "temperature": 20}}, "nearest has no temperature, got 20; remove it"),
        ({"caption": {"temperature": 0}}, r"caption.*temperature.*greater than 0"),
        ({"models": {1: {"extractor": "onehot"}}}, r"models.1: this key must be text .*write it in quotes"),
        ({"seed": -1, "encode": {"permutations": -1}}, r"seed: .*\n.*encode.permutations: .*or equal to 0; got -1"),
    ):
        refused(message, parse, Config, a_config(**changes), "config.yaml")


def entries(section: str, key: str) -> dict[str, type[BaseModel]]:
    """Return the settings of every encoder or extractor by its name."""
    kinds = get_args(get_args(get_args(Config.model_fields[section].annotation)[1])[0])
    return {kind.model_fields[key].annotation.__args__[0]: kind for kind in kinds}


SETTINGS = entries("methods", "encoder") | entries("models", "extractor")
# What a constructor is given beside its settings: the run's seed, or a network per seed in the job's folder.
GIVEN = {name: set[str]() for name in ("ridge", "sentence", "onehot", "pixels")}
GIVEN |= {name: {"seed"} for name in ("random", "efficientnet", "vision", "timm", "torchvision", "user")}
TRAINED = ("factorized", "gaussian", "semantic", "routing", "response_optimised")
GIVEN |= {name: {"seed", "checkpoint", "progress"} for name in TRAINED}
GIVEN |= {"banded": {"candidates", "seed"}, "in_context": {"metric", "seed"}}


@pytest.mark.parametrize("name", GIVEN)
def test_settings_mirror_constructors(name: str) -> None:
    model, maker, given = SETTINGS[name], (ENCODERS | EXTRACTORS)[name], GIVEN[name]
    used = {"encoder", "extractor", "seeds", "baselines", "cls", "controls", "ensemble", "semantics", "targets"}
    used |= {"n_components", "sizes", "n_repeats", "text_queries"}
    fields = set(model.model_fields) - used - set((ModelUse if issubclass(model, ModelUse) else MethodUse).model_fields)
    parameters = inspect.signature(maker).parameters
    assert fields == set(parameters) - given


FED = [(model, (ENCODERS | EXTRACTORS)[name]) for name, model in SETTINGS.items() if name != "dictionary"]
FED += [(settings.AlignSettings, maker) for maker in (g.HumanTeacher, g.HumanAlignment, g.align_networks)]
FED += [(settings.ConceptSettings, maker) for maker in (g.SparseConcepts, g.VariationalConcepts)]
FED += [(settings.SeriesSettings, maker) for maker in (decoding.masked_study, decoding.person_scores)]
FED += [(settings.DirectionSettings, maker) for maker in (synthesis.DirectionStudy, synthesis.semantic_directions)]
FED += [(settings.CaptionSettings, synthesis.CaptionStudy), (settings.SynthesizeSettings, synthesis.Sampling)]
FED += [(settings.DynamicsSettings, g.score_dynamics), (settings.MatchSettings, g.compare_networks)]
FED += [(settings.GroundSettings, decoding.GroundedLanguage), (settings.DecodeSettings, decoding.study_text)]
FED += [(settings.DecodeModalitiesSettings, decoding.SharedSpace), (MaskedModelOptions, decoding.MaskedBrainModel)]
FED += [(settings.LinearDecoding, decoding.LinearDecoder), (NetworkDecoding, decoding.TextDecoder)]


@pytest.mark.parametrize(("model", "maker"), FED)
def test_yaml_and_python_have_one_default(model: type[BaseModel], maker: Callable[..., object]) -> None:
    parameters, fields = inspect.signature(maker).parameters, model.model_fields
    for name in {*fields} - {"methods", "temperature"}:  # () asks for no directions; "auto" is written None
        of = parameters.get(name, parameters.get(f"n_{name}"))
        if of is not None and of.default is not of.empty and not fields[name].is_required():
            assert (fields[name].default or None) == pytest.approx(of.default or None), name  # {} is none


def test_shipped_configurations_are_valid_and_schemas_say_why(root: Path, tmp_path: Path) -> None:
    for name in ["config", "demo"]:
        config = load_config(root / "snakemake" / "config" / f"{name}.yaml")
        assert {model for dataset in config.datasets for model in config.models_of(dataset)} == set(config.models)
        assert {method for dataset in config.datasets for method in config.methods_of(dataset)} == set(config.methods)
    write_schemas(tmp_path / "schemas")
    for name, file in (("config", "snakemake/config/demo.yaml"), ("descriptor", "data/haxby-slice.yaml")):
        schema = json.loads((tmp_path / "schemas" / f"{name}.schema.json").read_text())
        content = yaml.safe_load((root / file).read_text())
        jsonschema.validate(content, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(content | {"tite": "misspelt"}, schema)


def test_data_are_found_in_brainalign_data_or_where_the_workflow_wrote_them(small, root, tmp_path, monkeypatch) -> None:
    path, elsewhere = small.write(), tmp_path / "cache" / "small"
    elsewhere.mkdir(parents=True)
    for name in ("bold.nii.gz", "mask.nii.gz", "labels.txt"):
        (small.folder / name).rename(elsewhere / name)
    missing = r"small: recordings.1.bold: no file bold.nii.gz in .*BRAINALIGN_DATA"
    refused(missing, load_descriptor(path).found_files, "1")
    refused(r"smal.yaml: no such file \(did you mean 'small.yaml'\?\)", load_descriptor, path.with_name("smal.yaml"))
    monkeypatch.setenv("BRAINALIGN_DATA", str(elsewhere.parent))
    assert load_descriptor(path).found_files("1")["bold"] == elsewhere / "bold.nii.gz"
    study = load_descriptor(root / "data" / "simulated.yaml", raw=tmp_path)
    assert study.all_files() == []
    made = tmp_path / "sub-03" / "sub-03_meg-epo.fif"
    made.parent.mkdir()
    made.touch()
    assert study.found_files("03") == {"epochs": made}


def test_descriptor_mistakes(small) -> None:
    for changes, message in (
        ({"fmri": {"tr_s": 2.0, "hrf_lag": 4.0, "space": "x"}}, r"'fmri.hrf_lag' \(did you mean 'hrf_lag_s'"),
        ({"stimuli": {"a": {"texts": ["a"]}, "b": {"texts": ["b", "c"]}, "d": {"texts": ["d"]}}}, "as many texts"),
        ({"stimuli": {"a": {"texts": ["a"]}, "b": {"texts": ["b"]}}}, "give three stimuli or more"),
        ({"splits": {"one": {"leave_out": "stimulus"}}}, "leaves nothing to tell it from"),
        ({"fmri": {"tr_s": 2000, "space": "x"}}, "fmri.tr_s: a repetition time is given in seconds"),
    ):
        refused(message, parse, Study, small.descriptor(**changes), "small.yaml")


FILES = {"format": "betas", "betas": {"L": "l.gii"}, "trials": "t.tsv"}


def test_mistakes_in_a_study_of_images(scenes) -> None:
    path = scenes.folder / "scenes.yaml"
    path.parent.mkdir()
    for changes, message in (
        ({"recordings": {"01": FILES | {"format": "beta"}}}, r"01: must be one of .*did you mean 'betas'"),
        ({"recordings": {"01": FILES | {"betas": {}}}}, r"recordings.01.betas: give the path of one file"),
        ({"recordings": {"01": FILES | {"betas": {"left": "l.gii"}}}}, r"recordings.01.betas: a key must be 'L' or"),
        ({"recordings": {"01": {"format": "epochs", "epochs": "e", "picks": "eegs"}}}, r"picks: .*did you mean 'eeg'"),
        ({"recordings": {"sub_01": FILES}}, r"recordings.sub_01"),
        ({"recordings": {}}, r"recordings: say who was recorded"),
        ({"splits": {"a": {"column": "set"}}}, r"or column and value, or share"),
        ({"splits": {"a": {"column": "set", "value": "x", "share": 0.2}}}, r"or column and value, or share"),
        ({"splits": {"a": {"share": 1.5}}}, r"splits.a.share: .*less than 1"),
        ({"epochs": {"decimate": 0}}, r"epochs.decimate: .*greater than or equal to 1; got 0"),
        ({"glm": {"hrf_model": "spn"}}, r"glm.hrf_model: .*did you mean 'spm'"),
        ({"simulate": {"world": "scene"}}, r"simulate: must be one of .*; got 'scene' \(did you mean 'scenes'"),
        ({"kind": "videos"}, r"kind: videos is no key .*: give stimuli: videos.npz and recordings like"),
        ({"vectors": "v.npy"}, r"vectors: goes with modalities, but these recordings give responses"),
        ({"recordings": {"1": FILES, "2": {"format": "neural", "neural": "n.npz"}}}, r"which no step takes together"),
    ):
        said = refused(message, load_descriptor, write_yaml(path, scenes.descriptor(**changes)))
        assert len(said.splitlines()) <= 2  # a misspelt key is unknown, and the right one missing
        assert "[" not in said


def test_mistakes_in_a_study_of_matrices(root: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((root / "data" / "kriegeskorte92.yaml").read_text())
    for changes, message in (
        ({"recordings": {"a": {"format": "kriegeskort92"}}}, r"recordings.a: .*'kriegeskorte92'"),
        ({"recordings": {"a": {"format": "rdms", "file": "a.npy"}}}, r"stimuli: give the file of what was shown"),
        ({"stimuli": "stimuli.tsv"}, r"stimuli: kriegeskorte92 holds what was shown"),
        ({"splits": {"runs": {"leave_out": "run"}}}, r"splits: goes with responses, but these recordings give rdms"),
    ):
        refused(message, load_descriptor, write_yaml(tmp_path / "k.yaml", content | changes))


def test_what_follows_from_the_descriptor_of_images(scenes, tmp_path: Path) -> None:
    """Files by field, digests of options by subject: an option of epochs is no option of betas."""
    study = load_descriptor(scenes.write())
    assert set(study.found_files("01")) == {"betas.L", "betas.R", "rois.L", "rois.R", "trials"}
    assert set(study.found_files("02")) == {"epochs"}
    assert ([study.modality(subject) for subject in study.recordings], len(study.all_files())) == (["fmri", "meeg"], 7)
    other = load_descriptor(scenes.write(epochs={"decimate": 2}))
    assert other.prepare_options("01") == study.prepare_options("01")
    assert other.prepare_options("02") != study.prepare_options("02")
    assert other.extract_options() == study.extract_options()
    (scenes.folder / "stimuli" / "stimuli.tsv").unlink()
    refused(r"scenes: stimuli: no file stimuli/stimuli.tsv in", study.all_files)


NET = {"extractor": "efficientnet", "layers": ["block2"]}
MAPS = NET | {"pooling": "tokens"}


def loaded(descriptor: Path, models: dict | None = None, methods: dict | None = None, **use: list[str]) -> Config:
    """Return a configuration of one study, which uses models_of and methods_of, with these models and methods added."""
    chosen = {name.removesuffix("_of"): names for name, names in use.items()}
    content = a_config(datasets={"study": {"descriptor": str(descriptor)} | chosen})
    content["models"] |= models or {}
    content["methods"] |= methods or {}
    config = parse(Config, content, "config.yaml")
    load_descriptors(config)
    return config


def test_every_encoder_and_extractor_has_settings_and_texts_their_readers(small) -> None:
    path = small.write()
    refused(r"datasets.study.models: net look at images, .*models: onehot", loaded, path, {"net": NET})
    loaded(path, {"net": NET}, models_of=["onehot"])
    typo = {"onehot": {"extractor": "onehot", "permute": ["run"]}}
    refused(r"models.onehot.permute: 'run' .*\(pairs, runs\) \(did you mean 'runs'\?\)", loaded, path, typo)
    assert set(entries("methods", "encoder")) == {*ENCODERS, "dictionary"}  # ridge, on codes that are learned
    assert set(entries("models", "extractor")) == set(EXTRACTORS)


def test_methods_fit_their_study(small, scenes) -> None:
    """Refused when the configuration is read: dictionaries of blocks, too few shares, and fits of no model."""
    net = {"net": NET | {"layers": ["block0", "block2", "block4"]}}
    banded = {"b": {"encoder": "banded", "models": ["net"]}}
    blocks, images, onehot = small.write(), scenes.write(), ["onehot"]
    learns = r"datasets.study.methods: b learns many atoms .*held out.*in a moment: ridge"
    refused(learns, loaded, blocks, net, {"b": {"encoder": "dictionary"}}, models_of=onehot)
    assert loaded(blocks, None, {"b": {"encoder": "banded"}}).fits_of("study")[1] == ("onehot", "b")
    loaded(blocks, net, banded, models_of=onehot, methods_of=["ridge"])
    refused("methods.b.n_candidates is 3, but the 3", loaded, images, net, {"b": banded["b"] | {"n_candidates": 3}})
    refused("none of its methods", loaded, images, net, banded, models_of=onehot, methods_of=["b"])
    config = loaded(images, net, banded)
    assert config.fits_of("study") == [("onehot", "ridge"), ("net", "ridge"), ("net", "b")]
    assert not {"models", "subjects"} & set(config.encoder_of("b"))


def test_models_and_methods_of_some_subjects(scenes) -> None:
    path = scenes.write()

    def ridges(*subjects: list[str]) -> dict[str, object]:
        named = zip(("ridge", "b"), subjects, strict=False)
        return {name: {"encoder": "ridge", "subjects": some} for name, some in named}

    config = loaded(path, None, ridges(["01"], ["01", "02"]))
    assert config.fits_of("study", "01") == [("onehot", "ridge"), ("onehot", "b")]
    assert config.fits_of("study", "02") == [("onehot", "b")]
    assert config.fits_of("study") == config.fits_of("study", "01")
    refused(r"datasets.study: no method is used on subject 02; add", loaded, path, None, ridges(["01"]))
    refused(r"methods.b.subjects: '03' is not among .*\(01, 02\)", loaded, path, None, ridges(["01", "02"], ["03"]))
    config = loaded(path, {"some": {"extractor": "onehot", "subjects": ["02"]}})
    assert config.fits_of("study", "01") == [("onehot", "ridge")]
    assert config.fits_of("study", "02") == [("onehot", "ridge"), ("some", "ridge")]
    assert config.extractor_of("some") == config.extractor_of("onehot")
    other = {"some": {"extractor": "onehot", "subjects": ["2"]}}
    refused(r"models.some.subjects: '2' is not among .*\(01, 02\)", loaded, path, other)


def test_a_section_names_models_that_there_are_and_have_tokens(scenes) -> None:
    for option in ["match.models", "align.students", "align.teacher", "searchlight.models", "caption.model"]:
        section, key = option.split(".")
        named = ["onehut"] if key in {"models", "students"} else "onehut"
        config = a_config(**{section: {key: named} | ({"teacher": "onehot"} if key == "students" else {})})
        refused(rf"{option}: 'onehut' is not among .*did you mean 'onehot'", parse, Config, config, "config.yaml")
    path = scenes.write()
    for method, message in (
        ({"encoder": "factorized", "models": ["maps", "means"]}, r"methods.t reads the tokens .* models.means has"),
        ({"encoder": "factorized", "models": ["onehot"]}, r"models.onehot is no image model, which keeps none; name"),
        ({"encoder": "routing", "models": ["maps"]}, r"methods.t.queries is 'roi', but .* subject 02 are .*subjects"),
        ({"encoder": "semantic", "models": ["maps"], "semantics": "onehut"}, r"t.semantics: .*did you mean 'onehot'"),
    ):
        refused(message, loaded, path, {"means": NET, "maps": MAPS}, {"t": method})


def test_in_context_encoding_needs_others_to_learn_from(small, scenes) -> None:
    models, files = {"net": NET, "maps": MAPS}, scenes.descriptor()["recordings"]

    def load(people: dict[str, object], **options: object) -> Config:
        few = {"encoder": "in_context", "models": ["net"], "sizes": [4], "n_repeats": 3} | options
        return loaded(scenes.write(recordings=people), models, {"few": few})

    two = files | {"03": files["01"]}
    refused(r"methods.few .* voxels of other subjects, but study has 1 fMRI subject", load, files, subjects=["01"])
    refused(r"subject 02 has sensors; name .* in methods.few.subjects: 01, 03", load, two)
    refused(r"methods.few reads one vector per image, but", load, two, subjects=["01"], models=["net", "maps"])
    refused(r"methods.few.text_queries need a space", load, two, subjects=["01"], text_queries=["a face", "a house"])
    models["net"] = {"extractor": "vision", "weights": "clip", "layers": ["visual_projection"]}
    config = load(two, subjects=["01"], text_queries=["a face", "a house"])
    assert config.texts_of("net", "few") == {"texts": {"weights": "clip", "queries": ["a face", "a house"]}}
    assert config.texts_of("net", "ridge") == {}
    models["net"] = NET
    config = load(two, subjects=["01", "03"])
    assert config.fits_of("study", "01")[-2:] == [("net", "few"), ("maps", "ridge")]
    assert config.pretraining_of("ridge") == {}
    assert {"n_steps", "seeds", "n_components", "device"} < set(config.pretraining_of("few"))
    assert not {"sizes", "n_repeats", "fallback", "models", "subjects"} & set(config.pretraining_of("few"))
    of_blocks = r"few learns from other subjects, which is for studies with .*: ridge"
    refused(of_blocks, loaded, small.write(), models, {"few": {"encoder": "in_context"}}, models_of=["onehot"])


def test_trained_methods_that_fit(small, scenes) -> None:
    models = {"maps": MAPS, "pixels": {"extractor": "pixels"}}
    routing = {"encoder": "routing", "models": ["maps"]}
    methods = {"route": routing | {"subjects": ["01"]}, "free": routing | {"queries": "target"}}
    methods |= {"shift": {"encoder": "semantic", "models": ["maps"], "semantics": "classes"}}
    methods |= {"core": {"encoder": "response_optimised", "models": ["pixels", "maps"]}}
    config = loaded(scenes.write(), models, methods)
    assert ("maps", "route") not in config.fits_of("study", "02")
    assert ("maps", "route") in config.fits_of("study", "01")
    message = r"free, shift, core is trained on the tokens of images, .*in a moment: ridge"
    refused(message, loaded, small.write(), models, methods, models_of=["onehot"])


def test_random_weights_are_controls_and_lags_whole_volumes() -> None:
    plain, vision = {"extractor": "efficientnet"}, {"extractor": "vision", "weights": "x"}
    models = {"a": plain, "b": plain | {"weights": "random"}, "c": vision | {"random_weights": True}, "d": vision}
    config = parse(Config, a_config(models=models), "config.yaml")
    assert [name for name, model in config.models.items() if model.random] == ["b", "c"]
    for lag_s, tr_s, volumes in [(5.0, 2.5, 2), (5.0, 2.0, 3), (4.9, 2.0, 2), (0.0, 1.0, 0)]:
        assert FmriOptions(tr_s=tr_s, hrf_lag_s=lag_s, space="x").lag_volumes == volumes


def test_a_key_that_is_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("a: 1\nsubjects:\n  '01': {x: 1}\n  '02': {x: 1}\n  '01': {x: 2}\n")
    refused(r"c.yaml: line 5: the key '01' is there already, in line 3; .* another", read_yaml, path)
    path.write_text("a: [1, 2")
    refused("line 1: not valid YAML: expected ',' or ']'", load_config, path)
    path.write_text("name: a\nrecordngs: {}\n")
    refused(r"unknown key 'recordngs' \(did you mean 'recordings'", load_config, path)
    path.write_text("one: &one {x: 1, y: 2}\ntwo: {<<: *one, x: 3}\n1: a\n'1': b\n")
    assert read_yaml(path) == {"one": {"x": 1, "y": 2}, "two": {"x": 3, "y": 2}, 1: "a", "1": "b"}


CITED = {"citation": {"text": "Nobody (2026).", "doi": "10.1/x"}, "licence": "CC0", "source": "a disk"}


def test_where_data_come_from_may_be_left_out_and_is_said(tmp_path: Path) -> None:
    for given, origin in (
        ({}, "Not given in the descriptor: citation, licence, source."),
        ({"licence": "CC0"}, "Licence: CC0. Not given in the descriptor: citation, source."),
        (CITED, "Data: Nobody (2026). doi:10.1/x. Licence: CC0. Source: a disk."),
    ):
        path = tmp_path / "rest.yaml"
        found = load_descriptor(write_yaml(path, {"name": "rest", "simulate": {"world": "roi_series"}, **given}))
        assert (found.title, found.origin) == ("rest", origin)


def test_options_are_of_features_over_time_or_of_scores() -> None:
    options = settings.DynamicsSettings(models={"mine": {"function": "a:b"}, "other": {"function": "c:d"}})
    features, scores, every = options.of_rollout("mine"), options.of_scores(), options.model_dump(mode="json")
    assert features.keys() ^ scores.keys() == every.keys()
    assert features | scores == every | {"models": {"mine": every["models"]["mine"]}}
