"""The sections of the page of a subject who saw images; each is left out where its stage left nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from brainalign.report.captions import CAPTIONS
from brainalign.report.contest import contest_section
from brainalign.report.encoders import encoders_section
from brainalign.report.few_images import few_images_section
from brainalign.report.figures import ceiling_histogram, score_against_ceiling
from brainalign.report.heads import topomaps
from brainalign.report.image_material import RELIABLE, ImageMaterial
from brainalign.report.layers import layer_preference_maps, layer_profile, roi_layer_heatmap
from brainalign.report.material import Failure
from brainalign.report.page import Panel, Section
from brainalign.report.partition import partition_section
from brainalign.report.recovery import planted_ceilings, planted_latencies, planted_layers, planted_preferences
from brainalign.report.reference_rdms import rdm_grid, reference_bars
from brainalign.report.surface import SurfaceMap, flat_maps, significant, surface_map
from brainalign.report.surface_viewer import surface_viewer
from brainalign.report.tables import html_table
from brainalign.report.timecourse import layer_latencies, rsa_over_time, score_over_time

__all__ = ["image_sections"]

SHOWN_TIMES = 5  # topographies
FSAVERAGE4, FSAVERAGE5 = 2_562, 10_242  # vertices of a hemisphere


def image_sections(material: ImageMaterial) -> list[Section]:
    """Return the sections of one subject's page.

    In the report of a run that failed, a section that cannot be drawn is one failure more and does not stop the rest.
    """
    makers: list[Callable[[ImageMaterial], Section | None]] = [
        _data,
        _over_time if material.timed else _surface,
        _layers,
        partition_section,
        encoders_section,
        contest_section,
        few_images_section,
        _geometry,
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
            material.failures.append(Failure("report_images", f"section {make.__name__.strip('_')}", message))
    return [section for section in made if section is not None]


def _data(material: ImageMaterial) -> Section | None:
    if material.responses is None or material.splits is None:
        return None
    responses, details = material.responses, material.details("splits")
    unit = "sensors" if material.timed else "targets"
    paragraphs = [
        f"{len(responses.trials):,} trials of {responses.trials['stimulus_id'].nunique():,} images, "
        f"{len(responses.targets):,} {unit}; units: {responses.units}.",
        *material.descriptor.notes,
        "Images are split as wholes: every repeat of an image lies on one side. A stimulus, or one picture under two "
        "names, on both sides would have stopped the run.",
        *(f"Note: {warning}" for warning in details.get("warnings", [])),
    ]
    card = pd.DataFrame(details.get("card", []))
    blocks = []
    if len(card):
        card["repeats"] = card["repeats_min"].astype(str) + " to " + card["repeats_max"].astype(str)
        for kind in ("duplicates", "near_duplicates"):
            card[kind] = [
                f"{inside:g} ({across:g})"
                for inside, across in zip(card[f"n_{kind}"], card[f"n_{kind}_across"], strict=True)
            ]
        names = {
            "split": "split",
            "n_stimuli": "images",
            "n_trials": "trials",
            "repeats": "repeats",
            "n_sessions": "sessions",
            "n_runs": "runs",
            "n_runs_shared": "shared runs",
            "duplicates": "duplicates (across)",
            "near_duplicates": "near-duplicates (across)",
        }
        rows = [[_cell(row[name]) for name in names] for _, row in card.iterrows()]
        blocks.append(html_table(list(names.values()), rows, "Split card"))
    return Section("data", "Data and splits", paragraphs=paragraphs, blocks=blocks)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:g}"
    return str(value)


# ------------------------------------------------------------------------------------------------------------ cortex


def _surface(material: ImageMaterial) -> Section | None:
    """Draw maps of the first model: score, ceiling, best layer of each region and its margin."""
    if not material.encodings or material.responses is None:
        return None
    targets = material.responses.targets
    if "vertex" not in targets or not FSAVERAGE4 < targets["vertex"].max() < FSAVERAGE5:
        return None  # another mesh
    (model, method), encoding = next(iter(material.encodings.items()))
    layer = material.chosen(model, method)
    scores = encoding.scores[encoding.scores["layer"] == layer].merge(targets[["target_id", "hemi", "vertex"]])
    level, threshold = material.config.summarize.q, material.config.encode_images.ceiling_threshold
    by_ceiling = threshold if scores["ceiling"].notna().any() else None  # no image was repeated
    shown = scores.assign(
        r=significant(scores, "r", q=level, ceiling=by_ceiling),
        normalized=significant(scores, "r2_normalized", q=level, ceiling=by_ceiling),
        reliable=scores["ceiling"].where(scores["ceiling"] > threshold),
    )
    maps = [
        surface_map(shown, "r", title=f"r of {model} ({layer})", unit="Pearson r on test images"),
        surface_map(shown, "normalized", title="r² / noise ceiling", unit="share of the ceiling"),
        surface_map(shown, "reliable", title="noise ceiling", unit="share of variance that repeats"),
    ]
    maps += _preference_maps(targets, encoding.preference, list(pd.unique(encoding.profile["layer"])), model)
    above = int((shown["normalized"] > 1).sum())
    counts = {"q": level, "ceiling": threshold, "n": len(scores), "n_shown": maps[0].n_shown, "n_above": above}
    numbers = scores[["target_id", "r", "r2_normalized", "ceiling", "p", "q"]]
    panels = [
        Panel(
            "surface",
            "Maps on fsaverage5",
            CAPTIONS["surface"].format(**counts),
            None,
            numbers,
            html=surface_viewer(maps),
        ),
        Panel("flat", maps[0].title, CAPTIONS["flatmap"].format(**counts), flat_maps(maps[0])),
    ]
    if len(maps) > 3:
        caption = CAPTIONS["preference"].format(model=model, n_undecided=len(scores) - maps[3].n_shown, n=len(scores))
        panels.append(Panel("flatlayers", maps[3].title, caption, flat_maps(maps[3])))
    return Section("maps", "Maps", panels)


def _preference_maps(
    targets: pd.DataFrame, preference: pd.DataFrame, layers: list[str], model: str
) -> tuple[SurfaceMap, ...]:
    """Return maps of the best layer of every region, and of its margin."""
    vertices = targets[["hemi", "vertex", "roi"]].explode("roi").dropna(subset=["roi"])
    vertices = vertices.drop_duplicates(["hemi", "vertex"])
    table = vertices.merge(preference, on="roi")
    if table.empty:
        return ()
    return layer_preference_maps(table.rename(columns={"best": "layer"}), layers, model)


def _layers(material: ImageMaterial) -> Section | None:
    if not material.of_layers or material.timed:
        return None
    rows = pd.concat([_profile_rows(material, key) for key in material.of_layers], ignore_index=True)
    if rows.empty:
        return None
    first = material.label(*next(iter(material.of_layers)))
    panels = [
        Panel(
            "profile",
            "Layers by region",
            CAPTIONS["profile"],
            layer_profile(rows, material.labels(material.models), material.labels(material.controls)),
            rows,
        ),
        Panel(
            "heatmap",
            f"Regions and layers of {first}",
            CAPTIONS["heatmap"].format(model=first),
            roi_layer_heatmap(rows, first),
        ),
    ]
    return Section("layers", "Layers", panels)


def _profile_rows(material: ImageMaterial, key: tuple[str, str]) -> pd.DataFrame:
    encoding = material.encodings[key]
    profile = encoding.profile[encoding.profile["group"] != RELIABLE].rename(columns={"group": "roi"})
    decisions = encoding.preference[["roi", "decided", "reason"]]
    return profile.merge(decisions, on="roi").assign(model=material.label(*key))


# -------------------------------------------------------------------------------------------------------------- time


def _over_time(material: ImageMaterial) -> Section | None:
    if not material.encodings or material.responses is None:
        return None
    rows = pd.concat([_course(material, key) for key in material.encodings], ignore_index=True)
    peaks = pd.concat([_peaks(material, key) for key in material.encodings], ignore_index=True)
    model, method = next(iter(material.encodings))
    chosen = _of_chosen_layers(material, rows)
    clusters = _clusters(material)
    figure = score_over_time(
        chosen,
        clusters,
        _of_chosen_layers(material, peaks),
        models=material.labels(material.models),
        random_weights=material.labels(material.controls),
    )
    panels = [Panel("course", "Score over time", CAPTIONS["timecourse"], figure, rows)]
    separate = [material.label(*key) for key in material.of_layers]
    if separate:
        first, peaks = separate[0], peaks[peaks["model"].isin(separate)]
        every = score_over_time(rows[rows["model"] == first], peaks=peaks[peaks["model"] == first])
        title = f"Score over time, every layer of {first}"
        panels.append(Panel("courselayers", title, CAPTIONS["timecourse"], every))
        figure = layer_latencies(peaks)
        panels.append(Panel("latencies", "When each layer predicts best", CAPTIONS["latency"], figure, peaks))
    panels += list(_topographies(material, model, method))
    return Section("time", "Scores over time", panels)


def _of_chosen_layers(material: ImageMaterial, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the layer of every fit that was chosen in training."""
    chosen = {(material.label(*key), material.chosen(*key)) for key in material.encodings}
    return table[[pair in chosen for pair in zip(table["model"], table["layer"], strict=True)]]


