"""Do tests see a wrong line? Single random mutations of given files, each run against the nearest tests.

    python -P benchmarks/mutants.py brainalign/report/pages/group.py brainalign/report/kit/heads.py --count 40 --seed 3
    python -P benchmarks/mutants.py brainalign/geometry --count 40 --tests tests/geometry
    python -P benchmarks/mutants.py brainalign/report --returning Figure --count 40 --list

Everything happens in a copy of the tree. A mutant is killed when its tests fail; it survives when they pass, or when no
test names its function. Survivors are printed with both lines: read them, some change nothing that anyone could see.
"""

import argparse
import ast
import copy
import functools
import importlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Tests beside which no mutation is judged: rules on names and files, and pages of documentation.
NEVER = ("test_architecture.py", "test_docs.py")
# Tests of whole studies and of the root, which ask of every folder; one of them asks one thing only of all it names.
WHOLE, SEEDED = ("tests/workflow", "tests/recovery", "tests/test_"), "tests/test_seeds.py"
# Folders of tests that are asked first for the code of a folder; all others come after them.
NEAREST = {
    "brainalign/commands": ("tests/test_init.py", "tests/test_cli.py"),
    "brainalign/config": ("tests/test_settings.py", "tests/test_consistency.py"),
    "brainalign/datasets": ("tests/datasets",),
    "brainalign/decoding": ("tests/decoding",),
    "brainalign/encoding": ("tests/encoding",),
    "brainalign/features": ("tests/features",),
    "brainalign/geometry": ("tests/geometry",),
    "brainalign/regression": ("tests/regression", "tests/encoding"),
    "brainalign/io": ("tests/test_artifacts.py", "tests/test_reading.py"),
    "brainalign/report": ("tests/report",),
    "brainalign/simulation": ("tests/simulation",),
    "brainalign/statistics": ("tests/statistics",),
    "brainalign/study": ("tests/test_settings.py", "tests/test_consistency.py", "tests/datasets"),
    "brainalign/synthesis": ("tests/synthesis",),
    "brainalign/workflow": ("tests/test_plan.py", "tests/workflow"),
    "kernels": ("tests/kernels", "tests/regression"),
    "pipelines": ("tests/workflow", "tests/report"),
}
# What changes how a figure looks and nothing that it says, and what only guards against mistakes of callers.
STYLE = {
    "alpha", "aspect", "bbox_to_anchor", "borderaxespad", "capsize", "cmap", "color", "dpi", "edgecolor",
    "facecolor", "fontsize", "frameon", "ha", "handlelength", "layout", "linestyle", "linewidth",
    "linewidths", "loc", "marker", "markeredgecolor", "markerfacecolor", "markersize", "mfc", "ms",
    "ncols", "pad", "rotation", "s", "shrink", "strict", "style", "textcoords", "va", "xytext", "zorder",
    "copy", "encoding", "exist_ok",
}  # fmt: skip
STYLED_CALLS = {
    "new_figure",
    "BrainalignError",
    "get_close_matches",
    "tick_params",
    "margins",
    "set_visible",
    "suptitle",
    "figsize",
}
FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.Gt: ast.Lt,
    ast.LtE: ast.GtE,
    ast.GtE: ast.LtE,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
NAMES = {
    **{"min": "max", "max": "min", "any": "all", "all": "any", "argmin": "argmax", "argmax": "argmin", "sum": "mean"},
    **{"mean": "sum", "nanmin": "nanmax", "nanmax": "nanmin", "minimum": "maximum", "maximum": "minimum"},
    **{"floor": "ceil", "ceil": "floor", "isnan": "isfinite", "isfinite": "isnan", "idxmax": "idxmin", "first": "last"},
    **{"idxmin": "idxmax", "notna": "isna", "isna": "notna", "cumsum": "cumprod", "median": "mean", "std": "var"},
    **{"axhline": "axvline", "axvline": "axhline", "vlines": "hlines", "bar": "barh", "set_xlim": "set_ylim"},
}
# What every child would import again.
WARM = ("matplotlib.backends.backend_agg", "numpy", "pandas", "PIL.Image", "scipy.stats", "sklearn", "torch", "yaml")
# Of these the order of two arguments changes nothing but which of equal ones is returned.
SYMMETRIC = {"max", "min", "maximum", "minimum"}
SEEDS = {"seed", "rng", "random_state", "generator", "random_seed"}


