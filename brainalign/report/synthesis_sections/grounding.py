"""The section on grounded words: images found by captions, named axes, where words look, what regions answer to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainalign.report import kit
from brainalign.report.encoding_sections import attention_maps, encoder_scores
from brainalign.statistics import RELIABLE

LABELS = {"grounded": "grounded words", "ridge": "ridge to text vectors", "shuffled": "grounded in shuffled images"}
MARKERS = {"grounded": "o", "ridge": "s", "shuffled": "x"}


def retrieval_figure(table: pd.DataFrame) -> Figure:
    """Draw how often an image is found by its caption, with intervals, chance and the band of exchanged captions.

    A row per space and measure: space, measure, value, low, high, chance, null_mean, null_sd.
    """
    measures, spaces = list(pd.unique(table["measure"])), list(pd.unique(table["space"]))
    figure, (ax,) = kit.new_figure(6.0, 3.2)
    step = min(0.18, 0.8 / len(spaces))
    for k, space in enumerate(spaces):
        mine = table[table["space"] == space].set_index("measure").reindex(measures)
        x = np.arange(len(measures)) + step * (k - (len(spaces) - 1) / 2)
        colour = "black" if space == "shuffled" else kit.COLOURS[k % len(kit.COLOURS)]
        ax.vlines(x, mine["low"], mine["high"], color=colour, linewidth=1.4)
        ax.plot(x, mine["value"], MARKERS.get(space, "^"), color=colour, markersize=5, label=LABELS.get(space, space))
    first = table[table["space"] == spaces[0]].set_index("measure").reindex(measures)
    for place, (_, row) in enumerate(first.iterrows()):
        once = "" if place == 0 else "_"
        low, high = row["null_mean"] - 2 * row["null_sd"], row["null_mean"] + 2 * row["null_sd"]
        left, right = place - 0.4, place + 0.4
        kit.band(ax, [left, right], max(low, 0), high, kit.NULL, f"{once}exchanged captions", zorder=0)
        ax.hlines(row["chance"], left, right, color="black", linestyle=":", linewidth=0.8, label=f"{once}chance")
    ax.set_xticks(range(len(measures)), measures)
    ax.set_ylabel("share of held-out images")
    ax.set_ylim(0, 1.03)
    return kit.legend_below(figure, [ax], 3)


def words_figure(positions: NDArray[np.floating[Any]], words: Sequence[str], axes: pd.DataFrame) -> Figure:
    """Draw words on their first two principal axes; of more than 60, those furthest out.

    axes: Columns axis, variance, name.
    """
    figure, (ax,) = kit.new_figure(6.4, 5.0)
    second = positions[:, 1] if positions.shape[1] > 1 else np.zeros(len(positions))
    shown = np.argsort(-np.hypot(positions[:, 0], second))[:60]
    ax.axhline(0, color=kit.GREY, linewidth=0.5)
    ax.axvline(0, color=kit.GREY, linewidth=0.5)
    ax.plot(positions[shown, 0], second[shown], ".", color=kit.COLOURS[0], markersize=4)
    for k in shown:
        kit.name_point(ax, str(words[k]), (positions[k, 0], second[k]), (3, 2), size=8)
    labels = [
        f"axis {row['axis']}{': ' + str(row['name']) if row['name'] else ''} ({row['variance']:.0%} of variance)"
        for _, row in axes.head(2).iterrows()
    ]
    ax.set(xlabel=labels[0], ylabel=labels[1] if len(labels) > 1 else "")
    ax.margins(0.12)
    return figure


GROUNDING_TABLES = ("groundedscores", "groundedaxes", "groundedattributes", "groundednorms")
ALL_NORMS = "all"
SPACES = {
    "grounded": "grounded words",
    "text": "text vectors",
    "shuffled": "words grounded in shuffled images",
    "words alone": "words alone",
}
SHORT = {"grounded": "grounded", "text": "text vectors", "shuffled": "shuffled", "words alone": "words alone"}


def grounding_section(material: kit.ImageMaterial) -> kit.Section | None:
    """Return the section; None where no words were grounded."""
    if not material.grounding or material.grounded_words is None:
        return None
    scores, axes, attributes, norms = (material.grounding[name] for name in GROUNDING_TABLES)
    details, arrays = material.details("groundedwords"), material.grounded_words
    figure, confidence = retrieval_figure(scores), material.config.confidence
    drawn = words_figure(arrays["positions"], details["words"], axes)
    parts = [
        kit.captioned("groundedretrieval", "Images by captions", figure, scores, confidence=confidence),
        kit.captioned("groundedaxes", "Words on their axes", drawn, axes),
    ]
    panels = kit.together("groundedwords", "Words and the images they find", parts)
    if details["grid"][0] > 1:
        grid = (int(details["grid"][0]), int(details["grid"][1]))
        names = details["shown_words"], details["shown_stimuli"]
        figure = attention_maps(arrays["where"], grid, *names, material.pictures)
        panels.append(kit.captioned("groundedplaces", "Where words look", figure))
    found = retrieval_sentence(scores, material.config.ground.permutations)
    paragraphs = [_explained(details), found, _axes_sentence(axes, attributes)]
    blocks = [_axes_table(axes, attributes)]
    regions = material.grounded_regions
    if regions is not None and regions["r"].notna().any():
        shown = regions[regions["group"] != RELIABLE].dropna(subset=["r"])
        shown = shown if len(shown) else regions.dropna(subset=["r"])
        named = shown.assign(encoder=shown["encoder"].map(lambda name: SPACES.get(name, name)))
        figure = encoder_scores(named)
        panels.append(kit.captioned("groundedregions", "Regions", figure, regions, confidence=confidence))
        paragraphs += region_sentences(regions)
        blocks.append(_regions_table(regions))
    if len(norms):
        paragraphs.append(_norms_sentence(norms))
        blocks.append(_norms_table(norms))
    return kit.Section("grounding", "Grounded words", panels, paragraphs, blocks)


def retrieval_sentence(scores: pd.DataFrame, n_permutations: int = 0) -> str:
    """Say how well captions find images that nothing was fitted to, beside chance, shuffled pairs and a linear map.

    Artifact `groundedscores`.
    """
    rows = kit.by_name(scores[scores["measure"] == "2-way"], "space")  # of weak signals it tells more than top-1
    mine = rows["grounded"]
    found = [f"{LABELS[name]} {kit.with_interval(row, 'value')}" for name, row in rows.items() if name != "grounded"]
    verdict = "above chance" if mine["p"] < 0.05 else "not above chance"
    text = (
        f"Among {mine['n_gallery']} held-out images, captions find their own before another in "
        f"{kit.number(mine['value'])} ({kit.between(mine)}; chance {kit.number(mine['chance'])}; "
        f"{kit.p_value(mine['p'], n_permutations)}: {verdict}); {', '.join(found)}."
    )
    line = rows.get("ridge")
    if line is None:
        return text
    apart = f"{kit.number(line['difference'])}, interval {kit.between(line, 'difference_low', 'difference_high')}"
    if line["difference_low"] > 0:
        return f"{text} Grounding finds more than the linear map ({apart})."
    if line["difference_high"] < 0:
        return f"{text} The linear map finds more ({apart}): for these images the network is not worth its parameters."
    return f"{text} Grounding and linear map are a tie ({apart})."


def region_sentences(regions: pd.DataFrame) -> list[str]:
    """Say in how many regions grounded words predict better or worse than others, and in how many nothing is known.

    Artifact `groundedregions`.
    """
    places = regions[regions["group"] != RELIABLE]
    places = places if len(places) else regions
    mine = places[places["encoder"] == "grounded"]
    sure, found = int((mine["q"] < 0.05).sum()), []
    for name in [name for name in SPACES if name != "grounded"]:
        rows = places[(places["encoder"] == name) & places["difference"].notna()]
        ahead, behind = int((rows["difference_low"] > 0).sum()), int((rows["difference_high"] < 0).sum())
        if not ahead and not behind:
            found.append(f"{SPACES[name]}: a tie in all {len(rows)}")
        else:
            found.append(f"{SPACES[name]}: better in {ahead}, worse in {behind}, a tie in {len(rows) - ahead - behind}")
    return [
        f"Grounded words of the captions predict {sure} of {len(mine)} regions above chance (false discovery rate .05)."
        f" Against {'; '.join(found)} (paired intervals over resampled test images, not corrected for the number of "
        "regions; with many regions some differ by chance)."
    ]


def grounding_methods(material: kit.ImageMaterial) -> list[tuple[str, list[str]]]:
    """Describe the grounding of words, with the keys of the references; empty where no words were grounded."""
    if not material.grounding:
        return []
    details, options = material.details("groundedwords"), material.config.ground
    chosen = ", which found a fifth of them best by captions" if options.weight_decay is None else ""
    text = (
        f"Grounded words: vectors of {details['n_words']} content words (text model {details['text']}) and the places "
        f"of {details['n_train']} training images (layer {details['model_layer']} of {options.model}) were brought "
        f"into a space of {options.n_dimensions} dimensions by two small networks, trained with a contrastive loss "
        f"({options.n_steps} steps, weight decay {details['weight_decay']:g}{chosen}) on the score mean over words of "
        "max over places of cosine; images whose captions hold the same words are no negatives of each other. Images "
        "that any subject is tested on took no part. Regions: ridge regression of mean responses to images on the mean "
        "vector of a caption's words. Axes: principal components of word vectors; attributes of images were exchanged "
        "between images, norms between words (two-sided p, false discovery rate over all axes and attributes)."
    )
    return [(text, ["grounding", "clip", "fdr"])]


def _explained(details: Mapping[str, Any]) -> str:
    return (
        f"Text vectors know words by their company; here {details['n_words']} words were pulled towards what they are "
        f"said of in {details['n_train']} training images, by captions alone: nothing says which place a word means. "
        "Controls are the same words grounded in shuffled images, which shows what the network adds without seeing, "
        "and the text vectors themselves."
    )


def _axes_sentence(axes: pd.DataFrame, attributes: pd.DataFrame) -> str:
    if attributes.empty:
        return "Nothing is known of the words that could name the axes; the words at their ends must do."
    named, tests = int((axes["name"] != "").sum()), len(attributes)
    text = (
        f"{named} of {len(axes)} principal axes correlate with something known of the words (q < .05, {tests} tests)."
    )
    if named < len(axes):
        text += " The others are named by the words at their ends only, and such names are readings, not findings."
    return text


def _axes_table(axes: pd.DataFrame, attributes: pd.DataFrame) -> Markup:
    header = ["axis", "variance", "words at one end", "words at the other"]
    header += ["nearest attribute", "r", "95 % of |r| exchanged", "q"]
    rows = []
    for _, row in axes.iterrows():
        mine = attributes[attributes["axis"] == row["axis"]]
        near = ["–"] * 4
        if len(mine):
            best = mine.loc[mine["r"].abs().idxmax()]
            near = [
                str(best["attribute"]) + ("" if best["q"] < 0.05 else " (not significant)"),
                kit.number(best["r"]),
                kit.number(best["null_high"]),
                kit.p_number(best["q"], 4),
            ]
        rows.append([str(row["axis"]), f"{row['variance']:.0%}", row["low_words"], row["high_words"], *near])
    return kit.html_table(header, rows, "Principal axes of grounded words")


def _regions_table(regions: pd.DataFrame) -> Markup:
    names = [name for name in SPACES if name in set(regions["encoder"])]
    header = ["region", *(SHORT[name] for name in names), "grounded − text", "p (grounded)", "ceiling (r)"]
    rows = []
    for group, part in regions.groupby("group", sort=False):
        mine = kit.by_name(part, "encoder")
        text, own = mine["text"], mine["grounded"]
        sure = text["difference_low"] > 0 or text["difference_high"] < 0
        apart = kit.with_interval(text, "difference", "difference_") + ("" if sure else ": tie")
        scores = [kit.number(mine[name]["r"]) for name in names]
        rows.append([str(group), *scores, apart, kit.p_number(own["p"], 4), kit.number(own["ceiling_r"])])
    return kit.html_table(header, rows, "Regions predicted from words of captions")


def _norms_sentence(norms: pd.DataFrame) -> str:
    rows = kit.by_name(norms[norms["norm"] == ALL_NORMS], "space")
    mine, sure = rows["grounded"], "a tie"
    if mine["gain_low"] > 0 or mine["gain_high"] < 0:
        sure = "better" if mine["gain"] > 0 else "worse"
    return (
        f"Feature norms of {int(mine['n_words'])} words (folds by word), mean R²: grounded {kit.number(mine['r2'])}, "
        f"text vectors {kit.number(rows['text']['r2'])}, shuffled {kit.number(rows['shuffled']['r2'])}; difference "
        f"to text {kit.with_interval(mine, 'gain', 'gain_')}: "
        f"{sure}. What grounding pulls towards vision it takes from what text knew: norms that are not visual may fall."
    )


def _norms_table(norms: pd.DataFrame) -> Markup:
    header = ["norm", *(f"R², {SHORT[name]}" for name in ("grounded", "text", "shuffled")), "grounded − text", "p"]
    rows = []
    for norm, part in norms.groupby("norm", sort=False):
        mine = kit.by_name(part, "space")
        own, name = mine["grounded"], "mean over norms" if norm == ALL_NORMS else str(norm)
        scores = [kit.number(mine[space]["r2"]) for space in ("grounded", "text", "shuffled")]
        rows.append([name, *scores, kit.with_interval(own, "gain", "gain_"), kit.p_number(own["p"], 4)])
    return kit.html_table(header, rows, "Feature norms of held-out words")
