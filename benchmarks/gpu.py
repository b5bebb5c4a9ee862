"""The kernels on a GPU: their tests, errors, times and shares of the measured rates, in one run of a few minutes.

From the root of a checkout, installed or not: python benchmarks/gpu.py --out FOLDER
"""

import argparse
import importlib
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "kernels"))
import triton_cases as cases

kernels = cases.kernels
STARTED, BUDGET_S = time.monotonic(), 290
N_TARGETS, N_ROWS, SETS = 20_000, 1000, 3
ROWS: list[dict[str, object]] = []
RATES: dict[str, float] = {}


def module(name: str):
    return importlib.import_module(f"{kernels.__name__}.{name}")


def left_s() -> float:
    return BUDGET_S - (time.monotonic() - STARTED)


def milliseconds(call: Callable[[int], object], repeats: int = 15) -> float:
    """Return the median time of a call among several in a row over different inputs: work is queued, as in a fit."""
    for i in range(SETS + 1):
        call(i % SETS)
    times = []
    for _ in range(repeats):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for i in range(SETS):
            call(i)
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop) / SETS)
    return sorted(times)[len(times) // 2]


def rates() -> None:
    """Measure what the card gives: copies in TB/s, products in TFLOP/s."""
    torch.backends.cuda.matmul.allow_tf32 = False
    source = torch.randn(2**30, device="cuda")
    target = torch.empty_like(source)
    RATES["copy"] = 8 * 2**30 / milliseconds(lambda i: target.copy_(source)) / 1e9
    for name, dtype, tf32 in (
        ("float32", torch.float32, False),
        ("tf32", torch.float32, True),
        ("float16", torch.float16, False),
        ("bfloat16", torch.bfloat16, False),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        pairs = [[torch.randn((8192, 8192), device="cuda").to(dtype) for _ in range(2)] for _ in range(SETS)]
        RATES[name] = 2 * 8192**3 / milliseconds(lambda i, pairs=pairs: pairs[i][0] @ pairs[i][1]) / 1e9
    torch.backends.cuda.matmul.allow_tf32 = False
    print({name: round(rate, 2) for name, rate in RATES.items()}, flush=True)


def tests() -> None:
    """Run the GPU's tests, without pytest: it may be missing."""
    for name, arguments in (("small", ("cuda",)), ("large", ()), ("dispatch", ()), ("huge", ())):
        start = time.monotonic()
        try:
            getattr(cases, name)(*arguments)
            outcome = "passed"
        except Exception:
            traceback.print_exc()
            outcome = "FAILED"
        torch.cuda.empty_cache()
        ROWS.append({"case": f"tests: {name}", "outcome": outcome, "seconds": round(time.monotonic() - start, 1)})
        print(ROWS[-1], flush=True)


def note(
    case: str,
    flop: float,
    precision: str,
    call: Callable[[int], object],
    *,
    error: Callable[[], float] | None = None,
    plain_ms: float | None = None,
) -> None:
    """Time a case and add its row; a variant that does not compile or fit is a row too."""
    row: dict[str, object]
    try:
        if left_s() < 20:
            raise TimeoutError("no time left")
        figure = error() if error else None
        took = milliseconds(call)
        row = {"case": case, "ms": took, "TFLOP/s": flop / took / 1e9, "error": figure}
        ceiling = {"fp16x3": RATES["float16"] / 3, "float32": RATES["float32"]}[precision]
        row["share"] = flop / took / 1e9 / ceiling
        if plain_ms is not None:
            row["ratio"] = plain_ms / took
    except Exception as failure:
        row = {"case": case, "outcome": f"{type(failure).__name__}: {str(failure)[:200]}"}
    ROWS.append(row)
    print({k: f"{v:.3g}" if isinstance(v, float) else v for k, v in row.items()}, flush=True)


def score(rank: int, n_penalties: int) -> None:
    """Score a fold with a spectrum falling as those of image features do."""
    plain_way = module("held_out")
    eigenvalues = 1e5 / torch.arange(rank, 0, -1, device="cuda", dtype=torch.float64) ** 1.2
    alphas = torch.logspace(-1, 7, n_penalties, device="cuda", dtype=torch.float64)
    basis = torch.randn((N_ROWS, rank), device="cuda", dtype=torch.float64) * eigenvalues.sqrt()
    exact = kernels.held_out(basis, eigenvalues, alphas, torch.float64)
    fold = kernels.held_out(basis, eigenvalues, alphas, torch.float32)
    sets, observed = [], None
    for _ in range(SETS):
        z = torch.randn((rank, N_TARGETS), device="cuda") * eigenvalues.sqrt()[:, None].float()
        observed = torch.randn((N_ROWS, N_TARGETS), device="cuda")
        sets.append((z, basis.T.float() @ observed))
    some = slice(0, N_TARGETS, 40)
    z, y = sets[-1][0][:, some].double(), observed[:, some].double()
    truth = kernels.reference.prediction_moments(basis, exact.filters, z, y)[1]

    def error(squares: torch.Tensor) -> float:
        difference = (squares[:, some].double() - truth).abs() / truth.abs().amax(dim=1, keepdim=True)
        return float(difference.max())

    flop = 2 * rank**2 * N_TARGETS
    size = f"score k={rank} A={n_penalties}"
    plain_error = error(plain_way.prediction_moments(fold, *sets[-1])[1])
    note(
        f"{size} torch float32",
        flop,
        "float32",
        lambda i: plain_way.prediction_moments(fold, *sets[i], totals=False),
        error=lambda: plain_error,
    )
    plain_ms = float(ROWS[-1].get("ms", torch.nan))  # type: ignore[arg-type]
    if n_penalties == 20:
        narrow = basis.float()
        direct = lambda i: kernels.reference.prediction_moments(narrow, fold.filters, sets[i][0], observed)  # noqa: E731
        note(f"{size} direct, per penalty", n_penalties * 2 * N_ROWS * rank * N_TARGETS, "float32", direct)
    for totals in (False, True):

        def mine(i: int, totals: bool = totals) -> tuple[torch.Tensor, ...]:
            return kernels.prediction_moments(fold, *sets[i], totals=totals)

        name = f"{size} Triton{', with totals' if totals else ''}"
        note(name, flop, "fp16x3", mine, error=lambda: error(mine(SETS - 1)[1]), plain_ms=plain_ms)
        ROWS[-1]["tiles"] = len(fold.forms.tiles)
        if not totals:
            parts_of_time(lambda: mine(0), name)


def parts_of_time(call: Callable[[], object], name: str) -> None:
    """Print the time of each kernel of one call, where the profiler works."""
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            call()
            torch.cuda.synchronize()
        found = {e.key[:40]: round(e.device_time_total / 1e3, 3) for e in profile.key_averages()}
        print("  ms of", name, found, flush=True)
        ROWS[-1]["parts"] = found
    except Exception as failure:
        print("  no profile:", failure)


def gram() -> None:
    """Multiply features with responses, float32 and int16, and features with themselves."""
    gram_way = module("gram_triton")
    n_rows, n_features = 20_000, 1024
    left = [torch.randn((n_rows, n_features), device="cuda") + 0.5 for _ in range(SETS)]
    right = [torch.randn((n_rows, N_TARGETS), device="cuda") + 0.1 for _ in range(SETS)]
    whole = [(r * 3000).to(torch.int16) for r in right]
    scale = torch.full((N_TARGETS,), 1 / 3000, device="cuda")
    truth = left[0].double().T @ right[0][:, :512].double()
    norms = left[0].double().norm(dim=0)[:, None] * right[0][:, :512].double().norm(dim=0)

    def error(product: torch.Tensor) -> float:
        return float(((product[:, :512].double() - truth).abs() / norms).max())

    flop = 2 * n_rows * n_features * N_TARGETS
    note(
        "X'Y torch float32", flop, "float32", lambda i: left[i].T @ right[i], error=lambda: error(left[0].T @ right[0])
    )
    plain_ms = float(ROWS[-1].get("ms", torch.nan))  # type: ignore[arg-type]
    product = lambda i: gram_way.cross_product(left[i], right[i])  # noqa: E731
    note("X'Y Triton", flop, "fp16x3", product, error=lambda: error(product(0)), plain_ms=plain_ms)
    parts_of_time(lambda: product(0), "X'Y")
    note("X'Y int16", flop, "fp16x3", lambda i: gram_way.cross_product(left[i], whole[i], scale), plain_ms=plain_ms)
    flop = 2 * n_rows * n_features**2
    note("X'X torch float32", flop, "float32", lambda i: left[i].T @ left[i])
    plain_ms = float(ROWS[-1].get("ms", torch.nan))  # type: ignore[arg-type]
    square = left[0].double().T @ left[0].double()
    sizes = square.diagonal().sqrt()
    worst = lambda: float(  # noqa: E731
        ((gram_way.cross_product(left[0], left[0]).double() - square).abs() / sizes / sizes[:, None]).max()
    )
    note(
        "X'X Triton", flop, "fp16x3", lambda i: gram_way.cross_product(left[i], left[i]), error=worst, plain_ms=plain_ms
    )


def refit() -> None:
    """Refit with a penalty per target."""
    rank, n_features = 1024, 2048
    to_coef = torch.randn((n_features, rank), device="cuda")
    eigenvalues = torch.logspace(0, 5, rank, device="cuda")
    alpha = torch.logspace(-1, 7, N_TARGETS, device="cuda")
    sets = [torch.randn((rank, N_TARGETS), device="cuda") for _ in range(SETS)]
    truth = kernels.reference.apply_alpha(to_coef.double(), eigenvalues.double(), alpha.double(), sets[0].double())
    norms = to_coef.double().norm(dim=1)[:, None] * (sets[0].double() / (eigenvalues[:, None] + alpha)).norm(dim=0)
    plain = lambda i: kernels.reference.apply_alpha(to_coef, eigenvalues, alpha, sets[i])  # noqa: E731
    mine = lambda i: kernels.apply_alpha(to_coef, eigenvalues, alpha, sets[i])  # noqa: E731
    flop = 2 * n_features * rank * N_TARGETS
    error = lambda f: float(((f(0).double() - truth).abs() / norms).max())  # noqa: E731
    note("apply_alpha torch float32", flop, "float32", plain, error=lambda: error(plain))
    note(
        "apply_alpha Triton",
        flop,
        "fp16x3",
        mine,
        error=lambda: error(mine),
        plain_ms=float(ROWS[-1].get("ms", torch.nan)),
    )  # type: ignore[arg-type]
    parts_of_time(lambda: mine(0), "apply_alpha")


def rdms() -> None:
    """Make the RDMs of searchlights."""
    for batch, n_rows, n_channels in ((20_000, 50, 100), (8_000, 100, 150), (2_000, 200, 300)):
        sets = [torch.randn((batch, n_rows, n_channels), device="cuda") + 3 for _ in range(SETS)]
        truth = kernels.reference.correlation_rdms(sets[0][:200].double())
        error = lambda f, t=truth: float((f(0)[:200].double() - t).abs().max())  # noqa: E731
        plain = lambda i, s=sets: kernels.reference.correlation_rdms(s[i])  # noqa: E731
        mine = lambda i, s=sets: kernels.correlation_rdms(s[i])  # noqa: E731
        flop = batch * n_rows * n_rows * n_channels  # each pair once
        moved = 4 * batch * (n_rows * n_channels + n_rows * (n_rows - 1) // 2)
        name = f"rdm {batch} x {n_rows} x {n_channels}"
        note(f"{name} torch", flop, "float32", plain, error=lambda f=plain, e=error: e(f))
        note(
            name,
            flop,
            "fp16x3",
            mine,
            error=lambda f=mine, e=error: e(f),
            plain_ms=float(ROWS[-1].get("ms", torch.nan)),
        )  # type: ignore[arg-type]
        if "ms" in ROWS[-1]:
            ROWS[-1]["share of copy"] = moved / float(ROWS[-1]["ms"]) / 1e9 / RATES["copy"]  # type: ignore[arg-type]
            parts_of_time(lambda: mine(0), name)  # noqa: B023


def end_to_end() -> None:
    """Fit Ridge on the GPU and on the CPU, where brainalign and what it needs are installed."""
    sys.modules.setdefault("brainalign.kernels", kernels)  # elsewhere in a checkout that is not installed
    try:
        from brainalign.encoding import Ridge
    except ImportError as missing:
        ROWS.append({"case": "Ridge, 2,000 x 1,024 x 20,000", "outcome": f"skipped: {missing}"})
        return
    X, Y = torch.randn((2000, 1024)).numpy(), torch.randn((2000, 20_000)).numpy()
    for device, repeats in (("cuda", 3), ("cpu", 1)):  # the first on the GPU compiles
        for _ in range(repeats):
            if left_s() < 60 and device == "cpu":
                return
            start = time.monotonic()
            Ridge(device=device).fit(X, Y)
            took = time.monotonic() - start
        ROWS.append({"case": f"Ridge, 2,000 x 1,024 x 20,000, {device}", "outcome": f"{took:.2f} s"})
        print(ROWS[-1], flush=True)


def table() -> None:
    """Print a short table last: a lent machine shows the end of what was printed."""
    print(f"\n{'case':58}{'ms':>9}{'TFLOP/s':>9}{'share':>7}{'ratio':>7}{'error':>10}")
    for row in ROWS:
        if "ms" not in row:
            print(f"{row['case']:58} {row['outcome']}"[:150])
            continue
        cells = [f"{row['case']:58}{row['ms']:9.3f}{row['TFLOP/s']:9.1f}{row['share']:7.2f}"]
        cells.append(f"{row['ratio']:7.2f}" if "ratio" in row else " " * 7)
        cells.append(f"{row['error']:10.1e}" if row.get("error") is not None else "")
        print("".join(cells), f" copy {row['share of copy']:.2f}" if "share of copy" in row else "")
    print("rates:", {name: round(rate, 2) for name, rate in RATES.items()}, f"{time.monotonic() - STARTED:.0f} s")


def main() -> None:
    """Run everything; what fails is a row of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for the figures as JSON")
    parser.add_argument("--skip-tests", action="store_true")
    options = parser.parse_args()
    import triton

    print(torch.cuda.get_device_name(), "torch", torch.__version__, "triton", triton.__version__, flush=True)
    torch.manual_seed(0)
    rates()
    if not options.skip_tests:
        tests()
    works = [
        lambda: score(1024, 20),
        lambda: score(1024, 50),
        lambda: score(2048, 20),
        lambda: score(2048, 50),
        gram,
        refit,
        rdms,
        end_to_end,
    ]
    for work in works:
        try:
            work()
        except Exception:
            traceback.print_exc()
        torch.cuda.empty_cache()
    table()
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "gpu.json").write_text(json.dumps({"rates": RATES, "rows": ROWS}, indent=1, default=str))


if __name__ == "__main__":
    main()
