"""Reports: figures, brain maps, sentences that follow from the numbers, self-contained pages of subjects and groups."""

from brainalign.report.contents import draw_chapters, draw_page
