"""The section on synthesised images: what it may claim, when it warns, what it draws, nothing where none were made."""

import io
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from itertools import product
from typing import Any

import numpy as np
import pages
import pandas as pd
import pytest
import torch
from pages import check, config, image_study, page_of
from pages import words as plain
from PIL import Image
from refusals import refused

from brainalign.report import kit
from brainalign.report import synthesis_sections as synthesis
from brainalign.report.pages import images_chapter
from brainalign.report.synthesis_sections import directions_section
from brainalign.synthesis import Typicality

EVIL = f"{pages.EVIL}$x$"
ENCODERS: dict[str, Any] = {"guide": {"model": "net", "layer": "a"}, "check": {"model": "other", "layer": "b"}}
N, N_NULLS, SIZE = 8, 19, 8
UP, FLAT, DOWN = (0.5, 1.5), (-0.4, 0.6), (-1.5, -0.5)
# Mean of (guide, check, true, valid) under every condition; guidance for a region raises nothing in the others.
ALL_RISE = {"guided": (2.0, 1.7, 1.2, 0.9), "null": (0.1, 0.0, 0.05, 0.85)}
ONLY_GUIDE = {"guided": (2.0, 0.05, 0.05, 0.5), "null": (0.1, 0.0, 0.05, 0.85)}
OTHERS = {
    "unguided": (0.0, 0.0, 0.0, 0.85), "recurrent": (0.1, 0.1, 0.1, 0.95), "best of n": (1.3, 0.7, 0.5, 0.85),
    "evolved": (1.2, 0.6, 0.4, 0.7), "natural": (2.2, 1.9, 1.7, 1.0), "matched": (1.8, 1.4, 1.0, 0.9),
}  # fmt: skip


def table(regions: dict[str, dict[str, tuple[float, ...]]], *, truth: bool = True) -> pd.DataFrame:
    """Return the table of a study; every condition has its mean, seeds scatter by .2 around it in all alike."""
    wobbles = np.random.default_rng(0).normal(0, 0.2, N)  # of a seed, in every condition
    wobbles -= wobbles.mean()
    rows: list[dict[str, Any]] = []
    image, plan = 0, [("unguided", "", -1, 0.0), ("recurrent", "", -1, 0.0)]
    plan += [(name, region, -1, 10.0) for region in regions for name in ("guided", "matched")]
    plan += [(name, region, -1, 0.0) for region in regions for name in ("best of n", "evolved", "natural")]
    plan += [("null", "", k, 10.0) for k in range(N_NULLS)]
    plan += [("sweep", region, -1, scale) for region in regions for scale in (3.0, 10.0)]
    for condition, region, null, scale in plan:
        for seed, wobble in enumerate(wobbles):
            for scored, own in regions.items():
                means = (OTHERS | own).get(condition, own["guided"])
                if region not in ("", scored):
                    means = (0.0, 0.0, 0.0, means[3])
                row = {"image": image, "condition": condition, "region": region, "seed": seed, "null": null}
                row |= {"scale": scale, "scored": scored, "contrast": 0.2, "luminance": 0.5, "typical": 0.5}
                said = dict(zip(("guide", "check", "true"), np.array(means[:3]) + wobble, strict=True))
                rows.append(row | said | {"valid": float(seed < means[3] * N)})
            image += 1
    made = pd.DataFrame(rows)
    return made if truth else made.assign(true=np.nan, valid=np.nan)


