# All subjects of a dataset on one page.
rule report_group:
    input:
        code="pipelines/report/report_group.py",
        shared="pipelines/report/report.py",
        descriptor=lambda wildcards: SETTINGS.datasets[wildcards.dataset].descriptor,
        compared=lambda wildcards: group_inputs(wildcards),
    output:
        page=report(
            group_report_path(RESULTS, "{dataset}"),
            caption="../report/group.rst",
            category="report",
            labels={"dataset": "{dataset}", "subject": "all"},
        ),
    log:
        log_path(RESULTS, "{dataset}", "report_group"),
    benchmark:
        log_path(RESULTS, "{dataset}", "report_group").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(IMAGES + RDMS),
    threads: 1
    resources:
        mem_mb=memory("report_group"),
        runtime=minutes("report_group"),
    params:
        settings=whole_configuration(),
        library=library_digest(*STAGES["report_group"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.report.report_group --settings {params.settings:q} --dataset {wildcards.dataset:q} > {log:q} 2>&1"
