"""The page of a study of odd-one-out judgements: how well choices follow, from which dimensions, and who has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainalign.report import kit
from brainalign.report.geometry_sections import ALIGNMENT_TABLES, alignment_section, failed_alignment

COLOUR_OF = {
    "embedding": kit.COLOURS[0],
    "reproducible": kit.COLOURS[4],
    "baseline": kit.COLOURS[1],
    "published": kit.COLOURS[2],
}
KINDS = {
    "embedding": "{name} embedding",
    "reproducible": "{name}, dimensions found again",
    "control": "{name}, fitted to shuffled choices",
    "baseline": "{name}, no training",
    "published": "published embedding",
}
PERMUTED = "95 % of permuted objects"
SPLITS = {"triplets": "held-out triplets", "repeated": "triplets judged several times"}


def accuracy_figure(choices: pd.DataFrame) -> Figure:
    """Draw the accuracy of every candidate between chance and the ceiling, a panel per split."""
    splits = list(pd.unique(choices["split"]))
    n = max(len(choices[choices["split"] == split]) for split in splits)
    figure, axes = kit.new_figure(3.4 + 2.8 * len(splits), 1.1 + 0.3 * n, len(splits))
    for k, (ax, split) in enumerate(zip(axes, splits, strict=True)):
        part = choices[choices["split"] == split].iloc[::-1]
        y = np.arange(len(part))
        _between(ax, part.iloc[0], part["accuracy"])
        for place, (_, row) in zip(y, part.iterrows(), strict=True):
            colour = COLOUR_OF.get(row["kind"], kit.GREY)
            ax.errorbar(row["accuracy"], place, xerr=1.96 * row["se"], fmt="o", color=colour, markersize=5, capsize=2)
        names = [KINDS[kind].format(name=name) for name, kind in zip(part["name"], part["kind"], strict=True)]
        ax.set_yticks(y, names if k == 0 else [""] * len(y), fontsize=8)
        kit.label_axes(ax, SPLITS.get(split, split), x="accuracy", ticks="x")
        ax.set_ylim(-0.6, len(part) - 0.4)
    return kit.legend_below(figure, axes, 3)


def _between(ax: Axes, row: pd.Series, values: pd.Series[float] | pd.DataFrame) -> None:
    """Draw chance and the ceiling, across an axis that holds all accuracies."""
    ax.axvline(row["chance"], color="black", linewidth=0.8, linestyle=":", label="chance")
    if pd.notna(row["ceiling_low"]):
        bounds, label = row[["ceiling_low", "ceiling_high"]], "ceiling of accuracy, bounds"
        ax.axvspan(*bounds, color=kit.NULL, zorder=0, label=label)
    seen = np.append(values.to_numpy(dtype=float), row["ceiling_high"])
    ax.set_xlim(np.nanmin([0.3, *seen]) - 0.05, np.nanmax([0.7, *seen]) + 0.05)


def reproducibility_figure(dimensions: pd.DataFrame, least_r: float) -> Figure:
    """Draw how well every dimension is found again from other starts, a panel per method."""
    methods = list(pd.unique(dimensions["method"]))
    figure, axes = kit.new_figure(4.4 * max(len(methods), 1), 2.6, max(len(methods), 1))
    for ax, method in zip(axes, methods, strict=False):
        part = dimensions[dimensions["method"] == method]
        colours = [kit.COLOURS[0] if kept else kit.GREY for kept in part["reproducible"]]
        ax.bar(part["dimension"], part["r"], color=colours, width=0.8)
        ax.axhline(least_r, color="black", linewidth=0.8, linestyle="--")
        ax.set_ylim(0, 1.02)
        kit.label_axes(
            ax,
            f"{method}: {int(part['reproducible'].sum())} of {len(part)} found again",
            x="dimension, largest first",
            y="|r| with other starts",
            ticks="both",
        )
        if len(part) <= 20:
            ax.set_xticks(part["dimension"])
    return figure


def network_figure(networks: pd.DataFrame, choices: pd.DataFrame, controls: Sequence[str] = ()) -> Figure:
    """Draw networks' layers: as they are on held-out triplets, and read out on triplets of unseen objects."""
    shown = networks.iloc[::-1]
    colours = kit.model_colours(list(pd.unique(networks["model"])), controls)
    figure, axes = kit.new_figure(9.0, 1.2 + 0.26 * len(shown), 2)
    y = np.arange(len(shown))
    about = (("cosine", "null_high", "as they are, held-out triplets"), ("unseen", "unseen_null_high", ""))
    for k, (ax, (value, high, title)) in enumerate(zip(axes, about, strict=True)):
        _between(ax, choices.iloc[0], shown[[value, high, *["unseen_cosine"] * k]])
        ax.barh(y, shown[high] - 0.25, left=0.25, height=0.7, color="#ececec", zorder=0, label=PERMUTED)
        sd = np.nan_to_num(shown["unseen_sd"]) if value == "unseen" else np.zeros(len(shown))
        for place, (_, row), spread in zip(y, shown.iterrows(), sd, strict=True):
            ax.errorbar(row[value], place, xerr=spread, fmt="o", color=colours[row["model"]], markersize=5, capsize=2)
            if value == "unseen":
                ax.plot(row["unseen_cosine"], place, "o", color=colours[row["model"]], markerfacecolor="none")
        names = [f"{model} {layer}" for model, layer in zip(shown["model"], shown["layer"], strict=True)]
        ax.set_yticks(y, names if k == 0 else [""] * len(y), fontsize=7)
        ax.set_ylim(-0.6, len(shown) - 0.4)
        kit.label_axes(ax, title or "dimensions read out, unseen objects", x="odd-one-out accuracy", ticks="x")
    return kit.legend_below(figure, axes, 3)


