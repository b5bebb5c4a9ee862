"""A square matrix is one RDM, at every public function that takes RDMs, and RDMs go to rsatoolbox and back."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rsatoolbox
from refusals import refused
from safetensors.numpy import save_file
from scipy.sparse import csr_array
from scipy.spatial.distance import squareform

import brainalign.geometry as g
from brainalign.checks import BrainalignError
from brainalign.condensed import condensed_rdms
from brainalign.datasets import read_rdm_study
from brainalign.geometry import FlexibleModel, LabelledPatterns, LabelledRdms, from_rsatoolbox, rdm, to_rsatoolbox
from brainalign.study import Study, parse

N = 10  # as many as 5 stimuli have pairs: a square RDM of these looks like 10 RDMs of those
RNG = np.random.default_rng
SUBJECTS, MODELS = (g.rdm(RNG(k).normal(size=(3, N, 6)), "euclidean") for k in (0, 1))
SINGLE = ["compare", "rdm_noise_ceiling", "rdm_permutation_test", "rdm_partial_test", "rdm_permutation_places"]
SINGLE += ["dual_bootstrap", "flexible_bootstrap", "rdm_time_generalization", "geotopological", "square_rdms"]
STACKS = {"identify_regions": g.identify_regions, "session_average": g.session_average}


FACES: dict[str, Callable[[Any, Any], Any]] = {
    "compare": lambda a, b: g.compare(a, b, "spearman"), "pooled_rdm": lambda a, b: g.pooled_rdm(a, "pearson"),
    "square_rdms": lambda a, b: g.square_rdms(a), "session_average": lambda a, b: g.session_average(a[None]),
    "subject_rdms": lambda a, b: g.subject_rdms(a[None], "pearson"),
    "rdm_noise_ceiling": lambda a, b: g.rdm_noise_ceiling(a, "pearson"),
    "rdm_permutation_test": lambda a, b: g.rdm_permutation_test(a, b[0], "spearman", 9, RNG(3)).null,
    "rdm_partial_test": lambda a, b: g.rdm_partial_test(a, b[0], b[1:], "pearson", 9, RNG(3)).null,
    "rdm_permutation_places": lambda a, b: g.rdm_permutation_places(a, b, "pearson", 9, RNG(3)).p_fwer,
    "rdm_time_generalization": lambda a, b: g.rdm_time_generalization(a, b),
    "dual_bootstrap": lambda a, b: g.dual_bootstrap(a, b, "pearson", 9, RNG(3)).draws["stimuli"],
    "bootstrap_places": lambda a, b: g.bootstrap_places(a, b, "pearson", 9, RNG(3)),
    "fit_weights": lambda a, b: g.fit_weights(a, FlexibleModel(b), "pearson"),
    "flexible_score": lambda a, b: g.flexible_score(a, FlexibleModel(b), "pearson", RNG(3), 2),
    "flexible_bootstrap": lambda a, b: g.flexible_bootstrap(a, [FlexibleModel(b), b[0]], "pearson", 5, RNG(3)).scores,
    "flexible_permutation_test": lambda a, b: (
        g.flexible_permutation_test(a, FlexibleModel(b), "pearson", 3, RNG(3), 2).null
    ),
    "combination": lambda a, b: g.combination({("net", str(k)): x for k, x in enumerate(b)}, "net", "all").rdms,
    "score_references": lambda a, b: g.score_references(
        {"it": a[:, None]}, {("net", str(k)): x for k, x in enumerate(b)}, "pearson", 9
    ).scores["se"],
    "score_combinations": lambda a, b: g.score_combinations(
        {"it": a[:, None]}, {("net", "all"): FlexibleModel(b)}, "pearson", 5, 3
    )["score"],
    "geotopological": lambda a, b: g.geotopological(a), "geodesic": lambda a, b: g.geodesic(a, neighbors=3).rdms,
    "identify_regions": lambda a, b: g.identify_regions(np.stack([a, b], axis=1)).accuracy,
    "layer_agreement": lambda a, b: g.layer_agreement(a[:, None], b, {"raw": None})["raw"].fit,
    "compare_checkpoints": lambda a, b: g.compare_checkpoints(
        {"encoder": RNG(4).normal(size=(2, N, 5))}, {"it": a[0], "v1": b[0]}, [0, 1]
    )["score"],
    "region_table": lambda a, b: g.region_table({"it": a}, RNG(5).random((N, 4)), 9, 0)["score"],
    "to_rsatoolbox": lambda a, b: g.to_rsatoolbox(g.LabelledRdms(a, np.arange(N))).dissimilarities,
}  # fmt: skip
# Parameters of other functions by these names are no RDMs, or they are made of patterns.
TAKES = {"rdms", "rdms_a", "rdm_values", "movie", "references", "regions", "sets", "layers"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("face", FACES)
def test_square_rdms_are_what_their_rows_of_pairs_are(face: str) -> None:
    square = [np.stack([squareform(one) for one in stack]) for stack in (SUBJECTS, MODELS)]
    np.testing.assert_array_equal(FACES[face](*square), FACES[face](SUBJECTS, MODELS))


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except BrainalignError:
        return "refused"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("face", [*SINGLE, *STACKS])
def test_a_square_matrix_is_no_stack(face: str) -> None:
    """One matrix gives what one row of pairs gives, or is refused as that is."""
    call = STACKS[face] if face in STACKS else lambda one: FACES[face](one, MODELS)
    one, square = outcome(lambda: call(SUBJECTS[0])), outcome(lambda: call(squareform(SUBJECTS[0])))
    np.testing.assert_array_equal(square, one)


def test_every_function_that_takes_rdms_is_tried_and_a_searchlight() -> None:
    around = g.Neighbourhoods(np.arange(2), csr_array(np.repeat(np.eye(2), 3, axis=1)))
    search = g.Searchlight(RNG(6).normal(size=(N, 6)), around, "correlation")
    rows, square = (g.searchlight_map(search, x, n_permutations=9).scores for x in (MODELS[0], squareform(MODELS[0])))
    np.testing.assert_array_equal(square, rows)
    public = {n: one for n, one in vars(g).items() if inspect.isfunction(one) and not n.startswith("_")}
    takers = {name for name, one in public.items() if TAKES & set(inspect.signature(one).parameters)}
    assert takers - set(FACES) == {"align_networks", "compare_networks", "feature_rdms", "network_tables"}


def test_a_study_on_disk_may_hold_square_rdms(tmp_path: Path) -> None:
    pd.DataFrame({"stimulus_id": [f"s{k}" for k in range(N)]}).to_csv(tmp_path / "stimuli.tsv", sep="\t", index=False)
    save_file({"it": np.stack([squareform(one) for one in SUBJECTS])[:, None]}, tmp_path / "sets.safetensors")
    save_file({"net": squareform(MODELS[0])}, tmp_path / "models.safetensors")
    content = {"name": "mine", "folder": tmp_path, "stimuli": "stimuli.tsv", "model_rdms": "models.safetensors"}
    content["recordings"] = {"it": {"format": "rdms", "file": "sets.safetensors"}}
    study = read_rdm_study(parse(Study, content, "test"))
    np.testing.assert_array_equal(study.sets["it"][:, 0], SUBJECTS)
    np.testing.assert_array_equal(study.models["net"], MODELS[0])


def test_what_is_square() -> None:
    square = squareform(SUBJECTS[0])
    for almost in (
        square + 1e-9 * square.max() * RNG(7).normal(size=square.shape), square.astype(np.float32),
        np.where(np.eye(N) > 0, np.nan, square), square.tolist(),
    ):  # fmt: skip
        np.testing.assert_allclose(condensed_rdms("rdms", almost), SUBJECTS[0], rtol=1e-4, atol=1e-6)
    missing = SUBJECTS[0].copy()
    missing[4] = np.nan
    np.testing.assert_array_equal(condensed_rdms("rdms", squareform(missing, checks=False)), missing)
    # Ten RDMs of five stimuli, also where all of them are constant.
    for stack in (RNG(8).random((N, N)), np.ones((N, N)), np.zeros((N, N))):
        np.testing.assert_array_equal(condensed_rdms("rdms", stack, "n_rdms"), stack)
    for wrong in (
        1 - square / square.max(),  # similarities
        np.triu(square), np.tril(square), np.stack([square, RNG(9).random((N, N))]),
        RNG(10).random((92, 92)),  # of no stimuli
    ):  # fmt: skip
        with pytest.raises(BrainalignError):
            g.compare(wrong, wrong, "pearson") if wrong.ndim == 2 else condensed_rdms("rdms", wrong, any_axes=True)


CONDITIONS = np.array([f"c{k}" for k in [3, 0, 4, 1, 2]])
PAIRS = np.triu_indices(5, 1)


@pytest.fixture
def patterns(rng: np.random.Generator) -> LabelledPatterns:
    orders = [np.arange(5)] + [rng.permutation(5) for _ in range(3)]
    values, runs = np.abs(rng.normal(size=(20, 9))), np.repeat(["r2", "r1", "r4", "r3"], 5)
    more = {"onset_s": np.arange(20.0)}, {"roi": np.array(["V1"] * 4 + ["V2"] * 5)}, {"task": "fixation"}
    return LabelledPatterns(values, CONDITIONS[np.concatenate(orders)], runs, "07", *more)


@pytest.fixture
def rdms() -> LabelledRdms:
    values = np.random.default_rng(1).uniform(size=(3, 10))
    values[1, 4] = np.nan
    subjects, runs = np.array(["07", "08", "08"]), np.array(["r1", "r1", "r2"])
    more = {"time_s": np.array([0.1, 0.2, 0.2])}, {"animate": np.array([True, False, True, False, True])}
    return LabelledRdms(values, CONDITIONS, "crossnobis", subjects, runs, *more, {"task": "fixation"})


def assert_same(a: object, b: object) -> None:
    assert type(a) is type(b)
    for name, value in vars(a).items():
        np.testing.assert_equal(getattr(b, name), value, err_msg=name)


@pytest.mark.parametrize("what", ["patterns", "rdms"])
def test_there_and_back(what: str, request: pytest.FixtureRequest, tmp_path: object) -> None:
    mine = request.getfixturevalue(what)
    theirs = to_rsatoolbox(mine)
    assert_same(from_rsatoolbox(theirs), mine)
    theirs.save(tmp_path / "file.h5", file_type="hdf5")  # and through a file of theirs
    load = rsatoolbox.data.load_dataset if what == "patterns" else rsatoolbox.rdm.load_rdm
    assert_same(from_rsatoolbox(load(str(tmp_path / "file.h5"), file_type="hdf5")), mine)
    back = from_rsatoolbox(theirs)
    (theirs.measurements if what == "patterns" else theirs.dissimilarities)[:] = -7  # all three hold copies
    assert not (getattr(mine, what) == -7).any()
    assert not (getattr(back, what) == -7).any()


@pytest.mark.parametrize("method", ["correlation", "euclidean", "mahalanobis", "poisson", "crossnobis"])
def test_rsatoolbox_computes_the_same_from_the_patterns(method: str, patterns: LabelledPatterns) -> None:
    precision = np.diag(np.linspace(0.5, 2, 9)) if method in ("mahalanobis", "crossnobis") else None
    options = {"cv_descriptor": "run"} if method == "crossnobis" else {}
    mine = rdm(patterns.patterns, method, patterns.conditions, patterns.runs, precision)
    read = from_rsatoolbox(rsatoolbox.rdm.calc_rdm(to_rsatoolbox(patterns), method, "condition", precision, **options))
    assert read.method == method
    place, square = [list(read.conditions).index(name) for name in CONDITIONS], np.zeros((5, 5))
    square[PAIRS] = read.rdms[0]
    np.testing.assert_allclose((square + square.T)[np.ix_(place, place)][PAIRS], mine, atol=1e-10)


def test_other_names_of_descriptors_and_labels_that_do_not_fit(patterns: LabelledPatterns, rdms: LabelledRdms) -> None:
    values, names = np.arange(6.0)[None], list("abcd")
    bare = from_rsatoolbox(rsatoolbox.rdm.RDMs(values))
    assert (bare.conditions.tolist(), bare.subjects) == ([0, 1, 2, 3], None)
    given = rsatoolbox.rdm.RDMs(values, "Euclidean", {"who": "s1"}, pattern_descriptors={"stim": names})
    read = from_rsatoolbox(given, subject="who")
    assert (read.conditions.tolist(), read.subjects.tolist(), read.method) == (names, ["s1"], "Euclidean")
    several = rsatoolbox.rdm.RDMs(values, pattern_descriptors={"stim": names, "kind": names})
    refused("Give condition=, one of stim, kind", from_rsatoolbox, several)
    assert from_rsatoolbox(several, condition="kind").of_conditions.keys() == {"stim"}
    refused("no descriptor 'image'; it has stim, kind, index", from_rsatoolbox, several, condition="image")
    other = rsatoolbox.data.TemporalDataset(np.zeros((2, 3, 4)))
    refused("RDMs and Dataset; got TemporalDataset", from_rsatoolbox, other)
    values, some = rdms.rdms, np.array(["a", "b"])
    for wrong, message in (
        (LabelledRdms(values, CONDITIONS[:4]), "'condition' has 4 rows but the conditions of the RDMs has 5"),
        (LabelledRdms(values, CONDITIONS, subjects=some), "'subject' has 2 rows but rdms has 3"),
        (LabelledRdms(values[:, 1:], CONDITIONS), "9 is not a number of pairs"),
        (LabelledPatterns(patterns.patterns, patterns.conditions, some), "'run' has 2 rows but patterns has 20"),
    ):
        refused(message, to_rsatoolbox, wrong)
