# How well grounded words of captions predict the regions of one subject, beside text vectors.
rule ground_regions:
    input:
        code="pipelines/decode/ground_regions.py",
        prepared=artifacts("responses", "splits", "ceiling"),
        words=lambda wildcards: str(artifact_path(RESULTS, wildcards.dataset, "groundedwords")),
    output:
        regions=files("groundedregions", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "ground_regions", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "ground_regions", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(GROUNDED),
    threads: 1
    resources:
        mem_mb=memory("ground_regions"),
        runtime=minutes("ground_regions"),
    params:
        settings=settings_of(
            ground=SETTINGS.ground.model_dump(mode="json", include={"alphas", "permutations", "draws"}),
            ceiling_threshold=SETTINGS.ceiling_threshold,
            confidence=SETTINGS.confidence,
        ),
        library=library_digest(*STAGES["ground_regions"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.decode.ground_regions --settings {params.settings:q} --seed {params.seed}"
        " --responses {input.prepared[0]:q} --splits {input.prepared[1]:q} --ceiling {input.prepared[2]:q}"
        " --groundedwords {input.words:q} --groundedregions {output.regions[0]:q} > {log:q} 2>&1"
