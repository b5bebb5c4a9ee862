"""Tables and boxes, pages of groups and of runs left out, and pages that fit a phone, by day and by night."""

import base64
import html
import io
import re
import threading
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from drawn import panels, points
from markupsafe import Markup
from matplotlib.figure import Figure
from pages import DARK, EVIL, RECORD, cells, check, config, dumped, image_study, inaccessible, needs_browser
from PIL import Image

from brainalign.config import Config
from brainalign.report import kit, pages
from brainalign.report.kit import N_VERTICES, StudyMaterial
from brainalign.report.pages import group_of_blocks_chapter

# What would run, or ask another place for something, if it ever got past the escaping.
FOREIGN = """<script>document.body.dataset.foreign = "script";</script>
<img src="nothing.png" onerror="document.body.dataset.foreign = 'handler'">
<img src="outside.png" id="outside"></body>"""


def page_of(dataset: str, chapter: kit.Chapter, **content: Any) -> str:
    config = Config.model_construct()
    return kit.render_page(kit.StudyMaterial(config, dataset, SimpleNamespace(title=dataset), **content), [chapter])


def scores() -> pd.DataFrame:
    rows = []
    for quantity in ("mean r", "RSA, Spearman"):
        for subject, modality in (("01", "fmri"), ("02", "fmri"), ("03", "meg"), ("04", "eeg")):
            for model, value in (("effnet", 0.4), ("vit", 0.3), ("effnetrandom", 0.45 if subject == "04" else 0.1)):
                rows.append((quantity, modality, subject, model, value, value - 0.03, value + 0.03, 800, 0.6))
    names = ["quantity", "modality", "subject", "model", "value", "low", "high", "n", "ceiling"]
    return pd.DataFrame(rows, columns=names)


def comparisons() -> pd.DataFrame:
    rows = [("01", 0.1, 0.07, 0.13, 0.01), ("02", 0.02, -0.01, 0.05, 0.3), ("03", -0.1, -0.13, -0.07, 0.01)]
    rows.append(("04", 0.05, 0.01, 0.09, 0.2))  # its own interval leaves out 0, the corrected p does not reject
    table = pd.DataFrame(rows, columns=["subject", "difference", "low", "high", "p"])
    return table.assign(quantity="mean r", model_a="effnet", model_b="vit", n=800)


def test_the_largest_score_is_bold_but_never_a_control_and_a_tie_is_called_a_tie(kept: Callable[..., None]) -> None:
    table = kit.score_table(scores(), ["effnetrandom"])
    assert table.count("<b>.400</b>") == 8
    assert "<b>.450</b>" not in table  # larger in subject 04, but a control
    missing = scores().query("not (subject == '02' and model == 'vit')")
    kept(table, kit.score_table(scores().assign(low=np.nan)), kit.score_table(missing))
    rows = cells(kit.comparison_table(comparisons()))[1:]
    assert [row[-1] for row in rows] == ["effnet is better", "tie", "vit is better", "tie"]
    kept(rows, kit.comparison_table(comparisons().assign(p=np.nan, n=np.nan)))


@cache
def group_page() -> str:
    vertices = pd.DataFrame({"hemi": np.repeat(["L", "R"], N_VERTICES), "vertex": np.tile(np.arange(N_VERTICES), 2)})
    vertices["r"] = np.select([vertices["vertex"] < 1000, vertices["vertex"] < 5000], [-0.2, 0.5], np.nan)
    maps = [kit.surface_map(vertices, "r", title=f"Score of model {k}", unit="r") for k in range(4)]
    viewer, wide = kit.surface_viewer(maps), Figure(figsize=(9, 3), dpi=110)
    wide.add_subplot().imshow(np.eye(10))
    drawn = Figure(figsize=(9, 3), dpi=110)
    drawn.add_subplot().plot(np.arange(10))
    panels = [kit.Panel("s", "Surface", "c", None, html=viewer), kit.Panel("w", "Wide", "long " * 40 + "x" * 300, wide)]
    panels.append(kit.Panel("v", "Vector", "c", drawn, scores()))
    box = kit.html_table(["a long name of a column"] * 9, [["a long name of a split"] * 9], "Splits")
    said = {"controls": ["effnetrandom"], "notes": ["Four subjects."]}
    sections = [kit.Section("maps", "Maps", panels, ["Text."], [box])]
    return page_of("simulated", pages.scores_chapter(scores(), comparisons(), sections, **said))


