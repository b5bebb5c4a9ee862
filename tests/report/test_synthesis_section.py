"""The section on synthesised images: what it may claim, when it warns, what it draws, nothing where none were made."""

import io
import re
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

from brainalign.report import FoundDirections, ImageMaterial, SynthesisedImages, directions_section, images_chapter
from brainalign.report.kit import MOST_BYTES, MOST_PIXELS, number, picture_bytes
from brainalign.report.synthesis_sections import (
    GALLERIES,
    MOST_COLUMNS,
    MOST_DRAWN,
    SIDE,
    Strip,
    contact_sheet,
    contests,
    gains_table,
    matched_sentence,
    means_table,
    nulls,
    objections,
    specific_sentence,
    synthesis_blocks,
    synthesis_findings,
    synthesis_methods,
    synthesis_section,
    synthesis_text,
    verdict,
    warning,
)
from brainalign.synthesis import Typicality

EVIL = f"{pages.EVIL}$x$"
ENCODERS: dict[str, Any] = {"guide": {"model": "net", "layer": "a"}, "check": {"model": "other", "layer": "b"}}
N, N_NULLS, SIZE = 8, 19, 8
UP, FLAT, DOWN = (0.5, 1.5), (-0.4, 0.6), (-1.5, -0.5)
# Mean of (guide, check, true, valid) under every condition; guidance for a region raises nothing in the others.
ALL_RISE = {"guided": (2.0, 1.7, 1.2, 0.9), "null": (0.1, 0.0, 0.05, 0.85)}
ONLY_GUIDE = {"guided": (2.0, 0.05, 0.05, 0.5), "null": (0.1, 0.0, 0.05, 0.85)}
OTHERS = {
    "unguided": (0.0, 0.0, 0.0, 0.85),
    "recurrent": (0.1, 0.1, 0.1, 0.95),
    "best of n": (1.3, 0.7, 0.5, 0.85),
    "evolved": (1.2, 0.6, 0.4, 0.7),
    "natural": (2.2, 1.9, 1.7, 1.0),
    "matched": (1.8, 1.4, 1.0, 0.9),
}


def table(regions: dict[str, dict[str, tuple[float, ...]]], *, truth: bool = True) -> pd.DataFrame:
    """Return the table of a study; every condition has its mean, seeds scatter by .2 around it in all alike."""
    wobbles = np.random.default_rng(0).normal(0, 0.2, N)  # of a seed, in every condition
    wobbles -= wobbles.mean()
    rows: list[dict[str, Any]] = []
    image = 0
    plan = [("unguided", "", -1, 0.0), ("recurrent", "", -1, 0.0)]
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
    """Return gains with intervals of ± .3, and p from where they lie: the statistics have tests of their own."""
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


def study(*, truth: bool = True, **regions: dict[str, tuple[float, ...]]) -> SynthesisedImages:
    named = {EVIL if name == "evil" else name: means for name, means in (regions or {"FFA": ALL_RISE}).items()}
    made = table(named, truth=truth)
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (made["image"].max() + 1, SIZE, SIZE, 3), dtype=np.uint8)
    steps = pd.DataFrame({"step": np.tile(np.arange(5), len(named)), "region": np.repeat(list(named), 5)})
    steps = steps.assign(timestep=900 - 200 * steps["step"], score=0.1, grad_rms=0.01, d_rms=0.1, clipped=0.5)
    return SynthesisedImages(images, made, gains(made), steps, ENCODERS, {"ratio": 9.0, "n_pool": 144})


def changed(made: SynthesisedImages, against: str, score: str, interval: tuple[float, float], **more: Any) -> Any:
    """Return a study in which one gain has another interval."""
    chosen = (made.gains["against"] == against) & (made.gains["score"] == score)
    other = made.gains.copy()
    other.loc[chosen, ["gain", "low", "high"]] = (sum(interval) / 2, *interval)
    for name, value in more.items():
        other.loc[chosen, name] = value
    return replace(made, gains=other)


def material(made: SynthesisedImages | None, **options: Any) -> ImageMaterial:
    models = {name: {"extractor": "efficientnet"} for name in ("net", "other")}
    settings = config(models=models, synthesize={"prior": "someone/prior", **ENCODERS, **options})
    return ImageMaterial(settings, "study", image_study(), "01", synthesised=made)


def words(made: SynthesisedImages) -> str:
    return " ".join([*synthesis_text(made), *map(plain, synthesis_blocks(made))])


