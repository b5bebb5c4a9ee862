from __future__ import annotations

import pandas as pd
import pytest

from brainalign.checks import BrainalignError
from brainalign.datasets import complete_trials, read_trials


def write(path, table) -> object:
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",", index=False)
    return path


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".parquet"])
def test_ids_keep_their_zeros_and_absent_columns_are_filled(tmp_path, ending) -> None:
    given = pd.DataFrame({"stimulus_id": ["007", "1", "007"], "rating": [1, 2, 3]})
    table = read_trials(write(tmp_path / f"trials{ending}", given))
    assert table["stimulus_id"].tolist() == ["007", "1", "007"]
    assert table["repeat"].tolist() == [1, 1, 2]
    assert table["session"].tolist() == table["run"].tolist() == ["1"] * 3
    assert table["trial_id"].is_unique
    assert table["onset_s"].isna().all()
    assert list(table)[:6] == ["trial_id", "stimulus_id", "session", "run", "repeat", "onset_s"]
    assert "rating" in table


def test_given_columns_win_and_numbers_become_ids() -> None:
    given = pd.DataFrame({"stimulus_id": [3, 4], "session": [1.0, 2.0], "repeat": [2, 2], "onset": ["1.5", "n/a"]})
    table = complete_trials(given, "x")
    assert table["stimulus_id"].tolist() == ["3", "4"]
    assert table["session"].tolist() == ["1", "2"]
    assert table["repeat"].tolist() == [2, 2]
    assert table["onset_s"].tolist()[0] == 1.5
    assert table["onset_s"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"stimulus": ["a"]}, r"trials.tsv: no column 'stimulus_id' \(did you mean 'stimulus'\?\)"),
        ({"stimulus_id": ["a", ""]}, r"1 rows have no stimulus_id \(rows 2\)"),
        ({"stimulus_id": ["a"], "Session": ["1"]}, "no column 'session', but 'Session'; rename it"),
        ({"stimulus_id": ["a", "b"], "repeat": ["1", "x"]}, "repeat is 'x' in row 2; it must be a whole number"),
        ({"stimulus_id": ["a"], "onset_s": ["soon"]}, "onset_s is 'soon' in row 1; it must be a number"),
        ({"stimulus_id": []}, "no trial"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, table, message) -> None:
    with pytest.raises(BrainalignError, match=message):
        read_trials(write(tmp_path / "trials.tsv", pd.DataFrame(table)))


def test_files_that_are_no_tables(tmp_path) -> None:
    with pytest.raises(BrainalignError, match="no such file"):
        read_trials(tmp_path / "none.tsv")
    with pytest.raises(BrainalignError, match=r"must be one of '.csv', '.parquet', '.tsv'; got '.xlsx'"):
        read_trials(tmp_path / "trials.xlsx")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(BrainalignError, match=r"not a readable \.parquet table"):
        read_trials(tmp_path / "broken.parquet")
