"""How to read each figure: what is drawn, what good and bad look like. Names in braces are filled in by sections."""

import tomllib
from importlib.resources import files

_PARTS = tomllib.loads(files("brainalign.report").joinpath("templates/captions.toml").read_text(encoding="utf-8"))
CAPTIONS = {key: " ".join(text.split()) for key, text in _PARTS["figures"].items()}
EXPLAINED = {  # what a section is about, in paragraphs
    key: [" ".join(paragraph.split()) for paragraph in text.split("\n\n")] for key, text in _PARTS["explained"].items()
}
