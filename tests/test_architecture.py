"""The rules of the layout, checked by parsing imports: who may import whom, and what a stage's digest covers."""

import ast
import gc
import importlib
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from brainalign.workflow import STEPS, reached

ROOT = Path(__file__).parent.parent
BASE = ("config", "io", "study")
FOLDERS = ("commands", "config", "datasets", "decoding", "encoding", "features", "geometry", "io", "kernels")
FOLDERS += ("regression", "report", "simulation", "statistics", "study", "synthesis", "workflow")

# What each folder may import of ours; "base" is every file directly in brainalign/ but cli.
ALLOWED = {"kernels": set(), "base": {"base"}, "io": {"base"}, "study": {"base", "io"}}
ALLOWED |= {key: {"base", *BASE} for key in ("config", "workflow", "datasets", "statistics")}
ALLOWED |= {key: {"base", *BASE, "regression"} for key in ("features", "simulation")}
ALLOWED |= {"regression": {"base", *BASE, "statistics", "kernels"}, "report": {"base", *BASE, "statistics"}}
ALLOWED |= {key: {"base", *BASE, "features", "regression", "statistics"} for key in ("synthesis", "decoding")}
ALLOWED |= dict.fromkeys(("encoding", "geometry"), ALLOWED["decoding"] | {"kernels"})
ALLOWED |= {"pipelines": {"base", *FOLDERS} - {"kernels"}}
ALLOWED |= {"commands": {"base", *BASE, "datasets", "geometry", "workflow"}}
ALLOWED |= {"cli": ALLOWED["commands"] | {"commands"}}
MOST_FILES = 20  # of a folder: with more, a room is found by searching and not by the tree
TORCH_FREE = ("checks", "condensed", "config", "io", "study", "workflow", "workflow.plan")
# Their classes derive from diffusers' own; `brainalign.synthesis` imports these files when they are asked for.
OPTIONAL = {"nilearn", "mne", "diffusers", "transformers", "dask", "triton"}


@cache
def python_files() -> list[Path]:
    return [f for folder in ("brainalign", "kernels", "pipelines") for f in sorted((ROOT / folder).rglob("*.py"))]


@cache
def tree_of(path: Path) -> ast.Module:
    """Parse a file, the collector off: it would walk over all trees so far, many times, to free nothing."""
    gc.disable()
    tree = ast.parse(path.read_text())
    gc.freeze()
    gc.enable()
    return tree


def folder_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    if parts[0] in {"kernels", "pipelines"}:
        return parts[0]
    return parts[1] if len(parts) > 2 else ("cli" if parts[1] == "cli.py" else "base")


def target_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in {*FOLDERS, "pipelines", "cli"} else "base"


@cache
def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """Return the absolute modules a file imports; with top_level only those that run on import."""
    tree = tree_of(path)
    found: set[str] = set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def public_definitions(path: Path) -> list[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    found: list[tuple[str, ast.FunctionDef | ast.ClassDef]] = []
    todo = [("", node) for node in tree_of(path).body]
    for prefix, node in todo:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list):
            continue
        found.append((prefix + node.name, node))
        if isinstance(node, ast.ClassDef):
            todo += [(f"{prefix}{node.name}.", inner) for inner in node.body]
    return found


def test_layers() -> None:
    forbidden = {}
    for path in python_files():
        folder = folder_of(path)
        targets = {target_of(module) for module in imports(path) if module.split(".")[0] == "brainalign"}
        forbidden[path] = targets - ALLOWED[folder] - {folder}
    assert not {str(path): names for path, names in forbidden.items() if names}


def test_a_folder_can_be_overlooked_and_what_is_public_is_described() -> None:
    sizes = Counter(path.parent for path in python_files())
    assert not {str(folder): n for folder, n in sizes.items() if n > MOST_FILES}
    for path in python_files():
        assert [name for name, node in public_definitions(path) if not ast.get_docstring(node)] == [], path


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "brainalign" else ("brainalign", *parts)).removesuffix(".__init__")


