"""What sections say in words and tables of numbers made by hand: every sentence and every row, whole."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made import made
from pages import cells, check

from brainalign.config import DecodeTimesSettings
from brainalign.report import ALIGNMENT_TABLES, IDENTIFICATION_TABLES, MATCHING_TABLES, DecodedTimes, FoundDirections
from brainalign.report.encoding_sections import contest, encoders, partition
from brainalign.report.geometry_sections import (
    alignment_section,
    decoding_findings,
    decoding_over_time,
    decoding_section,
    identification_section,
    identification_verdict,
    matching_section,
    searchlight_sentence,
    time_course,
)
from brainalign.report.synthesis_sections import (
    caption_verdict,
    directions,
    grounding,
    region_sentences,
    retrieval_sentence,
    voxel_captions,
)
from brainalign.statistics import RELIABLE

NAN, approx = np.nan, pytest.approx


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
    section = alignment_section(dict(zip(ALIGNMENT_TABLES, (scores, regions), strict=True)), about)
    assert section.paragraphs[0] == (
        "An affine map of net deep was fitted to 12,345 choices among 1,483 objects, kept near a multiple of the "
        "identity (penalty 0.25, chosen on held-out objects of these). On 1,300 triplets of 371 objects that it never "
        "saw, it predicts .512 of the choices instead of .401 (difference .111, standard error over objects .021); "
        "fitted to shuffled choices .334."
    )
    assert section.paragraphs[2] == (
        "Where people are unsure, over 1,070 triplets that several people judged (none of them in training, though "
        "their objects may be): Spearman's r of the entropies of choices, net .21 before and .43 after; two .12 before "
        "and .34 after."
    )
    assert section.paragraphs[3].startswith("Regions: Spearman's r of their dissimilarities")
    networks, brain = map(cells, section.blocks)
    assert networks[1:] == [
        ["net deep", "all", "1,300", ".401", ".512", ".111 ± .021", ".334", "–"],
        ["net deep", "coarse", "1,500", ".601", ".702", ".101 ± .031", "–", "–"],
        ["two l0", "all", "1,600", ".411", ".452", ".041 ± .011", "–", ".422"],
    ]
    assert brain[1:] == [["net deep", "IT", ".110 (p = .200)", ".310 (p = .003)", ".510 to .610"]]
    tables = {"alignment": scores.assign(uncertainty_r=NAN), "alignedregions": regions.head(0)}
    section = alignment_section(tables, about)
    assert (len(section.paragraphs), len(section.blocks)) == (3, 1)
    assert section.paragraphs[2].startswith("No brain regions stand beside aligned features")


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


def test_categories_over_time() -> None:
    facts = {"categories": ["face", "car"], "measure": "AUC"}
    found = decoding_findings(decoded(facts, ["Cz"]))
    assert found == [
        "face against car, recordings left out, 100 to 300 ms: AUC .712, .650 to .780 (above chance: permuted .501, "
        "p = .0040; logistic regression .690).",
        "face against car, recordings left out, before the stimulus (a control), -100 to 0 ms: AUC .512 (not above "
        "chance: permuted .502, p = .3000).",
        "face against car, within recordings, 200 to 400 ms: AUC .550, .450 to .650 (not above chance: permuted .503, "
        "p = .0500).",
        "face against car, within recordings, before the stimulus (a control that FAILS), -200 to 0 ms: AUC .560 "
        "(above chance, where nothing may be: permuted .504, p = .0100).",
        "Latency, sensors all, first hump (80 to 300 ms): peak 150 ms (140 to 160), centre 170 ms (165 to 175), rise "
        "to half height 120 ms (110 to 130).",
        "Latency, sensors left, highest hump (90 to 310 ms): undecided (two humps).",
    ]
    facts |= {"categories": ["a", "b", "c"]}
    assert decoding_findings(decoded(facts, ["Cz"]))[0].startswith("categories, recordings left out, 100")


@pytest.mark.parametrize(("n", "conditions"), [(15, ["a", "b", "c"]), (16, ["a", "b"])])
def test_what_is_drawn_of_categories_over_time(n: int, conditions: list[str]) -> None:
    """Heads from 16 placed sensors on, at the time of the largest effect after the marker and others around it."""
    around, down = np.linspace(0, 2 * np.pi, n, endpoint=False), np.tile([0.5, 1.2], 8)[:n]
    xyz = 95 * np.c_[np.cos(around) * np.sin(down), np.sin(around) * np.sin(down), np.cos(down)]
    names = [f"E{k}" for k in range(n)]
    targets = pd.DataFrame(xyz, columns=["x_mm", "y_mm", "z_mm"]).assign(target_id=names, sensor_type="eeg")
    facts = {"categories": ["face", "car"], "conditions": conditions, "measure": "AUC"}
    section = decoding_section(decoded(facts, names), targets, findings=False)
    ids = ["windows", "decoded", "square", "sensors" if n < 16 else "decodedheads"]
    assert [panel.id for panel in section.panels] == ids + ["pairs"] * (len(conditions) > 2)
    assert section.paragraphs == []
    if n == 16:
        titles = [ax.get_title() for ax in section.panels[3].figure.axes]
        assert [title for title in titles if title] == [f"{ms} ms" for ms in (100, 200, 250, 300, 400, 500)]
    assert cells(section.blocks[0])[1:3] == [
        [SCHEMES[0], "all", "late", ".712", ".650 to .780", ".501", ".0040", ".690", "5", "400"],
        [SCHEMES[0], "all", "early (control)", ".512", "–", ".502", ".3000", "–", "6", "410"],
    ]


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
    tables = dict(zip(IDENTIFICATION_TABLES, (REGION_ROWS, surface, agreement), strict=True))
    section = identification_section(tables, about)
    _, verdict, nested, sizes, _ = section.paragraphs
    assert verdict == (
        "Verdict: topology names more regions than ranks, and than clipping far pairs alone (topological − rank "
        "+.040 ± .010, topological − upper clip +.030 ± .014, upper clip − rank +.020 ± .030; differences ± standard "
        "error)."
    )
    assert nested == (
        "With thresholds chosen on the other subjects .610 of 18 regions are named (chance .167; regions relabelled 20 "
        "times: mean .171, 95 % point .301, p = .0480); chosen were (.00, 1.00), (.50, 1.00). The maximum of the "
        "surface, .520, was found by looking: with regions relabelled such a maximum is .231 on average, not chance."
    )
    plain = (
        "3 subjects, 6 regions, 40 images, 780 pairs. Standard errors are of 200 draws of subjects and images, the "
        "same for all thresholds; a draw went without 12 pairs on average, of images that were not drawn."
    )
    assert sizes == (
        f"{plain} 7 pairs are missing in some RDM and left out of all. In 4 draws some region was left with one "
        "subject. In 2 draws fewer than 3 different subjects came up, so that none could choose."
    )
    named, layers = map(cells, section.blocks)
    assert named[1:] == [
        ["raw", "dissimilarities as they are", ".300", ".200 to .400", "−.110 ± .012", "−.210 ± .013"],
        ["rank", "rank RSA: the baseline", ".500", ".410 to .610", "–", "−.020 ± .030"],
        ["upper clip (.00, .50)", "far pairs made equal, near ones kept: the control", ".520", ".420 to .620",
         "+.020 ± .030", "–"],
        ["topological (.30, .60)", "near against far, little between", ".540", ".430 to .630",
         "+.040 ± .010", "+.030 ± .014"],
        ["geo-topological (.20, .70)", "near and far pairs made equal", ".530", ".440 to .640",
         "+.030 ± .020", "+.010 ± .050"],
        ["nested", "thresholds that the other subjects choose", ".610", ".450 to .650",
         "+.110 ± .060", "+.090 ± .070"],
    ]  # fmt: skip
    assert layers == [
        ["model", "region", "rank", "raw"],
        ["net", "V1", "conv1 (r .310, .67 agree)", "–"],
        ["net", "IT", "conv5 (r .420, 1.00 agree)", "conv4 (r .220, .33 agree)"],
    ]
    about |= {"n_missing_pairs": 0, "draws_with_vanished_regions": 0, "undefined_draws": 0}
    section = identification_section(tables | {"agreement": agreement.head(0)}, about)
    assert (section.paragraphs[3], len(section.paragraphs), len(section.blocks)) == (plain, 4, 1)
    for differences, said in (
        ((0.02, 0.0, 0.02), "topology and ranks name equally many"),  # two standard errors are not more than two
        ((0.03, 0.0, 0.02), "robust clipping suffices"),
        ((0.0, 0.03, 0.0), "robust clipping suffices"),
        ((-0.03, 0.0, 0.0), "ranks name more regions than topology"),
    ):
        both = ("topological", *differences[::2], 0.01, 0.01), ("upper clip", differences[1], 0.0, 0.01, 0.0)
        rows = frame("name over_rank over_clip over_rank_se over_clip_se", *both)
        assert identification_verdict(rows).startswith(f"Verdict: {said}")


def test_networks_beside_networks() -> None:
    pair, told = ("net", "other"), manifolds_told()
    pairs = frame(
        "model_a model_b layer_a layer_b measure value null null_high rotated n_stimuli note",
        (*pair, "a", "x", "cka", 0.2, 0.1, 0.2, 0.3, 50, ""), (*pair, "a", "y", "cka", 0.7, 0.11, 0.22, 0.33, 60, ""),
        (*pair, "b", "x", "cka", NAN, NAN, NAN, NAN, 50, "flat"), (*pair, "b", "y", "cka", 0.4, 0.1, 0.2, 0.3, 50, ""),
        (*pair, "a", "x", "cca", NAN, NAN, NAN, NAN, 50, "too few"),
        (*pair, "a", "x", "svcca", 0.5, 0.1, 0.2, NAN, 9, ""),
    )  # fmt: skip
    dimensions = frame(
        "model number measure value n step network", *[("net", k, "pr", 3.0 + k, 60, -1, "net") for k in (0, 1)]
    )
    section = matching_section(dict(zip(MATCHING_TABLES, (pairs, dimensions, dimensions.head(0), told), strict=True)))
    similar, manifolds = map(cells, section.blocks)
    assert similar[1:] == [
        ["net, other", "cka", "a, y", ".700", ".110, .220", ".330", "60", "1 pairs: flat"],
        ["net, other", "cca", "none", "–", "–", "–", "–", "too few"],
        ["net, other", "svcca", "a, x", ".500", ".100, .200", "–", "9", ""],
    ]
    assert manifolds[1:] == [
        ["net", "kind", "l1", "3 × 20 (1)", ".100 (shuffled .010)", ".200 (shuffled .020)", ".300 (shuffled .030)",
         ".400 (shuffled .040)", ".500 (shuffled ∞)", ".600 (shuffled .060)", ".700 (shuffled .070)", "–",
         ".900 (shuffled .090)"],
        ["net", "place", "none: few", *["–"] * 10],
    ]  # fmt: skip
    assert section.paragraphs[-1] == "No capacity or collapse of place: few."
    assert "on the same 60 stimuli" in section.paragraphs[0]
    assert [panel.id for panel in section.panels] == ["matchingpairs", "matchinglayers", "matchingmanifolds"]
    assert set(section.panels[0].numbers["measure"]) == {"cka"}


def manifolds_told() -> pd.DataFrame:
    """Return manifolds of two layers, the second of larger capacity, and of a feature that has none."""
    measures = ("capacity", "radius", "dimension", "nc1", "cdnv", "simplex", "accuracy", "nc3", "agreement")
    rows = []
    for number, share in ((0, 0.5), (1, 1.0)):
        for k, measure in enumerate(measures, start=1):
            value = NAN if measure == "nc3" else share * k / 10
            null = np.inf if measure == "cdnv" else k / 100
            rows.append(("net", f"l{number}", number, "kind", measure, value, null, 3, 20 - (1 - number), 1, ""))
    rows += [("net", "l0", 0, "place", measure, NAN, NAN, 0, 0, 0, "few") for measure in measures]
    columns = "model layer number feature measure value null n_categories n_each n_left_out note"
    return frame(columns, *rows).assign(null_low=0.01, null_high=0.02, step=-1, network="net")


def test_searchlights_in_words() -> None:
    table = frame(
        "layer target_id score p_anywhere",
        ("a", "v1", 0.2, 0.01), ("a", "v2", 0.3, 0.01), ("a", "v3", NAN, NAN), ("a", "v4", 0.1, 0.6),
        ("b", "v1", 0.25, 0.05), ("b", "v2", 0.41, 0.001), ("b", "v3", 0.35, 0.049), ("b", "v4", NAN, NAN),
    )  # fmt: skip
    targets = frame("target_id x_mm y_mm z_mm", ("v1", 1, 2, 3), ("v2", 4.4, -5, 6), ("v3", 7, 8, 9), ("v4", 0, 0, 0))
    details = {"n_nan": {"a": 1000, "b": 2}, "threshold_anywhere": 0.123, "permutations": 1000, "n_stimuli": 40}
    limit = "in 1,000 exchanges of 40 stimuli exceeds .123 in 5 % of them"
    best = "the best of b is .410 around v2 (4, -5, 6 mm; p = .0010)"
    assert searchlight_sentence("net", table, details, targets) == (
        f"net: 2 of 3 centres exceed chance: the largest fit over centres and layers {limit}; {best}. 1,002 fits are "
        "undefined and count as none."
    )
    details["n_nan"] = {"b": 0}
    one = table[table["layer"] == "b"].assign(p_anywhere=0.05)
    assert searchlight_sentence("net", one, details, targets) == (
        f"net: no centre exceeds chance: the largest fit over centres {limit}, and {best.replace('.0010', '.0500')}."
    )
    assert searchlight_sentence("net", table.assign(score=NAN), details, targets) == (
        "net: no centre has a fit; its geometry has no distances, or the patterns are constant."
    )


def test_scores_over_time_of_left_out_stimuli() -> None:
    scores = frame(
        "split layer target_id time_s r",
        *[("s", layer, target, time, r) for layer, target, r1, r2 in (
            ("b", "p", 0.1, 0.2), ("b", "q", 0.5, 0.1), ("a", "p", 0.3, 0.7), ("a", "q", NAN, NAN)
        ) for time, r in ((0.1, r2), (0.0, r1))],
        ("other", "b", "p", 0.1, 9.0),
    )  # fmt: skip
    null = frame("split layer max_r", *[("s", "b", k / 100) for k in range(101)], ("other", "a", 9.0))
    found = time_course._left_out_course(SimpleNamespace(scores=scores, null=null), "s")
    expected = frame(
        "layer time_s mean_r best_r null_low null_high best_null_high",
        ("b", 0.1, 0.15, 0.1, 0.0, NAN, 0.95), ("b", 0.0, 0.3, 0.5, 0.0, NAN, 0.95),
        ("a", 0.1, 0.7, 0.7, 0.0, NAN, NAN), ("a", 0.0, 0.3, 0.3, 0.0, NAN, NAN),
    )  # fmt: skip
    pd.testing.assert_frame_equal(found[list(expected)], expected)
    table = frame("layer se kind", ("a", 0.1, "layer"), ("b", NAN, "layer"), ("all", NAN, "combination"))
    assert time_course.best_layers(table)["layer"].tolist() == ["a", "all"]
    assert time_course.best_layers(table.drop(columns="kind"))["layer"].tolist() == ["a"]


def test_clusters_that_overlap_are_one() -> None:
    clusters = frame(
        "layer start stop p",
        ("a", 0.2, 0.3, 0.01), ("a", 0.1, 0.2, 0.04), ("a", 0.15, 0.18, 0.02), ("a", 0.4, 0.5, 0.03),
        ("a", 0.45, 0.6, 0.05), ("b", 0.0, 1.0, 0.01),
    )  # fmt: skip
    material: Any = SimpleNamespace(
        encodings={("net", "ridge"): SimpleNamespace(clusters=clusters)},
        chosen=lambda *_: "a",
        label=lambda model, method: f"{model}, {method}",
    )
    expected = frame(
        "model layer start_s stop_s p", ("net, ridge", "a", 0.1, 0.3, 0.04), ("net, ridge", "a", 0.4, 0.5, 0.03)
    )
    pd.testing.assert_frame_equal(time_course._clusters(material), expected)


def test_what_layers_add_in_words() -> None:
    table = frame(
        "group layer joint split low high control_split ceiling n_targets",
        ("V1", "a", False, 9.0, 9.0, 9.0, 9.0, 9.0, 9), (RELIABLE, "b", False, 0.2, 0.14, 0.26, 9.0, 9.0, 9),
        (RELIABLE, "a", False, 0.1, 0.05, 0.15, 9.0, 9.0, 9),
        (RELIABLE, "all", True, 0.3, 0.25, 0.35, -0.01, 0.6, 1234),
    )  # fmt: skip
    assert partition._sentence("net", "R²", table) == (
        "net, mean over 1,234 reliable targets: all layers reach R² .300 (.250 to .350), refitted on exchanged "
        "responses -.010; noise ceiling .600. Of this add: b .200 (.140 to .260); a .100 (.050 to .150)."
    )
    assert partition._sentence("net", "r", table.assign(split=table["split"].where(table["layer"] != "b"))) == ""
    scores = pd.DataFrame({"alpha": [10.0, 1, 100, 1]})
    assert partition._edges("net", scores, (10.0, 1.0, 100.0)) == (
        "net: of 4 targets .500 chose the smallest penalty, 1, and .250 the largest, 100. The largest silences targets "
        "without signal; many at the smallest call for a wider grid."
    )
    assert partition._edges("net", scores, (1.0,)) == ""


def test_encoders_beside_others_in_words() -> None:
    rows = frame(
        "encoder group difference difference_low difference_high control_r",
        ("trained", RELIABLE, NAN, NAN, NAN, 0.02), ("ridge", RELIABLE, 0.1, 0.05, 0.15, 0.5),
        *[("trained", group, NAN, NAN, NAN, 0.9) for group in ("V1", "V2", "V3", "V4")],
        ("ridge", "V1", 0.1, 0.05, 0.15, 0.9), ("ridge", "V2", -0.1, -0.15, -0.05, 0.9),
        ("ridge", "V3", 0.1, 0.0, 0.2, 0.9), ("ridge", "V4", -0.1, -0.2, 0.0, 0.9), ("ridge", "V5", NAN, NAN, NAN, 0.9),
        ("mean", "V1", 0.1, 0.05, 0.15, 0.9),
    )  # fmt: skip
    said = (
        "net, trained, ahead of {} (paired intervals over the same resampled test images, not corrected for the number "
        "of comparisons). Refitted on exchanged responses it reaches .020."
    )
    found = "ridge in 4 regions: 1, behind: 1, undecided: 2; ahead of mean in 1 regions: 1, behind: 0, undecided: 0"
    assert encoders.side_sentences("net", rows, timed=False) == [said.format(found)]
    found = "ridge over all sensors and times: 1, behind: 0, undecided: 0"
    both = rows[rows["encoder"] != "mean"]
    assert encoders.side_sentences("net", both, timed=True) == [said.format(found)]
    assert encoders.side_sentences("net", rows[rows["encoder"] == "trained"], timed=False) == []
    columns = "encoder r low high seed_mean seed_sd n_seeds difference difference_low difference_high"
    sizes = frame(
        f"{columns} n_parameters seconds",
        ("trained", 0.3, 0.2, 0.4, 0.29, 0.01, 3, 0.0, 0.0, 0.0, 12345, 81.4),
        ("ridge", 0.25, 0.15, 0.35, 0.25, NAN, 1, 0.05, 0.01, 0.09, 600, 0.5),
    )
    assert cells(encoders.side_table(sizes, "x"))[1:] == [
        ["trained", ".300 (.200 to .400)", ".290 ± .010 (3 seeds)", "–", "12,345", "81"],
        ["ridge", ".250 (.150 to .350)", "–", ".050 (.010 to .090)", "600", "0.5"],
    ]


def test_all_layers_as_one_in_words() -> None:
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
    material: Any = SimpleNamespace(encodings=fitted, label=lambda model, method: f"{model} by {method}")
    assert encoders.ensemble_sentence(material, "net", "few") == (
        "net by few, all layers and seeds as one: mean r over reliable targets .500 (.400 to .600; exchanged "
        "predictions .010, refitted on exchanged responses .020; p = .0010). Ahead of single layers by: b .200 (.110 "
        "to .290); a .100 (.050 to .150)."
    )
    fitted["net", "few"].ensemble = ensemble.head(0)
    assert encoders.ensemble_sentence(material, "net", "few") is None


def test_families_of_a_contest_in_a_table() -> None:
    rows = frame(
        "region family r model layer winner ahead ahead_low ahead_high decided reason n_targets null_high ceiling_r",
        ("IT", "task", 0.31, "net", "a", False, -0.1, -0.2, 0.1, False, "near", 1, 0.9, 0.9),
        ("IT", "words", 0.42, "bert", "b", True, 0.11, -0.02, 0.2, False, "near", 1200, 0.05, 0.7),
        ("V1", "task", 0.53, "net", "c", True, 0.12, 0.03, 0.21, True, "", 20, 0.06, NAN),
        ("V1", "words", 0.24, "bert", "d", False, -0.1, -0.2, 0.1, True, "", 1, 0.9, 0.9),
    )
    assert cells(contest._table(rows)) == [
        ["region", "targets", "task", "words", "chance, upper end", "ceiling (r)", "best ahead by", "decision"],
        ["IT", "1,200", ".310 (net, a)", ".420 (bert, b)", ".050", ".700", ".110 (-.020 to .200)", "undecided: near"],
        ["V1", "20", ".530 (net, c)", ".240 (bert, d)", ".060", "–", ".120 (.030 to .210)", "task"],
    ]


RETRIEVED = frame(
    "space measure value low high chance p n_gallery difference difference_low difference_high",
    ("grounded", "rank", 9.0, 9.0, 9.0, 9.0, 9.0, 9, NAN, NAN, NAN),
    ("grounded", "top-1", 0.4, 0.3, 0.5, 0.02, 0.001, 50, NAN, NAN, NAN),
    ("ridge", "top-1", 0.31, 0.21, 0.41, 0.9, 0.9, 9, 0.09, 0.01, 0.19),
    ("shuffled", "top-1", 0.03, 0.01, 0.05, 0.9, 0.9, 9, NAN, NAN, NAN),
)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.01, 0.19, "Grounding finds more than the linear map (.090, interval .010 to .190)."),
        (0.0, 0.19, "Grounding and linear map are a tie (.090, interval .000 to .190)."),
        (-0.2, 0.0, "Grounding and linear map are a tie (.090, interval -.200 to .000)."),
        (-0.2, -0.01, "The linear map finds more (.090, interval -.200 to -.010): for these images the network is not "
                      "worth its parameters."),
    ],
)  # fmt: skip
def test_images_found_by_captions_in_words(low: float, high: float, said: str) -> None:
    found = (
        "Among 50 held-out images, captions find their own first in .400 (.300 to .500; chance .020; p = .0010: above "
        "chance); ridge to text vectors .310 (.210 to .410), grounded in shuffled images .030 (.010 to .050)."
    )
    assert retrieval_sentence(RETRIEVED.assign(difference_low=low, difference_high=high)) == f"{found} {said}"
    plain = RETRIEVED[RETRIEVED["space"] != "ridge"]
    weak = retrieval_sentence(plain.assign(p=0.05))
    assert "p = .0500: not above chance); grounded in shuffled images .030 (.010 to .050)." in weak
    assert weak.endswith("(.010 to .050).")


def test_regions_and_axes_of_grounded_words() -> None:
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
    assert region_sentences(regions) == [
        "Grounded words of the captions predict 1 of 2 regions above chance (false discovery rate .05). Against text "
        "vectors: better in 1, worse in 0, a tie in 1; words grounded in shuffled images: a tie in all 2; words alone: "
        "better in 0, worse in 1, a tie in 0 (paired intervals over resampled test images, not corrected for the "
        "number of regions; with many regions some differ by chance)."
    ]
    assert "predict 1 of 1 regions" in region_sentences(regions[regions["group"] == RELIABLE])[0]
    assert cells(grounding._regions_table(regions[regions["group"] != RELIABLE]))[1:] == [
        ["V1", ".310", ".210", ".110", ".410", ".100 (.050 to .150)", ".0200", ".710"],
        ["IT", ".320", ".220", ".120", ".420", ".110 (.000 to .200): tie", ".0100", ".720"],
    ]
    axes = frame("axis variance low_words high_words name", (1, 0.42, "cat, dog", "car", "size"),
                 (2, 0.2, "a", "b", ""),
                 (3, 0.1, "c", "d", ""))  # fmt: skip
    attributes = frame("axis attribute r null_high q", (1, "colour", 0.5, 0.31, 0.2), (1, "size", -0.6, 0.3, 0.01),
                       (2, "colour", 0.2, 0.32, 0.05))  # fmt: skip
    assert cells(grounding._axes_table(axes, attributes))[1:] == [
        ["1", "42%", "cat, dog", "car", "size", "-.600", ".300", ".010"],
        ["2", "20%", "a", "b", "colour (not significant)", ".200", ".320", ".050"],
        ["3", "10%", "c", "d", "–", "–", "–", "–"],
    ]
    said = grounding._axes_sentence(axes, attributes)
    start = "1 of 3 principal axes correlate with something known of the words (q < .05, 3 tests)."
    assert said.startswith(f"{start} The others are named by")
    assert grounding._axes_sentence(axes.head(1), attributes) == start.replace("of 3", "of 1")
    assert grounding._axes_sentence(axes, attributes.head(0)).startswith("Nothing is known of the words")


@pytest.mark.parametrize(
    ("gain", "low", "high", "said"),
    [(0.1, 0.05, 0.15, "better"), (-0.1, -0.15, -0.05, "worse"), (0.1, 0.0, 0.2, "a tie"), (-0.1, -0.2, 0.0, "a tie")],
)
def test_norms_of_grounded_words(gain: float, low: float, high: float, said: str) -> None:
    norms = frame(
        "norm space r2 n_words gain gain_low gain_high p",
        ("colour", "grounded", 0.51, 9, 0.2, 0.1, 0.3, 0.01), ("colour", "text", 0.31, 9, NAN, NAN, NAN, NAN),
        ("colour", "shuffled", 0.11, 9, NAN, NAN, NAN, NAN), ("all", "grounded", 0.52, 12, gain, low, high, 0.02),
        ("all", "text", 0.32, 9, NAN, NAN, NAN, NAN), ("all", "shuffled", 0.12, 9, NAN, NAN, NAN, NAN),
    )  # fmt: skip
    span = f"{gain:.3f} ({low:.3f} to {high:.3f})".replace("0.", ".")
    assert grounding._norms_sentence(norms, {}).startswith(
        "Feature norms of 12 words (folds by word), mean R²: grounded .520, text vectors .320, shuffled .120; "
        f"difference to text {span}: {said}. What grounding"
    )
    assert cells(grounding._norms_table(norms))[1:] == [
        ["colour", ".510", ".310", ".110", ".200 (.100 to .300)", ".0100"],
        ["mean over norms", ".520", ".320", ".120", span, ".0200"],
    ]


CAPTIONED = frame(
    "target_id region caption r permuted_r nearest_r encoder_r ceiling q colour",
    ("v0", "V1", "red", NAN, NAN, NAN, 0.1, 0.16, NAN, ""), ("v1", "IT", "", 0.1, 0.01, 0.02, 0.2, -0.1, 0.06, ""),
    ("v2", "IT", "a red dog", 0.3, 0.03, 0.04, 0.4, 0.25, 0.05, "red"),
    ("v3", "V1", "dog", 0.2, 0.0, 0.0, 0.3, 0.36, 0.01, "red"),
)  # fmt: skip
CONTROLS = ("permuted", "frequent", "bankmean", "nearest", "shuffled")
ABOUT = {"n_test": 30, "q_level": 0.05, "attributes": {"colour": ["red"]}, "captioner": "x", "temperature": 2.0}


def test_captions_beside_controls_in_words() -> None:
    scores = frame(
        "region of r low high gain_low gain_high",
        ("V1", "caption", 9.0, 9.0, 9.0, 9.0, 9.0), (RELIABLE, "caption", 0.2, 0.15, 0.25, NAN, NAN),
        (RELIABLE, "encoder", 0.31, 0.9, 0.9, NAN, NAN),
        *[(RELIABLE, name, 0.01 * k, 0.9, 0.9, 0.1 * k, 0.2 * k) for k, name in enumerate(CONTROLS, start=1)],
    )  # fmt: skip
    start = (
        "On 30 test images the cosine with its caption predicts a voxel's response with mean r .200 (.150 to .250; the "
        "encoder itself .310); 2 of 3 captions predict above chance (false discovery rate 0.05). "
    )
    names = list(voxel_captions.NAMES.values())
    assert caption_verdict(CAPTIONED, scores, ABOUT) == (
        f"{start}They predict better than every control: {', '.join(names)}."
    )
    near = scores.assign(gain_low=scores["gain_low"].where(scores["of"] != "nearest", 0.0))
    assert caption_verdict(CAPTIONED, near, ABOUT) == (
        f"{start}They predict better than {', '.join(names[:3])}, {names[4]}. They do not predict clearly better than "
        "the nearest image (.040; difference .000 to .800)."
    )
    none = caption_verdict(CAPTIONED, scores.assign(gain_low=-0.1), ABOUT)
    assert none.startswith(f"{start}They do not predict clearly better than captions of other voxels (.010; difference")
    warned = " Warning: without that, the words below describe the stimuli, not the voxels, and should not be used."
    assert none.endswith(warned)
    for name, warns in zip(CONTROLS, (True, False, False, False, True), strict=True):
        one = scores.assign(gain_low=scores["gain_low"].where(scores["of"] != name, -0.1))
        assert caption_verdict(CAPTIONED, one, ABOUT).endswith(warned) == warns
    unscored = CAPTIONED.assign(r=NAN)
    assert "nothing embeds the texts among the images" in caption_verdict(unscored, scores, ABOUT)
    assert "scored: no voxel has one." in caption_verdict(unscored.assign(caption=""), scores, ABOUT)
    assert voxel_captions._silences(CAPTIONED, ABOUT) == [
        "Share of 4 voxels about which an attribute is said at all: colour .50; of the others the caption says “any”, "
        "and 1 voxels have no caption."
    ]
    assert voxel_captions._silences(CAPTIONED, {"attributes": {}}) == []
    assert cells(voxel_captions._table(CAPTIONED))[1:] == [
        ["v2", "IT", "a red dog", ".300", ".030", ".040", ".400", ".500", ".050"],
        ["v3", "V1", "dog", ".200", ".000", ".000", ".300", ".600", ".010"],
        ["v1", "IT", "", ".100", ".010", ".020", ".200", ".000", ".060"],
        ["v0", "V1", "red", "–", "–", "–", ".100", ".400", "–"],
    ]
    assert len(cells(voxel_captions._table(pd.concat([CAPTIONED] * 4)))) == 16


def test_directions_in_words() -> None:
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
        ("big", "pca", False, "check", 0.1, -0.1, 0.3, False, 0.4, NAN, 0.5, "", NAN),
        ("big", "pca", False, "guide", 0.2, 0.1, 0.4, False, 0.41, NAN, 0.6, "", NAN),
        ("red", "other", False, "check", 9.0, 9.0, 9.0, True, 9.0, 9.0, 9.0, "", NAN),
    )
    first, red, big, warning, last = directions._sentences(found, gains)
    check(first, "from -2 to 1 standard deviations of what seeds differ by.")
    check(first, "other seeds than the 3 they are tried on")
    assert red == (
        "red: the checking encoder rises at every step along the region's direction, by .800 standard deviations in "
        "all (.500 to 1.100); random directions at least as long change it by .200 at most, those of shuffled "
        "responses by .150 (p = .0500). Besides, big changes by -.300."
    )
    assert big == (
        "big: the checking encoder does not rise at every step along the region's direction, by .100 standard "
        "deviations in all (-.100 to .300); random directions at least as long change it by .400 at most (p = .5000)."
    )
    assert warning.startswith("Warning: in big the guiding encoder rises and who judges it does not.")
    assert last.startswith("Nobody knows the true responses")
    for low in (0.1, 0.0):
        sure = gains.assign(low=gains["low"].where(gains["region"] != "big", low))
        assert not any(text.startswith("Warning") for text in directions._sentences(found, sure))
    assert cells(directions._table(gains))[1:5] == [
        ["red", "pca", "checking encoder", ".800", ".500 to 1.100", "rises", ".200", ".150", ".0500", "big -.300"],
        ["red", "pca", "guiding encoder", ".900", ".600 to 1.200", "rises", ".210", ".160", ".0100", "–"],
        ["red", "pca, others taken out", "checking encoder", ".700", ".400 to 1.000", "rises", ".220", ".170", ".0200",
         "big .100"],
        ["big", "pca", "checking encoder", ".100", "-.100 to .300", "no", ".400", "–", ".5000", "–"],
    ]  # fmt: skip
    assert directions._sentences(found, gains.head(0)) == [first]


def test_recordings_of_one_person(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = pd.DataFrame({"category": ["face", "car", "car"], "run": ["1", "2", "1"]})
    details: dict[str, Any] = {"n_rejected": [2, 3], "warnings": ["loud"]}
    material: Any = SimpleNamespace(
        responses=SimpleNamespace(trials=trials, targets=["C3", "C4", "Cz", "Pz"]), details=lambda _: details
    )
    section = decoding_over_time._data(material)
    assert section.paragraphs[::2] == [
        "3 trials (2 car, 1 face) of 2 recordings of one person, 4 sensors; 5 trials were left out (too large, or cut "
        "by an end of a recording).",
        "Note: loud",
    ]
    assert decoding_over_time._data(SimpleNamespace(responses=None)) is None
    facts = {"categories": ["face", "car"], "measure": "AUC"}
    said = (
        "face, car {} be told apart after the marker: AUC .712 [.650 to .780], chance .500, p = {}, recordings left "
        "out. Before it, where nothing can be told: .512 (p = .300). Before it, where nothing can be told: .560 "
        "(p = .010)."
    )
    for p, opening, words in ((0.004, "Yes.", "can"), (0.05, "Not shown.", "are not shown to")):
        kept, course = SimpleNamespace(id="square"), SimpleNamespace(id="decoded")
        shown: Any = SimpleNamespace(panels=[kept, course])
        table = WINDOWS.assign(p=[p, *WINDOWS["p"][1:]])
        answer = decoding_over_time._answer(table, facts, shown)
        assert (answer.opening, answer.holds) == (opening, p < 0.05)
        assert answer.words == said.format(words, f"{p:.3f}"[1:])
        assert (answer.panel, shown.panels) == (course, [kept])
        assert answer.numbers == decoding_over_time._cards(table)[:3]
    cards = decoding_over_time._cards(WINDOWS)
    control = "chance .500, permuted .501, p = .0040"
    assert cards[0] == {"name": "late", "value": ".712", "control": control, "split": SCHEMES[0]}
    assert [card["name"] for card in cards] == ["late", "early, control"] * 2
    first, logistic = decoding_over_time._headline(WINDOWS)[:2]
    shared = {"split": SCHEMES[0], "layer": "late", "n": 400, "chance": 0.5, "quantity": "score, sensors all"}
    shared |= {"model": "sensors"}
    interval = {"low": 0.65, "high": 0.78, "null_mean": 0.501, "p": 0.004}
    assert first == shared | {"method": "discriminant", "value": 0.712} | interval
    nothing = dict.fromkeys(("low", "high", "null_mean", "p"), approx(NAN, nan_ok=True))
    assert logistic == shared | {"method": "logistic", "value": 0.69} | nothing
    monkeypatch.setattr(decoding_over_time.kit, "recordings_text", lambda _: "recorded")
    material.decoded, material.config = None, SimpleNamespace(decode_times=DecodeTimesSettings())
    assert decoding_over_time._methods(material) == [("recorded", ())]
    material.decoded = decoded(facts, ["Cz"])
    assert decoding_over_time._methods(material)[1:] == [
        (
            "Sensors were whitened by the noise covariance of the training trials of each fold, and standardised. At "
            "every moment a linear discriminant with the shrinkage of Ledoit and Wolf was trained and tested; windows "
            "are decoded from all their samples at once, by it and by logistic regression.",
            ("ledoitwolf", "sklearn"),
        ),
        (
            "Whole recordings were left out in turn. Within recordings, 5 contiguous folds, and no training trial "
            "whose epoch overlaps that of a test trial. Permutations exchange labels within recordings and train anew "
            "(1000 times; 200 for generalisation over time); clusters are compared with the largest of each "
            "permutation; their borders carry no guarantee.",
            ("maxstat",),
        ),
        (
            "Latencies are of the first hump after the stimulus (from the first three moments in a row above the "
            "permuted null): the largest score, the centre above half the height, and the rise to that height. Beside "
            "them stands the highest hump, called undecided where it does not beat the next one by two standard "
            "errors. Intervals resample test trials within recordings (500 draws), in the same window.",
            ("bootstrap",),
        ),
    ]
    options = DecodeTimesSettings(noise="none", latency_window_s=(0.1, 0.3))
    material.config = SimpleNamespace(decode_times=options)
    material.decoded.tables["timewindows"] = WINDOWS[WINDOWS["scheme"] == SCHEMES[1]].assign(logistic=NAN)
    (sensors, keys), (splits, _), (latencies, _) = decoding_over_time._methods(material)[1:]
    assert sensors.startswith("Sensors were standardised. At every moment")
    assert (sensors.endswith("samples at once."), keys) == (True, ("ledoitwolf",))
    assert splits.startswith("Within recordings, 5 contiguous folds")
    assert latencies.startswith("Latencies are of the window asked for (100 to 300 ms): the largest score")
