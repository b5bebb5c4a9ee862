# What could be decoded of one subject's recordings, as one self-contained page.
rule report_recordings:
    input:
        code="pipelines/report/report_recordings.py",
        shared="pipelines/report/report.py",
        descriptor=lambda wildcards: SETTINGS.datasets[wildcards.dataset].descriptor,
        prepared=artifacts("responses"),
        decoded=artifacts(*TIMES),
    output:
        page=report(
            report_path(RESULTS, "{dataset}", "{subject}"),
            caption="../report/subject.rst",
            category="report",
            labels={"dataset": "{dataset}", "subject": "{subject}"},
        ),
    log:
        log_path(RESULTS, "{dataset}", "report_recordings", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "report_recordings", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(RECORDINGS),
    threads: 1
    resources:
        mem_mb=memory("report_recordings"),
        runtime=minutes("report_recordings"),
    params:
        settings=whole_configuration(),
        library=library_digest(*STAGES["report_recordings"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.report.report_recordings --settings {params.settings:q} --dataset {wildcards.dataset:q}"
        " --subject {wildcards.subject:q} > {log:q} 2>&1"
