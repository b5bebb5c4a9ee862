"""The page over all subjects for whom a stimulus went on: their scores side by side, and maps over those in a space."""

from brainalign.report.kit import Chapter, Section, Shelf, StudyMaterial, captioned
from brainalign.report.pages.answers import answer_of_group
from brainalign.report.pages.continuous import EVERYWHERE, MOST_REGIONS
from brainalign.report.pages.group import group_figure, group_of
from brainalign.report.pages.group_maps import group_maps, mapped_findings
from brainalign.statistics import RELIABLE


def gather_group_of_runs(shelf: Shelf) -> StudyMaterial | None:
    """Gather the scores of all subjects and the maps over them; None on a page of one."""
    return None if shelf.page.subject else shelf.study(["groupscores", "grouptargets", "groupmaps"])


def group_of_runs_chapter(material: StudyMaterial) -> Chapter:
    """Tell of every model in every subject, and where models predict all of those in one space."""
    kind, tables = group_of(len(material.descriptor.recordings)), material.tables
    if not tables:
        return Chapter(kind)
    scores = tables["groupscores"]
    told = scores[(scores["kind"] != "layer") & (scores["test_set"] == "")].rename(columns={"r": "value"})
    told = told.assign(quantity=told["region"]).drop(columns="ceiling")
    controls = [*material.uninformed, *told.loc[told["kind"] == "control", "model"].unique()]
    drawn = told[told["region"].isin(told["region"].unique()[:MOST_REGIONS])]  # an atlas would fill 100 rows of panels
    figure = group_figure(drawn, list(told["model"].unique()), controls)
    cut, confidence = len(drawn) < len(told), material.config.confidence
    known = drawn["low"].notna().any()
    panel = captioned("grouprunscores", "r by region", figure, told, cut=cut, confidence=confidence, intervals=known)
    sections = [Section("prediction", "Models in every subject", [panel]), *group_maps(material)]
    # All targets are called reliable in those subjects of whom some are not.
    first = told[told["region"].isin((RELIABLE, EVERYWHERE)) & (told["kind"] != "joint")].assign(quantity="mean r")
    draws = material.config.encode.of("continuous").null_draws
    measure = f"mean r of {RELIABLE if (first['region'] == RELIABLE).any() else EVERYWHERE}"
    words = {"measure": measure, "beside": "what models know is beyond it"}
    answer = answer_of_group(first, controls, first["subject"].nunique(), n_permutations=draws, **words)
    findings = [*mapped_findings(material), *material.descriptor.notes]
    return Chapter(kind, sections, findings, answer=answer, summary=told)