def captions(made: SynthesisedImages) -> dict[str, str]:
    return {piece.id: piece.caption for panel in synthesis_section(material(made)).panels for piece in panel.pieces}


def test_a_region_where_everything_rises_is_claimed_and_not_warned_of() -> None:
    made = study()
    assert objections(made, "FFA") == []
    assert warning(made, "FFA") == ""
    sentence = verdict(made, "FFA")
    check(sentence, "guided images raise the true response by 1.2", "SD over unguided images of the same seeds")
    check(sentence, "over unguided images of the same recurrence")
    check(sentence, "more than 19 of 19 encoders of shuffled responses do (p = .050)")
    assert "Warning" not in words(made)
    assert synthesis_findings(material(made)) == [
        "Guided images raise the response of 1 of 1 regions (by the true response: FFA)."
    ]


def test_a_region_where_only_the_guide_rises_is_warned_of_and_not_claimed() -> None:
    made = study(FFA=ALL_RISE, cross=ONLY_GUIDE)
    text = warning(made, "cross")
    check(text, "the guiding encoder's prediction rises by", "the checking encoder does not")
    check(text, "the true response does not", "validity falls from .88 to .50")
    check(text, "they do not show what the region prefers")
    assert "not claimed" in verdict(made, "cross")
    assert "Warning: in 1 of 2 regions the guiding encoder rises and another judge does not follow." in words(made)
    assert 'class="check found"' in synthesis_blocks(made)[0]
    (finding,) = synthesis_findings(material(made))
    assert "of 1 of 2 regions (by the true response: FFA). In cross the guiding encoder rises and" in finding


@pytest.mark.parametrize(
    ("against", "score", "interval", "reason"),
    [
        ("unguided", "true", FLAT, "the true response does not rise over unguided images (.10 (-.40 to .60))"),
        ("unguided", "true", (0.0, 1.0), "does not rise over unguided images"),
        ("recurrent", "true", FLAT, "does not rise over unguided images of the same recurrence"),
        ("unguided", "valid", DOWN, "validity falls"),
    ],
)
def test_one_control_that_fails_takes_the_claim_away(against: str, score: str, interval: Any, reason: str) -> None:
    assert reason in " ".join(objections(changed(study(), against, score, interval), "FFA"))


def test_null_encoders_that_do_as_well_or_are_too_few_take_the_claim_away() -> None:
    made = study()
    as_much = changed(made, "null", "true", FLAT, p=0.2)
    assert "3 of 19 encoders of shuffled responses do as well (p = .200)" in " ".join(objections(as_much, "FFA"))
    few = replace(made, table=made.table[made.table["null"] < N_NULLS - 1])
    assert "19 encoders of shuffled responses are needed" in " ".join(objections(few, "FFA"))
    nothing = study(FFA=dict.fromkeys(("guided", "null"), OTHERS["unguided"]))
    assert verdict(nothing, "FFA").startswith("FFA: it is not claimed")
    assert warning(nothing, "FFA") == ""  # the guide itself found nothing: nobody is fooled
    assert synthesis_findings(material(nothing)) == ["Guided images raise the response of 0 of 1 regions."]


@pytest.mark.parametrize("score", ["check", "true"])
def test_each_judge_that_stays_behind_alone_causes_a_warning(score: str) -> None:
    behind = changed(study(), "unguided", score, FLAT)
    assert "does not (.10 (-.40 to .60))" in warning(behind, "FFA")
    assert ("rises all the same" in warning(behind, "FFA")) == (score == "check")
    assert warning(changed(behind, "unguided", "guide", FLAT), "FFA") == ""


def test_validity_must_keep_nine_tenths_and_typicality_stands_in_where_it_is_unknown() -> None:
    kept = study(FFA={**ALL_RISE, "guided": (2.0, 1.7, 1.2, 0.87)})
    lost = study(FFA={**ALL_RISE, "guided": (2.0, 1.7, 1.2, 0.7)})
    assert warning(kept, "FFA") == ""
    assert "validity falls from .88 to .75" in warning(lost, "FFA")
    assert warning(changed(kept, "unguided", "typical", DOWN), "FFA") == ""  # the rules of the world are known
    real = study(truth=False)
    assert warning(real, "FFA") == ""
    assert "typicality falls" in warning(changed(real, "unguided", "typical", DOWN), "FFA")


