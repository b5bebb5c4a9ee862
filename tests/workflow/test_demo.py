"""The demo's study on real data, with fewer permutations: its numbers, its report, and the report in a browser."""

import base64
import io
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

FIGURES = [
    *("ranking", "scoremap", "significance", "confusion", "null", "ceilingmap", "ceilinghistogram"),
    *("scoreceiling", "zeroshot-zeroshot", "rdm", "mds", "rsa", "searchlight-wordings", "splits"),
]
N_DRAWINGS, N_PARTS = 7, 3  # of these: parts of the page itself, and further parts of a figure
N_ORDERS = 1  # that dissimilarities can be put into, beside the first


@pytest.fixture(scope="module")
def demo(make_checkout) -> Path:
    checkout = make_checkout("demo")
    content = yaml.safe_load((checkout.root / "snakemake/config/demo.yaml").read_text())
    content["datasets"] = {"haxby-slice": content["datasets"]["haxby-slice"]}  # images: test_image_study.py
    for section in ("contest", "caption", "synthesize", "directions", "ground"):  # of images
        del content[section]
    content["searchlight"]["subjects"] = ["1"]
    del content["models"]["minilm"]["subjects"]
    del content["methods"]["fixed"]["models"]  # all are compared with what was found elsewhere
    content["methods"]["ridge"]["models"] = ["minilm"]
    content["encode"] = {"permutations": 100}
    content["models"]["random"]["n_draws"] = 4
    content["models"]["wordings"]["permute"] = content["models"]["onehot"]["permute"] = []  # nothing here asks their p
    (checkout.root / "quick.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARRANGED", "1")
        checkout.snakemake("quick.yaml")
    assert checkout.jobs("quick.yaml") == {}
    return checkout.root / "results" / "demo" / "haxby-slice"


@pytest.fixture(scope="module")
def page(demo: Path) -> str:
    return (demo / "sub-1.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def summary(demo: Path) -> pd.DataFrame:
    return pd.read_parquet(demo / "sub-1" / "summary" / "sub-1_summary.parquet")


def one(summary: pd.DataFrame, quantity: str, **labels: str) -> pd.Series:
    rows = summary[summary["quantity"] == quantity]
    for name, label in labels.items():
        rows = rows[rows[name] == label]
    assert len(rows) == 1, rows
    return rows.iloc[0]


def test_numbers_of_the_real_data(summary: pd.DataFrame) -> None:
    """What an independent implementation found on the same slice (least squares on the category labels)."""
    found = one(summary, "identification", model="minilm", method="fixed")
    assert 0.49 <= found["value"] <= 0.511
    assert found["null_mean"] == pytest.approx(0.125, abs=0.015)
    assert found["p"] < 0.011
    for model in ("onehot", "random", "wordings"):
        layer = {"layer": "onehot" if model == "onehot" else "all"}
        other = one(summary, "identification", model=model, method="fixed", **layer)
        assert abs(other["value"] - found["value"]) <= 0.02
    share = one(summary, "share of targets with r > 0.3", model="minilm", method="fixed")
    assert share["value"] == pytest.approx(0.25, abs=0.01)
    assert share["null_mean"] <= 0.03
    assert one(summary, "largest r", model="minilm", method="fixed")["value"] == pytest.approx(0.86, abs=0.005)
    assert 0.65 <= one(summary, "classification")["value"] <= 0.74
    assert (summary[(summary["model"] == "onehot") & (summary["quantity"] == "pair matching")]["value"] == 0.5).all()


def values(page: str, name: str) -> list[str]:
    return re.findall(rf'<[a-z][^>]*? {name}="([^"]*)"', page)


def test_the_page_is_self_contained_and_small(demo: Path, page: str, summary: pd.DataFrame) -> None:
    references, ids = [*values(page, "src"), *values(page, "href")], values(page, "id")
    assert len(page) < 5e6
    assert {reference for reference in references if not reference.startswith(("data:", "#"))} == {"../index.html"}
    assert '<a href="haxby-slice/sub-1.html">' in (demo.parent / "index.html").read_text()
    assert {reference[1:] for reference in references if reference.startswith("#")} <= set(ids)
    assert (len(ids), [i.removeprefix("figure-") for i in ids if i.startswith("figure-")]) == (len(set(ids)), FIGURES)
    images = re.findall(r'<img[^>]*? src="([^"]*)"', page)
    assert len(images) == len(re.findall(r'<img[^>]*? alt="[^"]', page)) == len(FIGURES) - N_DRAWINGS + N_ORDERS
    assert page.count("<svg") == N_DRAWINGS + N_PARTS
    for image in images:
        data = base64.b64decode(image.split(";base64,")[1])
        assert len(data) < 200_000
        assert Image.open(io.BytesIO(data)).width <= 1000
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    p = one(summary, "pair matching", model="minilm", method="ridge")["p"]
    assert ("not distinguishable from chance at the 5 % level" in text) == (p >= 0.05)
    tables = [link.split(";base64,")[1] for link in values(page, "href") if link.startswith("data:text/csv")]
    assert len(tables) == len(FIGURES) + N_PARTS + 1
    for said in ("CC BY-SA 3.0", "Haxby JV", "Walther A", "Nichols TE", "Benjamini Y", "Mitchell TM", "Mölder F"):
        assert said in text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here: the report was not opened in a browser")
def test_the_page_opens_in_a_browser(page: str, probed, tmp_path: Path) -> None:
    """No console message, every figure drawn, nothing wider than a phone's screen but what scrolls."""
    probe = """<script>addEventListener('load', () => {
      const images = [...document.images].filter(i => i.complete && i.naturalWidth > 50);
      const drawings = [...document.querySelectorAll("svg")].filter(i => i.getBoundingClientRect().width > 50);
      document.body.dataset.drawn = images.length + drawings.length;
      document.body.dataset.overflow = document.documentElement.scrollWidth > innerWidth;
    });</script>"""
    path = tmp_path / "page.html"
    path.write_text(probed(page, probe), encoding="utf-8")
    options = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --dump-dom"
    options += f" --window-size=500,900 --enable-logging=stderr --virtual-time-budget=5000 --user-data-dir={tmp_path}"
    result = subprocess.run(["chromium", *options.split(), path.as_uri()], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in result.stderr, result.stderr
    assert f'data-drawn="{len(FIGURES) + N_PARTS + N_ORDERS}"' in result.stdout
    assert 'data-overflow="false"' in result.stdout