def test_a_folder_is_entered_by_its_face() -> None:
    """Outside a sub-package nobody imports its modules, in tests neither; what is private is the tests' own matter."""
    inits = [path for path in python_files() if path.name == "__init__.py" and folder_of(path) != "pipelines"]
    packages, doors = {name for name in map(module_of, inits) if name.count(".") > 1}, {}
    for path in [*python_files(), *(ROOT / "tests").rglob("*.py")]:
        inside = module_of(path) if path.is_relative_to(ROOT / "brainalign") else ""
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.ImportFrom) or not node.module or node.level:
                continue
            package = node.module.rpartition(".")[0]
            private = any(alias.name.startswith("_") for alias in node.names) and "tests" in path.parts
            if package in packages and inside.rpartition(".")[0] != package and inside != package and not private:
                doors.setdefault(str(path.relative_to(ROOT)), []).append(node.module)
    assert doors == {}


def test_no_export_has_the_name_of_a_module_beside_it() -> None:
    shadows = {}
    for path in python_files():
        if path.name == "__init__.py" and path.parent.name != "kernels":
            beside = {p.stem for p in path.parent.iterdir()} - {"__init__", "__pycache__"}
            nodes = [node for node in tree_of(path).body if isinstance(node, ast.ImportFrom)]
            names = [name for node in nodes for name in names_of(node)]
            shadows[str(path)] = beside & set(names)
            named = {alias.name for node in nodes for alias in node.names}
            twice = {name for name, n in Counter(names).items() if n > 1} - named
            assert not twice, f"{path}: {twice} come from two folders"
    assert not {path: names for path, names in shadows.items() if names}


def names_of(node: ast.ImportFrom) -> list[str]:
    """Return the names that an import brings, also where it takes all that a folder says is public."""
    if node.names[0].name == "*":
        return list(importlib.import_module(str(node.module)).__all__)
    return [alias.asname or alias.name for alias in node.names]


def test_heavy_packages_are_imported_where_they_are_used() -> None:
    for path in python_files():
        heavy = {module.split(".")[0] for module in imports(path, top_level=True)} & OPTIONAL
        if path.name.endswith("_triton.py"):  # themselves imported only where there is a GPU
            heavy -= {"triton"}
        if path.parent.name == "guidance" and path.stem in {"codec", "pipeline"}:
            heavy -= {"diffusers", "transformers"}
        assert not heavy, f"{path} imports {heavy} at the top"


def test_stages_start_fast() -> None:
    """Torch, scikit-learn and scipy.stats take a second or more each, of every job that imports them."""
    heavy = {"decoding", "encoding", "features"}
    light = []
    for step in STEPS.values():
        read = [path for path in reached(f"{step.folder}/{step.name}").values() if path.suffix == ".py"]
        light += [step] * (not any(heavy & set(map(target_of, imports(path))) for path in read))
    assert len(light) > 15
    modules = [f"brainalign.{name}" for name in TORCH_FREE]  # without which a plan is made
    modules += [f"brainalign.pipelines.{step.folder}.{step.name}" for step in light]
    code = "import sys, importlib, brainalign\nassert not {'torch', 'pandas', 'numpy'} & set(sys.modules)\n"
    code += f"for module in {modules}: importlib.import_module(module)\n"
    code += "sys.exit(', '.join({'torch', 'sklearn', 'scipy.stats', 'matplotlib.pyplot'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True).stderr.strip() == ""


def test_snakemake_and_the_library_meet_in_few_places() -> None:
    for path in python_files():
        assert not any(module.split(".")[0] == "snakemake" for module in imports(path)), path
    may = {f"brainalign.{name}" for name in ("checks", "commands", "config", "io", "pipelines", "study", "workflow")}
    for path in [ROOT / "Snakefile", *(ROOT / "snakemake").rglob("*.smk")]:
        for line in path.read_text().splitlines():
            assert not line.startswith(("import brainalign", "from brainalign")) or line.split()[1] in may
    assert not list((ROOT / "snakemake").rglob("*.py"))  # a package or module there would shadow the real Snakemake


