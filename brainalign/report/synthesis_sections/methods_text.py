"""What the page of a subject says of synthesised images outside their section: the finding, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brainalign.config import SynthesizeSettings
from brainalign.report.kit import ImageMaterial
from brainalign.report.synthesis_sections.synthesis_words import objections, warning


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
    text = f"{listed}{nulls} Intervals resample images; p {signs}exchanges images."
    texts.append((text, ("bootstrap",)))
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
