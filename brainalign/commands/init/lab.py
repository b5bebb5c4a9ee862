"""A lab's folder: its files, what their names and tables say, and what is asked about them."""

import csv
import json
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from io import StringIO
from itertools import islice, takewhile
from pathlib import Path, PureWindowsPath
from statistics import median
from typing import Any

import numpy as np

from brainalign import io
from brainalign.checks import BrainalignError, check_choice, listed
from brainalign.study import MIN_TEST, table_column, table_columns, table_rows

TABLES, ARRAYS = (".tsv", ".csv", ".parquet"), (".npy", ".npz", ".h5", ".hdf5", ".hf5", ".nc", ".mat", ".zarr")
RAW = (".vhdr", ".set", ".edf", ".bdf", ".fif")
SURFACES = (".func.gii", ".shape.gii", ".mgh")
VOLUMES, CIFTI = (".nii", ".nii.gz"), (".dscalar.nii", ".dtseries.nii")
TRANSCRIPTS = (".textgrid", ".ctm", ".srt")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
SOUNDS, FILMS = (".wav", ".flac", ".mp3", ".m4a"), (".mp4", ".mkv", ".mov", ".avi", ".webm")
SUBJECT = re.compile(r"(?<![A-Za-z0-9])sub(?:j|ject)?(?:[-_]|(?=\d))([A-Za-z0-9]+)", re.IGNORECASE)
RUN = re.compile(r"run[-_]?([A-Za-z0-9]+)", re.IGNORECASE)
SESSION, SET = r"(?:sess?|session|run|block|part|day)[-_]?\d+", r"(?:train|test)(?:ing)?(?![A-Za-z])"
PART = re.compile(rf"(?<![A-Za-z])(?:{SESSION}|{SET})|ses-[A-Za-z0-9]+", re.IGNORECASE)
SIDE = r"[lr]h|left|right"
AREA = r"h?V[1-4](?:[AdvB]|ab)?|MT|IT|LO[C12]?|(?:FFA|FBA|VWFA|OFA|EBA|PPA|OPA|RSC)(?:-?[12])?|EVC|EarlyVis"
AREA = rf"{SIDE}|(?:[LRlr][Hh]?[-_]?)?(?:{AREA}|floc-[a-z]+)"
REGION = re.compile(rf"(?<![A-Za-z0-9])(?:{AREA})(?![A-Za-z0-9])")
HEMISPHERE = re.compile(r"(?<![A-Za-z0-9])([LRlr])h?(?![A-Za-z0-9])")
# What labs call the columns that studies ask for, the most telling first.
CALLED = {
    "stimulus_id": "stimulus stim_id stim stimuli image_id image image_name img picture item stim_file trialinfo "
    "filename file video clip nsdid nsd_id 73kid 73k_id cocoid coco_id",
    "target_id": "unit_id unit neuron_id neuron neuroid_id cell_id cell channel electrode voxel ch_name ch_names "
    "channel_names electrode_names unit_ids neuron_ids",
    "path": "image_path image_file filename file",
    "session": "session_id ses day sitzung",
    "run": "run_id block story lauf bloc",
    "passage": "labelspassageforeachsentence",
    "roi": "area brain_area region areal aire rois areas regions acronym structure_acronym ecephys_structure_acronym",
}
SHOWN = re.compile("(?:image|img|stimulus|stim|picture|pic|scene)(?:number|num|no|nr|index|idx|id|name|code)")
# What arrays are called that hold images, those of training or testing.
PICTURES = re.compile(r"(?i)(?:stim(?:ul[ui]s?)?|ima?ge?s?|pictures?|pixels)[-_]?(?:tra?i?n|val|test)?(?:ing|idation)?")
# What files say of their samples, in small letters and without units: how many a second, and when the first is.
STEP, RATE = ("tr", "repetitiontime"), ("fs", "sfreq", "srate", "samplingrate", "samplerate", "samplingfrequency")
START, LATEST_START_S = ("tmin", "t0", "starttime"), 10.0  # beyond, milliseconds are meant
# What arrays of times are called; those of edges have one more than there are bins.
TIMES = re.compile(r"(?i)(?:.*/)?(?:[^/]*(?:time|temps|zeit|bin[-_]?(?:edge|cent))[^/]*|t(?:_?m?s|t|vec|axis|points)?)")
NOTHING = re.compile(r"(?i)n/a|<na>|(?:-1|nan|none|(?:null|blank|fix(?:ation)?|rest)[-_ ]?(?:trial|cross)?)?(?:\.\w+)?")
ONSET = re.compile(r"(onset|start|begin|time)s?([-_ ]*\(?(s|secs?|seconds?)\)?)?", re.IGNORECASE)  # of a word
Ask = Callable[[str, str], str]
YES, NO = {"true", "1", "yes"}, {"false", "0", "no"}
DECIMAL = re.compile(r"^(-?\d+),(\d+(?:[eE][-+]?\d+)?)$")  # as spreadsheets of half of Europe write it
JOINED = "joined"  # in the names of files that are several of a lab's
# What sets of stimuli are called that are not trained on, and columns that tell them, as is_test and shared1000.
HELD_OUT = ("test", "shared", "val", "held")
OF_SET = re.compile(rf"(?i)(?:is[-_ ]?)?({'|'.join(HELD_OUT)}|train)(?:ing|idation|[-_ ]?out|\d+)?(?:[-_ ]?set)?")
PASSAGE, MIN_FOLDS = re.compile("(?i)(passage|paragraph|story|document|article|topic)s?([-_ ]|$)"), 5
MOST_SETS = 4  # of stimuli that a column names, such as train, val, test