def test_packages_are_listed_and_versions_stand_in_constraints() -> None:
    found = {"brainalign", "brainalign.kernels", "brainalign.snakefiles"}
    found |= {module_of(path) for path in (ROOT / "brainalign").rglob("__init__.py")}
    found |= {module_of(path) for path in (ROOT / "pipelines").rglob("__init__.py")}
    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]) == found
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = "\n".join(str(project[part]) for part in ("dependencies", "optional-dependencies"))
    installed = [line for line in (ROOT / "Makefile").read_text().splitlines() if "$(PIP)" in line]
    assert "==" not in named + "".join(installed)
    pins = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {requirement.split(">")[0].split("[")[0].lower() for requirement in project["dependencies"]} <= pins


def test_menus_are_dict_literals() -> None:
    for path, name in (
        ("encoding/__init__.py", "ENCODERS"), ("features/extractors.py", "EXTRACTORS"),
        ("geometry/rdms/dissimilarity.py", "DISTANCES"), ("geometry/inference/comparisons.py", "COMPARISONS"),
    ):  # fmt: skip
        tree = tree_of(ROOT / "brainalign" / path)
        values = [n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == name]
        assert isinstance(values[0], ast.Dict), name


def file_of(module: str) -> Path | None:
    """Return the file of a dotted brainalign module, or of the module that holds the name."""
    parts = module.split(".")[1:]
    base = ROOT if parts and parts[0] in {"kernels", "pipelines"} else ROOT / "brainalign"
    for stop in (len(parts), len(parts) - 1):
        path = base.joinpath(*parts[:stop])
        if path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
        if (path / "__init__.py").is_file():
            return path / "__init__.py"
    return None


def test_no_two_files_import_each_other() -> None:
    """Nor in a longer circle, nor for types alone: a file is understood by those below it."""
    graph = {path: {found for found in map(file_of, imports(path)) if found} - {path} for path in python_files()}
    graph = {path: {f for f in found if f.name != "__init__.py"} for path, found in graph.items()}
    TopologicalSorter(graph).prepare()  # raises, and names the circle


@cache
def files_used(path: Path) -> frozenset[Path]:
    """Return the files that define what a file has imported by name: Python itself is asked where."""
    importlib.import_module(module_of(path))
    used: set[Path] = set()
    for node in ast.walk(tree_of(path)):
        for alias in node.names if isinstance(node, ast.ImportFrom) and node.module else ():
            if str(node.module).startswith("brainalign"):
                member = getattr(importlib.import_module(str(node.module)), alias.name, None)
                source = str(getattr(member, "__module__", None) or getattr(member, "__name__", ""))
                file = file_of(source) if source.startswith("brainalign") else None
                used |= {file} if file is not None and file.name != "__init__.py" else set()
    return frozenset(used)


@pytest.mark.parametrize("program", sorted({f"{step.folder}/{step.name}" for step in STEPS.values()}))
def test_the_digest_of_a_step_covers_all_it_uses(program: str) -> None:
    # What a run is told, and the workflow itself, reach a step through its parameters; see digests.BASE_FILES.
    apart, places = {"config", "study", "workflow", "cli", "base", "io"}, set(reached(program).values())
    for path in places:
        if path.suffix == ".py" and path.name != "__init__.py":
            assert {file for file in files_used(path) - places if folder_of(file) not in apart} == set(), path


def test_a_distribution_called_kernels_still_works(tmp_path: Path) -> None:
    """transformers and diffusers probe for the Hugging Face package `kernels`; our folder must not stand in for it."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("who = 'stand-in'\n")
    code = "import kernels, brainalign.kernels as ours, transformers.utils.import_utils, diffusers.utils\n"
    code += "assert kernels.who == 'stand-in' and hasattr(ours, 'prediction_moments')"
    options = {"cwd": ROOT, "env": {"PYTHONPATH": str(tmp_path)}, "capture_output": True, "text": True}
    result = subprocess.run([sys.executable, "-P", "-c", code], **options)
    assert result.returncode == 0, result.stderr
