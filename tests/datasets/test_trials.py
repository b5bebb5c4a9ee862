from __future__ import annotations

import pandas as pd
import pytest
from refusals import refused

from brainalign.datasets import complete_trials, read_objects, read_table, read_task_table, read_trials
from brainalign.io import read_text_table


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
    refused(message, read_trials, write(tmp_path / "trials.tsv", pd.DataFrame(table)))


def test_files_that_are_no_tables(tmp_path) -> None:
    refused("no such file", read_trials, tmp_path / "none.tsv")
    refused(r"must be one of '.csv', '.parquet', '.tsv'; got '.xlsx'", read_trials, tmp_path / "trials.xlsx")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    refused(r"not a readable \.parquet table", read_trials, tmp_path / "broken.parquet")


SURPLUS = {
    "the first row": "trial_id,stimulus_id,session\n1,a,x,y\n2,b,x,y\n",
    "the first row, its last cell empty": "trial_id,stimulus_id,session\n1,a,x,\n2,b,x\n",
    "every row, their last cells empty": "trial_id,stimulus_id,session\n1,a,x,\n2,b,x,\n",
    "a later row": "trial_id,stimulus_id,session\n1,a,x\n2,b,x,y\n",
    "two names alike": "trial_id,stimulus_id,stimulus_id\n1,a,b\n2,b,a\n",
}
WHOLE = {
    "a comma in quotation marks": 'trial_id,stimulus_id,session\n1,"a,b",x\n2,b,x\n',
    "a byte-order mark and empty lines": "\ufefftrial_id,stimulus_id,session\n\n1,a,x\n\n2,b,x\n",
    "an index without a name": ",trial_id,stimulus_id\n0,1,a\n1,2,b\n",
}
# Readers of tables, with the column of ids that they return.
READERS = {
    "trials": (read_trials, "trial_id"),
    "images": (read_table, "trial_id"),
    "objects of triplets": (lambda path: read_objects(path, "trial_id"), "stimulus_id"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", SURPLUS)
def test_no_row_is_shifted_by_a_surplus_cell(tmp_path, reader, case) -> None:
    path = tmp_path / "table.csv"
    path.write_text(SURPLUS[case])
    refused(r"table\.csv: ", READERS[reader][0], path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_table_is_read(tmp_path, reader, case) -> None:
    path = tmp_path / "table.csv"
    path.write_text(WHOLE[case])
    read, column = READERS[reader]
    assert read(path)[column].tolist() == ["1", "2"]


def test_sentences_may_end_with_a_separator_and_not_with_a_surplus_cell(tmp_path) -> None:
    path = tmp_path / "task1.csv"
    path.write_text("id;sentence\n1;She sang.;\n2;He ran.;\n")
    assert read_task_table(path, text_column="sentence")["id"].tolist() == ["1", "2"]
    path.write_text("id;sentence\n1;She sang; he ran.;\n2;He ran.;\n")
    refused(r"task1\.csv: a row has more cells", read_task_table, path, text_column="sentence")


def test_what_a_lab_writes_is_read_as_it_stands(tmp_path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text('\ufeffstimulus_id\tnote\n007\t5" wide\n\n1\t\n2\n')
    assert read_text_table(path).to_dict("list") == {"stimulus_id": ["007", "1", "2"], "note": ['5" wide', "", ""]}
    path.write_text("")
    refused("not a readable table", read_text_table, path)
    path.write_bytes(b"a\tb\n\xff\xfe\t1\n")
    refused("not a readable table", read_text_table, path)
