"""Synthesis in words: where guided images may be said to suit a region, where only the guiding encoder says so."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from brainalign.config import SynthesizeSettings
from brainalign.report import kit
from brainalign.report.kit import JUDGES, PLAUSIBLE, ImageMaterial, SynthesisedImages, number, p_equals

WHO = {"true": "the true response", "check": "the prediction of the checking encoder"}
LEAST_NULLS = 19  # p = 1 / (m + 1) is at most the level
LEAST_R = 0.1  # on held-out images; an encoder below it has next to nothing to guide to
LEAST_VALID = 0.9  # of the share of unguided images that are valid
_interval = partial(kit.with_interval, value="gain", digits=2)


def verdict(study: SynthesisedImages, region: str) -> str:
    """State the verdict on the claim that guided images raise a region's response, or every reason against it."""
    judge = study.judge_of(region)
    gain = study.gain(region, "unguided", judge)
    against = objections(study, region)
    if gain is None:
        return f"{region}: nothing is claimed: there are no unguided images of the same seeds."
    if against:
        return f"{region}: it is not claimed that guidance finds what the region prefers: {'; '.join(against)}."
    resampled = study.gain(region, "recurrent", judge)
    over = f", by {_interval(resampled)} over unguided images of the same recurrence" if resampled is not None else ""
    null = study.gain(region, "null", judge)
    assert null is not None  # objections() asks for it
    beaten = f"{study.n_nulls - _as_good(null)} of {study.n_nulls} encoders of shuffled responses"
    return (
        f"{region}: guided images raise {WHO[judge]} by {_amount(study, gain)} over unguided images of the same seeds"
        f"{over}, more than {beaten} do (p {p_equals(null['p'])})."
    )


def objections(study: SynthesisedImages, region: str) -> list[str]:
    """List the objections to the claim that guidance raised a region's response; empty where there are none."""
    judge, found = study.judge_of(region), []
    for role in dict.fromkeys(("guide", judge)):
        if _blind(study, region, role):
            r = number(study.encoder_r(region, role), 2)
            found.append(f"the {JUDGES[role]} hardly predicts held-out images (r = {r})")
    for against, words in (("unguided", "unguided images"), ("recurrent", "unguided images of the same recurrence")):
        gain = study.gain(region, against, judge)
        if gain is not None and not gain["low"] > 0:
            found.append(f"{WHO[judge]} does not rise over {words} ({_interval(gain)})")
    null = study.gain(region, "null", judge)
    if null is None or study.n_nulls < LEAST_NULLS:
        found.append(
            f"{LEAST_NULLS} encoders of shuffled responses are needed for p = {kit.LEVEL:g}, and there are "
            f"{study.n_nulls}"
        )
    elif not null["p"] <= kit.LEVEL:
        found.append(
            f"{_as_good(null)} of {study.n_nulls} encoders of shuffled responses do as well (p {p_equals(null['p'])})"
        )
    return found + _implausible(study, region)


def warning(study: SynthesisedImages, region: str) -> str:
    """Return a warning where the guiding encoder rises and another judge does not follow; empty elsewhere."""
    guide = study.gain(region, "unguided", "guide")
    left = _not_rising(study, region) + _implausible(study, region)
    if guide is None or not guide["low"] > 0 or not left:
        return ""
    text = f"{region}: the guiding encoder's prediction rises by {_amount(study, guide)}, but {' and '.join(left)}."
    true = study.gain(region, "unguided", "true")
    if true is not None and true["low"] > 0:
        return f"{text} The true response rises all the same; without it these images could not be trusted."
    return f"{text} Such images please that encoder; they do not show what the region prefers."


def _not_rising(study: SynthesisedImages, region: str) -> list[str]:
    """List the judges who see the region, besides the guide, whose scores surely rise by less than those of it."""
    found, guide = [], study.gain(region, "unguided", "guide")
    for judge in study.judges:
        gain = None if _blind(study, region, judge) else study.gain(region, "unguided", judge)
        if guide is not None and gain is not None and not gain["low"] > 0 and gain["high"] < guide["gain"]:
            found.append(f"the {JUDGES[judge]} does not ({_interval(gain)})")
    return found


