# Models of videos beside the neurons of one subject, as one self-contained page.
rule report_dynamics:
    input:
        code="pipelines/report/report_dynamics.py",
        shared="pipelines/report/report.py",
        descriptor=lambda wildcards: SETTINGS.datasets[wildcards.dataset].descriptor,
        scores=artifacts(*DYNAMICS),
    output:
        page=report(
            report_path(RESULTS, "{dataset}", "{subject}"),
            caption="../report/subject.rst",
            category="report",
            labels={"dataset": "{dataset}", "subject": "{subject}"},
        ),
    log:
        log_path(RESULTS, "{dataset}", "report_dynamics", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "report_dynamics", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(VIDEOS),
    threads: 1
    resources:
        mem_mb=memory("report_dynamics"),
        runtime=minutes("report_dynamics"),
    params:
        settings=whole_configuration(),
        library=library_digest(*STAGES["report_dynamics"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.report.report_dynamics --settings {params.settings:q} --dataset {wildcards.dataset:q}"
        " --subject {wildcards.subject:q} > {log:q} 2>&1"
