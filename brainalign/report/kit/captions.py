"""How to read each figure: what is drawn, what good and bad look like. Names in braces are filled in by sections."""

import tomllib
from importlib.resources import files

_TEXT = files("brainalign.report").joinpath("templates/captions.toml").read_text(encoding="utf-8")
CAPTIONS, SYNTHESIS_CAPTIONS = (
    {key: " ".join(text.split()) for key, text in each.items()} for each in tomllib.loads(_TEXT).values()
)
