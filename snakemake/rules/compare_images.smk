# Geometry of every region, or over time, against every layer of every model.
rule compare_images:
    input:
        code="pipelines/compare/compare_images.py",
        responses=artifacts("responses"),
        splits=artifacts("splits"),
        features=features_of,
    output:
        rdm=files("rdm", subject="{subject}"),
        comparison=files("comparison", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "compare_images", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "compare_images", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(IMAGES),
    threads: 1
    resources:
        mem_mb=memory("compare_images"),
        runtime=minutes("compare_images"),
    params:
        settings=settings_of(compare=SETTINGS.compare_images, confidence=SETTINGS.confidence),
        library=library_digest(*STAGES["compare_images"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.compare.compare_images --settings {params.settings:q} --seed {params.seed}"
        " --responses {input.responses:q} --splits {input.splits:q} --features {input.features:q}"
        " --rdm {output.rdm[0]:q} --comparison {output.comparison[0]:q} > {log:q} 2>&1"