def _blind(study: SynthesisedImages, region: str, role: str) -> bool:
    """Return whether an encoder hardly predicts a region, so that it says nothing for guided images or against."""
    return study.encoder_r(region, role) < LEAST_R


def _implausible(study: SynthesisedImages, region: str) -> list[str]:
    """Return that guided images leave their world: by its rules, or by their neighbours where nobody knows rules."""
    for score in study.plausible[:1]:
        gain = study.gain(region, "unguided", score)
        before, after = study.mean("unguided", region, score), study.mean("guided", region, score)
        falls = gain is not None and gain["high"] < 0
        if falls or (score == "valid" and after < LEAST_VALID * before):
            return [f"{PLAUSIBLE[score]} falls from {number(before, 2)} to {number(after, 2)}"]
    return []


def contests(study: SynthesisedImages) -> list[str]:
    """Return, for every other way to find images, in which regions guided ones are ahead, behind or not told apart."""
    pool, n = " of {:.0f} (as costly: a guided image takes {:.1f} times as long)", study.cost.get("n_pool")
    names = {
        "best of n": f"the best unguided images{'' if n is None else pool.format(n, study.cost['ratio'])}",
        "evolved": "images evolved in noise space",
        "natural": "the natural images that the guiding encoder ranks highest",
        "natural true": "the natural images of the largest true response",
    }
    return [
        sentence
        for against, words in names.items()
        for judge, regions in _by_judge(study).items()
        if (sentence := _contest(study, against, words, judge, regions))
    ]


def _contest(study: SynthesisedImages, against: str, words: str, judge: str, regions: list[str]) -> str:
    sides: dict[str, list[str]] = {"ahead in": [], "behind in": [], "not told apart in": []}
    for region in regions:
        gain = study.gain(region, against, judge)
        if gain is not None:
            side = "ahead in" if gain["low"] > 0 else "behind in" if gain["high"] < 0 else "not told apart in"
            sides[side].append(region)
    parts = [f"{side} {', '.join(mine)}" for side, mine in sides.items() if mine]
    if not parts:
        return ""
    n, n_kept = len(study.rows("guided", regions[0])), len(study.kept(regions[0]))
    best = f"the {n_kept} that the guiding encoder ranks highest of {n} " if n_kept < n else ""
    text = f"By {WHO[judge]}, {best}guided images against {words}: {'; '.join(parts)}."
    if against == "natural" and sides["behind in"]:
        text += (
            f" In {', '.join(sides['behind in'])} natural images win: what the region prefers is among them, and a "
            "search finds it without synthesis."
        )
    return text


def _by_judge(study: SynthesisedImages) -> dict[str, list[str]]:
    """Return the regions that the truth judges, and those that the other encoder judges, where it sees them."""
    seen = [name for name in study.regions if not _blind(study, name, study.judge_of(name))]
    return {judge: [name for name in seen if study.judge_of(name) == judge] for judge in WHO}


def specific_sentence(study: SynthesisedImages) -> str:
    """Return in how many regions guidance raises the region itself most; empty with one region."""
    parts = []
    for judge, regions in _by_judge(study).items():
        table = study.specificity(judge).reindex(index=regions)
        if table.shape[1] < 2 or table.empty:
            continue
        best = table.idxmax(axis=1)
        others = [region for region in regions if str(best[region]) != region]
        text = f"in {len(regions) - len(others)} of {len(regions)} rows by {WHO[judge]}"
        parts.append(f"{text} (another one gains more when guided for {', '.join(others)})" if others else text)
    return f"Of all regions the one guided for gains most {', and '.join(parts)}." if parts else ""


