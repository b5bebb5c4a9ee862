"""The three examples of docs/pages/extend.md applied to a copy of the library: they work, in so few files."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from brainalign.arrays import Layers, Responses
from brainalign.datasets import folds_of
from brainalign.features import layer_inputs
from brainalign.io import load
from brainalign.statistics import pearson

PAGE = Path(__file__).parents[2] / "docs" / "pages" / "extend.md"


def apply_blocks(text: str, root: Path, lib: Path) -> set[str]:
    touched = set()
    for title, code in re.findall(r'^```\w+ title="([^\n]+)"\n(.*?)^```$', text, flags=re.MULTILINE | re.DOTALL):
        file, where, line = re.fullmatch(r"(\S+?)(?:, (before|after): (.+))?", title).groups()
        path = lib.parent / file if file.startswith("brainalign/") else (lib if "/" in file else root) / file
        before = path.read_text() if where else ""
        if where:
            assert before.count(f"{line}\n") == 1, title
            code = before.replace(f"{line}\n", f"{code}{line}\n" if where == "before" else f"{line}\n{code}")
        else:
            assert not path.exists(), title
        path.write_text(code)
        touched.add(file)
    return touched


@pytest.fixture(scope="module")
def extended(make_checkout, make_image_study):
    """A checkout with everything that the page adds, in which the page of one subject has been made."""
    checkout = make_checkout("extended")
    chapters = dict(re.findall(r"^## (.+?):.*?\n(.*?)(?=^## |\Z)", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL))
    for name, most in {"A recording format": 2, "An encoder": 2, "An analysis with its section": 5}.items():
        touched = apply_blocks(chapters[name], checkout.root, checkout.lib)
        assert 0 < len(touched) <= most, (name, touched)
    study = make_image_study(checkout.root / "scenes")
    study.write(recordings={"01": {"format": "units", "table": "units.csv"}}, shape=None)
    rng, (codes, _) = np.random.default_rng(3), pd.factorize(study.trials["stimulus_id"])
    spikes = rng.normal(size=(len(codes), 10))  # of ten units of two regions, of which one follows the images
    spikes[:, :5] += 2 * rng.normal(size=(study.n_images, 5))[codes]
    names = [f"{region}_{k}" for region in ("IT", "V4") for k in range(5)]
    units = study.trials.drop(columns="trial_id").assign(**dict(zip(names, spikes.T, strict=True)))
    units.to_csv(checkout.root / "scenes" / "units.csv", index=False)
    checkout.snakemake("units.yaml", "--cores", "1", "results/scenes/sub-01.html")
    return checkout


def results(checkout, name: str) -> pd.DataFrame:
    return pd.read_parquet(checkout.root / "results" / "scenes" / "sub-01" / name)


def responses(checkout) -> np.ndarray:
    return load(checkout.root / "results/scenes/sub-01/responses/sub-01_responses.safetensors", Responses).values


def test_the_format_reads_what_was_written(extended) -> None:
    table = pd.read_csv(extended.root / "scenes" / "units.csv")
    spikes = table.filter(regex="^(IT|V4)_").groupby(table["session"], sort=False)
    expected = spikes.transform(lambda column: (column - column.mean()) / column.std())
    np.testing.assert_allclose(responses(extended), expected, atol=2e-5)
    targets = results(extended, "responses/sub-01_responses_targets.parquet")
    assert [list(names) for names in targets["roi"]] == [["IT"]] * 5 + [["V4"]] * 5


def test_the_encoder_predicts_what_it_does_alone(extended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(extended.root)
    (path,) = (extended.root / "results").rglob("model-pixels_features.safetensors")
    (features,) = load(path, Layers).values()
    told = load(extended.root / "results/scenes/sub-01/responses/sub-01_responses.safetensors", Responses)
    ((train, test),) = folds_of(results(extended, "responses/sub-01_splits.parquet"), told.trials)
    X = layer_inputs(features.align_to(told).values, train=train, maps=True)
    both, ids = np.hstack([X, told.values]), told.trials["stimulus_id"].to_numpy()
    means = [pd.DataFrame(both[rows]).groupby(ids[rows]).mean() for rows in (train, test)]
    (trainX, trainY), (testX, testY) = (np.split(mean.to_numpy(), [X.shape[1]], axis=1) for mean in means)
    predicted = np.median([Ridge(alpha=a).fit(trainX, trainY).predict(testX) for a in (0.1, 1, 10)], axis=0)
    scores = results(extended, "encoding/sub-01_model-pixels_method-median_scores.parquet")
    np.testing.assert_allclose(scores["r"], pearson(predicted, testY), atol=1e-4)


def test_the_analysis_gives_what_numpy_does_and_stands_on_the_page(extended) -> None:
    table = results(extended, "compare/sub-01_reliability.parquet").set_index("region")
    trials, values = results(extended, "responses/sub-01_responses_trials.parquet"), responses(extended)
    order = [np.lexsort([trials["stimulus_id"], trials["repeat"] != k])[:24] for k in (1, 2)]
    pairs, page = np.triu_indices(24, 1), (extended.root / "results/scenes/sub-01.html").read_text()
    for region, columns in (("IT", slice(0, 5)), ("V4", slice(5, 10))):
        halves = [values[rows][:, columns].astype(float) for rows in order]
        r = np.corrcoef([((half[:, None] - half[None]) ** 2).sum(axis=2)[pairs] for half in halves])[0, 1]
        assert table.loc[region, "r"] == pytest.approx(r, abs=1e-5)
        assert table.loc[region, "reliability"] == pytest.approx(2 * r / (1 + r), abs=1e-5)
        assert f"<td>{region}</td><td>{table.loc[region, 'r']:.3f}</td>" in page
    assert table.loc["IT", "r"] > 0.5 > abs(table.loc["V4", "r"])