@dataclass
class Lab:
    """A lab's folder: its files as paths inside it, and what is asked about them.

    `ask` is called with a question and its default, and returns the answer.
    """

    folder: Path
    ask: Ask
    remarks: dict[str, str] = field(default_factory=dict)
    written: set[Path] = field(default_factory=set)
    used: set[Path] = field(default_factory=set)
    answers: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    joined: dict[Path, Path] = field(default_factory=dict)  # the first of the files that are written as one

    def __post_init__(self) -> None:
        paths = sorted((path.relative_to(self.folder) for path in self.folder.rglob("*")), key=io.counting_order)
        # Hidden are copies of git-annex, and what macOS writes beside files (._trials.tsv). A folder .zarr is an array.
        # Results without logs of runs hold data, as of HCP's pipelines.
        made = {path.parents[1] for path in paths if path.match("results/*/logs")}
        made |= {path for path in paths if path.suffix == ".zarr"}
        paths = [path for path in paths if not (made & {*path.parents} or any(part[0] == "." for part in path.parts))]
        self.files = [path for path in paths if (self.folder / path).is_file() or path.suffix == ".zarr"]
        self.unread += [f"{path}: is packed; unpack it" for path in self.ending(".tsv.gz", ".csv.gz", ".txt.gz")]
        for path in self.ending(*ARRAYS):
            try:
                sizes = io.array_shapes(self.folder / path)
                if sizes and all(_are_images(name or path.stem, of) for name, of in sizes.items()):
                    raise BrainalignError(f"{path}: holds images; save each as a file that is called as trials call it")
            except BrainalignError as error:
                self.files.remove(path)
                self.unread.append(str(error))

    def ending(self, *endings: str) -> list[Path]:
        """List the files whose names end so."""
        return [path for path in self.files if path.name.lower().endswith(endings)]

    def volumes(self) -> tuple[list[Path], list[Path], list[Path]]:
        """List the series of volumes, the masks, and what else is one volume and called after regions."""
        found = [path for path in self.ending(*VOLUMES) if path not in self.ending(*CIFTI, ".dlabel.nii")]
        found = [path for path in found if JOINED not in path.name]
        masks = sorted((path for path in found if "mask" in path.name), key=lambda path: "brain" not in path.name)
        single = [path for path in found if path not in masks and _is_single(self.folder / path)]
        told = re.compile(rf"(?i:roi|atlas|parcel|label|area)|{REGION.pattern}")
        regions = [path for path in single if told.search(str(path))]
        return [path for path in found if path not in (*masks, *single)], masks, regions

    def tables(self, *columns: str) -> list[Path]:
        """List the tables that have all of these columns."""
        return [path for path in self.ending(*TABLES) if set(columns) <= set(table_columns(self.folder / path))]

    def units(self) -> list[Path]:
        """List the tables of what was recorded from: neurons, electrodes, voxels."""
        of = [path for path in self.tables("roi") if "stimulus_id" not in table_columns(self.folder / path)]
        return self.tables("target_id") or of or self.rename_columns("target_id")

    def rename_columns(self, *asked: str) -> list[Path]:
        """Write tables of what is asked for, or all, anew, under names that studies know, and return the copies."""
        copies, shown = [], self.shown()
        counts_of_nsd = any("nsdId" in self.head(path)[0] for path in self.ending(*TABLES))  # from 0
        for path in self.ending(*TABLES):
            known, _ = self.head(path)
            between = ";" if len(known) == 1 and ";" in known[0] else ""  # where the comma is for decimals
            known, first = self.head(path, between)
            names, framed = self._names_of_columns(path, between)
            ids = self._column_of_names(path, between, names, shown)
            if ids and names.get(ids) != "stimulus_id":
                names = {old: new for old, new in names.items() if new != "stimulus_id"} | {ids: "stimulus_id"}
            header = [names.get(name, name) for name in known]
            kind = next((name for name in ("stimulus_id", "target_id", "onset_s") if name in header), None)
            if not kind and "roi" in header and len([*table_rows(self.folder / path, between)]) - 1 in self.lengths():
                kind = "target_id"  # which have areas, but no names
            decimal = any(map(DECIMAL.fullmatch, first))
            if not kind or kind not in (asked or [kind]) or not (between or decimal or header != known):
                continue
            copy = path.with_name(f"{path.stem}_renamed.tsv")
            _, *rows = table_rows(self.folder / path, between)
            if framed:
                rows = self._rows_of_frames(known, rows, framed)
            if decimal or between:
                rows = [[DECIMAL.sub(r"\1.\2", cell) for cell in row] for row in rows]
            if counts_of_nsd and names.get("73KID") == "stimulus_id":  # from 1
                place = known.index("73KID")
                for row in rows:
                    row[place] = str(int(row[place] or 0) - 1)  # -1 is nothing
                self.remark("stimuli", "stimulus_id is 73KID less 1, as nsdId counts")
            if "path" in header and path.parent == Path():  # which may be a name alone
                lies, place = {image.name: str(image) for image in self.ending(*IMAGES)}, header.index("path")
                for row in rows:
                    row[place : place + 1] = [lies.get(Path(cell).name, cell) for cell in row[place : place + 1]]
            self.write(copy, [header, *rows])
            self.files[self.files.index(path)] = copy
            copies.append(copy)
            changed = ", ".join(f"{new} for {old}" for old, new in names.items())
            self.remark("stimuli", f"{copy} is {path}{f' with {changed}' if changed else ''}")
        return copies

    def _names_of_columns(self, path: Path, between: str) -> tuple[dict[str, str], str]:
        """Return what studies call the columns of a table, and the one stimulus_name whose frames are images, if any.

        Allen's tables have several stimulus_name, each with a count of frames; where there is one, its frames are ids.
        """
        known, _ = self.head(path, between)
        names, framed = study_names(known), ""
        ids = [old for old, new in names.items() if new == "stimulus_id"]
        kinds = sorted({*table_column(self.folder / path, ids[0], between)}) if ids else []
        if len(kinds) > 1 and ids == ["stimulus_name"] and "frame" in known:
            scenes = "natural_scenes" if "natural_scenes" in kinds else ""
            framed = self.answer("stimuli", f"stimulus_name whose frames are images: {', '.join(kinds)}", scenes)
        if framed or len(kinds) == 1:
            others = study_names([name for name in known if name not in ids])
            if "frame" in known and "stimulus_id" not in others.values():
                others["frame"] = "stimulus_id"
            names = others if "stimulus_id" in others.values() else names
        if "name" in known and re.search("electrodes|channels", path.stem):  # of BIDS
            names |= {"name": "target_id"}
        if {"run", "word", "text"} & {*known, *names.values()} > {"run"}:
            names |= dict.fromkeys([old for old in known if ONSET.fullmatch(old)][:1], "onset_s")
        return names, framed

    def _column_of_names(self, path: Path, between: str, names: dict[str, str], shown: Collection[str]) -> str:
        """Return the column whose cells name what was shown, which says more than what columns are called; else ''."""
        known, first = self.head(path, between)
        ids = next((old for old, new in names.items() if new == "stimulus_id"), None)
        shared = any(ids in header and header != known for header, _ in map(self.head, self.ending(*TABLES)))
        if shared or "stimulus_id" in known:  # another kind of table has this id, too
            return ""
        texts = [name for name, cell in zip(known, first, strict=False) if name not in shown and not is_number(cell)]
        cells = {name: table_column(self.folder / path, name, between) for name in texts}
        naming = [name for name in texts if are_names(cells[name], shown, 1)]
        naming.sort(key=lambda name: names.get(name) != "stimulus_id")
        if len({re.sub(r"\d+", "", name) for name in naming}) < len(naming):  # image1, image2: of judgements
            return ""
        differ = len({tuple(Path(cell).stem for cell in cells[name]) for name in naming}) > 1  # a cue and its target
        if differ and names.get(naming[0]) != "stimulus_id":
            return self.answer("stimuli", f"column of {path} with what was shown: {', '.join(naming)}", "")
        return naming[0] if naming else ""

    def _rows_of_frames(self, known: list[str], rows: list[list[str]], framed: str) -> list[list[str]]:
        """Choose the rows whose frames are images, or mark the others where an array has all rows."""
        kind, frame = known.index("stimulus_name"), known.index("frame")
        if len(rows) not in self.lengths():
            return [row for row in rows if row[kind] == framed]
        return [row if row[kind] == framed else [*row[:frame], "n/a", *row[frame + 1 :]] for row in rows]

    def write(self, path: Path, rows: Iterable[Iterable[str]]) -> None:
        """Write a table, never over one of the lab's own."""
        csv.writer(text := StringIO(), delimiter="\t", lineterminator="\n").writerows(rows)
        there, content = self.folder / path, text.getvalue().encode()
        if path not in self.written and there.exists() and there.read_bytes() != content:
            raise BrainalignError(f"{there}: lies there already, and would be written anew; move or rename it")
        there.write_bytes(content)
        self.written.add(path)

    def forget(self, paths: Collection[Path]) -> None:
        """Delete files that were written, without which the folder is as it was."""
        for path in paths:
            (self.folder / path).unlink(missing_ok=True)
        self.written -= {*paths}

    def shown(self) -> set[str]:
        """Name what was shown as its images are called, or as tables of stimuli call it."""
        tables = [path for path in self.tables("stimulus_id") if not self.lists_trials(path)]
        called = {name for path in tables for name in table_column(self.folder / path, "stimulus_id")}
        called = called.union(*((path.name, path.stem) for path in self.ending(*IMAGES)))
        return called | {*map(_folded, called)}

    def head(self, path: Path, separator: str = "") -> list[list[str]]:
        """Return the columns of a table, and the cells of its first row."""
        return [*islice(table_rows(self.folder / path, separator), 2), [], []][:2]

    def remark(self, key: str, *said: str) -> None:
        """Remark on what was written or taken, beside a key: once, also of files whose names differ in numbers."""
        every = [*filter(None, self.remarks.get(key, "").split("; ")), *said]
        first = {re.sub(r"\d+", "", of): of for of in reversed(every)}
        self.remarks[key] = "; ".join(reversed(first.values()))

    def answer(self, key: str, question: str, default: str) -> str:
        """Ask once; what was taken is remarked beside the key. Without a default nobody's silence is an answer."""
        found = self.answers[question] = self.answers.get(question) or self.ask(question, default)
        if not found:
            raise BrainalignError(f"{question}: files do not say which; run init without --yes, and name it")
        self.remark(key, f"{question}: change it where {found} is wrong")
        return found

    def transcripts(self) -> list[Path]:
        """List the files that say what was said in a run each, after which they are called."""
        tables = [*self.tables("onset", "word"), *self.tables("onset", "text")]
        tables = [path for path in tables if not {"run", "story"} & {*table_columns(self.folder / path)}]
        return self.ending(*TRANSCRIPTS) or (tables if len(tables) > 1 else [])

    def words(self) -> list[Path]:
        """List the tables of what was said, and when, in runs."""
        return [of for of in self.tables("run", "onset_s") if "stimulus_id" not in table_columns(self.folder / of)]

    def stimuli(self, told: Collection[str] = ()) -> Path | None:
        """Return the table of what was shown, with those for testing; of a folder of images it is written.

        Their names are ids. `told` are names that trials have for it, where no table of trials says so.
        """
        table = self._listed(told)
        tested = self.tested() if table and not self.held_out(table) else set()
        if not table or not tested & {*table_column(self.folder / table, "stimulus_id")}:
            return table
        header, *rows = table_rows(self.folder / table)
        copy = table if table in self.written else table.with_name(f"{table.stem}_sets.tsv")
        sets = ["test" if row[header.index("stimulus_id")] in tested else "train" for row in rows]
        named = [*header, "tested" if "set" in header else "set"]
        self.used.add(table)
        self.write(copy, [named, *([*row, of] for row, of in zip(rows, sets, strict=True))])
        return copy

    def _listed(self, told: Collection[str]) -> Path | None:
        listed_in, images = self._list_of_stimuli(), self.ending(*IMAGES)
        if not images or (listed_in and {"path", "text", "caption"} & {*table_columns(self.folder / listed_in)}):
            return listed_in
        table = Path(f"{listed_in.stem}_images.tsv" if listed_in else "stimuli.tsv")
        if not listed_in and table in self.files:
            table = Path("stimuli_images.tsv")
        vectors = {of["file"] for of in self.vectors().values()}  # which may call images otherwise than trials do
        tables = [listed_in] if listed_in else [of for of in self.tables("stimulus_id") if str(of) not in vectors]
        every = [*told, *(name for of in tables for name in table_column(self.folder / of, "stimulus_id"))]
        counts = Counter(name for name in every if name not in io.MISSING)
        images = images if counts else self.listing(images)
        names = image_names(images, counts)
        if counts and not counts.keys() & {*names} and (numbers := _numbers(self, images, counts)):
            names = numbers
            ends = f"{names[0]} is {images[0].name}, {names[-1]} {images[-1].name}"
            self.remark("stimuli", f"{ends}: correct {table} if not")
        name_of = self._in_used_folders(dict(zip(images, names, strict=True)), counts)
        if listed_in:
            header, *rows = table_rows(self.folder / listed_in)
            image_of, ids = {name: str(path) for path, name in name_of.items()}, header.index("stimulus_id")
            if not counts.keys() <= image_of.keys():
                return listed_in
            self.write(table, [[*header, "path"], *([*row, image_of[row[ids]]] for row in rows)])
            self.remark("stimuli", f"{table} is {listed_in} with the images of these names")
            return table
        columns = {"stimulus_id": [*name_of.values()], "path": [path.as_posix() for path in name_of]}
        parents = [path.parent.name for path in name_of]
        if len({*parents}) > 1:
            columns["set" if {*parents} & {*HELD_OUT} else "category"] = parents
        # Test images are repeated, for their noise ceiling, where the others are many.
        often = {name for name in name_of.values() if counts and counts[name] > 2 * median(counts.values())}
        if "set" not in columns and not self.tested() and MIN_TEST <= len(often) <= len(name_of) / 2:
            columns["set"] = ["test" if name in often else "train" for name in name_of.values()]
            self.remarks["splits"] = f"test: the {len(often)} images that are shown more often than others"
        self.write(table, [columns, *zip(*columns.values(), strict=True)])
        return table

    def _list_of_stimuli(self) -> Path | None:
        """Return the table that lists what was shown; None where there is none, or one of each run or set."""
        ids = {path: {*table_column(self.folder / path, "stimulus_id")} for path in self.tables("stimulus_id")}
        lists = [path for path in ids if not self.lists_trials(path)]
        lists = [path for path in lists if not self.holds_vectors(path)] or lists * (not self.ending(*IMAGES))
        if not lists:
            return None
        chosen = next((path for path in lists if "stim" in path.stem), lists[0])
        in_trials = set[str]().union(*(names for path, names in ids.items() if path not in lists))
        return None if any(in_trials & ids[path] - ids[chosen] for path in lists) else chosen

    def _in_used_folders(self, name_of: dict[Path, str], counts: Collection[str]) -> dict[Path, str]:
        """Choose images in folders of what was shown: others hold figures, or masks that are called as images are."""
        used = [path.parent for path, name in name_of.items() if name in counts or not counts]
        if len({*name_of.values()}) < len(name_of):
            places = ", ".join(dict.fromkeys(map(str, used)))
            for path in self.tables("stimulus_id"):
                columns_of = [{*table_column(self.folder / path, of)} for of in table_columns(self.folder / path)]
                if {folder.name for folder in used} in columns_of:
                    remedy = f"write {used[0].name}/{next(iter(name_of)).name}, not the folder in a column of its own"
                    file = str(path).replace("_renamed.tsv", ".*")
                    raise BrainalignError(f"{file}: images in {places} have the same names; {remedy}")
            used = [Path(self.answer("images", f"folder of the images, of {places}", str(used[0])))]
            self.remark("stimuli", f"images are those of {used[0]}")
        return {path: name for path, name in name_of.items() if not used or path.parent in used}

    def tested(self) -> set[str]:
        """Name the stimuli that trials tell to be for testing, in a column or as their table is called; remark it."""
        tables = [*filter(self.lists_trials, self.tables("stimulus_id"))]
        called = {path: set_of(str(path)) for path in tables}
        sides: dict[bool, set[str]] = {True: set(), False: set()}
        said = []
        for path in tables:
            ids, told = table_column(self.folder / path, "stimulus_id"), self.held_out(path)
            column, value = told or ("", "test" if "trai" in called.values() else "neither")
            cells = table_column(self.folder / path, column) if told else [called[path]] * len(ids)
            for name, cell in zip(ids, cells, strict=True):
                sides[cell == value].add(name)
            said += [f"{column} is {value} in {path.name}" if told else f"what {path} lists"] * (value in cells)
        if not sides[True] or sides[False] <= sides[True]:
            return set()
        self.remarks["splits"] = f"test: {said[0]}"
        return sides[True]

    def listing(self, images: list[Path]) -> list[Path]:
        """Order images as a list that names each of them once, a text or a vector of an array; else as they lie."""
        of = {name: path for path in images for name in (path.name, path.stem)}
        for path, names in self.lists(of, len(images)):
            order = [of[name] for name in names]
            if path.suffix not in TABLES and {*order} == {*images}:
                self.remark("stimuli", f"images are counted as {path} lists them")
                return order
        return images

    def lists(self, known: Collection[str], n: int) -> Iterator[tuple[Path, list[str]]]:
        """Find texts, vectors of arrays and columns of tables that name n of what is known, once each, in an order.

        Folders and endings of names do not count where they are not known.
        """
        found: list[tuple[Path, Iterable[str]]] = []
        for path in self.ending(".txt", ".json", *ARRAYS, *TABLES):
            with suppress(BrainalignError):  # what is no text, and pickled ones
                if path.suffix in (".txt", ".json"):
                    found += [(path, of) for of in listings(self.folder / path)]
                elif path in self.ending(*TABLES):
                    _, *rows = [*table_rows(self.folder / path)] or [[]]
                    found += [(path, cells) for cells in (zip(*rows, strict=False) if len(rows) == n else ())]
                else:
                    shapes = io.array_shapes(self.folder / path)
                    fitting = [key for key, of in shapes.items() if np.prod(of) == max(of, default=0) == n]
                    vectors = io.stored_arrays(self.folder / path, fitting).values()
                    found += [(path, map(cell_text, values.ravel())) for values in vectors]
        for path, cells in ((path, [*cells]) for path, cells in found):
            forms = ((cell, Path(cell).name, Path(cell).stem) for cell in cells if len(cells) == n)
            names = [*takewhile(bool, (next(filter(known.__contains__, of), "") for of in forms))]
            if len({*names}) == len(cells) == n:
                yield path, names

    def lists_trials(self, path: Path) -> bool:
        """Tell whether a table has a row per trial: it is called so, has runs or onsets, or names a stimulus twice."""
        columns = set(table_columns(self.folder / path))
        ids = [] if {"text", "caption"} & columns else table_column(self.folder / path, "stimulus_id")
        told = {"trial", "trial_id", "onset", "onset_s", "run", "session"} & {*map(str.lower, columns)}
        return bool("trial" in path.stem or told or len(ids) > len({*ids}) or self.holds_responses(path))

    def holds_responses(self, path: Path) -> bool:
        """Tell whether a table is called after responses, and has columns that are numbered as targets are."""
        numbered = [name for name in self.head(path)[0] if name[-1:].isdecimal()]
        called = re.search("(?i)respon|voxel|(?<![a-z])(beta|rate)s?(?![a-z])", path.stem)
        return bool(called and len(numbered) > 2 and self.holds_vectors(path))

    def holds_vectors(self, path: Path) -> bool:
        """Tell whether a table has several columns beside the ids, all of them numbers."""
        columns, first = self.head(path)
        cells = [cell for name, cell in zip(columns, first, strict=False) if name != "stimulus_id"]
        return len(cells) > 1 and all(map(is_number, cells))

    def vectors(self) -> dict[str, Any]:
        """Describe vectors as models: tables of them, arrays called so, and those with ids beside others of trials."""
        told = self.tables("stimulus_id")
        rows = {len(table_column(self.folder / path, "stimulus_id")) for path in told if self.lists_trials(path)}
        arrays = {path: io.array_shapes(self.folder / path) for path in self.ending(*ARRAYS)}
        others = [of for of in arrays.values() if "stimulus_id" not in of]
        rows |= {max(of[old]) for of in others for old, new in study_names([*of]).items() if new == "stimulus_id"}
        rows &= {n for of in others for shape in of.values() for n in shape}
        named = [path for path, of in arrays.items() if rows - {*of.get("stimulus_id", rows)} and self._has_ids(path)]
        named += [path for path in arrays if re.search("feature|vector|embed", path.stem, re.IGNORECASE)]
        if any(map(self.holds_responses, told)) or any(path.match("*_values.npy") for path in self.written):
            named += [path for path in arrays if path not in self.written]  # tables hold the responses, or held them
        tables = [path for path in told if self.holds_vectors(path) and not self.lists_trials(path)]
        models: dict[str, Any] = {}
        for path in dict.fromkeys([*named, *tables]):
            name = re.sub(r"[^A-Za-z0-9]", "", path.stem.removesuffix("_renamed")) or "own"
            name += "" if name not in models else str(1 + sum(known.startswith(name) for known in models))
            models[name] = {"extractor": "table", "file": str(path)}
        return models

    def _has_ids(self, path: Path) -> bool:
        """Tell whether a file of no subject names its rows, and each of them once."""
        with suppress(BrainalignError):  # where there are none, or pickled ones
            ids = [*map(cell_text, io.stored_arrays(self.folder / path, ["stimulus_id"])["stimulus_id"].ravel())]
            return len(ids) == len({*ids}) and not SUBJECT.search(str(path))
        return False

    def responses(self) -> list[Path]:
        """List the arrays that may be of responses: no vectors and times, and no X beside a Y of several columns."""
        known = {model["file"] for model in self.vectors().values()}
        found = [path for path in self.ending(*ARRAYS) if str(path) not in known]
        found = [path for path in found if not re.search(f"time|{JOINED}", path.stem)]
        found = [path for path in found if any(len(of) > 1 for of in io.array_shapes(self.folder / path).values())]
        y = [path for path in found if re.match("Y(?![a-z])", path.stem, re.IGNORECASE)]
        wide = any(len(of) > 1 and min(of) > 1 for path in y for of in io.array_shapes(self.folder / path).values())
        return [path for path in found if not (wide and re.match("X(?![a-z])", path.stem, re.IGNORECASE))]

    def lengths(self) -> set[int]:
        """Collect the lengths of the axes of arrays."""
        return {n for path in self.responses() for of in io.array_shapes(self.folder / path).values() for n in of}

    def timed(self, path: Path) -> bool:
        """Tell whether there are times, in a file of arrays or beside it, or a clock."""
        names = [*io.array_shapes(self.folder / path), *(of.stem for of in self.ending(".npy", ".txt"))]
        return any(map(TIMES.fullmatch, names)) or self.clock(path, volumes=False)[0] > 0

    def clock(self, path: Path, key: str = "", *, volumes: bool = True) -> tuple[float, float]:
        """Return samples per second, and when the first is (s), as a .json beside a file or it itself says; else 0.

        A repetition time is of volumes: it does not tell whether an array goes on in time.
        """
        at, whose = self.folder / path, {*SUBJECT.findall(str(path))}
        beside = [of for of in self.ending(".json") if of.parent in path.parents]
        beside = [of for of in beside if {*SUBJECT.findall(str(of))} <= whose]
        beside.sort(key=lambda of: of.stem == path.stem)  # what is called alike says it last
        sidecars: list[dict[str, Any]] = [{}]
        for of in beside:
            with suppress(BrainalignError):  # a list, say, of what was shown
                content = io.read_json(self.folder / of)
                parts = [part for part in content.values() if isinstance(part, dict)]
                sidecars.append({name: value for part in (*parts, content) for name, value in part.items()})
        alike = any(of.stem == path.stem for of in beside) or len({_stated(of, RATE) for of in sidecars} - {0.0}) < 2
        told = {name: value for of in sidecars for name, value in of.items()} if alike else {}
        single = [name for name, of in io.array_shapes(at).items() if np.prod(of) == 1]
        told |= io.stored_arrays(at, [name for name in single if _bare(name) in (*STEP, *RATE, *START)])
        if path.suffix in (".h5", ".hdf5", ".hf5", ".nc"):
            with io.open_hdf5(at) as file:
                groups = (file, file[key].parent, file[key]) if key else (file,)
                told |= {name: value for of in groups for name, value in of.attrs.items()}
        step, rate, start = (_stated(told, names) for names in (STEP * volumes, RATE, START))
        return rate if rate > 0 or step <= 0 else 1 / step, start / 1000 if abs(start) >= LATEST_START_S else start

    def splits(self, stimuli: Path | None, runs: int, ids: Collection[str] = ()) -> dict[str, Any]:
        """Say what is held out: test stimuli that a table names, else runs in turn, else a fifth of the stimuli.

        `ids` are those of trials, for where there is no table of stimuli.
        """
        columns = table_columns(self.folder / stimuli) if stimuli else []
        if stimuli and (told := self.held_out(stimuli)):
            return {"held": {"column": told[0], "value": told[1]}}
        n = len(table_column(self.folder / stimuli, "stimulus_id")) if stimuli else len({*ids})
        default = f"{min(0.8, max(0.2, (MIN_TEST + 1) / n if n else 0)):.2g}" if n > 20 or runs < 3 else "run"
        # Sentences of a passage tell of each other: passages are held out as wholes.
        named = ((of, name) for of in self.tables("stimulus_id") for name in filter(PASSAGE.match, self.head(of)[0]))
        cells = {name: table_column(self.folder / of, name) for of, name in named}
        whole = [name for name, of in cells.items() if MIN_FOLDS <= len({*of}) <= len(of) / 2]
        folds = [column for column in columns if column.lower() in ("fold", "folds", "cv_fold")]
        folds = [column for column in folds if len({*table_column(self.folder / str(stimuli), column)}) > 2]
        default = [*folds, *sorted(whole, key=lambda name: -len({*cells[name]})), default][0]
        what = self.answer("splits", "what is held out: run, session, or a share of the stimuli", default)
        several = {"folds": MIN_FOLDS} if what in whole else {}
        return {"held": {"share": float(what)} if what.replace(".", "").isdigit() else {"leave_out": what} | several}

    def held_out(self, table: Path) -> tuple[str, str] | None:
        """Find the column of a table that tells test stimuli from others, if any, and what it says of them."""
        for column in table_columns(self.folder / table):
            of = {value.lower(): value for value in table_column(self.folder / table, column)}
            marked = OF_SET.fullmatch(column)
            sets = {found[1].lower(): value for value in of.values() if (found := OF_SET.fullmatch(value))}
            held = [sets[name] for name in HELD_OUT if name in sets]
            if marked and of.keys() & YES and of.keys() & NO:
                held = [of[value] for value in of.keys() & (NO if marked[1].lower() == "train" else YES)]
            if held and len(of) <= MOST_SETS:
                return column, held[0]
        return None


