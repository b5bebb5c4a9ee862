from pathlib import Path

import numpy as np
import pytest
from refusals import refused
from sklearn.linear_model import Lasso
from sklearn.model_selection import GroupKFold, cross_val_score

from brainalign.encoding import ENCODERS, EstimatorEncoder, evaluate_held_out
from brainalign.statistics import pearson, without_rounding

RNG = np.random.default_rng(3)
X = RNG.normal(size=(90, 20))
Y = X[:, :3] @ RNG.normal(size=(3, 4)) + 0.3 * RNG.normal(size=(90, 4))


def test_it_is_the_regressor_that_was_named_for_each_target() -> None:
    groups = np.repeat(np.arange(15), 6)
    found = ENCODERS["estimator"]("sklearn.linear_model:Lasso", {"alpha": 0.05}, cv=5).fit(X, Y, groups=groups)
    lasso = Lasso(alpha=0.05)
    np.testing.assert_allclose(found.predict(X), lasso.fit(X, Y).predict(X))
    for target in range(4):
        inside = cross_val_score(lasso, X, Y[:, target], groups=groups, cv=GroupKFold(5), scoring="r2")
        np.testing.assert_allclose(found.cv_scores_[0, target], inside.mean())
    still = np.where(groups[:, None] % 5 == 0, 0, Y)  # constant in a fold, which has no R² of it
    assert np.isfinite(EstimatorEncoder("sklearn.linear_model:Lasso").fit(X, still, groups=groups % 5).cv_scores_).all()
    found = EstimatorEncoder("sklearn.svm:SVR", {"C": 10.0}).fit(X, Y)
    assert (found.predict(X).shape, len(found.estimator_.estimators_)) == (Y.shape, 4)
    assert EstimatorEncoder("sklearn.svm:SVR").fit(X, Y[:, :1]).predict(X[:7]).shape == (7, 1)


def test_a_function_of_a_file_makes_it_and_it_is_scored_like_any_encoder(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np\n\n\nclass Mean:\n    def __init__(self, shift=0):\n        self.shift = shift\n\n"
        "    def fit(self, X, Y):\n        self.mean = Y.mean(axis=0)\n\n"
        "    def predict(self, X):\n        return np.tile(self.mean + self.shift, (len(X), 1))\n"
    )
    found = EstimatorEncoder(f"{path}:Mean", {"shift": 2}).fit(X, Y)
    np.testing.assert_allclose(found.predict(X[:2]), np.tile(Y.mean(axis=0) + 2, (2, 1)))
    ids, split = np.array([f"s{k}" for k in range(90)]), (np.arange(70), np.arange(70, 90))
    options = {"n_permutations": 99, "n_boot": 0, "control": "refit"}
    lasso = EstimatorEncoder("sklearn.linear_model:Lasso", {"alpha": 0.05})
    found = evaluate_held_out(lasso, X, Y, *split, stimulus_ids=ids, **options)
    np.testing.assert_allclose(found.r, pearson(Lasso(alpha=0.05).fit(X[:70], Y[:70]).predict(X[70:]), Y[70:]))
    assert found.r.min() > 0.8
    assert (found.p < 0.05).all()
    null = evaluate_held_out(lasso, X, RNG.permutation(Y), *split, stimulus_ids=ids, **options)
    assert np.nanmean(np.abs(np.nan_to_num(null.r))) < 0.35


@pytest.mark.parametrize(("estimator", "options", "message"), [
    ("sklearn.linear_model:Laso", {}, "no function 'Laso'.*Lasso"),
    ("sklearn.linear_model:Lasso", {"alfa": 1}, "alfa"),
    ("collections:Counter", {}, "Counter without fit and predict"),
    ("nowhere_at_all:Lasso", {}, "cannot import 'nowhere_at_all'"),
])  # fmt: skip
def test_what_is_no_regressor_is_refused(estimator: str, options: dict[str, object], message: str) -> None:
    refused(message, EstimatorEncoder(estimator, options).fit, X, Y)


def test_folds_need_groups() -> None:
    lasso = EstimatorEncoder("sklearn.linear_model:Lasso")
    lasso.fit(X, Y, groups=np.repeat([0, 1, 2], 30))  # three folds then, as of ridge
    assert np.isfinite(lasso.fit(X[:5], Y[:5]).cv_scores_).all()  # of two rows or more, as of ridge
    refused(r"Y has shape \(90,\); give", lasso.fit, X, Y[:, 0])
    refused("needs 2 groups or more", lasso.fit, X, Y, groups=np.zeros(90))


@pytest.mark.parametrize("mean", [0.0, 1e-9, 0.4])
def test_rounding_is_no_prediction(mean: float) -> None:
    """Sums of float32 in another order differ by 1e-8; r would be computed of that."""
    measured, flat = RNG.normal(size=(40, 5)), (mean + 1e-8 * RNG.normal(size=(40, 5))).astype(np.float64)
    assert np.isnan(pearson(without_rounding(flat, measured), measured)).all()
    small = 1e-4 * measured  # strongly shrunken, and right
    np.testing.assert_allclose(pearson(without_rounding(small, measured), measured), 1)
    assert np.isnan(pearson(without_rounding(flat.T, measured.T, axis=1), measured.T, axis=1)).all()
