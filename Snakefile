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
include: "snakemake/rules/steps.smk"


report: "snakemake/report/workflow.rst"


rule all:
    default_target: True
    input:
        targets(),