def _course(material: ImageMaterial, key: tuple[str, str]) -> pd.DataFrame:
    encoding = material.encodings[key]
    mean = encoding.profile[encoding.profile["group"] != RELIABLE]
    mean = mean.assign(time_s=mean["group"].astype(float), mean_r=mean["r"])
    # Of every layer the sensor with the largest mean score over time: shown, not tested.
    by_sensor = encoding.scores.groupby(["layer", "target_id"])["r"].mean().dropna()
    best = by_sensor.groupby("layer").idxmax().map(lambda pair: pair[1])
    scores = encoding.scores[encoding.scores["target_id"] == encoding.scores["layer"].map(best)]
    table = mean.merge(
        scores.assign(time_s=scores["time_s"].round(4))[["layer", "time_s", "r"]].rename(columns={"r": "best_r"}),
        on=["layer", "time_s"],
        how="left",
    )
    columns = ["layer", "time_s", "mean_r", "low", "high", "best_r", "null_mean", "null_low", "null_high", "p_fwer"]
    return table[columns].assign(model=material.label(*key))


def _peaks(material: ImageMaterial, key: tuple[str, str]) -> pd.DataFrame:
    names = {"peak": "peak_s", "peak_low": "low_s", "peak_high": "high_s"}
    table = material.encodings[key].preference.rename(columns=names)
    return table[["layer", "peak_s", "low_s", "high_s", "onset", "decided", "reason"]].assign(
        model=material.label(*key)
    )


