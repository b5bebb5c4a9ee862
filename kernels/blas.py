"""Products and symmetric decompositions on the CPU by the library that is fast there.

torch has MKL on any x86 processor. On those of other makers than Intel, the OpenBLAS of numpy and scipy takes a tenth
less for products, and up to a third less for decompositions.
"""

import ctypes
import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cython_blas, cython_lapack

LARGE = 2**21  # multiplications that take longer than it takes to leave torch
LETTER = {"float32": "s", "float64": "d"}  # by which Fortran tells its routines apart


def product(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """Return left · right.

    Parameters
    ----------
    left : tensor (n_rows, n_inner)
    right : tensor (n_inner, n_columns), dtype of left
    out : tensor (n_rows, n_columns), optional
        Where the result goes; each row in one piece.
    """
    if left.device.type == "cpu" and left.numel() * right.shape[1] >= LARGE and _by_openblas():
        out = left.new_empty((len(left), right.shape[1])) if out is None else out
        np.matmul(left.numpy(), right.numpy(), out=out.numpy())
        return out
    return torch.mm(left, right, out=out)


def eigh(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ascending eigenvalues (n,) and eigenvectors (n, n), its columns, of a symmetric matrix.

    Of the matrix (n, n) only the lower triangle is read; it is overwritten where that saves memory.
    """
    if matrix.device.type == "cpu" and len(matrix) ** 3 >= LARGE and _by_openblas():
        columns = np.require(matrix.T.numpy(), requirements=["F", "W"])  # what lies as LAPACK reads it is not copied
        values, info = _syevd(columns)
        if info:
            raise np.linalg.LinAlgError(f"eigenvalues of a matrix of shape {tuple(matrix.shape)} were not found")
        return torch.from_numpy(values), torch.from_numpy(columns)
    values, vectors = torch.linalg.eigh(matrix.T, UPLO="U")  # it reads columns, too
    return values, vectors


def lower_gram(rows: torch.Tensor, total: torch.Tensor | None = None) -> torch.Tensor:
    """Return the lower triangle of rows' · rows, at half the cost where BLAS offers it (on the CPU).

    Of rows (n_rows, n_columns). It is added in place to `total` (n_columns, n_columns), of the dtype of rows, where
    given; rows are then in one piece.
    """
    n, p = rows.shape
    total = rows.new_zeros((p, p)) if total is None else total
    if rows.device.type != "cpu" or rows.numel() * p < LARGE:
        return total.addmm_(rows.T, rows)
    values = rows.numpy()
    if not (values.flags.c_contiguous or values.flags.f_contiguous):
        values = np.ascontiguousarray(values)
    # BLAS reads and writes columns: the transpose of what C order holds.
    trans, lead = ("N", p) if values.flags.c_contiguous else ("T", n)
    one = np.ones(1, values.dtype)
    _fortran(LETTER[values.dtype.name] + "syrk")("U", trans, p, n, one, values, lead, one, total.numpy(), p)
    return total


def _syevd(matrix: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Overwrite a symmetric matrix, of which the upper triangle is read, with its eigenvectors; return eigenvalues."""
    n = len(matrix)
    values, info = np.empty(n, matrix.dtype), np.zeros(1, np.int64)
    work, numbers = np.empty(1 + 6 * n + 2 * n**2, matrix.dtype), np.empty(3 + 5 * n, np.int64)
    find = _fortran(LETTER[matrix.dtype.name] + "syevd")
    find("V", "U", n, matrix, n, values, work, len(work), numbers, len(numbers), info)
    return values, int(info[0])


@cache
def _fortran(name: str) -> Callable[..., None]:
    """Return a routine of scipy's BLAS or LAPACK that is called without Python's lock.

    scipy's own wrappers keep the lock, so that folds decomposed in threads would wait for each other. The routine takes
    letters, integers and arrays that lie as Fortran wants them.
    """
    capsule = (cython_blas.__pyx_capi__ | cython_lapack.__pyx_capi__)[name]
    label = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
    find = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    routine = ctypes.CFUNCTYPE(None)(find(("PyCapsule_GetPointer", ctypes.pythonapi))(capsule, label(capsule)))
    return lambda *given: routine(*map(_reference, given))


def _reference(value: str | int | NDArray[Any]) -> Any:
    if isinstance(value, str):
        return ctypes.c_char_p(value.encode())
    if isinstance(value, int):  # of 64 bits: a library built for 32 reads the lower half
        return ctypes.byref(ctypes.c_int64(value))
    return ctypes.c_void_p(value.ctypes.data)


@cache
def _by_openblas() -> bool:
    """Return whether torch would use MKL on a processor that it was not made for."""
    listed = Path("/proc/cpuinfo")  # elsewhere than on Linux, Python knows the maker itself
    maker = listed.read_text() if listed.exists() else platform.processor()
    return torch.backends.mkl.is_available() and "GenuineIntel" not in maker
