import re
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from pages import check
from safetensors.numpy import save_file

from brainalign.cli import main
from brainalign.commands import analyses_of
from brainalign.config import load_config
from brainalign.workflow import Run


def test_doctor_lists_versions_and_extras(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    check(capsys.readouterr().out, "torch", "nilearn", "linear algebra", "GPU", "extra weights", "extra vision")


def test_check_tells_warnings_from_errors(scenes, capsys: pytest.CaptureFixture[str]) -> None:
    path = scenes.write()
    assert main(["check", str(path)]) == 0
    printed = capsys.readouterr().out
    check(printed, "2 warning(s), which stop nothing", "4 of 4 runs have trials in more than one split")
    check(printed, "nothing that would stop a run (2 subject(s), 24 stimuli)", "2 to 2 (median 2)")
    assert re.search(r"│ unseen +│ 60 +│ 60 +│", printed)
    next((scenes.folder / "stimuli" / "images").glob("*.png")).unlink()
    assert main(["check", str(path)]) == 1
    printed = capsys.readouterr().out
    check(printed, "scenes: 1 problem(s)", "1 of 24 images are missing", "2 warning(s)")
    assert "nothing" not in printed.split("1 problem(s)")[1]
    path.write_text(f"{path.read_text()}\nmodels: {{own: {{extractor: table, file: none.npy}}}}\n")
    assert main(["check", str(path)]) == 2
    told = capsys.readouterr()
    assert "1 of 24 images are missing" in told.out
    assert "none.npy: no such file" in told.err


def test_plan_adds_up_and_mistakes_end_in_one_line(root, monkeypatch, capsys, fails, tmp_path) -> None:
    monkeypatch.chdir(root)
    assert main(["plan", "snakemake/config/demo.yaml"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"│ encode +│ +20 │", printed)
    totals = [int(n) for n in re.findall(r"^│ \w+ +│ +(\d+) │", printed, flags=re.MULTILINE)]
    assert sum(totals[:-1]) == totals[-1] > 50
    rest, longest = map(float, re.search(r"n cores need ([\d.]+) / n \+ ([\d.]+) min", printed).groups())
    minutes = float(re.search(r"│ all +│.*│ +([\d.]+) │ +\d+ │", printed)[1])
    assert rest + longest == pytest.approx(minutes, abs=0.15)
    assert 0 < longest < minutes / 2
    assert "brainalign run snakemake/config/demo.yaml" in printed
    config = tmp_path / "c.yaml"
    config.write_text("datasets: {}\nmodls: {}\n")
    fails("unknown key 'modls' (did you mean 'models'?)", main, ["plan", str(config)])
    fails("no such file", main, ["plan", str(tmp_path)])
    fails("nothing.json", main, ["rerun", str(tmp_path / "nothing.parquet")])  # only what a step has saved runs again


def test_default_options_stop_no_study_whose_stimuli_were_shown_once(tmp_path, monkeypatch, capsys, fails) -> None:
    """Thirty stimuli shown once, in a folder named from elsewhere: crossnobis multiplies repeats, no default does."""
    folder, names = tmp_path / "data" / "once", [f"s{k}" for k in range(30)]
    folder.mkdir(parents=True)
    np.save(folder / "values.npy", np.random.default_rng(0).normal(size=(30, 8)))
    pd.DataFrame({"trial_id": names, "stimulus_id": names}).to_csv(folder / "trials.tsv", sep="\t", index=False)
    recordings = {"01": {"format": "array", "values": "values.npy", "trials": "trials.tsv"}}
    content = {"name": "once", "stimuli": "trials.tsv", "recordings": recordings}
    content |= {"splits": {"s": {"leave_out": "stimulus", "folds": 5}}}
    (tmp_path / "asked.yaml").write_text(yaml.safe_dump(content | {"compare": {"distances": ["crossnobis"]}}))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAINALIGN_DATA", "data")
    fails("compare.distances: crossnobis multiplies repeats", main, ["check", "asked.yaml"])
    assert main(["check", "study.yaml"]) == 0
    monkeypatch.setenv("HOME", str(tmp_path))
    at_home = {"results": "~/out", "stimuli": "~/data/once/trials.tsv"}
    (tmp_path / "a study.yaml").write_text(yaml.safe_dump(content | at_home))
    assert main(["plan", "a study.yaml"]) == 0
    said = f"results go to {tmp_path / 'out'}; to run it: brainalign run 'a study.yaml'"
    assert said in " ".join(capsys.readouterr().out.split())


def checked(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["check", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    return " ".join(" ".join(line.split("│", 2)[-1].replace("│", " ") for line in lines if "│" in line).split())


def rewrite_header(small, tr_s: float, unit: str) -> None:
    bold = nibabel.load(small.folder / "bold.nii.gz")
    bold.header.set_zooms((3, 3, 3, tr_s))
    bold.header.set_xyzt_units("mm", unit)
    nibabel.save(bold, small.folder / "bold.nii.gz")


def test_check_reads_the_repetition_time_of_the_header(small, capsys) -> None:
    path = small.write()
    rewrite_header(small, 720.0, "msec")
    assert "tr_s is 2, but the header of bold says 0.72 s" in checked(path, capsys)
    for unit in ("sec", "msec", "unknown"):  # a time of one is what programs write that do not know
        rewrite_header(small, 1, unit)
        capsys.readouterr()
        assert main(["check", str(path)]) == 0
        assert re.search(r"1 warning.*tr_s is 2, ", " ".join(capsys.readouterr().out.split()))


@pytest.mark.parametrize(("n", "message"), [(12, "1 categories (cat), but accuracy needs two"), (0, "holds no epochs")])
def test_check_finds_recordings_with_nothing_to_decode(tmp_path: Path, n: int, message: str, capsys) -> None:
    import mne

    info = mne.create_info(["Cz", "Pz"], 50.0, "eeg", verbose="error")
    table = pd.DataFrame({"category": ["cat"] * 12, "onset_s": 2.0 * np.arange(12)})
    values = 1e-6 * np.random.default_rng(0).normal(size=(12, 2, 30))
    epochs = mne.EpochsArray(values, info, tmin=-0.2, metadata=table, verbose="error")
    if not n:
        epochs.drop(range(12), verbose="error")
    epochs.save(tmp_path / "cats-epo.fif", verbose="error")
    about = {"name": "cats", "recordings": {"1": {"format": "epochs", "epochs": ["cats-epo.fif"]}}}
    about |= {"epochs": {"tmin_s": -0.1, "tmax_s": 0.3, "baseline_s": None}}
    (tmp_path / "cats.yaml").write_text(yaml.safe_dump(about))
    assert message in checked(tmp_path / "cats.yaml", capsys)


def test_plan_finds_layers_and_weights_that_are_not_there(scenes, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("net", "data/net"):
        Path(folder).mkdir(parents=True)
        names = ("embedder", "encoder.stages.0.conv", "encoder.stages.1.conv", "encoder.layer.0.conv")
        save_file({f"resnet.{n}.weight": np.zeros(1, np.float32) for n in names}, f"{folder}/model.safetensors")
    content = {"datasets": {"scenes": {"descriptor": str(scenes.write())}}, "methods": {"ridge": {"encoder": "ridge"}}}
    net = {"extractor": "vision", "weights": "net"}
    for model, message in (
        ({"extractor": "efficientnet", "layers": ["blok5"]}, r"models\.net: layers must .*did you mean 'block5'"),
        (net | {"layers": ["encoder.stage.0"]}, "did you mean 'encoder.stages.0'"),
        (net | {"layers": ["encoder.stages.2"]}, "no layer 'encoder.stages.2'"),
        (net | {"weights": "./nett"}, r"models\.net: no folder ./nett .*did you mean 'net'"),
        (net | {"weights": "data/nett"}, r"no folder data/nett .*did you mean 'data/net'"),
        (net | {"layers": ["encoder.stages.1", "encoder.act", "encoder.layers.0"]}, ""),
        (net | {"weights": "somebody/somewhere"}, ""),
    ):
        Path("c.yaml").write_text(yaml.safe_dump(content | {"models": {"net": model}}))
        assert main(["plan", "c.yaml"]) == (2 if message else 0)
        assert re.search(message, capsys.readouterr().err)


def names_of(run: Run, dataset: str) -> tuple[set[str], dict[str, set[str]]]:
    there, missing = analyses_of(run, dataset)
    return {step.name for step in there}, {what: {step.name for step in steps} for what, steps in missing.items()}


def test_what_is_missing_is_named_and_nothing_else(root, capsys, tmp_path) -> None:
    assert main(["check", str(root / "data" / "haxby-slice.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "nothing wrong (1 subject(s), 8 stimuli; 12 runs, 96 trials, 530 targets each)" in printed
    assert "haxby-slice: analyses: encode, compare" in printed
    assert "  with searchlight.models: searchlight\n" in printed
    assert "  with splits: {held: {share: 0.2}}, stimuli held out and match.models: match\n" in printed
    path = root / "data" / "simulated.yaml"
    there, missing = names_of(Run(load_config(path), check=False), "simulated")
    assert (missing["searchlight.models"], missing["caption.model"]) == ({"searchlight"}, {"caption"})
    added = {"searchlight": {"models": ["pixels"]}, "match": {"models": ["pixels"]}}
    added |= {"caption": {"model": "efficientnet"}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | added))
    with_them, _ = names_of(Run(load_config(tmp_path / "s.yaml"), check=False), "simulated")
    assert with_them == there | {"searchlight", "caption", "match"}
    run = Run(load_config(root / "data" / "simulated-series.yaml"), check=False)
    assert names_of(run, "simulated-series") == ({"decode_series"}, {})