def _clusters(material: ImageMaterial) -> pd.DataFrame:
    """Return when significant clusters of the layer chosen in training last; those that overlap in time as one."""
    rows = []
    for (model, method), encoding in material.encodings.items():
        layer = material.chosen(model, method)
        mine = encoding.clusters[(encoding.clusters["layer"] == layer) & (encoding.clusters["p"] < 0.05)]
        spans: list[list[float]] = []
        for _, cluster in mine.sort_values("start").iterrows():
            if spans and cluster["start"] <= spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], cluster["stop"])
                spans[-1][2] = max(spans[-1][2], cluster["p"])
            else:
                spans.append([cluster["start"], cluster["stop"], cluster["p"]])
        name = material.label(model, method)
        rows += [{"model": name, "layer": layer, "start_s": a, "stop_s": b, "p": p} for a, b, p in spans]
    return pd.DataFrame(rows, columns=["model", "layer", "start_s", "stop_s", "p"])


def _topographies(material: ImageMaterial, model: str, method: str) -> Iterator[Panel]:
    """Yield maps of the head at times after the stimulus; sensors of a significant cluster are marked."""
    responses = material.responses
    if (
        responses is None
        or responses.times is None
        or responses.targets[["x_mm", "y_mm", "z_mm"]].isna().any(axis=None)
    ):
        return
    encoding = material.encodings[model, method]
    layer = material.chosen(model, method)
    after = responses.times[responses.times >= 0]
    times = after[np.linspace(0.15 * len(after), 0.85 * len(after), SHOWN_TIMES).astype(int)]
    scores = encoding.scores[(encoding.scores["layer"] == layer) & encoding.scores["time_s"].isin(times)]
    clusters = encoding.clusters[(encoding.clusters["layer"] == layer) & (encoding.clusters["p"] < 0.05)]
    marks = [_inside(clusters, *pair) for pair in zip(scores["target_id"], scores["time_s"], strict=True)]
    figure = topomaps(scores.assign(significant=marks), responses.targets, times.tolist())
    yield Panel("topography", f"Topography of r ({model}, {layer})", CAPTIONS["topomap"], figure)