def matched_sentence(study: SynthesisedImages) -> str:
    """State the gain that remains in images with the contrast and luminance of unguided ones."""
    kept: list[str] = []
    lost: list[str] = []
    for judge, region in ((judge, name) for judge, names in _by_judge(study).items() for name in names):
        gain = study.gain(region, "unguided", judge, condition="matched")
        if gain is not None:
            (kept if gain["low"] > 0 else lost).append(f"{region} {_interval(gain)}")
    if not kept and not lost:
        return ""
    parts = [f"remains in {', '.join(kept)}"] if kept else []
    parts += [f"is not shown in {', '.join(lost)}"] if lost else []
    who = " or ".join(WHO[judge] for judge, regions in _by_judge(study).items() if regions)
    return (
        "Early visual areas answer to contrast alone. In guided images with the mean luminance and RMS contrast of the "
        f"unguided image of the same seed, a gain over it (by {who}) {' and '.join(parts)}."
    )


def caveats(study: SynthesisedImages) -> list[str]:
    """List the caveats that no figure of the section can show."""
    about = {side: study.guides.get(side) for side in ("guide", "check")}
    guide, check = (f" ({of['model']}, {of['layer']})" if of else "" for of in about.values())
    texts = [
        f"The checking encoder{check} is of another network than the guiding one{guide} and was fitted to other images "
        "of the same subject. Agreement of the two is necessary, not sufficient: both may be pleased by what no region "
        "is."
    ]
    if blind := [region for region in study.regions if _blind(study, region, "check")]:
        texts.append(
            f"It hardly predicts held-out images of {', '.join(blind)} (r below {number(LEAST_R, 1)}): its scores "
            "there say nothing for guided images, nor against them."
        )
    unknown = study.without_truth
    if len(unknown) < len(study.regions):
        texts.append(
            "These responses were simulated: the true response is that of a neuron which looks at the pixels and which "
            "no encoder saw. Real regions have no such column."
        )
    if unknown:
        of = f" for {', '.join(unknown)}" if len(unknown) < len(study.regions) else ""
        texts.append(
            f"No truth exists here{of}: what the region would do is unknown until these images are shown in a scanner. "
            "What follows are predictions."
        )
    if study.contrasts:
        texts.append(
            f"Numbers of {', '.join(study.contrasts)}, one region against another, are differences of standard scores: "
            "the first region's minus the second's, each in standard deviations over natural images. The difference "
            "has another standard deviation, so that they cannot be compared with those of single regions."
        )
    return texts


def _as_good(null: "pd.Series[Any]") -> int:
    """Count the null encoders that reach the guided images: p = (1 + count) / (n + 1)."""
    return round(float(null["p"]) * (int(null["n"]) + 1)) - 1


def _amount(study: SynthesisedImages, gain: "pd.Series[Any]") -> str:
    """Return a gain with its interval, and what it is counted in."""
    unit = "(difference of standard scores)" if gain["region"] in study.contrasts else "SD"
    return f"{_interval(gain)} {unit}"


def synthesis_findings(material: ImageMaterial) -> list[str]:
    """Return for which regions guided images may be claimed, and who says so; nothing where none were made."""
    study = material.synthesised
    if study is None or not study.regions:
        return []
    claimed = [region for region in study.regions if not objections(study, region)]
    warned = [region for region in study.regions if warning(study, region)]
    text = f"Guided images raise the response of {len(claimed)} of {len(study.regions)} regions"
    by_truth = [region for region in claimed if region not in study.without_truth]
    parts = [f"by the true response: {', '.join(by_truth)}"] if by_truth else []
    if by_encoder := [region for region in claimed if region in study.without_truth]:
        parts.append(f"by an encoder that did not guide, no truth being known: {', '.join(by_encoder)}")
    text += f" ({'; '.join(parts)})." if parts else "."
    if warned:
        text += f" In {', '.join(warned)} the guiding encoder rises and another judge does not follow."
    return [text]