def are_names(cells: Collection[str], shown: Collection[str], n_others: int = 0) -> bool:
    """Tell whether cells, which are no numbers, all name something that was shown, but for what less than half say."""
    said = [cell for cell in cells if cell in shown or not NOTHING.fullmatch(cell)]
    names = Counter(PureWindowsPath(cell).name for cell in said)  # which parts at / and \
    known = [name for name in names if name in shown or _folded(name) in shown]
    less = len(names) - len(known) <= n_others and 2 * sum(names[name] for name in known) >= len(cells)  # a cross, say
    return less and not all(map(is_number, names))


def study_names(known: list[str]) -> dict[str, str]:
    """Name what is called otherwise as studies do, and leave what is called so, or so called already."""
    lower = {re.sub("[-_ ]", "", name.lower()): name for name in reversed(known)}  # stimIdx, Image ID
    names: dict[str, str] = {}
    for name, called in CALLED.items():
        words = [other.replace("_", "") for other in [name, *called.split()]]
        if name == "stimulus_id":
            words += [*filter(SHOWN.fullmatch, lower), *(f"{word}s" for word in words)]  # as vectors are called
        others = [lower[word] for word in words if word in lower]
        if others and name not in known and others[0] not in names:
            names[others[0]] = name
    return names


def image_names(images: list[Path], shown: Collection[str]) -> list[str]:
    """Name images as trials do, with folders and ending or without; else as shortly as no other could be called."""
    forms_of = [[*_ends(path.parts), *_ends(path.with_name(path.stem).parts)] for path in images]
    counts = Counter(form for forms in forms_of for form in forms)
    # Folders may be another machine's. Windows takes dog.JPG for Dog.jpg, and macOS parts an umlaut from its letter.
    unknown = {name: PureWindowsPath(name).parts for name in shown if name not in counts}
    elsewhere = [(_folded(end), name) for name, parts in unknown.items() for end in _ends(parts)]
    often = Counter(end for end, _ in elsewhere)
    alike = {end: name for end, name in elsewhere if often[end] == 1}
    names = []
    for forms in forms_of:
        as_shown = [form for form in forms if form in shown]
        as_shown += [alike[_folded(form)] for form in forms if _folded(form) in alike]
        names.append(next(iter(as_shown), None) or next(form for form in forms[::-1] if counts[form] == 1))
    return names


