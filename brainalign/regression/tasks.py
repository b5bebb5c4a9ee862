"""What a worker of a distributed fit does: one function per kind of task, of slices and files alone.

Tasks leave what is large in files of the scratch folder and return what is small. Run twice, a task writes the same
bytes, so one that a killed worker left half done simply runs again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from brainalign.arrays import StoredArray
from brainalign.checks import BrainalignError, listed
from brainalign.devices import pick_device
from brainalign.io import read_npy, write_atomically
from brainalign.kernels import FoldForm, lower_gram
from brainalign.regression.design import BLOCK_BYTES, Design, centre, fold_grams
from brainalign.regression.folds import FewFilters, InnerFold, Layout, inner_fold
from brainalign.regression.inputs import unit_of, weighed
from brainalign.regression.rotation import Rotation, by_columns, by_svd, principal

# Pages of a memory map count as memory of the process that touched them: a worker that maps a file larger than its
# limit is killed for reading it. Reads and writes by position leave the pages to the operating system.

DTYPES = ("float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64")
ALL = slice(None)


@dataclass(frozen=True)
class NpyFile:
    """A .npy file of two axes.

    Attributes
    ----------
    path : Path
    shape : (int, int)
    dtype : str
    offset : int
        Where its values begin, in bytes.
    by_column : bool
        Fortran order: a column lies in one piece.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: str
    offset: int
    by_column: bool = False

    @classmethod
    def open(cls, name: str, path: Path) -> NpyFile:
        """Read the header of an existing file; `name` is what messages call it."""
        if not path.is_file():
            raise BrainalignError(f"{name}: there is no file {path}")
        mapped = read_npy(path, mapped=True)
        if not isinstance(mapped, np.memmap) or mapped.dtype not in DTYPES:
            raise BrainalignError(f"{name}: {path} holds {mapped.dtype}; give one array of {listed(DTYPES, 8)}")
        by_column = mapped.flags.f_contiguous and not mapped.flags.c_contiguous
        return cls(path.resolve(), mapped.shape, mapped.dtype.name, mapped.offset, by_column)

    @classmethod
    def of(cls, name: str, stored: StoredArray) -> NpyFile:
        """Locate rows that follow one another in a file, whatever else lies in it."""
        rows = stored.rows  # none of a whole file, which may have as many as there are targets of all rows
        first = int(rows[0]) if rows is not None and len(rows) else 0
        follow = rows is None or np.array_equal(rows, np.arange(first, first + len(rows)))
        if stored.half or stored.dtype not in DTYPES or not follow:
            raise BrainalignError(
                f"{name}: rows in {stored.path} are {stored.dtype}, or do not follow one another; give an array"
            )
        row_bytes = stored.dtype.itemsize * int(np.prod(stored.shape[1:]))
        return cls(stored.path.resolve(), stored.shape, stored.dtype.name, stored.offset + first * row_bytes)

    @classmethod
    def create(cls, path: Path, shape: tuple[int, int], dtype: str) -> NpyFile:
        """Make a file of zeros, which takes no room on disk until they are overwritten."""
        return cls.of(str(path), StoredArray.create(path, shape, dtype))

    @property
    def itemsize(self) -> int:
        """Bytes of a value."""
        return np.dtype(self.dtype).itemsize

    def read(self, rows: slice = ALL, columns: slice = ALL) -> NDArray[Any]:
        """Return a copy of the values of some rows and columns."""
        lead, trail = (columns, rows) if self.by_column else (rows, columns)
        n_lead, n_trail = self.shape[::-1] if self.by_column else self.shape
        first, last, _ = lead.indices(n_lead)
        start, stop, _ = trail.indices(n_trail)
        # torch aligns memory for its vector instructions: the same values give the same bits in every process.
        out = torch.empty((last - first, stop - start), dtype=getattr(torch, self.dtype)).numpy()
        with self._opened(os.O_RDONLY) as fd:
            if stop - start == n_trail:
                self._move(_read, fd, out, first * n_trail)
            else:
                for row, values in enumerate(out, first):
                    self._move(_read, fd, values, row * n_trail + start)
        return out.T if self.by_column else out

    def write(self, values: NDArray[Any], rows: slice | NDArray[np.intp]) -> None:
        """Overwrite whole rows: those of a slice, or any in the order given."""
        values = np.ascontiguousarray(values, dtype=self.dtype)
        with self._opened(os.O_WRONLY) as fd:
            if isinstance(rows, slice):
                self._move(os.pwrite, fd, values, rows.start * self.shape[1])
            else:
                for row, value in zip(rows.tolist(), values, strict=True):
                    self._move(os.pwrite, fd, value, row * self.shape[1])

    @contextmanager
    def _opened(self, how: int) -> Iterator[int]:
        """Open the file for a block, as a descriptor."""
        try:
            fd = os.open(self.path, how)
        except FileNotFoundError as error:
            raise BrainalignError(
                f"a worker finds no file {self.path}; put data, coefficients and scratch where all machines see them"
            ) from error
        try:
            yield fd
        finally:
            os.close(fd)

    def _move(self, move: Callable[[int, Any, int], int], fd: int, values: NDArray[Any], position: int) -> None:
        """Read or write values that lie in one piece; one call moves 2 GB at most."""
        left = values.reshape(-1).view(np.uint8).data
        place = self.offset + position * self.itemsize
        while left:
            n_bytes = move(fd, left, place)
            if not n_bytes:
                raise BrainalignError(f"{self.path} ends before its shape {self.shape} is full; write it again")
            left, place = left[n_bytes:], place + n_bytes