def test_without_truth_the_other_encoder_judges_and_the_page_says_so() -> None:
    made = study(truth=False)
    text = words(made)
    check(text, "No truth exists here", "raise the prediction of the checking encoder by", unsaid=["true response"])
    assert "by an encoder that did not guide, no truth being known: FFA" in synthesis_findings(material(made))[0]
    check(words(study()), "These responses were simulated", unsaid=["No truth exists here"])


def test_each_region_has_the_best_judge_there_is() -> None:
    made = study(red=ALL_RISE, V1=ALL_RISE, V2=ALL_RISE)
    table = made.table.assign(true=made.table["true"].where(made.table["scored"] == "red"))
    made = replace(made, table=table, gains=gains(table))
    assert made.without_truth == ["V1", "V2"]
    assert "raise the true response" in verdict(made, "red")
    assert "raise the prediction of the checking encoder" in verdict(made, "V1")
    text = words(made)
    check(text, "No truth exists here for V1, V2", "These responses were simulated")
    check(text, "By the true response, guided images against images evolved in noise space: ahead in red.")
    check(text, "By the prediction of the checking encoder, guided images against images evolved")
    check(text, "gains most in 2 of 2 rows by the prediction of the checking encoder.")
    (finding,) = synthesis_findings(material(made))
    assert "by the true response: red; by an encoder that did not guide, no truth being known: V1, V2" in finding
    assert made.specificity("true").shape == (3, 1)
    assert len(nulls(made).axes[1].texts) == 1


def test_natural_images_that_win_are_said_to_win() -> None:
    made = study()
    sentences = " ".join(contests(made))
    check(sentences, "against the natural images that the guiding encoder ranks highest: behind in FFA.")
    check(sentences, "In FFA natural images win", "against the best unguided images of 144 (as costly")
    check(sentences, "9.0 times as long): ahead in FFA.")
    ahead = " ".join(contests(changed(made, "natural", "true", UP)))
    check(ahead, "ranks highest: ahead in FFA.", unsaid=["natural images win"])
    assert "ranks highest: not told apart in FFA." in " ".join(contests(changed(made, "natural", "true", FLAT)))


def test_what_contrast_explains_is_said() -> None:
    made = study()
    assert "remains in FFA 1.0" in matched_sentence(made)
    assert "is not shown in FFA" in matched_sentence(changed(made, "unguided", "true", FLAT))
    assert matched_sentence(replace(made, gains=made.gains[made.gains["condition"] == "guided"])) == ""


def test_specificity_is_of_the_own_region() -> None:
    made = study(FFA=ALL_RISE, PPA=ALL_RISE)
    found = made.specificity("true")
    assert np.diag(found).min() > 0.9
    assert abs(found.loc["FFA", "PPA"]) < 0.3
    assert "gains most in 2 of 2 rows by the true response." in specific_sentence(made)
    swapped = made.table.copy()
    guided = swapped["condition"] == "guided"
    swapped.loc[guided, "scored"] = swapped.loc[guided, "scored"].map({"FFA": "PPA", "PPA": "FFA"})
    sentence = specific_sentence(replace(made, table=swapped))
    assert "in 0 of 2 rows by the true response (another one gains more when guided for FFA, PPA)" in sentence
    assert specific_sentence(study()) == ""


def picture(figure: Any) -> np.ndarray:
    content = picture_bytes(figure)
    assert len(content) <= MOST_BYTES
    with Image.open(io.BytesIO(content)) as image:
        assert image.width <= MOST_PIXELS
        return np.asarray(image.convert("RGB"))


def test_how_well_encoders_predict_stands_beside() -> None:
    made = study()
    r = {role: {"prior": {"FFA": 0.61}, "full": {"FFA": 0.72}} for role in ("guide", "check")}
    assert re.search(r"FFA .610 .610 .720 .720 –", words(replace(made, guides={**made.guides, "r": r})))
    assert "checking, images in full size" not in words(made)


def test_an_encoder_that_predicts_nothing_takes_the_claim_away() -> None:
    made = study()
    for r, claimed in ((0.05, False), (0.4, True)):
        of = replace(made, guides={"r": {"guide": {"prior": {"FFA": r}}}})
        assert ("hardly predicts held-out images" in verdict(of, "FFA")) != claimed
    other = replace(made, guides={"r": {"guide": {"prior": {"FFA": 0.5, "V1": 0.02}}}, "asked": {"FFA": ["FFA", "V1"]}})
    assert other.guide_r("FFA") == 0.02