def _ends(parts: Sequence[str]) -> list[str]:
    """List what a path may be called: with all its folders, without the first, and so on to the name alone."""
    return ["/".join(parts[k:]) for k in range(len(parts))]


def _are_images(name: str, shape: tuple[int, ...]) -> bool:
    is_grey = len(shape) == 3 and len({*shape}) < 3 and PICTURES.fullmatch(name.rpartition("/")[2])
    return bool(is_grey) or (len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def listings(path: Path) -> list[list[str]]:
    """List the lists of texts in a file: its lines, but of JSON itself, its values, and those that are lists."""
    content: Any = [line for line in io.read_lines(path) if line.strip()]
    with suppress(ValueError):
        content = json.loads("".join(content)) if path.suffix == ".json" else content
    parts = [[*content.values()], *content.values()] if isinstance(content, dict) else [content]
    return [of for of in parts if of and isinstance(of, list) and all(isinstance(name, str) for name in of)]


def _numbers(lab: Lab, images: list[Path], shown: Collection[str]) -> list[str]:
    """Number images as trials do (7, or `S  7`): by the last number in their names, or by an order from 0 or 1."""
    digits = {name: re.findall(r"\d*$", name)[0] for name in shown}
    if not all(digits.values()) or len({name.removesuffix(of).rstrip() for name, of in digits.items()}) > 1:
        return []
    codes = _codes_in_tables(lab, images, shown)
    if codes:
        which, *others = codes
        which = lab.answer("stimuli", f"numbers of images: {', '.join(codes)}", "") if others else which
        check_choice("the column of numbers of images", which, codes)
        lab.remark("stimuli", f"numbers of images are {which}")
        return [codes[which][image.stem] for image in images]
    asked = {int(digits[name]): name for name in shown}
    n, start, order = len(images), min(asked), lab.listing(images)
    last = [int((re.findall(r"\d+", path.stem) or ["-1"])[-1]) for path in images]
    counts = start in (0, 1) and max(asked) == start + n - 1
    is_called = len({*last}) == n and {*last} >= {*asked}
    is_listed = order != images and max(asked) < n + (start > 0)
    if is_called and is_listed:  # scene_7 may be the first of a list that trials count
        question = "numbers of images: their place in what lists them, or the last number in their name"
        default = "place" if counts else "name"
        if {*last} == {*asked} and lab.vectors():
            default = ""  # a list of vectors?
        is_listed = lab.answer("stimuli", question, default) == "place"
    if is_called and not is_listed:
        first = "0"
        if min(last) == 0 < start and max(asked) <= n:  # as counts from 1 are, where not all were shown
            first = lab.answer("stimuli", f"number of {images[last.index(0)].name}: 0 as it is called, or 1", "0")
        numbers = [number + int(first) for number in last]
    elif counts or (is_called and is_listed):
        places = {path: (start > 0) + k for k, path in enumerate(order)}
        numbers = [places[path] for path in images]
    else:
        return []
    return [asked.get(number, str(number)) for number in numbers]


def _codes_in_tables(lab: Lab, images: list[Path], shown: Collection[str]) -> dict[str, dict[str, str]]:
    """Find columns that have a code for each image, of tables of trigger codes or trials; each code by image."""
    codes_of, known = dict[str, dict[str, str]](), lab.shown()
    for path in lab.ending(*TABLES):
        columns = {name: cells for name, *cells in zip(*table_rows(lab.folder / path), strict=False)}
        naming = next((cells for cells in columns.values() if are_names(cells, known)), [])
        stems = [Path(name).stem for name in naming]
        if not {*stems} >= {image.stem for image in images}:
            continue
        for name, codes in columns.items():
            code_of = dict(zip(stems, codes, strict=True))
            is_one_to_one = len({*codes}) == len(code_of) == len({*zip(stems, codes, strict=True)})
            if is_one_to_one and {*codes} >= {*shown} and code_of not in codes_of.values():
                codes_of[f"{name} of {path}"] = code_of
    return codes_of


def _bare(name: str) -> str:
    return re.sub(r"[-_ ](?:hz|m?s)$|[-_ ]", "", name.rpartition("/")[2].lower())


def _stated(told: dict[str, Any], names: Collection[str]) -> float:
    """Return the number that stands under any of some names, the last of several; 0 where none does."""
    for name in reversed(told):
        text = cell_text(told[name]).split()[:1] if _bare(name) in names else []  # 250 Hz
        if text and is_number(text[0]):
            return float(text[0])
    return 0.0


def is_number(cell: str) -> bool:
    """Tell whether a cell of a table holds a finite number."""
    with suppress(ValueError):
        return bool(np.isfinite(float(cell)))
    return False


@lru_cache
def _is_single(path: Path) -> bool:
    """Tell whether an image is one volume; what cannot be read is for `check` to tell."""
    with suppress(BrainalignError):
        return len(io.load_image_file(path).shape) == 3
    return False


def set_of(name: str) -> str:
    """Return trai or test where a name says so of a set of stimuli."""
    return "".join(re.findall(rf"(?i)(?<![a-z]){SET}", name)[:1]).lower()[:4]


def subject_of(path: Path) -> str:
    """Return the subject that a path names, 01 where it names none."""
    named = SUBJECT.search(path.as_posix())
    return named[1] if named else "01"


def by_subject(paths: list[Path], runs: Collection[str] = ()) -> dict[str, list[Path]]:
    """Sort files by subject; those that are not called sub-..., by the words in which their paths differ.

    Those of runs, sessions, sets, hemispheres and regions do not count.
    """
    names = {path: words_of(path, runs) for path in paths}
    shared = set.intersection(*map(set, names.values())) if names else set()
    subjects: dict[str, list[Path]] = {}
    for path, words in names.items():
        own = "".join(word for word in dict.fromkeys(words) if word not in shared)  # S1/S1_run-1 is of S1
        subjects.setdefault(subject_of(path) if SUBJECT.search(path.as_posix()) else own or "01", []).append(path)
    return subjects


def files_of_subject(name: str, paths: list[Path], names: Collection[str]) -> list[Path]:
    """Choose the files of a subject, `1` and `01` being one, or else those that are of none of the subjects."""
    bare, groups = bare_name(name), by_subject(paths)
    joined = {who: re.sub("[^A-Za-z0-9]", "", of[0].as_posix()) for who, of in groups.items()}
    own = [path for who, of in groups.items() if bare_name(who) == bare and who in joined[who] for path in of]
    others = {*map(bare_name, names)} - {bare}
    told = [path for path in paths if SUBJECT.search(path.as_posix()) or others & {*map(bare_name, words_of(path))}]
    found = own or [path for path in paths if path not in told] or (paths if {*names} == {"01"} else [])
    if not found:
        called = listed([str(path) for path in paths])
        raise BrainalignError(f"subject {name}: {called} are called after others; name a file of each of them alike")
    return found


def bare_name(name: str) -> str:
    """Return a name in small letters, numbers without leading zeros."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", name).lower()


def of_task(lab: Lab, paths: list[Path]) -> list[Path]:
    """Choose files of one task, where they are of several."""
    tasks = dict.fromkeys(match[1] for path in paths if (match := re.search(r"task-([A-Za-z0-9]+)", path.name)))
    if len(tasks) < 2:
        return paths
    chosen = lab.answer("recordings", f"task: {', '.join(tasks)}", next(iter(tasks)))
    return [path for path in paths if f"task-{chosen}_" in path.name]


def hemispheres_of(paths: list[Path]) -> dict[str, list[str]]:
    """Return the files of each hemisphere, by what stands in their names: L, R, lh or rh."""
    sides = [(match[1].upper(), str(path)) for path in paths if (match := HEMISPHERE.search(path.name))]
    return {side: [path for of, path in sides if of == side] for side in dict(sorted(sides))}


def words_of(path: Path, runs: Collection[str] = ()) -> list[str]:
    """Return the words of a path but for those of runs, sessions, sets, hemispheres and regions."""
    text = path.with_name(path.name.split(".")[0]).as_posix()
    for run in sorted(runs, key=len, reverse=True):
        text = re.sub(as_word(run), " ", text)
    region = HEMISPHERE if path.suffix in (".gii", ".mgh") else REGION
    return re.findall("[A-Za-z0-9]+", PART.sub(" ", text if runs else region.sub(" ", text)))


def as_word(name: str) -> str:
    """Write a pattern of a name that stands by itself, its numbers with leading zeros or without."""
    return r"(?<![A-Za-z0-9])" + re.sub(r"0*(\d+)", r"0*\1", re.escape(name)) + r"(?![A-Za-z0-9])"


def cell_text(value: Any) -> str:
    """Write an entry of a vector: MATLAB's cells hold arrays, and its counts are fractions."""
    while isinstance(value, np.ndarray) and value.size:
        value = value.flat[0]
    if isinstance(value, bytes):  # of HDF5
        return value.decode()
    return f"{value:.15g}" if isinstance(value, float | np.floating) else str(value).rstrip()  # MATLAB pads texts


def rows_of_events(lab: Lab, paths: list[Path]) -> tuple[list[str], list[dict[str, str]], list[dict[str, str]]]:
    """Return the column of events that names what was shown, if any, all rows, and those of what was shown."""
    key = [old for old, new in study_names(table_columns(lab.folder / paths[0])).items() if new == "stimulus_id"]
    tables = [[*table_rows(lab.folder / path)] for path in paths]
    rows = [dict(zip(header, row, strict=False)) for header, *of in tables for row in of]
    return key, rows, [row for row in rows if key and row.get(key[0], "") not in io.MISSING] or rows


def named_texts(lab: Lab, names: list[str]) -> dict[str, Any]:
    """Describe stimuli by their names as texts, where there is neither table nor image of them."""
    for path in lab.ending(".zip"):
        with io.reading(lab.folder / path, "not a whole .zip file"), zipfile.ZipFile(lab.folder / path) as archive:
            called = {form for of in map(Path, archive.namelist()) for form in (of.name, of.stem)}
        if {*names} & called:
            raise BrainalignError(f"{path} holds what was shown ({listed(sorted({*names} & called))}); unpack it")
    clips = [of for of in lab.ending(*SOUNDS, *FILMS) if {of.name, of.stem} & {*names}]
    if clips and not lab.vectors():
        remedy = "save a vector of each as features.npz (features, stimulus_id; docs/pages/own_features.md)"
        raise BrainalignError(f"{clips[0]}: no model sees or hears clips of single trials; {remedy}")
    lab.remark("stimuli", "names as texts, say what was shown in words")
    return {name: {"texts": [name.replace("_", " ")]} for name in dict.fromkeys(names)}
