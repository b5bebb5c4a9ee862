"""YAML to validated settings: unknown keys are refused, and every complaint is one line that names the remedy."""

import os
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from brainalign.checks import BrainalignError, check_among, did_you_mean, listed
from brainalign.io import reading

# Sections that are unions, or whose entries are, and the key that tells their members apart.
TAGS = {"models": "extractor", "methods": "encoder", "recordings": "format", "simulate": "world"}


class Strict(BaseModel):
    """Refuses unknown keys, so that a typo fails before anything runs."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _differ(given: tuple[Any, ...]) -> tuple[Any, ...]:
    if twice := listed([*dict.fromkeys(each for each in given if given.count(each) > 1)]):
        raise ValueError(f"{twice} is there twice; name it once")
    return given


Name = Annotated[str, Field(pattern="^[A-Za-z0-9]+$")]
Paths = Path | Annotated[tuple[Path, ...], Field(min_length=1)]
DistinctNames = Annotated[tuple[Name, ...], AfterValidator(_differ)]
Names = Annotated[DistinctNames, Field(min_length=1)]
Strings = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_differ)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(_differ)]
M = TypeVar("M", bound=BaseModel)


def parse(kind: type[M], content: object, source: str) -> M:
    """Build a settings model, turning every complaint into one short line.

    Raises BrainalignError with a line per problem; an unknown key comes with the nearest valid one.

    Parameters
    ----------
    kind : type
        A model of this file.
    content : object
        What YAML or JSON gave.
    source : str
        Names the file in the message.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        lines = [_complaint(kind, problem) for problem in _without_alternatives(error.errors())]
        raise BrainalignError("\n".join(f"{source}: {line}" for line in lines)) from None


def _without_alternatives(problems: Iterable[Any]) -> list[dict[str, Any]]:
    """Return one problem for a value that may be of several types: the one of the type that fitted best.

    Pydantic complains once per type, and writes the type into the path: (betas, "dict[...]", left).
    """
    found: dict[object, dict[str, Any]] = {}
    for number, problem in enumerate(problems):
        loc = problem["loc"]
        types = [k for k, part in enumerate(loc) if "[" in str(part) and part != "[key]"]
        place = loc[: types[0]] if types else number
        if place not in found or len(loc) > len(found[place]["whole"]):
            short = tuple(part for k, part in enumerate(loc) if k not in types)
            found[place] = dict(problem) | {"loc": short, "whole": loc}
    return list(found.values())


# What to give, by the type of a complaint of pydantic, whose own words are of Python.
MAPPING = "give names with what they stand for, like {name: value}"
WORDED = {
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), MAPPING),
    "tuple_type": "give a list, like [1, 2]",
    "path_type": "give the path of one file",
    "string_pattern_mismatch": "a name is of letters and digits; of a data set also of hyphens",
}


def _complaint(kind: type[BaseModel], problem: Any) -> str:
    # pydantic puts the tag of a union into the path (models.<name>.sentence.weights); the file has no such level.
    loc = problem["loc"]
    at = 1 if loc[:1] == ("simulate",) else 2
    tagged = len(loc) > at and loc[0] in TAGS and loc[at] in _tags(kind, loc[0])
    path = ".".join(str(part) for i, part in enumerate(loc) if not (tagged and i == at))
    if problem["type"] == "extra_forbidden":
        *parents, key = problem["loc"]
        keys = _keys_at(kind, parents)
        return f"unknown key {path!r}{did_you_mean(str(key), keys) or '; valid here: ' + ', '.join(sorted(keys))}"
    if "[key]" in loc and problem["type"] == "literal_error":
        path = path.removesuffix(f".{problem['input']}.[key]")
        return f"{path}: a key must be {problem['ctx']['expected']}; got {problem['input']!r}"
    if "[key]" in loc:
        remedy = "rename it" if isinstance(problem["input"], str) else "write it in quotes"
        return f"{path.removesuffix('.[key]')}: this key must be text of letters and digits; {remedy}"
    if problem["type"] == "missing":
        return f"{path}: this key is required"
    if problem["type"] == "union_tag_not_found":
        return f"{path}.{problem['ctx']['discriminator'].strip(chr(39))}: this key is required"
    message = WORDED.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    if problem["type"] in {"literal_error", "union_tag_invalid"}:
        given = problem["input"] if problem["type"] == "literal_error" else problem["ctx"]["tag"]
        options = problem["ctx"].get("expected", problem["ctx"].get("expected_tags", ""))
        words = options.replace(" or ", ", ").replace("'", "").split(", ")
        return f"{path}: must be one of {options}; got {given!r}{did_you_mean(str(given), words)}"
    given = "" if isinstance(problem["input"], dict) or not path else f"; got {problem['input']!r}"
    return f"{path}: {message}{given}" if path else message


