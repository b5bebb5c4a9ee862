# Everything about one subject as one self-contained page.
rule report:
    input:
        code="pipelines/report/report.py",
        descriptor=lambda wildcards: SETTINGS.datasets[wildcards.dataset].descriptor,
        prepared=artifacts("responses", "splits", "ceiling", "mask", "bold"),
        scores=encodings_of("scores"),
        identification=encodings_of("identification"),
        null=encodings_of("null"),
        features=features_of,
        compared=artifacts("rdm", "comparison"),
        searchlights=searchlights_of,
        summarized=artifacts("decoding", "summary"),
    output:
        page=report(
            report_path(RESULTS, "{dataset}", "{subject}"),
            caption="../report/subject.rst",
            category="report",
            labels={"dataset": "{dataset}", "subject": "{subject}"},
        ),
    log:
        log_path(RESULTS, "{dataset}", "report", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "report", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(BLOCKS),
    threads: 1
    resources:
        mem_mb=memory("report"),
        runtime=minutes("report"),
    params:
        settings=whole_configuration(),
        library=library_digest(*STAGES["report"]),
    shell:
        "python -P -m brainalign.pipelines.report.report --settings {params.settings:q} --dataset {wildcards.dataset:q}"
        " --subject {wildcards.subject:q} > {log:q} 2>&1"