@dataclass(frozen=True)
class Mutant:
    """One changed expression."""

    path: Path
    function: str
    line: int
    kind: str
    before: str
    after: str
    start: int  # bytes of the file
    end: int

    def source(self, content: bytes) -> bytes:
        """Return a file's content with the change."""
        return content[: self.start] + self.after.encode() + content[self.end :]

    def __str__(self) -> str:
        return (
            f"{self.path}:{self.line} ({self.function}, {self.kind})  {_short(self.before)}  ->  {_short(self.after)}"
        )


def mutants_of(path: Path) -> list[Mutant]:
    """Return every mutation of a file that is one of a kind and not a matter of style."""
    content = (ROOT / path).read_bytes()
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    mutants = []
    for function, node, kind, after in _changes(ast.parse(content)):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        before = content[start:end].decode()
        mutants.append(Mutant(path, function, node.lineno, kind, before, after, start, end))
    return mutants


def _changes(tree: ast.Module) -> Iterator[tuple[str, ast.expr, str, str]]:
    """Yield name of the function, expression, kind of change and new text, for everything in functions."""
    for top in tree.body:
        inner = top.body if isinstance(top, ast.ClassDef) else [top]
        for function in inner:
            if isinstance(function, ast.FunctionDef):
                columns = sorted({key for node in ast.walk(function) if (key := _column(node))})
                name = function.name if top is function else f"{getattr(top, 'name', '')}.{function.name}"
                for statement in function.body:
                    for node, style in _expressions(statement, False):
                        if not style:
                            for kind, after in _of_node(node, columns):
                                yield name, node, kind, after


def _expressions(node: ast.AST, style: bool) -> Iterator[tuple[ast.expr, bool]]:
    """Yield every expression below a node, and whether it is a matter of style, a message or a type."""
    if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr | ast.Assert):
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if isinstance(node, ast.expr):
        yield node, style
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in STYLED_CALLS:
            return
        if name == "reshape":  # any number below 0 means what is left
            yield from _expressions(node.func, style)
            node = ast.Tuple([argument for argument in node.args if not isinstance(argument, ast.UnaryOp)])
        elif name == "legend_below":  # in how many columns its names stand
            node = ast.Tuple(node.args[:2])
    if isinstance(node, ast.keyword) and node.arg in STYLE:
        return
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _expressions(child, style)


