"""The page of a study of dissimilarity matrices: models and network layers against every reference set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Arrays
from brainalign.config import Config
from brainalign.report import kit
from brainalign.report.geometry_sections import layer_curves, mds_categories, rdm_panel, reference_bars
from brainalign.report.pages.answers import answer_of_rdms
from brainalign.report.pages.blocks_figures import mds_points
from brainalign.report.pages.group import failed_chapter, scores_section

# Options of a model that say which weights are read, how many and by whom, and nothing of the network.
OF_USE = {"random_weights", "n_draws", "layers", "permute", "subjects", "batch_size", "device"}

COMPARED = {
    "spearman": "Spearman correlation with each subject's RDM (mean of within-session ranks, ranked again)",
    "cosine": "Cosine with each subject's RDM (mean over sessions)",
}


def gather_rdms(shelf: kit.Shelf) -> kit.StudyMaterial:
    """Gather how models fit published dissimilarity matrices."""
    return shelf.study(("comparison", "differences"), ["rdm"])


def rdms_chapter(material: kit.StudyMaterial) -> kit.Chapter:
    """Tell of models and layers against every reference set."""
    if not material.tables:
        return failed_chapter(0)
    config, study, comparison = material.config, material.descriptor, material.tables["comparison"]
    scores = comparison[comparison["kind"].isin(["published", "layer", "combination"])]
    random = comparison[comparison["kind"] == "random weights"]
    table_note = (
        f"Mean over subjects, in brackets its {100 * config.confidence:.0f} % interval; after the semicolon "
        "the comparison with the pooled RDM of all subjects: larger where a model fits, as pooling removes noise."
    )
    notes = [
        *(f"{name}: {files.description}." for name, files in study.recordings.items() if files.description),
        f"{COMPARED[config.compare.comparison]}, averaged over subjects. "
        "Errors: dual bootstrap over subjects and stimuli; over stimuli alone for one subject.",
        "Encoders do not apply: there are dissimilarities between stimuli, and no responses to predict.",
        *study.notes,
        *(note for record in material.sidecars.values() for note in record["details"].get("warnings", [])),
        study.origin,
    ]
    leading = comparison[(comparison["kind"] == "best") & (comparison["family"] == "all")]
    leading = leading[leading["decided"].astype(bool)]  # ahead of all others
    leaders = {row["reference"]: kit.layer_name(row) for _, row in leading.iterrows()}
    n_replicates = scores.groupby("reference", sort=False)["n_subjects"].max()
    return kit.Chapter(
        "RDMs of " + ", ".join(f"{name} ({int(n)})" for name, n in n_replicates.items()),
        [
            scores_section(_table(scores, random), comparison, notes, table_note),
            _fits(material, scores, random),
            _matrices(material.arrays["rdm"], material.details("rdm")["categories"], _pictures(material)),
        ],
        answer=answer_of_rdms(
            scores, random, config.compare.comparison, config.confidence, leaders, material.uninformed
        ),
        failed_controls=[*failed_twins(scores, random, config)],
    )


def _pictures(material: kit.StudyMaterial) -> list[NDArray[np.uint8]]:
    """Return small copies of the images in the order of the matrices; none where some are not there."""
    table = material.config.raw_folder(material.dataset) / "stimuli" / "stimuli.tsv"
    names = [str(name) for name in material.details("rdm").get("conditions", ())]
    found = kit.thumbnails(table, names) if table.is_file() else {}
    return [found[name] for name in names] if len(found) == len(names) else []


def _table(scores: pd.DataFrame, random: pd.DataFrame) -> Any:
    """Return models and layers (rows) by reference sets (columns), with intervals and random weights."""
    references, body = list(pd.unique(scores["reference"])), []
    for (model, layer), part in scores.groupby(["model", "layer"], sort=False):
        by_set, combined = part.set_index("reference"), part["kind"].eq("combination").any()
        cells = [f"{model} {layer}".strip() + ", held out" * bool(combined)]
        for name in references:
            if name not in by_set.index:
                cells.append("–")
                continue
            row = by_set.loc[name]
            interval = f"[{kit.number(row['low'])}, {kit.number(row['high'])}]"
            cells.append(f"{kit.number(row['score'])} {interval}; {kit.number(row['group_score'])}")
        body.append(cells)
        if combined:
            chosen = [kit.number(by_set["selected"].get(name, np.nan)) for name in references]
            body.append([f"best single layer of {layer}, chosen and scored on the same parts", *chosen])
    for (model, layer), part in random.groupby(["model", "layer"], sort=False):
        by_set = part.set_index("reference")
        cells = [f"{model} {layer}, mean ± sd of {int(part['n'].iloc[0])} initialisations"]
        for name in references:
            row = by_set.loc[name]
            group = f"{kit.number(row['group_mean'])} ± {kit.number(row['group_sd'])}"
            cells.append(f"{kit.number(row['mean'])} ± {kit.number(row['sd'])}; {group}")
        body.append(cells)
    ceilings = scores.groupby("reference", sort=False)[["ceiling_low", "ceiling_high"]].first()
    bounds = [kit.between(row, "ceiling_low", "ceiling_high") for _, row in ceilings.loc[references].iterrows()]
    band = ["noise ceiling", *("– (one RDM)" if each == "–" else each for each in bounds)]
    return kit.html_table(["model", *references], [band, *body], "Fits to the reference sets")


def _fits(material: kit.StudyMaterial, scores: pd.DataFrame, random: pd.DataFrame) -> kit.Section:
    comparison, controls = material.tables["comparison"], material.uninformed
    best = comparison[(comparison["kind"] == "best") & ~comparison["family"].isin(controls)]
    among = {"models": "models without layers", "all": "all of these"} | {
        str(model): f"layers of {model}" for model in scores.loc[scores["kind"] == "layer", "model"].unique()
    }
    sentences = [f"{row['reference']}, among {among[row['family']]}: {row['sentence']}" for _, row in best.iterrows()]
    published = scores[scores["kind"] == "published"]
    layers = _with_verdicts(scores[scores["kind"] == "layer"], best, material.tables["differences"])
    tops = set(layers.groupby(["model", "layer"], sort=False)["score"].mean().dropna().groupby("model").idxmax())
    is_top = [pair in tops for pair in zip(layers["model"], layers["layer"], strict=True)]
    chosen = layers[np.array(is_top, dtype=bool)]  # a list without entries would choose columns
    combined = scores[scores["kind"] == "combination"]
    sentences += [_combination_sentence(row) for _, row in combined.iterrows()]
    bars = pd.concat([published, chosen, combined], ignore_index=True)
    models = [str(name) for name in pd.unique(scores["model"]) if name not in controls]
    matched = beside_trained(random, models, material.config)
    shown: dict[str, Any] = {
        "random": len(matched),
        "combined": len(combined),
        "ceiling": bars["ceiling_high"].notna().any(),
    }
    figure, layers = reference_bars(bars, matched, models, controls), layers[~layers["model"].isin(controls)]
    panels = [kit.captioned("referencebars", "Fits to the reference sets", figure, bars, id="bars", **shown)]
    if layers.groupby("model")["layer"].nunique().gt(1).any():
        title, curves = "Fits over the layers", layer_curves(layers, matched, models, combined)
        panels.append(kit.captioned("referencelayers", title, curves, layers, id="layers", verdicts="", **shown))
    return kit.Section("fits", "Which model fits, and how well", panels, sentences)


def beside_trained(random: pd.DataFrame, models: Sequence[str], config: Config) -> pd.DataFrame:
    """Return the rows of random weights under the network they are a twin of, for marks at its bars and curves.

    A twin is what `converge.networks` names, else every network whose options differ in nothing but the weights. Of
    several that share a layer the first is drawn; those that are of no network here are left to the table. Columns are
    those of `random` (reference, model, layer, mean, sd, n), with `model` the trained network, and `random`, the model
    of the row.
    """
    names = [str(name) for name in pd.unique(random["model"])]
    parts = [random.iloc[:0].assign(random="")]
    for model in models:
        rows = random[random["model"].isin(_twins(model, names, config))]
        parts.append(rows.assign(random=rows["model"], model=model).drop_duplicates(["reference", "layer"]))
    return pd.concat(parts, ignore_index=True)


def failed_twins(scores: pd.DataFrame, random: pd.DataFrame, config: Config) -> Iterator[kit.FailedControl]:
    """Return untrained twins whose mean fit is no worse than that of the same layer of the trained network.

    Of the rows of the comparison, the best layer of each network and reference is looked at.
    """
    layers = scores[scores["kind"] == "layer"]
    matched = beside_trained(random, list(pd.unique(layers["model"])), config)
    for (reference, model), part in layers.dropna(subset=["score"]).groupby(["reference", "model"], sort=False):
        best = part.iloc[int(part["score"].to_numpy().argmax())]
        twins = matched.query("reference == @reference and model == @model")
        twin = twins[twins["layer"] == best["layer"]]
        if len(twin) and twin["mean"].iloc[0] >= best["score"]:
            yield kit.FailedControl(
                f"{twin['random'].iloc[0]} {best['layer']}, random weights, fit to {reference} "
                f"(mean of {int(twin['n'].iloc[0])})",
                float(twin["mean"].iloc[0]),
                f"{model} {best['layer']}, the best layer of the trained network, reaches "
                f"{kit.number(best['score'])}: what it fits is no evidence of what it learned.",
                section="fits",
            )


def _twins(model: str, names: list[str], config: Config) -> list[str]:
    """List the networks with random weights that have the architecture of a trained one."""
    pair = config.converge.networks.get(model)
    if pair is not None and pair.random in names:
        return [pair.random]
    if model not in config.models:
        return []
    own = _architecture(config, model)
    return [name for name in names if name in config.models and _architecture(config, name) == own]


def _architecture(config: Config, model: str) -> dict[str, object]:
    options = config.models[model]
    # Of other extractors `weights` is the folder or name that says what network this is.
    unused = OF_USE | ({"weights"} if options.extractor in ("efficientnet", "torchvision") else set())
    return options.model_dump(exclude=unused)


def _combination_sentence(row: pd.Series[Any]) -> str:
    """State the score of a combination of layers beside its chance and its ceiling."""
    ceiling = "" if np.isnan(row["ceiling_low"]) else f", lower ceiling {kit.number(row['ceiling_low'])}"
    gain = kit.p_equals(row["gain_p"])
    return (
        f"{row['reference']}: {row['model']} {row['layer']} reaches {kit.number(row['score'])} on subjects and images "
        f"that its weights were not fitted to (refitted with images exchanged {kit.number(row['null_mean'])}, "
        f"p {kit.p_equals(row['null_p'])}{ceiling}; both are those of the held-out parts and lower than of all "
        f"images). The best single layer, chosen on the same parts, reaches {kit.number(row['selected'])} "
        f"(difference: p {gain})."
    )


def _with_verdicts(layers: pd.DataFrame, best: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """Return the layers with `best`, and the largest corrected p of the best one against any other."""
    table = layers.assign(best=False, p_max=np.nan)
    for _, row in best[best["family"].isin(layers["model"])].iterrows():
        mine = (table["reference"] == row["reference"]) & (table["model"] == row["family"])
        top = mine & (table["layer"] == row["layer"])
        family = differences[(differences["reference"] == row["reference"]) & (differences["family"] == row["family"])]
        table.loc[top, "best"] = bool(row["decided"])
        table.loc[top, "p_max"] = family["p_max"].max()
    return table


def _matrices(rdms: Arrays, categories: list[str], pictures: Sequence[NDArray[np.uint8]] = ()) -> kit.Section:
    shown = {name.split("_", 1)[1]: rdms[name] for name in sorted(rdms, key=lambda name: name.startswith("layer_"))}
    panels = [rdm_panel(shown, categories, "RDMs", "matrices")]
    for name, values in shown.items():
        if f"set_{name}" in rdms and np.isfinite(values).all():
            points = mds_points(values)
            title = f"The stimuli in the geometry of {name}"
            figure = mds_categories(points, categories, pictures)
            colour = "; colour: category" * (1 < len(set(categories)) < len(categories))
            panels.append(kit.captioned("referencemds", title, figure, id=f"mds{name}", colour=colour))
    r = pd.DataFrame(shown).corr().fillna(-1).to_numpy()  # over the pairs that both have
    alike = np.where(np.tri(len(r), k=-1, dtype=bool), r, -2)
    first, second = (list(shown)[k] for k in np.unravel_index(alike.argmax(), alike.shape))
    text = f"Of {len(shown)} RDMs those of {second} and {first} are most alike (Pearson r {kit.number(alike.max())})."
    if len(shown) == 1:
        text = f"One RDM, of {first}: {len(categories)} stimuli."
    return kit.Section("matrices", "Matrices", panels, [text])
