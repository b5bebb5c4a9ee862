"""The sections of the page of a subject with stimuli held out; each is left out where its stage left nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from brainalign.report.encoding_sections import (
    contest_section,
    dictionaries_section,
    encoders_section,
    few_images_section,
    layers_section,
    maps_section,
    partition_section,
    planted_ceilings,
    planted_latencies,
    planted_layers,
    planted_preferences,
)
from brainalign.report.geometry_sections import (
    best_layers,
    course_section,
    decoding_section,
    rdm_grid,
    reference_bars,
    rsa_course_section,
    searchlight_section,
)
from brainalign.report.kit import CAPTIONS, Failure, ImageMaterial, Panel, Section, html_table, together
from brainalign.report.pages.blocks_figures import ceiling_histogram, score_against_ceiling
from brainalign.report.synthesis_sections import (
    directions_section,
    grounding_section,
    synthesis_section,
    voxel_captions_section,
)


def image_sections(material: ImageMaterial) -> list[Section]:
    """Return the sections of one subject's page.

    In the report of a run that failed, a section that cannot be drawn is one failure more and does not stop the rest.
    """
    makers: list[Callable[[ImageMaterial], Section | None]] = [
        _data,
        course_section if material.timed else maps_section,
        layers_section,
        partition_section,
        encoders_section,
        dictionaries_section,
        contest_section,
        few_images_section,
        _decoding,
        _geometry,
        searchlight_section,
        synthesis_section,
        _directions,
        voxel_captions_section,
        grounding_section,
        _ceilings,
        _recovery,
    ]
    made = []
    for make in makers:
        try:
            made.append(make(material))
        except Exception as error:
            if not material.failures:
                raise
            message = f"{type(error).__name__}: {error}"
            material.failures.append(Failure("report", f"section {make.__name__.strip('_')}", message))
    return [section for section in made if section is not None]


def _data(material: ImageMaterial) -> Section | None:
    if material.responses is None or material.splits is None:
        return None
    responses, details, nouns = material.responses, material.details("splits"), material.nouns
    twice = ", or one picture under two names," if material.descriptor.has_images else ""
    paragraphs = [
        f"{len(responses.trials):,} {nouns.trials} of {responses.trials['stimulus_id'].nunique():,} {nouns.stimuli}, "
        f"{len(responses.targets):,} {nouns.targets}; units: {responses.units}.",
        *material.descriptor.notes,
        f"{nouns.stimuli.capitalize()} are split as wholes: every repeat of {nouns.a_stimulus} lies on one side. A "
        f"stimulus{twice} on both sides would have stopped the run.",
        *(f"Note: {warning}" for warning in details.get("warnings", [])),
    ]
    card = pd.DataFrame(details.get("card", []))
    blocks = []
    if len(card):
        card["repeats"] = card["repeats_min"].astype(str) + " to " + card["repeats_max"].astype(str)
        for kind in ("duplicates", "near_duplicates") if material.descriptor.has_images else ():
            card[kind] = [
                "–" if pd.isna(inside) else f"{inside:g} ({across:g})"
                for inside, across in zip(card[f"n_{kind}"], card[f"n_{kind}_across"], strict=True)
            ]
        names = {
            "split": "split",
            "n_stimuli": nouns.stimuli,
            "n_trials": "trials",
            "repeats": "repeats",
            "n_sessions": "sessions",
            "n_runs": "runs",
            "n_runs_shared": "shared runs",
            "duplicates": "duplicates (across)",
            "near_duplicates": "near-duplicates (across)",
        }
        if not material.descriptor.has_images:  # no pictures to compare
            names = {name: title for name, title in names.items() if not name.endswith("duplicates")}
        rows = [[_cell(row[name]) for name in names] for _, row in card.iterrows()]
        blocks.append(html_table(list(names.values()), rows, "Split card"))
    return Section("data", "Data and splits", paragraphs=paragraphs, blocks=blocks)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:g}"
    return str(value)


def _directions(material: ImageMaterial) -> Section | None:
    return None if material.directions is None else directions_section(material.directions)


def _decoding(material: ImageMaterial) -> Section | None:
    if material.decoded is None or material.responses is None:
        return None
    return decoding_section(material.decoded, material.responses.targets)


# ---------------------------------------------------------------------------------------------------------- geometry


def _geometry(material: ImageMaterial) -> Section | None:
    if material.comparison is None or material.rdms is None:
        return None
    table = material.comparison
    if material.timed:
        return rsa_course_section(material)
    best = best_layers(table.assign(reference=table["group"]))
    if best.empty:
        return None
    panels = [
        Panel("rsa", "RSA by region", CAPTIONS["regionbars"], reference_bars(best, models=material.models), table),
    ]
    details = material.details("rdm")
    groups = details.get("groups", [])
    if groups and len(details["conditions"]) <= 200:
        categories = _categories(material, details["conditions"])
        shown = {name: material.rdms["responses"][k] for k, name in enumerate(groups[:9])}
        panels.append(Panel("rdm", "RDMs by region", CAPTIONS["referencerdms"], rdm_grid(shown, categories)))
    return Section("geometry", "Geometry", panels)


def _categories(material: ImageMaterial, conditions: list[str]) -> list[str]:
    if material.responses is None or "category" not in material.responses.trials:
        return [material.nouns.stimulus] * len(conditions)
    known = material.responses.trials.drop_duplicates("stimulus_id").set_index("stimulus_id")["category"]
    return [str(known.get(name, material.nouns.stimulus)) for name in conditions]


# ---------------------------------------------------------------------------------------------------------- controls


def _ceilings(material: ImageMaterial) -> Section | None:
    if material.ceiling is None or not material.encodings:
        return None
    threshold, stimulus, stimuli = material.config.ceiling_threshold, material.nouns.stimulus, material.nouns.stimuli
    (model, method), encoding = next(iter(material.encodings.items()))
    layer = material.chosen(model, method)
    scores = encoding.scores[encoding.scores["layer"] == layer]
    ceiling = material.ceiling["ceiling"].to_numpy()
    reliable = int((ceiling > threshold).sum())
    if np.isnan(ceiling).all():
        return Section(
            "ceilings", "Ceilings", paragraphs=[f"No {stimulus} was shown twice: there is no noise ceiling."]
        )
    panels = [
        Panel(
            "ceilings",
            "Distribution over targets",
            CAPTIONS["ceilinghistogram"].format(n_reliable=reliable),
            ceiling_histogram(ceiling, threshold),
        ),
        Panel(
            "scoreceiling",
            f"Score against ceiling ({model}, {layer})",
            CAPTIONS["scoreceiling"],
            score_against_ceiling(scores, threshold),
        ),
    ]
    text = (
        f"Ceilings are variances of averages over the repeats of the test {stimuli} (ncsnr over all repeats), stored "
        f"unclamped: without signal they scatter around 0. {reliable:,} of {len(ceiling):,} lie above {threshold:g}."
    )
    return Section("ceilings", "Ceilings", together("ceilings", "Noise ceilings", panels), [text])


def _recovery(material: ImageMaterial) -> Section | None:
    table = material.recovery
    if table is None or table.empty:
        return None
    if "method" in table:
        known = table["model"].notna()
        labels = [material.label(*pair) for pair in table.loc[known, ["model", "method"]].to_numpy()]
        table = table.assign(model=pd.Series(labels, index=table.index[known], dtype=object))
    panels, layered = [], []
    ceilings = table[table["what"] == "ceiling"]
    if len(ceilings):
        ceilings = ceilings.dropna(subset=["planted"])
    if len(ceilings):
        levels = ceilings.assign(planted=ceilings["planted"].round(2))
        panels.append(
            Panel(
                "plantedceilings",
                "Ceilings",
                CAPTIONS["plantedceilings"].format(tolerance=0.02),
                planted_ceilings(levels),
            )
        )
    for model, rows in table[table["what"] == "layer"].groupby("model", sort=False):
        same = set(rows["recovered_layer"]) <= set(rows["planted_layer"])  # the generating network itself
        names = {"planted_layer": "planted", "recovered_layer": "recovered"}
        shown = rows.drop(columns=["planted"], errors="ignore").rename(columns=names)
        layers = list(dict.fromkeys(shown.sort_values("planted_depth")["planted"])) if same else None
        title = f"With {model}"
        layered.append(
            Panel(
                f"plantedlayers{''.join(filter(str.isalnum, str(model)))}",
                title,
                CAPTIONS["plantedlayers"],
                planted_layers(shown, layers),
                shown,
            )
        )
    selective = table[table["what"] == "preference"]
    if len(selective):
        names = {"planted_preference": "planted", "recovered_preference": "recovered"}
        shown = selective.drop(columns=["planted"], errors="ignore").rename(columns=names)
        figure = planted_preferences(shown)
        panels.append(Panel("plantedpreferences", "Preferences", CAPTIONS["plantedpreferences"], figure, shown))
    latencies = table[table["what"] == "latency"]
    if len(latencies) and material.responses is not None and material.responses.times is not None:
        step = float(np.diff(material.responses.times).mean() * 1000)
        panels.append(
            Panel(
                "plantedlatencies",
                "Latencies",
                CAPTIONS["plantedlatencies"],
                planted_latencies(latencies, step),
                latencies,
            )
        )
    text = "These data were simulated: what was planted is known, and stands here beside what the analysis found."
    panels = together("recovery", "What was planted, and what was found", panels)
    panels += together("plantedlayers", "Layers, recovered with each network", layered)
    return Section("recovery", "Planted against recovered", panels, [text]) if panels else None