def gains(made: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for region in made.loc[made["condition"] == "guided", "region"].unique():
        mine = made[made["scored"] == region]
        for condition in ("guided", "matched"):
            own = mine[(mine["condition"] == condition) & (mine["region"] == region)]
            for against in ("unguided", "recurrent", "best of n", "evolved", "natural", "null"):
                other = mine[(mine["condition"] == against) & mine["region"].isin([region, ""])]
                for score in ("guide", "check", "true", "valid", "typical"):
                    gain = own[score].mean() - other[score].mean()
                    p = 0.001 if abs(gain) > 0.3 else 0.5
                    if against == "null":
                        means = other.groupby("null")[score].mean()
                        p = (1 + (means >= own[score].mean()).sum()) / (1 + len(means))
                    n = N_NULLS if against == "null" else N
                    rows.append((region, condition, against, score, gain, gain - 0.3, gain + 0.3, p, n))
    columns = ["region", "condition", "against", "score", "gain", "low", "high", "p", "n"]
    return pd.DataFrame(rows, columns=columns).dropna(subset=["gain"])


def study(*, truth: bool = True, **regions: dict[str, tuple[float, ...]]) -> kit.SynthesisedImages:
    named = {EVIL if name == "evil" else name: means for name, means in (regions or {"FFA": ALL_RISE}).items()}
    made = table(named, truth=truth)
    images = np.random.default_rng(1).integers(0, 256, (made["image"].max() + 1, SIZE, SIZE, 3), dtype=np.uint8)
    steps = pd.DataFrame({"step": np.tile(np.arange(5), len(named)), "region": np.repeat(list(named), 5)})
    steps = steps.assign(timestep=900 - 200 * steps["step"], score=0.1, grad_rms=0.01, d_rms=0.1, clipped=0.5)
    return kit.SynthesisedImages(images, made, gains(made), steps, ENCODERS, {"ratio": 9.0, "n_pool": 144})


def changed(made: kit.SynthesisedImages, against: str, score: str, interval: tuple[float, float], **more: Any) -> Any:
    chosen, other = (made.gains["against"] == against) & (made.gains["score"] == score), made.gains.copy()
    other.loc[chosen, ["gain", "low", "high"]] = (sum(interval) / 2, *interval)
    for name, value in more.items():
        other.loc[chosen, name] = value
    return replace(made, gains=other)


def material(made: kit.SynthesisedImages | None, **options: Any) -> kit.ImageMaterial:
    models = {name: {"extractor": "efficientnet"} for name in ("net", "other")}
    settings = config(models=models, synthesize={"prior": "someone/prior", **ENCODERS, **options})
    return kit.ImageMaterial(settings, "study", image_study(), "01", synthesised=made)


def words(made: kit.SynthesisedImages) -> str:
    return " ".join([*synthesis.synthesis_text(made), *map(plain, synthesis.synthesis_blocks(made))])


def captions(made: kit.SynthesisedImages) -> dict[str, str]:
    panels = synthesis.synthesis_section(material(made)).panels
    return {piece.id: piece.caption for panel in panels for piece in panel.pieces}


def of_one_judge_each() -> kit.SynthesisedImages:
    made = study(red=ALL_RISE, V1=ALL_RISE, V2=ALL_RISE)
    table = made.table.assign(true=made.table["true"].where(made.table["scored"] == "red"))
    return replace(made, table=table, gains=gains(table))


def exchanged() -> kit.SynthesisedImages:
    made = study(FFA=ALL_RISE, PPA=ALL_RISE)
    guided, table = made.table["condition"] == "guided", made.table.copy()
    table.loc[guided, "scored"] = table.loc[guided, "scored"].map({"FFA": "PPA", "PPA": "FFA"})
    return replace(made, table=table)


def against_another() -> kit.SynthesisedImages:
    made = study(**{"FFA": ALL_RISE, "FFA-PPA": ALL_RISE})
    return replace(made, guides={**made.guides, "asked": {"FFA": ["FFA", None], "FFA-PPA": ["FFA", "PPA"]}})


def predicted(prior: dict[str, float], role: str = "guide", **more: Any) -> kit.SynthesisedImages:
    return replace(study(truth=role == "guide"), guides={"r": {role: {"prior": prior}}} | more)


def few_searched() -> kit.SynthesisedImages:
    """Return a study whose searches gave half as many images as guidance."""
    made = study()
    searched = made.table["condition"].isin(["best of n", "evolved", "natural"])
    return replace(made, table=made.table[~searched | (made.table["seed"] < 4)])


PLAIN, REAL, BLIND = study(), study(truth=False), predicted({"FFA": 0.05}, "check")
KEPT = study(FFA={**ALL_RISE, "guided": (2.0, 1.7, 1.2, 0.87)})
# A study, the region that is asked about, whether it is claimed, whether it is warned of, and what is said somewhere.
SAID: dict[str, tuple[kit.SynthesisedImages, str, bool, bool, str]] = {
    "all rise": (PLAIN, "FFA", True, False, "more than 19 of 19 encoders of shuffled responses do (p = .050)"),
    "only the guide": (study(FFA=ALL_RISE, cross=ONLY_GUIDE), "cross", False, True, "validity falls from .88 to .50"),
    "unguided": (changed(PLAIN, "unguided", "true", FLAT), "FFA", False, True, "does not rise over unguided images ("),
    "from 0": (changed(PLAIN, "unguided", "true", (0.0, 1.0)), "FFA", False, True, "does not rise over unguided"),
    "recurrent": (changed(PLAIN, "recurrent", "true", FLAT), "FFA", False, False, "images of the same recurrence"),
    "validity": (changed(PLAIN, "unguided", "valid", DOWN), "FFA", False, True, "validity falls"),
    "as much": (changed(PLAIN, "null", "true", FLAT, p=0.2), "FFA", False, False, "3 of 19 encoders of shuffled"),
    "few nulls": (replace(PLAIN, table=PLAIN.table[PLAIN.table["null"] < N_NULLS - 1]), "FFA", False, False, "needed"),
    "nothing": (study(FFA=dict.fromkeys(("guided", "null"), OTHERS["unguided"])), "FFA", False, False, "0 of 1 reg"),
    "check": (changed(PLAIN, "unguided", "check", FLAT), "FFA", True, True, "rises all the same"),
    "few images": (changed(PLAIN, "unguided", "check", (-0.1, 3.0)), "FFA", True, False, ""),  # it may rise as much
    "fooled by none": (changed(changed(PLAIN, "unguided", "check", FLAT), "unguided", "guide", FLAT), "FFA", True,
                       False, ""),
    "nine tenths": (KEPT, "FFA", True, False, ""),
    "less": (study(FFA={**ALL_RISE, "guided": (2.0, 1.7, 1.2, 0.7)}), "FFA", False, True, "from .88 to .75"),
    "typical": (changed(KEPT, "unguided", "typical", DOWN), "FFA", True, False, ""),  # the world's rules are known
    "real": (REAL, "FFA", True, False, "No truth exists here"),
    "real, typical": (changed(REAL, "unguided", "typical", DOWN), "FFA", False, True, "typicality falls"),
    "best judge": (of_one_judge_each(), "V1", True, False, "no truth being known: V1, V2"),
    "natural": (changed(PLAIN, "natural", "true", UP), "FFA", True, False, "ranks highest: ahead in FFA."),
    "tie": (changed(PLAIN, "natural", "true", FLAT), "FFA", True, False, "ranks highest: not told apart in FFA."),
    "unmatched": (replace(PLAIN, gains=PLAIN.gains[PLAIN.gains["condition"] == "guided"]), "FFA", True, False, ""),
    "specific": (study(FFA=ALL_RISE, PPA=ALL_RISE), "FFA", True, False, "gains most in 2 of 2 rows"),
    "exchanged": (exchanged(), "FFA", True, False, "in 0 of 2 rows by the true response (another one gains more"),
    "difference": (against_another(), "FFA-PPA", True, False, "(difference of standard scores) over unguided images"),
    "kept": (few_searched(), "FFA", True, False, f"the 4 that the guiding encoder ranks highest of {N} guided images"),
    "no prediction": (predicted({"FFA": 0.05}), "FFA", False, False, "hardly predicts held-out images"),
    "blind judge": (BLIND, "FFA", False, False, "the checking encoder hardly predicts"),
    "blind witness": (replace(changed(PLAIN, "unguided", "check", FLAT), guides=BLIND.guides), "FFA", True, False,
                      "say nothing for guided images, nor against them"),
    "prediction": (predicted({"FFA": 0.4}), "FFA", True, False, ""),
    "sizes": (replace(PLAIN, guides={**PLAIN.guides, "r": {role: {"prior": {"FFA": 0.61}, "full": {"FFA": 0.72}}
                                                           for role in ("guide", "check")}}), "FFA", True, False, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_what_is_claimed_and_what_is_warned_of(case: str, kept: Callable[..., None]) -> None:
    made, region, claimed, warned, said = SAID[case]
    assert bool(synthesis.warning(made, region)) == warned
    assert ("not claimed" not in synthesis.verdict(made, region)) == claimed
    sentences = synthesis.contests, synthesis.matched_sentence, synthesis.specific_sentence
    found = [made.without_truth, made.contrasts, *(of(made) for of in sentences)]
    for name in made.table.loc[made.table["condition"] == "guided", "region"].unique():
        found += [of(made, name) for of in (synthesis.objections, synthesis.warning, synthesis.verdict)]
    found += [words(made), synthesis.synthesis_findings(material(made))]
    assert said in str(found)
    assert ("By the prediction of the checking encoder" in str(found)) == (
        made is not BLIND and bool(made.without_truth)
    )
    kept(found)


def test_specificity_is_of_the_own_region() -> None:
    found = study(FFA=ALL_RISE, PPA=ALL_RISE).specificity("true")
    assert np.diag(found).min() > 0.9
    assert abs(found.loc["FFA", "PPA"]) < 0.3
    assert of_one_judge_each().specificity("true").shape == (3, 1)
    assert len(synthesis.nulls(of_one_judge_each()).axes[1].texts) == 1
    assert predicted({"FFA": 0.5, "V1": 0.02}, asked={"FFA": ["FFA", "V1"]}).encoder_r("FFA") == 0.02
    assert "at most 1, which is a typical natural image, and .5 twice as far" in captions(study())["means"]
    near = Typicality(lambda images: images.flatten(1), np.arange(10.0)[:, None])  # natural ones are 1 apart
    np.testing.assert_allclose(near(torch.tensor([9.5, 11.0]).reshape(2, 1, 1, 1)), [1.0, 0.5])
    apart = Typicality(lambda images: images.flatten(1), np.array([[0.0], [1.0], [2.0], [4.0]]))
    np.testing.assert_allclose(apart(torch.tensor([1.0, 4.0]).reshape(2, 1, 1, 1)), [1.0, 0.5])  # not near themselves


def picture(figure: Any) -> np.ndarray:
    content = kit.picture_bytes(figure)
    assert len(content) <= kit.MOST_BYTES
    with Image.open(io.BytesIO(content)) as image:
        assert image.width <= kit.MOST_PIXELS
        return np.asarray(image.convert("RGB"))


def test_tables_hold_every_control(kept: Callable[..., None]) -> None:
    text = plain(synthesis.gains_table(REAL))
    check(text, "FFA guiding encoder 2.00 p = .001 1.70 to 2.30", "checking encoder 1.70 p = .001 1.40 to 2.00")
    assert "-.20 p = .500 -.50 to .10 1.90 p = .050 1.60 to 2.20 1.80 p = .001 1.50 to 2.10" in text  # natural, null
    alone = synthesis.gains_table(replace(REAL, gains=REAL.gains[REAL.gains["against"] == "unguided"]))
    kept(text, synthesis.gains_table(PLAIN), alone, synthesis.means_table(REAL))
    found = captions(against_another())
    for name in ("gallery0", "gains"):
        assert "natural images (of one region against another: a difference of these)" in found[name]


def test_pixels_of_a_small_image_stay_squares() -> None:
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    image[0, 0] = (255, 0, 0)
    image[1, 1] = (0, 0, 255)
    drawn = picture(synthesis.contact_sheet([synthesis.Strip("row", [image], ["1.0"])]))
    assert (drawn == (255, 0, 0)).all(axis=2).sum() == (synthesis.SIDE // 2) ** 2
    assert (drawn == (0, 0, 255)).all(axis=2).sum() == (synthesis.SIDE // 2) ** 2
    refused(f"a sheet has 1 to {synthesis.MOST_COLUMNS} images in a row; got 0", synthesis.contact_sheet, [])


def test_a_sheet_and_a_page_keep_to_their_budget_and_what_was_not_made_is_not_drawn() -> None:
    shape = (synthesis.MOST_COLUMNS, synthesis.SIDE, synthesis.SIDE, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    picture(synthesis.contact_sheet([synthesis.Strip("x" * 200, list(noise), ["1.0"] * synthesis.MOST_COLUMNS)]))
    r = {f"r{k}": 0.2 + 0.1 * k for k in range(synthesis.MOST_DRAWN + 1)}
    made = study(**dict.fromkeys(r, ALL_RISE))
    few = made.table[made.table["condition"].isin(["guided", "unguided"])]
    made = replace(made, guides={"r": {"guide": {"prior": r}}}, table=few)
    section = synthesis.synthesis_section(material(made))
    drawn = [piece for panel in section.panels for piece in panel.pieces if piece.figure is not None]
    assert len(drawn) == synthesis.MOST_DRAWN + 4
    assert len(section.panels) == synthesis.MOST_DRAWN // synthesis.GALLERIES + 5
    assert f"{synthesis.MOST_DRAWN} of {synthesis.MOST_DRAWN + 1} regions are drawn" in words(made)
    assert [piece.title for piece in drawn][:2] == ["Images for r1", "Images for r2"]  # r0 is predicted worst
    nothing = material(None)
    assert synthesis.synthesis_section(nothing) is None
    assert synthesis.synthesis_findings(nothing) == synthesis.synthesis_methods(nothing) == []
    assert "brain diffusion" not in page_of(nothing, images_chapter(nothing)).lower()
    bare = replace(PLAIN, table=PLAIN.table.query("condition in ['guided', 'unguided']"), steps=PLAIN.steps[:0])
    assert list(captions(bare)) == ["gallery0", "pairs", "specificity", "gains", "means", "failures"]
    page = page_of(shown := material(study(evil=ONLY_GUIDE, FFA=ALL_RISE)), images_chapter(shown))
    assert "<img src=x" not in page
    assert EVIL in unescape(page)


def test_methods_name_what_ran(kept: Callable[..., None]) -> None:
    few = replace(PLAIN, table=PLAIN.table[~PLAIN.table["condition"].isin(["null", "evolved"])])
    own = replace(PLAIN, guides={**PLAIN.guides, "scheduler": "PNDMScheduler", "own_scheduler": "PNDMScheduler"})
    switched = replace(own, guides={**own.guides, "scheduler": "DDIMScheduler"})
    told = {"dtype": "float16", "prompt": "a photo", "negative_prompt": "a drawing", "classifier_free_scale": 4.0}
    cases: tuple[tuple[kit.SynthesisedImages, dict[str, Any], tuple[str, ...], tuple[str, ...]], ...] = (
        (PLAIN, {"recurrence": 3, "steps": 30}, ("in 30 steps from the diffusion model someone/prior",), ()),
        (few, {"recurrence": 1}, (), ("null encoders", "evolved")),
        (switched, {}, ("DDIMScheduler in place of the model's own PNDMScheduler, which remembers",), ()),
        (switched, {"scheduler": "DDIMScheduler"}, (), ("which remembers",)),
        (own, {"recurrence": 1}, ("PNDMScheduler",), ("PNDMScheduler in place",)),
        (PLAIN, told, ("float16", "\u201ca photo\u201d", "away from the words \u201ca drawing\u201d"), ()),
        (few_searched(), {"share_kept": 0.25}, ("25 % of the guided images",), ()),
        (against_another(), {}, ("the difference of the two",), ()),
        (PLAIN, {}, (), ("float16", "a drawing", "% of the guided")),
    )
    for made, options, said, unsaid in cases:
        texts = synthesis.synthesis_methods(material(made, **options))
        check(" ".join(text for text, _ in texts), *said, unsaid=unsaid)
        kept(texts)
    refused("remembers", material, PLAIN, recurrence=2, scheduler="PNDMScheduler")
    for share in (0.0, 1.5, 0.05):
        refused("share_kept", material, PLAIN, share_kept=share, n_images=16)
    few = few_searched()
    assert sorted(few.kept("FFA")["guide"]) == sorted(few.rows("guided", "FFA")["guide"])[-4:]
    assert len(PLAIN.kept("FFA")) == N
    (row,) = (plain(row) for row in str(synthesis.means_table(few)).split("<tr>") if "best by guide" in row)
    assert row.split("best by guide")[1].split()[:2] == ["4", kit.number(few.kept("FFA")["guide"].mean(), 2)]
    assert "best by guide" not in str(synthesis.means_table(PLAIN))


def test_directions_of_chance_are_called_at_least_as_long() -> None:
    """Those of all regions are as long as the longest one that was found, so longer than most."""
    levels = {"control": ["", "random"], "alpha": [-1.0, 0.0, 1.0], "seed": range(3)}
    made = pd.DataFrame(list(product(*levels.values())), columns=list(levels))
    made = made.assign(method="ridge", direction=0, orthogonal=False, number=0, scored="FFA", image=-1)
    found = made["control"] == ""
    made.loc[found, "image"] = range(9)
    made["guide"], made["region"] = made["alpha"] + 0.1 * made["seed"], np.where(found, "FFA", "")
    section = directions_section(kit.FoundDirections(np.zeros((9, 4, 4, 3), dtype=np.uint8), made))
    said = [*section.paragraphs, *(piece.caption for panel in section.panels for piece in panel.pieces)]
    assert (sum("at least as long" in text for text in said), "same length" in " ".join(said)) == (2, False)
