import numpy as np
import pytest
import rsatoolbox
from refusals import refused

from brainalign.geometry import LabelledPatterns, LabelledRdms, from_rsatoolbox, rdm, to_rsatoolbox

CONDITIONS = np.array([f"c{k}" for k in [3, 0, 4, 1, 2]])
PAIRS = np.triu_indices(5, 1)


@pytest.fixture
def patterns() -> LabelledPatterns:
    rng = np.random.default_rng(0)
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
    theirs = rsatoolbox.rdm.calc_rdm(to_rsatoolbox(patterns), method, "condition", precision, **options)
    mine = rdm(patterns.patterns, method, patterns.conditions, patterns.runs, precision)
    read = from_rsatoolbox(theirs)
    assert read.method == method
    place = [list(read.conditions).index(name) for name in CONDITIONS]
    square = np.zeros((5, 5))
    square[PAIRS] = read.rdms[0]
    np.testing.assert_allclose((square + square.T)[np.ix_(place, place)][PAIRS], mine, atol=1e-10)


def test_other_names_of_descriptors() -> None:
    values, names = np.arange(6.0)[None], list("abcd")
    bare = from_rsatoolbox(rsatoolbox.rdm.RDMs(values))
    assert (bare.conditions.tolist(), bare.subjects) == ([0, 1, 2, 3], None)
    given = rsatoolbox.rdm.RDMs(values, "Euclidean", {"who": "s1"}, pattern_descriptors={"stim": names})
    read = from_rsatoolbox(given, subject="who")
    assert (read.conditions.tolist(), read.subjects.tolist(), read.method) == (names, ["s1"], "Euclidean")
    several = rsatoolbox.rdm.RDMs(values, pattern_descriptors={"stim": names, "kind": names})
    refused("Give condition=, one of stim, kind", from_rsatoolbox, several)
    assert from_rsatoolbox(several, condition="kind").of_conditions.keys() == {"stim"}
    refused("no descriptor 'image', only index, kind, stim", from_rsatoolbox, several, condition="image")
    other = rsatoolbox.data.TemporalDataset(np.zeros((2, 3, 4)))
    refused("RDMs and Dataset; got TemporalDataset", from_rsatoolbox, other)


def test_labels_that_do_not_fit_are_refused(patterns: LabelledPatterns, rdms: LabelledRdms) -> None:
    values, some = rdms.rdms, np.array(["a", "b"])
    for wrong, message in (
        (LabelledRdms(values, CONDITIONS[:4]), "'condition' has 4 rows but the conditions of the RDMs has 5"),
        (LabelledRdms(values, CONDITIONS, subjects=some), "'subject' has 2 rows but rdms has 3"),
        (LabelledRdms(values[:, 1:], CONDITIONS), "9 is not a number of pairs"),
        (LabelledPatterns(patterns.patterns, patterns.conditions, some), "'run' has 2 rows but patterns has 20"),
    ):
        refused(message, to_rsatoolbox, wrong)