def _keys_at(annotation: Any, path: list[Any]) -> set[str]:
    """Return the keys a settings model allows at a path of an error, looking through dicts and unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        if not path:
            return set(fields)
        return _keys_at(fields[path[0]].annotation, path[1:]) if path[0] in fields else set()
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is dict:
        return _keys_at(arguments[1], path[1:])
    if origin is Annotated:
        return _keys_at(arguments[0], path)
    if origin in (typing.Union, types.UnionType):
        tagged = [a for a in arguments if path and path[0] in _tags_of(a)]
        return _keys_at(tagged[0], path[1:]) if tagged else set().union(*(_keys_at(a, path) for a in arguments))
    return set()


def _tags(kind: type[BaseModel], section: str) -> set[str]:
    """Return the tags of the union that a section is, or that its entries are."""
    if section not in kind.model_fields:
        return set()
    annotation = kind.model_fields[section].annotation
    return _tags_of(typing.get_args(annotation)[1] if typing.get_origin(annotation) is dict else annotation)


def _tags_of(annotation: Any) -> set[str]:
    """Return the values of the field that tells a member of a union from the others, of all members of a union."""
    if typing.get_origin(annotation) is Annotated:
        return _tags_of(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return set().union(*map(_tags_of, typing.get_args(annotation)))
    fields = getattr(annotation, "model_fields", {})
    return {tag for key in TAGS.values() if key in fields for tag in typing.get_args(fields[key].annotation)}


MOST_VALUES = 1_000_000  # of a file; the longest descriptors of this repository have some thousand


class _Loader(yaml.SafeLoader):
    """Refuses a key that a mapping has already: YAML would keep the last value, and say nothing.

    Neither does it follow aliases that name each other until a few lines stand for more values than fit the memory.
    A path may begin with ~, the user's home.
    """

    def construct_scalar(self, node: Any) -> Any:
        value: Any = super().construct_scalar(node)
        return os.path.expanduser(value) if str(value).startswith("~/") else value

    def get_single_node(self) -> Any:
        node: Any = super().get_single_node()
        if node is not None and _size(node, {}) > MOST_VALUES:
            raise BrainalignError(f"its aliases (*) stand for more than {MOST_VALUES:,} values; write them out")
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        # Before merges ("<<") are resolved: what they bring may be overwritten.
        node: Any = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise BrainalignError(
                    f"line {line}: the key {key.value!r} is there already, in line {lines[name]}; delete one of them "
                    "or give it another name"
                )
            lines[name] = line
        return node


def _size(node: Any, known: dict[int, float]) -> float:
    """Count the values that a node of YAML stands for, aliases followed; infinite where one holds itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")  # until it is counted: what comes back to it never ends
        parts = [] if isinstance(node, yaml.ScalarNode) else node.value
        inner = [part for pair in parts for part in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in inner)
    return known[id(node)]


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises BrainalignError if there is none, it is not valid, a mapping has a key twice, or aliases stand for too many
    values.
    """
    if not path.is_file():
        folder = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.exists() else []
        raise BrainalignError(
            f"{path}: no such file{did_you_mean(path.name, folder)}"
            + (f"; in {path.parent}: {listed(folder, 6)}" if folder else "")
        )
    with reading(path, "not valid YAML", "correct it"):
        text = path.read_text(encoding="utf-8-sig")
        try:
            return yaml.load(text, _Loader)
        except BrainalignError as error:
            raise BrainalignError(f"{path}: {error}") from None
        except yaml.YAMLError as error:
            at, what = getattr(error, "problem_mark", None), getattr(error, "problem", None) or error
            line = f"line {at.line + 1}: " if at else ""
            raise BrainalignError(f"{path}: {line}not valid YAML: {what}; indent by spaces, quote texts") from None


def check_known(place: str, name: str, known: Mapping[str, object], kind: str) -> None:
    """Raise where a name that the option `place` gives is not one of the configuration; `kind` is their plural."""
    check_among(place, [name], known, f"the {kind} of the configuration")


# Keys of the configuration (`Config`), which may stand in the same file.
RUN_KEYS = {
    *("results", "seed", "confidence", "ceiling_threshold", "models", "methods", "contest", "prepare", "encode"),
    *("compare", "converge", "match", "concepts", "align", "identify", "searchlight", "caption", "ground", "memory"),
    *("decode_times", "decode", "decode_modalities", "dynamics", "decode_series", "synthesize", "directions"),
    *("summarize", "cluster"),
}


def without_run_keys(content: dict[str, Any], fields: Iterable[str], path: Path) -> dict[str, Any]:
    """Leave out the keys of a configuration in the same file; raises where a misspelt one is nearest to these."""
    known = {*RUN_KEYS, *fields}
    for key in content.keys() - known:
        near = did_you_mean(key, sorted(known))
        if near and near == did_you_mean(key, sorted(RUN_KEYS)):
            raise BrainalignError(f"{path}: unknown key {key!r}{near}")
    return {key: value for key, value in content.items() if key not in RUN_KEYS}


def places_of(content: Mapping[str, Any]) -> list[Path]:
    """List the folders in which files of a study are looked for, in order: of its folder and its name."""
    folder, name = Path(content.get("folder", "")), str(content.get("name", ""))
    own = [Path(os.environ["BRAINALIGN_DATA"]) / name] if "BRAINALIGN_DATA" in os.environ else []
    return [folder, folder / name, *own, cache_folder() / name]


def cache_folder() -> Path:
    """Return the folder of the user's cache to which `brainalign fetch` downloads."""
    from platformdirs import user_cache_path

    return user_cache_path("brainalign")