def readout_grid(readouts: pd.DataFrame, networks: pd.DataFrame) -> Figure:
    """Draw the held-out R² of every dimension from every layer; a dot where it is not above its null."""
    layers = list(zip(networks["model"], networks["layer"], strict=True))
    numbers = list(pd.unique(readouts["dimension"]))
    by = readouts.set_index(["model", "layer", "dimension"])
    values, p = (by[name].unstack().loc[layers, numbers].to_numpy(dtype=float) for name in ("r2", "p"))
    figure, (ax,) = kit.new_figure(2.4 + 0.3 * len(numbers), 1.0 + 0.26 * len(layers))
    picture = ax.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    bar = figure.colorbar(picture, ax=ax, shrink=0.9)
    bar.set_label("held-out R²", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    row, column = np.nonzero(~(p < kit.LEVEL))
    ax.plot(column, row, ".", color="white", markersize=4)
    ax.set_xticks(range(len(numbers)), [str(number) for number in numbers], fontsize=7)
    ax.set_yticks(range(len(layers)), [f"{model} {layer}" for model, layer in layers], fontsize=7)
    ax.set_xlabel("dimension", fontsize=8)
    return figure


def region_figure(regions: pd.DataFrame) -> Figure:
    """Draw how well the geometry of brain regions fits judged similarity, with its null and ceiling."""
    figure, (ax,) = kit.new_figure(max(5.2, 1.2 + 0.5 * len(regions)), 3.0)
    x = np.arange(len(regions))
    ax.bar(x, regions["score"], color=kit.COLOURS[0], width=0.6, label="regions")
    ax.bar(x, regions["null_high"], color=kit.NULL, width=0.75, zorder=0, label=PERMUTED)
    for place, (_, row) in zip(x, regions.iterrows(), strict=True):
        if pd.notna(row["ceiling_low"]):
            low, high = row["ceiling_low"], row["ceiling_high"]
            kit.band(ax, [place - 0.4, place + 0.4], low, high, kit.COLOURS[1], "ceiling", alpha=0.35)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_xticks(x, list(regions["region"]), fontsize=8, rotation=45 if len(regions) > 8 else 0)
    kit.label_axes(ax, y="Spearman's r", ticks="y")
    return kit.legend_below(figure, [ax], 3)


CONCEPT_TABLES = ("choices", "conceptdimensions", "networks", "readouts", "conceptregions")
FEW_STARTS = 20
DEPENDENT = "Intervals are over choices, and say nothing of other objects or people."


def gather_concepts(shelf: kit.Shelf) -> kit.StudyMaterial:
    """Gather what was learned of odd-one-out judgements, and the networks that were aligned with them."""
    aligned = ALIGNMENT_TABLES if shelf.each(ALIGNMENT_TABLES[0]) else ()
    return shelf.study((*CONCEPT_TABLES, *aligned), noted=["triplets"])


def concepts_chapter(material: kit.StudyMaterial) -> kit.Chapter:
    """Tell of choices, of the dimensions behind them, and of who has these."""
    whole, makers = bool(material.tables), (_choices, _dimensions, _networks, _regions)
    sections = [make(material) for make in makers] if whole else []
    sections += [alignment_section(material.tables, material.details("alignment"))] if whole else []
    aligned = ALIGNMENT_TABLES[0] in material.tables
    return kit.Chapter(
        "Odd-one-out judgements",
        sections,
        [*_findings(material), *material.descriptor.notes] if whole else [],
        _cards(material),
        question="What do choices of the odd one out rest on?",
        methods=_methods(material),
        failed_controls=[*failed_alignment(material.tables[ALIGNMENT_TABLES[0]])] if aligned else [],
    )


def _first(material: kit.StudyMaterial, kind: str, split: str = "triplets") -> pd.Series[Any] | None:
    """Return the row of the first method, or of the only one of its kind."""
    choices = material.tables["choices"]
    rows = choices[(choices["kind"] == kind) & (choices["split"] == split)]
    return None if rows.empty else rows.iloc[0]


def _cards(material: kit.StudyMaterial) -> list[dict[str, str]]:
    fitted = material.details("choices")
    if not material.tables:
        return []
    cards, ceilings = [], fitted["ceilings"]
    for kind, name in (("embedding", "accuracy"), ("baseline", "without training"), ("published", "published")):
        row = _first(material, kind)
        if row is not None:
            control = f"chance {kit.number(row['chance'])}, {int(row['n_triplets']):,} triplets"
            title = name if row["name"] == name else f"{name}, {row['name']}"
            cards.append({"name": title, "value": kit.number(row["accuracy"]), "control": control})
    if ceilings:
        bounds = f"{kit.number(ceilings['accuracy_low'])} to {kit.number(ceilings['accuracy_high'])}"
        about = f"{ceilings['n_triplets']:,} triplets judged several times"
        cards.append({"name": "ceiling of accuracy", "value": bounds, "control": about})
    for method, part in material.tables["conceptdimensions"].groupby("method", sort=False):
        count = f"{int(part['reproducible'].sum())} of {len(part)}"
        cards.append({"name": f"dimensions, {method}", "value": count, "control": "found again from other starts"})
    return cards


def _findings(material: kit.StudyMaterial) -> list[str]:
    fitted = material.details("choices")
    best, shuffled, baseline = (_first(material, kind) for kind in ("embedding", "control", "baseline"))
    assert best is not None
    assert shuffled is not None
    assert baseline is not None
    sentences = [
        f"The {best['name']} embedding predicts {kit.number(best['accuracy'])} of {int(best['n_triplets']):,} held-out "
        f"choices (chance {kit.number(best['chance'])}); fitted to shuffled choices "
        f"{kit.number(shuffled['accuracy'])}, similarities counted without training "
        f"{kit.number(baseline['accuracy'])}. {DEPENDENT}"
    ]
    ceilings, repeated = fitted["ceilings"], _first(material, "embedding", "repeated")
    if ceilings and repeated is not None:
        sentences.append(
            f"On the {ceilings['n_triplets']:,} triplets that were judged several times it predicts "
            f"{kit.number(repeated['accuracy'])} of the choices; always naming the most frequent choice would predict "
            f"{kit.number(ceilings['accuracy_low'])} to {kit.number(ceilings['accuracy_high'])}, so that it is "
            f"{kit.number(repeated['share_low'], 2)} to {kit.number(repeated['share_high'], 2)} of the way from chance "
            f"to the ceiling. Two people agree on {kit.number(ceilings['agreement'])} of them, which is another "
            "question and no ceiling of accuracy."
        )
    else:
        sentences.append("There is no ceiling: no triplets that were judged several times were given.")
    if fitted["alpha_at_edge"]:
        sentences.append("The chosen penalty is at the edge of its grid: widen concepts.alphas.")
    if fitted["starts"] < FEW_STARTS:
        sentences.append(
            f"Dimensions were looked for from {fitted['starts']} starts; a figure to be reported wants "
            f"{FEW_STARTS} or more."
        )
    return sentences


def _choices(material: kit.StudyMaterial) -> kit.Section:
    choices = material.tables["choices"]
    title, known = "Between chance and ceiling", choices["ceiling_low"].notna().any()
    panel = kit.captioned("conceptchoices", title, accuracy_figure(choices), choices, id="choices", ceiling=known)
    prepared, fitted = material.details("triplets"), material.details("choices")
    shares = ", ".join(kit.number(share) for share in prepared["odd_column_shares"])
    paragraphs = [
        f"{prepared['n_triplets']:,} judgements of {prepared['n_different']:,} different triplets of "
        f"{fitted['n_objects']:,} objects; {fitted['n_train']:,} for training. The same three objects are never "
        f"on both sides of a split; {fitted['n_left_out']:,} judgements were left out because their triplet is one of "
        "those judged several times.",
        f"The odd one stands last; taken as the odd one, the three columns predict {shares} of the choices.",
    ]
    if (choices["kind"] == "published").any():
        paragraphs.append(
            "The published embedding may have been fitted to some of the triplets that are held out here, so that its "
            "accuracy may be too high."
        )
    return kit.Section("choices", "Predicted choices", [panel], paragraphs)


def _dimensions(material: kit.StudyMaterial) -> kit.Section:
    table = material.tables["conceptdimensions"]
    if table.empty:
        return kit.Section("dimensions", "Dimensions", paragraphs=["No dimension was found: the embeddings are empty."])
    least = material.config.concepts.least_r
    figure, numbers = reproducibility_figure(table, least), table.assign(top=table["top"].map(", ".join))
    title = "Dimensions found again"
    panel = kit.captioned("conceptdimensions", title, figure, numbers, id="dimensions", least=least)
    published = table["published"].ne("").any()
    header = ["dimension", "found again, |r|", "share of weight", "objects that have most of it"]
    blocks = []
    for method, part in table.groupby("method", sort=False):
        rows: list[list[str | Markup]] = []
        for _, row in part.iterrows():
            strength = Markup("<b>{}</b>") if row["reproducible"] else Markup('<span class="soft">{}</span>')
            r, share = (kit.number(row[name], 2) for name in ("r", "weight"))
            cells: list[str | Markup] = [str(row["dimension"]), strength.format(r), share]
            # A cell cannot be given a class here; a span that may break keeps long lists inside the page.
            cells.append(Markup('<span style="white-space: normal">{}</span>').format(", ".join(row["top"])))
            if published:
                cells.append(f"{row['published']} ({kit.number(row['published_r'], 2)})" if row["published"] else "–")
            rows.append(cells)
        columns = [*header, "published partner (|r|)"] if published else header
        blocks.append(Markup("<h3>{}</h3>").format(f"{method} embedding"))
        blocks.append(kit.html_table(columns, rows, f"Dimensions of the {method} embedding"))
    told = [
        f"{method}: {int(part['reproducible'].sum())} of {len(part)} dimensions found again (|r| at least {least:g})."
        for method, part in table.groupby("method", sort=False)
    ]
    return kit.Section("dimensions", "Dimensions", [panel], told, blocks)


def _networks(material: kit.StudyMaterial) -> kit.Section:
    networks, readouts = material.tables["networks"], material.tables["readouts"]
    title = "Networks beside judgements"
    if networks.empty:
        return kit.Section("networks", title, paragraphs=["No features of networks were extracted."])
    options = material.config.concepts
    columns: kit.Columns = {
        "layer": lambda row: f"{row['model']} {row['layer']}",
        "as they are, cosine": lambda row: f"{kit.number(row['cosine'])} (p {kit.p_equals(row['p'])})",
        "dot product": lambda row: kit.number(row["dot"]),
        "read out, unseen objects": lambda row: (
            f"{kit.number(row['unseen'])} ± {kit.number(row['unseen_sd'])} (p {kit.p_equals(row['unseen_p'])})"
        ),
        "cosine, unseen objects": lambda row: kit.number(row["unseen_cosine"]),
        "RSA": lambda row: f"{kit.number(row['rsa'])} (p {kit.p_equals(row['rsa_p'])})",
        "mean R²": lambda row: kit.number(row["mean_r2"], 2),
    }
    paragraphs = [
        "Left: the pair of a triplet whose features are most similar remains, without any training. Right: dimensions "
        "are read out of the features by ridge regression, for objects that were in no triplet the embedding was "
        f"fitted to and in no training row of the regression: {options.object_splits} times other "
        f"{100 * options.object_share:.0f} % of the objects, about {networks['unseen_triplets'].iloc[0]:,.0f} triplets "
        "of three unseen objects each; ± is the standard deviation over these splits.",
        "p: objects exchanged. RSA: Spearman's r of dissimilarities with those of the embedding, "
        f"{int(networks['n_objects'].iloc[0])} objects. R²: of the dimensions that are found again, objects held out.",
    ]
    choices, drawn = material.tables["choices"], "Networks without training, and read out"
    known: dict[str, Any] = {"ceiling": np.isfinite(choices["ceiling_low"].iloc[0]), "id": "networks"}
    figure = network_figure(networks, choices, material.uninformed)
    panels = [kit.captioned("conceptnetworks", drawn, figure, networks, **known)]
    if len(readouts):
        grid = readout_grid(readouts, networks)
        panels.append(kit.captioned("conceptreadouts", "Which dimensions a layer holds", grid, readouts, id="readouts"))
    return kit.Section("networks", title, panels, paragraphs, [kit.row_table(networks, columns, title)])


def _regions(material: kit.StudyMaterial) -> kit.Section:
    regions, other = material.tables["conceptregions"], material.config.concepts.regions_of
    title = "Brain regions beside judgements"
    if regions.empty:
        reason = "the configuration names no dataset under concepts.regions_of"
        if other is not None:
            reason = f"{other} is not there"
        return kit.Section("regions", title, paragraphs=[f"No brain regions stand beside the judgements: {reason}."])
    paragraphs = [
        f"Dataset {other}: Spearman's r of each region's dissimilarities with those of the embedding, mean over the "
        f"subjects who have it, {int(regions['n_objects'].iloc[0])} objects that are test images of all. "
        "Judgements and responses are of different people."
    ]
    columns: kit.Columns = {
        "region": lambda row: str(row["region"]),
        "Spearman's r": lambda row: kit.number(row["score"]),
        "p (objects exchanged)": lambda row: kit.p_number(row["p"]),
        "ceiling over subjects": lambda row: f"{kit.number(row['ceiling_low'])} to {kit.number(row['ceiling_high'])}",
        "subjects": lambda row: str(int(row["n_subjects"])),
    }
    panel = kit.captioned("conceptregions", title, region_figure(regions), regions, id="regions")
    return kit.Section("regions", title, [panel], paragraphs, [kit.row_table(regions, columns, title)])


def _methods(material: kit.StudyMaterial) -> list[tuple[str, Sequence[str]]]:
    fitted, options = material.details("choices"), material.config.concepts
    penalty = f"a penalty of {options.alphas[0]:g}"
    if len(options.alphas) > 1:
        penalty = (
            f"a penalty (of {len(options.alphas)}, the largest within one standard error of the best on held-out "
            "training triplets)"
        )
    fits = {
        "sparse": f"Sparse: weights of 0 or more, cross-entropy plus {penalty} on their sum.",
        "variational": "Variational: a Gaussian posterior per weight under a spike-and-slab prior; dimensions are kept "
        "that more than 5 objects (of fewer than 100: a twentieth) reliably have (Benjamini-Hochberg, 5 %).",
    }
    texts = [
        "Choices are modelled as a softmax over the dot products of the three pairs of a triplet; the pair that "
        f"remains leaves the odd one. {' '.join(fits[name] for name in options.methods)}",
        f"Fitted from {options.starts} starts. Dimensions of two starts are paired on half of the objects and "
        f"correlated on the other half, both ways; above {options.least_r:g} on average a dimension counts as found "
        "again. Tables show the start of which most is found again (the sum of r²).",
    ]
    ceiling = (
        " Its ceiling, the mean probability of the most frequent choice, lies between that of each choice predicted "
        "by the others (low) and by all (high)."
    ) * bool(fitted.get("ceilings"))
    ties = f"Accuracy counts ties by chance: a third where all three pairs are equally similar.{ceiling}"
    keys = ("spose", "vice", "thingsdata", *["alignet"] * (ALIGNMENT_TABLES[0] in material.tables))
    return [(texts[0], keys), (texts[1], ()), (ties, ())]
