# brainalign: stimuli and recordings in, a report per subject out. Run it from the repository root:
#
#   snakemake --workflow-profile snakemake/profiles/default [--configfile yours.yaml]
from snakemake.utils import min_version

min_version("9.27")


# A --configfile that names datasets is the whole configuration: nothing of the default one is mixed into it.
if "datasets" not in config:

    configfile: "snakemake/config/config.yaml"


container: "docker://python:3.11-slim"


include: "snakemake/rules/common.smk"
include: "snakemake/rules/simulate.smk"
include: "snakemake/rules/prepare.smk"
include: "snakemake/rules/prepare_images.smk"
include: "snakemake/rules/prepare_rdms.smk"
include: "snakemake/rules/extract.smk"
include: "snakemake/rules/encode.smk"
include: "snakemake/rules/encode_images.smk"
include: "snakemake/rules/compare.smk"
include: "snakemake/rules/compare_images.smk"
include: "snakemake/rules/compare_rdms.smk"
include: "snakemake/rules/summarize.smk"
include: "snakemake/rules/summarize_images.smk"
include: "snakemake/rules/report.smk"
include: "snakemake/rules/report_images.smk"
include: "snakemake/rules/report_group.smk"


report: "snakemake/report/workflow.rst"


rule all:
    default_target: True
    input:
        targets(),