def _read(fd: int, out: Any, place: int) -> int:
    return os.preadv(fd, [out], place)


@dataclass(frozen=True)
class Seen:
    """What reading a piece showed: values that are not finite, the first of them, and extremes of the columns."""

    n_bad: int
    first_bad: tuple[int, int] | None
    smallest: NDArray[np.float64]
    largest: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[Any], where: tuple[slice, slice]) -> Seen:
        """Look at the values (n_rows, n_columns) that lie at `where`."""
        finite = np.isfinite(values) if values.dtype.kind == "f" else np.ones((), dtype=bool)
        first = None
        if not finite.all():
            row, column = np.argwhere(~finite)[0].tolist()
            first = (row + where[0].start, column + where[1].start)
        extremes = (np.asarray(found(axis=0), dtype=np.float64) for found in (values.min, values.max))
        return cls(finite.size - int(finite.sum()), first, *extremes)


def check_finite_pieces(name: str, shape: Sequence[int], looks: Sequence[Seen]) -> None:
    """Raise if any piece of an array of that shape holds a NaN or an infinity."""
    if bad := [seen for seen in looks if seen.first_bad is not None]:
        raise BrainalignError(
            f"{name} of shape {tuple(shape)} has {sum(seen.n_bad for seen in bad)} NaN or infinite values "
            f"(first at {min(seen.first_bad for seen in bad if seen.first_bad)}); drop or repair them"
        )


@dataclass(frozen=True)
class Job:
    """What every task needs to know; small, because it travels with each.

    Attributes
    ----------
    X, Y : NpyFile
    staged : NpyFile (n_rows × n_targets, 1)
        The targets again, shard by shard.
    coef : NpyFile (n_targets, n_features)
    folder : Path
        Scratch.
    tests : list of slice
        The inner folds, in fold order.
    shard : int
        Targets per shard.
    alphas, solver, metric, per_target_alpha, device, dtype
        As of `Ridge`.
    """

    X: NpyFile
    Y: NpyFile
    staged: NpyFile
    coef: NpyFile
    folder: Path
    tests: list[slice]
    shard: int
    alphas: tuple[float, ...]
    solver: Literal["auto", "primal", "dual"]
    metric: Literal["r2", "r"]
    per_target_alpha: bool
    device: str
    dtype: str

    @property
    def primal(self) -> bool:
        """Whether features × features are decomposed."""
        n_rows, n_features = self.X.shape
        return by_columns(n_rows, n_features, self.solver)

    @property
    def per_target(self) -> int:
        """Bytes of the arrays of one target while it is fitted."""
        n_rows, n_features = self.X.shape
        return 20 * n_rows + 8 * (2 * min(n_rows, n_features) + n_features + 8 * len(self.alphas))

    def layout(self) -> Layout:
        """Read the order of the rows and the folds."""
        order, tests, roots, weight = load(self.folder / "layout.pt")
        return Layout(None if order is None else order.numpy(), [slice(*test) for test in tests], roots, weight)

    @property
    def shards(self) -> list[slice]:
        """Targets of each shard."""
        return list(gen_batches(self.Y.shape[1], max(1, self.shard)))


# What scratch files may hold besides tensors; torch refuses to load anything else.
SAVED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [InnerFold, FoldForm, FewFilters, slice]


def save(path: Path, content: object) -> None:
    """Write tensors and dataclasses of them so that a kill leaves no half of a file."""
    write_atomically(path, lambda temporary: torch.save(content, temporary))


def load(path: Path, device: str = "cpu") -> Any:
    """Map what `save` wrote; nothing but tensors and the engine's own dataclasses is accepted."""
    with torch.serialization.safe_globals(SAVED):
        return torch.load(path, mmap=True, map_location=device, weights_only=True)