def test_tables_hold_every_control() -> None:
    made = study(truth=False)
    text = plain(gains_table(made))
    check(text, "FFA guiding encoder 2.00 p = .001 1.70 to 2.30", "checking encoder 1.70 p = .001 1.40 to 2.00")
    assert "-.20 p = .500 -.50 to .10 1.90 p = .050 1.60 to 2.20 1.80 p = .001 1.50 to 2.10" in text  # natural, null
    assert "true response" not in text
    assert "true response" in plain(gains_table(study()))
    alone = plain(gains_table(replace(made, gains=made.gains[made.gains["against"] == "unguided"])))
    assert alone.startswith(" region judge unguided matched: unguided FFA ")  # no column for what was not made
    means = plain(means_table(made))
    check(means, f"FFA guided {N} 2.00 1.70 .50 .20 .50", f"FFA null encoders {N * N_NULLS} .10")


def test_pixels_of_a_small_image_stay_squares() -> None:
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    image[0, 0] = (255, 0, 0)
    image[1, 1] = (0, 0, 255)
    drawn = picture(contact_sheet([Strip("row", [image], ["1.0"])]))
    assert (drawn == (255, 0, 0)).all(axis=2).sum() == (SIDE // 2) ** 2
    assert (drawn == (0, 0, 255)).all(axis=2).sum() == (SIDE // 2) ** 2
    refused(f"a sheet has 1 to {MOST_COLUMNS} images in a row; got 0", contact_sheet, [])


def test_a_page_escapes_names() -> None:
    page = page_of(shown := material(study(evil=ONLY_GUIDE, FFA=ALL_RISE)), images_chapter(shown))
    assert "<img src=x" not in page
    assert EVIL in unescape(page)


def test_a_sheet_of_noise_keeps_to_its_budget_and_a_page_to_its_number_of_figures() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (MOST_COLUMNS, SIDE, SIDE, 3), dtype=np.uint8)
    picture(contact_sheet([Strip("x" * 200, list(noise), ["1.0"] * MOST_COLUMNS)]))
    r = {f"r{k}": 0.2 + 0.1 * k for k in range(MOST_DRAWN + 1)}
    made = study(**dict.fromkeys(r, ALL_RISE))
    few = made.table[made.table["condition"].isin(["guided", "unguided"])]
    made = replace(made, guides={"r": {"guide": {"prior": r}}}, table=few)
    section = synthesis_section(material(made))
    drawn = [piece for panel in section.panels for piece in panel.pieces if piece.figure is not None]
    assert len(drawn) == MOST_DRAWN + 4
    assert len(section.panels) == MOST_DRAWN // GALLERIES + 5
    assert f"{MOST_DRAWN} of {MOST_DRAWN + 1} regions are drawn" in words(made)
    assert [piece.title for piece in drawn][:2] == ["Images for r1", "Images for r2"]  # r0 is predicted worst


def test_what_was_not_made_is_not_drawn() -> None:
    nothing = material(None)
    assert synthesis_section(nothing) is None
    assert synthesis_findings(nothing) == synthesis_methods(nothing) == []
    assert "brain diffusion" not in page_of(nothing, images_chapter(nothing)).lower()
    made = study()
    bare = replace(made, table=made.table[made.table["condition"].isin(["guided", "unguided"])], steps=made.steps[:0])
    assert list(captions(bare)) == ["gallery0", "pairs", "specificity", "gains", "means", "failures"]


def test_methods_name_what_ran() -> None:
    texts = synthesis_methods(material(study(), recurrence=3, steps=30))
    cited = [key for _, keys in texts for key in keys]
    assert {"brainguided", "recurrence", "spurious"} <= set(cited)
    assert "in 30 steps from the diffusion model someone/prior" in texts[0][0]
    assert "19 null encoders" in " ".join(text for text, _ in texts)
    made = study()
    few = replace(made, table=made.table[~made.table["condition"].isin(["null", "evolved"])])
    once = synthesis_methods(material(few, recurrence=1))
    assert "recurrence" not in [key for _, keys in once for key in keys]
    check(" ".join(text for text, _ in once), unsaid=["null encoders", "evolved"])


def test_methods_name_the_scheduler_the_precision_and_the_words() -> None:
    made = study()
    own = replace(made, guides={**made.guides, "scheduler": "PNDMScheduler", "own_scheduler": "PNDMScheduler"})
    switched = replace(own, guides={**own.guides, "scheduler": "DDIMScheduler"})

    def text(of: SynthesisedImages, **options: Any) -> str:
        return synthesis_methods(material(of, **options))[0][0]

    assert "DDIMScheduler in place of the model's own PNDMScheduler, which remembers" in text(switched)
    assert "which remembers" not in text(switched, scheduler="DDIMScheduler")
    check(text(own, recurrence=1), "PNDMScheduler", unsaid=["PNDMScheduler in place"])
    told = {"dtype": "float16", "prompt": "a photo", "negative_prompt": "a drawing", "classifier_free_scale": 4.0}
    for words in ("float16", "\u201ca photo\u201d", "away from the words \u201ca drawing\u201d", "guidance was 4"):
        assert words in text(made, **told)
        assert words not in text(made)
    refused("remembers", material, made, recurrence=2, scheduler="PNDMScheduler")


def test_a_share_of_guided_images_stands_beside_the_searches() -> None:
    made = study()
    searched = made.table["condition"].isin(["best of n", "evolved", "natural"])
    few = replace(made, table=made.table[~searched | (made.table["seed"] < 4)])
    own = few.rows("guided", "FFA")
    assert sorted(few.kept("FFA")["guide"]) == sorted(own["guide"])[-4:]
    assert len(made.kept("FFA")) == len(own) == N
    (kept,) = (plain(row) for row in str(means_table(few)).split("<tr>") if "best by guide" in row)
    assert kept.split("best by guide")[1].split()[:2] == ["4", number(few.kept("FFA")["guide"].mean(), 2)]
    assert f"the 4 that the guiding encoder ranks highest of {N} guided images" in words(few)
    assert "best by guide" not in str(means_table(made))
    text = " ".join(words for words, _ in synthesis_methods(material(few, share_kept=0.25)))
    assert "25 % of the guided images" in text
    assert "% of the guided" not in " ".join(words for words, _ in synthesis_methods(material(made)))
    for share in (0.0, 1.5, 0.05):
        refused("share_kept", material, made, share_kept=share, n_images=16)


def test_one_region_against_another_is_no_standard_deviation() -> None:
    """Its score is a difference of two standard scores, which varies by another amount over natural images."""
    made = study(**{"FFA": ALL_RISE, "FFA-PPA": ALL_RISE})
    made = replace(made, guides={**made.guides, "asked": {"FFA": ["FFA", None], "FFA-PPA": ["FFA", "PPA"]}})
    assert made.contrasts == ["FFA-PPA"]
    check(verdict(made, "FFA-PPA"), "(difference of standard scores) over unguided images", unsaid=[" SD over"])
    assert " SD over unguided images" in verdict(made, "FFA")
    assert "Numbers of FFA-PPA, one region against another, are differences of standard scores" in words(made)
    for name in ("gallery0", "gains"):
        assert "natural images (of one region against another: a difference of these)" in captions(made)[name]
    assert "the difference of the two" in synthesis_methods(material(made))[0][0]
    assert "against another" not in words(study())


def test_directions_of_chance_are_called_at_least_as_long() -> None:
    """Those of all regions are as long as the longest one that was found, so longer than most."""
    levels = {"control": ["", "random"], "alpha": [-1.0, 0.0, 1.0], "seed": range(3)}
    made = pd.DataFrame(list(product(*levels.values())), columns=list(levels))
    made = made.assign(method="ridge", direction=0, orthogonal=False, number=0, scored="FFA", image=-1)
    found = made["control"] == ""
    made.loc[found, "image"] = range(9)
    made["guide"], made["region"] = made["alpha"] + 0.1 * made["seed"], np.where(found, "FFA", "")
    section = directions_section(FoundDirections(np.zeros((9, 4, 4, 3), dtype=np.uint8), made))
    said = [*section.paragraphs, *(piece.caption for panel in section.panels for piece in panel.pieces)]
    assert sum("at least as long" in text for text in said) == 2
    assert "same length" not in " ".join(said)


def test_typicality_is_described_as_it_is_computed() -> None:
    assert "at most 1, which is a typical natural image, and .5 twice as far" in captions(study())["means"]
    near = Typicality(lambda images: images.flatten(1), np.arange(10.0)[:, None])  # natural ones are 1 apart
    np.testing.assert_allclose(near(torch.tensor([9.5, 11.0]).reshape(2, 1, 1, 1)), [1.0, 0.5])