def test_the_group_page_holds_tables_figures_and_numbers() -> None:
    page = group_page()
    assert len(page) < 2_000_000
    page = page[page.index("<main>") :]
    order = ["is above chance in", "<svg", "Text.", "Four subjects.", "All scores", "sub-01 (fmri)"]
    order += ["2 of 4 differences", "All comparisons</summary>", "vit is better"]
    assert sorted(order, key=page.index) == order  # pictures and maps come first, tables behind their titles
    csv = re.search(r'simulated_scores.csv" href="data:text/csv;base64,([^"]+)', page)[1]
    table = pd.read_csv(io.BytesIO(base64.b64decode(csv)), dtype={"subject": str})
    pd.testing.assert_frame_equal(table, scores(), check_dtype=False)
    assert "http://" not in re.sub(r"<script.*?</script>|data:[^\"]+", "", page, flags=re.DOTALL)  # from outside
    alone = page_of("d", pages.scores_chapter(scores()))
    check(alone, unsaid=['id="comparisons"', "under Comparisons", "surface-bundle"])


def test_what_comes_from_data_is_escaped_on_the_group_page() -> None:
    rows = scores().assign(model=EVIL, quantity=EVIL, subject=EVIL, modality=EVIL).iloc[:1]
    compared = comparisons().assign(quantity=EVIL, model_a=EVIL, model_b=EVIL, subject=EVIL)
    section = kit.Section("s", EVIL, [kit.Panel("p", EVIL, EVIL, None, html=EVIL)], [EVIL])
    record = dict.fromkeys(RECORD, EVIL) | {"library": {"digest": EVIL}, "files": {EVIL: {"sha256": EVIL}}}
    chapter = pages.scores_chapter(rows, compared, [section], notes=[EVIL])
    page = page_of(EVIL, chapter, failures=[kit.Failure(EVIL, EVIL, EVIL)], sidecars={EVIL: record})
    assert EVIL not in page
    assert page.count("&lt;img src=x") > 20
    assert "This report is incomplete: 1 job(s) left no result" in page


def test_every_page_says_first_what_it_may_do() -> None:
    """Code of viewers by its digest where there are some, else none; nothing is fetched and nothing sent."""
    head = r'<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="([^"]*)">'
    both = page_of("d", pages.scores_chapter(scores())), group_page()
    policies = (html.unescape(re.search(head, page)[1]).split("; ") for page in both)
    plain, turned = (dict(rule.split(" ", 1) for rule in rules) for rules in policies)
    assert {**plain, "script-src": ""} == {**turned, "script-src": ""}
    assert re.fullmatch(r"'sha256-[^']+'", plain["script-src"])
    assert plain["default-src"] == plain["base-uri"] == plain["form-action"] == "'none'"
    assert (plain["img-src"], turned["script-src"].count("'sha256-")) == ("data:", 3)
    assert "unsafe-inline" not in turned["script-src"]


BUDGET = "--virtual-time-budget=20000"


