"""The sections of the page of a subject with stimuli held out; each is left out where its stage left nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray

from brainalign.arrays import Arrays, Responses
from brainalign.report import encoding_sections, geometry_sections, kit, synthesis_sections
from brainalign.report.pages.blocks_figures import ceiling_histogram, score_against_ceiling
from brainalign.statistics import RELIABLE, reliable_rule

FIT_TABLES = ("scores", "profile", "preference", "clusters", "partition", "baselines", "ensemble", "curve")


def gather_images(shelf: kit.Shelf) -> kit.ImageMaterial:
    """Gather what was made of a subject with a set of stimuli held out."""
    material = shelf.material(kit.ImageMaterial)
    material.responses = shelf.fetch("responses", Responses)
    material.splits = shelf.fetch("splits", pd.DataFrame)
    material.mask, material.bold = (shelf.fetch(suffix, Nifti1Image) for suffix in ("mask", "bold"))
    shelf.note("features", "network")
    for labels in shelf.each("scores"):
        tables, key = shelf.tables(FIT_TABLES, **labels), (labels["model"], labels["method"])
        fields = shelf.fetch("fields", Arrays, **labels)
        draws = shelf.fetch("draws", Arrays, **labels)
        if tables:
            null = _largest_null(draws, material.details("model-{model}_method-{method}_draws".format(**labels)))
            material.encodings[key] = kit.ImageEncoding(**tables, fields=fields, null=null)
            _add_pictures(material, material.fields_of(*key)["stimuli"])
    material.rdms = shelf.fetch("rdm", Arrays)
    material.decoded = kit.decoded_times_of(shelf)
    material.searchlights = geometry_sections.searchlights_of(shelf)
    material.synthesised = kit.synthesised_images_of(shelf)
    material.directions = kit.directions_of(shelf)
    material.captions = shelf.tables(synthesis_sections.CAPTION_TABLES)
    if shelf.each("groundedregions"):
        shelf.fetch("grounding", object)
        words = shelf.tables(synthesis_sections.GROUNDING_TABLES)
        material.grounded_words = shelf.fetch("groundedwords", Arrays)
        material.grounded_regions = shelf.fetch("groundedregions", pd.DataFrame)
        if material.grounded_words is not None and words:
            material.grounding = words
            _add_pictures(material, material.details("groundedwords")["shown_stimuli"])
    for suffix in ("ceiling", "comparison", "summary", "differences", "recovery", "contest", "winners"):
        setattr(material, suffix, shelf.fetch(suffix, pd.DataFrame))
    return material


def _largest_null(draws: Arrays | None, noted: Mapping[str, Any]) -> NDArray[np.floating] | None:
    """Return the largest mean r of any region and layer in each permutation."""
    places = [k for k, name in enumerate(noted.get("regions", ())) if name != RELIABLE]
    if draws is None or not places:
        return None
    return np.max([draws[f"null {layer}"][:, places].max(axis=1) for layer in noted["layers"]], axis=0)


def _add_pictures(material: kit.ImageMaterial, names: Sequence[str]) -> None:
    """Add small copies of some images; those that are no longer there are left out."""
    names = [name for name in names if name not in material.pictures]
    table = material.descriptor.stimulus_table()
    if names and table is not None:
        material.pictures.update(kit.thumbnails(table, names))


def image_sections(material: kit.ImageMaterial) -> list[kit.Section]:
    """Return the sections of one subject's page."""
    return kit.drawn_sections(SECTIONS, material)


