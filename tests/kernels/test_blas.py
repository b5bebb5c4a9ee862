"""Both libraries for products and decompositions, against numpy in float64 and the definition of eigenvectors."""

import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from brainalign.kernels import blas, eigh, lower_gram, product

RNG = np.random.default_rng(0)


@pytest.fixture(params=[True, False], ids=["openblas", "torch"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_by_openblas", lambda: request.param)
    monkeypatch.setattr(blas, "LARGE", 1)


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 0, 2), (0, 4, 2), (31, 65, 17)])
def test_products_are_those_of_numpy_however_the_operands_lie(size: tuple[int, int, int]) -> None:
    n, k, m = size
    left, right = RNG.normal(size=(n, k)), RNG.normal(size=(k, m))
    for dtype, rtol in ((torch.float64, 1e-12), (torch.float32, 1e-4)):
        for a in (torch.tensor(left, dtype=dtype), torch.tensor(left.T.copy(), dtype=dtype).T):
            for b in (torch.tensor(right, dtype=dtype), torch.tensor(right.T.copy(), dtype=dtype).T):
                found = product(a, b)
                assert found.dtype == dtype
                np.testing.assert_allclose(found.numpy(), left @ right, rtol=rtol, atol=1e-4 * rtol**0.5)


def test_a_product_goes_where_it_is_wanted_and_nowhere_else() -> None:
    left, right = torch.as_tensor(RNG.normal(size=(5, 7))), torch.as_tensor(RNG.normal(size=(7, 3)))
    whole = torch.full((8, 6), -1.0, dtype=torch.float64)
    given = whole[2:7, 1:4]  # rows of a wider array
    assert product(left, right, out=given) is given
    np.testing.assert_allclose(whole[2:7, 1:4].numpy(), left.numpy() @ right.numpy(), rtol=1e-12)
    assert (whole == -1).sum() == 8 * 6 - 15


@pytest.mark.parametrize("n", [0, 1, 2, 33])
@pytest.mark.parametrize("by_rows", [True, False])
def test_eigenvectors_need_the_lower_triangle_only(n: int, by_rows: bool) -> None:
    rows = RNG.normal(size=(n + 3, n))
    whole = rows.T @ rows
    lower = np.tril(whole) + np.triu(np.full((n, n), 7.0), 1)
    values, vectors = eigh(torch.as_tensor(lower if by_rows else lower.T.copy().T))
    assert (values.diff() >= 0).all()
    np.testing.assert_allclose(values.numpy(), np.linalg.eigvalsh(whole), rtol=1e-10)
    np.testing.assert_allclose(whole @ vectors.numpy(), (vectors * values).numpy(), atol=1e-10 * float(values.sum()))
    np.testing.assert_allclose((vectors.T @ vectors).numpy(), np.eye(n), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_cannot_be_decomposed_is_an_error(dtype: torch.dtype) -> None:
    with pytest.raises((np.linalg.LinAlgError, torch.linalg.LinAlgError)):
        eigh(torch.full((5, 5), torch.nan, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(0, 3), (3, 0), (1, 1), (31, 17), (17, 31)])
def test_products_of_columns_are_those_of_numpy_below_the_diagonal(size: tuple[int, int], dtype: torch.dtype) -> None:
    n, p = size
    wide = torch.tensor(RNG.normal(size=(n, 2 * p)), dtype=dtype)
    total = torch.tensor(RNG.normal(size=(p, p)), dtype=dtype)
    for rows in (wide[:, :p].contiguous(), wide[:, :p].T.contiguous().T, wide[:, ::2]):
        expected = rows.numpy().astype("f8").T @ rows.numpy().astype("f8")
        tolerance = {"rtol": 1e-12} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-5}
        np.testing.assert_allclose(np.tril(lower_gram(rows).numpy()), np.tril(expected), **tolerance)
        added = total.clone()
        assert lower_gram(rows, added) is added
        np.testing.assert_allclose(np.tril(added.numpy()), np.tril(total.numpy() + expected), **tolerance)


def decompose() -> Callable[[], object]:
    rows = RNG.normal(size=(1300, 1200))
    matrix = np.asfortranarray(rows.T @ rows)
    return lambda: blas._syevd(matrix)


def multiply() -> Callable[[], object]:
    rows, total = torch.as_tensor(RNG.normal(size=(6000, 1000))), torch.zeros((1000, 1000), dtype=torch.float64)
    return lambda: lower_gram(rows, total)


@pytest.mark.parametrize("make", [decompose, multiply])
def test_other_threads_go_on_meanwhile(make: Callable[[], Callable[[], object]]) -> None:
    work, started, finished = make(), threading.Event(), threading.Event()
    work()  # routines are found once

    def run() -> None:
        started.set()
        work()
        finished.set()

    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1000)  # seconds: whoever has Python's lock keeps it until it lets go
        thread = threading.Thread(target=run)
        with threadpool_limits(1):
            thread.start()
            started.wait()
            alone = finished.is_set()
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not alone