def stage(job: Job, where: tuple[slice, slice]) -> Seen:
    """Rearrange a block of targets so that every shard lies in one piece, and look at its values."""
    rows, columns = where
    values, n_rows = job.Y.read(rows, columns), job.Y.shape[0]
    for shard in job.shards:
        first, stop = max(shard.start, columns.start), min(shard.stop, columns.stop)
        if first < stop:
            width = shard.stop - shard.start
            piece = values[:, first - columns.start : stop - columns.start]
            start = shard.start * n_rows + rows.start * width
            job.staged.write(piece.reshape(-1, 1), slice(start, start + piece.size))
    return Seen.of(values, where)


def total(job: Job, rows: slice) -> tuple[NDArray[np.float64], Seen]:
    """Sum some rows of the features (n_features,), weighted where they have weights, and look at their values."""
    values, roots = job.X.read(rows), job.layout().given_roots
    weighted = values if roots is None else values * roots[rows].square().numpy()[:, None]
    return weighted.sum(axis=0, dtype=np.float64), Seen.of(values, (rows, slice(0, job.X.shape[1])))


def gram(job: Job, where: slice) -> NDArray[np.float64]:
    """Return the lower triangle of centred X'X of some rows or, dual, XX' of some columns, in float64."""
    part = _centred(job, where)
    return lower_gram(part if job.primal else part.T).numpy()


def decompose(job: Job, found: NDArray[np.float64]) -> tuple[int, Literal["gram", "svd"]]:
    """Decompose the Gram and write one side of the rotation; return its rank and method."""
    dtype, mean = getattr(torch, job.dtype), np.load(job.folder / "mean.npy")
    n_rows, n_features = job.X.shape
    # A copy: it is overwritten, and a worker that tries again needs what it was given.
    order = job.layout()
    smallest = min(job.alphas) / order.weight
    side = principal(torch.from_numpy(np.array(found)), (n_rows, n_features), smallest, dtype, primal=job.primal)
    if side is None:  # the one step that wants all features at once
        whole = by_svd(order.sort(torch.from_numpy(job.X.read())), torch.from_numpy(mean), dtype, order.roots)
        _put(job, "axes", whole.axes)
        _put(job, "rows", whole.rows)
        save(job.folder / "spectrum.pt", (whole.singular, False))
        return len(whole.singular), "svd"
    _put(job, "axes" if job.primal else "rows", side.vectors.to(dtype))
    _put(job, "scaled", side.scaled)
    save(job.folder / "spectrum.pt", (side.singular, side.benign))
    return len(side.singular), "gram"


def rotate_rows(job: Job, other: NpyFile, where: slice) -> None:
    """Write some of the other side: of the rotated rows, in fold order, or of the axes."""
    scaled = mapped(job.folder / "scaled.npy")
    part = _centred(job, where) / unit_of(load(job.folder / "spectrum.pt")[0])
    found = ((part if job.primal else part.T).to(scaled) @ scaled).numpy()
    order = job.layout().order if job.primal else None
    other.write(found, where if order is None else np.argsort(order)[where])


def fold_gram(job: Job, test: slice) -> NDArray[np.float64]:
    """Return the lower triangle of rows' · rows of a fold's rotated rows."""
    return fold_grams(mapped(job.folder / "rows.npy"), [test])[0].numpy()


def fold(
    job: Job, exact: bool, number: int, found: NDArray[np.float64] | None, whole: NDArray[np.float64] | None
) -> None:
    """Decompose the training rows of a fold and write what came out."""
    singular, benign = load(job.folder / "spectrum.pt")
    order, unit = job.layout(), unit_of(singular)
    decomposed = inner_fold(
        mapped(job.folder / "rows.npy"),
        singular / unit,
        job.tests[number],
        len(job.tests),
        torch.tensor(job.alphas, dtype=torch.float64) / (unit**2 * order.weight),
        training=None if whole is None or found is None else torch.from_numpy(whole - found),
        solver=job.solver,
        single=benign,
        exact=exact,
        roots=order.roots,
    )
    save(job.folder / f"fold{number}.pt", decomposed)


class DesignFile:
    """The design in scratch: a worker opens it once, for its first shard, and it travels as a name."""

    def __init__(self, job: Job, method: Literal["gram", "svd"]) -> None:
        self.job, self.method = job, method

    def __reduce__(self) -> tuple[type[DesignFile], tuple[Job, str]]:
        return DesignFile, (self.job, self.method)

    @cached_property
    def design(self) -> Design:
        """Map the files, or copy them to the GPU."""
        job, device = self.job, str(pick_device(self.job.device))
        singular, benign = load(job.folder / "spectrum.pt", device)
        mean = torch.from_numpy(np.load(job.folder / "mean.npy")).to(device)
        axes, rows = (mapped(job.folder / name).to(device) for name in ("axes.npy", "rows.npy"))
        rotation = Rotation(mean, axes, singular, rows, self.method, benign)
        folds = [load(job.folder / f"fold{number}.pt", device) for number in range(len(job.tests))]
        alphas = torch.tensor(job.alphas, dtype=torch.float64, device=device)
        return Design(rotation, job.layout(), folds, alphas, job.metric)


