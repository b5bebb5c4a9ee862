import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from brainalign.encoding import BandedRidge, Ridge
from brainalign.regression import InnerFold, blocks_of, in_threads, inner_folds, side_by_side, threads_for

CPU = torch.device("cpu")
SMALL_FOLDS = [(100, 5, 3, [1] * 5), (1500, 5, 3, [1] * 5), (100, 2, 2, [1, 1])]
LARGE_FOLDS = [(1500, 2, 1, [3, 3]), (1500, 4, 3, [1, 1, 1, 3])]


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_items_keep_their_order_and_have_one_thread_each(three_threads: None) -> None:
    together = threading.Barrier(3, timeout=20)  # passes only if three run at once

    def look(item: int) -> tuple[int, int, str]:
        together.wait()
        return item, torch.get_num_threads(), threading.current_thread().name

    found = in_threads(look, range(6), CPU)
    assert ([item for item, _, _ in found], {threads for _, threads, _ in found}) == (list(range(6)), {1})
    assert (len({name for _, _, name in found}), torch.get_num_threads()) == (3, 3)
    alone = in_threads(lambda item: threading.current_thread().name, range(2), torch.device("cuda"))
    assert set(alone) == {threading.current_thread().name}  # a GPU has its own queue


def test_an_error_comes_through_and_threads_are_as_before(three_threads: None) -> None:
    with pytest.raises(KeyError, match=r"^1$"):
        in_threads({0: "first", 2: "last"}.__getitem__, range(3), CPU)
    assert torch.get_num_threads() == 3


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize("n_threads", [3, 1])
@pytest.mark.parametrize(("shape", "large"), [
    ((2000, 1024), 0), ((800, 8192), 0), ((5000, 2048), 1), ((100_000, 512), 1), ((512, 100_000), 1),
])  # fmt: skip
def test_a_large_decomposition_has_all_threads(three_threads: None, shape, large: bool, n_threads: int) -> None:
    """A small one has one; where torch has one thread so has BLAS."""
    torch.set_num_threads(n_threads)
    alone = not large or n_threads == 1
    with threadpool_limits(2, user_api="blas"):
        with threads_for(*shape):
            assert (torch.get_num_threads(), blas_threads()) == ((1 if alone else 3), {1 if alone else 2})
        with pytest.raises(ValueError, match="inside"), threads_for(*shape):
            raise ValueError("inside")
        assert (torch.get_num_threads(), blas_threads()) == (n_threads, {2})
        assert (in_threads(lambda _: blas_threads(), range(2), CPU), blas_threads()) == ([{1}, {1}], {2})


@pytest.mark.parametrize("shape", [(60, 20), (40, 90)], ids=["primal", "dual"])
def test_a_fit_is_the_same_as_on_one_thread(three_threads: None, shape: tuple[int, int], monkeypatch, rng) -> None:
    monkeypatch.setattr("brainalign.regression.rotation.piece_rows", lambda _: 7)  # features in pieces of several sizes
    monkeypatch.setattr("brainalign.regression.design.piece_rows", lambda _: 7)
    X = rng.normal(size=shape)
    Y = X[:, :5] @ rng.normal(size=(5, 800)) + 3 * rng.normal(size=(len(X), 800))
    assert len(blocks_of(800, len(X), 20, 20, 3, CPU)) == 3  # a block for each
    for per_target in (True, False):
        side = Ridge((0.1, 10, 1000), per_target_alpha=per_target, device="cpu").fit(X, Y)
        torch.set_num_threads(1)
        alone = Ridge((0.1, 10, 1000), per_target_alpha=per_target, device="cpu").fit(X, Y)
        torch.set_num_threads(3)
        np.testing.assert_array_equal(side.alpha_, alone.alpha_)
        np.testing.assert_allclose(side.coef_, alone.coef_, atol=1e-5)
        np.testing.assert_allclose(side.cv_scores_, alone.cv_scores_, atol=1e-5)
    bands = [X[:, :10], X[:, 10:]]
    side = BandedRidge((0.1, 10), n_candidates=4, device="cpu").fit(bands, Y)
    torch.set_num_threads(1)
    alone = BandedRidge((0.1, 10), n_candidates=4, device="cpu").fit(bands, Y)
    np.testing.assert_array_equal(side.deltas_, alone.deltas_)
    np.testing.assert_allclose(side.cv_scores_, alone.cv_scores_, atol=1e-5)


@pytest.mark.parametrize("n_targets", [800, 2500, 2600, 5000])
def test_every_thread_has_as_many_targets(three_threads: None, n_targets: int) -> None:
    blocks = blocks_of(n_targets, 5000, 2048, 2048, 20, CPU)
    sizes = [block.stop - block.start for block in blocks]
    assert ([block.start for block in blocks], sum(sizes)) == ([0, *np.cumsum(sizes)[:-1]], n_targets)
    assert len(sizes) % 3 == 0
    assert max(sizes) - min(sizes) < len(sizes)


@pytest.mark.parametrize(("size", "n_folds", "at_once", "threads"), [*SMALL_FOLDS, *LARGE_FOLDS])
def test_folds_have_a_thread_each_unless_threads_are_more(
    three_threads: None, size: int, n_folds: int, at_once: int, threads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def look(rows: torch.Tensor, scale: torch.Tensor, test: slice, *_: object, **options: object) -> InnerFold:
        seen.append(torch.get_num_threads())
        return InnerFold(test, "primal", rows, rows, None, single=bool(options["single"]) and test.start != 0)  # type: ignore[arg-type]

    monkeypatch.setattr("brainalign.regression.folds.inner_fold", look)
    rows, tests = torch.zeros(2 * size, size), [slice(i, i + 1) for i in range(n_folds)]
    folds = inner_folds(rows, torch.ones(size), tests, torch.ones(1), grams=None, single=True)
    assert ([fold.test for fold in folds], sorted(seen)) == (tests, sorted(threads))
    # The first fails without float64; those that come after what ran beside it do not try.
    assert [fold.single for fold in folds] == [0 < number < at_once for number in range(n_folds)]


def test_large_matrices_go_one_by_one_where_memory_is_short(three_threads: None) -> None:
    large, small, gpu = (5000, 2048), (200, 100), torch.device("cuda")
    assert side_by_side(5, large, 1, CPU) == side_by_side(5, small, 1, CPU) == 3
    assert side_by_side(5, large, 2**60, CPU) == 1  # not two, which would leave the third thread idle
    assert (side_by_side(5, small, 2**60, CPU), side_by_side(2, large, 1, CPU)) == (3, 1)  # each then has three threads
    assert side_by_side(2, small, 1, CPU) == 2
    assert side_by_side(5, large, 1, gpu) == side_by_side(0, small, 1, CPU) == 1


@pytest.mark.parametrize("exact", [False, True])
def test_what_is_decomposed_counts_not_what_is_given(three_threads: None, exact: bool, monkeypatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("brainalign.regression.folds.side_by_side", lambda _, shape, *__: asked.append(shape) or 1)
    rows = torch.linalg.qr(torch.randn(30, 8, dtype=torch.float64))[0]
    folds = [slice(0, 5), slice(5, 30)]
    for solver in ("auto", "dual"):
        inner_folds(rows, torch.ones(8), folds, torch.ones(1), grams=None, solver=solver, exact=exact)
    assert asked == ([(25, 8)] * 2 if exact else [(8, 8), (25, 25)])
