"""What sections say in words and tables of numbers made by hand: every sentence and every row, on record whole."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import panels
from made import made
from pages import cells

from brainalign.config import DecodeTimesSettings
from brainalign.report import geometry_sections as geometry
from brainalign.report import synthesis_sections as synthesis
from brainalign.report.encoding_sections import contest, encoders, partition
from brainalign.report.geometry_sections import ALIGNMENT_TABLES, IDENTIFICATION_TABLES, MATCHING_TABLES
from brainalign.report.kit import DecodedTimes, FoundDirections
from brainalign.statistics import RELIABLE

NAN = np.nan
Kept = Callable[..., None]


def frame(columns: str, *rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=columns.split())


def test_networks_aligned_with_judgements() -> None:
    teacher, student = ("net", "deep", "teacher"), ("two", "l0", "student")
    unseen, again = "unseen objects", "repeated"
    scores = frame(
        "model layer role split level control accuracy gain gain_se n_triplets uncertainty_r",
        (*teacher, unseen, "all", "unaligned", 0.401, NAN, NAN, 1200, NAN),
        (*teacher, unseen, "all", "aligned", 0.512, 0.111, 0.021, 1300, NAN),
        (*teacher, unseen, "all", "shuffled choices", 0.334, NAN, NAN, 1400, NAN),
        (*teacher, unseen, "coarse", "unaligned", 0.601, NAN, NAN, 1, NAN),
        (*teacher, unseen, "coarse", "aligned", 0.702, 0.101, 0.031, 1500, NAN),
        (*student, unseen, "all", "unaligned", 0.411, NAN, NAN, 1, NAN),
        (*student, unseen, "all", "aligned", 0.452, 0.041, 0.011, 1600, NAN),
        (*student, unseen, "all", "unaligned teacher", 0.422, NAN, NAN, 1, NAN),
        (*teacher, again, "all", "unaligned", 0.5, NAN, NAN, 1070, 0.21),
        (*teacher, again, "all", "aligned", 0.5, NAN, NAN, 80, 0.43),
        (*student, again, "all", "unaligned", 0.5, NAN, NAN, 90, 0.12),
        (*student, again, "all", "aligned", 0.5, NAN, NAN, 90, 0.34),
    )
    regions = frame(
        "model layer region control score p ceiling_low ceiling_high",
        ("net", "deep", "IT", "unaligned", 0.11, 0.2, 0.5, 0.6),
        ("net", "deep", "IT", "aligned", 0.31, 0.003, 0.51, 0.61),
    )
    about = {"teacher": ["net", "deep"], "n_train": 12345, "n_objects": 1854, "n_unseen": 371, "penalty": 0.25}
    about["ceilings"] = None
    section = geometry.alignment_section(dict(zip(ALIGNMENT_TABLES, (scores, regions), strict=True)), about)
    assert cells(section.blocks[1])[1] == ["net deep", "IT", ".110 (p = .200)", ".310 (p = .003)", ".510 to .610"]
    geometry.alignment_section({"alignment": scores.assign(uncertainty_r=NAN), "alignedregions": regions[:0]}, about)


SCHEMES = ("recordings left out", "within recordings")
WINDOWS = frame(
    "scheme group window control start_s stop_s score low high null_mean null_95 p logistic n_folds n_trials chance",
    (SCHEMES[0], "all", "late", False, 0.1, 0.3, 0.712, 0.65, 0.78, 0.501, 0.6, 0.004, 0.69, 5, 400, 0.5),
    (SCHEMES[0], "all", "early", True, -0.1, 0.0, 0.512, NAN, NAN, 0.502, 0.6, 0.3, NAN, 6, 410, 0.5),
    (SCHEMES[1], "all", "late", False, 0.2, 0.4, 0.55, 0.45, 0.65, 0.503, 0.6, 0.05, NAN, 7, 420, 0.5),
    (SCHEMES[1], "all", "early", True, -0.2, 0.0, 0.56, NAN, NAN, 0.504, 0.6, 0.01, NAN, 7, 430, 0.5),
    (SCHEMES[1], "left", "late", False, 0.2, 0.4, 0.54, 0.44, 0.64, 0.505, 0.6, 0.2, NAN, 7, 440, 0.5),
)
NAMES = ("peak", "centre", "rise")
PEAKS = frame(
    "group hump start_s stop_s decided reason "
    + " ".join(f"{name} {name}_low {name}_high" for name in NAMES),
    ("all", "first hump", 0.08, 0.3, True, "", 0.15, 0.14, 0.16, 0.17, 0.165, 0.175, 0.12, 0.11, 0.13),
    ("left", "highest hump", 0.09, 0.31, False, "two humps", *[NAN] * 9),
)  # fmt: skip


def decoded(facts: dict[str, Any], targets: list[str]) -> DecodedTimes:
    times = np.round(np.arange(-0.1, 0.61, 0.05), 2)
    scores = made({"group": ["all", "left"], "time_s": times}, "null_low", "null_high", value="score")
    effects = pd.DataFrame([(name, time) for name in targets for time in times], columns=["target_id", "time_s"])
    size = effects["time_s"].map({0.25: -0.4, -0.1: 0.6}).fillna(0.1)
    tables = {"timescores": scores.sort_values("time_s").assign(chance=0.5), "timewindows": WINDOWS}
    tables |= {"timepeaks": PEAKS, "timesensors": effects.assign(effect=size, significant=False)}
    tables["timeclusters"] = frame("group kind p start_s stop_s")
    squares = {"generalization": np.full((3, 3), 0.6), "significant": np.zeros((3, 3)), "square_times": times[:3]}
    squares |= {"pairs": np.full((2, 3), 0.6), "pair_times": times[:2]}
    return DecodedTimes(tables, squares, facts)


def test_categories_over_time(kept: Kept) -> None:
    facts = {"categories": ["face", "car"], "measure": "AUC"}
    found = geometry.decoding_findings(decoded(facts, ["Cz"]))
    assert "within recordings, before the stimulus (a control that FAILS), -200 to 0 ms: AUC .560 " in found[3]
    kept(found, geometry.decoding_findings(decoded(facts | {"categories": ["a", "b", "c"]}, ["Cz"])))


@pytest.mark.parametrize(("n", "conditions"), [(15, ["a", "b", "c"]), (16, ["a", "b"])])
def test_what_is_drawn_of_categories_over_time(n: int, conditions: list[str]) -> None:
    """Heads from 16 placed sensors on, at the time of the largest effect after the marker and others around it."""
    around, down = np.linspace(0, 2 * np.pi, n, endpoint=False), np.tile([0.5, 1.2], 8)[:n]
    xyz = 95 * np.c_[np.cos(around) * np.sin(down), np.sin(around) * np.sin(down), np.cos(down)]
    names = [f"E{k}" for k in range(n)]
    targets = pd.DataFrame(xyz, columns=["x_mm", "y_mm", "z_mm"]).assign(target_id=names, sensor_type="eeg")
    facts = {"categories": ["face", "car"], "conditions": conditions, "measure": "AUC"}
    section = geometry.decoding_section(decoded(facts, names), targets, findings=False)
    ids = ["windows", "decoded", "square", "sensors" if n < 16 else "decodedheads"]
    assert [panel.id for panel in section.panels] == ids + ["pairs"] * (len(conditions) > 2)
    if n == 16:
        titles = [ax.get_title() for ax in section.panels[3].figure.axes]
        assert [title for title in titles if title] == ["250 ms"]  # the peak after the marker


REGION_ROWS = frame(
    "name lower upper accuracy low high null_mean null_high p over_rank over_rank_se over_clip over_clip_se",
    ("raw", NAN, NAN, 0.3, 0.2, 0.4, NAN, NAN, NAN, -0.11, 0.012, -0.21, 0.013),
    ("rank", NAN, NAN, 0.5, 0.41, 0.61, NAN, NAN, NAN, 0.0, 0.0, -0.02, 0.03),
    ("upper clip", 0.0, 0.5, 0.52, 0.42, 0.62, NAN, NAN, NAN, 0.02, 0.03, 0.0, 0.0),
    ("topological", 0.3, 0.6, 0.54, 0.43, 0.63, NAN, NAN, NAN, 0.04, 0.01, 0.03, 0.014),
    ("geo-topological", 0.2, 0.7, 0.53, 0.44, 0.64, NAN, NAN, NAN, 0.03, 0.02, 0.01, 0.05),
    ("nested", NAN, NAN, 0.61, 0.45, 0.65, 0.171, 0.301, 0.048, 0.11, 0.06, 0.09, 0.07),
)


def test_regions_named_across_subjects() -> None:
    surface = frame(
        "lower upper family accuracy chosen",
        (0.0, 0.5, "local", 0.41, 0), (0.0, 1.0, "intermediate", 0.52, 3), (0.5, 1.0, "global", 0.33, 1),
    )  # fmt: skip
    agreement = frame(
        "model region transform layer r agreement",
        ("net", "V1", "rank", "conv1", 0.31, 0.67), ("net", "V1", "raw", "", NAN, NAN),
        ("net", "IT", "rank", "conv5", 0.42, 1.0), ("net", "IT", "raw", "conv4", 0.22, 0.33),
    )  # fmt: skip
    about = {"chance": 1 / 6, "n_tested": 18, "n_shuffles": 20, "best_of_shuffled": 0.231, "n_subjects": 3}
    about |= {"n_regions": 6, "n_stimuli": 40, "n_pairs": 780, "n_draws": 200, "mean_dropped_pairs": 12.4}
    about |= {"n_missing_pairs": 7, "draws_with_vanished_regions": 4, "undefined_draws": 2}
    about |= {"regions": ["V1", "V2", "IT"], "nearest": [[1, 1, 2], [1, 0, -1], [0, 1, 2]]}
    tables = dict(zip(IDENTIFICATION_TABLES, (REGION_ROWS, surface, agreement), strict=True))
    named, verdict = geometry.identification_section(tables, about).paragraphs[:2]
    assert named.endswith(" Named otherwise: V1 as V2 (subjects: 2), V2 as V1 (subjects: 1).")
    assert verdict.startswith("Verdict: topology names more regions than ranks, and than clipping far pairs alone (")
    about |= {"n_missing_pairs": 0, "draws_with_vanished_regions": 0, "undefined_draws": 0}
    geometry.identification_section(tables | {"agreement": agreement.head(0)}, about)
    for differences, said in (
        ((0.02, 0.0, 0.02), "topology and ranks name equally many"),  # two standard errors are not more than two
        ((0.03, 0.0, 0.02), "robust clipping suffices"),
        ((0.0, 0.03, 0.0), "robust clipping suffices"),
        ((-0.03, 0.0, 0.0), "ranks name more regions than topology"),
    ):
        both = ("topological", *differences[::2], 0.01, 0.01), ("upper clip", differences[1], 0.0, 0.01, 0.0)
        rows = frame("name over_rank over_clip over_rank_se over_clip_se", *both)
        assert geometry.identification_verdict(rows).startswith(f"Verdict: {said}")


def test_networks_beside_networks() -> None:
    pair = ("net", "other")
    pairs = frame(
        "model_a model_b layer_a layer_b measure value null null_high rotated n_stimuli note",
        (*pair, "a", "x", "cka", 0.2, 0.1, 0.2, 0.3, 50, ""), (*pair, "a", "y", "cka", 0.7, 0.11, 0.22, 0.33, 60, ""),
        (*pair, "b", "x", "cka", NAN, NAN, NAN, NAN, 50, "flat"), (*pair, "b", "y", "cka", 0.4, 0.1, 0.2, 0.3, 50, ""),
        (*pair, "a", "x", "cca", NAN, NAN, NAN, NAN, 50, "too few"),
        (*pair, "a", "x", "svcca", 0.5, 0.1, 0.2, NAN, 9, ""),
    )  # fmt: skip
    pairs = pd.concat([pairs, *(pairs.assign(model_b=f"net{k}") for k in range(6))])
    rows = [("net", k, "pr", 3.0 + k, 60, -1, "net") for k in (0, 1)]
    dimensions = frame("model number measure value n step network", *rows)
    measures = ("capacity", "radius", "dimension", "nc1", "cdnv", "simplex", "accuracy", "nc3", "agreement")
    rows = []
    for number, share in ((0, 0.5), (1, 1.0)):
        for k, measure in enumerate(measures, start=1):
            value = NAN if measure == "nc3" else share * k / 10
            null = np.inf if measure == "cdnv" else k / 100
            rows.append(("net", f"l{number}", number, "kind", measure, value, null, 3, 20 - (1 - number), 1, ""))
    rows += [("net", "l0", 0, "place", measure, NAN, NAN, 0, 0, 0, "few") for measure in measures]
    columns = "model layer number feature measure value null n_categories n_each n_left_out note"
    told = frame(columns, *rows).assign(null_low=0.01, null_high=0.02, step=-1, network="net")
    tables = dict(zip(MATCHING_TABLES, (pairs, dimensions, dimensions.head(0), told), strict=True))
    assert "(6 of 7 drawn)" in str(geometry.matching_section(tables).panels)


def test_searchlights_scores_over_time_and_clusters(kept: Kept) -> None:
    scores = frame(
        "split layer target_id time_s r",
        *[("s", layer, target, time, r) for layer, target, r1, r2 in (
            ("b", "p", 0.1, 0.2), ("b", "q", 0.5, 0.1), ("a", "p", 0.3, 0.7), ("a", "q", NAN, NAN)
        ) for time, r in ((0.1, r2), (0.0, r1))],
        ("other", "b", "p", 0.1, 9.0),
    )  # fmt: skip
    null = frame("split layer max_r", *[("s", "b", k / 100) for k in range(101)], ("other", "a", 9.0))
    found = geometry.time_course._left_out_course(SimpleNamespace(scores=scores, null=null), "s")
    np.testing.assert_allclose(found["mean_r"], [0.15, 0.3, 0.7, 0.3])
    kept(found)
    table = frame("layer se kind", ("a", 0.1, "layer"), ("b", NAN, "layer"), ("all", NAN, "combination"))
    assert geometry.time_course.best_layers(table)["layer"].tolist() == ["a", "all"]
    assert geometry.time_course.best_layers(table.drop(columns="kind"))["layer"].tolist() == ["a"]
    clusters = frame(
        "layer start stop p",
        ("a", 0.2, 0.3, 0.01), ("a", 0.1, 0.2, 0.04), ("a", 0.15, 0.18, 0.02), ("a", 0.4, 0.5, 0.03),
        ("a", 0.45, 0.6, 0.05), ("b", 0.0, 1.0, 0.01),
    )  # fmt: skip
    material: Any = SimpleNamespace(encodings={("net", "ridge"): SimpleNamespace(clusters=clusters)})
    material.chosen, material.fit_label = lambda *_: "a", lambda model, method: f"{model}, {method}"
    found = geometry.time_course._clusters(material)[["start_s", "stop_s", "p"]]
    assert found.to_numpy().tolist() == [[0.1, 0.3, 0.04], [0.4, 0.5, 0.03]]
    table = frame(
        "layer target_id score p_anywhere",
        ("a", "v1", 0.2, 0.01), ("a", "v2", 0.3, 0.01), ("a", "v3", NAN, NAN), ("a", "v4", 0.1, 0.6),
        ("b", "v1", 0.25, 0.05), ("b", "v2", 0.41, 0.001), ("b", "v3", 0.35, 0.049), ("b", "v4", NAN, NAN),
    )  # fmt: skip
    targets = frame("target_id x_mm y_mm z_mm", ("v1", 1, 2, 3), ("v2", 4.4, -5, 6), ("v3", 7, 8, 9), ("v4", 0, 0, 0))
    details = {"n_nan": {"a": 1000, "b": 2}, "threshold_anywhere": 0.123, "permutations": 1000, "n_stimuli": 40}
    found = geometry.searchlight_sentence("net", table, details, targets)
    assert found.startswith("net (b): 2 of 3 centres exceed chance: ")
    assert "the best of b is .410 around v2 (4, -5, 6 mm; p = .0010)" in found
    kept(found, geometry.searchlight_sentence("net", table.assign(score=NAN), details, targets))
    details["n_nan"] = {"b": 0}
    kept(geometry.searchlight_sentence("net", table[table["layer"] == "b"].assign(p_anywhere=0.05), details, targets))


def test_encoders_and_layers_in_words(kept: Kept) -> None:
    table = frame(
        "group layer joint split low high control_split ceiling n_targets",
        ("V1", "a", False, 9.0, 9.0, 9.0, 9.0, 9.0, 9), (RELIABLE, "b", False, 0.2, 0.14, 0.26, 9.0, 9.0, 9),
        (RELIABLE, "a", False, 0.1, 0.05, 0.15, 9.0, 9.0, 9),
        (RELIABLE, "all", True, 0.3, 0.25, 0.35, -0.01, 0.6, 1234),
    )  # fmt: skip
    found = partition._sentence("net", "R²", table)
    assert found.endswith("Of this add: b .200 (.140 to .260); a .100 (.050 to .150).")
    kept(found, partition._sentence("net", "r", table.assign(split=table["split"].where(table["layer"] != "b"))))
    scores = pd.DataFrame({"alpha": [10.0, 1, 100, 1]})
    kept(*partition.penalty_ends("net", scores, (10.0, 1.0, 100.0)), *partition.penalty_ends("net", scores, (1.0,)), "")
    rows = frame(
        "encoder group difference difference_low difference_high control_r",
        ("trained", RELIABLE, NAN, NAN, NAN, 0.02), ("ridge", RELIABLE, 0.1, 0.05, 0.15, 0.5),
        *[("trained", group, NAN, NAN, NAN, 0.9) for group in ("V1", "V2", "V3", "V4")],
        ("ridge", "V1", 0.1, 0.05, 0.15, 0.9), ("ridge", "V2", -0.1, -0.15, -0.05, 0.9),
        ("ridge", "V3", 0.1, 0.0, 0.2, 0.9), ("ridge", "V4", -0.1, -0.2, 0.0, 0.9), ("ridge", "V5", NAN, NAN, NAN, 0.9),
        ("mean", "V1", 0.1, 0.05, 0.15, 0.9),
    )  # fmt: skip
    (found,) = encoders.side_sentences("net", rows, timed=False)
    assert "ahead of ridge in 4 regions: 1, behind: 1, undecided: 2; ahead of mean in 1 regions: 1, behind: 0" in found
    assert "ahead of ridge over all reliable targets: 1, " in encoders.side_sentences("net", rows[:2], timed=False)[0]
    others = [(rows["encoder"] != "mean", True), (rows["encoder"] == "trained", False)]
    kept(found, [encoders.side_sentences("net", rows[which], timed=timed) for which, timed in others])
    columns = "encoder r low high seed_mean seed_sd n_seeds difference difference_low difference_high"
    sizes = frame(
        f"{columns} n_parameters seconds",
        ("trained", 0.3, 0.2, 0.4, 0.29, 0.01, 3, 0.0, 0.0, 0.0, 12345, 81.4),
        ("ridge", 0.25, 0.15, 0.35, 0.25, NAN, 1, 0.05, 0.01, 0.09, 600, 0.5),
    )
    kept(encoders.side_table(sizes, "x"))
    ensemble = frame(
        "layer group r low high null_mean control_r p",
        ("all", "V1", 9.0, 9.0, 9.0, 9.0, 9.0, 9.0), ("all", RELIABLE, 0.5, 0.4, 0.6, 0.01, 0.02, 0.001),
        ("a", RELIABLE, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0),
    )  # fmt: skip
    baselines = frame(
        "layer group encoder difference difference_low difference_high",
        ("all", RELIABLE, "few", NAN, NAN, NAN), ("all", RELIABLE, "few, b", 0.2, 0.11, 0.29),
        ("all", RELIABLE, "few, a", 0.1, 0.05, 0.15), ("all", "V1", "few, a", 9.0, 9.0, 9.0),
        ("a", RELIABLE, "few, a", 9.0, 9.0, 9.0),
    )  # fmt: skip
    fitted = {("net", "few"): SimpleNamespace(ensemble=ensemble, baselines=baselines)}
    material: Any = SimpleNamespace(encodings=fitted, fit_label=lambda model, method: f"{model} by {method}")
    found = encoders.ensemble_sentence(material, "net", "few")
    assert found.endswith("Ahead of single layers by: b .200 (.110 to .290); a .100 (.050 to .150).")
    fitted["net", "few"].ensemble = ensemble.head(0)
    kept(found, encoders.ensemble_sentence(material, "net", "few"))
    rows = frame(
        "region family r model layer winner ahead ahead_low ahead_high decided reason n_targets null_high ceiling_r",
        ("IT", "task", 0.31, "net", "a", False, -0.1, -0.2, 0.1, False, "near", 1, 0.9, 0.9),
        ("IT", "words", 0.42, "bert", "b", True, 0.11, -0.02, 0.2, False, "near", 1200, 0.05, 0.7),
        ("V1", "task", 0.53, "net", "c", True, 0.12, 0.03, 0.21, True, "", 20, 0.06, NAN),
        ("V1", "words", 0.24, "bert", "d", False, -0.1, -0.2, 0.1, True, "", 1, 0.9, 0.9),
    )
    kept(contest._table(rows))


RETRIEVED = frame(
    "space measure value low high chance p n_gallery difference difference_low difference_high",
    ("grounded", "rank", 9.0, 9.0, 9.0, 9.0, 9.0, 9, NAN, NAN, NAN),
    ("grounded", "2-way", 0.4, 0.3, 0.5, 0.02, 0.001, 50, NAN, NAN, NAN),
    ("ridge", "2-way", 0.31, 0.21, 0.41, 0.9, 0.9, 9, 0.09, 0.01, 0.19),
    ("shuffled", "2-way", 0.03, 0.01, 0.05, 0.9, 0.9, 9, NAN, NAN, NAN),
)


@pytest.mark.parametrize(("low", "high", "said"), [
    (0.01, 0.19, "Grounding finds more than the linear map (.090, interval .010 to .190)."),
    (0.0, 0.19, "Grounding and linear map are a tie (.090, interval .000 to .190)."),
    (-0.2, 0.0, "Grounding and linear map are a tie (.090, interval -.200 to .000)."),
    (-0.2, -0.01, "The linear map finds more (.090, interval -.200 to -.010): for these images the network is not "
                  "worth its parameters."),
])  # fmt: skip
def test_images_found_by_captions_in_words(low: float, high: float, said: str, kept: Kept) -> None:
    found = synthesis.retrieval_sentence(RETRIEVED.assign(difference_low=low, difference_high=high))
    assert found.endswith(f" {said}")
    kept(found, synthesis.retrieval_sentence(RETRIEVED[RETRIEVED["space"] != "ridge"].assign(p=0.05)))


def test_regions_and_axes_of_grounded_words(kept: Kept) -> None:
    regions = frame(
        "group encoder r q difference difference_low difference_high p ceiling_r",
        *[(RELIABLE, name, 0.1, 0.001, 0.5, 0.4, 0.6, 0.1, 0.1) for name in ("grounded", "text", "shuffled")],
        ("V1", "grounded", 0.31, 0.05, NAN, NAN, NAN, 0.02, 0.71),
        ("IT", "grounded", 0.32, 0.049, NAN, NAN, NAN, 0.01, 0.72),
        ("V1", "text", 0.21, 0.9, 0.1, 0.05, 0.15, 0.9, 0.9), ("IT", "text", 0.22, 0.9, 0.11, 0.0, 0.2, 0.9, 0.9),
        ("V1", "shuffled", 0.11, 0.9, 0.2, 0.0, 0.3, 0.9, 0.9), ("IT", "shuffled", 0.12, 0.9, 0.2, -0.1, 0.0, 0.9, 0.9),
        ("V1", "words alone", 0.41, 0.9, -0.2, -0.3, -0.1, 0.9, 0.9),
        ("IT", "words alone", 0.42, 0.9, NAN, NAN, NAN, 0.9, 0.9),
    )  # fmt: skip
    (found,) = synthesis.region_sentences(regions)
    told = "better in 1, worse in 0, a tie in 1; words grounded in shuffled images: a tie in all 2; words alone"
    assert told in found
    kept(found, synthesis.region_sentences(regions[regions["group"] == RELIABLE]))
    kept(synthesis.grounding._regions_table(regions[regions["group"] != RELIABLE]))
    axes = frame("axis variance low_words high_words name", (1, 0.42, "cat, dog", "car", "size"),
                 (2, 0.2, "a", "b", ""),
                 (3, 0.1, "c", "d", ""))  # fmt: skip
    attributes = frame("axis attribute r null_high q", (1, "colour", 0.5, 0.31, 0.2), (1, "size", -0.6, 0.3, 0.01),
                       (2, "colour", 0.2, 0.32, 0.05))  # fmt: skip
    kept(synthesis.grounding._axes_table(axes, attributes))
    for cases in ((axes, attributes), (axes.head(1), attributes), (axes, attributes.head(0))):
        kept(synthesis.grounding._axes_sentence(*cases))


@pytest.mark.parametrize(("gain", "low", "high", "said"), [
    (0.1, 0.05, 0.15, "better"), (-0.1, -0.15, -0.05, "worse"), (0.1, 0.0, 0.2, "a tie"), (-0.1, -0.2, 0.0, "a tie"),
])  # fmt: skip
def test_norms_of_grounded_words(gain: float, low: float, high: float, said: str, kept: Kept) -> None:
    norms = frame(
        "norm space r2 n_words gain gain_low gain_high p",
        ("colour", "grounded", 0.51, 9, 0.2, 0.1, 0.3, 0.01), ("colour", "text", 0.31, 9, NAN, NAN, NAN, NAN),
        ("colour", "shuffled", 0.11, 9, NAN, NAN, NAN, NAN), ("all", "grounded", 0.52, 12, gain, low, high, 0.02),
        ("all", "text", 0.32, 9, NAN, NAN, NAN, NAN), ("all", "shuffled", 0.12, 9, NAN, NAN, NAN, NAN),
    )  # fmt: skip
    found = synthesis.grounding._norms_sentence(norms)
    assert f": {said}. What grounding" in found
    kept(found, synthesis.grounding._norms_table(norms))


CAPTIONED = frame(
    "target_id region caption r permuted_r nearest_r encoder_r ceiling q colour",
    ("v0", "V1", "red", NAN, NAN, NAN, 0.1, 0.16, NAN, ""), ("v1", "IT", "", 0.1, 0.01, 0.02, 0.2, -0.1, 0.06, ""),
    ("v2", "IT", "a red dog", 0.3, 0.03, 0.04, 0.4, 0.25, 0.05, "red"),
    ("v3", "V1", "dog", 0.2, 0.0, 0.0, 0.3, 0.36, 0.01, "red"),
)  # fmt: skip
CONTROLS = ("permuted", "frequent", "bankmean", "nearest", "shuffled", "followed")
ABOUT = {"n_test": 30, "q_level": 0.05, "attributes": {"colour": ["red"]}, "captioner": "x", "temperature": 2.0}


def test_captions_beside_controls_in_words(kept: Kept) -> None:
    scores = frame(
        "region of r low high gain_low gain_high",
        ("V1", "caption", 9.0, 9.0, 9.0, 9.0, 9.0), (RELIABLE, "caption", 0.2, 0.15, 0.25, NAN, NAN),
        (RELIABLE, "encoder", 0.31, 0.9, 0.9, NAN, NAN),
        *[(RELIABLE, name, 0.01 * k, 0.9, 0.9, 0.1 * k, 0.2 * k) for k, name in enumerate(CONTROLS, start=1)],
    )  # fmt: skip
    controls = ", ".join(synthesis.voxel_captions.NAMES.values())
    said = synthesis.caption_verdict(CAPTIONED, scores, ABOUT)
    assert said.endswith(f"They predict better than every control: {controls}.")
    near = scores.assign(gain_low=scores["gain_low"].where(scores["of"] != "nearest", 0.0))
    none = synthesis.caption_verdict(CAPTIONED, scores.assign(gain_low=-0.1), ABOUT)
    kept(synthesis.caption_verdict(CAPTIONED, scores, ABOUT), synthesis.caption_verdict(CAPTIONED, near, ABOUT), none)
    warned = " Warning: without that, the words below describe the stimuli, not the voxels, and should not be used."
    assert none.endswith(warned)
    for name, warns in zip(CONTROLS, (True, False, False, False, True, False), strict=True):
        one = scores.assign(gain_low=scores["gain_low"].where(scores["of"] != name, -0.1))
        assert synthesis.caption_verdict(CAPTIONED, one, ABOUT).endswith(warned) == warns
    unscored = CAPTIONED.assign(r=NAN)
    kept(*(synthesis.caption_verdict(one, scores, ABOUT) for one in (unscored, unscored.assign(caption=""))))
    kept(*(synthesis.voxel_captions._silences(CAPTIONED, about) for about in (ABOUT, {"attributes": {}})))
    assert "temp" not in synthesis.voxel_captions._explained(ABOUT | {"attributes": {}, "temperature": None})
    kept(synthesis.voxel_captions._table(CAPTIONED), synthesis.voxel_captions._table(pd.concat([CAPTIONED] * 4)))


def test_directions_in_words(kept: Kept) -> None:
    rows = [
        {"method": "pca", "region": region, "scored": region, "control": "", "orthogonal": False, "alpha": alpha}
        | {"seed": seed, "guide": 0.1, "check": 0.2}
        for region in ("red", "big") for alpha in (1.0, -2.0, 0.0) for seed in (7, 5, 6)
    ]  # fmt: skip
    found = FoundDirections(np.zeros((1, 2, 2, 3), dtype=np.uint8), pd.DataFrame(rows))
    gains = frame(
        "region method orthogonal judge gain low high monotone chance chance_shuffled p other other_gain",
        ("red", "pca", False, "check", 0.8, 0.5, 1.1, True, 0.2, 0.15, 0.05, "big", -0.3),
        ("red", "pca", False, "guide", 0.9, 0.6, 1.2, True, 0.21, 0.16, 0.01, "", NAN),
        ("red", "pca", True, "check", 0.7, 0.4, 1.0, True, 0.22, 0.17, 0.02, "big", 0.1),
        ("big", "pca", False, "check", 0.05, -0.1, 0.15, False, 0.4, NAN, 0.5, "", NAN),
        ("big", "pca", False, "guide", 0.2, 0.1, 0.4, False, 0.41, NAN, 0.6, "", NAN),
        ("red", "other", False, "check", 9.0, 9.0, 9.0, True, 9.0, 9.0, 9.0, "", NAN),
    )
    said = synthesis.directions._sentences(found, gains)
    assert "red: the checking encoder rises at every step along the region's direction, by .800" in said[1]
    assert said[3].startswith("Warning: in big the guiding encoder rises and who judges it does not.")
    for low in (0.1, 0.0):
        sure = gains.assign(low=gains["low"].where(gains["region"] != "big", low))
        assert not any(text.startswith("Warning") for text in synthesis.directions._sentences(found, sure))
    kept(said, synthesis.directions._table(gains), synthesis.directions._sentences(found, gains.head(0)))


def test_recordings_of_one_person(monkeypatch: pytest.MonkeyPatch, kept: Kept) -> None:
    trials = pd.DataFrame({"category": ["face", "car", "car"], "run": ["1", "2", "1"], "session": ["1", "1", "2"]})
    details: dict[str, Any] = {"n_rejected": [2, 3], "warnings": ["loud"], "n_bad_sensors": 2}
    responses = SimpleNamespace(trials=trials, targets=["C3", "C4", "Cz", "Pz"])
    material: Any = SimpleNamespace(responses=responses, details=lambda _: details)
    (said, *_) = geometry.decoding_over_time._data(material).paragraphs
    assert said.startswith("3 trials (2 car, 1 face) of 3 recordings of one person, 4 sensors (2 bad or flat ones are")
    assert geometry.decoding_over_time._data(SimpleNamespace(responses=None)) is None
    for p, opening, value in ((0.004, "Yes.", "150 ms"), (0.05, "Not shown.", ".512")):
        of = decoded({"categories": ["face", "car"], "measure": "AUC"}, ["Cz"])
        of.tables["timewindows"] = WINDOWS.assign(p=[p, *WINDOWS["p"][1:]])
        section = geometry.decoding_section(of, pd.DataFrame({"target_id": ["Cz"]}), findings=False)
        assert len(section.paragraphs) == 1
        answer = geometry.decoding_over_time._answer(of, section)
        assert (answer.opening, answer.holds) == (opening, p < 0.05)
        assert answer.words.startswith("Face and car can" if p < 0.05 else "Face and car are not shown to")
        assert answer.words.count("Before the marker") == 1  # of one scheme
        assert (answer.numbers[-1]["value"], [ax.get_title() for ax in panels(answer.panel.figure)]) == (value, ["all"])
        assert "decoded" in {panel.id for panel in section.panels}  # every group of sensors
        kept(answer.words, answer.numbers)
    kept(geometry.decoding_over_time._cards(WINDOWS))
    monkeypatch.setattr(geometry.decoding_over_time.kit, "recordings_text", lambda _: "recorded")
    material.config = SimpleNamespace(decode_times=DecodeTimesSettings())
    kept(geometry.decoding_methods(material, pd.DataFrame()))
    kept(geometry.decoding_methods(material, WINDOWS))
    material.config = SimpleNamespace(decode_times=DecodeTimesSettings(noise="none", latency_window_s=(0.1, 0.3)))
    kept(geometry.decoding_methods(material, WINDOWS[WINDOWS["scheme"] == SCHEMES[1]].assign(logistic=NAN)))