class Stored(NamedTuple):
    """How a shard's targets are stored: what their values are multiplied by, and their units (n_targets,), or None."""

    scale: NDArray[np.float64] | None
    units: torch.Tensor | None

    def of(self, where: slice) -> Stored:
        """Return that of some targets."""
        scale, units = self
        return Stored(None if scale is None else scale[where], None if units is None else units[where])


class ShardFit(NamedTuple):
    """Of a shard or of all targets: scores (n_alphas, n_targets), the rest (n_targets,); NaN until alpha is pooled."""

    scores: NDArray[Any]
    alpha: NDArray[np.float64]
    means: NDArray[np.float64]
    intercept: NDArray[Any]


def fit_shard(job: Job, file: DesignFile, where: slice, stored: Stored) -> ShardFit:
    """Score every penalty of a shard's targets and write the coefficients at the best ones."""
    design, width, dtype = file.design, where.stop - where.start, getattr(torch, job.dtype)
    scores, alpha, means = (torch.empty(*size, width, dtype=torch.float64) for size in ((len(job.alphas),), (), ()))
    scores, intercept = scores.to(dtype), torch.full((width,), torch.nan, dtype=torch.float64)
    coef = torch.empty((width, job.X.shape[1]), dtype=dtype) if job.per_target_alpha else None
    for block, centred, mean in _targets(job, design, where, stored):
        found = design.fit(centred, None if coef is None else coef[block], stored.of(block).units)
        scores[:, block], alpha[block], means[block] = found.scores, found.alpha, mean
    if coef is not None:
        intercept = design.intercept(means, coef)
        job.coef.write(coef.numpy(), where)
    return ShardFit(scores.numpy(), alpha.numpy(), means.numpy(), intercept.cpu().numpy())


def solve_shard(
    job: Job, file: DesignFile, where: slice, stored: Stored, alpha: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Write a shard's coefficients at given penalties and return the intercepts."""
    design, given = file.design, torch.tensor(alpha)
    coef = torch.empty((len(alpha), job.X.shape[1]), dtype=getattr(torch, job.dtype))
    means = torch.empty(len(alpha), dtype=torch.float64)
    for block, centred, means[block] in _targets(job, design, where, stored):
        design.solve(centred, given[block], coef[block], stored.of(block).units)
    job.coef.write(coef.numpy(), where)
    return design.intercept(means, coef).cpu().numpy()


def _targets(
    job: Job, design: Design, where: slice, stored: Stored
) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
    """Yield blocks of a shard that suit the caches: where they lie in it, centred in fold order, and their means."""
    rows, n_rows = design.rotation.rows, job.X.shape[0]
    raw = job.staged.read(slice(where.start * n_rows, where.stop * n_rows)).reshape(n_rows, -1)
    width = max(1024, BLOCK_BYTES // job.per_target) if rows.device.type == "cpu" else raw.shape[1]
    for block in gen_batches(raw.shape[1], width):
        scale, units = stored.of(block)
        ratio = None  # of units to scale: integers less their mean lose no digits
        if scale is not None or units is not None:
            ratio = (1.0 if units is None else units) / torch.tensor(1.0 if scale is None else scale)
        centred, means = centre(torch.from_numpy(raw[:, block]), design.order, rows.device, rows.dtype, ratio)
        yield block, centred, means if scale is None else means * torch.tensor(scale)


def mapped(path: Path) -> torch.Tensor:
    """Map an array of scratch; copied where written to, since torch knows no arrays that are only read."""
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def _centred(job: Job, where: slice) -> torch.Tensor:
    """Return centred, weighed features in float64: some rows or, dual, some columns with rows in fold order."""
    mean, order = torch.from_numpy(np.load(job.folder / "mean.npy")), job.layout()
    if job.primal:
        roots = order.given_roots
        part = torch.from_numpy(job.X.read(where)).double() - mean
        return weighed(part, None if roots is None else roots[where])
    return weighed(order.sort(torch.from_numpy(job.X.read(columns=where))).double() - mean[where], order.roots)


def _put(job: Job, name: str, values: torch.Tensor) -> None:
    np.save(job.folder / f"{name}.npy", values.contiguous().numpy())