def _data(material: kit.ImageMaterial) -> kit.Section | None:
    if material.responses is None or material.splits is None:
        return None
    responses, details, nouns = material.responses, material.details("splits"), material.nouns
    why = "NaN, flat or marked bad" if (responses.targets["kind"] == "sensor").all() else "NaN or constant"
    lost = f" ({n:,} left out as {why})" if (n := responses.targets.attrs.get("n_dropped")) else ""
    twice = ", or one picture under two names," if material.descriptor.has_images else ""
    paragraphs = [
        f"{len(responses.trials):,} {nouns.trials} of {responses.trials['stimulus_id'].nunique():,} {nouns.stimuli}, "
        f"{len(responses.targets):,} {nouns.targets}{lost}; units: {responses.units}.",
        *material.descriptor.notes,
        f"{nouns.stimuli.capitalize()} are split as wholes: every repeat of {nouns.a_stimulus} lies on one side. A "
        f"stimulus{twice} on both sides would have stopped the run.",
        *(f"Note: {warning}" for warning in details.get("warnings", [])),
    ]
    card, blocks = pd.DataFrame(details.get("card", [])), []
    if len(card):
        low, high = (card[f"repeats_{end}"].astype(str) for end in ("min", "max"))
        card["repeats"] = low.where(low == high, low + " to " + high)
        kinds = ("duplicates", "near_duplicates") if material.descriptor.has_images else ()
        for kind in kinds:
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
            **{kind: f"{kind.replace('_', '-')} (across)" for kind in kinds},
        }
        rows = [[_cell(row[name]) for name in names] for _, row in card.iterrows()]
        blocks.append(kit.html_table(list(names.values()), rows, "Split card"))
    return kit.Section("data", "Data and splits", paragraphs=paragraphs, blocks=blocks)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:g}"
    return str(value)


def _decoding(material: kit.ImageMaterial) -> kit.Section | None:
    if material.decoded is None or material.responses is None:
        return None
    return geometry_sections.decoding_section(material.decoded, material.responses.targets)


def _geometry(material: kit.ImageMaterial) -> kit.Section | None:
    if material.comparison is None or material.rdms is None:
        return None
    table = material.comparison
    if material.timed:
        return geometry_sections.rsa_course_section(material)
    found = geometry_sections.region_bars(table, material)
    if found is None:
        return None
    panel, top, told = found
    panels = [panel]
    details, closest = material.details("rdm"), [top["model"], top["layer"]]
    groups = details.get("groups", [])
    if groups and len(details["conditions"]) <= 200:
        categories, of = material.categories_of(details["conditions"]), details["models"]
        shown = {name: material.rdms["responses"][k] for k, name in enumerate(groups[:8])}
        shown |= {kit.space_name(*closest): material.rdms["models"][of.index(closest)]} if closest in of else {}
        title = f"RDMs by region{kit.drawn_of(8, len(groups))}, and of the closest layer"
        panels.append(geometry_sections.rdm_panel(shown, categories, title, "rdm"))
    return kit.Section("geometry", "Geometry", panels, told)


def _ceilings(material: kit.ImageMaterial) -> kit.Section | None:
    if material.ceiling is None or not material.encodings:
        return None
    threshold, stimulus, stimuli = material.config.ceiling_threshold, material.nouns.stimulus, material.nouns.stimuli
    model, method = material.leading(material.encodings)
    encoding = material.encodings[model, method]
    layer = material.chosen(model, method)
    scores = encoding.scores[encoding.scores["layer"] == layer]
    ceiling = material.ceiling["ceiling"].to_numpy()
    reliable = int(scores["reliable"].sum())
    alphas = () if material.joint(method) else getattr(material.config.methods[method], "alphas", ())
    # Of joint fits the section of their parts tells it.
    told = encoding_sections.penalty_ends(f"{material.fit_label(model, method)}, {layer}", scores, alphas)
    if np.isnan(ceiling).all():
        none = f"No {stimulus} was shown twice: there is no noise ceiling."
        return kit.Section("ceilings", "Ceilings and penalties", paragraphs=[none, *told])
    histogram, scatter = ceiling_histogram(ceiling, threshold), score_against_ceiling(scores, threshold)
    title = "Distribution over targets"
    panels = [
        kit.captioned("ceilinghistogram", title, histogram, id="ceilings", n_reliable=reliable),
        kit.captioned("scoreceiling", f"Score against ceiling ({model}, {layer})", scatter),
    ]
    units = f"{material.nouns.targets}{' × times' if material.timed else ''}"
    text = (
        f"{reliable:,} of {len(ceiling):,} {units} are reliable ({reliable_rule(threshold)}); median ceiling "
        f"{kit.number(float(np.nanmedian(ceiling)))}. Ceilings are variances of averages over the repeats of the test "
        f"{stimuli} (signal and noise from the repeats of all), stored unclamped: without signal they scatter around 0."
    )
    panels = kit.together("ceilings", "Noise ceilings", panels)
    return kit.Section("ceilings", "Ceilings and penalties", panels, [text, *told])


