# Odd-one-out judgements, networks and regions beside them, on one page.
rule report_concepts:
    input:
        code="pipelines/report/report_concepts.py",
        shared="pipelines/report/report.py",
        descriptor=lambda wildcards: SETTINGS.datasets[wildcards.dataset].descriptor,
        tables=lambda wildcards: [of(suffix, wildcards) for suffix in ("triplets", *CONCEPTS)],
        aligned=lambda wildcards: [of(suffix, wildcards) for suffix in ALIGNMENT if wildcards.dataset in ALIGNED],
    output:
        page=report(
            group_report_path(RESULTS, "{dataset}"),
            caption="../report/group.rst",
            category="report",
            labels={"dataset": "{dataset}", "subject": "all"},
        ),
    log:
        log_path(RESULTS, "{dataset}", "report_concepts"),
    benchmark:
        log_path(RESULTS, "{dataset}", "report_concepts").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(TRIPLETS),
    threads: 1
    resources:
        mem_mb=memory("report_concepts"),
        runtime=minutes("report_concepts"),
    params:
        settings=whole_configuration(),
        library=library_digest(*STAGES["report_concepts"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.report.report_concepts --settings {params.settings:q} --dataset {wildcards.dataset:q} > {log:q} 2>&1"