def synthesis_methods(material: ImageMaterial) -> list[tuple[str, tuple[str, ...]]]:
    """Describe the synthesis and judging of images, with the keys of the references; empty where none were made."""
    study, options = material.synthesised, material.config.synthesize
    if study is None or not study.regions:
        return []
    conditions = set(study.table["condition"])
    views = f" and to {options.views} noised and denoised views of each" if options.views else ""
    against = " (of one region against another, the difference of the two)" if study.contrasts else ""
    text = (
        f"Images were sampled in {options.steps} steps from the diffusion model {options.prior} and guided by the "
        f"gradient of the mean predicted response of a region, in standard deviations over natural images{against}, "
        f"through the denoised estimate (scale {options.scale:g}; a step moves the image by a root mean square of at "
        f"most {options.trust_radius:g}). Two encoders of different networks were fitted to disjoint halves of the "
        f"training images{views} by ridge regression: one guided, the other only judged."
    )
    text += _sampler(study.guides, options)
    texts: list[tuple[str, tuple[str, ...]]] = [(text, ("brainguided", "ridge"))]
    if options.recurrence > 1:
        text = (
            f"Every step was taken {options.recurrence} times, with noise put back between them; unguided images "
            "sampled in this way stand beside."
        )
        texts.append((text, ("recurrence",)))
    beside = {
        "prompted": "images that the region's caption alone asks the diffusion model for",
        "best of n": "the best of unguided images at the same cost",
        "evolved": "images evolved in noise space at the same cost",
        "natural": "the natural images that the guiding encoder ranks highest",
        "matched": "guided images with the contrast and luminance of unguided ones",
    }
    found = [words for condition, words in beside.items() if condition in conditions]
    nulls = (
        f" {study.n_nulls} null encoders were fitted to the responses of exchanged images and guided in the same way."
        if study.n_nulls
        else ""
    )
    stand = [*["unguided images of the same seeds"] * ("unguided" in conditions), *found]
    signs = "against unguided images flips signs of paired differences, against others it " * ("unguided" in conditions)
    listed = f"Beside guided images stand {', '.join(stand)}." if stand else "Nothing stands beside guided images."
    if options.share_kept < 1:
        nulls += (
            f" With searches and natural images were compared the {100 * options.share_kept:g} % of the guided images "
            "that the guiding encoder ranks highest, against as many of theirs; with unguided images and null encoders "
            "all of them."
        )
    of_best = "; of the best of many, whose worst varies too, p is that of t where it is larger"
    text = f"{listed}{nulls} Intervals are Student's t over images; p {signs}exchanges images{of_best}."
    texts.append((text, ()))
    text = (
        "An image that looks right is no evidence that it was found in the brain: a generator shows what it was "
        "trained on, whatever it is asked."
    )
    texts.append((text, ("spurious",)))
    return texts


def _sampler(about: Mapping[str, Any], options: SynthesizeSettings) -> str:
    """Describe the sampler: its scheduler, its precision, and the prompts of the prior."""
    used, own = about.get("scheduler"), about.get("own_scheduler")
    texts = []
    if used is not None:
        instead = f" in place of the model's own {own}" if own not in (None, used) else ""
        why = (
            ", which remembers earlier steps, so that none could be repeated"
            if instead and options.scheduler is None
            else ""
        )
        texts.append(f"Steps were those of {used}{instead}{why}.")
    if options.dtype != "float32":
        texts.append(f"Its networks worked in {options.dtype}, its latents in float32.")
    if options.prompt is not None:
        texts.append(f"All images were asked for by the words \u201c{options.prompt}\u201d.")
    if options.negative_prompt is not None:
        texts.append(f"All images were led away from the words \u201c{options.negative_prompt}\u201d.")
    if options.prompt is not None or options.negative_prompt is not None:
        texts.append(f"The scale of classifier-free guidance was {options.classifier_free_scale:g}.")
    return "".join(f" {text}" for text in texts)