def _recovery(material: kit.ImageMaterial) -> kit.Section | None:
    table = material.recovery
    if table is None or table.empty:
        return None
    if "method" in table:
        known = table["model"].notna()
        labels = [material.fit_label(*pair) for pair in table.loc[known, ["model", "method"]].to_numpy()]
        table = table.assign(model=pd.Series(labels, index=table.index[known], dtype=object))
    panels, layered = [], []
    ceilings = table[(table["what"] == "ceiling") & table.reindex(columns=["planted"])["planted"].notna()]
    if len(ceilings):
        figure = encoding_sections.planted_ceilings(ceilings.assign(planted=ceilings["planted"].round(2)))
        panels.append(kit.captioned("plantedceilings", "Ceilings", figure, tolerance=0.02))
    for model, rows in table[table["what"] == "layer"].groupby("model", sort=False):
        same = set(rows["recovered_layer"]) <= set(rows["planted_layer"])  # the generating network itself
        names = {"planted_layer": "planted", "recovered_layer": "recovered"}
        shown = rows.drop(columns=["planted"], errors="ignore").rename(columns=names)
        layers = list(dict.fromkeys(shown.sort_values("planted_depth")["planted"])) if same else None
        figure = encoding_sections.planted_layers(shown, layers)
        place = f"plantedlayers{''.join(filter(str.isalnum, str(model)))}"
        layered.append(kit.captioned("plantedlayers", f"With {model}", figure, shown, id=place))
    selective = table[table["what"] == "preference"]
    if len(selective):
        names = {"planted_preference": "planted", "recovered_preference": "recovered"}
        shown = selective.drop(columns=["planted"], errors="ignore").rename(columns=names)
        figure = encoding_sections.planted_preferences(shown)
        panels.append(kit.captioned("plantedpreferences", "Preferences", figure, shown))
    latencies = table[table["what"] == "latency"]
    if len(latencies) and material.responses is not None and material.responses.times is not None:
        step = float(np.diff(material.responses.times).mean() * 1000)
        figure = encoding_sections.planted_latencies(latencies, step)
        panels.append(kit.captioned("plantedlatencies", "Latencies", figure, latencies))
    told = [f"{what[0].upper()}{what[1:]}: {found}." for what, found in encoding_sections.recovered_words(table)]
    told += ["These data were simulated: what was planted is known, and stands here beside what was found."]
    panels = kit.together("recovery", "What was planted, and what was found", panels)
    panels += kit.together("plantedlayers", "Layers, recovered with each network", layered)
    return kit.Section("recovery", "Planted against recovered", panels, [" ".join(told)]) if panels else None


SECTIONS: list[Callable[[kit.ImageMaterial], kit.Section | None]] = [
    _data,
    geometry_sections.evoked_section,
    geometry_sections.course_section,
    encoding_sections.maps_section,
    encoding_sections.layers_section,
    encoding_sections.partition_section,
    encoding_sections.encoders_section,
    encoding_sections.dictionaries_section,
    encoding_sections.contest_section,
    encoding_sections.few_images_section,
    _decoding,
    _geometry,
    geometry_sections.searchlight_section,
    synthesis_sections.synthesis_section,
    lambda of: None if of.directions is None else synthesis_sections.directions_section(of.directions),
    synthesis_sections.voxel_captions_section,
    synthesis_sections.grounding_section,
    _ceilings,
    _recovery,
]
