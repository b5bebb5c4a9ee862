# Hidden regions, networks and people on one page.
rule report_series:
    input:
        code="pipelines/report/report_series.py",
        shared="pipelines/report/report.py",
        descriptor=lambda wildcards: SETTINGS.datasets[wildcards.dataset].descriptor,
        tables=lambda wildcards: [of(suffix, wildcards) for suffix in ("series", "people", *MASKED)],
    output:
        page=report(
            group_report_path(RESULTS, "{dataset}"),
            caption="../report/group.rst",
            category="report",
            labels={"dataset": "{dataset}", "subject": "all"},
        ),
    log:
        log_path(RESULTS, "{dataset}", "report_series"),
    benchmark:
        log_path(RESULTS, "{dataset}", "report_series").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(SERIES),
    threads: 1
    resources:
        mem_mb=memory("report_series"),
        runtime=minutes("report_series"),
    params:
        settings=whole_configuration(),
        library=library_digest(*STAGES["report_series"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.report.report_series --settings {params.settings:q} --dataset {wildcards.dataset:q} > {log:q} 2>&1"
