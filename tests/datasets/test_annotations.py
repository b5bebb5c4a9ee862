"""Annotations of words, as programs write them: the same events from each form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from refusals import refused

from brainalign.datasets import read_event_files, read_events
from brainalign.study import Study, parse

WORDS = [(0.5, 0.25, "the"), (0.75, 0.5, 'dog "Rex"'), (2.0, 1.0, "[barks] 3.5")]
LONG = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 4\ntiers? <exists>\nsize = 3\nitem []:\n'
)
SHORT = 'File type = "ooTextFile"\n"TextGrid"\n\n0\n4\n<exists>\n1\n"IntervalTier"\n"all"\n0\n4\n3\n'
SHORT += '0.5\n0.75\n"the"\n0.75\n1.25\n"dog ""Rex"""\n2\n3\n"[barks] 3.5"\n'
SRT = '1\n00:00:00,500 --> 00:00:00,750\nthe\n\n2\n00:00:00,750 --> 00:00:01,250\ndog\n"Rex"\n\n'
SRT += "3\n00:00:02,000 --> 00:00:03,000\n[barks] 3.5\n"


def tier(number: int, kind: str, name: str, *entries: str) -> str:
    what = "points" if kind == "TextTier" else "intervals"
    lines = [f"item [{number}]:", f'class = "{kind}"', f'name = "{name}"', "xmin = 0", "xmax = 4"]
    lines.append(f"{what}: size = {len(entries)}")
    keys = ("number", "mark") if kind == "TextTier" else ("xmin", "xmax", "text")
    for k, entry in enumerate(entries, start=1):
        lines += [
            f"{what} [{k}]:",
            *(f"    {key} = {value}" for key, value in zip(keys, entry.split("|"), strict=True)),
        ]
    return "".join(f"    {line}\n" for line in lines)


LONG += tier(1, "IntervalTier", "phones", '0|4|"DH"')
LONG += tier(2, "TextTier", "clicks", '1.5|"left"', '2.5|"right"')
LONG += tier(3, "IntervalTier", "Words", '0.5|0.75|"the"', '0.75|1.25|"dog ""Rex"""', '1.25|2|""', '2|3|"[barks] 3.5"')


def saved(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding=encoding)
    return folder


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("one.TextGrid", LONG, "utf-8"),
        ("one.TextGrid", LONG, "utf-16"),
        ("one.TextGrid", SHORT, "utf-8-sig"),
        ("one.srt", SRT, "utf-8-sig"),
        ("one.tsv", "onset_s\tduration_s\ttext\n0.5\t0.25\tthe\n0.75\t0.5\tdog Rex\n2\t1\t[barks] 3.5\n", "utf-8"),
        ("one.ctm", ";; words\nx 1 0.5 0.25 the\nx 1 0.75 0.5 dog 0.9\nx 1 2.0 1.0 [barks]\n", "utf-8"),
    ],
)
def test_every_form_holds_the_same_words(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    folder = saved(tmp_path / "words", name, text, encoding)
    found = read_event_files(folder)
    times = found[["onset_s", "duration_s"]].astype(float).to_numpy().tolist()
    assert times == [pytest.approx(word[:2]) for word in WORDS]
    first = {".ctm": ["the", "dog", "[barks]"], ".tsv": ["the", "dog Rex", "[barks] 3.5"]}
    assert found["text"].tolist() == first.get(Path(name).suffix, [word[2] for word in WORDS])
    assert set(found["run"]) == {"one"}


def test_a_tier_is_chosen(tmp_path: Path) -> None:
    folder = saved(tmp_path / "words", "one.TextGrid", LONG)
    clicks = read_event_files(folder, "clicks")
    assert clicks[["onset_s", "duration_s", "text"]].to_numpy().tolist() == [[1.5, 0.0, "left"], [2.5, 0.0, "right"]]
    refused("continuous.tier must be one of .*phones.*got 'nouns'", read_event_files, folder, "nouns")
    saved(folder, "one.TextGrid", LONG.replace('"Words"', '"speech"'))
    refused("has the tiers phones, clicks, speech; say which with continuous.tier", read_event_files, folder)


def test_a_study_takes_a_folder_of_runs(tmp_path: Path) -> None:
    saved(tmp_path / "words", "one.srt", SRT)
    saved(tmp_path / "words", "two.TextGrid", SHORT)
    saved(tmp_path / "words", "three.ctm", "x 1 0.5 0.25 the\n")
    files = {run: f"{run}.npy" for run in ("one", "two", "three")}
    recorded = {"01": {"format": "runs", "tr_s": 2.0, "files": files}}
    content = {"name": "s", "folder": tmp_path, "stimuli": "words", "recordings": recorded}
    events = read_events(parse(Study, content | {"splits": {"runs": {"leave_out": "run"}}}, "test"))
    assert events["run"].value_counts().to_dict() == {"one": 3, "two": 3, "three": 1}
    assert events["stimulus_id"].tolist()[:2] == ["one_00001", "one_00002"]
    assert events["caption"].tolist()[-1] == "[barks] 3.5"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("one.TextGrid", "nothing", "no TextGrid"),
        ("one.TextGrid", LONG[:600], "no TextGrid"),
        ("one.ctm", "x 1 soon 0.25 the\n", "no CTM file"),
        ("one.srt", "1\n0:00 -> 0:01\nthe\n", "no SRT file"),
        ("one.TextGrid", re.sub(r'"(the|dog|\[barks).*"', '""', SHORT), "holds no event"),
        ("one.txt", "the", "no file of events"),
    ],
)
def test_what_is_no_annotation_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    refused(message, read_event_files, saved(tmp_path / "words", name, text))
