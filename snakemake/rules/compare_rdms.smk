# Published dissimilarity matrices against every layer of every model.
rule compare_rdms:
    input:
        code="pipelines/compare/compare_rdms.py",
        references=lambda wildcards: of("references", wildcards),
        features=features_of,
    output:
        rdm=files("rdm"),
        comparison=files("comparison"),
        differences=files("differences"),
    log:
        log_path(RESULTS, "{dataset}", "compare_rdms"),
    benchmark:
        log_path(RESULTS, "{dataset}", "compare_rdms").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(RDMS),
    threads: 1
    resources:
        mem_mb=memory("compare_rdms"),
        runtime=minutes("compare_rdms"),
    params:
        settings=settings_of(compare=SETTINGS.compare_rdms, confidence=SETTINGS.confidence),
        library=library_digest(*STAGES["compare_rdms"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.compare.compare_rdms --settings {params.settings:q} --seed {params.seed}"
        " --references {input.references:q} --features {input.features:q} --rdm {output.rdm[0]:q}"
        " --comparison {output.comparison[0]:q} --differences {output.differences[0]:q} > {log:q} 2>&1"