# A headless window is at least 500 px wide, so a phone's width is that of a frame.
FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0"><script>
addEventListener("message", (event) => document.body.dataset.measured = event.data);
</script><iframe style="width:{width}px;height:{height}px;border:0" srcdoc="{page}"></iframe></body>"""
MEASURE = """<script>addEventListener("load", () => {
  const seen = [...document.querySelectorAll("img, figure, section, .stage, .scroll, nav")];
  const widest = Math.max(...seen.map((element) => element.getBoundingClientRect().right));
  parent.postMessage([innerWidth, document.documentElement.scrollWidth, Math.ceil(widest),
    getComputedStyle(document.body).backgroundColor].join("|"), "*");
});</script>"""
READY = """<script>
const viewer = document.querySelector(".surface-viewer");
const plot = () => Math.round(document.querySelector(".stage .svg-container").getBoundingClientRect().width);
// A page is dumped when it has loaded, which this image holds up until there is something to see.
const ask = (name) => document.body.append(Object.assign(new Image(), { src: "GATE/" + name }));
ask("wait");
new MutationObserver(() => {
  document.body.dataset.ready = viewer.dataset.ready;
  document.body.dataset.before = plot();
  document.body.dataset.inside = document.querySelector("figure img").naturalWidth;
  document.body.dataset.outside = document.getElementById("outside").naturalWidth;
  new ResizeObserver(() => setTimeout(() => {
    document.body.dataset.after = plot();
    ask("go");
  }, 2000)).observe(viewer);
  viewer.querySelectorAll("button")[2].click();
  const threshold = viewer.querySelector(".threshold input");
  threshold.value = 50;
  threshold.dispatchEvent(new Event("input", {bubbles: true}));
  document.querySelector("main").style.width = "390px";
}).observe(viewer, {attributeFilter: ["data-ready"]});
</script>"""


@pytest.fixture
def gate() -> Iterator[str]:
    """Serve an address where /wait is answered after /go was asked for, whatever else the machine does."""
    opened = threading.Event()

    class Gate(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            opened.set() if self.path == "/go" else opened.wait(60)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Gate) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        opened.set()
        server.shutdown()


def measured(folder: Path, page: str, width: int, *flags: str, height: int = 8900) -> list[str]:
    """Return what a page with MEASURE or SCROLLED in it says of itself in a window of this size."""
    frame = FRAME.format(width=width, height=height, page=html.escape(page))
    found = re.search(r'data-measured="([^"]+)"', dumped(folder, frame, *flags))
    assert found, "nothing was measured, or the section scrolled to was never marked"
    return found[1].split("|")


@needs_browser
@pytest.mark.parametrize(("width", "flags"), [(390, (DARK,)), (1200, ())])
def test_a_page_is_never_wider_than_its_window(tmp_path: Path, probed, width: int, flags: tuple[str, ...]) -> None:
    window, page, widest, ground = measured(tmp_path, probed(group_page(), MEASURE), width, BUDGET, *flags)
    assert int(window) == width >= max(int(page), int(widest))
    shades = [int(value) for value in re.findall(r"\d+", ground)]
    assert max(shades) < 60 if flags else shades == [255, 255, 255]


@needs_browser
@pytest.mark.parametrize("flags", [(), (DARK, "--window-size=500,9000")])
def test_everyone_can_read_a_page(tmp_path: Path, flags: tuple[str, ...]) -> None:
    assert inaccessible(tmp_path, group_page(), *flags) == []


def test_the_contents_say_what_sections_found_and_where_a_control_failed() -> None:
    said = ["This is about a layer. Of 4 regions " + "and so on " * 9 + "3 decide.", "12 more."]
    sections = [kit.Section("a", "First", [], said), kit.Section("b", "Second", [], ["Nothing was asked."])]
    sections.append(kit.Section("c", "Third"))
    page = page_of("d", kit.Chapter("", sections, failed_controls=[kit.FailedControl("null", 0.5, "m", section="b")]))
    (nav,) = re.findall("<nav.*?</nav>", page, re.DOTALL)
    links = dict(re.findall(r'<a href="#(\w+)">(.*?)</a>', nav, re.DOTALL))
    assert (links["a"], links["c"]) == ("First<small>Of 4 regions and so on and so on and so on…</small>", "Third")
    assert re.fullmatch(r"Second <span class=.dot.*?>●</span><small>Nothing was asked</small>", links["b"])
    assert re.search(r'0.5|[.]500.*?<a href="#b">', page[page.index("<main>") :])


# Which link is marked, and whether the list is open, once the section scrolled to is marked: gate holds the page.
SCROLLED = """<script>
const ask = (name) => document.body.append(Object.assign(new Image(), { src: "GATE/" + name }));
ask("wait");
const told = () => {
  const marked = [...document.querySelectorAll("nav [aria-current]")].map((link) => link.hash);
  if (!marked.includes("#comparisons")) return;
  parent.postMessage([document.querySelector("nav details").open, ...marked].join("|"), "*");
  ask("go");
};
new MutationObserver(told).observe(document.querySelector("nav"), {attributeFilter: ["aria-current"], subtree: true});
document.getElementById("comparisons").scrollIntoView();
</script>"""


@needs_browser
@pytest.mark.parametrize(("width", "opened"), [(390, "false"), (1200, "true")])
def test_contents_mark_the_section_in_sight_and_fold_on_a_phone(tmp_path, probed, gate, width, opened: str) -> None:
    page = probed(group_page(), SCROLLED.replace("GATE", gate)).replace("img-src data:", f"img-src data: {gate}", 1)
    assert measured(tmp_path, page, width, height=300) == [opened, "#comparisons"]


# What is left of a long table, and what is said of it, after words were typed.
TYPED = """<script>addEventListener("load", () => {
  const field = document.querySelector(".search input");
  field.value = "V1  RIDGE";
  field.dispatchEvent(new Event("input"));
  const rows = [...document.querySelectorAll("tbody tr")].filter((row) => row.checkVisibility());
  const said = [document.querySelectorAll("input").length, document.querySelector(".search output").textContent.trim()];
  document.body.dataset.typed = [rows.map((row) => row.cells[2].textContent), ...said].join("|");
});</script>"""


@needs_browser
def test_a_long_table_is_searched_by_region_and_model(tmp_path: Path, probed) -> None:
    """Thirteen rows have a field to search them, twelve have none."""
    rows = [[region, model, f"{region}{model}"] for region in ("V1", "V2", "V4") for model in ("ridge", "lasso")] * 2
    blocks = [kit.html_table("abc", [*rows, ["IT", "ridge", EVIL]]), kit.html_table("abc", rows)]
    seen = dumped(tmp_path, probed(page_of("d", kit.Chapter("", [kit.Section("s", "Section", blocks=blocks)])), TYPED))
    left = ["V1ridge", "V1ridge", *(row[2] for row in rows)]
    assert re.search(r'data-typed="([^"]*)"', seen)[1] == f"{','.join(left)}|1|2 of 13"


# Which sections are open at first, once all are closed, and after a link to one; and what stands of a closed one.
CLOSED = """<script>addEventListener("load", () => {
  const open = () => [...document.querySelectorAll("main > section:not(.closed)")].map((section) => section.id).join();
  const told = [open()];
  document.querySelector("nav .all").click();
  const left = [...document.querySelectorAll("#b > *")].filter((one) => one.checkVisibility());
  told.push(open(), left.map((one) => one.textContent).join("/"));
  document.querySelector("nav a[href='#b']").click();
  told.push(open(), document.querySelector("nav .all").textContent);
  document.body.dataset.open = told.join("|");
});</script>"""


@needs_browser
def test_sections_close_to_what_they_found_and_open_by_a_link(tmp_path: Path, probed) -> None:
    sections = [kit.Section(name, name.upper(), paragraphs=[f"Found {name}. More.", "Text."]) for name in "ab"]
    sections[1].blocks.append(Markup('<div class="check found">A warning.</div>'))
    seen = dumped(tmp_path, probed(page_of("d", kit.Chapter("", sections)), CLOSED))
    told = re.search(r'data-open="([^"]*)"', seen)[1].split("|")
    assert told == ["a,b", "", "B/Found b/A warning.", "b", "Open all sections"]


# Names and contents of the files that the buttons below figures give.
GIVEN = """<script>
HTMLAnchorElement.prototype.click = function () {
  document.body.append(Object.assign(document.createElement("pre"), {textContent: `${this.download} ${this.href}`}));
};
addEventListener("load", () => document.querySelectorAll(".files button").forEach((button) => button.click()));
</script>"""


@needs_browser
def test_figures_are_saved_as_they_are_drawn_in_black_on_white(tmp_path: Path, probed) -> None:
    line, cells = Figure(figsize=(4, 2)), Figure(figsize=(3, 3))
    line.add_subplot(xlabel="time (ms)").plot([0, 1, 2], [0.1, 0.5, 0.2], "o-", color="#0072B2")
    cells.add_subplot().imshow(np.eye(3))
    panels = [kit.Panel("line", "A line", "", line), kit.Panel("cells", "Cells", "", cells)]
    page = page_of("d", kit.Chapter("", [kit.Section("s", "Section", panels=panels, paragraphs=["Said."])]))
    seen = dumped(tmp_path, probed(page, GIVEN), DARK, BUDGET)
    found = dict(html.unescape(text).split(" ", 1) for text in re.findall("<pre>([^<]*)</pre>", seen))
    assert set(found) == {"page_figure-line.svg", "page_figure-line.png", "page_figure-cells.png"}
    drawing = ElementTree.fromstring(unquote(found["page_figure-line.svg"].split(",", 1)[1]))
    assert "time (ms)" in [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    for name, width, colour in (("line", 4 * 300, [0, 114, 178]), ("cells", 300, [253, 231, 37])):
        content = base64.b64decode(found[f"page_figure-{name}.png"].split(",", 1)[1])
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
        assert (pixels.shape[1], pixels[0, 0].tolist()) == (width, [255, 255, 255])
        assert (pixels.max(axis=-1) < 60).any()  # axes
        assert (np.abs(pixels - colour).max(axis=-1) < 12).any()


@needs_browser
def test_the_browser_draws_the_surface_follows_the_width_and_runs_nothing_else(tmp_path, probed, gate: str) -> None:
    Image.new("RGB", (60, 60)).save(tmp_path / "outside.png")
    whole = probed(group_page().replace("</body>", FOREIGN), READY.replace("GATE", gate))
    page = dumped(tmp_path, whole.replace("img-src data:", f"img-src data: {gate}", 1))
    found = dict(re.findall(r'data-(\w+)="(\w+)"', re.search(r"<body[^>]*>", page)[0]))
    assert found["ready"] == "true"
    assert "foreign" not in found
    assert int(found["inside"]) > 500
    assert int(found["outside"]) == 0
    assert 600 < int(found["before"]) <= 1200
    assert 200 < int(found["after"]) <= 390
    assert re.search(r'data-map="2" aria-pressed="true"', page)
    assert "(8,000 of 20,484 vertices are)" in page  # beyond half of the largest
    assert re.search(r"Only values beyond .*<output>0.25</output>", page)


SUBJECTS = ("01", "02", "03")
ROW = {"split": "runs", "chance": 0.5, "null_mean": 0.5, "null_95": 0.6, "n_null": 99, "n": 6}
# Of a network of two layers, of its random twin, and of a classifier: identification and p, which few layers share.
FITS = {
    ("net", "ridge", "early"): (0.9, 0.01), ("net", "ridge", "late"): (0.6, 0.2), ("net", "ridge", "all"): (0.75, 0.03),
    ("twin", "ridge", "early"): (0.52, 0.4), ("none", "svm", ""): (0.8, 0.01),
}  # fmt: skip


def summary() -> pd.DataFrame:
    rows = []
    for k, subject in enumerate(SUBJECTS):
        for (model, method, layer), (value, p) in FITS.items():
            keys = {"subject": subject, "model": model, "method": method, "layer": layer}
            quantity = "classification" if model == "none" else "identification"
            value += 0.02 * k
            row = {**keys, "quantity": quantity, "value": value, "p": p, "low": value - 0.1, "high": value + 0.1}
            rows += [ROW | row, ROW | row | {"quantity": "largest r", "value": 3.0}]
    return pd.DataFrame(rows)


def test_every_model_is_told_in_every_subject() -> None:
    study: Any = SimpleNamespace(recordings=dict.fromkeys(SUBJECTS), notes=("A note.",))
    models = {name: SimpleNamespace(random=name == "twin", extractor="table") for name in ("net", "twin")}
    fits = [("net", "ridge"), ("twin", "ridge")]
    config: Any = SimpleNamespace(models=models, models_of=lambda _: [*models], fits_of=lambda _: fits, confidence=0.9)
    material = StudyMaterial(config, "blocks", study, "", tables={"summary": summary()})
    # The grids of two scanners that are shaped alike are no space in common: tables of maps are there, and empty.
    material.tables |= {"grouptargets": pd.DataFrame(), "groupmaps": pd.DataFrame()}
    answer = (chapter := group_of_blocks_chapter(material)).answer
    told = "net is above chance in 3 of 3 subjects, identification, runs .770, chance .500 (best control twin: .540)."
    assert (answer.opening, answer.holds, answer.words) == ("Yes.", True, told)
    (panel,) = chapter.sections[0].panels
    assert "90%" in panel.caption
    drawn = {ax.get_title(): points(ax) for ax in panels(panel.figure)}
    assert set(drawn) == {"identification, runs", "classification, runs"}
    for name, values in (("net", [0.75, 0.77, 0.79]), ("twin", [0.52, 0.54, 0.56])):
        assert [mark.y for mark in drawn["identification, runs"] if mark.label == name] == pytest.approx(values)
    assert "A note." in chapter.findings
    material.tables["summary"] = summary().query("subject != '03' or model != 'net'")
    one = "net scores highest in 2 of 3 subjects, identification, runs .760 in the 2 it was fitted to"
    assert group_of_blocks_chapter(material).sections[0].paragraphs == [f"{one}; best control twin .540."]
    assert pages.group.best_in_subjects(summary(), ["net"]).startswith("twin scores highest in 0 of 3 subjects")
    tie = pages.group.best_in_subjects(summary().query("layer == 'early'").assign(value=0.7), [])
    assert tie.startswith("net scores highest, alone or with others, in 3 of 3 subjects")
    of_one = summary().query("model == 'net' and layer == 'late'")
    assert pages.group.best_in_subjects(of_one, []) == "net: identification .620 on average."
    del material.tables["summary"]
    chapter = group_of_blocks_chapter(material)
    assert (chapter.answer, "3" in chapter.kind) == (None, True)


def test_arrays_over_time_are_no_average_with_others() -> None:
    array = {"format": "array", "values": "v.npy", "trials": "t.tsv"}
    people = image_study(recordings={"01": array, "02": array | {"times_s": [0.0, 0.1]}})
    failed = kit.StudyMaterial(
        config(models={"net": {"extractor": "onehot"}}), "study", people, failures=[kit.Failure("compare", "01", "")]
    )
    page, table = SimpleNamespace(subject="", descriptor=people), pd.DataFrame({"model": ["net"], "method": "ridge"})
    shelf = {"page": page, "whole": ["01", "02"], "material": lambda _: failed, "fetch": lambda *_, subject: table}
    gathered = pages.gather_group(SimpleNamespace(**shelf))
    assert gathered.tables["summary"]["modality"].tolist() == ["array", "array over time"]