def _inside(clusters: pd.DataFrame, sensor: str, time: float) -> bool:
    here = clusters[(clusters["start"] <= time) & (clusters["stop"] >= time)]
    return any(sensor in set(sensors) for sensors in here["sensors"])


# ---------------------------------------------------------------------------------------------------------- geometry


def _geometry(material: ImageMaterial) -> Section | None:
    if material.comparison is None or material.rdms is None:
        return None
    table = material.comparison
    if material.timed:
        rows = table.assign(
            time_s=table["group"].astype(float),
            low=table["score"] - 2 * table["se"],
            high=table["score"] + 2 * table["se"],
            null_low=2 * table["null_mean"] - table["null_high"],
        )
        best = _best_layers(rows)
        if best.empty:
            return None
        figure = rsa_over_time(best, models=material.models, random_weights=material.controls)
        return Section(
            "geometry", "Geometry over time", [Panel("rsa", "RSA over time", CAPTIONS["rsatime"], figure, best)]
        )
    best = _best_layers(table.assign(reference=table["group"]))
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


def _best_layers(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one layer per model, given an error for its largest mean fit, and of combined layers."""
    combined = table["kind"].eq("combination") if "kind" in table else False
    return table[table["se"].notna() | combined]


def _categories(material: ImageMaterial, conditions: list[str]) -> list[str]:
    if material.responses is None or "category" not in material.responses.trials:
        return ["image"] * len(conditions)
    known = material.responses.trials.drop_duplicates("stimulus_id").set_index("stimulus_id")["category"]
    return [str(known.get(name, "image")) for name in conditions]


# ---------------------------------------------------------------------------------------------------------- controls


def _ceilings(material: ImageMaterial) -> Section | None:
    if material.ceiling is None or not material.encodings:
        return None
    threshold = material.config.encode_images.ceiling_threshold
    (model, method), encoding = next(iter(material.encodings.items()))
    layer = material.chosen(model, method)
    scores = encoding.scores[encoding.scores["layer"] == layer]
    ceiling = material.ceiling["ceiling"].to_numpy()
    reliable = int((ceiling > threshold).sum())
    if np.isnan(ceiling).all():
        return Section("ceilings", "Ceilings", paragraphs=["No image was shown twice: there is no noise ceiling."])
    panels = [
        Panel(
            "ceilings",
            "Noise ceilings",
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
        f"Ceilings are variances of averages over the repeats of the test images (ncsnr over all repeats), stored "
        f"unclamped: without signal they scatter around 0. {reliable:,} of {len(ceiling):,} lie above {threshold:g}."
    )
    return Section("ceilings", "Ceilings", panels, [text])


def _recovery(material: ImageMaterial) -> Section | None:
    table = material.recovery
    if table is None or table.empty:
        return None
    if "method" in table:
        known = table["model"].notna()
        labels = [material.label(*pair) for pair in table.loc[known, ["model", "method"]].to_numpy()]
        table = table.assign(model=pd.Series(labels, index=table.index[known], dtype=object))
    panels = []
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
        title = f"Layers, recovered with {model}"
        panels.append(
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
    return Section("recovery", "Planted against recovered", panels, [text]) if panels else None
