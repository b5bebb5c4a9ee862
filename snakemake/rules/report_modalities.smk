# A space that modalities share, on one page.
rule report_modalities:
    input:
        code="pipelines/report/report_modalities.py",
        shared="pipelines/report/report.py",
        descriptor=lambda wildcards: SETTINGS.datasets[wildcards.dataset].descriptor,
        tables=lambda wildcards: [of(suffix, wildcards) for suffix in (*MODALITIES, *SPACE)],
    output:
        page=report(
            group_report_path(RESULTS, "{dataset}"),
            caption="../report/group.rst",
            category="report",
            labels={"dataset": "{dataset}", "subject": "all"},
        ),
    log:
        log_path(RESULTS, "{dataset}", "report_modalities"),
    benchmark:
        log_path(RESULTS, "{dataset}", "report_modalities").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(SHARED),
    threads: 1
    resources:
        mem_mb=memory("report_modalities"),
        runtime=minutes("report_modalities"),
    params:
        settings=whole_configuration(),
        library=library_digest(*STAGES["report_modalities"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.report.report_modalities --settings {params.settings:q} --dataset {wildcards.dataset:q} > {log:q} 2>&1"
