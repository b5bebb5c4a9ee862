"""Reports: figures, brain maps, sentences that follow from the numbers, one self-contained page per subject."""

from brainalign.report.material import Failure, Material
from brainalign.report.page import render_page
from brainalign.report.sections import sections

__all__ = ["Failure", "Material", "render_page", "sections"]