def _of_node(node: ast.expr, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield kind and new text of each mutation of one expression."""
    new = copy.deepcopy(node)
    match new:
        case ast.Compare(ops=[operator]) if type(operator) in FLIPPED:
            new.ops = [FLIPPED[type(operator)]()]
            yield "comparison", f"({ast.unparse(new)})"
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            new.op = OPERATORS[type(operator)]()
            yield "arithmetic", f"({ast.unparse(new)})"
        case ast.BoolOp(op=operator):
            new.op = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield "and/or", f"({ast.unparse(new)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "condition", f"({ast.unparse(operand)})"
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield "sign", f"({ast.unparse(operand)})"
        case ast.IfExp(test=test):
            new.test = ast.UnaryOp(ast.Not(), test)
            yield "condition", f"({ast.unparse(new)})"
        case ast.Constant(value=bool(value)):
            yield "constant", str(not value)
        case ast.Constant(value=int(value)):
            yield "constant", str(value + 1)
        case ast.Constant(value=float(value)):
            yield "constant", str(2 * value if value else 1.0)
        case ast.Subscript(slice=ast.Constant(value=str(key))) if key in columns:
            for other in columns:
                if other != key:
                    new.slice = ast.Constant(other)
                    yield "column", ast.unparse(new)
        case ast.Call():
            yield from _of_call(new)
        case ast.ListComp() | ast.GeneratorExp() | ast.DictComp():
            if new.generators[0].ifs:
                new.generators[0].ifs = [ast.UnaryOp(ast.Not(), new.generators[0].ifs[0])]
                yield "condition", ast.unparse(new)


def _of_call(call: ast.Call) -> Iterator[tuple[str, str]]:
    """Yield the mutations of a call: its name, its order, its axis, its seed, its first two arguments."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in NAMES:
        new = copy.deepcopy(call)
        if isinstance(new.func, ast.Attribute):
            new.func.attr = NAMES[name]
        else:
            new.func = ast.Name(NAMES[name])
        yield "name", ast.unparse(new)
    if name in ("list", "unique", "sorted", "enumerate", "zip", "range", "items", "iterrows"):
        yield "order", f"list({ast.unparse(call)})[::-1]"
    if name in ("default_rng", "manual_seed") and call.args and not isinstance(call.args[0], ast.Constant):
        yield "seed", f"{ast.unparse(call.func)}(0)"
    if len(call.args) > 1 and name not in {"isinstance", "getattr", "hasattr", "set_title"} | SYMMETRIC:
        new = copy.deepcopy(call)
        new.args[:2] = new.args[1::-1]
        if not any(isinstance(argument, ast.Starred) for argument in call.args[:2]):
            yield "arguments", ast.unparse(new)
    for k, keyword in enumerate(call.keywords):
        new = copy.deepcopy(call)
        if keyword.arg == "axis":
            number = getattr(keyword.value, "value", 0)
            new.keywords[k].value = ast.Constant(0 if number else 1)
            yield "axis", ast.unparse(new)
        elif keyword.arg in SEEDS and not isinstance(keyword.value, ast.Constant):
            new.keywords[k].value = ast.Constant(0)
            yield "seed", ast.unparse(new)
        elif keyword.arg in ("ascending", "keepdims", "sort", "ddof"):
            del new.keywords[k]
            yield "keyword", ast.unparse(new)


def _column(node: ast.AST) -> str:
    """Return the key of a subscript by name, or nothing."""
    match node:
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            return key
    return ""


def nearest_tests(mutant: Mutant, most: int, among: Sequence[str] = (), folder: Path = ROOT) -> list[str]:
    """Return the test files that name the mutated function, those of its own folder and of most mentions first.

    Where none does, what uses it stands for it, then what uses that; then the public functions of its module.
    """
    near = next((folders for prefix, folders in NEAREST.items() if mutant.path.is_relative_to(prefix)), ("tests",))
    tree = ast.parse((ROOT / mutant.path).read_bytes())
    public = {(mutant.path, node.name) for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    asked = [folder / name for name in among or ("tests",)]
    files = [file for place in asked for file in (sorted(place.rglob("test_*.py")) if place.is_dir() else [place])]
    texts = {file.relative_to(folder).as_posix(): _text(file) for file in files if file.name not in NEVER}
    found: dict[str, int] = {}
    for names in (*_users_of(mutant.path, mutant.function.split(".")[0]), public):
        counts = {file: sum(_mentions(text, *name) for name in names) for file, text in texts.items()}
        found = {file: count for file, count in counts.items() if count} | found
        if any(file.startswith((*near, *WHOLE)) and file != SEEDED for file in found):
            break
    return sorted(found, key=lambda file: (not file.startswith(near), -found[file], file))[:most]


def _text(file: Path) -> str:
    """Return a test file with the files beside it that it names: cases that it runs in a process of its own."""
    text = file.read_text()
    near = [*file.parent.glob("*.py"), *file.parent.glob("seeded/*.py")]
    beside = [other for other in near if other.stem in text and not other.name.startswith("test_")]
    return text + "".join(other.read_text() for other in beside if other.name != "conftest.py")


def _mentions(text: str, path: Path, name: str) -> int:
    """Return how often a test that knows a folder of the library names what a file of it holds."""
    room = path.parts[1] if path.parts[0] == "brainalign" else path.parts[0]
    room = "brainalign" if room.endswith(".py") else {"commands": "cli"}.get(room, room)
    if not re.search(rf"\b{room}\b", text):
        return 0
    if name == "main":  # every stage has one
        return len(re.findall(rf"\b{path.stem}\b", text))
    if name.startswith("check_"):  # rules are asked one after the other, by what they are of
        return len(re.findall(rf"(\bcheck_|[\"']){name.removeprefix('check_')}\b", text))
    name = {"init_study": "init"}.get(name, name)  # a command
    return len(re.findall(rf"\b{path.stem}\.{name}\b" if name[0] == "_" else rf"\b{name}\b", text))


def _users_of(path: Path, function: str, hops: int = 4) -> Iterator[set[tuple[Path, str]]]:
    """Yield file and name of a function, of the functions and classes that use it, of those that use these."""
    found = seen = {(path, function)}
    for _ in range(hops + 1):
        yield found
        # What is private is used in its own file only, and others have private functions of that name.
        used = {
            (user, by)
            for file, name in found
            if name != "main"
            for user, by in _uses().get(name, ())
            if user == file or name[0] != "_"
        }
        found = used - seen
        seen = seen | found


@functools.cache
def _uses() -> dict[str, set[tuple[Path, str]]]:
    """Return file and name of the functions, classes and constants that use each name."""
    users: dict[str, set[tuple[Path, str]]] = {}
    for path in [path for name in ("brainalign", "kernels", "pipelines") for path in (ROOT / name).rglob("*.py")]:
        for top in ast.parse(path.read_bytes()).body:
            target = top.targets[0] if isinstance(top, ast.Assign) else getattr(top, "target", None)
            user = getattr(top, "name", getattr(target, "id", ""))
            for node in ast.walk(top) if user else []:
                name = getattr(node, "id", getattr(node, "attr", ""))
                if name:
                    users.setdefault(name, set()).add((path.relative_to(ROOT), user))
    return users


def copied_tree(folder: Path) -> None:
    """Copy what git tracks or would track, and let Python import the copy rather than what is installed."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # Python imports this at its start, in child processes too; an editable install maps packages to paths.
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "for finder in sys.meta_path:\n"
        "    mapping = getattr(sys.modules.get(getattr(finder, '__module__', '')), 'MAPPING', {})\n"
        f"    mapping.update({{n: p.replace({str(ROOT)!r}, {str(folder)!r}) for n, p in mapping.items()}})\n"
    )


def run_tests(folder: Path, tests: Sequence[str], limit_s: float) -> tuple[str, float, str]:
    """Return "passed", "failed" or "hung", the seconds and the last lines of the tests of a copied tree.

    They run in a child of this process, which has imported all but the project itself: most of a test's time is that.
    """
    start, output = time.perf_counter(), folder / "output.txt"
    child = os.fork()
    if child == 0:
        os.setsid()
        with output.open("w") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        code = 1
        try:
            code = _pytest(folder, tests)
        finally:
            os._exit(code)
    while time.perf_counter() - start < limit_s:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            seconds = time.perf_counter() - start
            return "failed" if status else "passed", seconds, output.read_text(errors="replace")[-600:]
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung", limit_s, ""


def _pytest(folder: Path, tests: Sequence[str]) -> int:
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    exec((folder / "sitecustomize.py").read_text(), {})
    code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not acceptance", *tests]))
    return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else code  # a file of acceptance tests only


def _short(text: str, most: int = 110) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def returning(path: Path, kind: str) -> set[str]:
    """Return the functions of a file whose annotated result names a type, with the functions of the file they call."""
    functions = {
        node.name: node for node in ast.parse((ROOT / path).read_bytes()).body if isinstance(node, ast.FunctionDef)
    }
    names: set[str] = set()
    waiting = [name for name, node in functions.items() if node.returns and kind in ast.unparse(node.returns)]
    while waiting:
        name = waiting.pop()
        names.add(name)
        called = {node.id for node in ast.walk(functions[name]) if isinstance(node, ast.Name)}
        waiting += sorted((called & functions.keys()) - names)
    return names


def sampled(paths: Sequence[Path], count: int, seed: int, kind: str = "") -> list[Mutant]:
    """Return `count` mutants at random, at most one per expression, each expression as likely as any other."""
    rng = random.Random(seed)
    by_expression: dict[tuple[Path, int, int], list[Mutant]] = {}
    for path in paths:
        functions = returning(path, kind) if kind else set()
        for mutant in mutants_of(path):
            if not kind or mutant.function in functions:
                by_expression.setdefault((mutant.path, mutant.start, mutant.end), []).append(mutant)
    places = rng.sample(list(by_expression), min(count, len(by_expression)))
    return [rng.choice(by_expression[place]) for place in places]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, help="files, or folders with all their files")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", nargs="+", default=[], help="the nearest of these only")
    parser.add_argument("--most-files", type=int, default=3, help="of tests per mutant")
    parser.add_argument("--only", default="", help="mutants whose line matches this expression, as path:line")
    parser.add_argument("--returning", default="", help="only functions that return this type, and what they call")
    parser.add_argument("--limit-s", type=float, default=300.0)
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    options = parser.parse_args()
    paths = [file for path in options.paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    paths = [path.resolve().relative_to(ROOT.resolve()) for path in paths]
    mutants = sampled(paths, 10**9 if options.only else options.count, options.seed, options.returning)
    mutants = [mutant for mutant in mutants if re.search(options.only, f"{mutant.path}:{mutant.line}:")]
    if options.list:
        print(*mutants, sep="\n")
        return
    with tempfile.TemporaryDirectory() as name:
        judge(mutants, Path(name).resolve(), options)


def judge(mutants: Sequence[Mutant], folder: Path, options: argparse.Namespace) -> None:
    """Run the tests of every mutant, and print what became of it and the totals."""
    copied_tree(folder)
    for name in WARM:
        importlib.import_module(name)
    sound: dict[str, bool] = {}
    killed, survived = 0, []
    for mutant in mutants:
        tests = nearest_tests(mutant, options.most_files, options.tests, folder)
        target, start = folder / mutant.path, time.perf_counter()
        whole, dead, asked = target.read_bytes(), False, []
        for file in tests:
            target.write_bytes(mutant.source(whole))
            try:
                state = run_tests(folder, [file], options.limit_s)[0]
            finally:
                target.write_bytes(whole)
            if state != "passed" and file not in sound:
                plain, _, tail = run_tests(folder, [file], options.limit_s)
                sound[file] = plain == "passed"
                if not sound[file]:
                    print(f"{file} {plain} without any mutation and judges nothing\n{tail}", flush=True)
            asked += [file] if sound.get(file, True) else []
            dead = state != "passed" and sound[file]
            if dead:
                break
        if tests and not asked:
            continue
        seconds = time.perf_counter() - start
        killed += dead
        survived += [] if dead else [mutant]
        print(
            f"{'killed  ' if dead else 'SURVIVED'} {seconds:4.0f} s  {mutant}  [{' '.join(asked) or 'no test'}]",
            flush=True,
        )
    judged = killed + len(survived)
    print(f"\n{killed} of {judged} killed ({killed / max(judged, 1):.0%})" + ("; survivors:" if survived else ""))
    print(*survived, sep="\n")


if __name__ == "__main__":
    main()
