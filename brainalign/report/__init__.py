"""Reports: figures, brain maps, sentences that follow from the numbers, self-contained pages of subjects and groups."""

from brainalign.report.contents import draw_chapters, draw_page
from brainalign.report.encoding_sections import *
from brainalign.report.geometry_sections import *
from brainalign.report.kit import *
from brainalign.report.pages import *
from brainalign.report.synthesis_sections import *
