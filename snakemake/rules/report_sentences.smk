# Sentences from EEG with the controls they are shown with, on one page.
rule report_sentences:
    input:
        code="pipelines/report/report_sentences.py",
        shared="pipelines/report/report.py",
        descriptor=lambda wildcards: SETTINGS.datasets[wildcards.dataset].descriptor,
        prepared=lambda wildcards: [of(suffix, wildcards) for suffix in ("responses", "splits", "ledger")],
        tables=lambda wildcards: [
            of(suffix, wildcards, method=decoder) for decoder in SETTINGS.decode.decoders for suffix in DECODED
        ],
    output:
        page=report(
            group_report_path(RESULTS, "{dataset}"),
            caption="../report/group.rst",
            category="report",
            labels={"dataset": "{dataset}", "subject": "all"},
        ),
    log:
        log_path(RESULTS, "{dataset}", "report_sentences"),
    benchmark:
        log_path(RESULTS, "{dataset}", "report_sentences").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(SENTENCES),
    threads: 1
    resources:
        mem_mb=memory("report_sentences"),
        runtime=minutes("report_sentences"),
    params:
        settings=whole_configuration(),
        library=library_digest(*STAGES["report_sentences"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.report.report_sentences --settings {params.settings:q} --dataset {wildcards.dataset:q} > {log:q} 2>&1"
