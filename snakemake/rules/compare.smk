# RDMs of one subject's responses against those of every model's features.
rule compare:
    input:
        code="pipelines/compare/compare.py",
        responses=artifacts("responses"),
        noise=artifacts("noise"),
        features=features_of,
    output:
        rdm=files("rdm", subject="{subject}"),
        comparison=files("comparison", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "compare", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "compare", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(BLOCKS),
    threads: 1
    resources:
        mem_mb=memory("compare"),
        runtime=minutes("compare"),
    params:
        settings=settings_of(compare=SETTINGS.compare, confidence=SETTINGS.confidence),
        library=library_digest(*STAGES["compare"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.compare.compare --settings {params.settings:q} --seed {params.seed}"
        " --responses {input.responses:q} --noise {input.noise:q} --features {input.features:q}"
        " --rdm {output.rdm[0]:q} --comparison {output.comparison[0]:q} > {log:q} 2>&1"
